/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSG_BPF: from a message to struct ebpf_call and back, and the small requests about objects.
 *
 * Rules: every length in the message is checked here, once; core/load sees only memory of known
 * size. A call that is answered later keeps its message.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/run/map/ringbuf.h"
#include "daemon/daemon.h"

#define BUFS_MAX 32u
#define FDS_MAX 4096u

struct bpf_call {
	struct ebpf_call call;
	struct pending later;
	struct daemon *d;
	struct frame f; /* owns what call's pointers point to */
	struct ebpf_fd *fds;
	struct ebpf_buf *bufs;
	struct ebpf_obj *set_prog; /* the perf event of PERF_EVENT_IOC_SET_BPF, referenced */
};

static void call_free(struct bpf_call *b)
{
	ebpf_call_deinit(&b->call);
	ebpf_obj_put(b->set_prog);
	frame_deinit(&b->f);
	free(b->fds);
	free(b->bufs);
	free(b);
}

/* --- parsing --------------------------------------------------------------------------------- */

struct cursor {
	const u8 *p;
	size_t left;
};

static const void *take(struct cursor *c, size_t n)
{
	const u8 *p = c->p;

	if (n > c->left)
		return NULL;
	c->p += n;
	c->left -= n;
	return p;
}

static int parse_attr(struct ebpf_call *call, struct cursor *c, u32 size)
{
	const u8 *attr = take(c, size);

	if (!attr)
		return -EPROTO;
	memcpy(call->raw, attr, MIN(size, EBPF_ATTR_MAX));
	for (u32 i = EBPF_ATTR_MAX; i < size; i++)
		call->tail |= attr[i] != 0;
	call->attr_size = size;
	return 0;
}

static int parse_fds(struct bpf_call *b, struct cursor *c, u32 n)
{
	if (n > FDS_MAX)
		return -EPROTO;
	b->fds = calloc(n ? n : 1, sizeof(*b->fds));
	if (!b->fds)
		return -ENOMEM;
	for (u32 i = 0; i < n; i++) {
		const void *p = take(c, sizeof(struct msg_fd));
		struct msg_fd m;

		if (!p)
			return -EPROTO;
		memcpy(&m, p, sizeof(m));
		b->fds[i] = (struct ebpf_fd){.fd = m.fd, .ident = m.ident};
	}
	b->call.fds = b->fds;
	b->call.nfds = n;
	return 0;
}

static int parse_bufs(struct bpf_call *b, struct cursor *c, u32 n)
{
	if (n > BUFS_MAX)
		return -EPROTO;
	b->bufs = calloc(n ? n : 1, sizeof(*b->bufs));
	if (!b->bufs)
		return -ENOMEM;
	b->call.bufs = b->bufs;
	for (u32 i = 0; i < n; i++) {
		const void *p = take(c, sizeof(struct msg_buf));
		struct msg_buf m;

		if (!p)
			return -EPROTO;
		memcpy(&m, p, sizeof(m));
		if (m.out > MSG_PAYLOAD_MAX)
			m.out = MSG_PAYLOAD_MAX;
		b->bufs[i] = (struct ebpf_buf){.key = m.key, .in_len = m.in, .out_cap = m.out};
		b->call.nbufs++;
	}
	for (u32 i = 0; i < n; i++) {
		u32 len = b->bufs[i].in_len, pad = -len & 7;

		b->bufs[i].in = take(c, len);
		if (!b->bufs[i].in)
			return -EPROTO;
		/* the last one need not be padded */
		take(c, MIN(pad, c->left));
		if (!len)
			b->bufs[i].in = NULL;
	}
	return 0;
}

static int parse(struct bpf_call *b)
{
	struct cursor c = {b->f.body, b->f.len};
	const void *p = take(&c, sizeof(struct msg_bpf));
	struct msg_bpf m;
	int err;

	if (!p)
		return -EPROTO;
	memcpy(&m, p, sizeof(m));
	b->call.cmd = m.cmd;
	err = parse_attr(&b->call, &c, m.attr_size);
	if (!err)
		err = parse_fds(b, &c, m.nfds);
	if (!err)
		err = parse_bufs(b, &c, m.nbufs);
	return err;
}

/* --- answering ------------------------------------------------------------------------------- */

static bool map_is_local(const struct ebpf_map_obj *m)
{
	return !m->slots && !m->outer;
}

