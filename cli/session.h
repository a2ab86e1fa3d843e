/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What attach and run have in common once an object is loaded: say what is attached, show what
 * happens until it is over, detach, show the maps.
 *
 * Signals: the first SIGINT or SIGTERM ends the session, the second ends the program at once (the
 * daemon then restores what is left); SIGUSR1 prints the maps as they are. A session that watches a
 * child passes signals on to it instead and ends when the child does.
 */
#pragma once

#include <signal.h>
#include <sys/types.h>

#include "cli/object.h"

struct session {
	struct object **objs;
	u32 nobjs;
	FILE *stream; /* results */
	bool json, no_maps;
	enum object_missing missing;
	const struct object_opts *opts; /* NULL: what comes later isn't looked at */
	u64 duration_ns;		/* 0: no limit */
	const struct opt_pids *pids;	/* targets; NULL with a child */
	pid_t child;			/* 0: none */
	int child_fd;			/* pidfd */
	/* who reads the rings' records; NULL: they are printed */
	void (*on_record)(void *cookie, const void *data, size_t size);
	void (*on_end)(void *cookie); /* that was the last; NULL: nobody wants to know */
	void *cookie;

	/* private */
	int epoll, signals, timer;
	bool more; /* of the rings is to be read at once */
	struct perf_buffer **perf;
	u32 nperf;
	struct stream *streams; /* what their callbacks get */
	u64 lost;
	u64 asleep;	/* how often probes were */
	u64 unfollowed; /* programs that were executed */
	struct {
		int fd;	   /* pidfd, -1: none */
		bool done; /* it has ended, or another client detached it */
	} targets[OPT_LIST_MAX];
	pid_t *changed; /* processes that have other files than before */
	u32 nchanged;
	bool waited_for; /* they don't go on before we have looked at them */
	u32 alive, left; /* targets that are not done; that were detached */
	bool ended;	 /* what was traced has */
	bool over, daemon_gone;
};

/* Where the results go: @file, or @standard when that is NULL. NULL after a message. */
FILE *session_open_output(const char *file, FILE *standard);
/* 0, or -errno after a message: what could not be written was not said. */
int session_close_output(struct session *s, const char *file);

/* Block the signals a session reads, before threads or children are made. */
int session_block_signals(bool child);
void session_unblock_signals(void);

/* Say what was attached where; the "Tracing N probes" line. */
void session_announce(struct session *s);
/*
 * Of globs, which functions can't be probed, as far as their files tell: before a command runs,
 * when nobody knows more. How many.
 */
u32 session_tell_missing(const struct session *s);
/* Show events until the end. 0, or -errno after a message. */
int session_run(struct session *s);
/* Detach, print the maps, say what was restored. 0, or -errno after a message: not everything. */
int session_finish(struct session *s);
/* Until the child has ended: it gets the signals that are sent to us, as before. */
void session_wait_child(struct session *s);
void session_deinit(struct session *s);

/* Events: rings, perf buffers, log lines. 0 or -errno after a message. */
int session_open_streams(struct session *s);
/* Have @watch look at the descriptors that tell of records. 0, or what it returned. */
int session_watch_rings(struct session *s, int (*watch)(struct session *s, int fd));
/* Show what is in the rings: of each a turn's records, or @whole, all there were. Is there more? */
bool session_read_rings(struct session *s, bool whole);
/* Add what the rings have dropped to the session's losses. */
void session_count_drops(struct session *s);
/* Wait up to @ms for records that are being written; count those that then still are, and what
 * waits behind them. */
void session_count_open(struct session *s, u32 ms);
void session_close_streams(struct session *s);
