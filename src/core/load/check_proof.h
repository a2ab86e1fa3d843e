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
 *	check_proof.c	paths from state to state, entries
 *	check_rank.c	edges and budgets: does every execution end
 *	check_state.c	one state includes another
 *	check_step.c	arithmetic, jumps, calls and returns
 *	check_mem.c	loads and stores
 *	check_stack.c	the bytes of a stack
 *	check_object.c	references, sections, dynptrs, iterators
 *	check_call.c	helpers and kernel functions
 *	check_func.c	entries and returns: what types say of arguments and results
 *
 * Rules: nothing of the explorer's is used but the states themselves. No pruning, precision or
 * liveness here; what is simple is refused rather than understood. Shared with the explorer: the
 * scalar domain and the tables of helpers and contexts.
 */
#pragma once

#include "core/load/rank.h"
#include "core/load/verify_btf.h"
#include "core/load/vstate.h"

#define PROOF_MAX_STEPS 4000000u /* the explorer's limit is a million */
#define PROOF_MAX_PENDING 8192u
#define PROOF_NONE ~0u

struct proof_path {
	struct proof_path *next;
	struct ebpf_vstate st;
	u32 pc;
	u32 from;   /* index of the stored state it started in, PROOF_NONE: an entry */
	bool start; /* at the beginning: it arrives nowhere yet */
	struct ebpf_budgets budgets;
};

struct proof_entry { /* a function that is entered without a caller of ours */
	u32 subprog;
	u32 map; /* of an async callback: the map of its timer; PROOF_NONE: a global function */
};

#define PROOF_MAX_ENTRIES 512

struct proof_subprog {
	u32 start;
	struct ebpf_sig sig;
};

