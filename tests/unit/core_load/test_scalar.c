/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scalar domain at 64 bits: every claim (tests/prove/claims.h) with random operands that like
 * edges, what programs rely on, and the text. DOMAIN_SEED repeats a run, DOMAIN_ROUNDS lengthens
 * it.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/load/scalar_view.h"
#include "tests/prove/claims.h"
#include "tests/unit/core_load/domain_random.h"

/* --- claims --------------------------------------------------------------------------------- */
struct claim {
	const char *name;
	bool (*act)(struct ebpf_scalar *a, struct ebpf_scalar *b);
	bool (*is)(u64 x, u64 y, u64 *rx, u64 *ry);
};

#define ENTRY(name) {#name, name##_do, name##_is},
static const struct claim claims[] = {ALU_NAMES(ENTRY) JMP_NAMES(ENTRY) SET_NAMES(ENTRY)
					      UNARY_NAMES(ENTRY) STEP_NAMES(ENTRY) ENTRY(sync)};

/* A state with @x in it, as exact as can be or not. */
static void random_state(u64 *seed, struct ebpf_scalar *s, u64 *x)
{
	*x = random_parts(seed, s);
	if (random_next(seed) % 8 == 0)
		ebpf_scalar_const(s, *x);
	cr_assert(ebpf_scalar_sync(s), "a sync lost %#" PRIx64, *x);
	cr_assert(ebpf_scalar_has(s, *x), "a sync lost %#" PRIx64, *x);
}

static void check_once(const struct claim *c, u64 *seed)
{
	struct ebpf_scalar a, b, was_a, was_b;
	u64 began = *seed, x, y, rx, ry;
	char text_a[256], text_b[256];

	random_state(seed, &a, &x);
	random_state(seed, &b, &y);
	was_a = a;
	was_b = b;
	rx = x;
	ry = y;
	if (!c->is(x, y, &rx, &ry))
		return;
	if (c->act(&a, &b) && ebpf_scalar_has(&a, rx) && ebpf_scalar_has(&b, ry))
		return;
	ebpf_scalar_print(&was_a, text_a, sizeof(text_a));
	ebpf_scalar_print(&was_b, text_b, sizeof(text_b));
	cr_assert_fail("%s: %#" PRIx64 " of (%s) and %#" PRIx64 " of (%s), DOMAIN_SEED=%#" PRIx64,
		       c->name, x, text_a, y, text_b, began);
}

Test(scalar, claims_hold_for_random_operands)
{
	const char *given = getenv("DOMAIN_ROUNDS");
	u64 seed = random_seed(), rounds = given ? strtoull(given, NULL, 0) : 4000, n;
	size_t i;

	fprintf(stderr, "# DOMAIN_SEED=%#" PRIx64 "\n", seed);
	for (n = 0; n < rounds; n++)
		for (i = 0; i < ARRAY_SIZE(claims); i++)
			check_once(&claims[i], &seed);
}

/* --- what programs rely on ------------------------------------------------------------------ */
static struct ebpf_scalar unknown(void)
{
	struct ebpf_scalar s;

	ebpf_scalar_unknown(&s);
	return s;
}

static struct ebpf_scalar constant(u64 value)
{
	struct ebpf_scalar s;

	ebpf_scalar_const(&s, value);
	return s;
}

static struct ebpf_scalar unsigned_range(u64 min, u64 max)
{
	struct ebpf_scalar s = unknown();

	s.umin = min;
	s.umax = max;
	cr_assert(ebpf_scalar_sync(&s));
	return s;
}

static struct ebpf_scalar signed_range(s64 min, s64 max)
{
	struct ebpf_scalar s = unknown();

	s.smin = min;
	s.smax = max;
	cr_assert(ebpf_scalar_sync(&s));
	return s;
}

static struct ebpf_scalar with(struct ebpf_scalar a, u8 op, u64 value)
{
	struct ebpf_scalar b = constant(value);

	ebpf_scalar_alu(&a, &b, op, true, false);
	return a;
}

static struct ebpf_scalar after(struct ebpf_scalar a, u8 op, bool is32, u64 value, bool taken)
{
	struct ebpf_scalar b = constant(value);

