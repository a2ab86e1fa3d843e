/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an object's maps stream out, printed as it comes: ring buffers and perf event arrays, each
 * record by its BTF type when the map (or a structure of the map's name) says what it is, else as
 * bytes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/out.h"
#include "cli/session.h"
#include "cli/value.h"
#include "core/run/map/ringbuf.h"

#define PERF_PAGES 16
#define DUMP_MAX 4096
/* Records of one ring that are read before the others, and signals, have their turn. */
#define TURN 16384u

struct stream {
	struct stream *next; /* all of a session's */
	struct session *session;
	const char *name;
	const struct btf *btf;
	u32 type;
	int ring; /* its descriptor, -1: not a ring buffer */
	struct ring_buffer *reader;
	u64 ring_size;
	u64 left;  /* records that may be read yet */
	u64 drops; /* that are reported, or not ours */
};

/* The structure called like the map ("events": struct events, struct event), or 0. */
static u32 type_by_name(const struct btf *btf, const char *map)
{
	char name[64];
	size_t n;
	s32 id;

	if (!btf)
		return 0;
	snprintf(name, sizeof(name), "%s", map);
	id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);
	n = strlen(name);
	if (id < 0 && n > 1 && name[n - 1] == 's') {
		name[n - 1] = 0;
		id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);
	}
	return id > 0 ? (u32)id : 0;
}

static void hexdump(FILE *f, const char *name, const u8 *data, size_t size)
{
	fprintf(f, "%s: %zu bytes\n", name, size);
	for (size_t at = 0; at < MIN(size, (size_t)DUMP_MAX); at += 16) {
		fprintf(f, "  %04zx ", at);
		for (size_t i = at; i < at + 16; i++)
			fprintf(f, i < size ? " %02x" : "   ", i < size ? data[i] : 0);
		fputs("  ", f);
		for (size_t i = at; i < MIN(at + 16, size); i++)
			fputc(data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '.', f);
		fputc('\n', f);
	}
}

static void show_json(const struct stream *s, u32 type, const void *data, size_t size)
{
	struct json_object *o = json_object_new_object();

	out_add_str(o, "map", s->name);
	out_add(o, "value", value_json(s->btf, type, data, size));
	out_json_event(s->session->stream, "event", o);
}

static void show(const struct stream *s, const void *data, size_t size)
{
	u32 type = s->type;
	s64 tsize = type ? btf__resolve_size(s->btf, type) : -1;
	_cleanup_free_ char *text = NULL;

	if (tsize < 0 || (u64)tsize > size)
		type = 0;
	if (s->session->json) {
		show_json(s, type, data, size);
		return;
	}
	if (type && (text = value_text(s->btf, type, data, tsize)))
		fprintf(s->session->stream, "%s: %s\n", s->name, text);
	else
		hexdump(s->session->stream, s->name, data, size);
	fflush(s->session->stream);
}

static int on_ring(void *ctx, void *data, size_t size)
{
	struct stream *st = ctx;

	if (st->session->on_record)
		st->session->on_record(st->session->cookie, data, size);
	else
		show(st, data, size);
	return --st->left ? 0 : -EAGAIN; /* which ends the reading */
}

/* More records than a ring can hold: so many are the end, also of one that is never empty. */
static u64 ring_holds(const struct stream *st)
{
	return st->ring_size / BPF_RINGBUF_HDR_SZ + 1;
}

int session_watch_rings(struct session *s, int (*watch)(struct session *s, int fd))
{
	int err = 0;

	for (struct stream *st = s->streams; !err && st; st = st->next)
		if (st->reader)
			err = watch(s, ring_buffer__epoll_fd(st->reader));
	return err;
}

/*
 * A ring that is filled faster than it is read has no end, and each has its own reader, lest one
 * like that keeps the others waiting.
 */
bool session_read_rings(struct session *s, bool whole)
{
	bool more = false;

	for (struct stream *st = s->streams; st; st = st->next) {
		if (!st->reader)
			continue;
		st->left = whole ? ring_holds(st) : TURN;
		ring_buffer__poll(st->reader, 0);
		if (st->left)
			ring_buffer__consume(st->reader);
		more |= !st->left;
	}
	return more;
}

static void on_perf(void *ctx, int cpu, void *data, u32 size)
{
	show(ctx, data, size);
}

static void on_perf_lost(void *ctx, int cpu, unsigned long long n)
{
	struct stream *s = ctx;

	s->session->lost += n;
	out_warn("%s: %llu events lost, the reader was slow", s->name, n);
}

static u64 ring_drops(int fd)
{
	u64 n;

	return pread(fd, &n, sizeof(n), EBPF_RINGBUF_DROPPED) == sizeof(n) ? n : 0;
}

