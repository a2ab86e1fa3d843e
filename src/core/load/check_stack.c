/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of a stack: what a store leaves there and what a load gets.
 *
 * Model: bytes are addressed from the frame's top, -1 the highest; slot n covers -8n-8 .. -8n-1. A
 * store whose place is known replaces; one that may go to several places only makes each of them
 * less known. A byte that is read before it is written is remembered, so that the code generator
 * zeroes its slot when the function starts.
 */
#include <string.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"

static u32 slot_of(s64 byte)
{
	return (u32)(-byte - 1) / 8;
}

static u32 index_of(s64 byte)
{
	return 7 - (u32)(-byte - 1) % 8;
}

/* The stack is the function's own: what it uses counts for its depth. */
static int reach(struct proof_check *c, u32 frame, const struct proof_span *span)
{
	struct ebpf_vframe *f = c->p->st.frame[frame];
	u32 *used = &c->subprog[f->subprog].stack;
	u32 bytes = (slot_of(span->lo) + 1) * 8;

	*used = MAX(*used, bytes);
	return ebpf_vframe_grow(f, bytes / 8);
}

static bool object_slot(const struct ebpf_vslot *s)
{
	return memchr(s->kind, VB_DYNPTR, 8) || memchr(s->kind, VB_ITER, 8) ||
	       memchr(s->kind, VB_IRQ, 8);
}

static void to_misc(struct ebpf_vslot *s)
{
	for (u32 i = 0; i < 8; i++)
		if (s->kind[i] != VB_NONE)
			s->kind[i] = VB_MISC;
	proof_none(&s->spilled);
}

/* What was spilled in the slot is no longer whole. */
static void scrub(struct ebpf_vslot *s)
{
	bool zero = s->kind[0] == VB_SPILL && s->spilled.type == VT_SCALAR &&
		    ebpf_scalar_is_const(&s->spilled.val) && !s->spilled.val.umin;

	for (u32 i = 0; i < 8; i++)
		if (s->kind[i] == VB_SPILL)
			s->kind[i] = zero ? VB_ZERO : VB_MISC;
	proof_none(&s->spilled);
}

/* An object of which a part is overwritten is none any more; a reference to it can't be given back.
 */
static void break_object(struct proof_check *c, struct ebpf_vframe *f, u32 slot)
{
	struct ebpf_vslot *s = &f->slots[slot];
	bool iter = s->kind[0] == VB_ITER;
	u32 part = iter || s->kind[0] == VB_DYNPTR ? s->spilled.uid : 0;

	if (part && !iter)
		proof_forget(c, s->spilled.id); /* its slices */
	for (u32 i = 0; iter && i <= c->p->st.curframe; i++)
		if (c->p->st.frame[i] == f)
			proof_budget_drop(&c->p->budgets, BUDGET_ITER, i, slot + (part == 2));
	to_misc(s);
	if (part == 1 && slot)
		to_misc(&f->slots[slot - 1]);
	if (part == 2 && slot + 1 < f->nslots)
		to_misc(&f->slots[slot + 1]);
}

static void break_slots(struct proof_check *c, struct ebpf_vframe *f, const struct proof_span *span)
{
	for (u32 s = slot_of(span->hi - 1); s <= slot_of(span->lo); s++)
		if (object_slot(&f->slots[s]))
			break_object(c, f, s);
}

static bool is_spill(const struct proof_span *span, const struct ebpf_vreg *value)
{
	s64 size = span->hi - span->lo;

	if (!value || index_of(span->lo) || (size & (size - 1)))
		return false;
	return value->type == VT_SCALAR || (ebpf_vreg_is_ptr(value) && size == 8);
}

static void spill(struct ebpf_vslot *s, const struct ebpf_vreg *value, u32 size)
{
	u32 i;

	scrub(s);
	for (i = 0; i < size; i++)
		s->kind[i] = VB_SPILL;
	s->spilled = *value;
	if (size == 8)
		return;
	if (EBPF_MUTANT(63, value->val.umax >> (8 * size), 0)) {
		s->spilled.id = 0;
		s->spilled.flags &= (u16)~VREG_DELTA;
	}
	ebpf_scalar_trunc(&s->spilled.val, (u8)size);
}

