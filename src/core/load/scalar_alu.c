/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arithmetic on scalars.
 *
 * An operator gets a view with what is known of the first operand and replaces it by what is known
 * of the result, every part: a part it says nothing of is set to unknown. The low half of a sum,
 * difference, product, bit operation and left shift is that of its operands' low halves; it is
 * computed as a view of its own in 64-bit instructions, too.
 */
#include "core/load/scalar_view.h"

#include "core/uapi.h"

/* Did a sum or a difference of two numbers of @width bits leave the range of @width bits? */
static bool signed_overflow(s64 first, s64 second, s64 result, u32 width)
{
	return ((first ^ result) & (second ^ result)) >> (width - 1) & 1;
}

static void add_unsigned(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	u64 min = zero_extend(d->umin + s->umin, width),
	    max = zero_extend(d->umax + s->umax, width);
	bool min_wraps = min < s->umin, max_wraps = EBPF_MUTANT(9, max < s->umax, false);

	view_any_unsigned(d, width);
	/* all sums wrap, or none does */
	if (min_wraps == max_wraps) {
		d->umin = min;
		d->umax = max;
	}
}

static void add_signed(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	s64 min = sign_extend((u64)d->smin + (u64)s->smin, width);
	s64 max = sign_extend((u64)d->smax + (u64)s->smax, width);
	bool wraps = signed_overflow(d->smin, s->smin, min, width) ||
		     EBPF_MUTANT(10, signed_overflow(d->smax, s->smax, max, width), false);

	view_any_signed(d, width);
	if (!wraps) {
		d->smin = min;
		d->smax = max;
	}
}

static void view_add(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	d->t = ebpf_tnum_zext(ebpf_tnum_add(d->t, s->t), width);
	add_unsigned(d, s, width);
	add_signed(d, s, width);
}

static void sub_unsigned(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	u64 min = zero_extend(d->umin - s->umax, width),
	    max = zero_extend(d->umax - s->umin, width);
	bool min_wraps = d->umin < s->umax, max_wraps = d->umax < s->umin;

	view_any_unsigned(d, width);
	if (min_wraps == max_wraps) {
		d->umin = min;
		d->umax = max;
	}
}

static void sub_signed(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	s64 min = sign_extend((u64)d->smin - (u64)s->smax, width);
	s64 max = sign_extend((u64)d->smax - (u64)s->smin, width);
	/* d - s = d + ~s + 1, and the sign of ~s is the opposite of that of s */
	bool wraps = signed_overflow(d->smin, ~s->smax, min, width) ||
		     signed_overflow(d->smax, ~s->smin, max, width);

	view_any_signed(d, width);
	if (!wraps) {
		d->smin = min;
		d->smax = max;
	}
}

static void view_sub(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	d->t = ebpf_tnum_zext(ebpf_tnum_sub(d->t, s->t), width);
	sub_unsigned(d, s, width);
	sub_signed(d, s, width);
}

static bool mul_unsigned_fits(u64 a, u64 b, u64 *product, u32 width)
{
	return !__builtin_mul_overflow(a, b, product) && *product <= EBPF_UMAX(width);
}

static bool mul_signed_fits(s64 a, s64 b, s64 *product, u32 width)
{
	return !__builtin_mul_overflow(a, b, product) && *product >= signed_min(width) &&
	       *product <= signed_max(width);
}

static void mul_signed(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	s64 a, b, c, e;
	bool fits = mul_signed_fits(d->smin, s->smin, &a, width) &&
		    mul_signed_fits(d->smin, s->smax, &b, width) &&
		    mul_signed_fits(d->smax, s->smin, &c, width) &&
		    mul_signed_fits(d->smax, s->smax, &e, width);

	view_any_signed(d, width);
	if (fits) {
		d->smin = MIN(MIN(a, b), MIN(c, e));
		d->smax = MAX(MAX(a, b), MAX(c, e));
	}
}

static void view_mul(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	u64 min = d->umin * s->umin, max;
	bool fits = mul_unsigned_fits(d->umax, s->umax, &max, width);

	d->t = ebpf_tnum_zext(ebpf_tnum_mul(d->t, s->t), width);
	view_any_unsigned(d, width);
	if (fits) {
		d->umin = min;
		d->umax = max;
	}
	mul_signed(d, s, width);
}

/* Of the bit operations, the ranges follow from the bits, but for one end each. */
static void view_and(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	d->t = ebpf_tnum_and(d->t, s->t);
	d->umin = 0;
	d->umax = EBPF_MUTANT(11, MIN(d->umax, s->umax), s->umin);
	view_any_signed(d, width);
}

static void view_or(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	d->t = ebpf_tnum_or(d->t, s->t);
	d->umin = MAX(d->umin, s->umin);
	d->umax = EBPF_MUTANT(12, EBPF_UMAX(width), MAX(d->umax, s->umax));
	view_any_signed(d, width);
}

static void view_xor(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	struct ebpf_tnum t = ebpf_tnum_xor(d->t, s->t);

	view_unknown(d, width);
	d->t = t;
}