/* Of rings nobody says it by the way: their count is looked at in the end. */
void session_count_drops(struct session *s)
{
	for (struct stream *st = s->streams; st; st = st->next) {
		u64 n = st->ring >= 0 ? ring_drops(st->ring) - st->drops : 0;

		if (!n)
			continue;
		st->drops += n;
		s->lost += n;
		out_warn("%s: %" PRIu64 " events lost: the ring was full, or their program was cut "
			 "short",
			 st->name, n);
	}
}

static bool read_word(int fd, u64 at, void *out, size_t size)
{
	return pread(fd, out, size, (off_t)at) == (ssize_t)size;
}

/*
 * Records from one that is being written to the end: the reader can't pass it. 0: there is none.
 * What the targets write meanwhile is bounded by the ring's length; sense in it is not our concern.
 */
static u32 ring_open(int fd, u64 size)
{
	u64 pos, prod;
	u32 len, n = 0;

	if (!read_word(fd, EBPF_RINGBUF_CONSUMED, &pos, sizeof(pos)) ||
	    !read_word(fd, EBPF_RINGBUF_PRODUCED, &prod, sizeof(prod)))
		return 0;
	while (prod - pos - 1 < size &&
	       read_word(fd, EBPF_RINGBUF_DATA + (pos & (size - 1)), &len, sizeof(len))) {
		if (!n && !(len & BPF_RINGBUF_BUSY_BIT))
			return 0;
		n++;
		pos += ALIGN_UP((u64)(len & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT)) +
					BPF_RINGBUF_HDR_SZ,
				8ull);
	}
	return n;
}

void session_count_open(struct session *s, u32 ms)
{
	const struct timespec step = {.tv_nsec = 1000000};

	for (struct stream *st = s->streams; st; st = st->next) {
		u32 n = 0;

		if (st->ring < 0)
			continue;
		while ((n = ring_open(st->ring, st->ring_size)) && ms) {
			ms--;
			nanosleep(&step, NULL);
			st->left = ring_holds(st);
			ring_buffer__consume(st->reader);
		}
		if (!n)
			continue;
		s->lost += n;
		out_warn("%s: %u event%s left: a thread was stopped while it wrote", st->name, n,
			 n == 1 ? " was" : "s were");
		ms = 0;
	}
}

static struct stream *new_stream(struct session *s, const struct object *obj, struct bpf_map *map)
{
	struct stream *st = calloc(1, sizeof(*st)), **at = &s->streams;

	if (!st)
		return NULL;
	while (*at)
		at = &(*at)->next;
	*at = st;
	st->session = s;
	st->ring = -1;
	st->name = bpf_map__name(map);
	st->btf = bpf_object__btf(obj->bpf);
	st->type = bpf_map__btf_value_type_id(map);
	if (!st->btf || !value_strip(st->btf, st->type) ||
	    btf__resolve_size(st->btf, st->type) <= 8)
		st->type = type_by_name(st->btf, st->name);
	return st;
}

static int add_ring(struct session *s, const struct object *obj, struct bpf_map *map)
{
	struct stream *st = new_stream(s, obj, map);

	if (!st)
		return -ENOMEM;
	st->ring = bpf_map__fd(map);
	st->ring_size = bpf_map__max_entries(map);
	st->drops = ring_drops(st->ring);
	st->reader = ring_buffer__new(st->ring, on_ring, st, NULL);
	return st->reader ? 0 : -errno;
}

static int add_perf(struct session *s, const struct object *obj, struct bpf_map *map)
{
	struct stream *st = new_stream(s, obj, map);
	struct perf_buffer **v = realloc(s->perf, (s->nperf + 1) * sizeof(*v));

	if (v)
		s->perf = v;
	if (!st || !v)
		return -ENOMEM;
	v[s->nperf] =
		perf_buffer__new(bpf_map__fd(map), PERF_PAGES, on_perf, on_perf_lost, st, NULL);
	if (!v[s->nperf])
		return -errno;
	s->nperf++;
	return 0;
}

static int open_streams_of(struct session *s, const struct object *obj)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map (map, obj->bpf) {
		if (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF)
			err = add_ring(s, obj, map);
		else if (bpf_map__type(map) == BPF_MAP_TYPE_PERF_EVENT_ARRAY)
			err = add_perf(s, obj, map);
		if (err) {
			out_error("cannot read the events of map %s: %s", bpf_map__name(map),
				  strerror(-err));
			return err;
		}
	}
	return 0;
}

int session_open_streams(struct session *s)
{
	int err = 0;

	for (u32 i = 0; !err && i < s->nobjs; i++)
		err = open_streams_of(s, s->objs[i]);
	return err;
}

void session_close_streams(struct session *s)
{
	for (u32 i = 0; i < s->nperf; i++)
		perf_buffer__free(s->perf[i]);
	free(s->perf);
	while (s->streams) {
		struct stream *next = s->streams->next;

		ring_buffer__free(s->streams->reader);
		free(s->streams);
		s->streams = next;
	}
}