static bool is_zero(const struct ebpf_vreg *value)
{
	return value && value->type == VT_SCALAR && ebpf_scalar_is_const(&value->val) &&
	       !value->val.umin;
}

static void write_bytes(struct ebpf_vframe *f, const struct proof_span *span, u8 kind)
{
	for (s64 b = span->lo; b < span->hi; b++) {
		struct ebpf_vslot *s = &f->slots[slot_of(b)];

		if (s->kind[0] == VB_SPILL)
			scrub(s);
		s->kind[index_of(b)] = kind;
	}
}

/* Each byte may have been written or not. */
static void blur_bytes(struct ebpf_vframe *f, const struct proof_span *span, bool zero)
{
	for (s64 b = span->lo; b < span->hi; b++) {
		struct ebpf_vslot *s = &f->slots[slot_of(b)];
		u8 *kind = &s->kind[index_of(b)];

		if (s->kind[0] == VB_SPILL)
			scrub(s);
		if (*kind != VB_NONE && !(*kind == VB_ZERO && zero))
			*kind = EBPF_MUTANT(64, VB_MISC, *kind);
	}
}

int proof_stack_write(struct proof_check *c, u32 frame, const struct proof_span *span,
		      const struct ebpf_vreg *value)
{
	struct ebpf_vframe *f = c->p->st.frame[frame];
	int r = reach(c, frame, span);

	if (r)
		return r;
	break_slots(c, f, span);
	if (!span->fixed)
		blur_bytes(f, span, is_zero(value));
	else if (is_spill(span, value))
		spill(&f->slots[slot_of(span->lo)], value, (u32)(span->hi - span->lo));
	else
		write_bytes(f, span, is_zero(value) ? VB_ZERO : VB_MISC);
	return 0;
}

/* --- loads ----------------------------------------------------------------------------------- */

static bool byte_is_zero(const struct ebpf_vslot *s, u32 i)
{
	return s->kind[i] == VB_ZERO || (s->kind[i] == VB_SPILL && is_zero(&s->spilled));
}

static bool read_bytes(struct proof_check *c, struct ebpf_vframe *f, const struct proof_span *span)
{
	bool zero = true;

	for (s64 b = span->lo; b < span->hi; b++) {
		u32 slot = slot_of(b);
		const struct ebpf_vslot *s = &f->slots[slot];

		if (s->kind[index_of(b)] == VB_NONE)
			c->facts->subprog[f->subprog].zero |= 1ull << slot;
		zero = zero && byte_is_zero(s, index_of(b));
	}
	return zero;
}

/* The low bytes of a spilled number are known too. */
static bool fill(const struct ebpf_vslot *s, u32 size, struct ebpf_vreg *value)
{
	u32 spilled = ebpf_vslot_spill_size(s);

	if (spilled < size || (spilled != size && s->spilled.type != VT_SCALAR))
		return false;
	*value = s->spilled;
	if (spilled == size)
		return true;
	if (value->val.umax >> (8 * size)) {
		value->id = 0;
		value->flags &= (u16)~VREG_DELTA;
	}
	ebpf_scalar_trunc(&value->val, (u8)size);
	return true;
}

int proof_stack_read(struct proof_check *c, u32 frame, const struct proof_span *span,
		     struct ebpf_vreg *value)
{
	struct ebpf_vframe *f = c->p->st.frame[frame];
	int r = reach(c, frame, span);
	bool zero;

	if (r)
		return r;
	if (span->fixed && !index_of(span->lo) &&
	    fill(&f->slots[slot_of(span->lo)], (u32)(span->hi - span->lo), value))
		return 0;
	zero = read_bytes(c, f, span);
	proof_unknown(value);
	if (EBPF_MUTANT(65, zero, true))
		ebpf_scalar_const(&value->val, 0);
	return 0;
}

int proof_stack_arg(struct proof_check *c, u32 frame, const struct proof_span *span, bool write)
{
	struct ebpf_vframe *f = c->p->st.frame[frame];
	int r = reach(c, frame, span);

	if (r)
		return r;
	read_bytes(c, f, span);
	if (!write)
		return 0;
	break_slots(c, f, span);
	write_bytes(f, span, VB_MISC);
	return 0;
}
