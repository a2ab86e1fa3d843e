/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One state includes another: every execution that the inner describes, the outer (stored) one
 * describes too.
 *
 * Model: compared value by value. An id says that values are equal (or NULL together); the outer's
 * claims must hold in the inner, so each id of the outer stands for one id of the inner; if it is a
 * pointer's, no other does: what is given back is forgotten by its id. References are compared one
 * by one in the order they were taken.
 *
 * Rules: exact, except for scalars (by their sets), what the outer has forgotten, and stack bytes.
 */
#include <string.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"

#define MAX_IDS 192u

struct idmap {
	u32 n;
	struct id {
		u32 out, in;
		s64 delta;
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
}

void proof_narrow(struct ebpf_vreg *r, u32 bytes)
{
	if (bytes < 8 && EBPF_MUTANT(63, r->val.umax >> (8 * bytes), 0))
		proof_unlink(r);
	ebpf_scalar_trunc(&r->val, (u8)bytes);
}

/* --- ids ------------------------------------------------------------------------------------- */

/* Inner id @in, plus @delta, is what outer id @out stands for. */
static bool id_maps(struct idmap *m, u32 out, u32 in, s64 delta)
{
	for (u32 i = 0; i < m->n; i++)
		if (m->id[i].out == out)
			return m->id[i].in == in && EBPF_MUTANT(136, m->id[i].delta == delta, true);
	if (!in || EBPF_MUTANT(135, out >= PROOF_FIRST_ID, false) || m->n == MAX_IDS)
		return false;
	m->id[m->n++] = (struct id){out, in, delta};
	return true;
}

/* The same of an id of pointers: no other stands for it. */
static bool ptr_maps(struct idmap *m, u32 out, u32 in)
{
	for (u32 i = 0; out && i < m->n; i++)
		if (EBPF_MUTANT(88, m->id[i].in == in && m->id[i].out != out, false))
			return false;
	return !out || id_maps(m, out, in, 0);
}

/* The same reference, or none in both. */
static bool ref_maps(struct idmap *m, u32 out, u32 in)
{
	return !out == !in && ptr_maps(m, out, in);
}

/* --- values ---------------------------------------------------------------------------------- */

static bool scalar_in(struct compare *cmp, const struct ebpf_vreg *in, const struct ebpf_vreg *out)
{
	if (ebpf_vreg_is_ptr(in)) /* its bits may be any number */
		return !out->id && ebpf_scalar_is_unknown(&out->val);
	return in->type == VT_SCALAR && ebpf_scalar_in(&in->val, &out->val) &&
	       (!out->id || id_maps(&cmp->map, out->id, in->id, (s64)out->delta - in->delta));
}

static bool pointer_in(struct compare *cmp, const struct ebpf_vreg *in, const struct ebpf_vreg *out)
{
	return in->type == out->type && in->dyn == out->dyn && in->flags == out->flags &&
	       in->obj == out->obj && in->mem_size >= out->mem_size &&
	       (in->type == VT_PKT || in->mem_size == out->mem_size) && in->off == out->off &&
	       ebpf_scalar_in(&in->val, &out->val) && ptr_maps(&cmp->map, out->uid, in->uid) &&
	       ptr_maps(&cmp->map, out->id, in->id) && ref_maps(&cmp->map, out->ref_id, in->ref_id);
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

/* a dynptr's or iterator's slot */
static bool object_in(struct compare *cmp, const struct ebpf_vslot *in,
		      const struct ebpf_vslot *out)
{
	const struct ebpf_vreg *a = &in->spilled, *b = &out->spilled;

	return !memcmp(in->kind, out->kind, 8) && (in->kind[0] == VB_DYNPTR || a->dyn == b->dyn) &&
	       a->obj == b->obj && a->uid == b->uid && a->flags == b->flags &&
	       ref_maps(&cmp->map, b->ref_id, a->ref_id);
}

/* Byte @i of the outer slot, which is known, and no part of a spill. */
static bool byte_in(const struct ebpf_vslot *in, const struct ebpf_vslot *out, u32 i)
{
	switch (out->kind[i]) {
	case VB_MISC:
		return true;
	case VB_ZERO:
		return proof_byte_is_zero(in, i);
	default: /* a part of what has to be compared as a whole */
		return EBPF_MUTANT(89, false, in->kind[i] == out->kind[i]);
	}
}

static bool slot_in(struct compare *cmp, const struct ebpf_vslot *in, const struct ebpf_vslot *out,
		    u32 slot)
{
	u32 n = ebpf_vslot_spill_size(out);
	struct ebpf_vreg value;

	if (out->kind[0] > VB_SPILL)
		return object_in(cmp, in, out);
	if (n) {
		proof_slot_load(in, n, &value);
		if (!reg_in(cmp, &value, &out->spilled))
			return false;
	}
	for (u32 i = 0; i < 8; i++) {
		if (out->kind[i] == VB_NONE)
			continue;
		if (i >= n && !byte_in(in, out, i))
			return false;
		/* written there, here not: it is to be zeroed at the function's start, then it is
		 */
		if (in->kind[i] == VB_NONE && EBPF_MUTANT(95, true, false))
			cmp->c->facts->subprog[cmp->subprog].zero |= 1ull << slot;
	}
	return true;
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
