/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program as one process sees it, and one execution of it.
 *
 * Model: PROG_LOAD produces an *image*, a sealed memfd that holds the checked instructions and,
 * where the arch has a JIT, position-independent code (image.h). The image names what differs from
 * process to process (map pointers, addresses of map values) by index into its list of references;
 * each process that maps an image resolves them once into an array of its own, ebpf_prog.refs. Code
 * and interpreter reach everything through struct ebpf_run, one per execution, on the caller's
 * stack.
 *
 * Rules: no allocation, lock, system call or vector register below ebpf_prog_run(). The image is
 * trusted (sealed by the daemon); what it computes on is not.
 */
#pragma once

#include "base/macros.h"
#include "core/run/image.h"

struct ebpf_map;
struct ebpf_run;

/*
 * Every helper: five BPF arguments, and the execution. The JIT passes it in the sixth C argument
 * register.
 */
typedef u64 (*ebpf_helper_fn)(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, struct ebpf_run *run);

#define EBPF_MAX_HELPER_ID                                                                         \
	256 /* ids 0..255; the table never holds NULL: unknown ids point at one that returns       \
	       -EINVAL */
#define EBPF_STACK_SIZE 512 /* bytes per frame chain, as in the kernel */
#define EBPF_MAX_FRAMES 8
#define EBPF_MAX_TAIL_CALLS 33
#define EBPF_MAX_LOOPS (8u << 20) /* rounds of one bpf_loop(), and of a run's may_goto */

/*
 * Offsets used by emitted code (arch/x86_64/jit.c) are static-asserted there; keep the first
 * members in place.
 */
struct ebpf_prog {
	const struct ebpf_image *image; /* start of the mapped image */
	const void *code;		/* entry of the JIT code, or NULL: interpret */
	u64 *refs;			/* image->nrefs words, resolved for this process */
	const u64 *callees;		/* where the image's callees are, or NULL: nowhere */
	u32 id;				/* the daemon's program id */
	u32 slot;			/* index into a statistics table, or ~0 */
};

/* what kind of hit runs the program; decides which helpers make sense */
enum ebpf_run_kind {
	EBPF_RUN_TEST,	    /* BPF_PROG_TEST_RUN or the conformance plugin */
	EBPF_RUN_UPROBE,    /* function entry or offset */
	EBPF_RUN_URETPROBE, /* function return */
	EBPF_RUN_TIMER,	    /* callback of the timer at .ctx */
};

/* What a process provides to all executions in it. Set up before the first run, constant
 * afterwards. */
struct ebpf_env {
	struct ebpf_map *trace; /* ring that takes bpf_printk records (trace.h), or NULL: counted as
				   dropped */
	u64 *trace_dropped;	/* counter of records that did not fit, or NULL */
	/*
	 * For PROG_ARRAY: the program of this process with that id, or NULL. Any context.
	 */
	const struct ebpf_prog *(*prog_by_id)(u32 id);
	/*
	 * For PERF_EVENT_ARRAY: the per-CPU ring at an index of the array, or NULL when none is
	 * set. Any context.
	 */
	struct ebpf_map *(*perf_ring)(struct ebpf_map *array, u32 index);
	/*
	 * Call a function of the process that the program was allowed to call, run->callee says
	 * which, or leave the run. NULL: there are none.
	 */
	u64 (*call)(struct ebpf_run *run, const u64 *args);
};

#define EBPF_MAX_RESERVATIONS 4 /* open at a time; one more gets NULL, as from a full ring */
struct ebpf_reservation {
	void *sample;
	struct ebpf_map *map;
};

struct ebpf_run {
	const ebpf_helper_fn *helpers; /* @0: the table, EBPF_MAX_HELPER_ID entries */
	const struct ebpf_prog *prog;  /* @8: the program that runs (changes on a tail call) */
	u64 *refs;		       /* @16: prog->refs */
	u32 tail_calls;		       /* @24: made so far */
	u32 kind;		       /* @28: enum ebpf_run_kind */
	const struct ebpf_env *env;    /* @32 */
	void *ctx;		       /* the program's r1 */
	u64 cookie;		       /* bpf_get_attach_cookie() */
	u64 func_ip;		       /* bpf_get_func_ip(): the probed address */
	s64 retval;		       /* bpf_get_retval(), where the kind has one */
	/*
	 * Call back into the program: @fn is the value a lddw BPF_PSEUDO_FUNC gave (an address in
	 * JIT code, a tagged pc in the interpreter). Helpers call program code only through this.
	 */
	u64 (*callback)(struct ebpf_run *run, u64 fn, u64 r1, u64 r2, u64 r3, u64 r4, u64 r5);
	void *engine; /* private to the engine that runs */
	/*
	 * Where to go when a load or store of the program itself faults: filled by ebpf_prog_run(),
	 * used by the fault fixup. A run that was cut short this way returns 0 and has .aborted
	 * set.
	 */
	u64 recover[8];
	u32 aborted;
	/* ring-buffer samples reserved and not yet submitted or discarded */
	u32 nresv;
	struct ebpf_reservation resv[EBPF_MAX_RESERVATIONS];
	u32 may_goto; /* times that may_goto still falls through, all of the run's together */
	u32 *lock;    /* of a map's value, which the program holds, or NULL */
	u32 left;     /* enum ebpf_left: how the call ended whose end this is */
	/* of a session: one program at entry and return of a call */
	u32 is_return;
	u64 session_cookie; /* the program's own, from the call's entry to its return */
	struct {
		struct ebpf_map *map; /* a user ring that is being drained, or NULL */
		u64 next;	      /* position behind the sample in the program's hands */
	} drain;
	u32 cpu;	    /* for JIT code: the number of the CPU on which it began, */
	u32 cpu_part;	    /* and which part of values per CPU is that one's */
	u32 callee;	    /* .off of the call of a function of the target (callee.h) */
	u32 stat;	    /* for whoever runs it */
	const u64 *vectors; /* two words of each register that passes values, or NULL */
};

