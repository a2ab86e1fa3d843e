/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tristate numbers: what is known of each bit of a 64-bit number.
 *
 * Model: a bit set in `mask` is unknown, of the others `value` has the value; value & mask is 0.
 * {v, m} stands for the numbers x with (x & ~m) == v, never for none. Every operation returns a
 * tnum that contains all results of its operands' members (Vishwanathan et al., "Sound, Precise,
 * and Fast Abstract Interpretation with Tristate Numbers", CGO 2022).
 *
 * The width is a compile-time parameter: tests build the same source with fewer bits (a "byte" is
 * then one bit) and try every operand. Numbers of fewer bits are zero-extended.
 */
#pragma once

#include "base/macros.h"

#ifndef EBPF_DOMAIN_BITS
#define EBPF_DOMAIN_BITS 64u
#define EBPF_DOMAIN_HALF 32u
#define EBPF_DOMAIN_BYTE 8u
#endif

/* The largest unsigned number of @width bits (1 to 64). */
#define EBPF_UMAX(width) (~0ull >> (64 - (width)))

struct ebpf_tnum {
	u64 value;
	u64 mask;
};

#define ebpf_tnum_unknown ((struct ebpf_tnum){0, EBPF_UMAX(EBPF_DOMAIN_BITS)})

/* Shifts of a number of @width bits by less than @width. */
struct ebpf_tnum ebpf_tnum_lshift(struct ebpf_tnum a, u32 shift, u32 width);
struct ebpf_tnum ebpf_tnum_rshift(struct ebpf_tnum a, u32 shift, u32 width);
struct ebpf_tnum ebpf_tnum_arshift(struct ebpf_tnum a, u32 shift, u32 width);

struct ebpf_tnum ebpf_tnum_add(struct ebpf_tnum a, struct ebpf_tnum b);
struct ebpf_tnum ebpf_tnum_sub(struct ebpf_tnum a, struct ebpf_tnum b);
struct ebpf_tnum ebpf_tnum_neg(struct ebpf_tnum a);
struct ebpf_tnum ebpf_tnum_and(struct ebpf_tnum a, struct ebpf_tnum b);
struct ebpf_tnum ebpf_tnum_or(struct ebpf_tnum a, struct ebpf_tnum b);
struct ebpf_tnum ebpf_tnum_xor(struct ebpf_tnum a, struct ebpf_tnum b);
struct ebpf_tnum ebpf_tnum_mul(struct ebpf_tnum a, struct ebpf_tnum b);

/* The smallest that contains both. */
struct ebpf_tnum ebpf_tnum_join(struct ebpf_tnum a, struct ebpf_tnum b);

/* The low @size bytes, zero-extended; the low @bits with the sign extended to @width. */
struct ebpf_tnum ebpf_tnum_cast(struct ebpf_tnum a, u8 size);
struct ebpf_tnum ebpf_tnum_sext(struct ebpf_tnum a, u32 bits, u32 width);

bool ebpf_tnum_is_aligned(struct ebpf_tnum a, u64 size); /* @size: a power of two */

/* "(0x0; 0xff)", as the kernel's log has it. Returns what snprintf() does. */
int ebpf_tnum_print(struct ebpf_tnum a, char *buf, size_t size);

/* --- what a sync is made of: inline ---------------------------------------------------------- */

static inline struct ebpf_tnum ebpf_tnum_make(u64 value, u64 mask)
{
	u64 all = EBPF_UMAX(EBPF_DOMAIN_BITS);

	return (struct ebpf_tnum){value & ~mask & all, mask & all};
}

static inline struct ebpf_tnum ebpf_tnum_const(u64 value)
{
	return ebpf_tnum_make(value, 0);
}

/* The smallest tnum that contains min..max (unsigned). */
static inline struct ebpf_tnum ebpf_tnum_range(u64 min, u64 max)
{
	u64 differ = min ^ max;

	if (!differ)
		return ebpf_tnum_make(min, 0);
	/* below the highest bit that differs, everything occurs */
	return ebpf_tnum_make(min, ~0ull >> __builtin_clzll(differ));
}

static inline bool ebpf_tnum_overlap(struct ebpf_tnum a, struct ebpf_tnum b)
{
	return !((a.value ^ b.value) & ~a.mask & ~b.mask);
}

/* What is in both; only where ebpf_tnum_overlap() says that something is. */
static inline struct ebpf_tnum ebpf_tnum_intersect(struct ebpf_tnum a, struct ebpf_tnum b)
{
	return ebpf_tnum_make(a.value | b.value, a.mask & b.mask);
}

/* The low @bits, zero-extended. */
static inline struct ebpf_tnum ebpf_tnum_zext(struct ebpf_tnum a, u32 bits)
{
	return ebpf_tnum_make(a.value & EBPF_UMAX(bits), a.mask & EBPF_UMAX(bits));
}

static inline struct ebpf_tnum ebpf_tnum_subreg(struct ebpf_tnum a) /* the low half */
{
	return ebpf_tnum_zext(a, EBPF_DOMAIN_HALF);
}

/* A number with its low half 0; with its low half replaced by that of @low. */
static inline struct ebpf_tnum ebpf_tnum_clear_subreg(struct ebpf_tnum a)
{
	u64 low = EBPF_UMAX(EBPF_DOMAIN_HALF);

	return ebpf_tnum_make(a.value & ~low, a.mask & ~low);
}

static inline struct ebpf_tnum ebpf_tnum_with_subreg(struct ebpf_tnum a, struct ebpf_tnum low)
{
	struct ebpf_tnum up = ebpf_tnum_clear_subreg(a), down = ebpf_tnum_subreg(low);

	return ebpf_tnum_make(up.value | down.value, up.mask | down.mask);
}

static inline bool ebpf_tnum_is_const(struct ebpf_tnum a)
{
	return !a.mask;
}

static inline bool ebpf_tnum_is_unknown(struct ebpf_tnum a)
{
	return a.mask == EBPF_UMAX(EBPF_DOMAIN_BITS);
}

static inline bool ebpf_tnum_has(struct ebpf_tnum a, u64 value)
{
	return (value & ~a.mask) == a.value;
}

/* Is every member of @inner one of @outer? */
static inline bool ebpf_tnum_in(struct ebpf_tnum outer, struct ebpf_tnum inner)
{
	return !(inner.mask & ~outer.mask) && ebpf_tnum_has(outer, inner.value);
}

static inline bool ebpf_tnum_equal(struct ebpf_tnum a, struct ebpf_tnum b)
{
	return a.value == b.value && a.mask == b.mask;
}

/* The first member from @min upwards (less than @min: there is none). */
static inline u64 ebpf_tnum_first(struct ebpf_tnum a, u64 min)
{
	u64 differ = (min ^ a.value) & ~a.mask, tail, above, next;

	if (!differ)
		return min;
	/* up to the highest known bit that differs; what is above is as in @min */
	tail = ~0ull >> __builtin_clzll(differ);
	above = a.mask & ~tail;
	if (a.value & (tail ^ tail >> 1))
		return (min & above) | a.value;
	/* @min is beyond what the known bits allow: count on in the unknown ones above */
	next = ((min | ~above) + 1) & above;
	return next | a.value;
}

/* The last one from @max downwards (more than @max: none): among complements, it is the first. */
static inline u64 ebpf_tnum_last(struct ebpf_tnum a, u64 max)
{
	u64 all = EBPF_UMAX(EBPF_DOMAIN_BITS);

	return ~ebpf_tnum_first(ebpf_tnum_make(~a.value, a.mask), ~max & all) & all;
}
