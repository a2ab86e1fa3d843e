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

struct ebpf_tnum ebpf_tnum_const(u64 value);
/* The smallest tnum that contains min..max (unsigned). */
struct ebpf_tnum ebpf_tnum_range(u64 min, u64 max);

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

/* What is in both; only where ebpf_tnum_overlap() says that something is. */
struct ebpf_tnum ebpf_tnum_intersect(struct ebpf_tnum a, struct ebpf_tnum b);
bool ebpf_tnum_overlap(struct ebpf_tnum a, struct ebpf_tnum b);
/* The smallest that contains both. */
struct ebpf_tnum ebpf_tnum_join(struct ebpf_tnum a, struct ebpf_tnum b);

/* The low @size bytes, zero-extended. */
struct ebpf_tnum ebpf_tnum_cast(struct ebpf_tnum a, u8 size);
/* The same for a number of bits; the second extends the sign to @width. */
struct ebpf_tnum ebpf_tnum_zext(struct ebpf_tnum a, u32 bits);
struct ebpf_tnum ebpf_tnum_sext(struct ebpf_tnum a, u32 bits, u32 width);

/* The low half; a number with its low half replaced by that of @low; with its low half 0. */
struct ebpf_tnum ebpf_tnum_subreg(struct ebpf_tnum a);
struct ebpf_tnum ebpf_tnum_with_subreg(struct ebpf_tnum a, struct ebpf_tnum low);
struct ebpf_tnum ebpf_tnum_clear_subreg(struct ebpf_tnum a);

bool ebpf_tnum_is_const(struct ebpf_tnum a);
bool ebpf_tnum_is_unknown(struct ebpf_tnum a);
bool ebpf_tnum_is_aligned(struct ebpf_tnum a, u64 size); /* @size: a power of two */
bool ebpf_tnum_has(struct ebpf_tnum a, u64 value);
/* Is every member of @inner one of @outer? */
bool ebpf_tnum_in(struct ebpf_tnum outer, struct ebpf_tnum inner);
/* The first member from @min upwards (less than @min: there is none), the last from @max downwards
 * (more than @max: none). */
u64 ebpf_tnum_first(struct ebpf_tnum a, u64 min);
u64 ebpf_tnum_last(struct ebpf_tnum a, u64 max);
bool ebpf_tnum_equal(struct ebpf_tnum a, struct ebpf_tnum b);

/* "(0x0; 0xff)", as the kernel's log has it. Returns what snprintf() does. */
int ebpf_tnum_print(struct ebpf_tnum a, char *buf, size_t size);