static void view_lshift(struct ebpf_view *d, u32 shift, u32 width)
{
	u64 umin = zero_extend(d->umin << shift, width),
	    umax = zero_extend(d->umax << shift, width);
	s64 smin = sign_extend((u64)d->smin << shift, width);
	s64 smax = sign_extend((u64)d->smax << shift, width);
	bool ufits = EBPF_MUTANT(13, umax >> shift == d->umax, true);
	bool sfits = smin >> shift == d->smin && smax >> shift == d->smax;

	d->t = ebpf_tnum_lshift(d->t, shift, width);
	view_any_unsigned(d, width);
	view_any_signed(d, width);
	if (ufits) {
		d->umin = umin;
		d->umax = umax;
	}
	if (sfits) {
		d->smin = smin;
		d->smax = smax;
	}
}

static void view_rshift(struct ebpf_view *d, u32 shift, u32 width)
{
	d->t = ebpf_tnum_rshift(d->t, shift, width);
	d->umin >>= shift;
	d->umax >>= shift;
	view_any_signed(d, width);
}

static void view_arshift(struct ebpf_view *d, u32 shift, u32 width)
{
	d->t = ebpf_tnum_arshift(d->t, shift, width);
	d->smin >>= shift;
	d->smax >>= shift;
	view_any_unsigned(d, width);
}

/* A shift is known only when its count is, and is less than the width. */
static void view_shift(struct ebpf_view *d, const struct ebpf_view *s, u8 op, u32 width)
{
	u32 shift = (u32)s->umin;

	if (s->umin != s->umax || s->umin >= width)
		view_unknown(d, width);
	else if (op == BPF_LSH)
		view_lshift(d, shift, width);
	else if (op == BPF_RSH)
		view_rshift(d, shift, width);
	else
		view_arshift(d, shift, width);
}

/* Division by 0 is 0: the only result when the divisor is never anything else. */
static void view_div(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	u64 min = s->umin ? d->umin / s->umax : 0;
	u64 max = s->umax ? d->umax / EBPF_MUTANT(22, MAX(s->umin, 1ull), s->umax) : 0;

	view_unknown(d, width);
	d->umin = min;
	d->umax = max;
}

/* The remainder by a power of two is the low bits. */
static void mod_bits(struct ebpf_view *d, const struct ebpf_view *s)
{
	if (s->umin == s->umax && IS_POW2(s->umin))
		d->t = ebpf_tnum_and(d->t, ebpf_tnum_const(s->umin - 1));
	else if (d->umin == d->umax && s->umin == s->umax)
		d->t = ebpf_tnum_const(d->umin % s->umin);
	else
		d->t = ebpf_tnum_unknown;
}

static void view_mod(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	/* smaller than every divisor, or divided by 0 only: unchanged */
	if (d->umax < s->umin || !s->umax)
		return;
	if (s->umin)
		mod_bits(d, s);
	else
		d->t = ebpf_tnum_unknown;
	d->t = ebpf_tnum_zext(d->t, width);
	d->umin = 0;
	if (s->umin)
		d->umax = MIN(d->umax, s->umax - EBPF_MUTANT(14, 1, 2));
	view_any_signed(d, width);
}

static void view_neg(struct ebpf_view *d, u32 width)
{
	struct ebpf_view value = *d;

	*d = (struct ebpf_view){0};
	view_sub(d, &value, width);
}

/* Signed division and modulo are known for a constant divisor. */
static void view_sdiv(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	s64 by = s->smin, min, max;

	if (s->smin != s->smax) {
		view_unknown(d, width);
		return;
	}
	if (by == -1) { /* wraps for the smallest number */
		view_neg(d, width);
		return;
	}
	min = by ? (by > 0 ? d->smin : d->smax) / by : 0;
	max = by ? (by > 0 ? d->smax : d->smin) / by : 0;
	view_unknown(d, width);
	d->smin = min;
	d->smax = max;
}

/* The sign is that of the dividend; -1 is in no need of a case of its own but for C's overflow. */
static void view_smod(struct ebpf_view *d, const struct ebpf_view *s, u32 width)
{
	s64 by = s->smin, min = d->smin, max = d->smax, most;

	if (s->smin == s->smax && !by)
		return;
	view_unknown(d, width);
	if (s->smin != s->smax)
		return;
	most = by < 0 ? -(by + 1) : by - 1;
	if (min == max) {
		d->smin = d->smax = most ? min % by : 0;
		return;
	}
	d->smin = min < 0 ? MAX(min, -most) : 0;
	d->smax = max > 0 ? MIN(max, most) : 0;
}

static void view_divide(struct ebpf_view *d, const struct ebpf_view *s, u8 op, bool is_signed,
			u32 width)
{
	if (op == BPF_DIV && is_signed)
		view_sdiv(d, s, width);
	else if (op == BPF_DIV)
		view_div(d, s, width);
	else if (is_signed)
		view_smod(d, s, width);
	else
		view_mod(d, s, width);
}

