/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program holds: references, locks, and the objects that live in its stack (dynptrs,
 * iterators).
 *
 * Model: a reference is acquired by one call and given back by one other; everything that needs it
 * is forgotten then. An object in the stack is used only through the address of its first byte, and
 * is destroyed by whoever writes to one of its bytes.
 */
#include <string.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"
#include "core/load/verify_proto.h"

int proof_acquire(struct proof_check *c, const struct ebpf_vref *like, u32 *id)
{
	struct ebpf_vstate *st = &c->p->st;
	struct ebpf_vref ref = *like;

	if (st->nrefs == EBPF_MAX_VREFS)
		return proof_fail(c, "more than %u references", EBPF_MAX_VREFS);
	ref.id = *id = ++c->next_id;
	ref.insn = c->p->pc;
	ref.frame = st->curframe;
	return ebpf_vref_add(st, &ref);
}

static void forget_ref(struct ebpf_vreg *r, void *arg)
{
	if (r->ref_id == *(u32 *)arg)
		proof_unknown(r); /* an address of nothing: a number */
}

/* What needs the reference or dynptr @id is gone. */
void proof_forget(struct proof_check *c, u32 id)
{
	if (id)
		proof_each_reg(&c->p->st, forget_ref, &id);
}

static void forget_packet(struct ebpf_vreg *r, void *arg)
{
	if (r->type == VT_PKT)
		proof_unknown(r);
}

void proof_forget_packets(struct proof_check *c)
{
	proof_each_reg(&c->p->st, forget_packet, NULL);
}

int proof_release(struct proof_check *c, u32 id)
{
	if (!id || EBPF_MUTANT(78, !ebpf_vref_del(&c->p->st, id), false))
		return proof_fail(c, "a reference that isn't held");
	proof_forget(c, id);
	return 0;
}

const struct ebpf_vref *proof_held_lock(const struct proof_check *c)
{
	const struct ebpf_vstate *st = &c->p->st;

	for (u32 i = 0; i < st->nrefs; i++)
		if (st->refs[i].kind == VREF_LOCK)
			return &st->refs[i];
	return NULL;
}

/* --- fields of map values -------------------------------------------------------------------- */

/* R@regno points to the @kind of a map's value. */
int proof_field(struct proof_check *c, u32 regno, u32 kind)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	const struct ebpf_vmap *map;

	if (r->type != VT_MAP_VALUE || (r->flags & VREG_NULL) || !ebpf_scalar_is_const(&r->val) ||
	    r->obj >= c->prog->nmaps || (r->flags & VREG_INNER))
		return proof_fail(c, "R%u points to no such field", regno);
	map = &c->prog->maps[r->obj];
	for (u32 i = 0; i < map->nfields; i++)
		if (map->fields[i].kind == kind && map->fields[i].off == r->off + r->val.umin)
			return 0;
	return proof_fail(c, "R%u points beside the field", regno);
}

/* Two values are told apart by their ids, unless there is only one. */
static bool tells_apart(const struct proof_check *c, const struct ebpf_vreg *r)
{
	const struct ebpf_map_meta *meta = &c->prog->maps[r->obj].meta;

	return r->id || (meta->type == BPF_MAP_TYPE_ARRAY && meta->max_entries == 1);
}

int proof_lock(struct proof_check *c, u32 regno, bool lock)
{
	const struct ebpf_vref *held = proof_held_lock(c);
	const struct ebpf_vreg *r = proof_reg(c, regno);
	struct ebpf_vref ref = {.kind = VREF_LOCK, .obj = r->obj, .uid = r->id};
	int e = proof_field(c, regno, EBPF_FIELD_SPIN_LOCK);
	u32 id;

	if (e)
		return e;
	if (!tells_apart(c, r))
		return proof_fail(c, "it isn't known which value's lock that is");
	if (lock)
		return held ? proof_fail(c, "a second lock") : proof_acquire(c, &ref, &id);
	if (!held || EBPF_MUTANT(79, held->obj != r->obj || held->uid != r->id, false))
		return proof_fail(c, "a lock that isn't held");
	return proof_release(c, held->id);
}

