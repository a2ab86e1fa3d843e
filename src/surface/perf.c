/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * perf_event_open(2) as far as eBPF needs it: uprobe events, and the software event that is the
 * ring of a PERF_EVENT_ARRAY entry. Every other event is the kernel's, as before.
 */
#include <linux/perf_event.h>
#include <string.h>

#include "core/run/map/perf.h"
#include "surface/internal.h"

#define IOC_TYPE_PERF '$'

static int fetch_attr(u64 uattr, struct msg_perf_open *m)
{
	u32 size;
	int err = user_read(&size, uattr + offsetof(struct perf_event_attr, size), sizeof(size));

	if (err)
		return err;
	if (size == 0)
		size = PERF_ATTR_SIZE_VER0;
	if (size < PERF_ATTR_SIZE_VER0 || size > EBPFRT_PAGE_SIZE)
		return -E2BIG;
	return user_read(m->attr, uattr, MIN(size, (u32)sizeof(m->attr)));
}

static bool is_ours(const struct perf_event_attr *a)
{
	return a->type == MSG_PERF_TYPE_UPROBE ||
	       (a->type == PERF_TYPE_SOFTWARE && a->config == PERF_COUNT_SW_BPF_OUTPUT);
}

static long take_event(struct frame *reply, u64 flags)
{
	_cleanup_close_ int fd = -1;
	struct msg_object info;
	int err;

	if (reply->len < sizeof(info) || reply->nfds < 1)
		return -EPROTO;
	memcpy(&info, reply->body, sizeof(info));
	fd = TAKE_FD(reply->fds[0]);
	if (!(flags & PERF_FLAG_FD_CLOEXEC))
		sys_fcntl(fd, F_SETFD, 0);
	err = surface_obj_enter(&info, fd, false);
	return err ? err : TAKE_FD(fd);
}

static long open_event(struct msg_perf_open *m, const char *path)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg req = {.type = MSG_PERF_OPEN};
	_cleanup_free_ u8 *body = NULL;
	size_t n = path ? strlen(path) : 0;
	int err;

	m->path_len = (u32)n;
	body = malloc(sizeof(*m) + n + 1);
	if (!body)
		return -ENOMEM;
	memcpy(body, m, sizeof(*m));
	if (n)
		memcpy(body + sizeof(*m), path, n);
	body[sizeof(*m) + n] = '\0';
	err = surface_request(&req, body, sizeof(*m) + n + 1, NULL, 0, &reply);
	return err < 0 ? err : take_event(&reply, m->flags);
}

static long perf_open(u64 uattr, struct msg_perf_open *m)
{
	struct perf_event_attr a = {0};
	_cleanup_free_ char *path = NULL;
	int err = fetch_attr(uattr, m);

	if (err)
		return SURFACE_PASS; /* the kernel says what is wrong with it */
	memcpy(&a, m->attr, MIN(sizeof(a), sizeof(m->attr)));
	if (!is_ours(&a))
		return SURFACE_PASS;
	if (a.type == MSG_PERF_TYPE_UPROBE) {
		err = user_path(a.uprobe_path, &path);
		if (err)
			return err;
	}
	return open_event(m, path);
}

long surface_perf_event_open(u64 uattr, s32 pid, s32 cpu, int group, u64 flags)
{
	struct msg_perf_open m = {.pid = pid, .cpu = cpu, .flags = flags};
	int saved = errno;
	long ret;

	if (surface_inside)
		return SURFACE_PASS;
	surface_enter();
	ret = perf_open(uattr, &m);
	surface_leave();
	errno = saved;
	return ret;
}

static long perf_ioctl(struct surface_obj *o, u64 request, u64 arg)
{
	struct msg_perf_ioctl m = {.event = o->ident, .request = request, .arg = arg};
	struct msg req = {.type = MSG_PERF_IOCTL};
	u64 id = o->id;

	if (request == PERF_EVENT_IOC_ID)
		return user_write(arg, &id, sizeof(id));
	if (request == PERF_EVENT_IOC_SET_BPF && sys_ident((int)arg, &m.prog) < 0)
		return -EBADF;
	return surface_request(&req, &m, sizeof(m), NULL, 0, NULL);
}

long surface_ioctl(int fd, u64 request, u64 arg)
{
	_cleanup_obj_ struct surface_obj *o = NULL;
	int saved = errno;
	long ret = SURFACE_PASS;

	if ((request >> 8 & 0xff) != IOC_TYPE_PERF)
		return ret;
	surface_enter();
	o = surface_obj_known(fd);
	if (!o && surface_obj_get(fd, MSG_OBJ_PERF, &o) < 0)
		o = NULL;
	if (o && o->kind == MSG_OBJ_PERF)
		ret = perf_ioctl(o, request, arg);
	else if (o)
		ret = -ENOTTY;
	surface_leave();
	errno = saved;
	return ret;
}

/* The ring's memory for the program, and once more for us to look over. */
static long map_both(struct surface_obj *o, void *addr, size_t len, int prot, int flags, int fd)
{
	void *ours = NULL, *theirs;

	theirs = sys_mmap(addr, len, prot, flags, fd, 0);
	if (sys_is_err(theirs) || o->ring)
		return (long)theirs;
	ours = sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (sys_is_err(ours)) {
		sys_munmap(theirs, len);
		return (long)ours;
	}
	o->ring_size = len;
	o->ring_writable = prot & PROT_WRITE;
	o->ring_timed = READ_ONCE(*(u32 *)((u8 *)ours + EBPF_PERF_TIMED));
	store_release(&o->ring, (u8 *)ours);
	return (long)theirs;
}

static long perf_map(struct surface_obj *o, void *addr, size_t len, int prot, int flags)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg_perf_mmap m = {.event = o->ident, .size = len};
	struct msg req = {.type = MSG_PERF_MMAP};
	struct stat st;
	int err = surface_request(&req, &m, sizeof(m), NULL, 0, &reply);

	if (err < 0)
		return err;
	if (reply.nfds < 1 || fstat(reply.fds[0], &st) < 0 || (u64)st.st_size < len)
		return -EPROTO;
	return map_both(o, addr, len, prot, flags, reply.fds[0]);
}

long surface_perf_mmap(struct surface_obj *o, void *addr, size_t len, int prot, int flags,
		       off_t off)
{
	size_t pages = ALIGN_UP(len, EBPFRT_PAGE_SIZE) / EBPFRT_PAGE_SIZE;
	int saved = errno;
	long ret;

	/* no aux area, and the data is a power of two of pages behind the control page */
	if (off != 0 || pages < 2 || !IS_POW2(pages - 1) || (flags & MAP_TYPE) == MAP_PRIVATE)
		return -EINVAL;
	surface_enter();
	ret = perf_map(o, addr, pages * EBPFRT_PAGE_SIZE, prot, flags);
	surface_leave();
	errno = saved;
	return ret;
}
