/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the commands print: messages on standard error, results on standard output, as text or JSON.
 *
 * Rules: every line of a diagnostic begins with "ebpfrt: "; a remedy follows on lines of its own,
 * indented by two. Colour only marks words, never carries meaning. Text that comes from a target or
 * an object is made printable first (out_clean).
 */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "base/macros.h"

/* "ebpfrt: ..." on standard error. out_error() returns EXIT_FAILURE. */
int out_error(const char *fmt, ...) __printf_like(1, 2);
void out_warn(const char *fmt, ...) __printf_like(1, 2);
/* Progress, silenced by -q; to standard error, so that results can be piped. */
void out_note(const char *fmt, ...) __printf_like(1, 2);
/* Only with -v. */
void out_debug(const char *fmt, ...) __printf_like(1, 2);

/* auto, always, never. 0 or -EINVAL. */
int out_set_color(const char *when);
enum out_color { OUT_PLAIN, OUT_GOOD, OUT_WARN, OUT_BAD, OUT_DIM };
/* Escape sequences for @stream, "" where colour is off. */
const char *out_color(FILE *stream, enum out_color color);

/* Copy @text with control and non-ASCII bytes as \xNN. Returns @buf. */
const char *out_clean(const char *text, char *buf, size_t size);

/* --- JSON: one document for queries, one line per event for streams --- */

struct out_json {
	bool on;     /* --json */
	bool pretty; /* --pretty, implies on */
};
#define OUT_JSON_OPTS(type, member)                                                                \
	{'j', "json", NULL, OPT_FLAG, offsetof(type, member.on), "print JSON"},                    \
	{                                                                                          \
		0, "pretty", NULL, OPT_FLAG, offsetof(type, member.pretty), "print indented JSON"  \
	}
static inline bool out_json_on(const struct out_json *json)
{
	return json->on || json->pretty;
}
/* Print and release @doc. */
void out_json_put(const struct out_json *json, struct json_object *doc);
/* Print and release one line {"type": @type, "data": @data}, at once. */
void out_json_event(FILE *stream, const char *type, struct json_object *data);
/* A line in trace_pipe's format taken apart: line, comm, tid, cpu, ts, text. */
struct json_object *out_log_line_json(const char *line);

static inline void out_add(struct json_object *o, const char *key, struct json_object *value)
{
	json_object_object_add(o, key, value);
}
static inline void out_add_str(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}
static inline void out_add_u64(struct json_object *o, const char *key, u64 value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}
static inline void out_add_s64(struct json_object *o, const char *key, s64 value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}
static inline void out_add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}
static inline void out_push(struct json_object *array, struct json_object *value)
{
	json_object_array_add(array, value);
}

/* --- tables: columns as wide as their widest cell --- */

#define OUT_COLUMNS_MAX 12
struct out_table {
	char **cells;
	size_t n, room;
	u32 columns;
	u64 right; /* bit per column: numbers */
};
void out_table_init(struct out_table *t, u32 columns, u64 right);
void out_cell(struct out_table *t, const char *fmt, ...) __printf_like(2, 3);
/* Print to standard output and release. */
void out_table_print(struct out_table *t);
