/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Perf events, as far as tracing user space needs them: the uprobe source, which names a place in a
 * file, and the software event BPF_OUTPUT, whose ring takes what bpf_perf_event_output() writes.
 *
 * An event is a handle (a socket) like a link; errno are those of perf_event_open(2) and its
 * ioctls.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/run/map/perf.h"
#include "daemon/daemon.h"

#define RING_BYTES_MAX (256ull << 20)

struct perf_event {
	struct ebpf_obj obj;
	struct daemon *d;
	bool output; /* a ring, else a uprobe */
	bool has_prog;
	bool timed; /* samples carry their time */
	s32 pid, cpu;
	/* uprobe */
	char *path;
	struct osl_ident file;
	u64 offset, ref_ctr;
	bool is_ret;
	struct ebpf_link_obj *own_link; /* of PERF_EVENT_IOC_SET_BPF */
	/* output */
	u32 bell;
	int ring_fd;
	u64 ring_size;
};

static struct perf_event *event_of(struct ebpf_obj *obj)
{
	return container_of(obj, struct perf_event, obj);
}

static void event_release(struct ebpf_obj *obj)
{
	struct perf_event *e = event_of(obj);

	if (e->own_link)
		ebpf_obj_put(&e->own_link->obj);
	waker_bell_free(e->d, e->bell);
	if (e->ring_fd >= 0)
		close(e->ring_fd);
	free(e->path);
	free(e);
}

/* --- open ------------------------------------------------------------------------------------ */

static int uprobe_file(struct client *c, const char *path, struct osl_ident *out, u64 *size)
{
	struct ebpf_call call = {.pid = c->pid};
	int err = daemon_backend.file_ident(&call, path, out, size);

	return err == -EBADF ? -EINVAL : err;
}

static int init_uprobe(struct client *c, struct perf_event *e, const struct perf_event_attr *attr,
		       const char *path)
{
	u64 size;
	int err;

	if (!*path)
		return -EINVAL;
	if (attr->config & 0xfffffffeu)
		return -EINVAL;
	err = uprobe_file(c, path, &e->file, &size);
	if (err)
		return err;
	if (attr->probe_offset > size)
		return -EINVAL;
	e->path = strdup(path);
	e->is_ret = attr->config & 1;
	e->ref_ctr = attr->config >> 32;
	e->offset = attr->probe_offset;
	return e->path ? 0 : -ENOMEM;
}

static int init_output(struct daemon *d, struct perf_event *e, const struct perf_event_attr *attr)
{
	int bell;

	/* other fields of a sample have their place before the data: better none than wrong ones */
	if (attr->sample_type & ~(u64)(PERF_SAMPLE_RAW | PERF_SAMPLE_TIME))
		return -EOPNOTSUPP;
	e->timed = attr->sample_type & PERF_SAMPLE_TIME;
	bell = waker_bell_new(d, NULL);

	if (bell < 0)
		return bell;
	e->output = true;
	e->bell = bell;
	return 0;
}

static int init_event(struct client *c, struct perf_event *e, const struct msg_perf_open *m,
		      const char *path)
{
	struct perf_event_attr attr;

	memcpy(&attr, m->attr, MIN(sizeof(attr), sizeof(m->attr)));
	if (m->flags & ~(u64)(PERF_FLAG_FD_NO_GROUP | PERF_FLAG_FD_OUTPUT | PERF_FLAG_PID_CGROUP |
			      PERF_FLAG_FD_CLOEXEC))
		return -EINVAL;
	if (m->flags & PERF_FLAG_PID_CGROUP)
		return -EOPNOTSUPP;
	if (m->pid == -1 && m->cpu == -1)
		return -EINVAL;
	if (m->cpu >= (s32)osl_nr_cpus())
		return -ENODEV;
	e->pid = m->pid ? m->pid : c->pid;
	e->cpu = m->cpu;
	if (attr.type == MSG_PERF_TYPE_UPROBE)
		return init_uprobe(c, e, &attr, path);
	if (attr.type == PERF_TYPE_SOFTWARE && attr.config == PERF_COUNT_SW_BPF_OUTPUT)
		return init_output(c->d, e, &attr);
	return -ENOENT;
}

