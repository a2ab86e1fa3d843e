/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract between daemon and agent: what crosses the socket during an exchange, and the
 * statistics page both map.
 *
 * Model: an agent talks to the daemon only in *exchanges*: it connects (or is handed a connected
 * socket by the injection), sends AGENT_HELLO with the reason, then obeys the daemon's messages one
 * by one, acknowledging each, until AGENT_DONE. Reasons: START (preloaded, or just injected),
 * COMMAND (called by ptrace because something changed), CALLED (the same by a signal), MODULES (a
 * library was loaded or unloaded), FORK (first hit in a forked child). All decisions are the
 * daemon's; the agent checks what it is told against its own bounds and its own memory, and answers
 * with errno values.
 *
 * Messages are SEQPACKET datagrams of at most AGENT_MSG_MAX bytes: struct agent_msg followed by the
 * body named at the type. Fixed-size structs, no pointers. Bump AGENT_ABI whenever anything here
 * changes: agent and daemon of different ABI refuse each other with a sentence in the daemon's log.
 */
#pragma once

#include "arch/arch.h"
#include "core/run/map/map.h"
#include "core/run/prog.h"

#define AGENT_ABI 19u
#define AGENT_MSG_MAX 65536u
/*
 * How long an agent waits for a silent daemon; then it goes on without. That is for one that lives
 * and is stopped, or gets no time: of a dead one the socket's end tells at once. While threads are
 * held, or when it has waited in vain before: the first; else, where what is not waited for is
 * lost, as long as a busy machine may take, and no longer than a person waits for a program to
 * start: the second one, which is the daemon's patience, too. A process and its children wait so
 * long together, from the first question on; after that, until the daemon has done anything, each
 * the third one.
 */
#define AGENT_TIMEOUT_MS 2000u
#define AGENT_PATIENCE_MS 10000u
#define AGENT_BRIEF_MS 100u

enum agent_reason { AGENT_START = 1, AGENT_COMMAND, AGENT_MODULES, AGENT_FORK, AGENT_CALLED };

/*
 * Where ptrace is denied a preloaded agent is called by a signal to one thread, which holds the
 * exchange in its handler: si_code SI_QUEUE, si_errno AGENT_CALL_MARK, si_pid the daemon's process,
 * si_value the number of its descriptor of the directory in which the socket `agent` is, and in the
 * upper half one more than the system call the thread waits in, 0: unknown.
 *
 * SIGURG, because a process without our handler (it has executed another program meanwhile)
 * ignores that.
 */
#define AGENT_CALL_SIGNAL 23
#define AGENT_CALL_MARK (0x65620000u + AGENT_ABI)

/*
 * A signal that a thread of the target sends another one for the agent has this mark, of four
 * bytes, in its siginfo, behind what applications know of one that was queued: it only stands for
 * another one, and is for a handler of the agent.
 */
#define AGENT_NUDGE 0x67647564u
#define AGENT_MARK_AT 40 /* the kernel keeps 48 */

enum agent_msg_type {
	AGENT_HELLO = 1, /* agent: struct agent_hello; of a new process that came by itself + 1 fd
			    where it can be had: its /proc/self/mem, to read */
	AGENT_ACK,	 /* agent: struct agent_ack, then body if the type has one */
	AGENT_SETUP,	 /* daemon: struct agent_setup + 3 fds: bells, life, stats */
	AGENT_MAP,	 /* daemon: struct agent_map + 1 fd */
	AGENT_PROG,	 /* daemon: struct agent_prog + u32 map ids[] + 1 fd */
	AGENT_ARENA,	 /* daemon: struct agent_arena: memory for slots */
	AGENT_SITES,	 /* daemon: u32 n, u32 pad, struct agent_site[n]; ack body: s32 err[n] */
	AGENT_CONSUMERS, /* daemon: u32 n, u32 pad, struct agent_consumer[n]; ack body: s32 err[n]
			  */
	AGENT_DROP_LINK, /* daemon: struct agent_drop: remove this link's consumers; bare sites are
			    restored; -EINPROGRESS: done, but a thread may be in its program still:
			    say it again to know */
	AGENT_RESTORE_ALL, /* daemon: no body: restore every site, go inert, unmap what programs
			      needed; -EAGAIN: some sites had to stay, -EINPROGRESS: a thread was
			      in a program, the memory stays for now */
	AGENT_UPDATE_LINK, /* daemon: struct agent_update: this link's consumers run another program
			      from now on */
	AGENT_PERF_RING,   /* daemon: struct agent_perf_ring + 1 fd: entry of a PERF_EVENT_ARRAY */
	AGENT_INNER_MAP,   /* daemon: struct agent_inner_map: a map that an outer one leads to */
	AGENT_FORGET, /* daemon: u32 n, u32 pad, u64 addr[n]: what was mapped there has gone, and
			 the sites with it; nothing there is ours any more */
	AGENT_FOLLOW, /* daemon: struct agent_follow: programs that it executes */
	AGENT_AWAKE, /* daemon: no body: breaks were taken out from outside, and what was guarded by
			them was not */
	AGENT_DONE,  /* daemon: no body: close, go on; not acknowledged */
	AGENT_WAIT,  /* daemon: no body: it plans still, and is not silent; not acknowledged */
	AGENT_PADS,  /* daemon: u32 n, u32 pad, struct agent_pad[n] + 1 fd: where sites that come
			lead to; ack body: s32 err[n] */
	AGENT_RESTORE, /* daemon: u32 n, u32 pad, u64 addr[n]: restore these sites, whose consumers
			  go; so that what follows has less to do */
	AGENT_MSG_TYPES
};

