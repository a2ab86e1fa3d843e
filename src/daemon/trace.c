/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf_printk: the trace ring, which every agent writes and only we read, as lines for MSG_LOG
 * clients, in the format of the kernel's trace_pipe.
 *
 * A client that asked for its own targets' lines gets those of processes that belong to its
 * session, a client without targets every line. Who is slow loses lines and learns how many.
 *
 * Timers that programs start come by the same ring, and go on to timer.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/run/map/ringbuf.h"
#include "core/run/trace.h"
#include "daemon/target.h"

#define TRACE_BYTES (1u << 20)
#define BATCH_MAX 256 /* records of one turn: the loop has others to serve */

struct line {
	struct msg_log_line head;
	char text[EBPF_TRACE_TEXT_MAX + 128];
};

/* Text made by a program, shown on a terminal: no control characters but the tab. */
static void tame(char *s, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (((u8)s[i] < ' ' && s[i] != '\t' && s[i] != '\n') || s[i] == 0x7f)
			s[i] = '?';
}

static u32 format(struct line *l, const struct ebpf_trace_rec *r, const char *text, u32 len)
{
	char comm[sizeof(r->comm) + 1] = "";
	int n;

	memcpy(comm, r->comm, sizeof(r->comm));
	tame(comm, strlen(comm));
	n = snprintf(l->text, sizeof(l->text),
		     "%16s-%-7u [%03u] ..... %5llu.%06llu: bpf_trace_printk: ", comm, r->tid,
		     r->cpu, (unsigned long long)(r->ts / 1000000000),
		     (unsigned long long)(r->ts / 1000 % 1000000));
	memcpy(l->text + n, text, len);
	tame(l->text + n, len);
	n += len;
	while (n && l->text[n - 1] == '\n')
		n--;
	l->text[n] = 0;
	return n;
}

static bool wants(const struct client *c, u32 tgid)
{
	const struct target *t;
	bool any = false;

	if (!c->log || c->log_all)
		return c->log;
	list_for_each_entry (t, &c->d->targets, node) {
		if (!target_has(t, c->session))
			continue;
		if (t->pid == (s32)tgid)
			return true;
		any = true;
	}
	return !any;
}

static void fan_out(struct daemon *d, struct line *l, u32 len, u32 tgid)
{
	size_t size = sizeof(l->head) + ALIGN_UP(len, 8);
	struct client *c;

	memset(l->text + len, 0, ALIGN_UP(len, 8) - len);
	list_for_each_entry (c, &d->clients, node) {
		if (!wants(c, tgid))
			continue;
		l->head = (struct msg_log_line){.len = len, .lost = c->log_lost};
		if (client_push(c, MSG_LOG_LINES, l, size)) {
			c->log_lost = 0;
		} else {
			c->log_lost++;
			d->log_lost++;
		}
	}
}

static int on_record(void *ctx, const void *data, u32 len)
{
	static struct line line;
	struct ebpf_trace_rec r;
	char text[EBPF_TRACE_TEXT_MAX];
	u32 n;

	if (len < sizeof(r))
		return 0;
	memcpy(&r, data, sizeof(r));
	if (r.len == EBPF_TRACE_TIMER) {
		timers_record(ctx, r.ts, (const u8 *)data + sizeof(r), len - (u32)sizeof(r));
		return 0;
	}
	n = MIN(MIN(r.len, len - (u32)sizeof(r)), (u32)sizeof(text));
	memcpy(text, (const u8 *)data + sizeof(r), n);
	fan_out(ctx, &line, format(&line, &r, text, n), r.tgid);
	return 0;
}

void trace_settle(struct target *t)
{
	u64 dropped = t->stats ? READ_ONCE(t->stats->trace_dropped) : 0;
	u32 more = (u32)(dropped - t->trace_told);
	struct client *c;

	if (dropped <= t->trace_told)
		return;
	t->trace_told = dropped;
	t->d->log_lost += more;
	list_for_each_entry (c, &t->d->clients, node)
		if (wants(c, (u32)t->pid))
			c->log_lost += more;
}

void trace_settle_all(struct daemon *d)
{
	struct target *t;

	list_for_each_entry (t, &d->targets, node)
		trace_settle(t);
}

void trace_tell_lost(struct client *c)
{
	struct msg_log_line head = {.lost = c->log_lost};

	if (!c->log || !c->log_lost)
		return;
	/* it asked: what it is told doesn't count as what it has to keep up with */
	client_tell(c, MSG_LOG_LINES, &head, sizeof(head));
	c->log_lost = 0;
}

/* A producer that never stops must not keep us: what is left comes with the next turn. */
struct turn {
	struct daemon *d;
	u32 n;
};

static int counted_record(void *ctx, const void *data, u32 len)
{
	struct turn *turn = ctx;

	on_record(turn->d, data, len);
	return ++turn->n >= BATCH_MAX;
}

/* Up to a turn of what waits in the ring, without asking the bell: true when there may be more. */
static bool take_turn(struct daemon *d)
{
	struct turn turn = {.d = d};

	if (!d->trace_map)
		return false;
	if (ebpf_ringbuf_consume(&d->trace_map->map, counted_record, &turn) < 0)
		log_line("the trace ring made no sense and was emptied");
	return turn.n >= BATCH_MAX;
}

void trace_drain(struct daemon *d)
{
	/* bounded by what the ring can hold: a producer that never stops must not keep us */
	for (u32 i = 0; i < 64 && take_turn(d); i++)
		;
}

static void on_bell(struct loop_source *s, u32 events)
{
	struct daemon *d = container_of(s, struct daemon, trace_src);
	u64 rings;

	if (read(s->fd, &rings, sizeof(rings)) < 0 && errno != EAGAIN)
		return;
	rings = 1;
	if (take_turn(d) && write(s->fd, &rings, sizeof(rings)) < 0)
		log_line("trace bell: %s", strerror(errno));
}

int trace_start(struct daemon *d)
{
	struct ebpf_map_meta meta = {.type = BPF_MAP_TYPE_RINGBUF,
				     .max_entries = TRACE_BYTES,
				     .nr_cpus = osl_nr_cpus(),
				     .name = "ebpfrt_trace"};
	int err = ebpf_map_new(&d->table, &meta, &d->trace_map);

	if (err)
		return err;
	d->trace_map->obj.hidden = true;
	d->trace_src.fn = on_bell;
	return loop_add(&d->loop, &d->trace_src, waker_bell_fd(d, d->trace_map->meta.bell),
			EPOLLIN);
}

void trace_stop(struct daemon *d)
{
	if (!d->trace_map)
		return;
	loop_del(&d->loop, &d->trace_src);
	ebpf_obj_put(&d->trace_map->obj);
	d->trace_map = NULL;
}

void trace_log_request(struct client *c, const struct frame *f)
{
	u32 scope = 0;

	if (f->len >= sizeof(scope))
		memcpy(&scope, f->body, sizeof(scope));
	/* what was lost before is not this client's */
	trace_settle_all(c->d);
	c->log = true;
	c->log_all = scope == 1;
	client_reply(c, &f->hdr, 0, NULL, 0, NULL, 0, NULL);
}