static void describe(struct daemon *d, struct ebpf_obj *obj, struct msg_object *out)
{
	memset(out, 0, sizeof(*out));
	out->kind = obj->kind;
	out->id = obj->id;
	out->ident = obj->name_of_fd.ident;
	out->size = obj->size;
	if (obj->kind == EBPF_OBJ_MAP) {
		struct ebpf_map_obj *m = ebpf_obj_map(obj);

		out->frozen = m->frozen;
		out->local = map_is_local(m);
		out->meta = m->meta;
	}
}

/* A descriptor of @obj for a client: 0 and *fd, *own tells whether to close it after sending. */
static int object_fd(struct daemon *d, struct ebpf_obj *obj, int *fd, bool *own,
		     struct msg_object *info)
{
	int err = 0;

	describe(d, obj, info);
	*own = obj->fd < 0;
	*fd = obj->fd;
	if (*own) {
		*fd = handle_new(d, obj, NULL);
		if (*fd < 0)
			return *fd;
		err = osl_ident(*fd, &info->ident);
	}
	return err;
}

static size_t reply_size(const struct ebpf_call *call, bool object)
{
	size_t n = sizeof(struct msg_bpf) + call->attr_size;

	for (u32 i = 0; i < call->nbufs; i++)
		n += sizeof(struct msg_buf) + ALIGN_UP((size_t)call->bufs[i].out_len, 8);
	if (object)
		n += sizeof(struct msg_buf) + ALIGN_UP(sizeof(struct msg_object), 8);
	return n;
}

static u8 *put(u8 *p, const void *data, size_t n)
{
	if (n)
		memcpy(p, data, n);
	return p + n;
}

static u8 *reply_build(const struct ebpf_call *call, const struct msg_object *object, size_t *len)
{
	struct msg_bpf m = {.cmd = call->cmd,
			    .attr_size = call->attr_size,
			    .nbufs = call->nbufs + (object ? 1 : 0)};
	struct msg_buf b = {.key = MSG_BUF_OBJECT, .out = sizeof(*object)};
	u8 *body, *p;

	*len = reply_size(call, object);
	body = p = calloc(1, *len);
	if (!body)
		return NULL;
	p = put(p, &m, sizeof(m));
	put(p, call->raw, MIN(call->attr_size, EBPF_ATTR_MAX));
	p += call->attr_size;
	for (u32 i = 0; i < call->nbufs; i++) {
		struct msg_buf mb = {.key = call->bufs[i].key, .out = call->bufs[i].out_len};

		p = put(p, &mb, sizeof(mb));
	}
	if (object)
		p = put(p, &b, sizeof(b));
	for (u32 i = 0; i < call->nbufs; i++) {
		put(p, call->bufs[i].out, call->bufs[i].out_len);
		p += ALIGN_UP((size_t)call->bufs[i].out_len, 8);
	}
	if (object)
		put(p, object, sizeof(*object));
	return body;
}

static void answer(struct bpf_call *b, int err)
{
	struct ebpf_call *call = &b->call;
	_cleanup_close_ int own_fd = -1;
	_cleanup_free_ u8 *body = NULL;
	struct msg_object object;
	bool has = false, own = false;
	int fd = -1, r = 0;
	size_t len = 0;

	if (!b->later.client)
		return;
	if (err >= 0 && call->obj) {
		r = object_fd(b->d, call->obj, &fd, &own, &object);
		if (r)
			err = r;
		else
			has = true;
		if (own)
			own_fd = fd;
	}
	body = reply_build(call, has ? &object : NULL, &len);
	pending_reply(&b->later, body ? err : -ENOMEM, body, body ? len : 0, &fd, has ? 1 : 0,
		      call->why);
}

/* The link stays with the event; the client gets a plain answer. */
static void answer_set_prog(struct bpf_call *b, int err)
{
	if (err >= 0 && b->call.obj)
		perf_set_link(b->set_prog, ebpf_obj_link(b->call.obj));
	pending_reply(&b->later, MIN(err, 0), NULL, 0, NULL, 0, b->call.why);
}

void bpf_done(struct ebpf_call *call, int err)
{
	struct bpf_call *b = container_of(call, struct bpf_call, call);

	if (b->set_prog)
		answer_set_prog(b, err);
	else
		answer(b, err);
	call_free(b);
}

static void call_init(struct bpf_call *b, struct client *c)
{
	list_init(&b->later.node);
	b->d = c->d;
	b->call.table = &c->d->table;
	b->call.owner = &c->owner;
	b->call.uid = c->uid;
	b->call.pid = c->pid;
	b->call.session = c->session;
	b->call.interpret = c->interpret;
}

