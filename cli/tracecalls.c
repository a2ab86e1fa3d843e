/* SPDX-License-Identifier: BSD-2-Clause */
/* From records to lines: tracecalls.h tells the model. */
#include "cli/tracecalls.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "cli/out.h"
#include "core/run/kfunc.h"

#define NS 1000000000ul
#define HEADER offsetof(struct trace_record, reg)

struct trace_waiting {
	struct trace_waiting *next;
	u32 size; /* of the record, from .reg on */
	u64 data[];
};

static s64 clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * (s64)NS + t.tv_nsec;
}

void trace_calls_init(struct trace_calls *c, const struct trace_set *set, FILE *stream, bool json,
		      const struct trace_style *style)
{
	*c = (struct trace_calls){.set = set, .stream = stream, .json = json, .style = *style};
	c->clock = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
}

/* --- lines ----------------------------------------------------------------------------------- */

static void put_time(const struct trace_calls *c, u64 ts)
{
	const u64 now = ts + (u64)c->clock;
	time_t sec = (time_t)(now / NS);
	struct tm tm = {0};

	localtime_r(&sec, &tm);
	fprintf(c->stream, "%02d:%02d:%02d.%06d ", tm.tm_hour, tm.tm_min, tm.tm_sec,
		(int)(now % NS / 1000));
}

static void put_who(const struct trace_calls *c, const struct trace_record *r)
{
	char comm[TRACE_COMM + 1], clean[4 * TRACE_COMM + 1];

	snprintf(comm, sizeof(comm), "%.*s", TRACE_COMM, r->comm);
	out_clean(comm, clean, sizeof(clean));
	if (r->pid == r->tid)
		fprintf(c->stream, "%u %s ", r->pid, clean);
	else
		fprintf(c->stream, "%u/%u %s ", r->pid, r->tid, clean);
}

/* How a call ended that did not return, NULL: it did. */
static const char *how_left(const struct trace_record *r)
{
	return !r->left ? NULL : r->left == EBPF_LEFT_EXCEPTION ? "exception" : "end of thread";
}

static void put_value(const struct trace_calls *c, const struct trace_func *f,
		      const struct trace_call *ret)
{
	_cleanup_free_ char *text = trace_ret_text(f, ret, &c->style);

	if (text && *text)
		fprintf(c->stream, " %s", text);
}

static void put_result(const struct trace_calls *c, const struct trace_func *f,
		       const struct trace_call *ret)
{
	const struct trace_record *r = ret->record;

	fputs(" ->", c->stream);
	if (how_left(r))
		fprintf(c->stream, " (%s)", how_left(r));
	else
		put_value(c, f, ret);
	if (r->call) {
		const u64 ns = r->ts - r->call;

		fprintf(c->stream, " <%" PRIu64 ".%06" PRIu64 ">", ns / NS, ns % NS / 1000);
	}
}

static void text_line(const struct trace_calls *c, const struct trace_func *f,
		      const struct trace_call *entry, const struct trace_call *ret, bool unfinished)
{
	const struct trace_record *r = entry ? entry->record : ret->record;
	_cleanup_free_ char *args = entry ? trace_args_text(f, entry, &c->style) : NULL;
	char name[SPEC_TEXT_MAX];

	put_time(c, r->ts);
	put_who(c, r);
	fprintf(c->stream, "%s(%s)", out_clean(f->name, name, sizeof(name)),
		args			     ? args
		: entry || ret->record->call ? "?"
					     : "");
	if (ret)
		put_result(c, f, ret);
	fputs(unfinished ? " <unfinished ...>\n" : "\n", c->stream);
}

static void json_line(const struct trace_calls *c, const struct trace_func *f,
		      const struct trace_call *entry, const struct trace_call *ret, bool unfinished)
{
	const struct trace_record *r = entry ? entry->record : ret->record;
	struct json_object *o = json_object_new_object();
	char comm[TRACE_COMM + 1], clean[SPEC_TEXT_MAX];

	snprintf(comm, sizeof(comm), "%.*s", TRACE_COMM, r->comm);
	out_add_u64(o, "ts", r->ts + (u64)c->clock);
	out_add_u64(o, "pid", r->pid);
	out_add_u64(o, "tid", r->tid);
	out_add_str(o, "comm", out_clean(comm, clean, sizeof(clean)));
	out_add_str(o, "func", out_clean(f->name, clean, sizeof(clean)));
	if (f->plain)
		out_add_str(o, "symbol", out_clean(f->plain, clean, sizeof(clean)));
	out_add_str(o, "file", f->file);
	if (entry)
		out_add(o, "args", trace_args_json(f, entry, &c->style));
	if (ret && how_left(ret->record))
		out_add_str(o, "left", how_left(ret->record));
	else if (ret)
		out_add(o, "ret", trace_ret_json(f, ret, &c->style));
	if (ret && ret->record->call)
		out_add_u64(o, "duration_ns", ret->record->ts - ret->record->call);
	if (unfinished)
		out_add_bool(o, "unfinished", true);
	out_json_event(c->stream, "call", o);
}

