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

/* The frame, with slots for all of the bytes. That much its function uses. */
static struct ebpf_vframe *frame_of(struct proof_check *c, u32 frame, const struct proof_span *span)
{
	struct ebpf_vframe *f = c->p->st.frame[frame];
	u32 *stack = &c->facts->subprog[f->subprog].stack, slots = slot_of(span->lo) + 1;

	*stack = EBPF_MUTANT(131, MAX(*stack, 8 * slots), 0);
	proof_got(c, !ebpf_vframe_grow(f, slots));
	return f;
}

bool proof_byte_is_zero(const struct ebpf_vslot *s, u32 i)
{
	return s->kind[i] == VB_ZERO || (s->kind[i] == VB_SPILL && proof_is_zero(&s->spilled));
}

/* --- stores ---------------------------------------------------------------------------------- */

void proof_slot_break(struct ebpf_vslot *s)
{
	for (u32 i = 0; i < 8; i++)
		if (s->kind[i] >= VB_SPILL)
			s->kind[i] = proof_byte_is_zero(s, i) ? VB_ZERO : VB_MISC;
	ebpf_vreg_none(&s->spilled);
}

static bool is_spill(const struct proof_span *span, const struct ebpf_vreg *value)
{
	s64 size = span->hi - span->lo;

	if (!span->fixed || !value || index_of(span->lo) || (size & (size - 1)))
		return false;
	return value->type == VT_SCALAR || (ebpf_vreg_is_ptr(value) && size == 8);
}

static void spill(struct ebpf_vslot *s, const struct ebpf_vreg *value, u32 size)
{
	proof_slot_break(s);
	memset(s->kind, VB_SPILL, size);
	s->spilled = *value;
	if (value->type == VT_SCALAR)
		proof_narrow(&s->spilled, size);
}

void proof_stack_write(struct proof_check *c, u32 frame, const struct proof_span *span,
		       const struct ebpf_vreg *value)
{
	struct ebpf_vframe *f = frame_of(c, frame, span);
	u8 new = value &&proof_is_zero(value) ? VB_ZERO : VB_MISC;

	if (is_spill(span, value))
		return spill(&f->slots[slot_of(span->lo)], value, (u32)(span->hi - span->lo));
	for (s64 b = span->lo; b < span->hi; b++) {
		struct ebpf_vslot *s = &f->slots[slot_of(b)];
		u8 *kind = &s->kind[index_of(b)];

		if (s->kind[0] >= VB_SPILL)
			proof_slot_break(s);
		if (span->fixed)
			*kind = new;
		else if (*kind != VB_NONE && *kind != new) /* it may have been written or not */
			*kind = EBPF_MUTANT(64, VB_MISC, *kind);
	}
}

/* --- loads ----------------------------------------------------------------------------------- */

void proof_slot_load(const struct ebpf_vslot *s, u32 size, struct ebpf_vreg *value)
{
	u32 spilled = ebpf_vslot_spill_size(s), zeroes = 0;

	*value = s->spilled;
	if (spilled == size)
		return;
	if (spilled > size && value->type == VT_SCALAR)
		return proof_narrow(value, size);
	while (zeroes < size && proof_byte_is_zero(s, zeroes))
		zeroes++;
	ebpf_vreg_unknown(value);
	if (EBPF_MUTANT(65, zeroes == size, true))
		ebpf_vreg_const(value, 0);
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
		zero = zero && proof_byte_is_zero(s, index_of(b));
	}
	return zero;
}

void proof_stack_read(struct proof_check *c, u32 frame, const struct proof_span *span,
		      struct ebpf_vreg *value)
{
	const struct ebpf_vframe *f = frame_of(c, frame, span);
	bool zero = read_bytes(c, f, span);

	ebpf_vreg_unknown(value);
	if (span->fixed && !index_of(span->lo))
		proof_slot_load(&f->slots[slot_of(span->lo)], (u32)(span->hi - span->lo), value);
	else if (zero)
		ebpf_vreg_const(value, 0);
}

void proof_stack_arg(struct proof_check *c, u32 frame, const struct proof_span *span, bool write)
{
	const struct proof_span all = {span->lo, span->hi, true};

	read_bytes(c, frame_of(c, frame, span), span);
	if (write)
		proof_stack_write(c, frame, &all, NULL);
}
