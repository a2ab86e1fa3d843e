/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program holds: references, sections (a lock's, RCU's), and the objects that live in its
 * stack (dynptrs, iterators).
 *
 * Model: a reference is acquired by one call and given back by one other; everything that needs it
 * is forgotten then: memory, and objects in the stack. An object is used only through the address
 * of its first byte, and is none any more when one of its bytes is written; what it needs stays
 * held.
 */
#include <string.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"
#include "core/load/verify_proto.h"

/* --- references ------------------------------------------------------------------------------ */

int proof_acquire(struct proof_check *c, u32 kind, u32 *id)
{
	struct ebpf_vstate *st = &c->p->st;
	struct ebpf_vref ref = {.kind = kind, .insn = c->p->pc, .frame = st->curframe};

	if (st->nrefs == EBPF_MAX_VREFS)
		return proof_fail(c, "more than %u references", EBPF_MAX_VREFS);
	ref.id = *id = ++c->next_id;
	return ebpf_vref_add(st, &ref);
}

static void forget(struct ebpf_vframe *f, u32 ref)
{
	for (u32 i = 0; i < EBPF_VREGS; i++)
		if (f->regs[i].ref_id == ref)
			ebpf_vreg_unknown(&f->regs[i]); /* an address of nothing: a number */
	for (u32 i = 0; i < f->nslots; i++)
		if (EBPF_MUTANT(96, f->slots[i].spilled.ref_id == ref, false))
			proof_slot_misc(&f->slots[i]);
}

int proof_release(struct proof_check *c, u32 id)
{
	struct ebpf_vstate *st = &c->p->st;

	if (!id || EBPF_MUTANT(78, !ebpf_vref_del(st, id), false))
		return proof_fail(c, "a reference that isn't held");
	for (u32 i = 0; i <= st->curframe; i++)
		forget(st->frame[i], id);
	return 0;
}

static void forget_packet(struct ebpf_vreg *r, void *arg)
{
	if (r->type == VT_PKT)
		ebpf_vreg_unknown(r);
}

void proof_forget_packets(struct proof_check *c)
{
	ebpf_vreg_each(&c->p->st, forget_packet, NULL);
}

/* --- sections -------------------------------------------------------------------------------- */

/* The innermost section of that kind, or NULL. */
static struct ebpf_vref *innermost(const struct proof_check *c, u32 kind)
{
	const struct ebpf_vstate *st = &c->p->st;

	for (u32 i = st->nrefs; i-- > 0;)
		if (st->refs[i].kind == kind)
			return &st->refs[i];
	return NULL;
}

bool proof_locked(const struct proof_check *c)
{
	return innermost(c, VREF_LOCK);
}

int proof_section(struct proof_check *c, u32 kind, bool enter)
{
	const struct ebpf_vref *in = innermost(c, kind);
	u32 id;

	if (enter)
		return proof_acquire(c, kind, &id);
	return in ? proof_release(c, in->id)
		  : proof_fail(c, "the end of a section that wasn't entered");
}

/* Two values are told apart by their ids, unless there is only one. */
static bool tells_apart(const struct proof_check *c, const struct ebpf_vreg *r)
{
	const struct ebpf_map_meta *meta = &c->prog->maps[r->obj].meta;

	return r->id || (meta->type == BPF_MAP_TYPE_ARRAY && meta->max_entries == 1);
}

int proof_lock(struct proof_check *c, u32 regno, bool lock)
{
	struct ebpf_vref *held = innermost(c, VREF_LOCK);
	const struct ebpf_vreg *r = proof_reg(c, regno);
	int e;

	if (!tells_apart(c, r))
		return proof_fail(c, "it isn't known which value's lock that is");
	if (lock && held)
		return proof_fail(c, "a second lock");
	if (!lock && (!held || EBPF_MUTANT(79, held->obj != r->obj || held->uid != r->id, false)))
		return proof_fail(c, "a lock that isn't held");
	e = proof_section(c, VREF_LOCK, lock);
	if (e || !lock)
		return e;
	held = innermost(c, VREF_LOCK);
	held->obj = r->obj;
	held->uid = r->id;
	return 0;
}

/* --- objects in the stack -------------------------------------------------------------------- */

static const struct {
	u8 kind, slots;
	u8 sort; /* of an iterator */
} shape[] = {
	[EARG_DYNPTR] = {VB_DYNPTR, 2, 0},
	[EARG_ITER_NUM] = {VB_ITER, 1, VITER_NUM},
	[EARG_ITER_BITS] = {VB_ITER, 2, VITER_BITS},
};

/* spilled.uid of slot @i, from the first on */
static u32 part(u32 arg, u32 i)
{
	return shape[arg & EARG_KIND].slots > 1 ? i + 1 : 0;
}

