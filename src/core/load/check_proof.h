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
 * Rules: nothing of the explorer's is used but the states themselves, and where to look for one.
 * No pruning, precision or liveness here; what is simple is refused rather than understood. Shared
 * with the explorer: the scalar domain, the memory of states, the tables of helpers and contexts,
 * the reader of types. That global functions don't call each other for ever is not looked at here
 * but in the call graph (check.c), where the image as a whole is.
 *
 * A refusal does not return: it leaves the checker at once (proof_try()), so that no check can be
 * forgotten by who asked for it. All memory hangs on struct proof_check.
 *
 * The place of a pointer is one number, its variable part: `off` is 0, but for packets, whose range
 * counts from the variable part. A number that is linked is at its `delta` from what its id stands
 * for, whatever VREG_DELTA says. Ids that are given here are from PROOF_FIRST_ID on; a stored state
 * that has one of those includes nothing.
 */
#pragma once

#include <setjmp.h>

#include "core/load/rank.h"
#include "core/load/verify_btf.h"
#include "core/load/vstate.h"

#define PROOF_MAX_STEPS 4000000u /* the explorer's limit is a million */
#define PROOF_MAX_PENDING 8192u
#define PROOF_MAX_MOVE (1ll << 29) /* from an object, where it is looked at */
#define PROOF_NONE ~0u
#define PROOF_FIRST_ID (1u << 30)

struct proof_path {
	struct proof_path *next;
	struct ebpf_vstate st;
	u32 pc;	    /* PROOF_NONE: it is over */
	u32 from;   /* index of the stored state it started in, PROOF_NONE: an entry */
	bool start; /* at the beginning: it arrives nowhere yet */
	struct ebpf_budgets budgets;
};

struct proof_subprog {
	u32 start;
	bool entered; /* by itself: main, or a global function that is called */
};

struct proof_check {
	const struct ebpf_vprog *prog;
	struct ebpf_proof *proof;
	struct ebpf_log *log;
	struct ebpf_facts *facts;
	bool *reached; /* nstates: something leads there */
	u32 *walks;    /* nstates: those, in the order in which they are walked */
	u32 nwalks;
	struct ebpf_edge *edges;
	u32 nedges, edges_room;
	struct proof_path *todo;
	u32 npending;
	struct proof_path *p; /* the one that is stepped; not in todo */
	u32 next_id;
	u32 steps;
	struct proof_subprog *subprog;
	u32 nsubprogs;
	struct ebpf_sig *sig; /* nsubprogs */
	jmp_buf out;	      /* where a refusal goes */
	int err;
};

static inline struct ebpf_vreg *proof_reg(struct proof_check *c, u32 regno)
{
	return ebpf_vreg(&c->p->st, regno);
}

/* What is told of the current instruction (vprog.h). */
static inline void proof_fact(struct proof_check *c, u32 fact)
{
	c->facts->insn[c->p->pc] |= (u16)fact;
}

/* Not a proof: writes the reason with the instruction, and leaves. */
_Noreturn void proof_fail(struct proof_check *c, const char *fmt, ...) __printf_like(2, 3);
/* Leaves with another error. */
_Noreturn void proof_stop(struct proof_check *c, int err);

static inline void proof_need(struct proof_check *c, bool ok, const char *text)
{
	if (unlikely(!ok))
		proof_fail(c, "%s", text);
}

/* What was allocated is there. */
static inline void proof_got(struct proof_check *c, bool ok)
{
	if (unlikely(!ok))
		proof_stop(c, -ENOMEM);
}

/* --- check_proof.c --------------------------------------------------------------------------- */

/* Run @fn: 0, or the error with which it was left. */
int proof_try(struct proof_check *c, void (*fn)(struct proof_check *c));
/* Another path that starts with the current state at @pc; it may be changed by the caller. */
struct proof_path *proof_fork(struct proof_check *c, u32 pc);
/* Go on with the path that was forked last, and with this one later. */
void proof_swap(struct proof_check *c);
/*
 * Function @subprog is checked by itself: a global one that is called (@map PROOF_NONE), or a
 * callback that runs later, with a value of map @map.
 */
