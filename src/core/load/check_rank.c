/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does every execution end?
 *
 * Model: a graph, its nodes the stored states, its edges the paths between them. An edge knows the
 * budgets that lasted from its start to its end, and which of them it used. An endless execution
 * would walk through some strongly connected part of the graph for ever. Such a part is harmless
 * when one budget lasts on every edge in it, so that it is the same one all the time: then the
 * edges that use it can be walked only finitely often, and are taken out; what is left must be
 * harmless too.
 *
 * Budgets are limited at run time: may_goto by a counter of the run, an iterator by what it was
 * made for, a helper that calls back by its argument and the kernel's limit.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "core/load/check_proof.h"
#include "core/load/mutant.h"

/* --- along a path ---------------------------------------------------------------------------- */

static void add(struct proof_budgets *b, u32 kind, u32 frame, u32 at)
{
	if (b->n == PROOF_MAX_BUDGETS)
		return; /* one that isn't known can't prove anything */
	b->b[b->n++] = (struct proof_budget){.kind = (u8)kind, .frame = (u8)frame, .at = at};
}

static bool calls_back(const struct ebpf_vstate *st, u32 pc, const struct proof_budget *b)
{
	if (b->frame > st->curframe)
		return false;
	if (b->frame == st->curframe)
		return pc == b->at;
	return st->frame[b->frame + 1]->callback && st->frame[b->frame + 1]->callsite == b->at;
}

static bool lasts(const struct ebpf_vstate *st, u32 pc, const struct proof_budget *b)
{
	const struct ebpf_vframe *f;

	switch (b->kind) {
	case BUDGET_MAY_GOTO:
		return true;
	case BUDGET_CALLBACK:
		return calls_back(st, pc, b);
	default:
		if (b->frame > st->curframe)
			return false;
		f = st->frame[b->frame];
		return b->at < f->nslots && f->slots[b->at].kind[0] == VB_ITER;
	}
}

void proof_budgets_start(struct proof_budgets *b, const struct ebpf_vstate *st, u32 pc)
{
	u32 i, k;

	b->n = 0;
	add(b, BUDGET_MAY_GOTO, 0, 0);
	add(b, BUDGET_CALLBACK, st->curframe, pc);
	for (i = 0; i <= st->curframe; i++) {
		const struct ebpf_vframe *f = st->frame[i];

		if (i && f->callback)
			add(b, BUDGET_CALLBACK, i - 1, f->callsite);
		for (k = 0; k < f->nslots; k++)
			if (f->slots[k].kind[0] == VB_ITER && f->slots[k].spilled.uid != 2)
				add(b, BUDGET_ITER, i, k);
	}
}

void proof_budgets_keep(struct proof_budgets *b, const struct ebpf_vstate *st, u32 pc)
{
	for (u32 i = 0; i < b->n;)
		if (EBPF_MUTANT(61, lasts(st, pc, &b->b[i]), true))
			i++;
		else
			b->b[i] = b->b[--b->n];
}

static struct proof_budget *find(struct proof_budgets *b, u32 kind, u32 frame, u32 at)
{
	for (u32 i = 0; i < b->n; i++)
		if (b->b[i].kind == kind && b->b[i].frame == frame && b->b[i].at == at)
			return &b->b[i];
	return NULL;
}

void proof_budget_use(struct proof_budgets *b, u32 kind, u32 frame, u32 at)
{
	struct proof_budget *found = find(b, kind, frame, at);

	if (found)
		found->used = true;
}

void proof_budget_drop(struct proof_budgets *b, u32 kind, u32 frame, u32 at)
{
	struct proof_budget *found = find(b, kind, frame, at);

	if (found)
		*found = b->b[--b->n];
}

int proof_edge(struct proof_check *c, u32 to)
{
	struct proof_node *node;
	struct proof_edge *edges;
	u32 cap;

	if (c->p->from == PROOF_NONE)
		return 0; /* nothing leads back to an entry */
	node = &c->nodes[c->p->from];
	if (node->nedges == node->cap) {
		cap = node->cap ? node->cap * 2 : 4;
		edges = realloc(node->edges, cap * sizeof(*edges));
		if (!edges)
			return -ENOMEM;
		node->edges = edges;
		node->cap = cap;
	}
	node->edges[node->nedges++] = (struct proof_edge){.to = to, .budgets = c->p->budgets};
	return 0;
}

/* --- the graph ------------------------------------------------------------------------------- */

/*
 * Tarjan's algorithm with a stack of its own. part[i] is the number of the part that node i is in
 * while edges are only followed inside the part they were in before (`in`), and only those that
 * are not taken out.
 */
struct scc {
	struct proof_check *c;
	u32 n;
	const u32 *in;	  /* the part of each node so far */
	u32 *part;	  /* the result */
	u32 *low, *order; /* order 0: not seen */
	u32 *edge;	  /* next edge to follow */
	u32 *stack, sp;	  /* nodes whose part isn't known */
	u32 *walk, depth; /* nodes being visited */
	u32 clock, parts;
};

/* an edge that was taken out has .to = PROOF_NONE */
static bool inside(const struct scc *s, u32 from, const struct proof_edge *e)
{
	return e->to != PROOF_NONE && s->in[e->to] == s->in[from];
}

