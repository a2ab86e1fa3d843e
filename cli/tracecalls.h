/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls as they are printed: what a ring brings, entries and returns put together, one line each.
 *
 * Model: a call is known by its thread and the time of its entry. An entry whose return is probed,
 * too, waits for it; in the end those that still wait are printed as unfinished.
 *
 * Rule: what is in the ring is hostile: a record says nothing that isn't checked, and no more than
 * TRACE_WAITING_MAX entries wait, none longer than the programs write them.
 */
#pragma once

#include "cli/tracefunc.h"
#include "cli/traceshow.h"

#define TRACE_WAITING_MAX 65536u
#define TRACE_BUCKETS 4096u

struct trace_waiting; /* an entry */
struct trace_calls {
	const struct trace_set *set;
	FILE *stream;
	bool json;
	struct trace_style style;
	s64 clock; /* from the records' time to that of the day, ns */
	u64 shown; /* lines, */
	u64 most;  /* and how many it may be; 0: any number */
	struct trace_waiting *waiting[TRACE_BUCKETS];
	u32 nwaiting;
};

void trace_calls_init(struct trace_calls *c, const struct trace_set *set, FILE *stream, bool json,
		      const struct trace_style *style);
/* A record; prints the call that it ends, without flushing. How many are lost: 1, when it makes no
 * sense. */
u32 trace_calls_take(struct trace_calls *c, const void *data, size_t size);
/* Print those that wait, the oldest first. */
void trace_calls_end(struct trace_calls *c);
/* Has all been printed that may be? What comes then is not. */
bool trace_calls_full(const struct trace_calls *c);
void trace_calls_deinit(struct trace_calls *c);
