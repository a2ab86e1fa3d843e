/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions that `ebpfrt trace` follows: their types found, their plans made.
 *
 * Model: a function has a number, which is in the cookie of its probe with those of its plans; so
 * what a record is of is known without looking at addresses. Functions with the same plan share it.
 */
#pragma once

#include "cli/object.h"
#include "cli/traceplan.h"

struct trace_set {
	struct trace_limits limits;
	struct trace_func *funcs;
	u32 nfuncs;
	struct trace_plan **plans; /* number 0 copies nothing */
	u32 nplans;
	struct trace_sizes sizes; /* of any of them, at least a word */
};

/*
 * Number the functions of @obj's attachments, and set their cookies. Says for which files and
 * functions there are no types (out_note). 0, or -errno after a message.
 */
int trace_set_make(struct trace_set *set, struct object *obj, const struct object_opts *opts);
void trace_set_free(struct trace_set *set);

/* Bytes of a record, of whichever function. */
size_t trace_set_record_size(const struct trace_set *set);
/* The function of a record with @cookie, NULL: there is none. */
const struct trace_func *trace_set_find(const struct trace_set *set, u64 cookie);
