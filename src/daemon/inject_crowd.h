/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other threads of a target, held while one of them works for us. Blocks; for the injecting
 * child only.
 *
 * Why all: the sites that keep our signals unblocked are written one by one. A thread that had
 * blocked SIGTRAP at a place that is not yet (or no longer) such a site would be killed by the next
 * one it meets. C libraries block all signals for moments: at thread creation, posix_spawn, abort.
 * So break bytes come and go while nobody runs, and come only when nobody is in such a moment.
 */
#pragma once

#include "daemon/inject_thread.h"

struct agent_withheld_list;
struct crowd_one;

struct crowd {
	struct thread *t; /* the one that works */
	struct crowd_one *v;
	u32 n, room;
	pid_t last_alone; /* until another process came after this one nobody shared the memory */
	pid_t blocker;	  /* who blocked SIGTRAP, for crowd_clear() to fail */
	u64 released_ns;  /* when those that had stopped were let go */
	bool met;	  /* crowd_meet() */
	bool guarded;
	bool waits;  /* who blocks SIGTRAP does so for the time of a wait */
	u64 blocked; /* and which of the signals that must be open */
};

/*
 * Before @t is held, which has looked around: take hold of the others, and stop those that run, as
 * far as they will: they may have to wait for a processor, and nobody is held while they do. 0, or
 * -errno with the sentence when the process executes another program.
 */
int crowd_meet(struct crowd *c, struct thread *t);
/* Stop all threads but @t, which is held. 0, or -errno with the sentence in t->why. */
int crowd_hold(struct crowd *c, struct thread *t);
/*
 * Nobody blocks SIGTRAP: 0. Where the sites that guard the masks are there or about to come
 * (@guarded) threads that do are unblocked for as long as they are held; else they may run for a
 * moment, while the others stay. -EAGAIN when that does not help: everybody has to be let go; the
 * sentence names one.
 */
int crowd_clear(struct crowd *c, bool guarded);
/* Every one is where it executes nothing, and where it can be seen. */
bool crowd_stopped(const struct crowd *c);
bool crowd_knows(const struct crowd *c, pid_t tid); /* one of the target's threads */
/*
 * Another process that executes the target's text (inject_shared.c), or 0. @room is 8 bytes there
 * to write to. To have looked around before, while the target ran, makes it quick.
 */
pid_t crowd_other(struct crowd *c, u64 room);
void crowd_look_around(struct crowd *c, pid_t pid);
/* The sentence; -EAGAIN: for the moment, as it seems; -EPERM: for good. */
int crowd_refuse(struct crowd *c, pid_t other);
/* Who is held where, and what was unblocked: the agent is told, and takes over. */
void crowd_given(struct crowd *c, struct agent_withheld_list *out);
/* What is to be blocked when they are let go, in place of what crowd_clear() has unblocked. */
void crowd_back(struct crowd *c, const struct agent_withheld_list *in);
/* Let them go as if nothing had happened. Idempotent. */
void crowd_release(struct crowd *c);
