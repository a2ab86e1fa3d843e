/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Abstract states as memory: who owns what, copies, frames, references.
 *
 * Model: vstate.h. Rule: a state is valid at every return; what could not be allocated is missing
 * from the end, never dangling.
 *
 * A walk takes and gives back a frame at every fork. They are larger than what malloc() is quick
 * with, so some are kept, each with the memory of its slots.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/vstate.h"

#ifdef __SANITIZE_ADDRESS__ /* which is to see it when one is used after it was given back */
#define KEEPS_SPARES 0
#else
#define KEEPS_SPARES 1
#endif
#define MAX_SPARES 64u

static _Thread_local struct {
	struct ebpf_vframe *frame[MAX_SPARES];
	u32 n;
} spare;

static void frame_free(struct ebpf_vframe *f)
{
	if (f && KEEPS_SPARES && spare.n < MAX_SPARES) {
		spare.frame[spare.n++] = f;
		return;
	}
	if (f)
		free(f->slots);
	free(f);
}

/* Valid, but for what it holds: memory for slots, perhaps, and anything else. */
static struct ebpf_vframe *frame_take(void)
{
	return spare.n ? spare.frame[--spare.n] : calloc(1, sizeof(struct ebpf_vframe));
}

static int frame_reserve(struct ebpf_vframe *f, u32 nslots)
{
	struct ebpf_vslot *slots;

	if (nslots <= f->room)
		return 0;
	slots = realloc(f->slots, nslots * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	f->slots = slots;
	f->room = nslots;
	return 0;
}

/* All but the slots: what memory there is for them stays. */
static void frame_assign(struct ebpf_vframe *dst, const struct ebpf_vframe *src)
{
	struct ebpf_vslot *slots = dst->slots;
	u32 room = dst->room;

	*dst = *src;
	dst->slots = slots;
	dst->room = room;
}

static int frame_copy(struct ebpf_vframe *dst, const struct ebpf_vframe *src)
{
	if (frame_reserve(dst, src->nslots))
		return -ENOMEM;
	frame_assign(dst, src);
	if (src->nslots)
		memcpy(dst->slots, src->slots, src->nslots * sizeof(*dst->slots));
	return 0;
}

static void drop_frames(struct ebpf_vstate *st, u32 from)
{
	u32 i;

	for (i = from; i < EBPF_MAX_FRAMES && st->frame[i]; i++) {
		frame_free(st->frame[i]);
		st->frame[i] = NULL;
	}
}

static int copy_refs(struct ebpf_vstate *dst, const struct ebpf_vstate *src)
{
	struct ebpf_vref *refs;

	if (src->nrefs > dst->nrefs) {
		refs = realloc(dst->refs, src->nrefs * sizeof(*refs));
		if (!refs)
			return -ENOMEM;
		dst->refs = refs;
	}
	dst->nrefs = src->nrefs;
	if (src->nrefs)
		memcpy(dst->refs, src->refs, src->nrefs * sizeof(*dst->refs));
	return 0;
}

int ebpf_vstate_copy(struct ebpf_vstate *dst, const struct ebpf_vstate *src)
{
	u32 i;
	int r;

	drop_frames(dst, src->curframe + 1);
	for (i = 0; i <= src->curframe; i++) {
		if (!dst->frame[i])
			dst->frame[i] = frame_take();
		r = dst->frame[i] ? frame_copy(dst->frame[i], src->frame[i]) : -ENOMEM;
		if (r)
			return r;
		dst->curframe = i;
	}
	dst->may_goto_depth = src->may_goto_depth;
	return copy_refs(dst, src);
}

int ebpf_vframe_push(struct ebpf_vstate *st)
{
	u32 at = st->frame[0] ? st->curframe + 1 : 0;
	static const struct ebpf_vframe empty;
	struct ebpf_vframe *f;

	if (at >= EBPF_MAX_FRAMES)
		return -E2BIG;
	f = frame_take();
	if (!f)
		return -ENOMEM;
	frame_assign(f, &empty);
	st->frame[at] = f;
	st->curframe = at;
	return 0;
}

void ebpf_vframe_pop(struct ebpf_vstate *st)
{
	frame_free(st->frame[st->curframe]);
	st->frame[st->curframe] = NULL;
	if (st->curframe)
		st->curframe--;
}

int ebpf_vframe_grow(struct ebpf_vframe *f, u32 nslots)
{
	if (nslots <= f->nslots)
		return 0;
	if (frame_reserve(f, nslots))
		return -ENOMEM;
	memset(f->slots + f->nslots, 0, (nslots - f->nslots) * sizeof(*f->slots));
	f->nslots = nslots;
	return 0;
}

int ebpf_vref_add(struct ebpf_vstate *st, const struct ebpf_vref *ref)
{
	struct ebpf_vref *refs = realloc(st->refs, (st->nrefs + 1) * sizeof(*refs));

	if (!refs)
		return -ENOMEM;
	st->refs = refs;
	refs[st->nrefs++] = *ref;
	return 0;
}

bool ebpf_vref_del(struct ebpf_vstate *st, u32 id)
{
	u32 i;

	for (i = 0; i < st->nrefs; i++) {
		if (st->refs[i].id != id)
			continue;
		st->nrefs--;
		memmove(&st->refs[i], &st->refs[i + 1], (st->nrefs - i) * sizeof(*st->refs));
		return true;
	}
	return false;
}

void ebpf_vstate_free(struct ebpf_vstate *st)
{
	drop_frames(st, 0);
	free(st->refs);
	memset(st, 0, sizeof(*st));
}

struct ebpf_vreg *ebpf_vreg_next(const struct ebpf_vstate *st, struct ebpf_vreg_iter *it)
{
	for (; it->frame <= st->curframe; it->frame++, it->i = 0) {
		struct ebpf_vframe *f = st->frame[it->frame];

		if (it->i < EBPF_VREGS)
			return &f->regs[it->i++];
		for (u32 k = it->i - EBPF_VREGS; k < f->nslots; k++)
			if (f->slots[k].kind[0] == VB_SPILL) {
				it->i = k + 1 + EBPF_VREGS;
				return &f->slots[k].spilled;
			}
	}
	return NULL;
}

void ebpf_vreg_each(struct ebpf_vstate *st, void (*fn)(struct ebpf_vreg *r, void *arg), void *arg)
{
	for (u32 k = 0; k <= st->curframe; k++) {
		struct ebpf_vframe *f = st->frame[k];

		for (u32 i = 0; i < EBPF_VREGS; i++)
			fn(&f->regs[i], arg);
		for (u32 i = 0; i < f->nslots; i++)
			if (f->slots[i].kind[0] == VB_SPILL)
				fn(&f->slots[i].spilled, arg);
	}
}

u32 ebpf_vslot_spill_size(const struct ebpf_vslot *slot)
{
	u32 n = 0;

	while (n < 8 && slot->kind[n] == VB_SPILL)
		n++;
	return n;
}

void ebpf_proof_free(struct ebpf_proof *proof)
{
	u32 i;

	for (i = 0; i < proof->nstates; i++)
		ebpf_vstate_free(&proof->states[i].state);
	free(proof->states);
	free(proof->first);
	memset(proof, 0, sizeof(*proof));
}

void ebpf_facts_free(struct ebpf_facts *facts)
{
	free(facts->insn);
	memset(facts, 0, sizeof(*facts));
}
