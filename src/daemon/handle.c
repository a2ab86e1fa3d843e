/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets that stand for objects without memory. The client gets one end of a pair and may dup,
 * pass or inherit it; when the last copy is closed, by whatever death, we see the hang-up.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/daemon.h"

struct handle {
	struct list_head node;
	struct daemon *d;
	struct loop_source src;
	struct ebpf_name name;
	struct ebpf_obj *obj;
	void (*gone)(struct daemon *d);
};

static void handle_free(struct handle *h)
{
	struct daemon *d = h->d;
	int fd = h->src.fd;

	loop_del(&d->loop, &h->src);
	if (fd >= 0)
		close(fd);
	list_del_init(&h->node);
	ebpf_name_del(&h->name);
	if (h->gone)
		h->gone(d);
	ebpf_obj_put(h->obj);
	free(h);
	daemon_check_idle(d);
}

/* Nothing is ever sent on these sockets; what somebody sends is read away. */
static void handle_event(struct loop_source *s, u32 events)
{
	struct handle *h = container_of(s, struct handle, src);
	char junk[64];

	if (events & (EPOLLHUP | EPOLLERR)) {
		handle_free(h);
		return;
	}
	if (recv(s->fd, junk, sizeof(junk), MSG_DONTWAIT) == 0)
		handle_free(h);
}

int handle_new(struct daemon *d, struct ebpf_obj *obj, void (*gone)(struct daemon *d))
{
	struct handle *h = calloc(1, sizeof(*h));
	struct osl_ident ident;
	int sv[2], err;

	if (!h)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv)) {
		free(h);
		return -errno;
	}
	h->d = d;
	h->src.fn = handle_event;
	err = osl_ident(sv[1], &ident);
	if (!err)
		err = loop_add(&d->loop, &h->src, sv[0], EPOLLIN);
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
	return sv[1];
}

/* What was closed before the request that is being served must be seen before it is answered. */
void handle_reap(struct daemon *d)
{
	struct handle *h, *tmp;

	list_for_each_entry_safe (h, tmp, &d->handles, node) {
		struct pollfd p = {.fd = h->src.fd};

		if (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR))
			handle_free(h);
	}
}

bool handle_exists(struct daemon *d, const struct ebpf_obj *obj)
{
	struct handle *h;

	list_for_each_entry (h, &d->handles, node)
		if (h->obj == obj)
			return true;
	return false;
}

void handle_drop_all(struct daemon *d)
{
	while (!list_empty(&d->handles))
		handle_free(list_entry(d->handles.next, struct handle, node));
}
