/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The claims, for a solver: each as a function that returns true whatever it is given. prove.py has
 * clang translate this file, with the domain's own sources in it, and shows of every function
 * prove_*() that there is nothing to give it that makes it return false.
 *
 * What is proved once is then used, so that the pieces stay small:
 *	ebpf_scalar_sync()	narrows, and loses no number (its steps are proved); the weakest thing
 *				it may do is nothing, which is what it does here, always at the end
 *	ebpf_tnum_mul()		any tnum that has the product (its step is proved, by induction)
 */
#include "core/load/tnum.c"
#undef make
#include "core/load/scalar.h"

/* Any number; a new one at each call. */
u64 prove_any(void);
/* Only what makes this true is considered. */
void prove_assume(bool condition);

static inline bool sync_contract(struct ebpf_scalar *s)
{
	return true;
}

/* the numbers of the claim at hand */
static u64 number_x, number_y;

static inline struct ebpf_tnum mul_contract(struct ebpf_tnum a, struct ebpf_tnum b)
{
	struct ebpf_tnum t = {prove_any(), prove_any()};

	prove_assume(!ebpf_tnum_has(a, number_x) || !ebpf_tnum_has(b, number_y) ||
		     ebpf_tnum_has(t, number_x * number_y));
	prove_assume(!ebpf_tnum_has(a, (u32)number_x) || !ebpf_tnum_has(b, (u32)number_y) ||
		     ebpf_tnum_has(t, (u64)(u32)number_x * (u32)number_y));
	return t;
}

#define ebpf_scalar_sync sync_contract
#define ebpf_tnum_mul mul_contract
#include "core/load/scalar_view.h"
#include "core/load/scalar.c"
#include "core/load/scalar_alu.c"
#include "core/load/scalar_cast.c"
#include "core/load/scalar_jmp.c"
#include "tests/prove/claims.h"
#undef ebpf_scalar_sync
#undef ebpf_tnum_mul
#include "core/load/scalar_sync.c"

/*
 * What has to be shown is split, because all of it at once is too much for a solver: @part is each of
 * 0 to 10 in turn: five parts of the first operand's result, of the second's, and that the path
 * lives.
 */
static inline bool has_part(const struct ebpf_scalar *s, u64 x, u32 part)
{
	switch (part) {
	case 0:
		return ebpf_tnum_has(s->var_off, x);
	case 1:
		return s->umin <= x && x <= s->umax;
	case 2:
		return s->smin <= (s64)x && (s64)x <= s->smax;
	case 3:
		return s->u32_min <= (u32)x && (u32)x <= s->u32_max;
	default:
		return s->s32_min <= (s32)x && (s32)x <= s->s32_max;
	}
}

/* The parts are all there is to it. */
bool prove_parts(const struct ebpf_scalar *s, u64 x);
bool prove_parts(const struct ebpf_scalar *s, u64 x)
{
	bool all = has_part(s, x, 0) && has_part(s, x, 1) && has_part(s, x, 2) &&
		   has_part(s, x, 3) && has_part(s, x, 4);

	return all == ebpf_scalar_has(s, x);
}

#define PROVE(name)                                                                                \
	bool prove_##name(const struct ebpf_scalar *pa, const struct ebpf_scalar *pb, u64 x,       \
			  u64 y, u32 part);                                                        \
	bool prove_##name(const struct ebpf_scalar *pa, const struct ebpf_scalar *pb, u64 x,       \
			  u64 y, u32 part)                                                         \
	{                                                                                          \
		struct ebpf_scalar a = *pa, b = *pb;                                               \
		u64 rx = x, ry = y;                                                                \
		bool lives;                                                                        \
                                                                                                   \
		number_x = x;                                                                      \
		number_y = y;                                                                      \
		prove_assume(ebpf_scalar_has(&a, x) && ebpf_scalar_has(&b, y));                    \
		prove_assume(name##_is(x, y, &rx, &ry));                                           \
		lives = name##_do(&a, &b);                                                         \
		if (part == 10)                                                                    \
			return lives;                                                              \
		if (part >= 5)                                                                     \
			return !lives || has_part(&b, ry, part - 5);                               \
		return !lives || has_part(&a, rx, part);                                           \
	}
ALU_NAMES(PROVE)
UNARY_NAMES(PROVE)
JMP_NAMES(PROVE)
SET_NAMES(PROVE)
STEP_NAMES(PROVE)

/* --- multiplication of tnums, by induction over the factor's bits --------------------------- */
/*
 * Invariant: with numbers s of sum, f of factor and t of term, s + f * t is the product. A step
 * keeps the numbers in the tnums, and (arithmetic alone) the invariant.
 */
struct mul_state {
	struct ebpf_tnum sum, factor, term;
};

bool prove_tnum_mul_step(const struct mul_state *m, u64 s, u64 f, u64 t);
bool prove_tnum_mul_step(const struct mul_state *m, u64 s, u64 f, u64 t)
{
	struct ebpf_tnum sum = mul_step(m->sum, m->factor, m->term);
	struct ebpf_tnum factor = ebpf_tnum_rshift(m->factor, 1, BITS);
	struct ebpf_tnum term = ebpf_tnum_lshift(m->term, 1, BITS);

	prove_assume(ebpf_tnum_has(m->sum, s) && ebpf_tnum_has(m->factor, f) &&
		     ebpf_tnum_has(m->term, t));
	return ebpf_tnum_has(sum, s + (f & 1 ? t : 0)) && ebpf_tnum_has(factor, f >> 1) &&
	       ebpf_tnum_has(term, t << 1);
}

/* The loop ends when no number is left in the factor but 0. */
bool prove_tnum_mul_end(const struct mul_state *m, u64 f);
bool prove_tnum_mul_end(const struct mul_state *m, u64 f)
{
	prove_assume(!highest(m->factor) && ebpf_tnum_has(m->factor, f));
	return !f;
}

/* --- a planted bug, which must be refuted --------------------------------------------------- */
/* The sum of two ranges without a look at whether it wraps. */
bool refute_add_without_overflow(const struct ebpf_view *a, const struct ebpf_view *b, u64 x, u64 y);
bool refute_add_without_overflow(const struct ebpf_view *a, const struct ebpf_view *b, u64 x, u64 y)
{
	prove_assume(x >= a->umin && x <= a->umax && y >= b->umin && y <= b->umax);
	return x + y >= a->umin + b->umin && x + y <= a->umax + b->umax;
}
