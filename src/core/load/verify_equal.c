/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is a state included in one that was remembered? Then every path from it is among those that were,
 * or are being, walked from there.
 *
 * Model: value by value. Ids mean nothing across states, so they are matched one to one: what was
 * known to be linked in the remembered state must be linked in the other. A dead register or slot
 * includes everything. A number includes another when its ranges do, or, once all paths from the
 * remembered state have ended, when it turned out not to matter.
 */
#include <string.h>

#include "base/macros.h"
#include "core/load/mutant.h"
#include "core/load/verify_node.h"

#define MAX_PAIRS 1024

struct compare {
	enum verify_level level;
	u32 differs; /* register that was not included */
	u32 npairs;
	struct {
		u32 old, cur;
	} pair[MAX_PAIRS];
};

static bool same_id(struct compare *c, u32 old, u32 cur)
{
	u32 i;

	for (i = 0; i < c->npairs; i++) {
		if (c->pair[i].old == old)
			return EBPF_MUTANT(106, c->pair[i].cur == cur, true);
		if (c->pair[i].cur == cur)
			return false;
	}
	if (c->npairs == MAX_PAIRS)
		return false;
	c->pair[c->npairs].old = old;
	c->pair[c->npairs++].cur = cur;
	return true;
}

/* what must be there in both or in none */
static bool ids_match(struct compare *c, u32 old, u32 cur)
{
	return !old == !cur && (!old || same_id(c, old, cur));
}

/* a link that only the remembered state needs */
static bool link_included(struct compare *c, u32 old, u32 cur)
{
	if (!old && c->level != VERIFY_EXACT)
		return true;
	return ids_match(c, old, cur);
}

#define FLAGS(reg) ((reg)->flags & ~VREG_PRECISE)

static bool same_kind(const struct ebpf_vreg *a, const struct ebpf_vreg *b)
{
	return a->type == b->type && FLAGS(a) == FLAGS(b) && a->dyn == b->dyn && a->obj == b->obj;
}

static bool value_included(const struct compare *c, const struct ebpf_scalar *old,
			   const struct ebpf_scalar *cur)
{
	if (c->level == VERIFY_EXACT)
		return ebpf_scalar_equal(old, cur);
	return EBPF_MUTANT(107, ebpf_scalar_in(cur, old), true);
}

static bool number_included(struct compare *c, const struct ebpf_vreg *old,
			    const struct ebpf_vreg *cur, bool matters)
{
	if (cur->type != VT_SCALAR)
		return false;
	if (c->level == VERIFY_MATTERS && !matters)
		return true;
	if (!value_included(c, &old->val, &cur->val))
		return false;
	if (c->level != VERIFY_EXACT && (!old->id || ((old->flags & VREG_LONE) && !cur->id)))
		return true;
	return (old->flags & VREG_DELTA) == (cur->flags & VREG_DELTA) &&
	       (!(old->flags & VREG_DELTA) || old->delta == cur->delta) &&
	       ids_match(c, old->id, cur->id);
}

static bool pointer_included(struct compare *c, const struct ebpf_vreg *old,
			     const struct ebpf_vreg *cur)
{
	if (!same_kind(old, cur) || EBPF_MUTANT(110, old->off != cur->off, false))
		return false;
	if (old->type == VT_PKT ? old->mem_size > cur->mem_size : old->mem_size != cur->mem_size)
		return false;
	return value_included(c, &old->val, &cur->val) && link_included(c, old->id, cur->id) &&
	       ids_match(c, old->uid, cur->uid) && ids_match(c, old->ref_id, cur->ref_id);
}

static bool reg_included(struct compare *c, const struct ebpf_vreg *old,
			 const struct ebpf_vreg *cur, bool matters)
{
	if (old->type == VT_NONE)
		return true;
	if (old->type == VT_SCALAR)
		return number_included(c, old, cur, matters);
	return pointer_included(c, old, cur);
}

/* --- stack ----------------------------------------------------------------------------------- */

static bool is_object(u8 kind)
{
	return kind == VB_DYNPTR || kind == VB_ITER || kind == VB_IRQ;
}

static bool object_included(struct compare *c, const struct ebpf_vslot *old,
			    const struct ebpf_vslot *cur)
{
	const struct ebpf_vreg *a = &old->spilled, *b = &cur->spilled;

	if (old->kind[0] != cur->kind[0] || a->obj != b->obj || a->dyn != b->dyn ||
	    a->uid != b->uid || FLAGS(a) != FLAGS(b))
		return false;
	return ids_match(c, a->id, b->id) && ids_match(c, a->ref_id, b->ref_id);
}

/* the eight bytes read as a number: what could be anything reads as any number */
static const struct ebpf_vreg *as_number(const struct ebpf_vslot *slot,
					 const struct ebpf_vreg *unknown)
{
	u32 i;

	if (ebpf_vslot_spill_size(slot) == 8)
		return slot->spilled.type == VT_SCALAR ? &slot->spilled : NULL;
	for (i = 0; i < 8; i++)
		if (slot->kind[i] != VB_MISC && slot->kind[i] != VB_NONE)
			return NULL;
	return unknown;
}

