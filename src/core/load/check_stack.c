/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of a stack: what a store leaves there and what a load gets.
 *
 * Model: bytes are addressed from the frame's top, -1 the highest; slot n covers -8n-8 .. -8n-1. A
 * store whose place is known replaces; one that may go to several places only makes each of them
 * less known. A byte that is read before it is written is remembered, so that the code generator
 * zeroes its slot when the function starts.
 */
#include <errno.h>
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

/* The frame, with slots for all bytes from @lo on; NULL: no memory. That much its function uses. */
static struct ebpf_vframe *down_to(struct proof_check *c, u32 frame, s64 lo)
{
	struct ebpf_vframe *f = c->p->st.frame[frame];
	u32 *stack = &c->facts->subprog[f->subprog].stack, slots = slot_of(lo) + 1;

	*stack = EBPF_MUTANT(131, MAX(*stack, 8 * slots), 0);
	return ebpf_vframe_grow(f, slots) ? NULL : f;
}

void proof_slot_misc(struct ebpf_vslot *s)
{
	for (u32 i = 0; i < 8; i++)
		if (s->kind[i] != VB_NONE)
			s->kind[i] = VB_MISC;
	ebpf_vreg_none(&s->spilled);
}

static bool byte_is_zero(const struct ebpf_vslot *s, u32 i)
{
	return s->kind[i] == VB_ZERO || (s->kind[i] == VB_SPILL && proof_is_zero(&s->spilled));
}

/* What was spilled in the slot is no longer whole. */
static void scrub(struct ebpf_vslot *s)
{
	for (u32 i = 0; i < 8; i++)
		if (s->kind[i] == VB_SPILL)
			s->kind[i] = byte_is_zero(s, i) ? VB_ZERO : VB_MISC;
	ebpf_vreg_none(&s->spilled);
}

/* An object of which a part is overwritten is none any more; its reference can't be given back. */
static void break_objects(struct ebpf_vframe *f, const struct proof_span *span)
{
	for (u32 i = slot_of(span->hi - 1); i <= slot_of(span->lo); i++) {
		struct ebpf_vslot *s = &f->slots[i];
		u32 part = s->spilled.uid;

		if (s->kind[0] != VB_DYNPTR && s->kind[0] != VB_ITER)
			continue;
		proof_slot_misc(s);
		if (part == 1 && i)
			proof_slot_misc(s - 1);
		if (part == 2 && i + 1 < f->nslots)
			proof_slot_misc(s + 1);
	}
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
	scrub(s);
	memset(s->kind, VB_SPILL, size);
	s->spilled = *value;
	if (value->type == VT_SCALAR)
		proof_narrow(&s->spilled, size);
}

static bool zero(const struct ebpf_vreg *value)
{
	return value && proof_is_zero(value);
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
static void blur_bytes(struct ebpf_vframe *f, const struct proof_span *span, bool is_zero)
{
	for (s64 b = span->lo; b < span->hi; b++) {
		struct ebpf_vslot *s = &f->slots[slot_of(b)];
		u8 *kind = &s->kind[index_of(b)];

		if (s->kind[0] == VB_SPILL)
			scrub(s);
		if (*kind != VB_NONE && !(*kind == VB_ZERO && is_zero))
			*kind = EBPF_MUTANT(64, VB_MISC, *kind);
	}
}

int proof_stack_write(struct proof_check *c, u32 frame, const struct proof_span *span,
		      const struct ebpf_vreg *value)
{
	struct ebpf_vframe *f = down_to(c, frame, span->lo);

	if (!f)
		return -ENOMEM;
	break_objects(f, span);
	if (!span->fixed)
		blur_bytes(f, span, zero(value));
	else if (is_spill(span, value))
		spill(&f->slots[slot_of(span->lo)], value, (u32)(span->hi - span->lo));
	else
		write_bytes(f, span, zero(value) ? VB_ZERO : VB_MISC);
	return 0;
}

/* --- loads ----------------------------------------------------------------------------------- */

void proof_slot_load(const struct ebpf_vslot *s, u32 size, struct ebpf_vreg *value)
{
	u32 spilled = ebpf_vslot_spill_size(s), zeroes = 0;

	*value = s->spilled;
	if (spilled == size)
		return;
	if (spilled > size && value->type == VT_SCALAR) {
		proof_narrow(value, size);
		return;
	}
	while (zeroes < size && byte_is_zero(s, zeroes))
		zeroes++;
	if (EBPF_MUTANT(65, zeroes == size, true))
		ebpf_vreg_const(value, 0);
	else
		ebpf_vreg_unknown(value);
}

/* Are all of the bytes 0? */
static bool read_bytes(struct proof_check *c, const struct ebpf_vframe *f,
		       const struct proof_span *span)
{
	bool zero = true;

	for (s64 b = span->lo; b < span->hi; b++) {
		const struct ebpf_vslot *s = &f->slots[slot_of(b)];

		if (s->kind[index_of(b)] == VB_NONE && EBPF_MUTANT(94, true, false))
			c->facts->subprog[f->subprog].zero |= 1ull << slot_of(b);
		zero = zero && byte_is_zero(s, index_of(b));
	}
	return zero;
}

int proof_stack_read(struct proof_check *c, u32 frame, const struct proof_span *span,
		     struct ebpf_vreg *value)
{
	struct ebpf_vframe *f = down_to(c, frame, span->lo);
	bool zero;

	if (!f)
		return -ENOMEM;
	zero = read_bytes(c, f, span);
	if (span->fixed && !index_of(span->lo))
		proof_slot_load(&f->slots[slot_of(span->lo)], (u32)(span->hi - span->lo), value);
	else if (zero)
		ebpf_vreg_const(value, 0);
	else
		ebpf_vreg_unknown(value);
	return 0;
}

int proof_stack_arg(struct proof_check *c, u32 frame, const struct proof_span *span, bool write)
{
	struct ebpf_vframe *f = down_to(c, frame, span->lo);

	if (!f)
		return -ENOMEM;
	read_bytes(c, f, span);
	if (write) {
		break_objects(f, span);
		write_bytes(f, span, VB_MISC);
	}
	return 0;
}