/* --- objects in the stack -------------------------------------------------------------------- */

/* The slot that R@regno's lowest of @n slots is; each below it is one more. */
static int object_slot(struct proof_check *c, u32 regno, u32 n, u32 *frame, u32 *slot)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	s64 at = r->off + r->val.smin;

	if (r->type != VT_STACK || r->obj > c->p->st.curframe || !ebpf_scalar_is_const(&r->val) ||
	    at % 8 || at < -(s64)EBPF_STACK_SIZE || at + 8 * (s64)n > 0)
		return proof_fail(c, "R%u is not the address of an object in the stack", regno);
	*frame = r->obj;
	*slot = (u32)(-at / 8) - 1;
	return 0;
}

static struct ebpf_vslot *slot_at(struct proof_check *c, u32 frame, u32 slot)
{
	struct ebpf_vframe *f = c->p->st.frame[frame];

	return slot < f->nslots ? &f->slots[slot] : NULL;
}

/* Room for a new object of @n slots: what was there is overwritten. */
static int clear(struct proof_check *c, u32 regno, u32 n, u32 *frame, u32 *slot)
{
	struct proof_span span = {.fixed = true};
	int e = object_slot(c, regno, n, frame, slot);

	if (e)
		return e;
	span.lo = -8 * ((s64)*slot + 1);
	span.hi = span.lo + 8 * (s64)n;
	return proof_stack_write(c, *frame, &span, NULL);
}

static void set_slot(struct ebpf_vslot *s, u8 kind, const struct ebpf_vreg *as)
{
	memset(s->kind, kind, sizeof(s->kind));
	s->spilled = *as;
}

int proof_dynptr_new(struct proof_check *c, u32 regno, const struct ebpf_vreg *like)
{
	struct ebpf_vreg as = *like;
	u32 frame, slot;
	int e = clear(c, regno, 2, &frame, &slot);

	if (e)
		return e;
	as.id = ++c->next_id;
	as.uid = 1;
	set_slot(slot_at(c, frame, slot), VB_DYNPTR, &as);
	as.uid = 2;
	set_slot(slot_at(c, frame, slot - 1), VB_DYNPTR, &as);
	return 0;
}

/* The dynptr that R@regno stands for: in a stack, or one that was passed. */
int proof_dynptr(struct proof_check *c, u32 regno, struct ebpf_vreg *out)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	const struct ebpf_vslot *lo, *hi;
	u32 frame, slot;
	int e;

	if (r->type == VT_DYNPTR && !r->off && ebpf_scalar_is_const(&r->val)) {
		*out = *r;
		return 0;
	}
	e = object_slot(c, regno, 2, &frame, &slot);
	if (e)
		return e;
	lo = slot_at(c, frame, slot);
	hi = slot ? slot_at(c, frame, slot - 1) : NULL;
	if (!lo || !hi || lo->kind[0] != VB_DYNPTR || hi->kind[0] != VB_DYNPTR ||
	    EBPF_MUTANT(80, lo->spilled.uid != 1 || lo->spilled.id != hi->spilled.id, false))
		return proof_fail(c, "there is no dynptr");
	*out = lo->spilled;
	return 0;
}

/* A dynptr with reference @ref is given back: it, its clones and their slices are gone. */
int proof_dynptr_release(struct proof_check *c, u32 ref)
{
	struct ebpf_vstate *st = &c->p->st;
	int e = proof_release(c, ref);

	for (u32 i = 0; !e && i <= st->curframe; i++)
		for (u32 k = 0; k < st->frame[i]->nslots; k++) {
			struct ebpf_vslot *s = &st->frame[i]->slots[k];

			if (s->kind[0] != VB_DYNPTR || s->spilled.ref_id != ref)
				continue;
			proof_forget(c, s->spilled.id);
			memset(s->kind, VB_MISC, sizeof(s->kind));
			proof_none(&s->spilled);
		}
	return e;
}

