/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agent: a guest in someone else's process.
 *
 * Model: two kinds of code. *Exchange* code (exchange.c, state.c, site.c, poke.c, start.c) runs
 * rarely, one thread at a time under agent.exchange, and is the only code that allocates (mmap) or
 * changes tables. *Hit* code (trap.c, ret.c, fault.c, sig.c) runs in the handlers of SIGTRAP,
 * SIGSEGV and SIGBUS, and where jumps lead (jump.c, lean.c), on any thread at any moment, and only
 * reads what exchange code published with a release store.
 *
 * Rules: no libc, no thread-local storage, no lock on the hit path, no output ever. Sites are never
 * freed; programs and maps when everything is restored and no thread is in a hit; consumer arrays
 * are swapped whole and reused only after no thread is in a hit.
 */
#pragma once

#include "agent/frame.h"
#include "agent/sys.h"
#include "base/hash.h"
#include "core/run/helper.h"
#include "osl/osl_trap.h"
#include "proto/shm_abi.h"

/* --- what is installed --------------------------------------------------------------------------
 */

enum hook_when { HOOK_ENTRY, HOOK_STUB, HOOK_RETURN, HOOK_SESSION };

/* a consumer in force */
struct agent_hook {
	u64 link;
	u64 cookie;
	const struct ebpf_prog *prog; /* swapped by AGENT_UPDATE_LINK */
	u64 sema; /* the counter that was raised for it, 0: none, or lowered again */
	u32 ret;  /* enum hook_when */
	u32 stat;
	u32 index; /* of the link's places */
	u32 entry; /* they are the first instructions of functions */
};

/* all consumers of a site; immutable but for .prog and .sema */
struct agent_hooks {
	struct agent_hooks *next; /* retired or free list */
	u32 order;		  /* room for 1 << order */
	u32 n;
	u32 nret; /* of them HOOK_STUB */
	u16 lean; /* hits of them may take the short way (lean.c) */
	u16 more; /* than to run one program */
	struct agent_hook v[];
};

/* how the displaced instruction is executed; immutable */
struct agent_plan {
	u32 flags; /* AGENT_SITE_* */
	u32 module;
	u64 func;      /* of AGENT_SITE_RETURN */
	bool has_jump; /* else memory ends before .jump or, without a slot, before its bytes; with
			  one, behind the stub's */
	bool can_jump; /* .jump and what it leads to are in place */
	struct arch_patch patch;
	struct arch_jump jump; /* last */
};

/* The site of syscall(): which call it is, is in a register; nothing tells when it has ended. */
static inline bool agent_plan_any_call(const struct agent_plan *plan)
{
	return (~plan->flags & (AGENT_SITE_SIGMASK | AGENT_SITE_SIGACTION)) == 0;
}

/* GONE: with its module; a break byte that is met there belongs to whoever is there now */
enum agent_site_state { SITE_DEAD, SITE_ARMED, SITE_GONE };

/* NO: a break or nothing; LOWERED: on the way from the jump to the break */
enum agent_jumped { JUMP_NO, JUMP_STANDS, JUMP_LOWERED };

struct agent_place {
	struct agent_place *chain; /* of the bucket; insert-only */
	struct agent_place *older; /* of all places */
	u64 addr;
	struct agent_plan *plan;
	struct agent_hooks *hooks; /* NULL: none */
	u32 state;		   /* enum agent_site_state */
	u32 jumped;		   /* enum agent_jumped; of the armed and, where it had to stay,
				      of the dead */
	u32 inner;		   /* bytes behind it, as bits, where breaks of jumps are or were */
	bool leaves;		   /* it is among those that are being restored */
};

struct agent_prog_entry {
	struct agent_prog_entry *chain;
	struct ebpf_prog prog;
	u64 calls[EBPF_CALLEES_MAX + EBPF_CALLEE_AIDS];
};

struct agent_map_entry {
	struct agent_map_entry *next;
	struct ebpf_map map;
	struct ebpf_map **rings; /* PERF_EVENT_ARRAY: max_entries, entries NULL or a ring */
};

struct agent_arena_entry {
	struct agent_arena_entry *next;
	u64 addr, size;
	u64 records; /* bytes, for those of the stubs */
};

/* what the kernel has as struct sigaction */
struct agent_sigaction {
	u64 handler;
	u64 flags;
	u64 restorer;
	u64 mask;
};

/*
 * Pages of the daemon. Their addresses stay for good: a thread on its way into the handler may have
 * one at hand.
 */
#define AGENT_SHARED 3 /* bells, life, statistics */
struct agent_shared {
	void *addr; /* NULL: not mapped yet */
	u64 size;
};

#define AGENT_SIGNALS 5 /* that the agent handles: SIGTRAP and those of faults */

struct agent {
	u32 exchange;	 /* lock: 1 while an exchange is under way */
	u32 ready;	 /* AGENT_SETUP has succeeded once */
	u32 inert;	 /* everything is restored; programs no longer run */
	u32 participant; /* who we are for the daemon */
	u64 target;
	u64 generation;
	u32 pid; /* as getpid() says, to tell a child that shares our memory */
	u32 nstats;
	u32 ret_limit;	  /* return instances in use at most */
	u32 shadow_stack; /* return addresses must not be changed */
	u32 trace_map;
	u32 jumps; /* sites may become jumps */
	/* of consumers: hits may know what they were (lean.c). In the page of .mark: not 0 where
	 * that is FORK_KNOWN */
	u64 *changes;
	struct agent_shared shared[AGENT_SHARED];
	u32 *mark;		   /* a page the kernel wipes in a forked child: enum fork_mark */
	struct agent_stats *stats; /* NULL before the set-up */
	struct agent_lane *lanes;  /* AGENT_LANES, one for each stack of the pool; or NULL; lent */
	const struct osl_life *life; /* likewise */
	u64 dl_debug;		     /* the loader's struct r_debug, 0: none */
	struct agent_place *places;  /* all, newest first */
	struct agent_map_entry *maps;
	struct agent_arena_entry *arenas;
	struct agent_sigaction app[AGENT_SIGNALS]; /* the application's own actions */
	struct ebpf_env env;
	char socket[UNIX_PATH_MAX];
};
extern struct agent agent;