struct agent_msg {
	u32 len; /* of the whole datagram, bytes */
	u16 type;
	u16 abi; /* AGENT_ABI */
	u64 seq; /* of a daemon message; an ACK repeats it */
};

struct agent_hello {
	u32 reason;	 /* enum agent_reason */
	u32 participant; /* from AGENT_SETUP of this process or (FORK) of the parent; 0: none yet */
	u64 token;	 /* START by preload: from the environment, names the session; else 0 */
	u64 target;	 /* daemon's cookie of this target or (FORK) the parent's; 0: none yet */
	u64 generation;	 /* of the daemon that set us up; 0: none */
	u64 text_base;	 /* where the agent is loaded */
	u64 dl_debug; /* address of the dynamic loader's r_debug as the agent found it; 0: unknown
		       */
	u32 pid, tid; /* as the kernel tells the agent; the daemon trusts only SO_PEERCRED */
	u32 alone;    /* CALLED: no other thread runs meanwhile */
	u32 guarded;  /* CALLED: no thread blocks our signals, nor will any */
};

struct agent_ack {
	s32 err;    /* 0 or -errno */
	u32 detail; /* index of the first failing element, or 0 */
};

struct agent_setup {
	u32 participant;
	u32 tgid;
	u64 target;
	u64 generation;
	u32 uid, gid;
	u64 cgroup_id;
	u64 vdso;
	u32 nr_cpus;
	u32 nstats;	/* entries in the statistics page */
	u32 trace_map;	/* id of the map that takes bpf_printk records, delivered as AGENT_MAP; 0:
			   none */
	u32 bells_size; /* bytes to map of each of the three fds */
	u32 life_size;
	u32 stats_size;
	u32 ret_instances; /* how many return instances to provide for */
	u32 jumps;	   /* sites may become jumps */
	char socket[108];  /* path for later exchanges */
};

#define AGENT_RING_PRESENT (4ull << 20) /* bytes of a ring that are made present at once */
struct agent_map {
	struct ebpf_map_meta meta;
	u64 size;     /* bytes to map */
	u32 readonly; /* map it without PROT_WRITE */
	u32 ring;     /* a ring buffer: map the data twice (ringbuf.h) */
};

struct agent_prog {
	u32 id;
	u32 size; /* of the image */
	u32 nmaps;
	u32 stat; /* index into the statistics page */
	/* where its callees are, 0: not known; behind them the aids: enum ebpf_callee_aid */
	u64 calls[EBPF_CALLEES_MAX + EBPF_CALLEE_AIDS];
};

/* Memory for slots and stubs; and, ARCH_STUB_RECORDS behind its start, for the stubs' records. */
struct agent_arena {
	u64 addr; /* where, page-aligned, with MAP_FIXED_NOREPLACE */
	u64 size;
	u64 records; /* bytes, 0: no stub will be there; else .size is ARCH_STUB_RECORDS */
};

/* A page that holds pads, one of those of the fd's memory. */
struct agent_pad {
	u64 addr; /* page-aligned, mapped with MAP_FIXED_NOREPLACE */
	u32 page;
	u32 pad;
};

/*
 * A site of SIGMASK and SIGACTION is at the syscall instruction, or at a `mov $nr,%eax` right
 * before it. The agent looks at the number at run time: another system call there is executed as
 * displaced. A system call that waits with a mask of its own (ppoll and the like) or for signals
 * has two sites of SIGMASK: there, and at the instruction behind it. The one system call of
 * syscall() has a site that is of both kinds, and none behind it: a function's arguments need not
 * be put back.
 */
