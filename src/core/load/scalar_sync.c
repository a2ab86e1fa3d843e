/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the parts of a scalar learn from each other. Each step only ever narrows, and none loses a
 * number that satisfies all parts, so they may be taken in any order and any number of times; a few
 * rounds of all of them reach a fixed point, or close to it.
 */
#include "core/load/scalar_view.h"

/* Steps feed each other twice or three times in practice; the bound is for what nobody thought of.
 */
#define ROUNDS 8

/* What of a range lies inside another. False: nothing. */
static bool clip_unsigned(struct ebpf_view *v, u64 min, u64 max)
{
	v->umin = MAX(v->umin, min);
	v->umax = MIN(v->umax, max);
	return v->umin <= v->umax;
}

static bool clip_signed(struct ebpf_view *v, s64 min, s64 max)
{
	v->smin = MAX(v->smin, min);
	v->smax = MIN(v->smax, max);
	return v->smin <= v->smax;
}

static bool clip_tnum(struct ebpf_view *v, struct ebpf_tnum t)
{
	if (!ebpf_tnum_overlap(v->t, t))
		return false;
	v->t = ebpf_tnum_intersect(v->t, t);
	return true;
}

bool ebpf_view_meet(struct ebpf_view *v, const struct ebpf_view *with)
{
	return clip_tnum(v, with->t) && clip_unsigned(v, with->umin, with->umax) &&
	       clip_signed(v, with->smin, with->smax);
}

/*
 * The bits may leave a single number of the range. Where they leave more, the ends of the range
 * stay, be they possible or not: that is what the kernel's log and messages show.
 */
static bool single_from_tnum(struct ebpf_view *v)
{
	u64 first = ebpf_tnum_first(v->t, v->umin);
	u64 last = ebpf_tnum_last(v->t, v->umax);

	if (first < v->umin || last > v->umax || first > last)
		return false;
	return first != last || clip_unsigned(v, first, first);
}

/* Unknown bits all 0 is the smallest, all 1 the largest; the sign bit counts the other way. */
bool ebpf_view_ranges_from_tnum(struct ebpf_view *v, u32 width)
{
	u64 sign = v->t.mask & EBPF_MUTANT(6, 1ull, 2ull) << (width - 1);
	u64 rest = v->t.mask & ~sign;

	return clip_unsigned(v, v->t.value, v->t.value | v->t.mask) &&
	       clip_signed(v, sign_extend(v->t.value | sign, width),
			   sign_extend(v->t.value | rest, width)) &&
	       single_from_tnum(v);
}

/*
 * The signed and the unsigned order agree among numbers without the sign bit, and among those with
 * it. Take what both ranges leave of either part; the ranges are then the hulls of the two.
 */
bool ebpf_view_ranges_from_sign(struct ebpf_view *v, u32 width)
{
	u64 low_min = MAX(v->umin, (u64)MAX(v->smin, 0));
	u64 low_max = MIN(v->umax, v->smax < 0 ? 0 : (u64)v->smax);
	u64 high_min = MAX(v->umin, zero_extend((u64)MIN(v->smin, -1), width));
	u64 high_max = MIN(v->umax, zero_extend((u64)MIN(v->smax, -1), width));
	bool has_low = v->smax >= 0 && low_min <= low_max;
	bool has_high = v->smin < 0 && high_min <= high_max;

	if (!has_low && !has_high)
		return false;
	v->umin = has_low ? low_min : high_min;
	v->umax = has_high ? high_max : low_max;
	v->smin = sign_extend(has_high ? high_min : low_min, width);
	v->smax = sign_extend(has_low ? low_max : high_max, width);
	return true;
}

bool ebpf_view_tnum_from_range(struct ebpf_view *v)
{
	return clip_tnum(v, ebpf_tnum_range(v->umin, EBPF_MUTANT(7, v->umax, v->umax - 1)));
}

/*
 * Numbers from @min up to @max, less than 2^HALF apart: their low halves go from that of @min up to
 * that of @max, perhaps by way of the wrap, which is no gap in one of the two orders.
 */
static bool clip_arc(struct ebpf_view *half, u64 min, u64 max)
{
	u64 low_min = zero_extend(min, HALF), low_max = zero_extend(max, HALF);

	if (zero_extend(max - min, BITS) > EBPF_MUTANT(24, EBPF_UMAX(HALF), EBPF_UMAX(BITS)))
		return true;
	if (low_min <= low_max && !clip_unsigned(half, low_min, low_max))
		return false;
	if (sign_extend(low_min, HALF) > sign_extend(low_max, HALF))
		return true;
	return clip_signed(half, sign_extend(low_min, HALF), sign_extend(low_max, HALF));
}

bool ebpf_scalar_half_from_full(struct ebpf_scalar *s)
{
	struct ebpf_view half = half_view(s);

	if (!clip_arc(&half, s->umin, s->umax) || !clip_arc(&half, (u64)s->smin, (u64)s->smax))
		return false;
	set_half(s, &half);
	return true;
}

/* The first number from @from upwards whose low half is in the range; one that wrapped is smaller.
 */
static u64 first_from(u64 from, u64 low_min, u64 low_max)
{
	u64 low = zero_extend(from, HALF);

	if (low < low_min)
		return from - low + low_min;
	if (low > low_max)
		return from - low + low_min + EBPF_UMAX(HALF) + 1;
	return from;
}