/* --- iterators ------------------------------------------------------------------------------- */

/* slot @i of an iterator of @arg's kind and reference @ref */
static void iter_slot(struct ebpf_vreg *as, u32 arg, u32 i, u32 ref)
{
	proof_none(as);
	as->dyn = (arg & EARG_KIND) == EARG_ITER_BITS ? VITER_BITS : VITER_NUM;
	as->uid = ebpf_proto_iter_slots(arg) > 1 ? i + 1 : 0;
	as->obj = i ? 0 : VITER_ACTIVE;
	as->ref_id = ref;
}

int proof_iter_new(struct proof_check *c, u32 regno, u32 arg)
{
	struct ebpf_vref ref = {.kind = VREF_PTR};
	struct ebpf_vreg as;
	u32 frame, slot, id, n = ebpf_proto_iter_slots(arg);
	int e = clear(c, regno, n, &frame, &slot);

	e = e ? e : proof_acquire(c, &ref, &id);
	if (e)
		return e;
	for (u32 i = 0; i < n; i++) {
		iter_slot(&as, arg, i, id);
		set_slot(slot_at(c, frame, slot - i), VB_ITER, &as);
	}
	/* not the one that may have been there before */
	proof_budget_drop(&c->p->budgets, BUDGET_ITER, frame, slot);
	return 0;
}

/* R@regno is the address of a whole iterator of @arg's kind. */
static int iter(struct proof_check *c, u32 regno, u32 arg, u32 *frame, u32 *slot,
		struct ebpf_vslot **out)
{
	u32 n = ebpf_proto_iter_slots(arg);
	int e = object_slot(c, regno, n, frame, slot);
	struct ebpf_vreg want;

	if (e)
		return e;
	*out = slot_at(c, *frame, *slot);
	for (u32 i = 0; *out && i < n; i++) {
		const struct ebpf_vslot *s = slot_at(c, *frame, *slot - i);

		iter_slot(&want, arg, i, (*out)->spilled.ref_id);
		if (s->kind[0] != VB_ITER || s->spilled.ref_id != want.ref_id ||
		    EBPF_MUTANT(123, s->spilled.dyn != want.dyn || s->spilled.uid != want.uid,
				false))
			*out = NULL;
	}
	return *out ? 0 : proof_fail(c, "there is no such iterator");
}

/* Two ways: an element, on this path; none, on *end. */
int proof_iter_next(struct proof_check *c, u32 regno, u32 arg, struct proof_path **end, u32 *ref)
{
	struct ebpf_vslot *s, *other;
	u32 frame, slot;
	int e = iter(c, regno, arg, &frame, &slot, &s);

	e = e ? e : proof_fork(c, c->p->pc + 1, end);
	if (e)
		return e;
	other = &(*end)->st.frame[frame]->slots[slot];
	other->spilled.obj = VITER_DRAINED;
	*ref = s->spilled.ref_id;
	proof_budget_use(&c->p->budgets, BUDGET_ITER, frame, slot);
	return 0;
}

int proof_iter_destroy(struct proof_check *c, u32 regno, u32 arg)
{
	struct ebpf_vslot *s;
	u32 frame, slot, ref;
	int e = iter(c, regno, arg, &frame, &slot, &s);

	if (e)
		return e;
	ref = s->spilled.ref_id;
	for (u32 i = 0; i < ebpf_proto_iter_slots(arg); i++) {
		s = slot_at(c, frame, slot - i);
		proof_none(&s->spilled);
		memset(s->kind, VB_MISC, sizeof(s->kind));
	}
	proof_budget_drop(&c->p->budgets, BUDGET_ITER, frame, slot);
	return proof_release(c, ref);
}