enum agent_site_flags {
	AGENT_SITE_MODULES = 1, /* the loader's notification point: an exchange, no program */
	AGENT_SITE_SIGMASK =
		2, /* `mov $rt_sigprocmask,%eax ... syscall`: emulate, keep our signals unblocked */
	AGENT_SITE_SIGACTION =
		4, /* `mov $rt_sigaction,%eax ... syscall`: emulate, keep our handlers */
	AGENT_SITE_UNWIND = 8,	 /* entry of a function that looks at the stack's return addresses
				    (_Unwind_RaiseException and the like): this thread's are put
				    back first; wanted wherever there are AGENT_CONSUMER_RET
				    or _SESSION consumers, or programs that call functions
				    of the target */
	AGENT_SITE_SUSPEND = 16, /* with UNWIND: until an exit is reached; else for good */
	AGENT_SITE_RESUME = 32,	 /* exit of such a function: by return, or to a landing pad with the
				    stack pointer that this has */
	/* with UNWIND, what it does to the calls it passes: */
	AGENT_SITE_THROWS = 64,	  /* an exception leaves them; with RESUME: it was caught, or the
				     function returns and says that nobody does */
	AGENT_SITE_ENDS = 128,	  /* the end of their thread */
	AGENT_SITE_AGAIN = 256,	  /* either: goes on with what is in its argument */
	AGENT_SITE_JUMP = 512,	  /* longjmp(), with which the end of a thread ends; wanted where
				     programs ask how calls ended */
	AGENT_SITE_RETURN = 1024, /* a return of the function at .func, in whose place
				     AGENT_CONSUMER_AT_RETURNS are found */
	AGENT_SITE_ASKS = 2048,	  /* with UNWIND or RESUME: it looks at its own return address */
};

/* one place in the text; consumers refer to it by address */
struct agent_site {
	struct arch_patch patch; /* .addr is the site; .insn the bytes expected there */
	struct arch_jump jump;	 /* .to 0: none; not of a site with flags */
	u32 flags;
	u32 module; /* daemon's number of the module, for ordering restores before an unload */
	u64 func;   /* of AGENT_SITE_RETURN */
};

enum agent_consumer_flags {
	AGENT_CONSUMER_RET = 1,
	AGENT_CONSUMER_AT_RETURNS = 2, /* with RET: return addresses stay as they are */
	AGENT_CONSUMER_SESSION = 4,    /* without the others: at the entry, and when the program
					  returns 0 there, at the return of the same call */
	AGENT_CONSUMER_ENTRY = 8,      /* the site is a function's first instruction */
};

struct agent_consumer {
	u64 addr; /* of the site */
	u64 link; /* daemon's link id */
	u64 cookie;
	u64 sema; /* a u16 there is raised while the consumer is in force (USDT), 0: none */
	u32 prog; /* id */
	u32 flags;
	u32 stat;  /* index into the statistics page */
	u32 index; /* which of the link's places: it may name one twice */
};

struct agent_drop {
	u64 link;
};

struct agent_update {
	u64 link;
	u32 prog;
	u32 pad;
};

struct agent_perf_ring {
	u32 map;   /* id of the PERF_EVENT_ARRAY */
	u32 index; /* entry */
	u64 size;  /* bytes of the ring's mmap page and data; 0: entry is cleared, no fd */
	u32 id;	   /* of the event */
	u32 bell;
};

/*
 * Between the injection, which can change the masks of threads it holds, and the agent, which knows
 * what they should be: passed to agent_entry(). .given is what the injection has unblocked; .back
 * what it is to block when the agent has no site any more that guards the masks.
 */
struct agent_withheld {
	u64 thread; /* its thread pointer */
	u32 tid;
	u32 which; /* signal set: of SIGTRAP, SIGSEGV, SIGBUS */
};
#define AGENT_WITHHELD_MAX 4096u
/* a thread that is held meanwhile, the one that calls the agent among them: where it was */
struct agent_held {
	u64 thread;
	u64 sp, ip;
};
struct agent_withheld_list {
	u32 given;
	u32 back;
	u32 alone; /* nobody executes anything in this memory meanwhile */
	u32 held;
	u32 unsettled; /* not alone, not every thread is known, or a signal that one has raised
			  itself is on its way to a handler */
	u32 spare;     /* the number of a descriptor to be closed and one more, 0: none */
	struct agent_withheld v[AGENT_WITHHELD_MAX];
	struct agent_held who[AGENT_WITHHELD_MAX];
};

struct agent_inner_map {
	u32 outer; /* ids of maps that the agent has */
	u32 inner;
};

/*
 * What the process executes belongs to the sessions that .token stands for: it finds .agent in
 * LD_PRELOAD, and does without where there are more seccomp filters than .filters.
 */
struct agent_follow {
	u64 token; /* 0: it is not followed */
	u32 filters;
	u32 pad;
	char agent[256];
};