static void enter(struct scc *s, u32 i)
{
	s->order[i] = s->low[i] = ++s->clock;
	s->edge[i] = 0;
	s->part[i] = PROOF_NONE;
	s->stack[s->sp++] = i;
	s->walk[s->depth++] = i;
}

static void leave(struct scc *s, u32 i)
{
	u32 k;

	s->depth--;
	if (s->depth)
		s->low[s->walk[s->depth - 1]] = MIN(s->low[s->walk[s->depth - 1]], s->low[i]);
	if (s->low[i] != s->order[i])
		return;
	do {
		k = s->stack[--s->sp];
		s->part[k] = s->parts;
	} while (k != i);
	s->parts++;
}

static void visit(struct scc *s, u32 root)
{
	enter(s, root);
	while (s->depth) {
		u32 i = s->walk[s->depth - 1];
		const struct proof_node *node = &s->c->nodes[i];
		const struct proof_edge *e;

		if (s->edge[i] == node->nedges) {
			leave(s, i);
			continue;
		}
		e = &node->edges[s->edge[i]++];
		if (!inside(s, i, e))
			continue;
		if (!s->order[e->to])
			enter(s, e->to);
		else if (s->part[e->to] == PROOF_NONE)
			s->low[i] = MIN(s->low[i], s->order[e->to]);
	}
}

/* Split the parts of @in by the edges that are left. */
static u32 split(struct proof_check *c, const u32 *in, u32 *part, u32 *mem)
{
	u32 n = c->proof->nstates;
	struct scc s = {.c = c, .n = n, .in = in, .part = part};

	s.low = mem;
	s.order = mem + n;
	s.edge = mem + 2 * n;
	s.stack = mem + 3 * n;
	s.walk = mem + 4 * n;
	for (u32 i = 0; i < n; i++)
		s.order[i] = 0;
	for (u32 i = 0; i < n; i++)
		if (!s.order[i])
			visit(&s, i);
	return s.parts;
}

static bool same(const struct proof_budget *a, const struct proof_budget *b)
{
	return a->kind == b->kind && a->frame == b->frame && a->at == b->at;
}

/* What lasts on every edge inside a part: *b starts as anything (n = PROOF_MAX_BUDGETS + 1). */
static void common(struct proof_budgets *b, const struct proof_budgets *edge)
{
	if (b->n > PROOF_MAX_BUDGETS) {
		*b = *edge;
		return;
	}
	for (u32 i = 0; i < b->n;) {
		u32 k = 0;

		while (k < edge->n && !same(&b->b[i], &edge->b[k]))
			k++;
		if (k == edge->n) {
			b->b[i] = b->b[--b->n];
			continue;
		}
		b->b[i].used |= edge->b[k].used;
		i++;
	}
}

static bool uses(const struct proof_edge *e, const struct proof_budgets *lasting)
{
	for (u32 i = 0; i < e->budgets.n; i++)
		for (u32 k = 0; k < lasting->n && e->budgets.b[i].used; k++)
			if (same(&e->budgets.b[i], &lasting->b[k]))
				return true;
	return false;
}

/* Take the edges out that use what lasts in their part. Returns how many; *left: edges inside. */
static u32 take_out(struct proof_check *c, const u32 *part, const struct proof_budgets *lasting,
		    u32 *left)
{
	u32 taken = 0;

	*left = 0;
	for (u32 i = 0; i < c->proof->nstates; i++)
		for (u32 k = 0; k < c->nodes[i].nedges; k++) {
			struct proof_edge *e = &c->nodes[i].edges[k];

			if (e->to == PROOF_NONE || part[e->to] != part[i])
				continue;
			if (uses(e, &lasting[part[i]])) {
				e->to = PROOF_NONE;
				taken++;
			} else {
				++*left;
			}
		}
	return taken;
}

static void find_lasting(struct proof_check *c, const u32 *part, struct proof_budgets *lasting,
			 u32 parts)
{
	for (u32 i = 0; i < parts; i++)
		lasting[i].n = PROOF_MAX_BUDGETS + 1;
	for (u32 i = 0; i < c->proof->nstates; i++)
		for (u32 k = 0; k < c->nodes[i].nedges; k++) {
			const struct proof_edge *e = &c->nodes[i].edges[k];

			if (e->to != PROOF_NONE && part[e->to] == part[i])
				common(&lasting[part[i]], &e->budgets);
		}
	for (u32 i = 0; i < parts; i++)
		if (lasting[i].n > PROOF_MAX_BUDGETS)
			lasting[i].n = 0;
}

int proof_ends(struct proof_check *c)
{
	u32 n = c->proof->nstates, left = 0, taken, parts;
	_cleanup_free_ u32 *in = calloc(n + 1, sizeof(u32));
	_cleanup_free_ u32 *part = calloc(n + 1, sizeof(u32));
	_cleanup_free_ u32 *mem = calloc(5 * (size_t)n + 1, sizeof(u32));
	_cleanup_free_ struct proof_budgets *lasting = calloc(n + 1, sizeof(*lasting));

	if (!in || !part || !mem || !lasting)
		return -ENOMEM;
	do {
		parts = split(c, in, part, mem);
		find_lasting(c, part, lasting, parts);
		taken = take_out(c, part, lasting, &left);
		for (u32 i = 0; i < n; i++)
			in[i] = part[i];
	} while (taken && left);
	if (left && EBPF_MUTANT(62, true, false))
		return proof_fail(c, "a loop that nothing bounds");
	return 0;
}
