/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding ranks: rank.h tells the model.
 *
 * An endless execution walks through some strongly connected part of the graph for ever. At each
 * level the graph is split into such parts; for each a budget is chosen that lasts on every edge in
 * it; the edges that use it are taken out, and the next level splits what is left. Nothing here is
 * trusted: a rank that shows nothing is found out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "core/load/rank.h"
#include "core/load/vstate.h"

struct graph {
	u32 n, nedges;
	const struct ebpf_edge *edges;
	u32 *first; /* n + 1: of each node, in order[] */
	u32 *order; /* edges by the node they start in */
	bool *out;  /* taken out, or between parts */
	u32 left;   /* edges that aren't */
};

/*
 * Tarjan's algorithm with a stack of its own. part[i] is the number of the part that node i is in;
 * an edge between two parts leads to the lower number.
 */
struct scc {
	const struct graph *g;
	u32 *part;
	u32 *low, *seen;  /* seen 0: not */
	u32 *edge;	  /* next edge to follow */
	u32 *stack, sp;	  /* nodes whose part isn't known */
	u32 *walk, depth; /* nodes being visited */
	u32 clock, parts;
};

#define NONE ~0u

static void enter(struct scc *s, u32 i)
{
	s->seen[i] = s->low[i] = ++s->clock;
	s->edge[i] = s->g->first[i];
	s->part[i] = NONE;
	s->stack[s->sp++] = i;
	s->walk[s->depth++] = i;
}

static void leave(struct scc *s, u32 i)
{
	u32 k;

	s->depth--;
	if (s->depth)
		s->low[s->walk[s->depth - 1]] = MIN(s->low[s->walk[s->depth - 1]], s->low[i]);
	if (s->low[i] != s->seen[i])
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
		u32 i = s->walk[s->depth - 1], e, to;

		if (s->edge[i] == s->g->first[i + 1]) {
			leave(s, i);
			continue;
		}
		e = s->g->order[s->edge[i]++];
		to = s->g->edges[e].to;
		if (s->g->out[e])
			continue;
		if (!s->seen[to])
			enter(s, to);
		else if (s->part[to] == NONE)
			s->low[i] = MIN(s->low[i], s->seen[to]);
	}
}

/* Parts by the edges that are left; their number. @mem: 5 * n. */
static u32 split(const struct graph *g, u32 *part, u32 *mem)
{
	struct scc s = {.g = g, .part = part};

	s.low = mem;
	s.seen = mem + g->n;
	s.edge = mem + 2 * (size_t)g->n;
	s.stack = mem + 3 * (size_t)g->n;
	s.walk = mem + 4 * (size_t)g->n;
	memset(s.seen, 0, g->n * sizeof(u32));
	for (u32 i = 0; i < g->n; i++)
		if (!s.seen[i])
			visit(&s, i);
	return s.parts;
}

/* *b: what lasts in a part so far, at first anything (n > EBPF_MAX_BUDGETS). */
static void common(struct ebpf_budgets *b, struct ebpf_budgets edge)
{
	if (b->n > EBPF_MAX_BUDGETS) {
		*b = edge;
		return;
	}
	for (u32 i = 0; i < b->n;) {
		const struct ebpf_budget *other = ebpf_budget_find(&edge, &b->b[i]);

		if (!other) {
			b->b[i] = b->b[--b->n];
			continue;
		}
		b->b[i].used |= other->used;
		i++;
	}
}

static struct ebpf_budget chosen(const struct ebpf_budgets *lasting)
{
	for (u32 i = 0; i < lasting->n && lasting->n <= EBPF_MAX_BUDGETS; i++)
		if (lasting->b[i].used)
			return lasting->b[i];
	return (struct ebpf_budget){0};
}

/* Edges between parts, and those that use their part's budget, need no further level. */
static bool take_out(struct graph *g, const struct ebpf_rank *rank)
{
	u32 before = g->left;

	for (u32 e = 0; e < g->nedges; e++) {
		const struct ebpf_rank *from = &rank[g->edges[e].from];
		struct ebpf_budgets b = g->edges[e].budgets;
		const struct ebpf_budget *found = ebpf_budget_find(&b, &from->budget);

		if (g->out[e] ||
		    (from->part == rank[g->edges[e].to].part && !(found && found->used)))
			continue;
		g->out[e] = true;
		g->left--;
	}
	return g->left < before;
}

