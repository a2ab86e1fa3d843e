/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tristate numbers, built with 6 bits: every operation on every pair, against what the operation
 * does to all members. Sums, differences and bit operations are also the smallest result possible.
 */
#define EBPF_DOMAIN_BITS 6u
#define EBPF_DOMAIN_HALF 3u
#define EBPF_DOMAIN_BYTE 1u

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "core/load/tnum.c"

#define COUNT (1u << EBPF_DOMAIN_BITS)
#define COUNT_HALF (1u << EBPF_DOMAIN_HALF)

typedef struct ebpf_tnum tnum;

/* The members of each tnum, as a set of bits; 0: value and mask have a bit in common. */
static u64 sets[COUNT][COUNT];

static u64 set_of(tnum t)
{
	return sets[t.value][t.mask];
}

static void make_sets(void)
{
	u64 v, m, x;

	for (v = 0; v < COUNT; v++)
		for (m = 0; m < COUNT; m++)
			for (x = 0; x < COUNT; x++)
				sets[v][m] |= (u64)ebpf_tnum_has((tnum){v, m}, x) << x;
}

TestSuite(tnum, .init = make_sets);

static void next(tnum *t)
{
	do {
		if (++t->value == COUNT) {
			t->value = 0;
			t->mask++;
		}
	} while (t->mask < COUNT && t->value & t->mask);
}

#define for_each_tnum(t) for (tnum t = {0, 0}; t.mask < COUNT; next(&t))

/* The smallest tnum that has all of @set. */
static tnum hull(u64 set)
{
	u64 x, ones = COUNT - 1, any = 0;

	for (; set; set &= set - 1) {
		x = (u64)__builtin_ctzll(set);
		ones &= x;
		any |= x;
	}
	return (tnum){ones, any & ~ones};
}

static u64 image(u64 a, u64 b, u64 (*op)(u64, u64))
{
	u64 set = 0, i, j;

	for (i = a; i; i &= i - 1)
		for (j = b; j; j &= j - 1)
			set |= 1ull
			       << (op((u64)__builtin_ctzll(i), (u64)__builtin_ctzll(j)) % COUNT);
	return set;
}

struct operation {
	const char *name;
	tnum (*on_tnums)(tnum, tnum);
	u64 (*on_numbers)(u64, u64);
	bool smallest;
};

static u64 add(u64 x, u64 y)
{
	return x + y;
}

static u64 sub(u64 x, u64 y)
{
	return x - y;
}

static u64 mul(u64 x, u64 y)
{
	return x * y;
}

static u64 bit_and(u64 x, u64 y)
{
	return x & y;
}

static u64 bit_or(u64 x, u64 y)
{
	return x | y;
}

static u64 bit_xor(u64 x, u64 y)
{
	return x ^ y;
}

static const struct operation operations[] = {
	{"add", ebpf_tnum_add, add, true},     {"sub", ebpf_tnum_sub, sub, true},
	{"and", ebpf_tnum_and, bit_and, true}, {"or", ebpf_tnum_or, bit_or, true},
	{"xor", ebpf_tnum_xor, bit_xor, true}, {"mul", ebpf_tnum_mul, mul, false},
};

/* How many results, of how many, are the smallest. */
static void check_operation(const struct operation *o)
{
	u64 pairs = 0, smallest = 0, result, is;

	for_each_tnum(a)
	{
		for_each_tnum(b)
		{
			is = image(set_of(a), set_of(b), o->on_numbers);
			result = set_of(o->on_tnums(a, b));
			cr_assert_eq(is & ~result, 0, "%s of (%lx;%lx) and (%lx;%lx)", o->name,
				     (unsigned long)a.value, (unsigned long)a.mask,
				     (unsigned long)b.value, (unsigned long)b.mask);
			pairs++;
			smallest += result == set_of(hull(is));
		}
	}
	cr_log_info("%s: %llu of %llu results are the smallest", o->name,
		    (unsigned long long)smallest, (unsigned long long)pairs);
	if (o->smallest)
		cr_assert_eq(smallest, pairs, "%s", o->name);
}

Test(tnum, operations_on_every_pair)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(operations); i++)
		check_operation(&operations[i]);
}

Test(tnum, sets)
{
	for_each_tnum(a)
	{
		for_each_tnum(b)
		{
			u64 sa = set_of(a), sb = set_of(b);

			cr_assert_eq(ebpf_tnum_in(a, b), !(sb & ~sa));
			cr_assert_eq(ebpf_tnum_equal(a, b), sa == sb);
			cr_assert_eq(ebpf_tnum_overlap(a, b), !!(sa & sb));
			cr_assert_eq(set_of(ebpf_tnum_join(a, b)), set_of(hull(sa | sb)));
			if (sa & sb)
				cr_assert_eq(set_of(ebpf_tnum_intersect(a, b)), sa & sb);
		}
	}
}

static u64 map(u64 set, u64 (*f)(u64 x, u32 n), u32 n)
{
	u64 out = 0;

	for (; set; set &= set - 1)
		out |= 1ull << f((u64)__builtin_ctzll(set), n) % COUNT;
	return out;
}

static u64 shl(u64 x, u32 n)
{
	return x << n;
}

static u64 shr(u64 x, u32 n)
{
	return x >> n;
}

static u64 sar(u64 x, u32 n)
{
	return (u64)((s64)(x << (64 - EBPF_DOMAIN_BITS)) >> (64 - EBPF_DOMAIN_BITS + n));
}

