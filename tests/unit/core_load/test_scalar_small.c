/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scalar domain, built with few bits, tried with every operand.
 *
 * A state here is a scalar that a sync leaves as it is: what the verifier can have in a register.
 * Where they are few (EBPF_DOMAIN_BITS 3 and 4) all are made; with more bits, a seeded selection.
 * A claim (tests/prove/claims.h) of one operand is checked for every state; of two, for every pair
 * at 3 bits, else for a selection of pairs. DOMAIN_PAIRS=all in the environment takes every pair.
 * Each check goes over all numbers the states contain.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

/* the sources themselves: the width is theirs */
#include "core/load/tnum.c"
#undef make
#include "core/load/scalar.c"
#include "core/load/scalar_sync.c"
#include "core/load/scalar_alu.c"
#include "core/load/scalar_cast.c"
#include "core/load/scalar_jmp.c"
#include "tests/prove/claims.h"
#include "tests/unit/core_load/domain_random.h"

#define NUMBERS_OF_WIDTH (1u << EBPF_DOMAIN_BITS)
#define NONE 0xff
#define SELECTED_STATES 4000
#define SELECTED_PAIRS 10000

struct claim {
	const char *name;
	bool (*act)(struct ebpf_scalar *a, struct ebpf_scalar *b);
	bool (*is)(u64 x, u64 y, u64 *rx, u64 *ry);
	bool unary;
};

#define ENTRY(name) {#name, name##_do, name##_is, false},
#define UNARY_ENTRY(name) {#name, name##_do, name##_is, true},
static const struct claim claims[] = {ALU_NAMES(ENTRY) JMP_NAMES(ENTRY) SET_NAMES(
	ENTRY) UNARY_NAMES(UNARY_ENTRY) STEP_NAMES(UNARY_ENTRY) UNARY_ENTRY(sync)};

static struct ebpf_scalar *states;
static u64 *members; /* of each state, as a set of bits */
static size_t nstates;
static u64 seed;

static bool canonical_unsigned(u64 value, u32 width)
{
	return value <= EBPF_UMAX(width);
}

static bool canonical_signed(s64 value, u32 width)
{
	return value == sign_extend((u64)value, width);
}

/* Are all parts numbers of their width? */
static bool canonical(const struct ebpf_scalar *s)
{
	return canonical_unsigned(s->var_off.value | s->var_off.mask, BITS) &&
	       !(s->var_off.value & s->var_off.mask) && canonical_unsigned(s->umin, BITS) &&
	       canonical_unsigned(s->umax, BITS) && canonical_unsigned(s->u32_min, HALF) &&
	       canonical_unsigned(s->u32_max, HALF) && canonical_signed(s->smin, BITS) &&
	       canonical_signed(s->smax, BITS) && canonical_signed(s->s32_min, HALF) &&
	       canonical_signed(s->s32_max, HALF);
}

static u64 members_of(const struct ebpf_scalar *s)
{
	u64 set = 0, x;

	for (x = 0; x < NUMBERS_OF_WIDTH; x++)
		set |= (u64)ebpf_scalar_has(s, x) << x;
	return set;
}

/* --- states --------------------------------------------------------------------------------- */
#define SLOTS (1u << 17)
static u32 *slots; /* of a hash table: 1 + index of a state */

static u32 slot_of(const struct ebpf_scalar *s)
{
	u64 h = s->var_off.value << 8 | s->var_off.mask;

	h = h * 1000003 + (s->umin << 8 | s->umax);
	h = h * 1000003 + ((u64)s->smin * 64 ^ (u64)s->smax);
	h = h * 1000003 + (s->u32_min << 8 | s->u32_max);
	h = h * 1000003 + ((u64)s->s32_min * 64 ^ (u64)s->s32_max);
	return (u32)(h * 0x9e3779b97f4a7c15ull >> 47);
}

static void add_state(const struct ebpf_scalar *s)
{
	u32 slot = slot_of(s);

	for (; slots[slot]; slot = (slot + 1) % SLOTS) {
		if (ebpf_scalar_equal(&states[slots[slot] - 1], s))
			return;
	}
	cr_assert_lt(nstates, SLOTS / 2);
	states[nstates] = *s;
	members[nstates] = members_of(s);
	slots[slot] = (u32)++nstates;
}

/* Whatever a state's parts were before: a sync loses no number, and a second one changes nothing.
 */
static void add_synced(struct ebpf_scalar s)
{
	u64 before = members_of(&s);
	struct ebpf_scalar again;

	if (!ebpf_scalar_sync(&s)) {
		cr_assert_eq(before, 0, "a sync lost %#lx", (unsigned long)before);
		return;
	}
	again = s;
	cr_assert(ebpf_scalar_sync(&again) && ebpf_scalar_equal(&again, &s),
		  "a second sync changed a state");
	cr_assert(canonical(&s), "not of its width");
	cr_assert_eq(members_of(&s), before, "a sync changed what is in a state");
	add_state(&s);
}

