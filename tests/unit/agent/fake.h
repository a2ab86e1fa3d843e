/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A daemon for the agent's tests: as much of one as the exchange needs, with every step in the
 * test's hands. And the target it works on.
 */
#pragma once

#include <stdio.h>
#include <sys/types.h>

#include "daemon/inject.h"
#include "osl/osl_trap.h"
#include "proto/shm_abi.h"

/* the values of the test's map: what its two programs count */
enum { V_HITS, V_ARG, V_IP, V_RETS, V_RETVAL, V_RETIP, V_OTHER, V_ENTERED, V_LET_GO, V_MAX };
enum { PROG_ENTRY = 1, PROG_RET, PROG_OTHER, PROG_WILD, PROG_SLOW, PROG_MAX };
enum { MAP_VALUES = 10 };
enum { STATS = 8 };

struct fake {
	int bells, life, stats_fd, map, prog[PROG_MAX], listen, agent_file;
	struct osl_life *life_page;
	struct agent_stats *stats;
	u64 *values;
	u64 generation;
	char path[108];
};
void fake_open(struct fake *f);
void fake_close(struct fake *f);

struct talk {
	int fd;
	u64 seq;
	struct agent_hello hello;
	struct agent_ack ack;
	s32 err[512]; /* of the last list */
};
/* Receive the hello on @fd. 0 or -errno. */
int talk_begin(struct talk *t, int fd);
/* One message and its answer: the ack's err, or -ECONNRESET. */
int talk(struct talk *t, u16 type, const void *body, u32 len, const int *fds, u32 nfds);
void talk_end(struct talk *t); /* AGENT_DONE, close */
int talk_setup(struct talk *t, struct fake *f);
int talk_objects(struct talk *t, struct fake *f); /* the map and the programs */
int talk_site(struct talk *t, pid_t pid, u64 addr, u32 flags);
int talk_consumer(struct talk *t, u64 addr, u64 link, u32 prog, u32 flags);
int talk_drop(struct talk *t, u64 link);

struct target {
	pid_t pid;
	FILE *in, *out; /* as seen by the target */
	u64 probe_me, outer, inner, leaves, load, recurse, malloc, getppid;
};
const char *fake_built(const char *name); /* path of a file of the build */
/* Start @exe (NULL: the usual one) in @mode; with @env ("NAME=VALUE" or NULL) preloaded. */
void target_start(struct target *t, const char *exe, const char *mode, char *const env[]);
/* The two halves of it: a preloaded agent wants its exchange in between. */
void target_spawn(struct target *t, const char *exe, const char *mode, char *const env[]);
void target_ready(struct target *t);
void target_poke(struct target *t); /* the byte it waits for */
/* Its "done" line into @v, as numbers. How many there were. */
int target_done(struct target *t, long *v, int max);
int target_wait(struct target *t); /* wait status */
/* Wait until its main thread sleeps in system call @nr. */
void target_in_syscall(const struct target *t, long nr);
void target_text(const struct target *t, u64 addr, u8 *bytes, size_t len);

/* Inject and hold the exchange: @serve does the talking. */
int fake_inject(struct fake *f, pid_t pid, enum inject_kind kind, u64 base,
		void (*serve)(struct talk *t, void *arg), void *arg, struct inject_event *done);
/* Accept one connection of an agent. */
int fake_accept(struct fake *f, struct talk *t);
