/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conditions on scalars: which way they go, and what each way says of the operands.
 *
 * Every condition is one of five, perhaps with its operands exchanged or its outcome inverted:
 * equal, different, below, below or equal (either order), and bits in common.
 */
#include "core/load/scalar_view.h"

#include "core/uapi.h"

static bool possible_equal(const struct ebpf_view *a, const struct ebpf_view *b)
{
	return ebpf_tnum_overlap(a->t, b->t) && a->umin <= b->umax && b->umin <= a->umax &&
	       a->smin <= b->smax && b->smin <= a->smax;
}

static int taken_equal(const struct ebpf_view *a, const struct ebpf_view *b)
{
	if (!possible_equal(a, b))
		return 0;
	if (ebpf_tnum_is_const(a->t) && ebpf_tnum_is_const(b->t))
		return 1;
	return -1;
}

static int taken_below(const struct ebpf_view *a, const struct ebpf_view *b)
{
	return a->umax < b->umin ? 1 : a->umin >= EBPF_MUTANT(16, b->umax, b->umin) ? 0 : -1;
}

static int taken_signed_below(const struct ebpf_view *a, const struct ebpf_view *b)
{
	return a->smax < EBPF_MUTANT(26, b->smin, b->smax) ? 1 : a->smin >= b->smax ? 0 : -1;
}

static int taken_bits(const struct ebpf_view *a, const struct ebpf_view *b)
{
	if (a->t.value & b->t.value)
		return 1;
	return (a->t.value | a->t.mask) & (b->t.value | b->t.mask) ? -1 : 0;
}

static int invert(int taken)
{
	return taken < 0 ? taken : !taken;
}

static int view_taken(const struct ebpf_view *a, const struct ebpf_view *b, u8 op)
{
	switch (op) {
	case BPF_JEQ:
		return taken_equal(a, b);
	case BPF_JNE:
		return invert(taken_equal(a, b));
	case BPF_JLT:
		return taken_below(a, b);
	case BPF_JGT:
		return taken_below(b, a);
	case BPF_JGE:
		return invert(taken_below(a, b));
	case BPF_JLE:
		return invert(taken_below(b, a));
	case BPF_JSLT:
		return taken_signed_below(a, b);
	case BPF_JSGT:
		return taken_signed_below(b, a);
	case BPF_JSGE:
		return invert(taken_signed_below(a, b));
	case BPF_JSLE:
		return invert(taken_signed_below(b, a));
	case BPF_JSET:
		return taken_bits(a, b);
	default:
		return -1;
	}
}

int ebpf_scalar_taken(const struct ebpf_scalar *a, const struct ebpf_scalar *b, u8 op, bool is32)
{
	struct ebpf_view full_a = full_view(a), full_b = full_view(b);
	struct ebpf_view half_a = half_view(a), half_b = half_view(b);

	if (is32)
		return view_taken(&half_a, &half_b, op);
	/* numbers with different low halves differ */
	if ((op == BPF_JEQ || op == BPF_JNE) && !possible_equal(&half_a, &half_b))
		return op == BPF_JNE;
	return view_taken(&full_a, &full_b, op);
}

static bool refine_equal(struct ebpf_view *a, struct ebpf_view *b)
{
	if (!ebpf_view_meet(a, b))
		return false;
	*b = *a;
	return true;
}

/* @a isn't the constant @b: an end of a range that is moves by one. */
static bool refine_not_const(struct ebpf_view *a, const struct ebpf_view *b)
{
	if (b->umin != b->umax)
		return true;
	if (a->umin == a->umax && a->umin == b->umin)
		return false;
	a->umin += a->umin == b->umin;
	a->umax -= a->umax == b->umin;
	return true;
}

static bool refine_not_signed_const(struct ebpf_view *a, const struct ebpf_view *b)
{
	if (b->smin != b->smax)
		return true;
	if (a->smin == a->smax && a->smin == b->smin)
		return false;
	a->smin += a->smin == b->smin;
	a->smax -= a->smax == b->smin;
	return true;
}

static bool refine_different(struct ebpf_view *a, struct ebpf_view *b)
{
	struct ebpf_view was = *a;

	return refine_not_const(a, b) && refine_not_const(b, &was) &&
	       refine_not_signed_const(a, b) && refine_not_signed_const(b, &was);
}

