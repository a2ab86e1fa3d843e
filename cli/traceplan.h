/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function as `ebpfrt trace` knows it: what its calls' records hold, and what its programs copy
 * to that end.
 *
 * Model: each argument is a value of a type at an offset of the record: a register, or bytes that
 * were copied there. A pointer in such a value may have been followed, which its plan tells: the
 * copy that starts from the pointer's place. So the plan, made once from the types, is all that is
 * needed to read a record again.
 *
 * Rules: pure. Types are a stranger's: what is followed, and how much is copied, is bounded.
 */
#pragma once

#include <bpf/btf.h>
#include <linux/types.h>

#include "base/macros.h"
#include "cli/trace.bpf.h"
#include "core/load/target.h"

#define TRACE_STRING_MAX 4096u
#define TRACE_BYTES_MAX 512u /* of one structure */
#define TRACE_OUT_MAX 16384u /* of a record */

struct trace_limits {
	u32 string; /* characters of a string; 0: none is read */
	u32 depth;  /* pointers to anything else that are followed, one behind the other */
};

struct trace_value {
	char *name; /* of the parameter, "" for none; like the next two, fit for a terminal */
	char *type; /* as C has it, for people: "const char *" */
	char *decl; /* the same with the name: "const char *path" */
	u32 id;	    /* its type; 0: it is none, as void is */
	u32 at;	    /* offset in the record, from the registers on */
	u32 size;   /* bytes there, which may be fewer than it has */
	bool known; /* where it is can be told */
};

struct trace_func {
	char *name;  /* for people */
	char *plain; /* as the symbol table has it, when that is another; or NULL */
	const char *file;
	struct btf *types; /* NULL: unknown, and there are registers only */
	struct trace_value *args;
	u32 nargs;
	bool variadic; /* it takes more than these */
	struct trace_value ret;
	const struct trace_plan *entry, *exit;
};

/*
 * Fill in @f, of which .name, .file and .types are there (the function is type 1 of those), and
 * @entry and @exit. 0, or -ENOMEM.
 */
int trace_plan(struct trace_func *f, const struct trace_limits *limits, struct trace_plan *entry,
	       struct trace_plan *exit);
void trace_func_deinit(struct trace_func *f); /* but for the plans */

/* Bytes behind the registers that @plan writes, or reads words from, at most; its longest copy. */
void trace_plan_extent(const struct trace_plan *plan, u32 *out, u32 *len);

/* The copy that the pointer at offset @at of the record was followed by; -1: it wasn't. */
int trace_plan_follows(const struct trace_plan *plan, u32 at);

/* Is it what strings consist of? */
bool trace_is_char(const struct btf *types, u32 id);
