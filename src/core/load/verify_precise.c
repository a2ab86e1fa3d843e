/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which numbers' ranges mattered, and which slots were read: verify_node.h tells the model.
 *
 * A name is an index into verify.defs. That of a number in a node says where in the node it is and
 * which name it had before; all others say which names they were computed from. Once all that a
 * name depends on is marked, the name is done for good: marks are never taken back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/mutant.h"
#include "core/load/verify_node.h"

#define PLACE                                                                                      \
	0x80000000u /* .b of a name that a node gave: PLACE | frame << 8 | slot or register        \
		     */
#define PLACE_REG 0x80u

struct verify_def {
	u32 a; /* an operand; or the name before the node */
	u32 b;
	bool done;
};

static u32 def_new(struct verify *v, u32 a, u32 b)
{
	if (!v->ndefs)
		v->ndefs = 1;
	if (v->ndefs >= v->defs_room) {
		u32 room = MAX(v->defs_room * 2, 1024u);
		struct verify_def *defs = realloc(v->defs, room * sizeof(*defs));

		if (!defs)
			return 0;
		v->defs = defs;
		v->defs_room = room;
	}
	v->defs[v->ndefs] = (struct verify_def){.a = a, .b = b};
	return v->ndefs++;
}

u32 verify_def(struct verify *v, u32 a, u32 b)
{
	if (!a || !b || a == b)
		return a ? a : b;
	return def_new(v, a, b);
}

static int name_one(struct verify *v, struct ebpf_vreg *reg, u32 place)
{
	if (reg->type != VT_SCALAR)
		return 0;
	reg->def = def_new(v, reg->def, PLACE | place);
	reg->flags &= (u16)~VREG_PRECISE;
	return reg->def ? 0 : -ENOMEM;
}

int verify_name_all(struct verify *v)
{
	u32 i, k;
	int r = 0;

	for (k = 0; !r && k <= v->cur->curframe; k++) {
		struct ebpf_vframe *f = v->cur->frame[k];

		for (i = 0; !r && i < EBPF_VREGS - 1; i++)
			r = name_one(v, &f->regs[i], k << 8 | PLACE_REG | i);
		for (i = 0; !r && i < f->nslots; i++)
			if (f->slots[i].kind[0] == VB_SPILL)
				r = name_one(v, &f->slots[i].spilled, k << 8 | i);
	}
	return r;
}

/* names still to be followed */
struct names {
	u32 *at;
	u32 n, room;
};

static int names_add(struct names *w, u32 def)
{
	if (!def)
		return 0;
	if (w->n == w->room) {
		u32 room = MAX(w->room * 2, 64u);
		u32 *at = realloc(w->at, room * sizeof(*at));

		if (!at)
			return -ENOMEM;
		w->at = at;
		w->room = room;
	}
	w->at[w->n++] = def;
	return 0;
}

static void mark_place(struct verify_node *node, u32 place)
{
	struct verify_marks *m = &node->mark[(place >> 8) & 7];

	if (place & PLACE_REG)
		m->regs |= (u16)(1u << (place & 15));
	else
		m->slots |= 1ull << (place & 63);
}

/* Follow what is in @now to the node's places; what these were before goes to @before. */
static int mark_segment(struct verify *v, struct verify_node *node, struct names *now,
			struct names *before)
{
	int r = 0;

	while (!r && now->n) {
		struct verify_def *d = &v->defs[now->at[--now->n]];

		if (d->done)
			continue;
		d->done = true;
		if (d->b & PLACE) {
			mark_place(node, d->b);
			r = names_add(before, EBPF_MUTANT(105, d->a, 0));
			continue;
		}
		r = names_add(now, d->a);
		r = r ? r : names_add(now, EBPF_MUTANT(102, d->b, 0));
	}
	return r;
}

int verify_mark(struct verify *v, struct verify_node *node, u32 def)
{
	struct names now = {0}, before = {0};
	int r;

	if (!node || !def || v->defs[def].done)
		return 0;
	r = names_add(&now, def);
	while (!r && node && now.n) {
		struct names swap;

		r = mark_segment(v, node, &now, &before);
		swap = now;
		now = before;
		before = swap;
		node = node->parent;
	}
	free(now.at);
	free(before.at);
	return r;
}