/* One more level: the parts, and what lasts in each. */
static int rank_level(struct graph *g, struct ebpf_rank *rank)
{
	_cleanup_free_ u32 *part = calloc(g->n + 1, sizeof(u32));
	_cleanup_free_ u32 *mem = calloc(5 * (size_t)g->n + 1, sizeof(u32));
	_cleanup_free_ struct ebpf_budgets *lasting = calloc(g->n + 1, sizeof(*lasting));
	u32 parts;

	if (!part || !mem || !lasting)
		return -ENOMEM;
	parts = split(g, part, mem);
	for (u32 i = 0; i < parts; i++)
		lasting[i].n = EBPF_MAX_BUDGETS + 1;
	for (u32 e = 0; e < g->nedges; e++)
		if (!g->out[e] && part[g->edges[e].from] == part[g->edges[e].to])
			common(&lasting[part[g->edges[e].from]], g->edges[e].budgets);
	for (u32 i = 0; i < g->n; i++)
		rank[i] = (struct ebpf_rank){part[i], chosen(&lasting[part[i]])};
	return 0;
}

static void sort_edges(struct graph *g)
{
	for (u32 e = 0; e < g->nedges; e++)
		g->first[g->edges[e].from + 1]++;
	for (u32 i = 0; i < g->n; i++)
		g->first[i + 1] += g->first[i];
	for (u32 e = g->nedges; e-- > 0;)
		g->order[--g->first[g->edges[e].from + 1]] = e;
	for (u32 i = 0; i < g->n; i++)
		g->first[i] = g->first[i + 1];
	g->first[g->n] = g->nedges;
}

int ebpf_rank(const struct ebpf_edge *edges, u32 nedges, u32 n, struct ebpf_ranks *out)
{
	_cleanup_free_ u32 *first = calloc(n + 2, sizeof(u32));
	_cleanup_free_ u32 *order = calloc(nedges + 1, sizeof(u32));
	_cleanup_free_ bool *gone = calloc(nedges + 1, sizeof(bool));
	struct graph g = {n, nedges, edges, first, order, gone, nedges};
	int r = first && order && gone ? 0 : -ENOMEM;
	bool more = true;

	if (!r)
		sort_edges(&g);
	for (out->levels = 0; !r && g.left && more && out->levels < EBPF_MAX_LEVELS;) {
		struct ebpf_rank *rank = calloc(n + 1, sizeof(*rank));

		out->level[out->levels++] = rank;
		r = rank ? rank_level(&g, rank) : -ENOMEM;
		more = !r && take_out(&g, rank);
	}
	return r;
}

void ebpf_ranks_free(struct ebpf_ranks *ranks)
{
	while (ranks->levels)
		free(ranks->level[--ranks->levels]);
}

/* --- what may bound a loop ------------------------------------------------------------------- */

static void add(struct ebpf_budgets *b, u32 kind, u32 frame, u32 at)
{
	if (b->n == EBPF_MAX_BUDGETS)
		return; /* one that isn't known can't prove anything */
	b->b[b->n++] = (struct ebpf_budget){.kind = (u8)kind, .frame = (u8)frame, .at = at};
}

void ebpf_budgets_of(const struct ebpf_vstate *st, u32 pc, struct ebpf_budgets *b)
{
	b->n = 0;
	add(b, BUDGET_MAY_GOTO, 0, 0);
	add(b, BUDGET_CALLBACK, st->curframe, pc);
	for (u32 i = 0; i <= st->curframe; i++) {
		const struct ebpf_vframe *f = st->frame[i];

		if (i && f->callback)
			add(b, BUDGET_CALLBACK, i - 1, f->callsite);
		for (u32 k = 0; k < f->nslots; k++)
			if (f->slots[k].kind[0] == VB_ITER && f->slots[k].spilled.uid != 2)
				add(b, BUDGET_ITER, i, k);
	}
}
