/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One state includes another: every execution that the inner describes, the outer (stored) one
 * describes too.
 *
 * Model: compared value by value. An id says that values are equal (or NULL together); the outer's
 * claims must hold in the inner, so each id of the outer stands for one id of the inner, and no
 * other does: what is given back is forgotten by its id. References are compared one by one in the
 * order they were taken.
 *
 * Rules: exact, except for scalars (by their sets), what the outer has forgotten, and stack bytes.
 */
#include <string.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"

#define MAX_IDS 192u

struct idmap {
	u32 n;
	struct {
		u32 out, in;
	} id[MAX_IDS];
};

struct compare {
	struct proof_check *c;
	struct idmap map;
	u32 subprog; /* whose stack is compared */
};

bool proof_is_zero(const struct ebpf_vreg *r)
{
	return r->type == VT_SCALAR && ebpf_scalar_is_const(&r->val) && !r->val.umin;
}

bool proof_unmoved(const struct ebpf_vreg *r)
{
	return !r->off && ebpf_scalar_is_const(&r->val) && !r->val.umin;
}

void proof_unlink(struct ebpf_vreg *r)
{
	r->id = 0;
	r->delta = 0;
	r->flags &= (u16)~VREG_DELTA;
}

void proof_narrow(struct ebpf_vreg *r, u32 bytes)
{
	if (bytes < 8 && EBPF_MUTANT(63, r->val.umax >> (8 * bytes), 0))
		proof_unlink(r);
	ebpf_scalar_trunc(&r->val, (u8)bytes);
}

/* --- ids ------------------------------------------------------------------------------------- */

static bool id_maps(struct idmap *m, u32 out, u32 in)
{
	if (!out)
		return true;
	if (!in)
		return false;
	for (u32 i = 0; i < m->n; i++)
		if (m->id[i].out == out || EBPF_MUTANT(88, m->id[i].in == in, false))
			return m->id[i].out == out && m->id[i].in == in;
	if (m->n == MAX_IDS)
		return false;
	m->id[m->n].out = out;
	m->id[m->n++].in = in;
	return true;
}

/* the same reference, or none in both */
static bool ref_maps(struct idmap *m, u32 out, u32 in)
{
	return !out == !in && id_maps(m, out, in);
}

/* --- values ---------------------------------------------------------------------------------- */

static bool link_in(struct compare *cmp, const struct ebpf_vreg *in, const struct ebpf_vreg *out)
{
	if (!out->id)
		return true;
	if ((in->flags ^ out->flags) & VREG_DELTA)
		return false;
	if ((out->flags & VREG_DELTA) && in->delta != out->delta)
		return false;
	return id_maps(&cmp->map, out->id, in->id);
}

static bool scalar_in(struct compare *cmp, const struct ebpf_vreg *in, const struct ebpf_vreg *out)
{
	if (ebpf_vreg_is_ptr(in)) /* its bits may be any number */
		return !out->id && ebpf_scalar_is_unknown(&out->val);
	return in->type == VT_SCALAR && ebpf_scalar_in(&in->val, &out->val) &&
	       link_in(cmp, in, out);
}

/* fixed and variable part of an offset together */
static void offset_of(const struct ebpf_vreg *r, struct ebpf_scalar *sum)
{
	struct ebpf_scalar off;

	*sum = r->val;
	ebpf_scalar_const(&off, (u64)(s64)r->off);
	ebpf_scalar_alu(sum, &off, BPF_ADD, true, false);
}

static bool offset_in(const struct ebpf_vreg *in, const struct ebpf_vreg *out)
{
	struct ebpf_scalar a, b;

	if (in->off == out->off)
		return ebpf_scalar_in(&in->val, &out->val);
	if (in->type == VT_PKT) /* its range counts from the variable part */
		return false;
	offset_of(in, &a);
	offset_of(out, &b);
	return ebpf_scalar_in(&a, &b);
}

static bool pointer_in(struct compare *cmp, const struct ebpf_vreg *in, const struct ebpf_vreg *out)
{
	return in->type == out->type && in->dyn == out->dyn && in->flags == out->flags &&
	       in->obj == out->obj && in->mem_size >= out->mem_size &&
	       (in->type == VT_PKT || in->mem_size == out->mem_size) && offset_in(in, out) &&
	       id_maps(&cmp->map, out->uid, in->uid) && id_maps(&cmp->map, out->id, in->id) &&
	       ref_maps(&cmp->map, out->ref_id, in->ref_id);
}

static bool reg_in(struct compare *cmp, const struct ebpf_vreg *in, const struct ebpf_vreg *out)
{
	switch (out->type) {
	case VT_NONE:
		return true;
	case VT_SCALAR:
		return scalar_in(cmp, in, out);
	default:
		return pointer_in(cmp, in, out);
	}
}

/* --- stack ----------------------------------------------------------------------------------- */