/* All pairs of ranges inside those of @s for the low half. */
static void add_halves(const struct ebpf_scalar *s)
{
	struct ebpf_scalar h = *s;
	s64 umin, umax, smin, smax;

	for (umin = s->u32_min; umin <= s->u32_max; umin++)
		for (umax = umin; umax <= s->u32_max; umax++)
			for (smin = s->s32_min; smin <= s->s32_max; smin++)
				for (smax = smin; smax <= s->s32_max; smax++) {
					h.u32_min = (u32)umin;
					h.u32_max = (u32)umax;
					h.s32_min = (s32)smin;
					h.s32_max = (s32)smax;
					add_synced(h);
				}
}

/* All states with the bits @t: of the ranges, only those that a sync leaves need a closer look. */
static void add_all_of(struct ebpf_tnum t)
{
	struct ebpf_scalar s, any;
	s64 umin, umax, smin, smax;

	ebpf_scalar_unknown(&any);
	for (umin = 0; umin <= (s64)any.umax; umin++)
		for (umax = umin; umax <= (s64)any.umax; umax++)
			for (smin = any.smin; smin <= any.smax; smin++)
				for (smax = smin; smax <= any.smax; smax++) {
					s = any;
					s.var_off = t;
					s.umin = (u64)umin;
					s.umax = (u64)umax;
					s.smin = smin;
					s.smax = smax;
					if (ebpf_scalar_sync(&s) && s.umin == (u64)umin &&
					    s.umax == (u64)umax && s.smin == smin &&
					    s.smax == smax && ebpf_tnum_equal(s.var_off, t))
						add_halves(&s);
				}
}

static void add_all(void)
{
	u64 value, mask;

	for (mask = 0; mask < NUMBERS_OF_WIDTH; mask++)
		for (value = 0; value < NUMBERS_OF_WIDTH; value++) {
			if (!(value & mask))
				add_all_of((struct ebpf_tnum){value, mask});
		}
}

static void add_selected(void)
{
	struct ebpf_scalar s;
	u64 x;

	ebpf_scalar_unknown(&s);
	add_state(&s);
	for (x = 0; x < NUMBERS_OF_WIDTH; x++) {
		ebpf_scalar_const(&s, x);
		add_state(&s);
	}
	while (nstates < SELECTED_STATES) {
		random_parts(&seed, &s);
		add_synced(s);
	}
}

static void make_states(void)
{
	seed = random_seed();
	states = calloc(SLOTS / 2, sizeof(*states));
	members = calloc(SLOTS / 2, sizeof(*members));
	slots = calloc(SLOTS, sizeof(*slots));
	cr_assert(states && members && slots);
	if (EBPF_DOMAIN_BITS <= 4)
		add_all();
	else
		add_selected();
	cr_log_info("%zu states of %u/%u bits, seed %llu", nstates, EBPF_DOMAIN_BITS,
		    EBPF_DOMAIN_HALF, (unsigned long long)seed);
}

static void free_states(void)
{
	free(states);
	free(members);
	free(slots);
}

TestSuite(scalar_small, .init = make_states, .fini = free_states);

/* --- claims --------------------------------------------------------------------------------- */
/* What becomes of each pair of numbers; NONE: it can't happen. */
static u8 result_x[NUMBERS_OF_WIDTH][NUMBERS_OF_WIDTH];
static u8 result_y[NUMBERS_OF_WIDTH][NUMBERS_OF_WIDTH];

static void tabulate(const struct claim *c)
{
	u64 x, y, rx, ry;

	for (x = 0; x < NUMBERS_OF_WIDTH; x++)
		for (y = 0; y < NUMBERS_OF_WIDTH; y++) {
			rx = x;
			ry = y;
			result_x[x][y] = c->is(x, y, &rx, &ry) ? (u8)rx : NONE;
			result_y[x][y] = (u8)ry;
		}
}

/* The sets of numbers that the results must have. */
static void images(u64 in_a, u64 in_b, u64 *of_a, u64 *of_b)
{
	u64 a, b;
	int x, y;

	*of_a = *of_b = 0;
	for (a = in_a; a; a &= a - 1) {
		x = __builtin_ctzll(a);
		for (b = in_b; b; b &= b - 1) {
			y = __builtin_ctzll(b);
			if (result_x[x][y] == NONE)
				continue;
			*of_a |= 1ull << result_x[x][y];
			*of_b |= 1ull << result_y[x][y];
		}
	}
}