static void call_run(struct bpf_call *b, int err)
{
	if (!err)
		err = ebpf_syscall(&b->call);
	if (err != EBPF_LATER)
		bpf_done(&b->call, err);
}

/* The same as BPF_LINK_CREATE with the two descriptors, so that is what runs. */
void bpf_set_prog(struct client *c, const struct frame *f, struct ebpf_obj *event,
		  const struct osl_ident *prog)
{
	struct bpf_call *b = calloc(1, sizeof(*b));
	struct osl_ident ident;

	memcpy(&ident, f->body + offsetof(struct msg_perf_ioctl, event), sizeof(ident));
	if (b)
		b->fds = calloc(2, sizeof(*b->fds));
	if (!b || !b->fds) {
		free(b);
		client_reply(c, &f->hdr, -ENOMEM, NULL, 0, NULL, 0, NULL);
		return;
	}
	call_init(b, c);
	b->fds[0] = (struct ebpf_fd){.fd = 0, .ident = *prog};
	b->fds[1] = (struct ebpf_fd){.fd = 1, .ident = ident};
	b->call.fds = b->fds;
	b->call.nfds = 2;
	b->call.cmd = BPF_LINK_CREATE;
	b->call.attr.link_create.prog_fd = 0;
	b->call.attr.link_create.target_fd = 1;
	b->call.attr.link_create.attach_type = BPF_PERF_EVENT;
	b->set_prog = ebpf_obj_get(event);
	pending_add(c, &b->later, &f->hdr);
	call_run(b, 0);
}

void bpf_request(struct client *c, struct frame *f)
{
	struct bpf_call *b = calloc(1, sizeof(*b));
	int err;

	if (!b) {
		client_reply(c, &f->hdr, -ENOMEM, NULL, 0, NULL, 0, NULL);
		return;
	}
	call_init(b, c);
	b->f = *f;
	*f = (struct frame)FRAME_INIT;
	err = parse(b);
	if (err == -EPROTO) {
		log_line("client %d (%s): malformed bpf request", c->pid, c->name);
		c->dying = true;
		call_free(b);
		return;
	}
	pending_add(c, &b->later, &b->f.hdr);
	call_run(b, err);
}

/* --- requests about an object ---------------------------------------------------------------- */

static struct ebpf_obj *named(struct client *c, const struct frame *f)
{
	struct osl_ident ident;

	if (f->len < sizeof(ident))
		return NULL;
	memcpy(&ident, f->body, sizeof(ident));
	return ebpf_obj_by_ident(&c->d->table, &ident);
}

static bool is_ring(const struct ebpf_obj *obj)
{
	return obj->kind == EBPF_OBJ_MAP &&
	       container_of(obj, struct ebpf_map_obj, obj)->meta.type == BPF_MAP_TYPE_RINGBUF;
}

/* Naming an object is holding it: a forked or receiving process makes itself known this way. */
void bpf_object(struct client *c, const struct frame *f)
{
	struct ebpf_obj *obj = named(c, f);
	struct msg_object info;
	int err = obj ? 0 : -ENOENT;

	if (!err && obj->fd >= 0)
		err = ebpf_owner_hold(&c->owner, obj);
	if (err) {
		client_reply(c, &f->hdr, err, NULL, 0, NULL, 0, NULL);
		return;
	}
	describe(c->d, obj, &info);
	memcpy(&info.ident, f->body, sizeof(info.ident));
	client_reply(c, &f->hdr, 0, &info, sizeof(info), &obj->fd, is_ring(obj) ? 1 : 0, NULL);
}

void bpf_eventfd(struct client *c, const struct frame *f)
{
	struct ebpf_obj *obj = named(c, f);
	u32 bell = 0;
	int fd;

	if (obj && obj->kind == EBPF_OBJ_MAP)
		bell = ebpf_obj_map(obj)->meta.bell;
	else if (obj && obj->kind == EBPF_OBJ_PERF)
		bell = perf_bell(obj);
	fd = waker_bell_fd(c->d, bell);
	if (fd < 0)
		client_reply(c, &f->hdr, obj ? -EINVAL : -ENOENT, NULL, 0, NULL, 0, NULL);
	else
		client_reply(c, &f->hdr, 0, NULL, 0, &fd, 1, NULL);
}

void bpf_closed(struct client *c, const struct frame *f)
{
	struct ebpf_obj *obj = named(c, f);

	if (obj)
		ebpf_owner_drop(&c->owner, obj);
	daemon_check_idle(c->d);
}