/* a < b, or a <= b; an end that would leave the numbers of @width bits: there is no such pair */
static bool refine_below(struct ebpf_view *a, struct ebpf_view *b, bool or_equal, u32 width)
{
	u64 less = !or_equal;

	if (b->umax < less || a->umin > EBPF_UMAX(width) - less)
		return false;
	a->umax = MIN(a->umax, b->umax - EBPF_MUTANT(17, less, 1));
	b->umin = MAX(b->umin, a->umin + less);
	return a->umin <= a->umax && b->umin <= b->umax;
}

static bool refine_signed_below(struct ebpf_view *a, struct ebpf_view *b, bool or_equal, u32 width)
{
	s64 less = !or_equal;

	if (b->smax < signed_min(width) + less || a->smin > signed_max(width) - less)
		return false;
	a->smax = MIN(a->smax, b->smax - less);
	b->smin = MAX(b->smin, EBPF_MUTANT(18, a->smin, a->smax) + less);
	return a->smin <= a->smax && b->smin <= b->smax;
}

/* a & b isn't 0: when a single bit can be in both, it is in both */
static bool refine_bits(struct ebpf_view *a, struct ebpf_view *b)
{
	u64 common = (a->t.value | a->t.mask) & (b->t.value | b->t.mask);

	if (!common)
		return false;
	if (!IS_POW2(common))
		return true;
	a->t = ebpf_tnum_or(a->t, ebpf_tnum_const(common));
	b->t = ebpf_tnum_or(b->t, ebpf_tnum_const(common));
	return true;
}

/* a & b is 0: a bit that is set in one isn't in the other */
static bool refine_no_bits(struct ebpf_view *a, struct ebpf_view *b)
{
	u64 in_a = a->t.value, in_b = b->t.value;

	if (in_a & in_b)
		return false;
	a->t = ebpf_tnum_and(a->t, ebpf_tnum_const(EBPF_MUTANT(19, ~in_b, ~(in_b | b->t.mask))));
	b->t = ebpf_tnum_and(b->t, ebpf_tnum_const(~in_a));
	return true;
}

bool ebpf_view_refine(struct ebpf_view *a, struct ebpf_view *b, u8 op, bool taken, u32 width)
{
	switch (op) {
	case BPF_JEQ:
	case BPF_JNE:
		return (op == BPF_JEQ) == taken ? refine_equal(a, b) : refine_different(a, b);
	case BPF_JSET:
		return taken ? refine_bits(a, b) : refine_no_bits(a, b);
	case BPF_JLT:
		return taken ? refine_below(a, b, false, width) : refine_below(b, a, true, width);
	case BPF_JGE:
		return taken ? refine_below(b, a, true, width) : refine_below(a, b, false, width);
	case BPF_JLE:
		return taken ? refine_below(a, b, true, width) : refine_below(b, a, false, width);
	case BPF_JGT:
		return taken ? refine_below(b, a, false, width) : refine_below(a, b, true, width);
	case BPF_JSLT:
	case BPF_JSGE:
		if ((op == BPF_JSLT) == taken)
			return refine_signed_below(a, b, false, width);
		return refine_signed_below(b, a, true, width);
	case BPF_JSGT:
	case BPF_JSLE:
		if ((op == BPF_JSGT) == taken)
			return refine_signed_below(b, a, false, width);
		return refine_signed_below(a, b, true, width);
	default:
		return true;
	}
}

static void set_view(struct ebpf_scalar *s, const struct ebpf_view *v, bool is32)
{
	if (is32)
		set_half(s, v);
	else
		set_full(s, v);
}

bool ebpf_scalar_refine(struct ebpf_scalar *a, struct ebpf_scalar *b, u8 op, bool is32, bool taken)
{
	struct ebpf_view va = is32 ? half_view(a) : full_view(a);
	struct ebpf_view vb = is32 ? half_view(b) : full_view(b);
	bool equal = taken ? op == BPF_JEQ : op == BPF_JNE, constant = ebpf_scalar_is_const(b);

	if (!ebpf_view_refine(&va, &vb, op, taken, is32 ? HALF : BITS))
		return false;
	set_view(a, &va, is32);
	set_view(b, &vb, is32);
	if (EBPF_MUTANT(20, equal && !is32, equal)) {
		/* the low halves are equal, too */
		if (!ebpf_scalar_meet(a, a, b))
			return false;
		*b = *a;
		return true;
	}
	return ebpf_scalar_sync(a) && (constant || ebpf_scalar_sync(b));
}
