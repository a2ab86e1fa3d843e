/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Remembered states, and how the current one descends from them. Internal to the explorer's core.
 *
 * Model: a tree. A node is a state that was remembered where paths can meet; its parent is the one
 * that was remembered before it on the same path. The way from a node to the current instruction is
 * a segment. Three things flow from the end of a path to its root, segment by segment:
 *
 *	reads	   a slot of the stack that is read was live in the node, unless the segment wrote
 *it precision  a number whose range decided something mattered, and so did what it came from ends
 *a node is finished when all paths that start from it have ended
 *
 * Numbers get names (vreg.def) when a node is made, one for each register and slot that holds one;
 * a value that is computed gets a name that knows its operands' (struct verify_def). So what
 * mattered in a node is found by following names, without going through instructions again.
 */
#pragma once

#include "core/load/verify.h"

struct verify_marks { /* of one frame */
	u64 slots;    /* numbers in these slots mattered */
	u64 read;     /* slots that are read before they are written */
	u64 written;  /* slots written on the way from the parent */
	u16 regs;     /* numbers in these registers mattered */
};

struct verify_node {
	struct verify_node *next;     /* at the same instruction */
	struct verify_node *next_all; /* verify.all_nodes */
	struct verify_node *open;     /* while it is unfinished: the next of verify_insn.open */
	struct verify_node *parent;
	struct verify_node *root; /* the first of this walk */
	/* the outermost unfinished node that some path from here came back to */
	struct verify_node *loop;
	struct ebpf_vstate state;
	u32 insn;
	u32 branches;	 /* paths from here that have not ended */
	u32 depth;	 /* nodes above */
	u32 rank;	 /* finished nodes, counted when it was finished */
	u32 backedges;	 /* how many there were when it was made */
	u32 async_entry; /* see struct verify_path */
	u32 callback_depth;
	u32 step; /* log: the last before it, see verify_trace.c */
	u16 hits, misses;
	bool used;  /* some path ended because of it: part of the proof */
	bool loops; /* paths came back to it while it was unfinished */
	struct verify_marks mark[EBPF_MAX_FRAMES];
};

/* How the current state came here since the last node. */
struct verify_path {
	struct verify_node *parent;
	u64 written[EBPF_MAX_FRAMES];
	u32 jumps;	    /* since the parent */
	u32 async_entry;    /* entries into callbacks that run later, so far */
	u32 callback_depth; /* callbacks entered, so far */
	u32 step;	    /* log: the last one, see verify_trace.c; 0: none */
};

/*
 * A path that ended because its state was included in an unfinished node's, or in one whose marks
 * can still grow: they flow on when that loop is finished.
 */
struct verify_name {
	u8 frame;
	u8 slot; /* of the stack, 0..63, or VERIFY_NAME_REG plus a register */
	u32 def;
};
#define VERIFY_NAME_REG 64
struct verify_backedge {
	struct verify_node *to;
	struct verify_path path;
	struct verify_name *names; /* malloc'ed: numbers of the state that ended there */
	u32 nnames;
};

enum verify_level {
	VERIFY_MATTERS, /* what is dead or didn't matter is not compared */
	VERIFY_RANGE,	/* every live value is included */
	VERIFY_EXACT,	/* every live value is the same */
};

/* Is @cur included in @old's state? (verify_equal.c) */
bool verify_included(struct verify *v, const struct verify_node *old, const struct ebpf_vstate *cur,
		     enum verify_level level);

/* At a point where paths meet: 1 when the path need not be walked, 0 to go on. (verify_prune.c) */
int verify_visit(struct verify *v);
/* The current path has ended. */
int verify_path_end(struct verify *v, struct verify_node *parent);
int verify_collect(struct verify *v, struct ebpf_proof *proof);
void verify_nodes_free(struct verify *v);
/* The node before @from (itself excluded) on its path that is at @insn with the same callers. */
struct verify_node *verify_previous(struct verify *v, struct verify_node *from,
				    const struct ebpf_vstate *st, u32 insn);
void verify_widen_to(const struct verify_node *prev, struct ebpf_vstate *st);

/* verify_precise.c */
int verify_name_all(struct verify *v); /* new names for every number, when a node is made */
int verify_mark(struct verify *v, struct verify_node *node, u32 def);
void verify_mark_read(struct verify_node *node, u32 frameno, u64 slots);
/* What matters in @old matters where the path to it came from. *@changed when that was news. */
int verify_names_of(const struct ebpf_vstate *st, struct verify_name **names, u32 *n);
int verify_flow(struct verify *v, const struct verify_node *old, const struct verify_path *path,
		const struct verify_name *names, u32 nnames);

/* verify_trace.c: the text of log level 2 on what precision goes back to; else nothing. Before each
 * instruction; at a branch that goes both ways; at a mark, before it is made; at the end of a path.
 */
void verify_trace_step(struct verify *v);
void verify_trace_links(struct verify *v, const struct bpf_insn *in);
void verify_trace_reg(struct verify *v, u32 regno);
void verify_trace_flow(struct verify *v, const struct verify_node *old,
		       const struct verify_name *names, u32 n);

/* verify_fastcall.c: find the saves; tell subprog[].needed after the exploration, and after what
 * has a limit was checked. */
void verify_fastcall(struct verify *v);
void verify_fastcall_needed(struct verify *v, bool accepted);
void verify_fastcall_inlined(struct verify *v);

/* verify_live.c: fill insn[].live */
int verify_liveness(struct verify *v);
/* registers of frame @i of @st that are read later; the state is before instruction @insn */
u16 verify_live_regs(const struct verify *v, const struct ebpf_vstate *st, u32 i, u32 insn);

/* verify_cfg.c */
int verify_cfg(struct verify *v);
u32 verify_subprog_at(const struct verify *v, u32 insn);
int verify_stack_depth(struct verify *v);

/* verify_log.c */
void verify_log_frame(struct verify *v, const struct ebpf_vstate *st, u32 frameno, bool all);
/* after an instruction: the registers it touched */
void verify_log_result(struct verify *v);
void verify_log_stats(struct verify *v);

/* verify_call.c */
int verify_push_frame(struct ebpf_vstate *st, struct verify_path *path, u32 subprog, u32 callsite);

/* verifier.c */
#define VERIFY_MAX_BRANCHES 8192u
struct verify_branch {
	struct verify_branch *next;
	struct ebpf_vstate state;
	struct verify_path path;
	u32 insn, prev;
	u64 log_pos;
};
/* A path that starts in a callback which runs later: an empty state of one frame. */
struct ebpf_vstate *verify_push_async(struct verify *v, u32 insn_idx);
/* Of a branch that was just pushed. */
static inline struct verify_path *verify_pushed_path(struct verify *v)
{
	return &v->head->path;
}

#define for_each_bit(i, mask)                                                                      \
	for (u64 m_##i = (mask); m_##i && (i = (u32)__builtin_ctzll(m_##i), 1); m_##i &= m_##i - 1)
