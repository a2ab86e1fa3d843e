/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thread of a target, stopped by ptrace, that executes system calls and one function for us and
 * then goes on as if nothing had happened. Blocks; for the injecting child only.
 *
 * Rules: what is saved when the thread is held is restored by thread_release(), whatever happened
 * in between, as long as the thread lives. Signals that come in meanwhile come in afterwards, as
 * they were sent.
 *
 * When the child is killed, the kernel lets the thread go on with the registers it has. So what it
 * executes for us ends in a *way back*: code that restores mask and registers and goes on where it
 * was. It is written to unused zeros at the end of a text mapping, and removed at the end. (No
 * vector register is ever changed.) Where there is no such room the thread would be lost.
 */
#pragma once

#include <signal.h>
#include <sys/types.h>

#include "arch_remote.h"
#include "probe/probe.h"

#define THREAD_XSTATE_MAX 16384
/* A stop, not a mere trap, where it executes another program: nothing of ours goes on there. */
#define THREAD_OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC)

#define THREAD_ASIDE_MAX 4 /* two kinds, to the thread and to the process */
struct thread_aside {
	siginfo_t info;
	bool shared;
};

#define THREAD_CANDIDATES 64u
struct thread_candidate {
	pid_t tid;
	int rank;  /* lower is better */
	bool runs; /* it has a processor, or waits for one */
};

struct thread {
	pid_t pid, tid;
	int mem;	 /* /proc/PID/mem */
	u64 deadline_ns; /* CLOCK_MONOTONIC: of everything */
	u64 held_at_ns;	 /* since when some thread is kept from running; 0: none is */
	struct thread_candidate v[THREAD_CANDIDATES]; /* the best one first */
	u32 n;
	u32 tried;    /* so many of them in vain */
	int err;      /* why */
	bool looked;  /* they are as they were a moment ago */
	bool claimed; /* the first one is ours, and not asked to stop yet */
	u64 insn;     /* a system call instruction in the target */
	u64 back;     /* the way back is written here, 0: nowhere */
	struct remote_extra extra;
	bool begun; /* it executes something for us: its mask is not its own */
	int pass;   /* the signal it gets when it goes on, 0: none */
	u64 found;  /* signals that will come once more, then to be set aside */
	u64 shared; /* those of them that are for the process */
	u32 naside;
	struct thread_aside aside[THREAD_ASIDE_MAX];
	u64 mask;   /* saved signal mask */
	u64 opened; /* to be blocked in addition when it is let go */
	u64 seen;   /* what it blocked when it stopped: system calls that wait have another mask */
	bool held, gone;
	u32 vain;      /* to wait for it without sleeping, so many times one after the other */
	bool midway;   /* in a system call of ours that could not be followed */
	bool called;   /* the agent, by thread_call(): it may have done its work */
	bool running;  /* held, but not stopped: it did not come to a stop in time */
	bool denied;   /* ptrace may not be used on any thread */
	bool executed; /* gone: the process executes another program */
	bool bare;     /* when it was looked at first, its first thread had no memory any more */
	struct remote_regs saved;
	size_t xstate_len;
	u8 xstate[THREAD_XSTATE_MAX];
	char *why; /* room for the sentence */
	size_t why_size;
};

/* Is it traced by one of our own, which is about to let go? */
bool task_tracer_passes(const struct probe_task *task);

/*
 * Choose and stop a thread of @t->pid. 0 or -errno with the sentence. What takes time and stops
 * nobody can be done before: to look who is there, and to take hold of the best one, which keeps
 * others of our kind out (-errno without a sentence: thread_hold() will say it); then to stop that
 * one while others are held already. When that fails they must be let go before thread_hold().
 */
int thread_hold(struct thread *t);
int thread_look(struct thread *t);
int thread_claim(struct thread *t);
int thread_stop(struct thread *t);
/* Some thread is kept from running since then. */
void thread_held_since(struct thread *t, u64 ns);
/* thread->extra has changed. */
void thread_update_way_back(struct thread *t);
/* The time it was held comes back, in ns. Idempotent. */
u64 thread_release(struct thread *t);
/* Execute a system call: 0 and *ret (which may be -errno), or -errno when that could not be done.
 */
int thread_syscall(struct thread *t, s64 *ret, long nr, const u64 args[6]);
/* Call @entry(a, b, c, way back) on the stack below @sp; it ends by
 * a SIGURG to itself within [lo, hi). */
int thread_call(struct thread *t, u64 entry, u64 sp, u64 a, u64 b, u64 c, u64 lo, u64 hi, s64 *ret);
int thread_read(struct thread *t, u64 addr, void *buf, size_t len);
int thread_write(struct thread *t, u64 addr, const void *buf, size_t len);
/* @r of thread @tid, which is stopped and ours, are to execute their system call again, unless a
 * signal that is handled ends it. */
void thread_repeat_syscall(pid_t pid, pid_t tid, struct remote_regs *r);
int thread_fail(struct thread *t, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * A wait for the thread gave @status, 0: there is no such thread. It has ended, or its process
 * executes another program and has been let go. -ESRCH.
 */
int thread_gone(struct thread *t, int status);
int thread_fail_gone(struct thread *t, const char *when); /* the sentence for it; -ESRCH */
