/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does every execution end? rank.h tells the model.
 *
 * Budgets are limited at run time: may_goto by a counter of the run, an iterator by what it was
 * made for, a helper that calls back by its argument and the kernel's limit.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"

struct ebpf_budget *ebpf_budget_find(struct ebpf_budgets *b, const struct ebpf_budget *want)
{
	for (u32 i = 0; i < b->n; i++)
		if (b->b[i].kind == want->kind && b->b[i].frame == want->frame &&
		    b->b[i].at == want->at)
			return &b->b[i];
	return NULL;
}

/* --- along a path ---------------------------------------------------------------------------- */

static bool lasts(const struct ebpf_vstate *st, u32 pc, const struct ebpf_budget *b)
{
	const struct ebpf_vframe *f;

	if (b->kind == BUDGET_MAY_GOTO)
		return true;
	if (b->frame > st->curframe)
		return false;
	if (b->kind == BUDGET_ITER) {
		f = st->frame[b->frame];
		return b->at < f->nslots && f->slots[b->at].kind[0] == VB_ITER;
	}
	if (b->frame == st->curframe)
		return pc == b->at;
	f = st->frame[b->frame + 1];
	return f->callback && f->callsite == b->at;
}

void proof_budgets_keep(struct ebpf_budgets *b, const struct ebpf_vstate *st, u32 pc)
{
	for (u32 i = 0; i < b->n;)
		if (EBPF_MUTANT(61, lasts(st, pc, &b->b[i]), true))
			i++;
		else
			b->b[i] = b->b[--b->n];
}

void proof_budgets_start(struct ebpf_budgets *b, const struct ebpf_vstate *st, u32 pc)
{
	ebpf_budgets_of(st, pc, b);
	proof_budgets_keep(b, st, pc);
	for (u32 i = 0; i < b->n; i++)
		b->b[i].used = false;
}

void proof_budget_use(struct ebpf_budgets *b, u32 kind, u32 frame, u32 at)
{
	struct ebpf_budget *found = ebpf_budget_find(
		b, &(struct ebpf_budget){.kind = (u8)kind, .frame = (u8)frame, .at = at});

	if (found)
		found->used = true;
}

/* --- all of them ----------------------------------------------------------------------------- */

void proof_edge(struct proof_check *c, u32 to)
{
	if (c->p->from == PROOF_NONE)
		return; /* nothing leads back to an entry */
	if (c->nedges == c->edges_room) {
		u32 room = MAX(2 * c->edges_room, 64u);
		struct ebpf_edge *edges = realloc(c->edges, room * sizeof(*edges));

		proof_got(c, edges);
		c->edges = edges;
		c->edges_room = room;
	}
	c->edges[c->nedges++] = (struct ebpf_edge){c->p->from, to, c->p->budgets};
}

bool proof_harmless(struct ebpf_edge *e, const struct ebpf_ranks *ranks)
{
	for (u32 i = 0; i < ranks->levels; i++) {
		const struct ebpf_rank *from = &ranks->level[i][e->from];
		const struct ebpf_rank *to = &ranks->level[i][e->to];
		struct ebpf_budgets part = {.n = 1, .b = {to->budget}};
		const struct ebpf_budget *b = ebpf_budget_find(&e->budgets, &from->budget);

		if (to->part != from->part)
			return EBPF_MUTANT(97, to->part < from->part, true);
		if (!b || EBPF_MUTANT(98, !ebpf_budget_find(&part, b), false))
			return false;
		if (b->used)
			return true;
	}
	return false;
}

void proof_ends(struct proof_check *c)
{
	struct ebpf_ranks ranks = {0};
	bool ranked = !ebpf_rank(c->edges, c->nedges, c->proof->nstates, &ranks), ends = true;

	for (u32 i = 0; ranked && ends && i < c->nedges; i++)
		ends = EBPF_MUTANT(62, proof_harmless(&c->edges[i], &ranks), true);
	ebpf_ranks_free(&ranks);
	proof_got(c, ranked);
	proof_need(c, ends, "a loop that nothing bounds");
}