static const struct ebpf_vslot no_slot;

/*
 * A byte that the stored state knows as written, and here it isn't: from now on it counts as
 * something to be zeroed at the function's start, which makes the claim true.
 */
static void written(struct compare *cmp, const struct ebpf_vslot *in, u32 slot, u32 i)
{
	if (in->kind[i] == VB_NONE && EBPF_MUTANT(95, true, false))
		cmp->c->facts->subprog[cmp->subprog].zero |= 1ull << slot;
}

static bool byte_in(struct compare *cmp, const struct ebpf_vslot *in, const struct ebpf_vslot *out,
		    u32 slot, u32 i)
{
	switch (out->kind[i]) {
	case VB_NONE:
		return true;
	case VB_ZERO:
		return in->kind[i] == VB_ZERO ||
		       (in->kind[i] == VB_SPILL && proof_is_zero(&in->spilled));
	case VB_MISC:
		written(cmp, in, slot, i);
		return true;
	default: /* a part of what has to be compared as a whole */
		return EBPF_MUTANT(89, false, in->kind[i] == out->kind[i]);
	}
}

static bool spill_in(struct compare *cmp, const struct ebpf_vslot *in, const struct ebpf_vslot *out,
		     u32 slot)
{
	u32 i, n = ebpf_vslot_spill_size(out);
	struct ebpf_vreg value;

	proof_slot_load(in, n, &value);
	if (!reg_in(cmp, &value, &out->spilled))
		return false;
	for (i = 0; i < n; i++)
		written(cmp, in, slot, i);
	for (i = n; i < 8; i++)
		if (!byte_in(cmp, in, out, slot, i))
			return false;
	return true;
}

/* a dynptr's or iterator's slot: exact */
static bool object_in(struct compare *cmp, const struct ebpf_vslot *in,
		      const struct ebpf_vslot *out)
{
	const struct ebpf_vreg *a = &in->spilled, *b = &out->spilled;

	return !memcmp(in->kind, out->kind, 8) && a->dyn == b->dyn && a->obj == b->obj &&
	       a->uid == b->uid && a->flags == b->flags &&
	       ref_maps(&cmp->map, b->ref_id, a->ref_id);
}

static bool slot_in(struct compare *cmp, const struct ebpf_vslot *in, const struct ebpf_vslot *out,
		    u32 slot)
{
	u32 i;

	switch (out->kind[0]) {
	case VB_SPILL:
		return spill_in(cmp, in, out, slot);
	case VB_DYNPTR:
	case VB_ITER:
		return object_in(cmp, in, out);
	default:
		for (i = 0; i < 8; i++)
			if (!byte_in(cmp, in, out, slot, i))
				return false;
		return true;
	}
}

static bool stack_in(struct compare *cmp, const struct ebpf_vframe *in,
		     const struct ebpf_vframe *out)
{
	for (u32 i = 0; i < out->nslots; i++)
		if (!slot_in(cmp, i < in->nslots ? &in->slots[i] : &no_slot, &out->slots[i], i))
			return false;
	return true;
}

/* --- frames, references ---------------------------------------------------------------------- */

static bool frame_in(struct compare *cmp, const struct ebpf_vframe *in,
		     const struct ebpf_vframe *out)
{
	if (in->callsite != out->callsite || in->subprog != out->subprog ||
	    in->callback != out->callback || in->async != out->async ||
	    in->ret_min != out->ret_min || in->ret_max != out->ret_max ||
	    EBPF_MUTANT(87, in->cb_depth < out->cb_depth, false))
		return false;
	for (u32 i = 0; i < EBPF_VREGS; i++)
		if (!reg_in(cmp, &in->regs[i], &out->regs[i]))
			return false;
	cmp->subprog = in->subprog;
	return stack_in(cmp, in, out);
}

static bool refs_in(struct compare *cmp, const struct ebpf_vstate *in,
		    const struct ebpf_vstate *out)
{
	if (in->nrefs != out->nrefs)
		return false;
	for (u32 i = 0; i < in->nrefs; i++) {
		const struct ebpf_vref *a = &in->refs[i], *b = &out->refs[i];

		if (a->kind != b->kind || a->obj != b->obj || a->frame != b->frame ||
		    !ref_maps(&cmp->map, b->id, a->id) || !ref_maps(&cmp->map, b->uid, a->uid))
			return false;
	}
	return true;
}

bool proof_included(struct proof_check *c, const struct ebpf_vstate *in,
		    const struct ebpf_vstate *stored)
{
	struct compare cmp; /* not all of the map: that would take longer than most comparisons */

	cmp.c = c;
	cmp.map.n = 0;
	if (in->curframe != stored->curframe || !refs_in(&cmp, in, stored))
		return false;
	for (u32 i = 0; i <= in->curframe; i++)
		if (!frame_in(&cmp, in->frame[i], stored->frame[i]))
			return false;
	return true;
}