	cr_assert(ebpf_scalar_refine(&a, &b, op, is32, taken));
	return a;
}

#define assert_text(s, expected)                                                                   \
	do {                                                                                       \
		struct ebpf_scalar _s = (s);                                                       \
		char _buf[256];                                                                    \
		int _len = ebpf_scalar_print(&_s, _buf, sizeof(_buf));                             \
		cr_expect_str_eq(_buf, expected, "'%s' is not '%s'", _buf, expected);              \
		cr_expect_eq(_len, (int)strlen(_buf));                                             \
	} while (0)

Test(scalar, a_mask_bounds)
{
	assert_text(with(unknown(), BPF_AND, 0xff),
		    "smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff)");
}

Test(scalar, a_comparison_bounds)
{
	struct ebpf_scalar s = with(unknown(), BPF_AND, 0x1f);

	assert_text(after(s, BPF_JGT, false, 16, false),
		    "smin=smin32=0,smax=umax=smax32=umax32=16,var_off=(0x0; 0x1f)");
	assert_text(after(s, BPF_JGT, false, 16, true),
		    "smin=umin=smin32=umin32=17,smax=umax=smax32=umax32=31,var_off=(0x10; 0xf)");
}

Test(scalar, signed_comparisons_meet)
{
	struct ebpf_scalar s = after(unknown(), BPF_JSGT, false, -1ull, true);

	s = after(s, BPF_JSLT, false, 64, true);
	assert_text(s, "smin=smin32=0,smax=umax=smax32=umax32=63,var_off=(0x0; 0x3f)");
}

/* "x <<= 32; x s>>= 32" is how older compilers extend a sign. */
Test(scalar, shifts_that_extend)
{
	assert_text(with(with(unknown(), BPF_LSH, 32), BPF_ARSH, 32),
		    "smin=0xffffffff80000000,smax=0x7fffffff");
	assert_text(with(with(unknown(), BPF_LSH, 32), BPF_RSH, 32),
		    "smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff)");
}

Test(scalar, a_sum_that_may_wrap_is_unknown)
{
	struct ebpf_scalar s = unsigned_range(1, UINT64_MAX);

	cr_assert_eq(with(s, BPF_ADD, 1).umin, 0);
	s = unsigned_range(UINT64_MAX - 3, UINT64_MAX);
	cr_assert_eq(with(s, BPF_ADD, 4).umax, 3);
	cr_assert_eq(signed_range(INT64_MAX - 1, INT64_MAX).smax, INT64_MAX);
	cr_assert_eq(with(signed_range(INT64_MAX - 1, INT64_MAX), BPF_ADD, 1).smin, INT64_MIN);
}

Test(scalar, division_and_remainder_bound)
{
	assert_text(with(unknown(), BPF_MOD, 10),
		    "smin=smin32=0,smax=umax=smax32=umax32=9,var_off=(0x0; 0xf)");
	cr_assert_eq(with(unsigned_range(0, 1000), BPF_DIV, 10).umax, 100);
	assert_text(with(unsigned_range(5, 9), BPF_DIV, 0), "0");
	assert_text(with(constant(7), BPF_MOD, 0), "7");
	assert_text(with(unknown(), BPF_MOD, 8),
		    "smin=smin32=0,smax=umax=smax32=umax32=7,var_off=(0x0; 0x7)");
}

Test(scalar, signed_division_wraps_and_is_bounded)
{
	struct ebpf_scalar s = constant((u64)INT64_MIN), b = constant(-1ull);

	ebpf_scalar_alu(&s, &b, BPF_DIV, true, true);
	assert_text(s, "0x8000000000000000");
	s = signed_range(-100, 50);
	b = constant(10);
	ebpf_scalar_alu(&s, &b, BPF_DIV, true, true);
	cr_assert(s.smin == -10 && s.smax == 5);
	s = signed_range(-100, 50);
	ebpf_scalar_alu(&s, &b, BPF_MOD, true, true);
	cr_assert(s.smin == -9 && s.smax == 9);
}