static struct perf_event *event_new(struct daemon *d)
{
	struct perf_event *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->d = d;
	e->ring_fd = -1;
	e->obj.release = event_release;
	if (ebpf_obj_init(&d->table, &e->obj, EBPF_OBJ_PERF, -1, 0)) {
		free(e);
		return NULL;
	}
	return e;
}

static int event_reply(struct client *c, const struct frame *f, struct perf_event *e)
{
	struct msg_object info = {.kind = MSG_OBJ_PERF, .id = e->obj.id};
	_cleanup_close_ int fd = handle_new(c->d, &e->obj, NULL);

	if (fd < 0)
		return fd;
	osl_ident(fd, &info.ident);
	client_reply(c, &f->hdr, 0, &info, sizeof(info), &fd, 1, NULL);
	return 0;
}

void perf_open_request(struct client *c, const struct frame *f)
{
	const char *path = (const char *)f->body + sizeof(struct msg_perf_open);
	struct perf_event *e;
	struct msg_perf_open m;
	int err = -EINVAL;

	if (f->len < sizeof(m) || f->len - sizeof(m) > 4096) {
		client_reply(c, &f->hdr, err, NULL, 0, NULL, 0, NULL);
		return;
	}
	memcpy(&m, f->body, sizeof(m));
	e = event_new(c->d);
	if (!e) {
		client_reply(c, &f->hdr, -ENOMEM, NULL, 0, NULL, 0, NULL);
		return;
	}
	/* the frame's body ends in a NUL of its own: @path is a string even when none was sent */
	err = init_event(c, e, &m, path);
	if (!err)
		err = event_reply(c, f, e);
	if (err)
		client_reply(c, &f->hdr, err, NULL, 0, NULL, 0, NULL);
	ebpf_obj_put(&e->obj);
}

/* --- ring ------------------------------------------------------------------------------------ */

static int ring_new(struct perf_event *e, u64 size)
{
	_cleanup_close_ int fd = -1;
	struct perf_event_mmap_page *page;
	u64 data = size - EBPFRT_PAGE_SIZE;
	int err;

	if (size <= EBPFRT_PAGE_SIZE || data % EBPFRT_PAGE_SIZE || !IS_POW2(data) ||
	    size > RING_BYTES_MAX)
		return -EINVAL;
	fd = osl_shm_create("perf-ring", size);
	if (fd < 0)
		return fd;
	err = osl_shm_map(fd, 0, EBPFRT_PAGE_SIZE, true, (void **)&page);
	if (err)
		return err;
	page->data_offset = EBPFRT_PAGE_SIZE;
	page->data_size = data;
	*(u32 *)((u8 *)page + EBPF_PERF_TIMED) = e->timed;
	osl_shm_unmap(page, EBPFRT_PAGE_SIZE);
	err = osl_shm_seal(fd, OSL_SEAL_SIZE);
	if (err)
		return err;
	e->ring_fd = TAKE_FD(fd);
	e->ring_size = size;
	return 0;
}

static struct perf_event *named_event(struct client *c, const struct osl_ident *ident)
{
	struct ebpf_obj *obj = ebpf_obj_by_ident(&c->d->table, ident);

	return obj && obj->kind == EBPF_OBJ_PERF ? event_of(obj) : NULL;
}

/* Arrays that already hold this event learn of its ring now. */
static void ring_announce(struct perf_event *e)
{
	struct ebpf_obj *o;

	list_for_each_entry (o, &e->d->table.objs[EBPF_OBJ_MAP], node) {
		struct ebpf_map_obj *m = ebpf_obj_map(o);

		for (u32 i = 0; m->slots && i < m->meta.max_entries; i++)
			if (m->slots[i] == &e->obj)
				attach_slot_set(m, i, &e->obj);
	}
}

