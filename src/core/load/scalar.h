/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the verifier knows of a number: the domain that both phases trust.
 *
 * Model: a scalar stands for a set of 64-bit numbers, those that satisfy all of: the tnum, the
 * unsigned and the signed range; and whose low half satisfies the unsigned and the signed 32-bit
 * range. Each part is a conclusion of its own, never wrong by itself; ebpf_scalar_sync() lets each
 * learn from the others. Every operation forgets the result first and then says what it knows, all
 * parts of it, and ends with a sync. Precision is at least that of the kernel (6.12 to 6.18).
 *
 * Rules: a scalar is never empty. What could make it so (sync, refine, meet) returns false then:
 * the path is dead, and the scalar's content means nothing. Pure functions, no allocation.
 *
 * tests/prove holds what is claimed of these functions: tried for every operand at a small width
 * (EBPF_DOMAIN_BITS, tnum.h), for random ones at 64 bits, and proved at 64 bits.
 */
#pragma once

#include "core/load/mutant.h"
#include "core/load/tnum.h"

struct ebpf_scalar {
	struct ebpf_tnum var_off;
	s64 smin, smax;
	u64 umin, umax;
	s32 s32_min, s32_max;
	u32 u32_min, u32_max;
};

void ebpf_scalar_unknown(struct ebpf_scalar *s);
bool ebpf_scalar_is_const32(const struct ebpf_scalar *s);
bool ebpf_scalar_is_unknown(const struct ebpf_scalar *s);
bool ebpf_scalar_has(const struct ebpf_scalar *s, u64 value);

/* --- what every instruction asks: inline ------------------------------------------------------ */

static inline void ebpf_scalar_const(struct ebpf_scalar *s, u64 value)
{
	const u32 up = 64 - EBPF_DOMAIN_BITS, half_up = 64 - EBPF_DOMAIN_HALF;

	value &= EBPF_UMAX(EBPF_DOMAIN_BITS);
	s->var_off = ebpf_tnum_const(value);
	s->umin = s->umax = value;
	s->smin = s->smax = (s64)(value << up) >> up;
	s->u32_min = s->u32_max = (u32)(value & EBPF_UMAX(EBPF_DOMAIN_HALF));
	s->s32_min = s->s32_max = (s32)((s64)(value << half_up) >> half_up);
}

static inline bool ebpf_scalar_is_const(const struct ebpf_scalar *s) /* the value: var_off.value */
{
	return ebpf_tnum_is_const(s->var_off);
}

static inline bool ebpf_scalar_equal(const struct ebpf_scalar *a, const struct ebpf_scalar *b)
{
	return ebpf_tnum_equal(a->var_off, b->var_off) && a->umin == b->umin &&
	       a->umax == b->umax && a->smin == b->smin && a->smax == b->smax &&
	       a->u32_min == b->u32_min && a->u32_max == b->u32_max && a->s32_min == b->s32_min &&
	       a->s32_max == b->s32_max;
}

static inline bool ebpf_scalar_half_in(const struct ebpf_scalar *inner,
				       const struct ebpf_scalar *outer)
{
	return outer->u32_min <= inner->u32_min && inner->u32_max <= outer->u32_max &&
	       outer->s32_min <= inner->s32_min && inner->s32_max <= outer->s32_max;
}

/* Is every number of @inner one of @outer? Never true when not. */
static inline bool ebpf_scalar_in(const struct ebpf_scalar *inner, const struct ebpf_scalar *outer)
{
	return ebpf_tnum_in(outer->var_off, inner->var_off) && outer->umin <= inner->umin &&
	       EBPF_MUTANT(3, inner->umax <= outer->umax, true) && outer->smin <= inner->smin &&
	       inner->smax <= EBPF_MUTANT(4, outer->smax, outer->smax + 1) &&
	       EBPF_MUTANT(5, ebpf_scalar_half_in(inner, outer), true);
}

/* --- the domain ------------------------------------------------------------------------------ */

/* Let the parts learn from each other. False: no number satisfies them all. */
bool ebpf_scalar_sync(struct ebpf_scalar *s);

/* What contains both; always true. @dst may be one of them. */
bool ebpf_scalar_join(struct ebpf_scalar *dst, const struct ebpf_scalar *a,
		      const struct ebpf_scalar *b);
/* What is in both; false: nothing is. */
bool ebpf_scalar_meet(struct ebpf_scalar *dst, const struct ebpf_scalar *a,
		      const struct ebpf_scalar *b);

/*
 * dst = dst @op src, BPF_ADD to BPF_ARSH without BPF_NEG, BPF_MOV and BPF_END. 32-bit operations
 * clear the upper half; division by 0 is 0, modulo 0 leaves dst; a shift counts modulo the width.
 * @is_signed (an instruction's offset 1) is for division and modulo.
 */
void ebpf_scalar_alu(struct ebpf_scalar *dst, const struct ebpf_scalar *src, u8 op, bool is64,
		     bool is_signed);
void ebpf_scalar_neg(struct ebpf_scalar *s, bool is64);
struct bpf_insn;
/* What an arithmetic instruction, BPF_MOV, BPF_NEG and BPF_END too, makes of @dst and @src. */
void ebpf_scalar_insn(struct ebpf_scalar *dst, const struct ebpf_scalar *src,
		      const struct bpf_insn *in);
/* Any number from @min to @max, which isn't less. */
void ebpf_scalar_range(struct ebpf_scalar *s, s64 min, s64 max);

void ebpf_scalar_zext32(struct ebpf_scalar *s);
/* Sign-extend the low @bytes (1, 2, 4) to 64 bits, or to 32 with the upper half 0. */
void ebpf_scalar_sext(struct ebpf_scalar *s, u8 bytes, bool is64);
/* Keep the low @bytes (1, 2, 4, 8), the rest is 0: a narrow load of what was spilled. */
void ebpf_scalar_trunc(struct ebpf_scalar *s, u8 bytes);

/* BPF_END: reorder the bytes of the low @bits (16, 32, 64), the rest is 0. */
enum ebpf_end {
	EBPF_END_LE,   /* to little-endian */
	EBPF_END_BE,   /* to big-endian */
	EBPF_END_SWAP, /* always */
};
void ebpf_scalar_end(struct ebpf_scalar *s, u8 kind, u8 bits);

/* Is "a @op b" (BPF_JEQ to BPF_JSLE, BPF_JSET) true? 1, 0, or -1: for some yes, for some no. */
int ebpf_scalar_taken(const struct ebpf_scalar *a, const struct ebpf_scalar *b, u8 op, bool is32);
/* Learn from "a @op b" being @taken. False: it can't be, that branch is dead. @a and @b differ. */
bool ebpf_scalar_refine(struct ebpf_scalar *a, struct ebpf_scalar *b, u8 op, bool is32, bool taken);

/*
 * The attributes as the kernel's log has them: "smin=smin32=0,...,var_off=(0x0; 0x1f)"; "" when
 * nothing is known; the number when it is a constant. Returns what snprintf() does.
 */
int ebpf_scalar_print(const struct ebpf_scalar *s, char *buf, size_t size);
