/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's only loop: descriptors (epoll), timers (one timerfd), children (pidfd).
 *
 * Model: one event is taken at a time, so a callback may remove any source, its own included, and
 * free what holds it. Callbacks never block. Level-triggered: what is not consumed comes again.
 */
#pragma once

#include <sys/types.h>

#include "base/list.h"

struct loop_source {
	int fd; /* -1: not in the loop */
	u32 events;
	void (*fn)(struct loop_source *s, u32 events);
};

struct loop_timer {
	struct list_head node; /* of the armed ones, ascending */
	u64 at;		       /* osl_now_ns() */
	void (*fn)(struct loop_timer *t);
};

/* a process we forked: reaped when it ends, then fn gets its wait(2) status */
struct loop_child {
	struct loop_source src;
	pid_t pid; /* 0: none */
	void (*fn)(struct loop_child *c, int status);
};

struct loop {
	int epoll, timerfd;
	struct loop_source timer_src;
	bool let_pass; /* the timers are late, and have let others pass */
	struct list_head timers;
	bool quit;
	u64 *rounds; /* counts them, where somebody looks */
};

int loop_init(struct loop *l);
void loop_deinit(struct loop *l);
/* Until loop->quit. */
void loop_run(struct loop *l);
/* Wait up to @timeout_ms (-1: for ever) and serve one event. */
void loop_once(struct loop *l, int timeout_ms);

/* @s->fn is set; @fd stays the caller's to close, after loop_del(). */
int loop_add(struct loop *l, struct loop_source *s, int fd, u32 events);
void loop_mod(struct loop *l, struct loop_source *s, u32 events);
void loop_del(struct loop *l, struct loop_source *s); /* idempotent; sets fd to -1 */

void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *t));
void loop_timer_arm(struct loop *l, struct loop_timer *t, u64 after_ns);
void loop_timer_stop(struct loop *l, struct loop_timer *t); /* idempotent */

int loop_child_watch(struct loop *l, struct loop_child *c, pid_t pid);
/* Kill it (its process group too) and reap it, fn is not called. */
void loop_child_kill(struct loop *l, struct loop_child *c);
