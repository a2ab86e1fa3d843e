/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tristate numbers. The rule behind sums and differences: when all operands take their smallest and
 * then their largest members, every carry that can differ differs, so a bit is unknown where the
 * two results differ or an operand is unknown.
 */
#include "core/load/tnum.h"

#include <stdio.h>

#include "core/load/mutant.h"

#define make ebpf_tnum_make

static u64 highest(struct ebpf_tnum a)
{
	return a.value | a.mask;
}

struct ebpf_tnum ebpf_tnum_lshift(struct ebpf_tnum a, u32 shift, u32 width)
{
	return make((a.value << shift) & EBPF_UMAX(width), (a.mask << shift) & EBPF_UMAX(width));
}

struct ebpf_tnum ebpf_tnum_rshift(struct ebpf_tnum a, u32 shift, u32 width)
{
	return make((a.value & EBPF_UMAX(width)) >> shift, (a.mask & EBPF_UMAX(width)) >> shift);
}

/* An unknown sign bit makes its copies unknown, in both words by the same shift. */
struct ebpf_tnum ebpf_tnum_arshift(struct ebpf_tnum a, u32 shift, u32 width)
{
	u32 up = 64 - width;
	s64 value = (s64)(a.value << up) >> up;
	s64 mask = (s64)(a.mask << up) >> up;

	return make((u64)(value >> shift) & EBPF_UMAX(width),
		    (u64)(mask >> shift) & EBPF_UMAX(width));
}

struct ebpf_tnum ebpf_tnum_add(struct ebpf_tnum a, struct ebpf_tnum b)
{
	u64 low = a.value + b.value;
	u64 high = highest(a) + highest(b);

	return make(low, EBPF_MUTANT(1, (low ^ high) | a.mask | b.mask, a.mask | b.mask));
}

struct ebpf_tnum ebpf_tnum_sub(struct ebpf_tnum a, struct ebpf_tnum b)
{
	u64 low = a.value - highest(b);
	u64 high = highest(a) - b.value;

	return make(a.value - b.value, (low ^ high) | a.mask | b.mask);
}

struct ebpf_tnum ebpf_tnum_neg(struct ebpf_tnum a)
{
	return ebpf_tnum_sub(ebpf_tnum_const(0), a);
}

struct ebpf_tnum ebpf_tnum_and(struct ebpf_tnum a, struct ebpf_tnum b)
{
	u64 ones = a.value & b.value;

	return make(ones, highest(a) & highest(b) & ~ones);
}

struct ebpf_tnum ebpf_tnum_or(struct ebpf_tnum a, struct ebpf_tnum b)
{
	u64 ones = a.value | b.value;

	return make(ones, (a.mask | b.mask) & EBPF_MUTANT(2, ~ones, ~a.value & ones));
}

struct ebpf_tnum ebpf_tnum_xor(struct ebpf_tnum a, struct ebpf_tnum b)
{
	return make(a.value ^ b.value, a.mask | b.mask);
}

/* One bit of the factor: the sum with it, without it, or either. */
static struct ebpf_tnum mul_step(struct ebpf_tnum sum, struct ebpf_tnum factor,
				 struct ebpf_tnum term)
{
	struct ebpf_tnum with = ebpf_tnum_add(sum, term);

	if (factor.value & 1)
		return with;
	if (factor.mask & 1)
		return ebpf_tnum_join(sum, with);
	return sum;
}

struct ebpf_tnum ebpf_tnum_mul(struct ebpf_tnum a, struct ebpf_tnum b)
{
	struct ebpf_tnum sum = make(0, 0);

	while (highest(a)) {
		sum = mul_step(sum, a, b);
		a = ebpf_tnum_rshift(a, 1, EBPF_DOMAIN_BITS);
		b = ebpf_tnum_lshift(b, 1, EBPF_DOMAIN_BITS);
	}
	return sum;
}

struct ebpf_tnum ebpf_tnum_join(struct ebpf_tnum a, struct ebpf_tnum b)
{
	return make(a.value, a.mask | b.mask | (a.value ^ b.value));
}

struct ebpf_tnum ebpf_tnum_sext(struct ebpf_tnum a, u32 bits, u32 width)
{
	return ebpf_tnum_arshift(ebpf_tnum_lshift(a, width - bits, width), width - bits, width);
}

struct ebpf_tnum ebpf_tnum_cast(struct ebpf_tnum a, u8 size)
{
	if (size >= 8)
		return a;
	return ebpf_tnum_zext(a, size == 4 ? EBPF_DOMAIN_HALF : size * EBPF_DOMAIN_BYTE);
}

bool ebpf_tnum_is_aligned(struct ebpf_tnum a, u64 size)
{
	return !size || !(highest(a) & (size - 1));
}

int ebpf_tnum_print(struct ebpf_tnum a, char *buf, size_t size)
{
	return snprintf(buf, size, "(0x%llx; 0x%llx)", (unsigned long long)a.value,
			(unsigned long long)a.mask);
}
