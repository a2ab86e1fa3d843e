/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets that stand for objects without memory. The client gets one end of a pair and may dup,
 * pass or inherit it; when the last copy is closed, by whatever death, we see the hang-up. There
 * are as many as links, so they are watched together, by an epoll of their own: whether some have
 * gone is one question.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/daemon.h"

struct handle {
	struct list_head node;
	struct daemon *d;
	int fd;
	struct ebpf_name name;
	struct ebpf_obj *obj;
	void (*gone)(struct daemon *d);
};

static void handle_free(struct handle *h)
{
	struct daemon *d = h->d;

	epoll_ctl(d->handles_src.fd, EPOLL_CTL_DEL, h->fd, NULL); /* a worker may have a copy */
	close(h->fd);
	d->nhandles--;
	list_del_init(&h->node);
	ebpf_name_del(&h->name);
	if (h->gone)
		h->gone(d);
	ebpf_obj_put(h->obj);
	free(h);
	daemon_check_idle(d);
}

/* Nothing is ever sent on these sockets; what somebody sends is read away. */
static void handle_event(struct handle *h, u32 events)
{
	char junk[64];

	if (events & (EPOLLHUP | EPOLLERR)) {
		handle_free(h);
		return;
	}
	if (recv(h->fd, junk, sizeof(junk), MSG_DONTWAIT) == 0)
		handle_free(h);
}

int handle_new(struct daemon *d, struct ebpf_obj *obj, void (*gone)(struct daemon *d))
{
	struct handle *h = calloc(1, sizeof(*h));
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = h};
	struct osl_ident ident;
	int sv[2], err;

	if (!h)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv)) {
		free(h);
		return -errno;
	}
	h->d = d;
	h->fd = sv[0];
	err = osl_ident(sv[1], &ident);
	if (!err && epoll_ctl(d->handles_src.fd, EPOLL_CTL_ADD, h->fd, &ev))
		err = -errno;
	if (err) {
		close(sv[0]);
		close(sv[1]);
		free(h);
		return err;
	}
	list_init(&h->name.node);
	h->gone = gone;
	if (obj) {
		h->obj = ebpf_obj_get(obj);
		ebpf_name_add(&d->table, &h->name, obj, &ident);
	}
	list_add_tail(&h->node, &d->handles);
	d->nhandles++;
	return sv[1];
}

/*
 * What was closed before the request that is being served must be seen before it is answered. Who
 * only sends comes again behind the others, so that this many events show each of them once.
 */
void handle_reap(struct daemon *d)
{
	struct epoll_event ev;

	/* one at a time: any of them may go with another */
	for (u32 n = d->nhandles; n && epoll_wait(d->handles_src.fd, &ev, 1, 0) == 1; n--)
		handle_event(ev.data.ptr, ev.events);
}

static void some_event(struct loop_source *s, u32 events)
{
	handle_reap(container_of(s, struct daemon, handles_src));
}

int handles_start(struct daemon *d)
{
	int fd = epoll_create1(EPOLL_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	d->handles_src.fn = some_event;
	err = loop_add(&d->loop, &d->handles_src, fd, EPOLLIN);
	if (err)
		close(fd);
	return err;
}

void handle_drop_all(struct daemon *d)
{
	while (!list_empty(&d->handles))
		handle_free(list_entry(d->handles.next, struct handle, node));
}
