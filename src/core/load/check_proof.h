/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checker: is this a proof that the program is safe? Internal to core/load/check_*.c.
 *
 * Model: the proof is a list of states (vstate.h). From each of them, and from each entry, every
 * path is stepped until it exits or meets a state that includes it; what happens in between must be
 * without fault. So by induction nothing ever faults. Each path from one state to another is an
 * edge; a cycle of edges must use up a budget (an iterator's, a callback's, may_goto's), so every
 * execution ends.
 *
 * Files:
 *	check_proof.c	paths from state to state, entries, figures
 *	check_index.c	stored states by what tells them apart
 *	check_rank.c	edges and budgets: does every execution end
 *	check_state.c	one state includes another
 *	check_step.c	arithmetic, jumps, calls and returns
 *	check_mem.c	loads and stores
 *	check_stack.c	the bytes of a stack
 *	check_object.c	references, locks, dynptrs, iterators
 *	check_call.c	helpers and kernel functions
 *	check_func.c	entries and returns: what types say of arguments and results
 *
 * Rules: nothing of the explorer's is used but the states themselves. No pruning, precision or
 * liveness here; what is simple is refused rather than understood. Shared with the explorer: the
 * scalar domain and the tables of helpers and contexts.
 */
#pragma once

#include "core/load/verify_btf.h"
#include "core/load/vstate.h"

#define PROOF_MAX_STEPS 4000000u /* the explorer's limit is a million */
#define PROOF_MAX_PENDING 8192u
#define PROOF_NONE ~0u

/* What bounds a loop at run time. */
enum proof_budget_kind {
	BUDGET_MAY_GOTO, /* of the run */
	BUDGET_ITER,	 /* an iterator on a stack: frame, at = slot */
	BUDGET_CALLBACK, /* a helper that calls back: frame, at = instruction of the call */
};

struct proof_budget {
	u8 kind; /* enum proof_budget_kind */
	u8 frame;
	bool used; /* consumed on this path */
	u32 at;
};

#define PROOF_MAX_BUDGETS 12

struct proof_budgets { /* those that lasted all along a path */
	u32 n;
	struct proof_budget b[PROOF_MAX_BUDGETS];
};

struct proof_path {
	struct proof_path *next;
	struct ebpf_vstate st;
	u32 pc;
	u32 from;   /* index of the stored state it started in, PROOF_NONE: an entry */
	bool start; /* at the beginning: it arrives nowhere yet */
	struct proof_budgets budgets;
};

struct proof_edge {
	u32 to;
	struct proof_budgets budgets;
};

struct proof_node { /* a stored state */
	struct proof_edge *edges;
	u32 nedges, cap;
	bool reached, walked;
};

struct proof_entry { /* a function that is entered without a caller of ours */
	u32 subprog;
	u32 map; /* of an async callback: the map of its timer; PROOF_NONE: a global function */
	bool done;
};

#define PROOF_MAX_ENTRIES 512

struct proof_subprog {
	u32 start, end;
	u32 stack; /* bytes */
	bool global, callback;
	struct ebpf_sig sig;
};

struct proof_check {
	const struct ebpf_vprog *prog;
	struct ebpf_proof *proof; /* states are normalised in place */
	struct ebpf_log *log;
	struct ebpf_facts *facts;
	struct proof_node *nodes;  /* nstates */
	struct proof_index *index; /* of the stored states */
	struct proof_path *todo;
	u32 npending;
	struct proof_path *p; /* the one that is stepped */
	u32 next_id;
	u32 steps;
	struct proof_subprog *subprog;
	u32 nsubprogs;
	struct proof_entry entries[PROOF_MAX_ENTRIES];
	u32 nentries;
};

static inline const struct bpf_insn *proof_at(const struct proof_check *c, u32 pc)
{
	return &c->prog->insns[pc];
}

static inline struct ebpf_vreg *proof_reg(struct proof_check *c, u32 regno)
{
	return ebpf_vreg(&c->p->st, regno);
}

/* Not a proof: writes the reason with the instruction. Always -EFAULT. */
int proof_fail(struct proof_check *c, const char *fmt, ...) __printf_like(2, 3);

/* --- check_proof.c --------------------------------------------------------------------------- */

/* Another path that starts with the current state at @pc; *out may be changed by the caller. */
int proof_fork(struct proof_check *c, u32 pc, struct proof_path **out);
/* Global function @subprog is called: it is checked by itself. */
int proof_entry(struct proof_check *c, u32 subprog);
/* A callback that runs later, with a value of map @map. */
int proof_async(struct proof_check *c, u32 subprog, u32 map);
u32 proof_subprog_at(const struct proof_check *c, u32 pc); /* that starts at @pc, PROOF_NONE */

/* --- check_index.c --------------------------------------------------------------------------- */

struct proof_index *proof_index_new(const struct proof_check *c); /* NULL: no memory */
void proof_index_free(struct proof_index *x);
/* A stored state at the path's instruction that @includes says yes to, or PROOF_NONE. */
u32 proof_index_find(struct proof_check *c, bool (*includes)(struct proof_check *c, u32 i));

/* --- check_state.c --------------------------------------------------------------------------- */

bool proof_included(struct proof_check *c, const struct ebpf_vstate *in,
		    const struct ebpf_vstate *stored);
/* Make a stored state fit for that: scalars that are linked with nothing lose their id. */
void proof_normalise(struct ebpf_vstate *st);
/* Call @fn for every register and spilled register. */
void proof_each_reg(struct ebpf_vstate *st, void (*fn)(struct ebpf_vreg *r, void *arg), void *arg);
void proof_none(struct ebpf_vreg *r);
void proof_unknown(struct ebpf_vreg *r);
void proof_const(struct ebpf_vreg *r, u64 value);
void proof_pointer(struct ebpf_vreg *r, u32 type, u32 obj, u32 flags);

/* --- check_rank.c ---------------------------------------------------------------------------- */

void proof_budgets_start(struct proof_budgets *b, const struct ebpf_vstate *st, u32 pc);
void proof_budgets_keep(struct proof_budgets *b, const struct ebpf_vstate *st, u32 pc);
void proof_budget_use(struct proof_budgets *b, u32 kind, u32 frame, u32 at);
void proof_budget_drop(struct proof_budgets *b, u32 kind, u32 frame, u32 at);
int proof_edge(struct proof_check *c, u32 to);
int proof_ends(struct proof_check *c); /* every cycle uses up a budget */

/* --- stepping -------------------------------------------------------------------------------- */

/* Execute the instruction at p->pc; *end: the path is over. */
int proof_step(struct proof_check *c, bool *end);
int proof_mem(struct proof_check *c, const struct bpf_insn *in);
int proof_lddw(struct proof_check *c, const struct bpf_insn *in);
int proof_helper(struct proof_check *c, const struct bpf_insn *in);
int proof_kfunc(struct proof_check *c, const struct bpf_insn *in);
int proof_types(struct proof_check *c); /* read the functions' types */
int proof_global_call(struct proof_check *c, u32 subprog);
int proof_return(struct proof_check *c); /* R0 at the end of main, a global function or callback */
int proof_entry_args(struct proof_check *c, u32 subprog, struct ebpf_vframe *f);
int proof_readable(struct proof_check *c, u32 regno);
/* Enter @subprog from the current instruction: a frame more, its arguments from the caller's. */
int proof_enter(struct proof_check *c, u32 subprog, bool callback);
void proof_clobber(struct proof_check *c);
void proof_linked(struct ebpf_vstate *st, const struct ebpf_vreg *known);

/*
 * @size bytes at register @regno plus @off: is all of it inside its object, and may it be read
 * (written)? *lo, *hi: first byte and last byte + 1 that can be touched, relative to the object.
 */
struct proof_span {
	s64 lo, hi;
	bool fixed; /* hi - lo is the size of the access */
};
int proof_access(struct proof_check *c, u32 regno, s32 off, u32 size, bool write,
		 struct proof_span *span);

/* The map, or inner map, that a VT_MAP or VT_MAP_VALUE is of; NULL: none. */
const struct ebpf_map_meta *proof_map_meta(const struct proof_check *c, const struct ebpf_vreg *r);
/* Neither system calls nor programs can change its bytes any more. */
bool proof_map_constant(const struct ebpf_vmap *map);
/* A function reads @size bytes of the context. */
int proof_context_bytes(struct proof_check *c, u32 regno, u32 size);

/* --- check_object.c -------------------------------------------------------------------------- */

/* A new reference with @like's kind, obj and uid. */
int proof_acquire(struct proof_check *c, const struct ebpf_vref *like, u32 *id);
int proof_release(struct proof_check *c, u32 id);
void proof_forget(struct proof_check *c, u32 id); /* what needs reference or dynptr @id */
void proof_forget_packets(struct proof_check *c);
const struct ebpf_vref *proof_held_lock(const struct proof_check *c); /* NULL: none */
int proof_field(struct proof_check *c, u32 regno, u32 kind);
int proof_lock(struct proof_check *c, u32 regno, bool lock);
int proof_dynptr(struct proof_check *c, u32 regno, struct ebpf_vreg *out);
/* Make one at R@regno's place: dyn, flags and ref_id as @like's. */
int proof_dynptr_new(struct proof_check *c, u32 regno, const struct ebpf_vreg *like);
int proof_dynptr_release(struct proof_check *c, u32 ref);
/* @arg: EARG_ITER_* */
int proof_iter_new(struct proof_check *c, u32 regno, u32 arg);
int proof_iter_next(struct proof_check *c, u32 regno, u32 arg, struct proof_path **end, u32 *ref);
int proof_iter_destroy(struct proof_check *c, u32 regno, u32 arg);

/* --- check_stack.c: @frame's bytes lo..hi, negative, from its top ---------------------------- */

int proof_stack_write(struct proof_check *c, u32 frame, const struct proof_span *span,
		      const struct ebpf_vreg *value);
int proof_stack_read(struct proof_check *c, u32 frame, const struct proof_span *span,
		     struct ebpf_vreg *value);
/* A function reads (may write) the bytes. */
int proof_stack_arg(struct proof_check *c, u32 frame, const struct proof_span *span, bool write);