static bool has_all(const struct ebpf_scalar *s, u64 set)
{
	for (; set; set &= set - 1) {
		if (!ebpf_scalar_has(s, (u64)__builtin_ctzll(set)))
			return false;
	}
	return true;
}

static void show(const struct ebpf_scalar *s, char *buf, size_t size)
{
	snprintf(buf, size, "{%llx;%llx u %llu..%llu s %lld..%lld u32 %u..%u s32 %d..%d}",
		 (unsigned long long)s->var_off.value, (unsigned long long)s->var_off.mask,
		 (unsigned long long)s->umin, (unsigned long long)s->umax, (long long)s->smin,
		 (long long)s->smax, s->u32_min, s->u32_max, s->s32_min, s->s32_max);
}

static void fails(const struct claim *c, size_t i, size_t j, const struct ebpf_scalar *ra,
		  const struct ebpf_scalar *rb)
{
	char a[160], b[160], sa[160], sb[160];

	show(&states[i], a, sizeof(a));
	show(&states[j], b, sizeof(b));
	show(ra, sa, sizeof(sa));
	show(rb, sb, sizeof(sb));
	cr_assert_fail("%s: %s, %s became %s, %s (seed %llu)", c->name, a, b, sa, sb,
		       (unsigned long long)seed);
}

static void check_pair(const struct claim *c, size_t i, size_t j)
{
	struct ebpf_scalar a = states[i], b = states[j];
	bool lives = c->act(&a, &b);
	u64 of_a, of_b;

	images(members[i], members[j], &of_a, &of_b);
	if (!of_a && !lives)
		return;
	if (!lives || !has_all(&a, of_a) || !has_all(&b, of_b) || !canonical(&a) || !canonical(&b))
		fails(c, i, j, &a, &b);
}

static bool is_step(const struct claim *c)
{
	return !strncmp(c->name, "sync_", 5) || !strncmp(c->name, "predict_", 8);
}

/* What an operation leaves has learned all it can. */
static void check_synced(const struct claim *c, size_t i, size_t j)
{
	struct ebpf_scalar a = states[i], b = states[j], again;

	if (is_step(c) || !c->act(&a, &b))
		return;
	again = a;
	if (!ebpf_scalar_sync(&again) || !ebpf_scalar_equal(&a, &again))
		fails(c, i, j, &a, &again);
}

static void check_unary(const struct claim *c)
{
	size_t i;

	for (i = 0; i < nstates; i++) {
		check_pair(c, i, 0);
		check_synced(c, i, 0);
	}
}

static void check_all_pairs(const struct claim *c)
{
	size_t i, j;

	for (i = 0; i < nstates; i++)
		for (j = 0; j < nstates; j++)
			check_pair(c, i, j);
}

static void check_selected_pairs(const struct claim *c)
{
	size_t i, j, n;

	for (n = 0; n < SELECTED_PAIRS; n++) {
		i = random_next(&seed) % nstates;
		j = random_next(&seed) % nstates;
		check_pair(c, i, j);
		check_synced(c, i, j);
	}
}

/* With very few bits the widths are out of proportion: 2 bytes are more than half. */
static bool applies(const struct claim *c)
{
	return 2 * EBPF_DOMAIN_BYTE <= EBPF_DOMAIN_HALF || !strstr(c->name, "16");
}

static void check_claim(const struct claim *c)
{
	const char *pairs = getenv("DOMAIN_PAIRS");

	tabulate(c);
	if (c->unary)
		check_unary(c);
	else if (EBPF_DOMAIN_BITS < 4 || (pairs && !strcmp(pairs, "all")))
		check_all_pairs(c);
	else
		check_selected_pairs(c);
}

Test(scalar_small, claims_hold)
{
	size_t i, checked = 0;

	for (i = 0; i < ARRAY_SIZE(claims); i++) {
		if (!applies(&claims[i]))
			continue;
		check_claim(&claims[i]);
		checked++;
	}
	cr_log_info("%zu claims of %zu hold", checked, ARRAY_SIZE(claims));
}

/* What is equal is in each other, and only that: states are the same when their parts are. */
Test(scalar_small, inclusion_is_an_order)
{
	size_t i, j, n;
	bool both;

	for (n = 0; n < SELECTED_PAIRS; n++) {
		i = random_next(&seed) % nstates;
		j = random_next(&seed) % nstates;
		both = ebpf_scalar_in(&states[i], &states[j]) &&
		       ebpf_scalar_in(&states[j], &states[i]);
		cr_assert_eq(both, i == j);
		cr_assert(ebpf_scalar_in(&states[i], &states[i]));
	}
}
