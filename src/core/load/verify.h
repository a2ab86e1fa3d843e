/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The explorer: walks every path of a program through abstract states, as the kernel's verifier
 * does, and writes the kernel's log. Internal to core/load/verif*.c.
 *
 * Model: depth first. The current state moves from instruction to instruction; a branch that can
 * go both ways pushes a copy. Where paths can meet, the state is compared with those that were
 * explored from there before: included in one of them, the path is done (verify_prune.c). What is
 * kept there becomes the proof. Nothing here is trusted: the checker decides.
 *
 * Files, in the order an instruction meets them:
 *	verifier.c	  entry points, main loop, one program or global function after the other
 *	verify_cfg.c	  structure of the control flow: subprograms, unreachable code, points to
 *prune
 *	verify_live.c	  which registers are read before they are written again
 *	verify_alu.c	  arithmetic on scalars and pointers
 *	verify_jmp.c	  conditions: which way, and what that says; linked scalars, null tests
 *	verify_call.c	  subprograms, callbacks, exit, frames
 *	verify_equal.c	  inclusion of states
 *	verify_prune.c	  loops, what is remembered
 *	verify_proof.c	  what of it is handed over
 *	verify_rank.c	  why it ends (for the checker's graph)
 *	verify_precise.c  which scalars' ranges mattered
 *	verify_mem.c	  loads and stores: which object, bounds, alignment, rights
 *	verify_stack.c	  spills, fills, partial and variable accesses
 *	verify_helper.c	  arguments and results of helpers; verify_proto.c is their table
 *	verify_kfunc.c	  the same for kernel functions we serve: iterators, dynptrs
 *	verify_ref.c	  references, locks
 *	verify_ctx.c	  the context of each program type, a table
 *	verify_args.c	  arguments and results by their kind
 *	verify_dynptr.c	  dynptrs and iterators in the stack
 *	verify_func.c	  what the program's functions take
 *	verify_fastcall.c what the stack would need without saves around calls
 *	verify_btf.c	  types of functions and map values
 *	verify_target.c	  types of what is probed; target_abi.c and target_walk.c read them
 *	verify_trace.c	  the way a mark of precision goes back, as text
 *	verify_log.c	  states, instructions and source lines as text
 *
 * Rules: 0 or -errno; whoever returns an error has written the reason (verify_fail()). Allocation
 * failure is -ENOMEM and needs no words.
 */
#pragma once

#include "core/load/target.h"
#include "core/load/verify_btf.h"
#include "core/load/vstate.h"

struct verify_node;   /* verify_node.h: a state that is remembered at an instruction */
struct verify_branch; /* verifier.c: a path to be walked later */
struct verify_path;   /* verify_node.h: how the current state came here */
struct verify_def;    /* verify_precise.c: what values were computed from */
struct verify_backedge;
struct verify_marks; /* verify_node.h */
struct verify_step;  /* verify_trace.c: an instruction of a path */

struct verify_insn { /* what is known of an instruction besides its bytes */
	bool seen;
	bool prune; /* compare states here */
	bool force; /* and keep one each time */
	bool jump_target;
	bool iter_next;	    /* a call of bpf_iter_*_next() */
	bool sync_callback; /* a call that calls back at once */
	bool saves;	    /* saves or restores a register around a call (verify_fastcall.c) */
	u8 loop;	    /* a call of bpf_loop(): enum verify_loop */
	u32 callee;	    /* and its function */
	u8 mem_type; /* enum ebpf_vtype + 1 that a load or store here goes to; 0: not seen yet */
	u8 differs;  /* the register that told two states apart here the last time */
	u16 live;    /* registers that are read before they are written, at this instruction */
	struct verify_node *open; /* unfinished nodes here, the newest first */
};

struct verify_subprog {
	u32 start, end;
	u32 stack;   /* bytes used */
	u32 rest;    /* of them without what only saves registers around calls */
	u32 needed;  /* by the kernel: verify_fastcall.c */
	u64 context; /* slots that held the context's address at some time */
	u64 bytes;   /* slots that were read as anything else */
	bool saves;  /* around a call that needs it not */
	bool keeps;  /* around one that does */
	bool global; /* checked by itself, from the types of its arguments */
	bool called; /* global: by code that is walked */
	bool verified;
	bool callback;	/* its address is taken */
	bool async;	/* as a timer's */
	bool exception; /* what bpf_throw() would end in */
	bool has_tail_call, has_ld_abs;
	bool changes_pkt;
	u32 func_type;	     /* BTF id of its FUNC, 0: none */
	const char *name;    /* escaped; "" when there is none */
	struct ebpf_sig sig; /* what its types say */
};

struct verify {
	const struct ebpf_vprog *prog;
	struct ebpf_log *log;
	struct ebpf_facts *facts;
	struct verify_insn *insn;   /* ninsns */
	struct verify_node **nodes; /* ninsns: remembered there, the newest first */
	struct verify_subprog *subprog;
	u32 nsubprogs;

	struct ebpf_vstate *cur; /* the state before insn_idx */
	u32 insn_idx, prev_insn_idx;
	struct verify_branch *head; /* innermost first */
	u32 nbranches;
	struct verify_path *path;
	struct verify_node *all_nodes; /* every one that was made */
	struct verify_def *defs;
	u32 ndefs, defs_room;
	struct verify_backedge *backedges;
	u32 nbackedges, backedges_room;
	u32 nfinished;
	u32 next_id;	     /* for ids of values and references; 0 is none */
	int error;	     /* why verify_push() gave NULL, 0: no memory */
	u32 main_subprog;    /* the function being verified */
	bool strict;	     /* BPF_F_STRICT_ALIGNMENT */
	bool ctx_bits;	     /* something was computed from the context's address */
	u32 scratched_regs;  /* log: registers the instruction touched, to be printed */
	u64 scratched_slots; /* and slots */
	u64 log_line_end;    /* log: where the line of the last instruction ended, 0: none */
	u32 log_line_len;
	const struct bpf_line_info *log_source; /* log: last source line printed */
	const struct verify_marks *log_marks;	/* log: of the frame being printed, or NULL */
	struct verify_step *steps;		/* log: of all paths */
	u32 nsteps, steps_room;

	/* figures of the last line */
	u32 insn_processed, max_states_per_insn, total_states, peak_states, prev_insn_processed;
	u32 jmps_processed, prev_jmps_processed;
	u64 start_ns;
	struct ebpf_proof *proof;
	struct ebpf_btf target; /* of a typed program; no data: it is none */
	struct ebpf_target_sig sig;
};

static inline const struct bpf_insn *verify_at(const struct verify *v, u32 i)
{
	return &v->prog->insns[i];
}

/* --- log (verify_log.c) ---------------------------------------------------------------------- */

/* Append to the log when there is a level for it. */
void verify_log(struct verify *v, const char *fmt, ...) __printf_like(2, 3);
/* The reason of a refusal; returns -@err. */
int verify_fail(struct verify *v, int err, const char *fmt, ...) __printf_like(3, 4);
/* An error of ours; returns -EFAULT. */
int verify_bug(struct verify *v, const char *fmt, ...) __printf_like(2, 3);
/* "scalar", "map_value_or_null", "fp", "ctx", … as the kernel's log and messages name a type. The
 * text lives in @buf of at least 64 bytes. */
const char *verify_type_name(const struct ebpf_vreg *reg, char *buf);
/* The client's name of a kernel function, printable. False: it told none. */
bool verify_kfunc_name(const struct verify *v, s32 id, char *out, size_t size);
void verify_log_insn(struct verify *v, u32 insn_idx); /* "12: (85) call …" */
void verify_log_state(struct verify *v, bool all);    /* registers: all, or those that changed */
void verify_log_line(struct verify *v, u32 insn_idx); /* "; source @ file:line" */

/* --- values ---------------------------------------------------------------------------------- */

static inline struct ebpf_vreg *verify_reg(struct verify *v, u32 regno)
{
	return ebpf_vreg(v->cur, regno);
}
void verify_reg_none(struct ebpf_vreg *reg);
void verify_reg_unknown(struct verify *v, struct ebpf_vreg *reg); /* any number */
void verify_reg_const(struct ebpf_vreg *reg, u64 value);
/* A pointer of @type with offset 0, all else cleared. */
void verify_reg_pointer(struct ebpf_vreg *reg, u32 type, u32 obj, u32 flags);
u32 verify_new_id(struct verify *v);
/* R1-R5 (and R0) become VT_NONE, as after a call. */
void verify_clobber(struct verify *v);
/* Call @fn for every register and every spilled register of every frame. */
void verify_each_reg(struct ebpf_vstate *st, void (*fn)(struct ebpf_vreg *reg, void *arg),
		     void *arg);
/* Must @regno be readable: "R%d !read_ok". */
int verify_readable(struct verify *v, u32 regno);
/* Its exact range decided something: mark it and what it was computed from. */
int verify_precise(struct verify *v, u32 regno);
/* The same for the scalar spilled in a slot of the current frame. */
int verify_precise_slot(struct verify *v, u32 slot);
/*
 * The current instruction depends on what is in slots [@first, @last] of frame @frameno: a load, a
 * helper that reads memory, a dynptr or iterator argument. Without this a slot counts as dead.
 */
void verify_slot_read(struct verify *v, u32 frameno, u32 first, u32 last);
/* It writes slot @slot; @whole: all eight bytes, on every execution. */
void verify_slot_written(struct verify *v, u32 frameno, u32 slot, bool whole);
/*
 * The origin (reg->def) of a number that was computed from numbers of origins @a and @b; 0: from
 * nothing that is known. A copy keeps its origin, and so does what depends on that copy alone.
 */
u32 verify_def(struct verify *v, u32 a, u32 b);
/* For figures alone (verify_fastcall.c): the current instruction touches the lowest of @bytes bytes
 * of the stack of a frame of @subprog; it is a call of bpf_loop(). */
void verify_fastcall_access(struct verify *v, u32 subprog, u32 bytes);
void verify_fastcall_loop(struct verify *v, u32 callee);
/*
 * @queued (from verify_push()) goes round a loop that the run time bounds, once more: what differs
 * from the last time this instruction was met on this path and did not matter becomes unknown. For
 * iterators; callbacks and may_goto use it too.
 */
int verify_widen(struct verify *v, struct ebpf_vstate *queued);

/* --- arithmetic, jumps, calls (explorer's core) ----------------------------------------------- */

int verify_alu(struct verify *v, const struct bpf_insn *in);
/* A conditional jump, may_goto included; sets insn_idx. */
int verify_cond(struct verify *v, const struct bpf_insn *in);
/* A branch to be walked later: a copy of the current state at @insn_idx, or NULL (-ENOMEM, or too
 * many, said). The copy may be changed until the next call. */
struct ebpf_vstate *verify_push(struct verify *v, u32 insn_idx, u32 prev_idx);
int verify_subprog_call(struct verify *v);
int verify_exit(struct verify *v, bool *done);
/*
 * The helper at the current instruction calls back @fn_regno's subprogram: pushes a path that
 * starts in it, its registers set by @setup from the caller's frame.
 */
typedef int (*verify_cb_setup)(struct verify *v, const struct ebpf_vframe *caller,
			       struct ebpf_vframe *callee);
int verify_callback(struct verify *v, u32 subprog, verify_cb_setup setup, bool async);
/* Pointers to memory outside bounds: offset plus variable part within the kernel's limits. */
int verify_ptr_sane(struct verify *v, const struct ebpf_vreg *reg, u32 regno);

/* --- memory ---------------------------------------------------------------------------------- */

/* LDX, LDX|MEMSX, ST, STX, atomics, LD_ABS/IND: everything checked and the state changed. */
int verify_load(struct verify *v, const struct bpf_insn *in);
int verify_store(struct verify *v, const struct bpf_insn *in);
int verify_atomic(struct verify *v, const struct bpf_insn *in);
int verify_ld_imm64(struct verify *v, const struct bpf_insn *in);
int verify_ld_abs(struct verify *v, const struct bpf_insn *in);
/* Is the register + off a readable (writable) stretch of @size bytes? For arguments of functions.
 */
int verify_mem_region(struct verify *v, u32 regno, u32 size, bool write, bool zero_allowed);
void verify_spill(struct ebpf_vslot *slot, const struct ebpf_vreg *reg, u32 size);

/* --- the target's types (verify_target.c) ------------------------------------------------------
 */

int verify_target_open(struct verify *v);
void verify_target_close(struct verify *v);
/* A load of @size bytes at @off of a typed program's context, into @dst (~0: nowhere). */
int verify_target_context(struct verify *v, u32 off, u32 size, u32 dst);
/* The name of the structure that VT_BTF @reg points to, printable; @buf of 64 bytes. */
const char *verify_target_name(const struct verify *v, const struct ebpf_vreg *reg, char *buf);
/* A pointer into the target, to a structure, and not to the registers. */
static inline bool verify_is_target(const struct ebpf_vreg *reg)
{
	return reg->type == VT_BTF && reg->obj;
}

/* --- functions that are called ------------------------------------------------------------------
 */

int verify_helper_call(struct verify *v, const struct bpf_insn *in);
int verify_kfunc_call(struct verify *v, const struct bpf_insn *in);
/* How many argument registers a helper or kfunc call reads; 5 when in doubt. */
u32 verify_call_args(const struct verify *v, const struct bpf_insn *in);
/* Is it a call of bpf_iter_num_next() or the like? Needs no state. */
bool verify_is_iter_next(const struct verify *v, const struct bpf_insn *in);
/* Which subprograms have tail calls and loads from packets (verify_cfg.c). */
void verify_note_calls(struct verify *v);
/* Before exploration: func info fits the subprograms; their name, func_type, global. */
int verify_btf_subprogs(struct verify *v);
/* The arguments R1-R5 fit a global subprogram's types (said in its BTF). */
int verify_global_args(struct verify *v, u32 subprog);
/* The registers of @frame as a global subprogram's (or the main program's) types say. */
int verify_entry_args(struct verify *v, u32 subprog, struct ebpf_vframe *frame);

/* --- references ---------------------------------------------------------------------------------
 */

int verify_ref_acquire(struct verify *v, u32 kind, u32 *id);
int verify_ref_release(struct verify *v, u32 id); /* and forget every value that needs it */
/* At the end of the program (or callback, or before a tail call): nothing may be held. @what:
 * "BPF_EXIT instruction" … */
int verify_refs_empty(struct verify *v, bool exception, const char *what);
bool verify_locked(const struct verify *v);
/* A function returned (its frame is gone): what it acquired is its caller's now. */
void verify_refs_returned(struct ebpf_vstate *st);
/* What the program returns is in the range its type allows. */
int verify_return(struct verify *v, u32 regno, const char *name);
