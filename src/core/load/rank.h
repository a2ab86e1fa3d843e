/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why every execution ends: the graph of a proof, and what shows it.
 *
 * Model: nodes are stored states, edges the paths between them. An edge knows the budgets that
 * lasted from its start to its end, and which of them it used; each can be used only finitely often
 * at run time. A node has a rank at each of some levels: a part, and a budget. An edge is harmless
 * when, from the first level on, it stays in its part, whose budget lasts, until at one level it
 * leads to a lower part or uses the budget. When all are, nothing goes on for ever: an execution
 * that did would at last stay in one part of level 0, then no longer use its budget, so at last
 * stay in one part of level 1, and so on, beyond the last.
 *
 * Rules: ebpf_rank() (verify_rank.c) finds ranks and is not trusted; proof_ends() (check_rank.c)
 * compares, edge by edge.
 */
#pragma once

#include "base/types.h"

/* What bounds a loop at run time. */
enum ebpf_budget_kind {
	BUDGET_NONE,
	BUDGET_MAY_GOTO, /* of the run */
	BUDGET_ITER,	 /* an iterator on a stack: frame, at = slot */
	BUDGET_CALLBACK, /* a helper that calls back: frame, at = instruction of the call */
};

struct ebpf_budget {
	u8 kind; /* enum ebpf_budget_kind */
	u8 frame;
	bool used; /* on this path */
	u32 at;
};

#define EBPF_MAX_BUDGETS 12
struct ebpf_budgets { /* those that lasted all along a path */
	u32 n;
	struct ebpf_budget b[EBPF_MAX_BUDGETS];
};

struct ebpf_edge {
	u32 from, to; /* nodes */
	struct ebpf_budgets budgets;
};

#define EBPF_MAX_LEVELS 16
struct ebpf_rank {
	u32 part;
	struct ebpf_budget budget;
};

struct ebpf_ranks {
	struct ebpf_rank *level[EBPF_MAX_LEVELS]; /* malloc'ed: one a node */
	u32 levels;
};

/* The budgets that there may be in @st at @pc: not trusted either. */
struct ebpf_vstate;
void ebpf_budgets_of(const struct ebpf_vstate *st, u32 pc, struct ebpf_budgets *out);
/* The entry for the same budget in @b, or NULL. */
struct ebpf_budget *ebpf_budget_find(struct ebpf_budgets *b, const struct ebpf_budget *want);

/* Ranks by which all @nedges edges between @n nodes are harmless, if there are any. 0 or -ENOMEM.
 */
int ebpf_rank(const struct ebpf_edge *edges, u32 nedges, u32 n, struct ebpf_ranks *out);
void ebpf_ranks_free(struct ebpf_ranks *ranks);