/* Some name of an object may have gone: what hung on it is detached when this is answered. */
void bpf_names(struct client *c, const struct frame *f)
{
	ebpf_pin_sync(&c->d->table);
	client_reply(c, &f->hdr, 0, NULL, 0, NULL, 0, NULL);
	daemon_check_idle(c->d);
}

/* --- what core/load asks of us ---------------------------------------------------------------- */

static struct daemon *daemon_of(struct ebpf_table *t)
{
	return t->cookie;
}

static u32 random_word(void)
{
	u32 v = 0;

	if (getrandom(&v, sizeof(v), 0) != sizeof(v))
		v = osl_random();
	return v;
}

static u64 pages_span(const struct ebpf_map_meta *meta, u64 size, struct ebpf_map_part part[2])
{
	if (ebpf_is_ring(meta->type))
		return ebpf_ringbuf_layout(meta, part);
	part[0] = (struct ebpf_map_part){.len = size};
	return size;
}

static int map_pages(const struct ebpf_map_meta *meta, int fd, u64 size, void **out)
{
	struct ebpf_map_part part[2] = {0};
	u64 span = pages_span(meta, size, part);
	u8 *base = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	for (u32 i = 0; i < 2 && part[i].len; i++) {
		if (mmap(base + part[i].at, part[i].len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, part[i].off) == MAP_FAILED) {
			int err = -errno;

			munmap(base, span);
			return err;
		}
	}
	*out = base;
	return 0;
}

static void unmap_pages(const struct ebpf_map_meta *meta, void *base, u64 size)
{
	struct ebpf_map_part part[2];

	munmap(base, pages_span(meta, size, part));
}

static int map_new(struct ebpf_map_obj *m)
{
	int bell;

	if (!ebpf_is_ring(m->meta.type))
		return 0;
	bell = waker_bell_new(daemon_of(m->obj.table), NULL);
	if (bell < 0)
		return bell;
	m->meta.bell = m->map.meta.bell = bell;
	return 0;
}

static void map_gone(struct ebpf_map_obj *m)
{
	waker_bell_free(daemon_of(m->obj.table), m->meta.bell);
}

static void stats_off(struct daemon *d)
{
	if (!--d->stats_users)
		WRITE_ONCE(d->life->stats_enabled, 0);
}

/* The result is a socket without an object; closing its last copy ends the statistics. */
static int enable_stats(struct ebpf_call *call)
{
	struct bpf_call *b = container_of(call, struct bpf_call, call);
	_cleanup_close_ int fd = handle_new(b->d, NULL, stats_off);
	_cleanup_free_ u8 *body = NULL;
	struct msg_object none = {0};
	size_t len;

	if (fd < 0)
		return fd;
	if (!b->d->stats_users++)
		WRITE_ONCE(b->d->life->stats_enabled, 1);
	osl_ident(fd, &none.ident);
	body = reply_build(call, &none, &len);
	if (!body)
		return -ENOMEM;
	/* answered here: bpf_done() finds nobody waiting any more */
	pending_reply(&b->later, 0, body, len, &fd, 1, NULL);
	return 0;
}

/* A file as the calling process names it, which may live in another root or directory. */
static int file_ident(struct ebpf_call *call, const char *path, struct osl_ident *out, u64 *size)
{
	char there[4200];
	struct stat st;

	snprintf(there, sizeof(there), "/proc/%d/%s%s%s", call->pid, *path == '/' ? "root" : "cwd",
		 *path == '/' ? "" : "/", path);
	if (stat(there, &st) && stat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	*out = (struct osl_ident){.dev = st.st_dev, .ino = st.st_ino};
	*size = (u64)st.st_size;
	return 0;
}

const struct ebpf_backend daemon_backend = {
	.link_attach = attach_link,
	.link_detach = attach_detach,
	.link_update = attach_update,
	.link_of_event = perf_link_of_event,
	.link_at = perf_link_at,
	.file_ident = file_ident,
	.test_run = testrun_start,
	.prog_build = progbuild_start,
	.slot_set = attach_slot_set,
	.inner_reach = inner_reach,
	.prog_stats = attach_prog_stats,
	.enable_stats = enable_stats,
	.map_pages = map_pages,
	.unmap_pages = unmap_pages,
	.random = random_word,
	.map_new = map_new,
	.map_gone = map_gone,
	.pin_make = names_make,
	.pin_find = names_find,
	.pin_gone = names_gone,
	.pin_free = names_free,
};