void proof_entry(struct proof_check *c, u32 subprog, u32 map);
u32 proof_subprog_at(struct proof_check *c, u32 pc); /* that starts at @pc */

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
void proof_edge(struct proof_check *c, u32 to);
bool proof_harmless(struct ebpf_edge *e, const struct ebpf_ranks *ranks);
void proof_ends(struct proof_check *c); /* every cycle uses up a budget */

/* --- stepping -------------------------------------------------------------------------------- */

void proof_step(struct proof_check *c); /* execute the instruction at p->pc */
void proof_mem(struct proof_check *c, const struct bpf_insn *in);
void proof_call(struct proof_check *c, const struct bpf_insn *in); /* of a helper or kfunc */
void proof_global_call(struct proof_check *c, u32 subprog);
void proof_return(struct proof_check *c); /* R0 at the end of main, a global function or callback */
void proof_entry_args(struct proof_check *c, struct ebpf_vframe *f, u32 map);
/* The same of a callback, of map @map, that was just entered from the call in the frame above. */
void proof_callback_args(struct proof_check *c, u32 callback, const struct ebpf_vreg *map);
struct ebpf_vreg *proof_readable(struct proof_check *c, u32 regno);
/* Enter @subprog from the current instruction: a frame more, its arguments from the caller's. */
void proof_enter(struct proof_check *c, u32 subprog, bool callback);
void proof_clobber(struct proof_check *c);
void proof_link(struct proof_check *c, struct ebpf_vreg *src); /* before it is copied */

/*
 * @size bytes at pointer @r plus @off: is all of it inside its object, and may it be read
 * (written)? lo, hi: first byte and last byte + 1 that can be touched, relative to the object.
 */
struct proof_span {
	s64 lo, hi;
	bool fixed; /* hi - lo is the size of the access */
};
struct proof_span proof_access(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size,
			       bool write);

/* The map, or inner map, that a VT_MAP or VT_MAP_VALUE is of. */
const struct ebpf_map_meta *proof_map_meta(struct proof_check *c, const struct ebpf_vreg *r);
/* The map whose own value @r points into, not NULL; or NULL. */
const struct ebpf_vmap *proof_map_of_value(struct proof_check *c, const struct ebpf_vreg *r);
/* The bytes of such a value there, and how many, that nobody can change any more; or NULL. */
const u8 *proof_constant(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 *room);
/* A function reads @size bytes of the context. */
void proof_context_bytes(struct proof_check *c, u32 regno, u32 size);

/* --- check_object.c: @arg: EARG_*, the object's kind ------------------------------------------ */

struct proof_object {
	u32 frame, slot;	/* of those in a stack the first, at the lowest address */
	struct ebpf_vreg value; /* what the first slot says, or the register */
};

u32 proof_acquire(struct proof_check *c, u32 kind);
void proof_release(struct proof_check *c, u32 id); /* what needs it is gone */
/* Enter or leave one of @kind; a lock's: of the value that @r points into. */
void proof_section(struct proof_check *c, u32 kind, bool enter, const struct ebpf_vreg *r);
bool proof_locked(const struct proof_check *c);
void proof_forget_packets(struct proof_check *c);
/* Make one at R@regno's place, of reference @ref (0: none) and with the flag VREG_RDONLY or none.
 */
void proof_object_new(struct proof_check *c, u32 regno, u32 arg, u32 ref, u32 flags);
/* Find it there, whole; a dynptr may have been passed. */
struct proof_object proof_object(struct proof_check *c, u32 regno, u32 arg);

/* --- check_stack.c: @frame's bytes lo..hi, negative, from its top ---------------------------- */

/* @value NULL: anything */
void proof_stack_write(struct proof_check *c, u32 frame, const struct proof_span *span,
		       const struct ebpf_vreg *value);
void proof_stack_read(struct proof_check *c, u32 frame, const struct proof_span *span,
		      struct ebpf_vreg *value);
/* A function reads (may write) the bytes. */
void proof_stack_arg(struct proof_check *c, u32 frame, const struct proof_span *span, bool write);
/* What a load of the slot's low @size bytes gives. */
void proof_slot_load(const struct ebpf_vslot *s, u32 size, struct ebpf_vreg *value);
/* What was spilled, or the part of an object, is no longer whole: bytes that were written. */
void proof_slot_break(struct ebpf_vslot *s);
bool proof_byte_is_zero(const struct ebpf_vslot *s, u32 i);