/* The last one from @from downwards; one that wrapped is larger. */
static u64 last_from(u64 from, u64 low_min, u64 low_max)
{
	u64 low = zero_extend(from, HALF);

	if (low > low_max)
		return from - low + low_max;
	if (low < low_min)
		return from - low + low_max - EBPF_UMAX(HALF) - 1;
	return from;
}

static bool full_unsigned_from_half(struct ebpf_view *full, const struct ebpf_scalar *s)
{
	u64 min = zero_extend(first_from(s->umin, s->u32_min, s->u32_max), BITS);
	u64 max = zero_extend(last_from(s->umax, s->u32_min, s->u32_max), BITS);

	if (min < s->umin || max > s->umax)
		return false;
	return clip_unsigned(full, min, max);
}

static bool full_signed_from_half(struct ebpf_view *full, const struct ebpf_scalar *s)
{
	s64 min = sign_extend(first_from((u64)s->smin, s->u32_min, s->u32_max), BITS);
	s64 max = sign_extend(last_from((u64)s->smax, s->u32_min, s->u32_max), BITS);

	if (min < s->smin || max > s->smax)
		return false;
	if (!clip_signed(full, min, max))
		return false;
	/* a number that fits in the signed half is that half */
	if (s->smin < signed_min(HALF) || EBPF_MUTANT(25, s->smax > signed_max(HALF), false))
		return true;
	return clip_signed(full, s->s32_min, s->s32_max);
}

bool ebpf_scalar_full_from_half(struct ebpf_scalar *s)
{
	struct ebpf_view full = full_view(s);

	if (s->u32_min > s->u32_max || s->s32_min > s->s32_max)
		return false;
	if (!full_unsigned_from_half(&full, s) || !full_signed_from_half(&full, s))
		return false;
	set_full(s, &full);
	return true;
}

static bool sync_ranges(struct ebpf_view *v, u32 width)
{
	return ebpf_view_ranges_from_tnum(v, width) && ebpf_view_ranges_from_sign(v, width);
}

static bool sync_round(struct ebpf_scalar *s)
{
	struct ebpf_view full = full_view(s), half = half_view(s);

	if (!sync_ranges(&full, BITS) || !sync_ranges(&half, HALF))
		return false;
	set_full(s, &full);
	set_half(s, &half);
	if (!ebpf_scalar_half_from_full(s) || !ebpf_scalar_full_from_half(s))
		return false;
	full = full_view(s);
	if (!ebpf_view_tnum_from_range(&full))
		return false;
	set_full(s, &full);
	half = half_view(s);
	if (!ebpf_view_tnum_from_range(&half))
		return false;
	set_half(s, &half);
	return true;
}

/* Bits or range leave a single number: it satisfies all parts, or nothing does. */
static bool is_single(const struct ebpf_scalar *s)
{
	return ebpf_tnum_is_const(s->var_off) || s->umin == s->umax;
}

bool ebpf_scalar_single(struct ebpf_scalar *s)
{
	u64 number = ebpf_tnum_is_const(s->var_off) ? s->var_off.value : s->umin;

	if (!ebpf_scalar_has(s, number))
		return false;
	ebpf_scalar_const(s, number);
	return true;
}

/* What is found here is what the rounds below would find. */
bool ebpf_scalar_small(struct ebpf_scalar *s)
{
	struct ebpf_view v = {s->var_off, MAX(s->umin, s->u32_min), MIN(s->umax, s->u32_max),
			      MAX(s->smin, s->s32_min), MIN(s->smax, s->s32_max)};

	v.smin = MAX(v.smin, 0);
	if (v.smin > v.smax || !clip_unsigned(&v, (u64)v.smin, (u64)v.smax) ||
	    !ebpf_view_tnum_from_range(&v) || !clip_unsigned(&v, v.t.value, v.t.value | v.t.mask) ||
	    !single_from_tnum(&v))
		return false;
	s->var_off = v.t; /* its upper half is 0: that of the range is */
	s->umin = v.umin;
	s->umax = v.umax;
	s->smin = (s64)v.umin;
	s->smax = (s64)v.umax;
	s->u32_min = (u32)v.umin;
	s->u32_max = (u32)v.umax;
	s->s32_min = (s32)v.umin;
	s->s32_max = (s32)v.umax;
	return true;
}

/* A round. *settled: another one would change nothing. */
static bool sync_once(struct ebpf_scalar *s, bool *settled)
{
	struct ebpf_scalar before;
	u64 umin = s->umin, umax = s->umax;

	if (ebpf_scalar_is_small(
		    s)) { /* all follows from bits and range, which learned from the range alone */
		if (!ebpf_scalar_small(s))
			return false;
		*settled = s->umin == umin && s->umax == umax;
		return true;
	}
	before = *s;
	if (!sync_round(s))
		return false;
	*settled = ebpf_scalar_equal(&before, s);
	return true;
}

bool ebpf_scalar_sync(struct ebpf_scalar *s)
{
	bool settled = false;
	int i;

	for (i = 0; i < EBPF_MUTANT(8, ROUNDS, 0) && !settled; i++) {
		if (is_single(s))
			return ebpf_scalar_single(s);
		if (!sync_once(s, &settled))
			return false;
	}
	return true;
}