struct proof_check {
	const struct ebpf_vprog *prog;
	struct ebpf_proof *proof; /* states are normalised in place */
	struct ebpf_log *log;
	struct ebpf_facts *facts;
	u32 *first;  /* ninsns + 1: stored states of an instruction */
	u8 *reached; /* nstates: 1 something leads there, 2 walked, too */
	struct ebpf_edge *edges;
	u32 nedges, edges_room;
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
/*
 * Function @subprog is checked by itself: a global one that is called (@map PROOF_NONE), or a
 * callback that runs later, with a value of map @map.
 */
int proof_entry(struct proof_check *c, u32 subprog, u32 map);
u32 proof_subprog_at(const struct proof_check *c, u32 pc); /* that starts at @pc, PROOF_NONE */

/* --- check_state.c --------------------------------------------------------------------------- */

bool proof_included(struct proof_check *c, const struct ebpf_vstate *in,
		    const struct ebpf_vstate *stored);
bool proof_is_zero(const struct ebpf_vreg *r); /* the number 0 */
bool proof_unmoved(const struct ebpf_vreg *r); /* its offset is 0 */
void proof_unlink(struct ebpf_vreg *r);
void proof_narrow(struct ebpf_vreg *r, u32 bytes); /* the low bytes of a number */

/* --- check_rank.c ---------------------------------------------------------------------------- */

void proof_budgets_start(struct ebpf_budgets *b, const struct ebpf_vstate *st, u32 pc);
void proof_budgets_keep(struct ebpf_budgets *b, const struct ebpf_vstate *st, u32 pc);
void proof_budget_use(struct ebpf_budgets *b, u32 kind, u32 frame, u32 at);
void proof_budget_drop(struct ebpf_budgets *b, u32 kind, u32 frame, u32 at);
int proof_edge(struct proof_check *c, u32 to);
bool proof_harmless(struct ebpf_edge *e, const struct ebpf_ranks *ranks);
int proof_ends(struct proof_check *c); /* every cycle uses up a budget */

/* --- stepping -------------------------------------------------------------------------------- */

/* Execute the instruction at p->pc; *end: the path is over. */
int proof_step(struct proof_check *c, bool *end);
int proof_mem(struct proof_check *c, const struct bpf_insn *in);
int proof_lddw(struct proof_check *c, const struct bpf_insn *in);
int proof_call(struct proof_check *c, const struct bpf_insn *in); /* of a helper or kfunc */
int proof_types(struct proof_check *c);				  /* read the functions' types */
int proof_global_call(struct proof_check *c, u32 subprog);
int proof_return(struct proof_check *c); /* R0 at the end of main, a global function or callback */
int proof_entry_args(struct proof_check *c, const struct proof_entry *e, struct ebpf_vframe *f);
void proof_value_args(struct ebpf_vframe *f, const struct ebpf_vreg *map); /* map, key, value */
int proof_readable(struct proof_check *c, u32 regno);
/* Enter @subprog from the current instruction: a frame more, its arguments from the caller's. */
int proof_enter(struct proof_check *c, u32 subprog, bool callback);
void proof_clobber(struct proof_check *c);
void proof_link(struct proof_check *c, struct ebpf_vreg *src); /* before it is copied */

struct proof_args { /* what the arguments of one call were */
	const struct ebpf_proto *proto;
	struct ebpf_vreg map;	 /* VT_NONE: none */
	struct ebpf_vreg dynptr; /* VT_NONE: none */
	u32 fixed;		 /* bytes of an EARG_FIXED argument */
	u32 alloc;		 /* EARG_ALLOC_SIZE or a constant EARG_SIZE */
	u32 func;		 /* EARG_FUNC: subprogram */
	u64 longest;		 /* of the lengths */
	bool releases;		 /* reference */
	u32 release;
};
/* Is R@regno what @arg (verify_proto.h) says? */
int proof_arg(struct proof_check *c, u32 regno, u32 arg, struct proof_args *a);

/*
 * @size bytes at pointer @r plus @off: is all of it inside its object, and may it be read
 * (written)? *lo, *hi: first byte and last byte + 1 that can be touched, relative to the object.
 */
struct proof_span {
	s64 lo, hi;
	bool fixed; /* hi - lo is the size of the access */
};
int proof_access(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size, bool write,
		 struct proof_span *span);

/* The map, or inner map, that a VT_MAP or VT_MAP_VALUE is of; NULL: none. */
const struct ebpf_map_meta *proof_map_meta(const struct proof_check *c, const struct ebpf_vreg *r);
/* Neither system calls nor programs can change its bytes any more. */
bool proof_map_constant(const struct ebpf_vmap *map);
/* A function reads @size bytes of the context. */
int proof_context_bytes(struct proof_check *c, u32 regno, u32 size);

/* --- check_object.c: @arg: EARG_*, the object's kind ------------------------------------------ */

struct proof_object { /* in a stack */
	u32 frame, slot;
	const struct ebpf_vreg *first; /* what the first slot says */
};

int proof_acquire(struct proof_check *c, u32 kind, u32 *id);
int proof_release(struct proof_check *c, u32 id); /* what needs it is gone */
int proof_section(struct proof_check *c, u32 kind, bool enter);
int proof_lock(struct proof_check *c, u32 regno, bool lock);
bool proof_locked(const struct proof_check *c);
void proof_forget_packets(struct proof_check *c);
/* Make one at R@regno's place, or find it there. */
int proof_object_new(struct proof_check *c, u32 regno, u32 arg, const struct ebpf_vreg *like);
int proof_object(struct proof_check *c, u32 regno, u32 arg, struct proof_object *o);
/* The dynptr that R@regno stands for: in a stack, or one that was passed. */
int proof_dynptr(struct proof_check *c, u32 regno, struct ebpf_vreg *out);
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
/* What a load of the slot's low @size bytes gives. */
void proof_slot_load(const struct ebpf_vslot *s, u32 size, struct ebpf_vreg *value);
/* Something in the bytes that were written; no spill, no object any more. */
void proof_slot_misc(struct ebpf_vslot *s);