void perf_mmap_request(struct client *c, const struct frame *f)
{
	struct msg_perf_mmap m = {0};
	struct perf_event *e;
	int err = 0;

	if (f->len >= sizeof(m))
		memcpy(&m, f->body, sizeof(m));
	e = named_event(c, &m.event);
	if (!e)
		err = -EBADF;
	else if (!e->output || (e->ring_fd >= 0 && e->ring_size != m.size))
		err = -EINVAL;
	else if (e->ring_fd < 0)
		err = ring_new(e, m.size);
	if (err) {
		client_reply(c, &f->hdr, err, NULL, 0, NULL, 0, NULL);
		return;
	}
	ring_announce(e);
	client_reply(c, &f->hdr, 0, NULL, 0, &e->ring_fd, 1, NULL);
}

u32 perf_bell(struct ebpf_obj *event)
{
	return event_of(event)->bell;
}

int perf_ring(struct ebpf_obj *event, u64 *size, u32 *id)
{
	struct perf_event *e = event_of(event);

	*size = e->ring_size;
	*id = e->obj.id;
	return e->ring_fd;
}

/* --- programs -------------------------------------------------------------------------------- */

/* A typed program says itself at which end of a call it runs: it is attached to the entry. */
static bool may_have(const struct perf_event *e, const struct ebpf_prog_obj *prog)
{
	return prog->type == BPF_PROG_TYPE_KPROBE ||
	       (prog->type == BPF_PROG_TYPE_TRACING && !e->is_ret);
}

int perf_link_of_event(struct ebpf_call *call, struct ebpf_link_obj *l, struct ebpf_obj *event)
{
	struct perf_event *e = event_of(event);

	if (e->output || !may_have(e, l->prog))
		return -EINVAL;
	if (e->has_prog)
		return -EEXIST;
	l->path = strdup(e->path);
	l->offsets = calloc(1, sizeof(u64));
	l->cookies = calloc(1, sizeof(u64));
	l->ref_ctrs = calloc(1, sizeof(u64));
	if (!l->path || !l->offsets || !l->cookies || !l->ref_ctrs)
		return -ENOMEM;
	l->offsets[0] = e->offset;
	l->ref_ctrs[0] = e->ref_ctr;
	l->nsites = 1;
	l->file = e->file;
	l->is_ret = e->is_ret;
	l->pid = e->pid;
	e->has_prog = true;
	return 0;
}

struct ebpf_link_obj *perf_link_at(struct ebpf_obj *event)
{
	struct perf_event *e = event_of(event);
	struct ebpf_obj *o;

	if (e->own_link)
		return e->own_link;
	list_for_each_entry (o, &e->d->table.objs[EBPF_OBJ_LINK], node)
		if (ebpf_obj_link(o)->event == event && !ebpf_obj_link(o)->detached)
			return ebpf_obj_link(o);
	return NULL;
}

void perf_link_gone(struct ebpf_link_obj *l)
{
	if (l->event && l->nsites)
		event_of(l->event)->has_prog = false;
}

void perf_set_link(struct ebpf_obj *event, struct ebpf_link_obj *l)
{
	/* the event owns this link, not the other way round */
	l->obj.hidden = true;
	ebpf_obj_put(l->event);
	l->event = NULL;
	event_of(event)->own_link = ebpf_obj_link(ebpf_obj_get(&l->obj));
}

/*
 * Enabling and disabling governs what a uprobe event records for perf; its BPF programs run from
 * SET_BPF or LINK_CREATE until the event is closed, as the kernel's do.
 */
static int ioctl_simple(u64 request)
{
	switch (request) {
	case PERF_EVENT_IOC_ENABLE:
	case PERF_EVENT_IOC_DISABLE:
	case PERF_EVENT_IOC_ID:
		return 0;
	default:
		return -ENOTTY;
	}
}

void perf_ioctl_request(struct client *c, const struct frame *f)
{
	struct msg_perf_ioctl m = {0};
	struct perf_event *e = NULL;
	int err = -EBADF;
	u64 id;

	if (f->len >= sizeof(m)) {
		memcpy(&m, f->body, sizeof(m));
		e = named_event(c, &m.event);
	}
	if (e && m.request == PERF_EVENT_IOC_SET_BPF) {
		bpf_set_prog(c, f, &e->obj, &m.prog);
		return;
	}
	if (e)
		err = ioctl_simple(m.request);
	id = e ? e->obj.id : 0;
	client_reply(c, &f->hdr, err, &id, err ? 0 : sizeof(id), NULL, 0, NULL);
}