Test(scalar, a_shift_by_the_width_or_more_is_unknown)
{
	struct ebpf_scalar s = constant(1), b = constant(32);

	cr_assert(ebpf_scalar_is_unknown(&(struct ebpf_scalar[]){with(s, BPF_LSH, 64)}[0]));
	ebpf_scalar_alu(&s, &b, BPF_LSH, false, false);
	cr_assert_eq(s.umax, UINT32_MAX);
	cr_assert_eq(s.umin, 0);
}

Test(scalar, constants_stay_constant)
{
	static const u64 numbers[] = {0, 1, 2, 63, -1ull, 1ull << 63, 0x7fffffff, 0x80000000ull};
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_AND,
				 BPF_OR,  BPF_XOR, BPF_DIV, BPF_MOD};
	size_t i, j, k;
	int is64, is_signed;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		for (j = 0; j < ARRAY_SIZE(numbers); j++)
			for (k = 0; k < ARRAY_SIZE(ops); k++)
				for (is64 = 0; is64 < 2; is64++)
					for (is_signed = 0; is_signed < 2; is_signed++) {
						struct ebpf_scalar a = constant(numbers[i]),
								   b = constant(numbers[j]);

						ebpf_scalar_alu(&a, &b, ops[k], is64, is_signed);
						cr_assert(ebpf_scalar_is_const(&a),
							  "%#" PRIx64 " op %x %#" PRIx64,
							  numbers[i], ops[k], numbers[j]);
					}
}

Test(scalar, dead_branches)
{
	struct ebpf_scalar a = unsigned_range(0, 5), b = constant(6);

	cr_assert_not(ebpf_scalar_refine(&a, &b, BPF_JEQ, false, true));
	a = unsigned_range(0, 5);
	b = constant(0);
	cr_assert_not(ebpf_scalar_refine(&a, &b, BPF_JLT, false, true));
	a = constant(3);
	b = constant(3);
	cr_assert_not(ebpf_scalar_refine(&a, &b, BPF_JNE, true, true));
}

Test(scalar, a_narrow_load_of_a_spill)
{
	struct ebpf_scalar s = unsigned_range(0x10010, 0x10020);

	ebpf_scalar_trunc(&s, 1);
	assert_text(s, "smin=umin=smin32=umin32=16,smax=umax=smax32=umax32=32,var_off=(0x0; 0x3f)");
}

Test(scalar, sets)
{
	struct ebpf_scalar a = unsigned_range(2, 9), b = unsigned_range(4, 20), s;

	cr_assert(ebpf_scalar_meet(&s, &a, &b));
	cr_assert(s.umin == 4 && s.umax == 9);
	cr_assert(ebpf_scalar_join(&s, &a, &b));
	cr_assert(s.umin == 2 && s.umax == 20);
	cr_assert(ebpf_scalar_in(&a, &s) && ebpf_scalar_in(&b, &s) && !ebpf_scalar_in(&s, &a));
	s = constant(1);
	cr_assert_not(ebpf_scalar_meet(&s, &s, &a));
}

/* --- text ----------------------------------------------------------------------------------- */
Test(scalar, text_of_what_is_not_known)
{
	assert_text(unknown(), "");
	assert_text(constant(-5ull), "-5");
	assert_text(constant(32767), "32767");
	assert_text(constant(32768), "0x8000");
	assert_text(constant(-40000ull), "0xffffffffffff63c0");
}

/* As the kernel prints them: negative bounds group with negative ones only, in hexadecimal the
 * 32-bit ones have 32 bits. */
Test(scalar, text_of_negative_bounds)
{
	assert_text(signed_range(-2, 5), "smin=smin32=-2,smax=smax32=5");
	assert_text(signed_range(-40000, 5),
		    "smin=0xffffffffffff63c0,smax=smax32=5,smin32=0xffff63c0");
}

Test(scalar, text_is_cut_to_the_buffer)
{
	struct ebpf_scalar s = with(unknown(), BPF_AND, 0xff);
	char all[256], cut[20];
	int len = ebpf_scalar_print(&s, all, sizeof(all));

	cr_assert_eq(ebpf_scalar_print(&s, cut, sizeof(cut)), len);
	cr_assert_eq(strlen(cut), sizeof(cut) - 1);
	cr_assert(!strncmp(all, cut, sizeof(cut) - 1));
	cr_assert_eq(ebpf_scalar_print(&s, NULL, 0), len);
}