/* Within walls a process is taken for the one it was. */
static inline u32 sys_getpid(void)
{
	long pid = SYS3(__NR_getpid, 0, 0, 0);

	return pid > 0 ? (u32)pid : agent.pid;
}

/* mem.c */
void *memcpy(void *dst, const void *src, size_t len);
int memcmp(const void *a, const void *b, size_t len);
void *memset(void *dst, int c, size_t len);

/* text.c */
bool text_begins(const char *s, const char *with);
char *put_text(char *to, const char *s); /* where its zero is */
char *put_number(char *to, u64 v);

/* --- state.c ------------------------------------------------------------------------------------
 */

/* Zeroed memory that is never freed, or NULL. Exchange code only. */
void *agent_alloc(u64 size);
/* Anonymous zeroed pages under a name, or NULL. */
void *agent_pages(u64 size, const char *name);
/*
 * Memory for what programs need: it goes with agent_state_release(). Of pages already mapped, what
 * is to be unmapped then: @addr again, or an error, then nothing is mapped.
 */
void *agent_lend(u64 size);
long agent_lend_pages(long addr, u64 size);
struct agent_map_entry *agent_map_find(u32 id);
const struct ebpf_prog *agent_prog_find(u32 id);			/* any context */
struct ebpf_map *agent_perf_ring_at(struct ebpf_map *array, u32 index); /* any context */
int agent_map_add(const struct agent_map *m, int fd);
int agent_inner_add(const struct agent_inner_map *m);
int agent_prog_add(const struct agent_prog *p, const u32 *map_ids, int fd);
/* ringmap.c */
int agent_ring_pages(const struct agent_map *m, int fd, long *out);
int agent_perf_ring_set(const struct agent_perf_ring *r, int fd);
int agent_arena_add(const struct agent_arena *a);
bool agent_arena_holds(u64 addr, u64 len);
bool agent_arena_has_stub(u64 addr); /* and its record, perhaps empty */
/* Is @ip in the code of a program? Any context; slow. */
bool agent_prog_contains(u64 ip);
bool agent_prog_resume(struct arch_regs *regs); /* ebpf_prog_resume() */
/* The daemon is another one than before: forget programs and maps (they stay mapped). */
void agent_state_forget(void);
/* Unmap all that; only after nothing refers to it any more, and nobody is in a hit. */
void agent_state_release(void);

/* Any context; NULL: none. */
static inline struct agent_stat *agent_stat_at(u32 index)
{
	return likely(index < agent.nstats && agent.stats) ? &agent.stats->stat[index] : NULL;
}