void ebpf_view_alu(struct ebpf_view *d, const struct ebpf_view *s, u8 op, bool is_signed, u32 width)
{
	switch (op) {
	case BPF_ADD:
		return view_add(d, s, width);
	case BPF_SUB:
		return view_sub(d, s, width);
	case BPF_MUL:
		return view_mul(d, s, width);
	case BPF_AND:
		return view_and(d, s, width);
	case BPF_OR:
		return view_or(d, s, width);
	case BPF_XOR:
		return view_xor(d, s, width);
	case BPF_LSH:
	case BPF_RSH:
	case BPF_ARSH:
		return view_shift(d, s, op, width);
	case BPF_DIV:
	case BPF_MOD:
		return view_divide(d, s, op, is_signed, width);
	default:
		view_unknown(d, width);
	}
}

/* In 64-bit instructions: is the result's low half that of the operands' low halves? */
static bool half_is_closed(u8 op, const struct ebpf_view *by)
{
	switch (op) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
		return true;
	default:
		return op == BPF_LSH && by->umax < HALF;
	}
}

/* Shifted by that much to the left, only the low half of a number is left. */
#define UPPER (BITS - HALF)

/*
 * Left by UPPER or more: the ranges of the low half, either order's, become the whole number's by
 * the first UPPER places without any loss.
 */
static void lshift_half(struct ebpf_view *full, const struct ebpf_scalar *value, u32 shift)
{
	full->t = ebpf_tnum_lshift(value->var_off, UPPER, BITS);
	full->umin = (u64)value->u32_min << UPPER;
	full->umax = (u64)value->u32_max << UPPER;
	full->smin = (s64)((u64)value->s32_min << UPPER);
	full->smax = (s64)((u64)value->s32_max << UPPER);
	view_lshift(full, shift - UPPER, BITS);
}

/*
 * Does the low half of the result follow from all of it? Operands below the half's sign bit have
 * the same views at both widths, and what ends up in the half doesn't wrap before.
 */
static bool half_follows(const struct ebpf_scalar *dst, const struct ebpf_scalar *src, u8 op)
{
	if (op == BPF_AND && dst->u32_max == EBPF_UMAX(HALF)) /* a number nobody knows, masked */
		return ebpf_scalar_is_small(src);
	return (op == BPF_ADD || op == BPF_AND || op == BPF_OR || op == BPF_XOR) &&
	       ebpf_scalar_is_small(dst) && ebpf_scalar_is_small(src);
}

static void alu64(struct ebpf_scalar *dst, const struct ebpf_scalar *src, u8 op, bool is_signed)
{
	struct ebpf_view full = full_view(dst), half = half_view(dst);
	struct ebpf_view by = full_view(src), half_by = half_view(src);

	if (half_follows(dst, src, op)) {
		ebpf_view_alu(&full, &by, op, is_signed, BITS);
		ebpf_scalar_unknown(dst);
		set_full(dst, &full);
		return;
	}
	if (op == BPF_LSH && by.umin == by.umax && by.umin >= UPPER && by.umin < BITS)
		lshift_half(&full, dst, (u32)by.umin);
	else
		ebpf_view_alu(&full, &by, op, is_signed, BITS);
	ebpf_view_alu(&half, &half_by, op, is_signed, HALF);
	ebpf_scalar_unknown(dst);
	if (EBPF_MUTANT(21, half_is_closed(op, &by), op != BPF_DIV && op != BPF_MOD)) {
		set_half(dst, &half);
		full.t = ebpf_tnum_with_subreg(full.t, ebpf_tnum_intersect(full.t, half.t));
	}
	set_full(dst, &full);
}

void ebpf_scalar_zext32(struct ebpf_scalar *s)
{
	struct ebpf_view half = half_view(s), full;

	view_unknown(&full, BITS);
	full.t = half.t;
	full.smax = EBPF_MUTANT(15, full.smax, half.smax);
	full.umin = half.umin;
	full.umax = half.umax;
	set_full(s, &full);
	finish(s);
}

static bool is_zero(const struct ebpf_scalar *s)
{
	return ebpf_scalar_is_const(s) && !s->var_off.value;
}

void ebpf_scalar_alu(struct ebpf_scalar *dst, const struct ebpf_scalar *src, u8 op, bool is64,
		     bool is_signed)
{
	struct ebpf_view half = half_view(dst), by = half_view(src);

	if (is64 && op == BPF_ADD && is_zero(dst)) { /* a pointer's offset, the first time */
		*dst = *src;
		return;
	}
	if (is64) {
		alu64(dst, src, op, is_signed);
		finish(dst);
		return;
	}
	ebpf_view_alu(&half, &by, op, is_signed, HALF);
	ebpf_scalar_unknown(dst);
	set_half(dst, &half);
	ebpf_scalar_zext32(dst);
}

void ebpf_scalar_neg(struct ebpf_scalar *s, bool is64)
{
	struct ebpf_scalar value = *s;

	ebpf_scalar_const(s, 0);
	ebpf_scalar_alu(s, &value, BPF_SUB, is64, false);
}
