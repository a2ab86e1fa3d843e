/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Getting the agent into a running process, and calling it there again later: all work with ptrace.
 *
 * Model: ptrace belongs to a thread and blocks, so a forked child of the daemon does it from
 * beginning to end and reports over a socket. It stops the threads of the target (inject_crowd.h
 * says why all of them), makes one create a socket pair (one end comes to the daemon, the other is
 * the agent's for one exchange), loads the agent when it is not there yet, calls agent_entry() on a
 * stack of its own, and puts everything back: registers, signal mask, interrupted system call. The
 * exchange itself (proto/shm_abi.h) runs between daemon and agent while the child waits; the daemon
 * must serve it at the same time.
 *
 * Events: INJECT_SOCKET once (not when it failed before), then INJECT_DONE once. A child that dies
 * shows as -ECONNRESET. Nothing here blocks: a child that outlives the interest in it is reaped
 * later, and until it has let go of its process no other one goes there. Children ignore every
 * signal they can; the thread of one that is killed all the same finds its way back by itself
 * (inject_thread.h).
 */
#pragma once

#include <sys/types.h>

#include "base/types.h"

enum inject_kind {
	INJECT_LOAD,	/* load the agent, or find the same one loaded before; reason AGENT_START */
	INJECT_COMMAND, /* call the agent at .base; reason AGENT_COMMAND */
};

struct inject_request {
	enum inject_kind kind;
	pid_t pid;
	int agent_fd;	/* the agent's file; borrowed. Sealed, it is shared with the target */
	u64 base;	/* INJECT_COMMAND: where it is loaded (agent_hello.text_base) */
	u32 timeout_ms; /* of the whole thing, 0: INJECT_TIMEOUT_MS */
	bool arms;	/* break bytes will be written: no thread may block SIGTRAP then */
	bool first;	/* none are there yet: nobody else may share the memory */
	bool guarded;	/* nor will any, later: there are sites where masks are changed */
};
#define INJECT_TIMEOUT_MS 5000u
#define INJECT_WHY_MAX 256

struct inject {
	pid_t child;
	int report; /* readable when there is an event */
	pid_t pid;  /* the target; 0: the child has let go of it */
};
#define INJECT_INIT                                                                                \
	{                                                                                          \
		-1, -1                                                                             \
	}

enum inject_what { INJECT_SOCKET = 1, INJECT_DONE };

struct inject_event {
	enum inject_what what;
	int fd;		/* INJECT_SOCKET: the daemon's end, CLOEXEC, owned by the caller; else -1 */
	int err;	/* INJECT_DONE: 0 or -errno (the agent's own result included) */
	u64 base;	/* INJECT_DONE: where the agent is, 0: not loaded */
	u64 stopped_ns; /* INJECT_DONE: how long the thread was held */
	bool found;	/* INJECT_DONE: it was there already */
	u64 since_ns;	/* INJECT_SOCKET: when threads stopped, CLOCK_MONOTONIC */
	bool denied;	/* INJECT_DONE: nothing was done, ptrace may not be used */
	char why[INJECT_WHY_MAX]; /* INJECT_DONE with err: the sentence */
};

/*
 * Start. 0 and *out, -EAGAIN while an earlier child is at work in the same process, or -errno of
 * fork(2) and the like.
 */
int inject_start(const struct inject_request *req, struct inject *out);
/* Next event: 0, -EAGAIN when there is none yet, -ECONNRESET when there will be none. */
int inject_read(struct inject *inj, struct inject_event *out);
/* Close; idempotent. A child that is still at work goes on and ends by itself. */
void inject_finish(struct inject *inj);
/* Another process that executes this one's text, as it seems from outside; 0: none. */
pid_t inject_shares_memory(pid_t pid);
/* Children may have ended (SIGCHLD): reap those of finished injections. */
void inject_reap(void);
