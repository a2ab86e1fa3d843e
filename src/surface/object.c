/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The objects this process holds descriptors of, by the identity of the descriptor.
 *
 * Model: the kernel's descriptor table is the truth; this table only remembers what the daemon said
 * about an identity, and the mapping of its memory. An entry appears when a descriptor is received
 * or first seen, and goes, with a MSG_CLOSED to the daemon, when the last descriptor of it in this
 * process is closed. Entries are counted: a thread may be working on an element while another one
 * closes the map.
 *
 * Rules: the table lock protects the chains and the fields that change; it is never held across a
 * request.
 */
#include <stdio.h>
#include <string.h>

#include "surface/internal.h"

#define NBUCKETS 256u

static struct surface_obj *table[NBUCKETS];
static u32 count;

static struct surface_obj **bucket(const struct osl_ident *ident)
{
	return &table[(u32)(ident->ino ^ ident->ino >> 8) % NBUCKETS];
}

static struct surface_obj *find_locked(const struct osl_ident *ident)
{
	struct surface_obj *o = *bucket(ident);

	while (o && !ident_eq(&o->ident, ident))
		o = o->next;
	return o;
}

static struct surface_obj *find(const struct osl_ident *ident)
{
	struct surface_obj *o;

	surface_lock();
	o = find_locked(ident);
	if (o)
		__atomic_add_fetch(&o->refs, 1, __ATOMIC_RELAXED);
	surface_unlock();
	return o;
}

static void obj_free(struct surface_obj *o)
{
	if (o->map.base)
		sys_munmap(o->map.base, o->size);
	if (o->ring)
		sys_munmap(o->ring, o->ring_size);
	if (o->event_fd >= 0)
		sys_close(o->event_fd);
	free(o);
}

void surface_obj_put(struct surface_obj *o)
{
	if (__atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		surface_enter();
		obj_free(o);
		surface_leave();
	}
}

u32 surface_obj_count(void)
{
	return load_relaxed(&count);
}

struct surface_obj *surface_obj_known(int fd)
{
	struct osl_ident ident;

	if (surface_obj_count() == 0 || sys_ident(fd, &ident) < 0)
		return NULL;
	return find(&ident);
}

/* --- entering --------------------------------------------------------------------------------- */

static void fill(struct surface_obj *o, const struct msg_object *info, bool modes)
{
	o->kind = info->kind;
	o->id = info->id;
	o->size = info->size;
	o->local = info->local;
	o->modes |= modes;
	o->frozen |= info->frozen;
	o->meta = info->meta;
	o->meta.name[sizeof(o->meta.name) - 1] = '\0';
}

/* The daemon is trusted more than a target, but its numbers size our copies. */
static bool info_sane(const struct msg_object *info)
{
	if (info->kind != MSG_OBJ_MAP || !info->local)
		return info->kind != MSG_OBJ_NONE && info->kind <= MSG_OBJ_PERF;
	return ebpf_map_check(&info->meta) == 0 && ebpf_map_shm_size(&info->meta) == info->size;
}

int surface_obj_enter(const struct msg_object *info, int fd, bool modes)
{
	struct surface_obj *o;
	struct osl_ident ident;
	int err = sys_ident(fd, &ident);

	if (err)
		return err;
	if (!info_sane(info))
		return -EPROTO;
	surface_lock();
	o = find_locked(&ident);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o) {
			surface_unlock();
			return -ENOMEM;
		}
		o->refs = 1;
		o->event_fd = -1;
		o->ident = ident;
		o->next = *bucket(&ident);
		*bucket(&ident) = o;
		store_relaxed(&count, count + 1);
	}
	fill(o, info, modes);
	surface_unlock();
	return 0;
}

static int ask(const struct osl_ident *ident, struct msg_object *info)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg req = {.type = MSG_OBJECT};
	int err = surface_request(&req, ident, sizeof(*ident), NULL, 0, &reply);

	if (err < 0)
		return err;
	if (reply.len < sizeof(*info))
		return -EPROTO;
	memcpy(info, reply.body, sizeof(*info));
	return 0;
}