int verify_precise(struct verify *v, u32 regno)
{
	struct ebpf_vreg *reg = verify_reg(v, regno);

	if (reg->type != VT_SCALAR)
		return 0;
	reg->flags |= VREG_PRECISE;
	verify_trace_reg(v, regno);
	return verify_mark(v, v->path->parent, reg->def);
}

int verify_precise_slot(struct verify *v, u32 slot)
{
	struct ebpf_vframe *f = ebpf_vframe(v->cur);

	if (slot >= f->nslots || f->slots[slot].kind[0] != VB_SPILL ||
	    f->slots[slot].spilled.type != VT_SCALAR)
		return 0;
	return verify_mark(v, v->path->parent, f->slots[slot].spilled.def);
}

/* --- the stack ------------------------------------------------------------------------------- */

void verify_mark_read(struct verify_node *node, u32 frameno, u64 slots)
{
	for (; node; node = node->parent) {
		struct verify_marks *m = &node->mark[frameno];

		slots &= ~m->read;
		if (!slots || node->state.curframe < frameno)
			return;
		m->read |= EBPF_MUTANT(103, slots, 0);
		slots &= ~m->written;
	}
}

static void note_depth(struct verify *v, u32 frameno, u32 slot)
{
	struct verify_subprog *s = &v->subprog[v->cur->frame[frameno]->subprog];

	s->stack = MAX(s->stack, (slot + 1) * 8);
}

void verify_slot_read(struct verify *v, u32 frameno, u32 first, u32 last)
{
	u64 slots;

	last = MIN(last, EBPF_VSLOTS - 1u);
	if (first > last || frameno > v->cur->curframe)
		return;
	slots = (~0ull >> (63 - (last - first))) << first;
	note_depth(v, frameno, last);
	verify_mark_read(v->path->parent, frameno, slots & ~v->path->written[frameno]);
}

void verify_slot_written(struct verify *v, u32 frameno, u32 slot, bool whole)
{
	if (slot >= EBPF_VSLOTS || frameno > v->cur->curframe)
		return;
	note_depth(v, frameno, slot);
	v->scratched_slots |= 1ull << slot;
	if (whole)
		v->path->written[frameno] |= 1ull << slot;
}

/* --- from a node that ended a path to where the path came from ------------------------------- */

static void add_name(struct verify_name *names, u32 *n, const struct ebpf_vreg *reg, u32 frame,
		     u32 slot)
{
	if (reg->type == VT_SCALAR) /* one without a name matters, too: to the log */
		names[(*n)++] = (struct verify_name){(u8)frame, (u8)slot, reg->def};
}

int verify_names_of(const struct ebpf_vstate *st, struct verify_name **names, u32 *n)
{
	u32 i, k, room = 0;

	for (k = 0; k <= st->curframe; k++)
		room += EBPF_VREGS + st->frame[k]->nslots;
	*names = malloc(room * sizeof(**names));
	if (!*names)
		return -ENOMEM;
	*n = 0;
	for (k = 0; k <= st->curframe; k++) {
		const struct ebpf_vframe *f = st->frame[k];

		for (i = 0; i < EBPF_VREGS; i++)
			add_name(*names, n, &f->regs[i], k, VERIFY_NAME_REG + i);
		for (i = 0; i < f->nslots; i++)
			if (f->slots[i].kind[0] == VB_SPILL)
				add_name(*names, n, &f->slots[i].spilled, k, i);
	}
	return 0;
}

int verify_flow(struct verify *v, const struct verify_node *old, const struct verify_path *path,
		const struct verify_name *names, u32 nnames)
{
	u32 i;
	int r = 0;

	for (i = 0; i <= old->state.curframe; i++)
		verify_mark_read(path->parent, i, old->mark[i].read & ~path->written[i]);
	for (i = 0; !r && i < nnames; i++) {
		const struct verify_marks *m = &old->mark[names[i].frame];
		bool matters = names[i].slot >= VERIFY_NAME_REG
				       ? m->regs >> (names[i].slot - VERIFY_NAME_REG) & 1
				       : m->slots >> names[i].slot & 1;

		if (EBPF_MUTANT(104, matters, false))
			r = verify_mark(v, path->parent, names[i].def);
	}
	return r;
}
