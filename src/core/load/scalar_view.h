/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scalar seen at one width: all of it, or its low half. Internal to the scalar domain.
 *
 * An operation is written once for a view of @width bits; 64- and 32-bit instructions differ in
 * which views they compute. In a view, as in a scalar, unsigned numbers are zero-extended and
 * signed ones sign-extended from the width.
 */
#pragma once

#include "core/load/scalar.h"
#include "core/load/mutant.h"

#define BITS EBPF_DOMAIN_BITS
#define HALF EBPF_DOMAIN_HALF

struct ebpf_view {
	struct ebpf_tnum t;
	u64 umin, umax;
	s64 smin, smax;
};

static inline s64 sign_extend(u64 value, u32 width)
{
	return (s64)(value << (64 - width)) >> (64 - width);
}

static inline u64 zero_extend(u64 value, u32 width)
{
	return value & EBPF_UMAX(width);
}

static inline s64 signed_max(u32 width)
{
	return (s64)(EBPF_UMAX(width) >> 1);
}

static inline s64 signed_min(u32 width)
{
	return -signed_max(width) - 1;
}

/* The width in bits of @bytes bytes. */
static inline u32 bits_of(u8 bytes)
{
	return bytes >= 8 ? BITS : bytes == 4 ? HALF : bytes * EBPF_DOMAIN_BYTE;
}

static inline void view_any_unsigned(struct ebpf_view *v, u32 width)
{
	v->umin = 0;
	v->umax = EBPF_UMAX(width);
}

static inline void view_any_signed(struct ebpf_view *v, u32 width)
{
	v->smin = signed_min(width);
	v->smax = signed_max(width);
}

static inline void view_unknown(struct ebpf_view *v, u32 width)
{
	v->t = ebpf_tnum_zext(ebpf_tnum_unknown, width);
	view_any_unsigned(v, width);
	view_any_signed(v, width);
}

static inline struct ebpf_view full_view(const struct ebpf_scalar *s)
{
	return (struct ebpf_view){s->var_off, s->umin, s->umax, s->smin, s->smax};
}

static inline struct ebpf_view half_view(const struct ebpf_scalar *s)
{
	return (struct ebpf_view){ebpf_tnum_subreg(s->var_off), s->u32_min, s->u32_max, s->s32_min,
				  s->s32_max};
}

static inline void set_full(struct ebpf_scalar *s, const struct ebpf_view *v)
{
	s->var_off = v->t;
	s->umin = v->umin;
	s->umax = v->umax;
	s->smin = v->smin;
	s->smax = v->smax;
}

static inline void set_half(struct ebpf_scalar *s, const struct ebpf_view *v)
{
	s->var_off = ebpf_tnum_with_subreg(s->var_off, v->t);
	s->u32_min = (u32)v->umin;
	s->u32_max = (u32)v->umax;
	s->s32_min = (s32)v->smin;
	s->s32_max = (s32)v->smax;
}

/*
 * The end of every operation. Operators are sound and operands not empty, so the result isn't
 * empty; were it, everything is possible.
 */
static inline void finish(struct ebpf_scalar *s)
{
	if (!ebpf_scalar_sync(s))
		ebpf_scalar_unknown(s);
}

/*
 * Numbers below the sign bit of the half are the same in both orders and at both widths: of the
 * four ranges, one is left.
 */
static inline bool ebpf_scalar_is_small(const struct ebpf_scalar *s)
{
	return s->umax <= (u64)signed_max(HALF);
}

/* The single steps, each of which may be taken alone (and is proved alone). False: empty. */

/* scalar_sync.c */
bool ebpf_view_meet(struct ebpf_view *v, const struct ebpf_view *with);
bool ebpf_view_ranges_from_tnum(struct ebpf_view *v, u32 width);
bool ebpf_view_ranges_from_sign(struct ebpf_view *v, u32 width);
bool ebpf_view_tnum_from_range(struct ebpf_view *v);
bool ebpf_scalar_half_from_full(struct ebpf_scalar *s);
bool ebpf_scalar_full_from_half(struct ebpf_scalar *s);
bool ebpf_scalar_single(struct ebpf_scalar *s); /* where bits or range leave one number */
bool ebpf_scalar_small(struct ebpf_scalar *s);	/* where all are below the half's sign bit */

/* scalar_alu.c: *d = *d op *s, known parts only, no sync. */
void ebpf_view_alu(struct ebpf_view *d, const struct ebpf_view *s, u8 op, bool is_signed,
		   u32 width);

/* scalar_jmp.c */
bool ebpf_view_refine(struct ebpf_view *a, struct ebpf_view *b, u8 op, bool taken, u32 width);