/* Something includes every byte that isn't an object's: a part of a pointer, too. */
static bool byte_included(const struct compare *c, u8 old, u8 cur)
{
	if (old == VB_NONE)
		return true;
	if (old == VB_MISC)
		return cur == VB_NONE || cur == VB_MISC || cur == VB_ZERO ||
		       (cur == VB_SPILL && c->level != VERIFY_EXACT);
	return EBPF_MUTANT(108, old == cur, true);
}

static bool slot_included(struct compare *c, const struct ebpf_vslot *old,
			  const struct ebpf_vslot *cur, bool matters)
{
	struct ebpf_vreg unknown;
	const struct ebpf_vreg *a, *b;
	u32 i, n;

	if (is_object(old->kind[0]))
		return object_included(c, old, cur);
	verify_reg_unknown(NULL, &unknown);
	a = as_number(old, &unknown);
	b = as_number(cur, &unknown);
	if (a && b && c->level != VERIFY_EXACT)
		return number_included(c, a, b, matters || a == &unknown);
	n = ebpf_vslot_spill_size(old);
	for (i = 0; i < 8; i++)
		if (!byte_included(c, old->kind[i], cur->kind[i]))
			return false;
	if (n && n != ebpf_vslot_spill_size(cur))
		return false;
	return !n || reg_included(c, &old->spilled, &cur->spilled, matters);
}

static bool stack_included(struct compare *c, const struct ebpf_vframe *old,
			   const struct ebpf_vframe *cur, const struct verify_marks *mark)
{
	static const struct ebpf_vslot none;
	u32 i;

	for (i = 0; i < old->nslots; i++) {
		const struct ebpf_vslot *s = i < cur->nslots ? &cur->slots[i] : &none;

		if (c->level == VERIFY_MATTERS && !(mark->read >> i & 1) &&
		    !is_object(old->slots[i].kind[0]))
			continue;
		if (!slot_included(c, &old->slots[i], s, mark->slots >> i & 1))
			return false;
	}
	return true;
}

/* --- frames, references ---------------------------------------------------------------------- */

static bool frame_included(struct compare *c, const struct ebpf_vframe *old,
			   const struct ebpf_vframe *cur, const struct verify_marks *mark)
{
	u32 i;

	if (old->callsite != cur->callsite || old->subprog != cur->subprog ||
	    old->callback != cur->callback || old->async != cur->async ||
	    old->ret_min != cur->ret_min || old->ret_max != cur->ret_max ||
	    old->cb_depth > cur->cb_depth)
		return false;
	for (i = 0; i < EBPF_VREGS; i++)
		if (old->regs[i].type != VT_NONE &&
		    !reg_included(c, &old->regs[i], &cur->regs[i], mark->regs >> i & 1)) {
			c->differs = i;
			return false;
		}
	return stack_included(c, old, cur, mark);
}

static bool refs_included(struct compare *c, const struct ebpf_vstate *old,
			  const struct ebpf_vstate *cur)
{
	u32 i;

	if (EBPF_MUTANT(109, old->nrefs != cur->nrefs, old->nrefs > cur->nrefs))
		return false;
	for (i = 0; i < old->nrefs; i++) {
		const struct ebpf_vref *a = &old->refs[i], *b = &cur->refs[i];

		if (a->kind != b->kind || a->obj != b->obj || a->frame != b->frame ||
		    !ids_match(c, a->id, b->id) || !ids_match(c, a->uid, b->uid))
			return false;
	}
	return true;
}

/* The states of a loop's turns differ in its counter: that register first. */
static bool differs_again(struct compare *c, const struct verify_node *old,
			  const struct ebpf_vstate *cur, u32 regno)
{
	bool matters = old->mark[cur->curframe].regs >> regno & 1;

	return !reg_included(c, ebpf_vreg(&old->state, regno), ebpf_vreg(cur, regno), matters);
}

bool verify_included(struct verify *v, const struct verify_node *old, const struct ebpf_vstate *cur,
		     enum verify_level level)
{
	u8 *differs = &v->insn[old->insn].differs;
	struct compare c;
	u32 i;

	if (old->state.curframe != cur->curframe)
		return false;
	c.level = level;
	c.npairs = 0;
	if (differs_again(&c, old, cur, *differs))
		return false;
	c.differs = *differs;
	c.npairs = 0;
	if (!refs_included(&c, &old->state, cur))
		return false;
	for (i = 0; i <= cur->curframe; i++)
		if (!frame_included(&c, old->state.frame[i], cur->frame[i], &old->mark[i])) {
			*differs = (u8)c.differs;
			return false;
		}
	return true;
}