bool trace_calls_full(const struct trace_calls *c)
{
	return c->most && c->shown >= c->most;
}

static void line(struct trace_calls *c, const struct trace_func *f, const struct trace_call *entry,
		 const struct trace_call *ret, bool unfinished)
{
	if (trace_calls_full(c))
		return;
	(c->json ? json_line : text_line)(c, f, entry, ret, unfinished);
	c->shown++;
}

/* --- entries that wait ----------------------------------------------------------------------- */

static struct trace_waiting **bucket(struct trace_calls *c, u32 tid, u64 call)
{
	return &c->waiting[((call ^ call >> 17) * 31 + tid) % TRACE_BUCKETS];
}

static bool keep(struct trace_calls *c, const struct trace_record *r, u32 size)
{
	struct trace_waiting **at = bucket(c, r->tid, r->call), *w;

	w = c->nwaiting < TRACE_WAITING_MAX ? malloc(sizeof(*w) + HEADER + size) : NULL;
	if (!w)
		return false;
	w->size = size;
	memcpy(w->data, r, HEADER + size);
	w->next = *at;
	*at = w;
	c->nwaiting++;
	return true;
}

/* Its entry, which is the caller's then. */
static struct trace_waiting *take(struct trace_calls *c, const struct trace_record *r)
{
	for (struct trace_waiting **at = bucket(c, r->tid, r->call); *at; at = &(*at)->next) {
		struct trace_waiting *w = *at;
		const struct trace_record *e = (const void *)w->data;

		if (e->call != r->call || e->tid != r->tid || (u32)e->cookie != (u32)r->cookie)
			continue;
		*at = w->next;
		c->nwaiting--;
		return w;
	}
	return NULL;
}

static void finish(struct trace_calls *c, const struct trace_func *f, const struct trace_call *ret)
{
	struct trace_waiting *w = ret->record->call ? take(c, ret->record) : NULL;
	struct trace_call entry = {0};

	if (w)
		entry = (struct trace_call){.record = (const void *)w->data, .size = w->size};
	line(c, f, w ? &entry : NULL, ret, false);
	free(w);
}

u32 trace_calls_take(struct trace_calls *c, const void *data, size_t size)
{
	const struct trace_record *r = data;
	const bool sound = size > HEADER && size <= trace_set_record_size(c->set);
	const struct trace_func *f = sound ? trace_set_find(c->set, r->cookie) : NULL;
	const struct trace_call call = {.record = r, .size = (u32)(size - HEADER)};

	if (!f || (r->kind != TRACE_ENTRY && r->kind != TRACE_RETURN))
		return 1;
	if (r->kind == TRACE_RETURN)
		finish(c, f, &call);
	else if (!r->call || !keep(c, r, call.size))
		line(c, f, &call, NULL, false);
	return 0;
}

/* --- the end --------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
	const struct trace_record *x = (const void *)(*(struct trace_waiting *const *)a)->data;
	const struct trace_record *y = (const void *)(*(struct trace_waiting *const *)b)->data;

	return x->ts < y->ts ? -1 : x->ts > y->ts;
}

/* All of them, out of the table; malloc'ed. */
static struct trace_waiting **take_all(struct trace_calls *c, u32 *n)
{
	struct trace_waiting **v = calloc(c->nwaiting + 1, sizeof(struct trace_waiting *));

	*n = 0;
	for (u32 i = 0; v && i < TRACE_BUCKETS; i++) {
		for (struct trace_waiting *w = c->waiting[i]; w; w = w->next)
			v[(*n)++] = w;
		c->waiting[i] = NULL;
	}
	c->nwaiting = 0;
	return v;
}

void trace_calls_end(struct trace_calls *c)
{
	u32 n;
	_cleanup_free_ struct trace_waiting **v = take_all(c, &n);

	if (v)
		qsort(v, n, sizeof(*v), by_time);
	for (u32 i = 0; v && i < n; i++) {
		const struct trace_record *r = (const void *)v[i]->data;
		const struct trace_call entry = {.record = r, .size = v[i]->size};

		line(c, trace_set_find(c->set, r->cookie), &entry, NULL, true);
		free(v[i]);
	}
}

void trace_calls_deinit(struct trace_calls *c)
{
	u32 n;
	_cleanup_free_ struct trace_waiting **v = take_all(c, &n);

	for (u32 i = 0; v && i < n; i++)
		free(v[i]);
}
