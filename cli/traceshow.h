/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A call's records as people and programs read them.
 *
 * Rules: pure. A record comes from a ring that targets write: every offset is checked against its
 * length, and what is printed has no control characters.
 */
#pragma once

#include "cli/out.h"
#include "cli/traceplan.h"

/* A record, and as many bytes of it from .reg on as there are. */
struct trace_call {
	const struct trace_record *record;
	u32 size;
};

struct trace_style {
	u32 string; /* characters of one */
	bool types; /* each value as its declaration in C */
};

/* "path="/etc/hosts", flags=0", malloc'ed; NULL: no memory. */
char *trace_args_text(const struct trace_func *f, const struct trace_call *call,
		      const struct trace_style *style);
/* "3"; "" of a function that returns nothing. */
char *trace_ret_text(const struct trace_func *f, const struct trace_call *call,
		     const struct trace_style *style);
/* An array of {name, type, value}, and one of these. The caller's to put. */
struct json_object *trace_args_json(const struct trace_func *f, const struct trace_call *call,
				    const struct trace_style *style);
struct json_object *trace_ret_json(const struct trace_func *f, const struct trace_call *call,
				   const struct trace_style *style);