static inline void agent_count(u64 *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/*
 * The pool's stacks (stack.c). At the end of each is what belongs to a hit that takes the short way
 * (lean.c), and what its programs run in, one after the other.
 */
#define AGENT_STACK_SIZE (32u << 10)
#define AGENT_STACK_OWN 512u
struct agent_stack {
	u8 room[AGENT_STACK_SIZE - AGENT_STACK_OWN];
	u64 origin; /* where the thread was before */
	u64 code;   /* what entry.S is to call there */
	struct agent_active *a;
	struct agent_lane *lane;
	const struct agent_place *p;
	const struct agent_hooks *hooks;
	const struct agent_hook *h; /* of them, whose program runs */
	u32 when;		    /* which of them run */
	u32 more;		    /* there may be something to do after that */
	u32 notes;		    /* of a return */
	u32 spare;		    /* return instance for the next call, 0: none (ret.c) */
	/* What is above, and .run but for what each hit has of its own, is right for hits at this
	 * place, or NULL, at .when, while *agent.changes is what it was. */
	const struct agent_place *was;
	u64 changes;
	u64 link;
	u64 at; /* .was' address, when they are hits at an entry (entry.S); 0: none are known */
	u64 *counter; /* of the lane, for the program */
	u64 key;      /* of the thread, for which this is right: */
	const struct agent_alternate *alternate;
	/* The entry of calls whose return is probed, and nothing else, while *agent.changes is
	 * .push_changes; 0: none is known. */
	u64 push_at;
	u64 push_changes;
	const struct agent_place *push_place;
	u64 checked; /* *agent.changes when all was asked that it counts */
	struct ebpf_run run;
	u64 frame; /* of a hit by a jump that doesn't take the short way, or 0: for unwinders */
} __attribute__((aligned(AGENT_STACK_OWN)));
_Static_assert(sizeof(struct agent_stack) == AGENT_STACK_SIZE, "AGENT_STACK_OWN is too small");
extern struct agent_stack agent_stacks[AGENT_LANES] __hidden;

/* Of the pool's stacks; -1: it is none of them. */
static inline s32 stack_index(u64 sp)
{
	u64 at = sp - (u64)agent_stacks;

	return at < sizeof(agent_stacks) ? (s32)(at / AGENT_STACK_SIZE) : -1;
}

/* The lane of who runs on the stack that @sp is on, or NULL. */
static inline struct agent_lane *agent_lane_at(u64 sp)
{
	struct agent_lane *lanes = load_acquire(&agent.lanes);
	s32 i = lanes ? stack_index(sp) : -1;

	return i < 0 ? NULL : &lanes[i];
}

/* --- site.c -------------------------------------------------------------------------------------
 */

#define SITES_FEW 2048u /* places in the first table, and its buckets */
extern struct agent_place *agent_sites[SITES_FEW] __hidden;
static inline u32 site_hash(u64 addr)
{
	return hash_quick(addr);
}
static inline struct agent_place *site_find_in(struct agent_place **head, u64 addr)
{
	struct agent_place *p = load_acquire(head);

	while (p && p->addr != addr)
		p = p->chain;
	return p;
}
struct agent_place *site_find_more(u64 addr);	      /* in the second table */
static inline struct agent_place *site_find(u64 addr) /* any context */
{
	struct agent_place *p = site_find_in(&agent_sites[site_hash(addr) % SITES_FEW], addr);

	return likely(p) ? p : site_find_more(addr);
}
/* The place whose slot or stub contains @ip, or NULL. Any context; slow. */
struct agent_place *site_of_slot(u64 ip);
/*
 * @regs are of a thread that faulted in the slot or stub of @p, or where stubs call: make them what
 * they would be had the instruction run where it belongs.
 */
void site_unslot(const struct agent_place *p, struct arch_regs *regs);
/* Where a thread at @ip would be in the text, when it is in a stub that executes what follows the
 * displaced instruction; or @ip. Any context; slow. */
u64 site_behind(u64 ip);
/* Arm @n sites; err[i] receives each one's result. */
void site_arm_all(const struct agent_site *v, u32 n, s32 *err);
int site_hook(const struct agent_consumer *c);
void site_drop_link(u64 link);
int site_update_link(u64 link, const struct ebpf_prog *prog);
void site_unhook_all(void);
/* Another module may be at @addr by now: nothing there is ours any more. */
void site_forget(u64 addr);
/* Put the original bytes back at these, unless they are sites that do other things, too. */
void site_restore_some(const u64 *addrs, u32 n);
/*
 * Put every original byte back; any context. False when those that guard the signals had to stay,
 * because other threads run.
 */
bool site_restore_all(bool others_stopped);
/* What hits know may not be true any more (agent.changes). */
void site_changed(void);
/* Are the masks guarded: is a site armed that keeps our signals unblocked? */
bool site_guarded(void);
bool site_any_armed(void);
void site_slept(void);	  /* AGENT_AWAKE */
u64 site_ending(u32 low); /* the only one whose address ends so, or 0; any context, slow */

struct agent_poke {
	int fd;	       /* /proc/self/mem, or -1: change protections instead */
	bool collects; /* writes, until poke_sync() */
	int err;       /* why what was collected could not be written */
};

/* --- jump.c -------------------------------------------------------------------------------------
 */

/* What the jump of a new plan leads to is written; false: it stays a break. */
bool jump_prepare(struct agent_poke *poke, const struct arch_patch *p, const struct arch_jump *j);
/* Breaks become jumps where that is possible. */
void jump_raise(struct agent_poke *poke, struct agent_place *const *v, u32 n);
/* And jumps breaks: those of which @pred is true. */
void jump_lower(struct agent_poke *poke, bool (*pred)(const struct agent_place *p));
/* All are breaks again and stay so; false: some could not be lowered. */
bool jump_give_up(void);
/* Its text is somebody else's by now. */
void jump_forget(struct agent_place *p);
bool jump_stands(struct agent_poke *poke, const struct agent_place *p); /* nobody changed it */
/* Behind the first byte of @text, that of the instruction, is what belongs to the jump? Any
 * context. */
bool jump_tail_is(const struct agent_plan *plan, const u8 *text);
/* No jump may stand over the byte at @addr any more; false: one does. */
bool jump_lower_over(struct agent_poke *poke, u64 addr);
/* What stubs leave on the stack: entry.S */
/* No jump may have a break within at @addr any more; false: one does. */
bool jump_lower_around(struct agent_poke *poke, u64 addr);
/* Where the thread goes on that has met the break at @addr within a jump; 0: none is there. */
u64 jump_inner(u64 addr);
/* Right behind the break at @addr, with @regs: has what is there without us been executed? */
bool jump_inner_done(u64 addr, const struct arch_regs *regs);

struct jump_frame {
	u64 mark;     /* its address + JUMP_MARK; 0: the hit is over */
	u64 deferred; /* a signal, which has come in with .mask: defer.c */
	u64 mask;
	struct agent_stack *stack; /* of a hit that takes the short way */
	struct arch_regs regs;	   /* the thread's, which never change but for a return's .ip */
	u64 ret, distance;
};
/*
 * Some program of the process is told what is in vector registers: entry.S stores them below the
 * frame, and whether it did behind them.
 */
extern u8 agent_vectors __hidden;
#define JUMP_VECTORS 144
static inline const u64 *jump_vectors(const struct jump_frame *f)
{
	const u64 *v = (const u64 *)(((u64)f & ~15ull) - JUMP_VECTORS);

	return v[JUMP_VECTORS / 8 - 2] ? v : NULL;
}
#define JUMP_MARK 0x5eed5eedULL
#define JUMP_RED_ZONE 128
#define JUMP_PUSHED (16 + JUMP_RED_ZONE) /* return address, distance */
_Static_assert(offsetof(struct jump_frame, regs) == 32, "entry.S: frame_regs");
/* Where a site's stub finds its way on, from the stack pointer of a hit that is paired (ret.c). */
#define AGENT_STUB_NEXT (-32)
void jump_serve(struct jump_frame *f); /* a hit that can't take the short way */
/* In a forked child, before anything is armed or restored: which sites are jumps is seen anew. */
void jump_forked(void);
/*
 * A thread that can't go on at @ip: did a jump lead it there that somebody else has changed by
 * break points of his own? Then @uc is back at the site, as if it had trapped. Slow.
 */
bool jump_astray(struct osl_ucontext *uc, u64 ip);
/* A page of pads, of the memory @fd. 0, also when it is there already. */
int jump_pad_map(const struct agent_pad *pad, int fd);
bool jump_is_pad(u64 addr);
/* Bytes of a return instance's stub that is a call: .ret of its frame less that is the stub. */
#define RET_STUB_CALL 5
/* .distance of such a frame; the other one when the CPU expects what follows (ret_paired()) */
#define RET_DISTANCE ((u64)-RET_STUB_CALL)
#define RET_DISTANCE_PAIRED (RET_DISTANCE + 1)
u64 jump_pad_leads(u64 addr); /* the stub that a pad's jump at @addr leads to, or 0 */

/* --- lean.c -------------------------------------------------------------------------------------
 */

/*
 * For entry.S: the stack on which to call what its .code says, with the registers and its .run, and
 * then, if there is .more to do, to ask for the next; NULL: the hit has been served. A hit or
 * return of the thread with the place @a, which it has entered, or NULL.
 */
struct agent_stack *agent_on_jump(struct jump_frame *f, struct agent_active *a) __hidden;
/* The same on the stack of its place, where all but what is counted has been asked. */
struct agent_stack *agent_again_on_jump(struct jump_frame *f, struct agent_stack *s) __hidden;
struct agent_stack *agent_next_on_jump(struct jump_frame *f, struct agent_stack *s) __hidden;
void agent_jump_cut(void) __hidden; /* entry.S: where programs that are cut short return */

/* --- leaf.c -------------------------------------------------------------------------------------
 */

void leaf_init(void);
/* A program is there, whose image has a leaf perhaps: what that has of its own is at @own. */
int leaf_bind(const struct ebpf_prog *prog, u64 *own);
/* And one that calls functions of the target: there are no leaves from here on. */
void leaf_calls(void);
/* The stub of @j calls the agent. */
void leaf_off(const struct arch_jump *j);
/* The plan or the consumers of @p are others: its stub calls what it may. */
void leaf_update(const struct agent_place *p);
void leaf_all_off(void); /* any context */
/* May a thread be in one whose site has lost it? */
bool leaf_runs(void);
/* Is it of a leaf, or where that goes for a thread's first hit? Any context; slow. */
bool leaf_contains(u64 ip);
void leaf_lanes(void);	   /* agent.lanes is set */
bool leaf_give_back(void); /* nobody is in one, nor comes to one; false: that is not certain */
void leaf_forked(void);	   /* in a child */
/* A signal came to @uc: true, it is back at the site; else it is not in a leaf any more. */
bool leaf_settle(struct osl_ucontext *uc);
/* A fault in a leaf's program: it goes on where that has ended. */
bool leaf_faulted(struct arch_regs *regs);
void agent_leaf_claim(void) __hidden; /* leaf_code.S */

/* --- callee.c -----------------------------------------------------------------------------------
 */

/* For struct ebpf_env. */
u64 callee_call(struct ebpf_run *run, const u64 *args);
/* @uc came to a fault in a function that was called: it goes on behind the call, if there is one.
 */
bool callee_faulted(struct osl_ucontext *uc);
/*
 * A thread at the site @p of an unwinder: an exception that would leave a function that was called
 * ends there, and the end of the thread goes on above the hit. True: it goes on elsewhere.
 */
bool callee_unwinds(const struct agent_place *p, struct arch_regs *regs, struct osl_ucontext *uc);
void callee_init(void);
struct target_call;
void agent_call_away(struct target_call *c, u64 sp) __hidden;
bool agent_call_over(struct target_call *c) __hidden;
extern u8 agent_call_back[] __hidden;
void agent_call_left(struct target_call *c) __hidden __attribute__((noreturn));
extern u8 agent_end_above[] __hidden;

/* --- poke.c -------------------------------------------------------------------------------------
 */

void poke_begin(struct agent_poke *p);
void poke_end(struct agent_poke *p);
/* A wrong address is an error and no fault. */
int poke_read(struct agent_poke *p, u64 addr, u8 *bytes, u32 len);
int poke_write(struct agent_poke *p, u64 addr, const u8 *bytes, u32 len);
/* Bytes that are zero yet, or these already: 0 or -EEXIST, -EFAULT. */
int poke_fill(struct agent_poke *p, u64 addr, const u8 *bytes, u32 len);
/*
 * What was written is there, and every thread has a serialised view of it from here on. False: the
 * one was not possible, or the kernel does not do the other.
 */
bool poke_sync(struct agent_poke *p);
/* Nobody else executes anything in this memory, or does again: its view needs no care. */
void poke_alone(bool yes);

/* --- active.c -----------------------------------------------------------------------------------
 */

/* a thread in a hit */
#define ACTIVE_SIZE 128 /* two lines, of which most hits need the first */
struct agent_active {
	u64 key;	      /* thread pointer | 1, 0: free */
	u64 frame;	      /* address of the outermost handler's frame */
	struct ebpf_run *run; /* the execution under way, where there is a .link */
	u64 link;	      /* whose program may be running, 0: none */
	u32 open;  /* signals may arrive in it: .frame, if not 0, is a struct jump_frame */
	u32 stack; /* of the pool, belongs to whoever is in here: its number + 1 */
	/* of the thread that was in here last, or NULL */
	const struct agent_alternate *alternate;
	/* .stack, when a hit by entry.S finds it, .run and .open as it left them, or NULL */
	struct agent_stack *ready;
	const u64 *vectors; /* the thread's registers that pass arguments, where they are known */
	u64 calling;	    /* the struct target_call under way, and a number; 0: none (callee.c) */
	const struct agent_place *noted; /* where the program is that calls, or NULL */
	u32 notes;			 /* of the sessions of its hit, which gives them back */
	u32 noted_return;
	u32 call_stat; /* of the program that calls, and its run: */
	u32 call_tid;
	struct ebpf_run *lent;
	struct target_call *closed; /* under way in a hit by a trap, or NULL */
} __attribute__((aligned(ACTIVE_SIZE)));
_Static_assert(sizeof(struct agent_active) == ACTIVE_SIZE, "entry.S: active_shift");
#define ACTIVE_SLOTS 1024u
extern struct agent_active agent_active_slots[ACTIVE_SLOTS] __hidden;
/* The first that one with @key is looked for in. */
static inline u32 active_slot(u64 key)
{
	return hash_quick(key) % ACTIVE_SLOTS;
}
#define ACTIVE_OPEN 1
#define ACTIVE_EXPOSED 2 /* and one of their handlers runs, which may not come back */
#define ACTIVE_STACK 8	 /* bit from which on is one more than the stack of the pool it is on */
/* Enter a hit: NULL and *nested set when this thread is in one already; or a place, to be left. */
struct agent_active *active_enter(u64 frame, bool *nested);
/* Enter a hit that signals may interrupt, which is never nested. */
struct jump_frame;
struct agent_active *active_enter_open(const struct jump_frame *f, u64 thread);
/* It goes on on a stack of the pool. */
void active_moves(struct agent_active *a, s32 stack);
/* Its place, for active_unbind(); false: it has none of its own. */
bool active_index(const struct agent_active *a, u32 *index);
/* Take the stack away that belongs to the place @index; false: somebody is in there. */
bool active_unbind(u32 index, s32 stack);
/* Until it is left these are its vector registers; NULL: they are not known. */
void active_carry(struct agent_active *a, const u64 *vectors);
void active_leave(struct agent_active *a);
/* Is no thread but @self in a hit? Then what has been unpublished before is no longer used. */
bool active_quiet(const struct agent_active *self);
/* May a program of @link be running? Its hooks have been taken away, and poke_sync() called. */
bool active_runs(u64 link);
/* Is this thread in a function that a program called? Then what it hits at @frame is missed. */
bool active_calling(u64 thread, u64 frame);
/* Is it the place where its thread is looked for first? Only from there functions are called. */
bool active_at_home(const struct agent_active *a);
/* Where the thread calls a function, or NULL. */
struct agent_active *active_caller(u64 thread);
/* May @thread be in a hit? */
bool active_thread(u64 thread);
void active_reset(void); /* in a forked child: the other threads are gone */
/* Ends the hits of threads that have ended in a call of a program's: all, or those that hold a
 * stack. */
void active_bury(bool with_stack);
/* The innermost hit that this thread is in, whose frame is above @frame; or NULL. */
struct agent_active *active_here(u64 frame);

/* --- trap.c -------------------------------------------------------------------------------------
 */

/* @uc is of a thread at a site, for whose jump there is no stack: as if it had trapped. */
bool trap_at(siginfo_t *info, struct osl_ucontext *uc);
void agent_on_trap(int sig, siginfo_t *info, struct osl_ucontext *uc);
/* A signal that somebody sent: has the thread come to a break that was not told for it? Then it is
 * told now, and the signal is held back until that is over. */
bool trap_untold(siginfo_t *info, struct osl_ucontext *uc);
/* What was held back meanwhile comes in when the handler with @info returns. */
void trap_over(siginfo_t *info, struct osl_ucontext *uc);
/*
 * A debugger keeps traps that it knows nothing of from the program, which goes on behind them. What
 * is behind those in the agent itself raises SIGILL: is @uc there? Then it is as if it had trapped.
 */
bool trap_swallowed(const struct osl_ucontext *uc);
/* A hit of @p: its consumers run. @a: where it was entered; NULL: they miss it. */
void trap_serve(const struct agent_place *p, const struct arch_regs *regs, struct agent_active *a);
/* A return to the stub at @addr, in @a or missed: regs->ip becomes where the call came from, what
 * is returned is where control goes on, 0: the stub is nobody's; in *@back before a program runs.
 */
u64 trap_serve_return(u64 addr, struct arch_regs *regs, struct agent_active *a, u64 *back);
/* Does a program there call functions of the target? Those don't run in signal handlers. */
bool trap_calls(const struct agent_place *p);
void trap_missed(const struct agent_place *p, enum hook_when when);
/* One consumer's program runs. */
void trap_run_hook(const struct agent_hook *h, const struct agent_place *p,
		   const struct arch_regs *regs, bool is_return, struct agent_active *a);
/* Those of a return. */
void trap_run_return(const struct agent_place *p, const struct arch_regs *regs, u32 notes,
		     struct agent_active *a);
/* A hit ended in the program of @link, its call's sessions being @notes. */
void trap_undone(const struct agent_place *p, u32 notes, bool is_return, u64 link);
/* A call's return, and with it those of the sessions @notes. */
void trap_missed_return(const struct agent_place *p, u32 notes);
/*
 * A call ended, but not by a return: by @how. The programs that ask for it run with @regs, or, when
 * there is no @a, have missed it. Without @regs it is too late for them. @notes: its sessions.
 */
void trap_left(const struct agent_place *p, u32 notes, const struct arch_regs *regs, u32 how,
	       struct agent_active *a);

/* --- session.c ----------------------------------------------------------------------------------
 */

/* Exchange code: before the first consumer of that kind. */
int session_init(bool typed); /* and of programs that are told the arguments at an exit */
/*
 * Notes of a call in progress, a list by the number of its head, 0: none: which sessions want its
 * return, each with the program's own word. Of any thread; what one call has is its thread's alone.
 */
bool session_note(u32 *notes, const struct agent_hook *h, u64 cookie); /* false: no room */
bool session_find(u32 notes, const struct agent_hook *h, u64 *cookie);
/* Where the session's note keeps the arguments of the call, for a typed program; or NULL. */
u64 *session_words(u32 notes, const struct agent_hook *h);
void session_forget(u32 notes);

/* --- ret.c --------------------------------------------------------------------------------------
 */

void ret_init(u32 limit);
/*
 * Prepare the return of the call that is about to start: 0 when that is impossible. @notes are
 * the instance's then, and go with it. @spare: who comes here often keeps an instance there between
 * a return and the next call; or NULL. Else, with @spare, the call in the agent's text by which the
 * hit is to go on to the function, so that the CPU expects its return to be to the stub (entry.S);
 * or RET_UNPAIRED.
 */
#define RET_UNPAIRED 1
u64 ret_push(const struct agent_place *p, const struct arch_regs *regs, u32 notes, u32 *spare);
extern u8 agent_ret_stubs[] __hidden, agent_ret_stubs_end[] __hidden;
static inline bool ret_is_stub(u64 addr)
{
	return addr - (u64)agent_ret_stubs < (u64)(agent_ret_stubs_end - agent_ret_stubs);
}
/* Where a break is, when no call is there: nobody comes to what is right behind it otherwise. */
bool ret_is_break(u64 addr);
/*
 * Where a thread is: its stack pointer, and the stack that it set up for signals; and what tells
 * programs how calls ended.
 */
struct ret_stack {
	u64 sp;
	u64 alternate, alternate_size;
	u32 how; /* to suspend: enum ebpf_left, what leaves those that are passed */
	const struct arch_regs *regs;
	struct agent_active *active; /* NULL: they can't run now */
};
/*
 * Put this thread's return addresses at @at and above back: until ret_resume(), or @for_good, then
 * the returns count as missed.
 */
void ret_suspend(const struct ret_stack *at, bool for_good);
/* The same for all threads, which are held meanwhile, and for good. */
void ret_put_back_all(void);
/* What calls that were left still have is given back, unless that was in vain a moment ago. */
void ret_reclaim(void);
/* Look for calls that ended otherwise than by a return. */
void ret_count_left(void);
/* An unwinder has done its work: control goes on with the stack as in @at. */
void ret_resume(const struct ret_stack *at);
/* A longjmp() to @sp: the end of a thread may have come to its end. */
void ret_jump(const struct ret_stack *at, u64 sp);
/* What is behind the stubs at @ip: where the calls came from in the end. */
u64 ret_origin(u64 ip);
/* Behind the call of a stub the thread is already where the function returns to, before the other
 * one it is on its way to the function. */
void ret_leave_stub(struct osl_ucontext *uc);
/* Will a call return to a stub, as far as its stack says? */
bool ret_any(void);
/* The stubs are calls from here on, and no breaks; and breaks again. */
void ret_raise(struct agent_poke *poke);
void ret_lower(struct agent_poke *poke);
void ret_forked(void); /* in a forked child */
/* Is there a call of @thread that will return to a stub? */
bool ret_pending(u64 thread);
/* The stub at @addr was returned to: the place and, in regs->ip, where the call came from. Its
 * @notes are the caller's. */
const struct agent_place *ret_pop(u64 addr, struct arch_regs *regs, u32 *notes, u32 *spare);
void ret_take_back(u32 i); /* everything was put back while this thread pushed that */

/* --- stack.c ------------------------------------------------------------------------------------
 */

/* Call @fn on a stack that is large enough, from the handler of the signal with @uc. False: there
 * is none, nothing was called. */
bool stack_call(void (*fn)(void *hit), void *hit, const struct osl_ucontext *uc);
bool stack_cramped(const struct osl_ucontext *uc); /* another alternate stack is set for it then */
/* Is @sp on the alternate stack, where another handler of ours has no room? */
bool stack_full(u64 sp, const struct osl_ucontext *uc);
/* The same for a hit that is in no handler. */
void stack_call_open(void (*fn)(void *hit), void *hit, struct agent_active *a);
/* Of a thread, written by nobody else. A place is never given to another. */
struct agent_alternate {
	u64 key; /* thread pointer | 1, and ALTERNATE_KNOWN when the others are valid; 0: free */
	u64 at, size;
};
#define ALTERNATE_KNOWN 2u
static inline u64 alternate_key(u64 thread)
{
	return (thread & ~3ull) | 1;
}
/* May a hit at @sp go on on another stack, as far as the alternate one matters? */
static inline bool alternate_unused(const struct agent_alternate *a, u64 sp, u64 thread)
{
	return a && load_acquire(&a->key) == (alternate_key(thread) | ALTERNATE_KNOWN) &&
	       sp - a->at >= a->size;
}
const struct agent_alternate *stack_alternate(u64 thread); /* NULL: there is no room for it */
/* What is known for that: @uc's handler was called with @sp; @trapped: in place of the hit itself.
 */
void stack_note(const struct osl_ucontext *uc, u64 sp, bool trapped);
void stack_lanes(void); /* there is a new page that says which lanes are in use */
/* Where the thread was before it went to the stack of ours that @sp is on; or @sp. */
u64 stack_origin(u64 sp);
void stack_reset(void);
/* But stack @number - 1 is in use, and stays with @place when it is .stack of that. */
void stack_keep(u32 number, u32 of_place, u32 place);
void agent_call_on(u64 top, void (*fn)(void *), void *arg) __hidden;

/* --- fault.c, sig.c -----------------------------------------------------------------------------
 */

bool agent_contains(u64 ip);
bool agent_works(u64 ip); /* the same, but for a sleep of the application's that it goes on with */
bool agent_handles(u64 ip); /* the same, but for what stubs call: a handler, or what it calls */
void agent_on_fault(int sig, siginfo_t *info, struct osl_ucontext *uc);
/* Executing @patch failed: @info and @uc become those of the signal that the instruction would have
 * caused, for the application. */
bool fault_raise(const struct arch_patch *patch, const struct arch_regs *regs, siginfo_t *info,
		 struct osl_ucontext *uc);
/* the signals that the agent handles, and that are never blocked */
#define SIG_OURS (1ULL << (SIGTRAP - 1) | 1ULL << (SIGSEGV - 1) | 1ULL << (SIGBUS - 1))
int sig_install(void);
void sig_open_masks(void);   /* only while no other thread runs */
void sig_see_handlers(void); /* what the application does with actions is seen from here on */
/* The actions of our signals are the application's again; until sig_install(). */
void sig_give_back(void);
bool sig_installed(void);
/* While we handle one, nothing but faults may come in. */
#define SIG_HANDLED (SIG_OURS | 1ULL << (SIGILL - 1) | 1ULL << (SIGFPE - 1))
#define SIG_HELD (~SIG_HANDLED)
#define SIG_FAULTS (1ULL << (SIGSEGV - 1) | 1ULL << (SIGBUS - 1)) /* of hits */
void sig_unblock(void);
/*
 * In a handler of ours: faults may come in, and what is sent with them; nothing may, false: that
 * can't be had (within walls).
 */
void sig_open(void);
bool sig_close(void);
/* In that of SIGTRAP, when a hit is to be served: breaks may come in. */
void sig_open_trap(void);
/* In any, beside its stack: all of that, until it goes on with what it had blocked. */
u64 sig_open_beside(void);
void sig_close_beside(u64 mask);
/* Nothing can come in: what was held back is the kernel's to deliver, when @mask is set. */
void sig_release(u64 mask);
/* The handler of ours that was interrupted comes first, undisturbed. */
void sig_wait_for(const siginfo_t *info, struct osl_ucontext *uc);
/*
 * What the application would see of this signal. When that is its death: a fault of the
 * application's own instruction (@again) is left to happen again, with the default action.
 */
void sig_chain(int sig, siginfo_t *info, struct osl_ucontext *uc, bool again);
/* The syscall instruction at a sanitised site: true when it has been emulated. */
bool sig_emulate(const struct agent_plan *plan, struct arch_regs *regs, struct osl_ucontext *uc);

/* The masks of the application's handlers as it set them; when the guards have gone. */
void sig_close_masks(void);
/* Around a system call that waits with a mask of its own: true when @regs have changed. */
bool sig_guard_wait(const struct agent_plan *plan, struct arch_regs *regs);
/* defer.c */
/* What the application has set, by signal; what the kernel has is ours. */
struct agent_sigaction defer_known(u64 sig);
/* @act is what the kernel gets: our handler in place of the application's, where that is to be
 * seen, as it is to block @withheld of our signals or jumps stand. */
void defer_wrap(u64 sig, struct agent_sigaction *act, u64 withheld);
/* @act is what the kernel had: what the application had set. */
void defer_unwrap(const struct agent_sigaction *was, struct agent_sigaction *act);
/*
 * A signal has come in: when the thread is on its way to a hit it is put back to the site, when it
 * is in one the signal comes again afterwards: true, nothing is to be done now.
 */
bool defer_signal(int sig, const siginfo_t *info, struct osl_ucontext *uc);
/* What was put off comes in now, with which @uc was taken from agent_let_in(). */
void defer_let_in(struct osl_ucontext *uc);
/*
 * The same for one of ours that somebody sent: true, it comes in when the hit is over, or the
 * handler of ours that it has interrupted.
 */
bool defer_sent(const siginfo_t *info, struct osl_ucontext *uc);
bool defer_rewind(struct osl_ucontext *uc); /* only the first of it: true when it was so */
/* From the handler of another signal: as the kernel would call @act's. Doesn't return, or has done
 * what it can. */
void sig_call(int sig, const struct agent_sigaction *act, siginfo_t *info, struct osl_ucontext *uc);
/* To a handler with the kernel's frame that @uc is in, and with what it is to block. */
void sig_enter(int sig, const struct agent_sigaction *act, siginfo_t *info,
	       struct osl_ucontext *uc);
void agent_on_signal(int sig, siginfo_t *info, struct osl_ucontext *uc);
/* waitmask.c */
bool waitmask_before(u64 nr, struct arch_regs *regs);
bool waitmask_behind(struct arch_regs *regs);
/* The mask with which system call @nr waits. */
bool waitmask_of(u64 nr, struct arch_regs *regs, u64 *mask);
/* The same behind it, where faults may be blocked; ours may be missing. */
bool waitmask_ended(u64 nr, struct arch_regs *regs, u64 *mask);
/* withheld.c: which of our signals a thread would block */
u64 withheld_get(u64 thread, u64 mask);	    /* which has @mask for the kernel, 0: never mind */
u64 withheld_blocked(u64 thread, u64 mask); /* the same, unless it waits with a mask of its own */
u64 withheld_of(u32 tid);		    /* the same, as far as there is a note */
void withheld_wait(u64 thread, bool begins, u64 mask);
void withheld_set(u64 thread, u32 tid, u64 which, u64 mask);
/* A system call begins at @sp with a number that nothing tells later on; that, or -1. Only of those
 * that would block ours. */
void withheld_calls(u64 thread, u64 sp, u64 nr);
int withheld_called(u64 thread, u64 sp);
/*
 * A system call begins at @sp that waits for @ms at most; how much of that is left, if its
 * beginning was seen; it has ended, and was to wait for @ms.
 */
void withheld_limit(u64 thread, u64 sp, u64 ms);
bool withheld_left(u64 thread, u64 sp, u64 *ms);
bool withheld_unlimit(u64 thread, u64 *ms);
void withheld_restore(u64 thread, u64 which); /* in a handler of ours, even within walls */
void withheld_forked(void);
void withheld_take(const struct agent_withheld_list *l);
/* @settled: no thread will meet a stub any more. Without a list they are forgotten. */
void withheld_give_back(struct agent_withheld_list *l, bool settled);

/*
 * sigframe.c: masks that returns from handlers will set. Of what threads that are held would block
 * then our signals are taken out; they come back, and what is withheld by now with them.
 */
void sigframe_open(const struct agent_held *who, u32 n);
void sigframe_close(const struct agent_held *who, u32 n);

/* --- crowd.c ------------------------------------------------------------------------------------
 */

/* the threads that are held during an exchange: all */
struct agent_crowd {
	const struct agent_held *who;
	u32 n;
	bool unsettled; /* as in struct agent_withheld_list */
};
void crowd_begin(const struct agent_crowd *c);
/* Between the two: does none of them need our handlers? Else, that can be told by asking again. */
bool crowd_settled(void);
bool crowd_unsettled(void);
/* Is one of them known to be @in there? And, are all known not to be? */
bool crowd_any(bool (*in)(u64 ip, u64 sp));
bool crowd_outside(bool (*in)(u64 ip, u64 sp));
/* Will @thread trap or fault for us before it is the application's again? */
bool crowd_needs_traps(u64 thread);
/* @l gets what the injection is to block. */
void crowd_end(struct agent_withheld_list *l);

/* handling.c: the application's handlers for what was sent, until they return */
/* The handler that is about to be called with @frame, whose context is @uc, blocks @blocks. */
void handling_begin(u64 frame, u64 restorer, u64 blocks, const struct osl_ucontext *uc);
/* One that began before somebody came, and returns to where @before is blocked: what its @frame is
 * to have in place of @restorer, 0: that stays. */
u64 handling_began(u64 frame, u64 restorer, u64 before);
bool handling_ended(struct osl_ucontext *uc); /* is the fault at @uc the end of one? */
bool handling_before(u64 frame, u64 *which);  /* what is withheld when @frame's returns */
void handling_forget(void);		      /* from here on they return as the application says */

/* heldback.c: our signals that came to a thread that would have blocked them */
void heldback_put(const siginfo_t *info, struct osl_ucontext *uc);
bool heldback_any(void);		     /* not often */
bool heldback_take(u64 set, siginfo_t *out); /* for this thread */
u64 heldback_pending(void);
void heldback_forget(u64 set);
void heldback_forked(void);
void heldback_give_back(void);
/* This thread is about to queue @info to itself. When one of its kind has come (or that has
 * failed): true, it is *info now, whatever it looked like. */
void heldback_queued(const siginfo_t *info);
bool heldback_came(siginfo_t *info);
void heldback_begin(void); /* the guards are about to come */
/*
 * In a handler of ours: did another thread of ours send it? Then *info is what it stands for;
 * false: that has been taken meanwhile.
 */
bool heldback_reveal(siginfo_t *info);
/* Around sigtimedwait(); true: it is done, with its result in @regs. @watched: its end is seen. */
bool heldback_before_wait(struct arch_regs *regs, const struct arch_patch *patch, bool watched);
bool heldback_behind_wait(struct arch_regs *regs); /* true: @regs have changed */
/* Around all that a handler does that may return to such a call. */
void heldback_enter(void);
void heldback_leave(struct osl_ucontext *uc);
/* Is there a signal that this thread, which has @mask for the kernel, blocks no more? Then it is in
 * *info, to be handed on. */
bool sig_held(siginfo_t *info, u64 mask);

/* --- fork.c, inert.c ----------------------------------------------------------------------------
 */

enum fork_mark { FORK_NEW, FORK_ASKING, FORK_KNOWN };
int fork_init(void);
void fork_begin(void); /* first of all in a child that may be new */
/* Settles a child that has just been born. False while that is under way or was in vain. */
bool fork_settle(void);
static inline bool fork_check(void) /* at every hit */
{
	return likely(load_acquire(agent.mark) == FORK_KNOWN) || fork_settle();
}
bool agent_go_inert(bool others_stopped); /* as site_restore_all() */
/* Inert, and everything restored: give back what programs needed. False: a thread is in one. */
bool agent_give_back(void);

/* osl_daemon_dead() without a call: the page is ours, and set before the first site. */
static inline bool agent_daemon_dead(void)
{
	return load_relaxed(&agent.life->alive) & OSL_LIFE_OWNER_DIED;
}

/* --- exchange.c, start.c ------------------------------------------------------------------------
 */

/* One exchange on @fd (owned, closed here) or, when -1, over a new connection. 0 or -errno. */
int exchange_run(u32 reason, int fd, u64 token);
bool exchange_shadow_stack(void); /* must return addresses stay? Before the set-up, too. */
/* The same from a trap: waits while another thread is in one. */
int exchange_from_trap(u32 reason);
u64 start_text_base(void);
u64 agent_enter(u64 reason, u64 fd, struct agent_withheld_list *withheld);

/* One exchange with the daemon whose socket is at @path; @alone: no other thread runs. */
int exchange_called(const char *path, bool alone);
void start_find_loader(void); /* as far as it is not known */

/* --- call.c -------------------------------------------------------------------------------------
 */

/* From now on the daemon may call us by a signal (AGENT_CALL_SIGNAL). */
void call_listen(void);
/* By somebody else's debugger, as far as is known: not by the injection. */
bool agent_is_traced(void);
void agent_on_call(int sig, siginfo_t *info, struct osl_ucontext *uc);

/* --- again.c ------------------------------------------------------------------------------------
 */

/*
 * What signal handler @uc has interrupted goes on as if there had been no signal, as far as its
 * system call can be made again; @known: its number, or -1. True: it is a sleep, of which the
 * kernel remembers the rest.
 */
bool again_after(struct osl_ucontext *uc, int known);
/* The same for a signal that is held back, right before the end of its handler; it may not return.
 */
void again_held_back(struct osl_ucontext *uc);
/*
 * A handler of the application for @sig is about to run, with the kernel's frame that @uc is in:
 * the mask that it begins with, but for what its action says. That is the one of before, or that of
 * the wait which it ends.
 */
u64 again_handled(int sig, struct osl_ucontext *uc);

/* --- exec.c, execfile.c, environ.c --------------------------------------------------------------
 */

/* Programs that this process executes belong to its sessions; .token 0: no more. */
void exec_follow(const struct agent_follow *f);
/* The system call @nr is about to be made: true when agent_exec() makes it, with @regs. */
bool exec_guard(u64 nr, u64 behind, struct arch_regs *regs);
bool exec_trace_me(u64 nr, struct arch_regs *regs); /* true: it is done */
void exec_failed(struct osl_ucontext *uc);	    /* at agent_exec_back */
#define FIRST_LEN 64				    /* of the name of a library */
/*
 * Will it bring our agent along? 0, enum agent_exec_why, or negative: it will not be executed.
 * @first: the library that it wants loaded before all others, or "".
 */
int execfile_look(int dir, const char *path, int flags, const char *agent_path,
		  char first[FIRST_LEN]);
/* Is what LD_PRELOAD says at @entry the library of a sanitizer that ends what loads it later? */
bool execfile_is_first(const char *entry);
void environ_hide(void);
bool environ_is_ours(const char *variable); /* but for LD_PRELOAD */

/* entry.S */
void agent_exec(void);
void agent_exec_back(void) __hidden;
void agent_entry(void);
void agent_trap_entry(void);
void agent_fault_entry(void);
void agent_call_entry(void);
long agent_restart_syscall(void);
/* fn(arg) from within the handler of a trap, as if this were one: false: there is no stack for it.
 */
bool agent_trap_self(void (*fn)(void *), void *arg) __hidden;
extern u8 agent_trap_self_break[] __hidden;
void agent_let_in(void);
extern u8 agent_jump_code[] __hidden, agent_jump_code_end[] __hidden; /* they, and stubs' calls */
void agent_jump_entry(void);
void agent_ret_entry(void);
void agent_ret_home(void);
void agent_ret_home2(void) __hidden;
void agent_ret_nowhere(void);
void agent_signal_entry(void);
void agent_restorer(void);
/* What raises the signals that the agent handles, in the order of agent.app[]. */
#define AGENT_DEATH_LEN 16
extern u8 agent_deaths[] __hidden;
/* Everything is as @uc says from here on. */
_Noreturn void agent_sigreturn(const struct osl_ucontext *uc);
/* As if the kernel had called @handler with the frame that begins at @frame. */
_Noreturn void agent_hand_on(u64 frame, u64 handler, u64 sig, siginfo_t *info,
			     struct osl_ucontext *uc);
extern u8 agent_entry_abort[];
extern u64 agent_entry_sp; /* stack of the injected call under way, 0: none */