int surface_obj_get(int fd, u32 kind, struct surface_obj **out)
{
	_cleanup_obj_ struct surface_obj *o = NULL;
	struct msg_object info;
	struct osl_ident ident;
	int err = sys_ident(fd, &ident);

	if (err)
		return -EBADF;
	o = find(&ident);
	if (!o) {
		err = ask(&ident, &info);
		if (err)
			return err == -ENOENT || err == -EBADF ? -EINVAL : err;
		err = surface_obj_enter(&info, fd, true);
		if (err)
			return err;
		o = find(&ident);
	}
	if (!o || (kind != MSG_OBJ_NONE && o->kind != kind))
		return -EINVAL;
	*out = TAKE_PTR(o);
	return 0;
}

/* --- the elements' memory ----------------------------------------------------------------------
 */

/* A descriptor that can be mapped for writing, whatever the mode of the program's own. */
static int reopen(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
}

static void *map_memory(void *at, u64 size, int fd, bool write)
{
	int prot = PROT_READ | (write ? PROT_WRITE : 0);
	int flags = MAP_SHARED | (at ? MAP_FIXED : 0);
	void *p = sys_mmap(at, size, prot, flags, fd, 0);
	int other;

	if (!sys_is_err(p) || (other = reopen(fd)) < 0)
		return p;
	p = sys_mmap(at, size, prot, flags, other, 0);
	sys_close(other);
	return p;
}

static int map_locked(struct surface_obj *o, int fd, bool write)
{
	u8 *base = o->map.base;
	bool writable = true;
	void *p;
	int err;

	if (base && (!write || !o->map.readonly))
		return 0;
	p = map_memory(base, o->size, fd, true);
	if (sys_is_err(p) && !base) {
		writable = false;
		p = map_memory(NULL, o->size, fd, false);
	}
	if (sys_is_err(p))
		return base ? -EPERM : (int)(long)p;
	if (!base) {
		err = ebpf_map_bind(&o->map, &o->meta, p, o->size);
		if (err) {
			sys_munmap(p, o->size);
			o->map.base = NULL;
			return err;
		}
	}
	o->map.readonly = !writable;
	return write && !writable ? -EPERM : 0;
}

int surface_obj_map(struct surface_obj *o, int fd, bool write)
{
	int err;

	if (likely(load_acquire(&o->map.base) && (!write || !o->map.readonly)))
		return 0;
	surface_lock();
	err = map_locked(o, fd, write);
	surface_unlock();
	return err;
}

u32 surface_obj_mode(struct surface_obj *o, int fd)
{
	int flags;

	if (!o->modes)
		return SURFACE_CAN_READ | SURFACE_CAN_WRITE;
	flags = sys_fcntl(fd, F_GETFL, 0);
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return SURFACE_CAN_READ;
	case O_WRONLY:
		return SURFACE_CAN_WRITE;
	default:
		return SURFACE_CAN_READ | SURFACE_CAN_WRITE;
	}
}

/* --- leaving ------------------------------------------------------------------------------------
 */

struct dirent64_head {
	u64 ino;
	s64 off;
	u16 reclen;
	u8 type;
	char name[];
};

static int parse_fd(const char *name)
{
	int fd = 0;

	for (; *name; name++) {
		if (*name < '0' || *name > '9' || fd > 100000000)
			return -1;
		fd = fd * 10 + *name - '0';
	}
	return fd;
}

/* Call @fn with the identity of every open descriptor until it returns true. 1: it did; 0; -errno.
 * No allocation: close() is called in odd places. */
