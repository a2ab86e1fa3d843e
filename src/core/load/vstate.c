/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Abstract states as memory: who owns what, copies, frames, references.
 *
 * Model: vstate.h. Rule: a state is valid at every return; what could not be allocated is missing
 * from the end, never dangling.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/vstate.h"

static void frame_free(struct ebpf_vframe *f)
{
	if (f)
		free(f->slots);
	free(f);
}

static int frame_copy(struct ebpf_vframe *dst, const struct ebpf_vframe *src)
{
	struct ebpf_vslot *slots = dst->slots;

	if (src->nslots > dst->nslots || !slots) {
		slots = realloc(slots, MAX(src->nslots, 1u) * sizeof(*slots));
		if (!slots)
			return -ENOMEM;
	}
	*dst = *src;
	dst->slots = slots;
	if (src->nslots)
		memcpy(slots, src->slots, src->nslots * sizeof(*slots));
	return 0;
}

static void drop_frames(struct ebpf_vstate *st, u32 from)
{
	u32 i;

	for (i = from; i < EBPF_MAX_FRAMES; i++) {
		frame_free(st->frame[i]);
		st->frame[i] = NULL;
	}
}

static int copy_refs(struct ebpf_vstate *dst, const struct ebpf_vstate *src)
{
	struct ebpf_vref *refs = realloc(dst->refs, MAX(src->nrefs, 1u) * sizeof(*refs));

	if (!refs)
		return -ENOMEM;
	dst->refs = refs;
	dst->nrefs = src->nrefs;
	if (src->nrefs)
		memcpy(refs, src->refs, src->nrefs * sizeof(*refs));
	return 0;
}

int ebpf_vstate_copy(struct ebpf_vstate *dst, const struct ebpf_vstate *src)
{
	u32 i;
	int r;

	drop_frames(dst, src->curframe + 1);
	for (i = 0; i <= src->curframe; i++) {
		if (!dst->frame[i])
			dst->frame[i] = calloc(1, sizeof(*dst->frame[i]));
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

	if (at >= EBPF_MAX_FRAMES)
		return -E2BIG;
	st->frame[at] = calloc(1, sizeof(*st->frame[at]));
	if (!st->frame[at])
		return -ENOMEM;
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
	struct ebpf_vslot *slots;

	if (nslots <= f->nslots)
		return 0;
	slots = realloc(f->slots, nslots * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	memset(slots + f->nslots, 0, (nslots - f->nslots) * sizeof(*slots));
	f->slots = slots;
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
	memset(proof, 0, sizeof(*proof));
}

void ebpf_facts_free(struct ebpf_facts *facts)
{
	free(facts->insn);
	memset(facts, 0, sizeof(*facts));
}