/* The slot of the object's lowest bytes, its first; each below it is one more. */
static int place(struct proof_check *c, u32 regno, u32 arg, struct proof_object *o)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	s64 at = r->off + r->val.smin, size = 8 * shape[arg & EARG_KIND].slots;

	if (r->type != VT_STACK || !ebpf_scalar_is_const(&r->val) || at % 8 ||
	    at < -(s64)EBPF_STACK_SIZE || at + size > 0)
		return proof_fail(c, "R%u is not the address of an object in the stack", regno);
	*o = (struct proof_object){.frame = r->obj, .slot = (u32)(-at / 8) - 1};
	return 0;
}

int proof_object_new(struct proof_check *c, u32 regno, u32 arg, const struct ebpf_vreg *like)
{
	struct proof_span span = {.fixed = true};
	struct proof_object o;
	struct ebpf_vslot *s;
	int e = place(c, regno, arg, &o);

	if (e)
		return e;
	span.lo = -8 * ((s64)o.slot + 1);
	span.hi = span.lo + 8 * shape[arg & EARG_KIND].slots;
	e = proof_stack_write(c, o.frame, &span, NULL);
	for (u32 i = 0; !e && i < shape[arg & EARG_KIND].slots; i++) {
		s = &c->p->st.frame[o.frame]->slots[o.slot - i];
		memset(s->kind, shape[arg & EARG_KIND].kind, sizeof(s->kind));
		s->spilled = *like;
		s->spilled.uid = part(arg, i);
		s->spilled.obj = i ? 0 : like->obj;
	}
	return e;
}

/* R@regno is the address of a whole object of @arg's kind. */
int proof_object(struct proof_check *c, u32 regno, u32 arg, struct proof_object *o)
{
	const u32 kind = shape[arg & EARG_KIND].kind, n = shape[arg & EARG_KIND].slots;
	const struct ebpf_vframe *f;
	int e = place(c, regno, arg, o);

	if (e)
		return e;
	f = c->p->st.frame[o->frame];
	if (o->slot >= f->nslots)
		return proof_fail(c, "there is no such object");
	o->first = &f->slots[o->slot].spilled;
	for (u32 i = 0; i < n; i++) {
		const struct ebpf_vslot *s = &f->slots[o->slot - i];

		bool other = s->spilled.uid != part(arg, i) ||
			     (kind == VB_ITER && s->spilled.dyn != shape[arg & EARG_KIND].sort);

		if (s->kind[0] != kind || s->spilled.ref_id != o->first->ref_id ||
		    EBPF_MUTANT(kind == VB_ITER ? 123 : 80, other, false))
			return proof_fail(c, "there is no such object");
	}
	return 0;
}

int proof_dynptr(struct proof_check *c, u32 regno, struct ebpf_vreg *out)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	struct proof_object o = {.first = r};
	int e = r->type == VT_DYNPTR ? 0 : proof_object(c, regno, EARG_DYNPTR, &o);

	if (!e)
		*out = *o.first;
	return e;
}

/* --- iterators ------------------------------------------------------------------------------- */

int proof_iter_new(struct proof_check *c, u32 regno, u32 arg)
{
	struct proof_object o;
	struct ebpf_vreg like;
	int e;

	ebpf_vreg_none(&like);
	like.dyn = shape[arg & EARG_KIND].sort;
	like.obj = VITER_ACTIVE;
	e = proof_acquire(c, VREF_PTR, &like.ref_id);
	e = e ? e : proof_object_new(c, regno, arg, &like);
	e = e ? e : proof_object(c, regno, arg, &o);
	if (!e) /* not the one that may have been there before */
		proof_budget_drop(&c->p->budgets, BUDGET_ITER, o.frame, o.slot);
	return e;
}

/* Two ways: an element, on this path; none, on *end. */
int proof_iter_next(struct proof_check *c, u32 regno, u32 arg, struct proof_path **end, u32 *ref)
{
	struct proof_object o;
	int e = proof_object(c, regno, arg, &o);

	e = e ? e : proof_fork(c, c->p->pc + 1, end);
	if (e)
		return e;
	(*end)->st.frame[o.frame]->slots[o.slot].spilled.obj = VITER_DRAINED;
	*ref = o.first->ref_id;
	proof_budget_use(&c->p->budgets, BUDGET_ITER, o.frame, o.slot);
	return 0;
}

int proof_iter_destroy(struct proof_check *c, u32 regno, u32 arg)
{
	struct proof_object o;
	int e = proof_object(c, regno, arg, &o);

	return e ? e : proof_release(c, o.first->ref_id);
}
