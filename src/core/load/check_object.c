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

u32 proof_acquire(struct proof_check *c, u32 kind)
{
	struct ebpf_vstate *st = &c->p->st;
	struct ebpf_vref ref = {
		.id = ++c->next_id, .kind = kind, .insn = c->p->pc, .frame = st->curframe};

	if (st->nrefs == EBPF_MAX_VREFS)
		proof_fail(c, "more than %u references", EBPF_MAX_VREFS);
	proof_got(c, !ebpf_vref_add(st, &ref));
	return ref.id;
}

static void forget(struct ebpf_vframe *f, u32 ref)
{
	for (u32 i = 0; i < EBPF_VREGS; i++)
		if (f->regs[i].ref_id == ref)
			ebpf_vreg_unknown(&f->regs[i]); /* an address of nothing: a number */
	for (u32 i = 0; i < f->nslots; i++)
		if (EBPF_MUTANT(96, f->slots[i].spilled.ref_id == ref, false))
			proof_slot_break(&f->slots[i]);
}

void proof_release(struct proof_check *c, u32 id)
{
	struct ebpf_vstate *st = &c->p->st;

	proof_need(c, id && EBPF_MUTANT(78, ebpf_vref_del(st, id), true),
		   "a reference that isn't held");
	for (u32 i = 0; i <= st->curframe; i++)
		forget(st->frame[i], id);
}

void proof_forget_packets(struct proof_check *c)
{
	struct ebpf_vreg_iter it = {0};
	struct ebpf_vreg *r;

	while ((r = ebpf_vreg_next(&c->p->st, &it)))
		if (r->type == VT_PKT)
			ebpf_vreg_unknown(r);
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

/* Two values are told apart by their ids, unless there is only one. */
static bool tells_apart(const struct proof_check *c, const struct ebpf_vreg *r)
{
	const struct ebpf_map_meta *meta = &c->prog->maps[r->obj].meta;

	return r->id || (meta->type == BPF_MAP_TYPE_ARRAY && meta->max_entries == 1);
}

static bool is_lock_of(const struct ebpf_vref *held, const struct ebpf_vreg *r)
{
	return EBPF_MUTANT(79, held->obj == r->obj && held->uid == r->id, true);
}

void proof_section(struct proof_check *c, u32 kind, bool enter, const struct ebpf_vreg *r)
{
	struct ebpf_vref *in = innermost(c, kind);
	bool lock = kind == VREF_LOCK;

	proof_need(c, !lock || tells_apart(c, r), "it isn't known which value's lock that is");
	proof_need(c, enter || in, "the end of a section that wasn't entered");
	if (!enter) {
		proof_need(c, !lock || is_lock_of(in, r), "a lock that isn't held");
		return proof_release(c, in->id);
	}
	proof_need(c, !lock || !in, "a second lock");
	proof_acquire(c, kind);
	in = innermost(c, kind);
	in->obj = lock ? r->obj : 0;
	in->uid = lock ? r->id : 0;
}

/* --- objects in the stack -------------------------------------------------------------------- */

static const struct shape {
	u8 kind, slots;
	u8 sort; /* of an iterator */
} shapes[] = {
	[EARG_DYNPTR] = {VB_DYNPTR, 2, 0},
	[EARG_ITER_NUM] = {VB_ITER, 1, VITER_NUM},
	[EARG_ITER_BITS] = {VB_ITER, 2, VITER_BITS},
};

/* The slot of the object's lowest bytes, its first; each below it is one more. */
static struct proof_object place(struct proof_check *c, u32 regno, const struct shape *shape)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	const s64 lo = r->val.smin;

	if (r->type != VT_STACK || !ebpf_scalar_is_const(&r->val) || lo % 8 ||
	    lo < -(s64)EBPF_STACK_SIZE || lo + 8 * shape->slots > 0)
		proof_fail(c, "R%u is not the address of an object in the stack", regno);
	return (struct proof_object){.frame = r->obj, .slot = (u32)(-lo / 8) - 1};
}

/* What tells the parts of an object apart: in slot @i, from the first on. */
static u32 part(const struct shape *shape, u32 i)
{
	return shape->slots > 1 ? i + 1 : 0;
}

void proof_object_new(struct proof_check *c, u32 regno, u32 arg, u32 ref, u32 flags)
{
	const struct shape *shape = &shapes[arg & EARG_KIND];
	const struct proof_object o = place(c, regno, shape);
	const s64 lo = -8 * ((s64)o.slot + 1);
	const struct proof_span span = {lo, lo + 8 * shape->slots, true};
	struct ebpf_vframe *f = c->p->st.frame[o.frame];

	/* else the budget of one would last in the other */
	for (u32 i = o.slot + 1 - shape->slots; shape->kind == VB_ITER && i <= o.slot; i++)
		if (i < f->nslots && f->slots[i].kind[0] == VB_ITER &&
		    EBPF_MUTANT(137, true, false))
			proof_fail(c, "an iterator in the place of another");
	proof_stack_write(c, o.frame, &span, NULL);
	for (u32 i = 0; i < shape->slots; i++) {
		struct ebpf_vslot *s = &f->slots[o.slot - i];

		memset(s->kind, shape->kind, sizeof(s->kind));
		s->spilled.ref_id = ref;
		s->spilled.flags = (u16)flags;
		s->spilled.dyn = shape->sort;
		s->spilled.uid = part(shape, i);
		s->spilled.obj = shape->kind == VB_ITER && !i ? VITER_ACTIVE : 0;
	}
}

struct proof_object proof_object(struct proof_check *c, u32 regno, u32 arg)
{
	const struct shape *shape = &shapes[arg & EARG_KIND];
	const struct ebpf_vreg *r = proof_reg(c, regno);
	const struct ebpf_vframe *f;
	struct proof_object o;

	if (shape->kind == VB_DYNPTR && r->type == VT_DYNPTR && proof_unmoved(r))
		return (struct proof_object){.value = *r};
	o = place(c, regno, shape);
	f = c->p->st.frame[o.frame];
	proof_need(c, o.slot < f->nslots, "there is no such object");
	o.value = f->slots[o.slot].spilled;
	for (u32 i = 0; i < shape->slots; i++) {
		const struct ebpf_vslot *s = &f->slots[o.slot - i];
		const bool same = s->spilled.uid == part(shape, i) &&
				  (shape->kind != VB_ITER || s->spilled.dyn == shape->sort);

		proof_need(c,
			   s->kind[0] == shape->kind && s->spilled.ref_id == o.value.ref_id &&
				   EBPF_MUTANT(shape->kind == VB_ITER ? 123 : 80, same, true),
			   "there is no such object");
	}
	return o;
}