/*
 * Run @prog on @ctx. The caller fills kind, env, cookie, func_ip, retval (zero what does not
 * apply); the rest is set here. Uses prog->code when there is one, else the interpreter. Any
 * context; never fails: a program that faults returns 0 with run->aborted set.
 */
u64 ebpf_prog_run(const struct ebpf_prog *prog, void *ctx, struct ebpf_run *run);

/*
 * Discard the samples that the run left open, which their rings count as dropped, and let go of the
 * lock it holds: ebpf_prog_run() calls it when a program has ended, however it ended. Returns how
 * many samples there were. Any context.
 */
u32 ebpf_run_finish(struct ebpf_run *run);

/*
 * For helpers: the run ends here, ebpf_prog_run() returns 0 with run->aborted set. Comes back where
 * only the interpreter runs, which then goes no further.
 */
void ebpf_run_leave(struct ebpf_run *run);

/*
 * For one who calls one program's .code after the other himself, with a struct of his own: what is
 * the same every time, but for .recover; then what differs, kind, env and what else
 * ebpf_prog_run()'s caller fills aside; and what is to be done when something is left of it
 * afterwards: true when it was cut short.
 */
void ebpf_run_prepare(struct ebpf_run *run);
static inline void ebpf_run_begin(struct ebpf_run *run, const struct ebpf_prog *prog, void *ctx)
{
	run->prog = prog;
	run->refs = prog->refs;
	run->ctx = ctx;
	run->may_goto = EBPF_MAX_LOOPS;
}
static inline bool ebpf_run_is_clean(const struct ebpf_run *run)
{
	return !(run->aborted | run->nresv) && !run->lock && !run->drain.map;
}
bool ebpf_run_clean(struct ebpf_run *run);

/* The same on the interpreter, whatever the image holds: the reference for tests. */
u64 ebpf_prog_run_interp(const struct ebpf_prog *prog, void *ctx, struct ebpf_run *run);

/*
 * Run a callback of @prog, the function at @pc, by itself: as that of @timer. On the interpreter.
 * The caller knows that it is one and what it takes (ebpf_image_timers()).
 */
u64 ebpf_prog_call(const struct ebpf_prog *prog, u32 pc, const u64 args[3], void *timer,
		   struct ebpf_run *run);

/* Which function of the program that @run runs is behind the value @fn of a BPF_PSEUDO_FUNC? */
bool ebpf_callback_pc(const struct ebpf_run *run, u64 fn, u32 *pc);

/*
 * Bind @prog to an image mapped at @base, @len bytes (the caller's mapping; must outlive the
 * program). @refs is memory for image->nrefs words, already resolved by the caller. 0, or -EINVAL
 * when the image is not one, or was not made for these maps.
 */
int ebpf_prog_bind(struct ebpf_prog *prog, const void *base, size_t len, u64 *refs, u32 id);

/*
 * Does the code of @prog have a way of its own to go on when the instruction at regs->ip faults?
 * Then regs->ip is there. Called by the fault handler only; ebpf_prog_fixup() asks, too.
 */
struct arch_regs;
bool ebpf_prog_resume(const struct ebpf_prog *prog, struct arch_regs *regs);

/*
 * If @ip lies in the code of @prog, arrange for the execution to be cut short: *ip, *sp and the
 * callee-saved registers are set so that ebpf_prog_run() returns 0. True when that was done. Called
 * by the fault handler only.
 */
bool ebpf_prog_fixup(const struct ebpf_prog *prog, struct arch_regs *regs);

/*
 * Cut @run short whatever it is doing (a helper, the interpreter, JIT code): when the interrupted
 * thread continues with *regs, ebpf_prog_run() returns 0 with run->aborted set. For a fault handler
 * that knows that its thread is inside @run. False where the arch can't.
 */
bool ebpf_run_abort(struct ebpf_run *run, struct arch_regs *regs);

struct ebpf_map;
/*
 * bpf_tail_call(): the program at @index of the PROG_ARRAY @map, now the one that @run runs
 * (run->prog, run->refs), or NULL when there is none, it can't run on this engine, or there were
 * EBPF_MAX_TAIL_CALLS: then the caller goes on. Called by the engines, which give `call 12` this
 * meaning; the helper of that number in the table is never reached from checked programs.
 */
const struct ebpf_prog *ebpf_tail_call_target(struct ebpf_run *run, struct ebpf_map *map,
					      u64 index);

/* Put the engines' own entries (EBPF_HELPER_*, helper.h) into a helper table. */
void ebpf_prog_internal_helpers(ebpf_helper_fn *table);
