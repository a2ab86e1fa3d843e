/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scalars as sets: what is in one, what contains another, joins and meets. Inclusion and equality
 * compare part by part: right whatever the parts say, complete for scalars that were synced.
 */
#include "core/load/scalar_view.h"

void ebpf_scalar_unknown(struct ebpf_scalar *s)
{
	struct ebpf_view full, half;

	view_unknown(&full, BITS);
	view_unknown(&half, HALF);
	set_full(s, &full);
	set_half(s, &half);
}

bool ebpf_scalar_is_const32(const struct ebpf_scalar *s)
{
	return ebpf_tnum_is_const(ebpf_tnum_subreg(s->var_off));
}

bool ebpf_scalar_is_unknown(const struct ebpf_scalar *s)
{
	struct ebpf_scalar any;

	ebpf_scalar_unknown(&any);
	return ebpf_scalar_equal(s, &any);
}

static bool view_has(const struct ebpf_view *v, u64 value, u32 width)
{
	s64 as_signed = sign_extend(value, width);

	return ebpf_tnum_has(v->t, value) && value >= v->umin && value <= v->umax &&
	       as_signed >= v->smin && as_signed <= v->smax;
}

bool ebpf_scalar_has(const struct ebpf_scalar *s, u64 value)
{
	struct ebpf_view full = full_view(s), half = half_view(s);

	return view_has(&full, value, BITS) && view_has(&half, zero_extend(value, HALF), HALF);
}

static struct ebpf_view view_join(const struct ebpf_view *a, const struct ebpf_view *b)
{
	return (struct ebpf_view){ebpf_tnum_join(a->t, b->t), MIN(a->umin, b->umin),
				  MAX(a->umax, b->umax), MIN(a->smin, b->smin),
				  MAX(a->smax, b->smax)};
}

bool ebpf_scalar_join(struct ebpf_scalar *dst, const struct ebpf_scalar *a,
		      const struct ebpf_scalar *b)
{
	struct ebpf_view fa = full_view(a), fb = full_view(b);
	struct ebpf_view ha = half_view(a), hb = half_view(b);
	struct ebpf_view full = view_join(&fa, &fb), half = view_join(&ha, &hb);

	set_full(dst, &full);
	set_half(dst, &half);
	return ebpf_scalar_sync(dst);
}

bool ebpf_scalar_meet(struct ebpf_scalar *dst, const struct ebpf_scalar *a,
		      const struct ebpf_scalar *b)
{
	struct ebpf_view fa = full_view(a), fb = full_view(b);
	struct ebpf_view ha = half_view(a), hb = half_view(b);

	if (!ebpf_view_meet(&fa, &fb) || !ebpf_view_meet(&ha, &hb))
		return false;
	set_full(dst, &fa);
	set_half(dst, &ha);
	return ebpf_scalar_sync(dst);
}