static u64 low(u64 x, u32 n)
{
	return n ? x & ((1u << n) - 1) : 0;
}

static u64 sign(u64 x, u32 n)
{
	return (u64)((s64)(x << (64 - n)) >> (64 - n));
}

static u64 sar_half(u64 x, u32 n)
{
	return (sign(low(x, EBPF_DOMAIN_HALF), EBPF_DOMAIN_HALF) >> n) % COUNT_HALF;
}

static void check_shifts(tnum a, u32 n)
{
	u64 s = set_of(a);

	cr_assert_eq(set_of(ebpf_tnum_lshift(a, n, EBPF_DOMAIN_BITS)), map(s, shl, n));
	cr_assert_eq(set_of(ebpf_tnum_rshift(a, n, EBPF_DOMAIN_BITS)), map(s, shr, n));
	cr_assert_eq(set_of(ebpf_tnum_arshift(a, n, EBPF_DOMAIN_BITS)),
		     set_of(hull(map(s, sar, n))));
	if (n)
		cr_assert_eq(set_of(ebpf_tnum_sext(a, n, EBPF_DOMAIN_BITS)),
			     set_of(hull(map(s, sign, n))));
	if (n)
		cr_assert_eq(set_of(ebpf_tnum_zext(a, n)), map(s, low, n));
	if (n < EBPF_DOMAIN_HALF)
		cr_assert_eq(set_of(ebpf_tnum_arshift(a, n, EBPF_DOMAIN_HALF)),
			     set_of(hull(map(s, sar_half, n))));
}

Test(tnum, shifts_and_casts)
{
	for_each_tnum(a)
	{
		for (u32 n = 0; n < EBPF_DOMAIN_BITS; n++)
			check_shifts(a, n);
		cr_assert_eq(set_of(ebpf_tnum_cast(a, 1)), map(set_of(a), low, 1));
		cr_assert_eq(set_of(ebpf_tnum_cast(a, 4)), map(set_of(a), low, EBPF_DOMAIN_HALF));
		cr_assert_eq(set_of(ebpf_tnum_cast(a, 8)), set_of(a));
	}
}

Test(tnum, negation_is_the_difference_to_0)
{
	for_each_tnum(a)
		cr_assert(ebpf_tnum_equal(ebpf_tnum_neg(a), ebpf_tnum_sub(ebpf_tnum_const(0), a)));
}

Test(tnum, halves)
{
	for_each_tnum(a)
	{
		for_each_tnum(b)
		{
			tnum both = ebpf_tnum_with_subreg(a, b);

			cr_assert(ebpf_tnum_equal(ebpf_tnum_subreg(both), ebpf_tnum_subreg(b)));
			cr_assert(ebpf_tnum_equal(ebpf_tnum_clear_subreg(both),
						  ebpf_tnum_clear_subreg(a)));
		}
		cr_assert(ebpf_tnum_equal(ebpf_tnum_with_subreg(a, a), a));
	}
}

Test(tnum, a_range_is_the_hull_of_its_numbers)
{
	u64 min, max, x, set;

	for (min = 0; min < COUNT; min++)
		for (max = min; max < COUNT; max++) {
			for (x = min, set = 0; x <= max; x++)
				set |= 1ull << x;
			cr_assert_eq(set_of(ebpf_tnum_range(min, max)), set_of(hull(set)));
		}
}

Test(tnum, neighbours)
{
	u64 bound, upper, lower;

	for_each_tnum(a)
	{
		for (bound = 0; bound < COUNT; bound++) {
			upper = set_of(a) >> bound << bound;
			lower = set_of(a) & ((2ull << bound) - 1);
			if (upper)
				cr_assert_eq(ebpf_tnum_first(a, bound), __builtin_ctzll(upper));
			else
				cr_assert_lt(ebpf_tnum_first(a, bound), bound);
			if (lower)
				cr_assert_eq(ebpf_tnum_last(a, bound), 63 - __builtin_clzll(lower));
			else
				cr_assert_gt(ebpf_tnum_last(a, bound), bound);
		}
	}
}

Test(tnum, alignment_is_that_of_all_members)
{
	u64 size, members;
	bool all;

	for_each_tnum(a)
	{
		cr_assert(ebpf_tnum_is_aligned(a, 0));
		for (size = 1; size <= 32; size *= 2) {
			all = true;
			for (members = set_of(a); members; members &= members - 1)
				all = all && !(__builtin_ctzll(members) % size);
			cr_assert_eq(ebpf_tnum_is_aligned(a, size), all);
		}
	}
}

Test(tnum, constants)
{
	cr_assert(ebpf_tnum_is_const(ebpf_tnum_const(5)));
	cr_assert_not(ebpf_tnum_is_const(ebpf_tnum_unknown));
	cr_assert(ebpf_tnum_is_unknown(ebpf_tnum_unknown));
	cr_assert_not(ebpf_tnum_is_unknown(ebpf_tnum_const(0)));
}

Test(tnum, text)
{
	char buf[64];

	cr_assert_eq(ebpf_tnum_print((tnum){0, 0x3f}, buf, sizeof(buf)), 11);
	cr_assert_str_eq(buf, "(0x0; 0x3f)");
	cr_assert_eq(ebpf_tnum_print((tnum){0x21, 0x6}, NULL, 0), 11);
}