static int each_fd(bool (*fn)(const struct osl_ident *, void *), void *arg)
{
	char buf[2048] __attribute__((aligned(8)));
	int dir = sys_openat(AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	struct osl_ident ident;
	bool found = false;
	long n;

	if (dir < 0)
		return dir;
	while (!found && (n = sys_call3(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n && !found;) {
			struct dirent64_head *d = (struct dirent64_head *)(buf + at);
			int fd = parse_fd(d->name);

			at += d->reclen;
			if (fd >= 0 && fd != dir && sys_ident(fd, &ident) == 0)
				found = fn(&ident, arg);
		}
	}
	sys_close(dir);
	return found;
}

static bool same_ident(const struct osl_ident *ident, void *arg)
{
	return ident_eq(ident, arg);
}

struct surface_obj *surface_obj_closing(int fd)
{
	struct surface_obj *o = surface_obj_known(fd);

	/* a vfork()ed child shares our memory but closes its own descriptors */
	if (o && !surface_conn_is_ours()) {
		surface_obj_put(o);
		return NULL;
	}
	return o;
}

static bool unlink_obj(struct surface_obj *o)
{
	struct surface_obj **at;
	bool was_there;

	surface_lock();
	at = bucket(&o->ident);
	while (*at && *at != o)
		at = &(*at)->next;
	was_there = *at != NULL;
	if (was_there) {
		*at = o->next;
		store_relaxed(&count, count - 1);
	}
	surface_unlock();
	return was_there;
}

static void drop(struct surface_obj *o, bool tell)
{
	if (!unlink_obj(o))
		return;
	surface_wait_forget(o);
	if (tell)
		surface_send_closed(&o->ident);
	surface_obj_put(o); /* the table's */
}

void surface_settle(void)
{
	struct msg req = {.type = MSG_RELEASED};

	surface_request(&req, NULL, 0, NULL, 0, NULL);
}

static bool batching;

void surface_close_together(bool begin)
{
	store_relaxed(&batching, begin);
	if (!begin)
		surface_obj_resync();
}

/* The daemon sees itself when these are closed, they are sockets. */
static bool is_socket(const struct surface_obj *o)
{
	return o->kind == MSG_OBJ_LINK || o->kind == MSG_OBJ_PERF;
}

void surface_obj_closed(struct surface_obj *o)
{
	surface_enter();
	/* on an error nothing is known: the daemon then keeps the object until we exit */
	if (!(is_socket(o) && load_relaxed(&batching)) && each_fd(same_ident, &o->ident) == 0) {
		drop(o, true);
		if (is_socket(o))
			surface_settle();
	}
	surface_leave();
	surface_obj_put(o);
}

struct held {
	struct surface_obj *obj;
	bool open;
};

struct held_list {
	struct held *held;
	u32 n;
};

static bool mark_open(const struct osl_ident *ident, void *arg)
{
	struct held_list *l = arg;

	for (u32 i = 0; i < l->n; i++)
		if (ident_eq(&l->held[i].obj->ident, ident))
			l->held[i].open = true;
	return false;
}

/* All objects, each with a reference, and whether a descriptor of it is open. */
static int survey(struct held_list *out)
{
	struct held_list l = {0};
	int err;

	surface_lock();
	l.held = calloc(count + 1, sizeof(*l.held));
	for (u32 b = 0; l.held && b < NBUCKETS; b++)
		for (struct surface_obj *o = table[b]; o; o = o->next) {
			__atomic_add_fetch(&o->refs, 1, __ATOMIC_RELAXED);
			l.held[l.n++].obj = o;
		}
	surface_unlock();
	if (!l.held)
		return -ENOMEM;
	err = each_fd(mark_open, &l);
	for (u32 i = 0; err < 0 && i < l.n; i++)
		l.held[i].open = true;
	*out = l;
	return 0;
}

static void survey_end(struct held_list *l)
{
	for (u32 i = 0; i < l->n; i++)
		surface_obj_put(l->held[i].obj);
	free(l->held);
}

void surface_obj_resync(void)
{
	struct held_list l;

	surface_enter();
	if (surface_conn_is_ours() && survey(&l) == 0) {
		for (u32 i = 0; i < l.n; i++)
			if (!l.held[i].open)
				drop(l.held[i].obj, true);
		survey_end(&l);
	}
	surface_leave();
}

void surface_obj_reannounce(void)
{
	struct held_list l;
	struct msg_object info;

	if (survey(&l) < 0)
		return;
	for (u32 i = 0; i < l.n; i++) {
		if (l.held[i].open)
			ask(&l.held[i].obj->ident, &info);
		else
			drop(l.held[i].obj, false);
	}
	survey_end(&l);
}