/* Why a program that is executed is not followed. */
enum agent_exec_why {
	AGENT_EXEC_STATIC = 1, /* no loader takes the agent along */
	AGENT_EXEC_PRIVILEGED, /* nor in one that gets more privileges */
	AGENT_EXEC_FOREIGN,    /* of another machine, or no program that we know */
	AGENT_EXEC_HIDDEN,     /* the agent's file, or the socket, is not to be seen there */
	AGENT_EXEC_UNREADABLE, /* the program may be executed, but not read */
	AGENT_EXEC_NO_ROOM,    /* for more variables */
	AGENT_EXEC_WHYS
};

/* What the process is about to execute, as far as it was seen there. */
enum agent_leaving { STAYING, LEAVING_WITH_AGENT, LEAVING_ALONE };

struct agent_exec_note {
	u32 why; /* enum agent_exec_why, 0: it did not come to that */
	u32 pid;
	char path[120];
};
#define AGENT_EXEC_NOTES 16u

/* The statistics page: written by the agent, advisory to everybody else. */
struct agent_stat {
	u64 hits;   /* programs run */
	u64 missed; /* hits that did not run it: nested, out of return instances, aborted before the
		       start */
	u64 aborted;	 /* runs cut short by a fault */
	u64 run_time_ns; /* only while stats are enabled */
	u64 left;	 /* calls that were seen to end otherwise than by a return */
};

struct agent_stats {
	u64 hits;	   /* traps taken for any site */
	u64 foreign;	   /* SIGTRAPs that were not ours and went to the application */
	u64 trace_dropped; /* bpf_printk records that did not fit */
	u64 inert;	   /* the agent has restored everything by itself (daemon died) */
	u64 jumps;	   /* sites that are jumps at the moment */
	u64 lanes;	   /* of struct agent_lane in use, the first ones */
	u64 leaving;	   /* enum agent_leaving */
	u64 signals_lost;  /* that had to wait, and for which there was no memory */
	u64 nexecs;	   /* programs that were executed and are not followed; of the last ones: */
	u64 execs_failed;  /* of them, those that were not executed after all */
	u64 debugger;	   /* of a debugger: it passes SIGTRAP on */
	u64 asleep;	   /* of the daemon: breaks were taken out, because of a debugger */
	u64 stubs;	   /* where the pages begin to which calls return whose return is probed */
	u64 asked_ms;	   /* the first question that the daemon, in this round, didn't answer */
	u64 asked_round;
	u64 leaf_lanes;	   /* of struct agent_lane in use by leaves, the first ones of theirs */
	struct agent_exec_note execs[AGENT_EXEC_NOTES];
	struct agent_stat stat[]; /* nstats */
};

/* Each stub begins with a break, or is a call; a page's first is none. */
#define AGENT_STUB_SIZE 8u
#define AGENT_STUB_PAGES 32u

/* ebpfrt-gdb.py knows where they are. */
_Static_assert(offsetof(struct agent_stats, debugger) == 80, "");
_Static_assert(offsetof(struct agent_stats, asleep) == 88, "");

/*
 * Where one thread at a time counts, so that none waits for another: to be added to .hits above and
 * to those of the entries. They begin at the page behind the entries.
 */
#define AGENT_LANES 17u
#define AGENT_LANE_STATS 4095u
struct agent_lane {
	u64 hits;
	u64 stat[AGENT_LANE_STATS];
};
#define AGENT_LANES_AT(nstats)                                                                     \
	ALIGN_UP(sizeof(struct agent_stats) + (u64)(nstats) * sizeof(struct agent_stat),           \
		 (u64)EBPFRT_PAGE_SIZE)
/* Behind those, threads have theirs for the hits that they count themselves. */
#define AGENT_LEAF_LANES 128u
#define AGENT_LANES_SIZE ((AGENT_LANES + AGENT_LEAF_LANES) * sizeof(struct agent_lane))
_Static_assert(sizeof(struct agent_lane) % EBPFRT_PAGE_SIZE == 0, "no page is shared by lanes");
_Static_assert(sizeof(struct agent_site) < 512, "many sites fit into one message");

/* environment of a preloaded agent; the token is "NUMBER", or "NUMBER:FILTERS": with more seccomp
 * filters than that it does nothing; AGENT_TOKEN_HIDE behind that: the program is not to see all
 * this */
#define AGENT_ENV_SOCKET "EBPFRT_AGENT_SOCKET"
#define AGENT_ENV_TOKEN "EBPFRT_AGENT_TOKEN"
#define AGENT_FILE "libebpfrt-agent.so"
#define AGENT_ENV_PAD "EBPFRT_AGENT_PAD" /* means nothing */
#define AGENT_ENV_DISABLE "EBPFRT_DISABLE"
#define AGENT_TOKEN_HIDE ":hide"
