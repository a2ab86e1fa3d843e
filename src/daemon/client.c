/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Client connections: requests in, replies and unasked messages out.
 *
 * Rules: a connection that breaks the protocol is dropped with one line in the log. While a request
 * is unanswered, or its answer does not fit the socket, no further one is read from that
 * connection: a client that does not read only stops itself. Unasked messages beyond OUT_MAX are
 * refused to their senders, who count them; events, which say what has changed, only beyond
 * TELL_MAX, with a line in the log. A connection that says nothing is dropped after
 * DAEMON_HELLO_MS, and earlier when somebody else needs its place. One that holds nothing (no
 * object, link, target, token, and is not waiting for lines) is dropped after
 * DAEMON_CLIENT_IDLES idle times without a request, and earlier, too: its process connects anew
 * with its next request and does not notice.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/run/map/ringbuf.h"
#include "daemon/daemon.h"
#include "daemon/hold.h"

#define OUT_MAX 64u
#define TELL_MAX 65536u

static void out_free(struct client_out *o)
{
	list_del_init(&o->node);
	for (u32 i = 0; i < o->nfds; i++)
		if (o->fds[i] >= 0)
			close(o->fds[i]);
	free(o->body);
	free(o->text);
	free(o);
}

static void watch(struct client *c)
{
	u32 events = 0;

	if (!c->busy && list_empty(&c->out))
		events |= EPOLLIN;
	if (!list_empty(&c->out))
		events |= EPOLLOUT;
	loop_mod(&c->d->loop, &c->src, events);
}

static void owned_maps_reap(struct client *c)
{
	for (u32 i = 0; i < c->owner.n; i++)
		if (c->owner.held[i]->kind == EBPF_OBJ_MAP)
			ebpf_map_reap(&ebpf_obj_map(c->owner.held[i])->map);
}

void client_free(struct client *c)
{
	struct daemon *d = c->d;
	int fd = c->src.fd;
	struct pending *p, *tmp;

	loop_del(&d->loop, &c->src);
	loop_timer_stop(&d->loop, &c->silence);
	if (fd >= 0)
		close(fd);
	list_del_init(&c->node);
	d->nclients--;
	list_for_each_entry_safe (p, tmp, &c->pending, node) {
		list_del_init(&p->node);
		p->client = NULL;
	}
	while (!list_empty(&c->out))
		out_free(list_entry(c->out.next, struct client_out, node));
	hold_no_longer(c);
	participant_dead(d, c->participant);
	owned_maps_reap(c);
	ebpf_owner_drop_all(&c->owner);
	session_gone(d, c->session);
	if (c->owns_daemon)
		daemon_leave(d);
	free(c);
	daemon_check_idle(d);
}

/* --- out ------------------------------------------------------------------------------------- */

static int out_queue(struct client *c, const struct msg *hdr, const void *body, size_t len,
		     const int *fds, u32 nfds, const char *why)
{
	struct client_out *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	list_init(&o->node);
	o->hdr = *hdr;
	o->len = len;
	o->body = malloc(len ? len : 1);
	o->text = why ? strdup(why) : NULL;
	if (!o->body || (why && !o->text)) {
		out_free(o);
		return -ENOMEM;
	}
	if (len)
		memcpy(o->body, body, len);
	for (; o->nfds < nfds; o->nfds++)
		o->fds[o->nfds] = dup(fds[o->nfds]);
	list_add_tail(&o->node, &c->out);
	c->nout++;
	return 0;
}

static void out_send(struct client *c, struct msg *hdr, const void *body, size_t len,
		     const int *fds, u32 nfds, const char *why)
{
	int err = -EAGAIN;

	if (list_empty(&c->out))
		err = frame_send(c->src.fd, hdr, body, len, fds, nfds, why, MSG_DONTWAIT);
	if (err == -EAGAIN)
		err = out_queue(c, hdr, body, len, fds, nfds, why);
	/* the loop sees the hang-up and frees the client */
	if (err)
		shutdown(c->src.fd, SHUT_RDWR);
	watch(c);
}

static void out_flush(struct client *c)
{
	while (!list_empty(&c->out)) {
		struct client_out *o = list_entry(c->out.next, struct client_out, node);
		int err = frame_send(c->src.fd, &o->hdr, o->body, o->len, o->fds, o->nfds, o->text,
				     MSG_DONTWAIT);

		if (err == -EAGAIN)
			break;
		if (err)
			c->dying = true;
		out_free(o);
		c->nout--;
	}
	watch(c);
}

void client_reply(struct client *c, const struct msg *req, int err, const void *body, size_t len,
		  const int *fds, u32 nfds, const char *why)
{
	struct msg hdr = {.type = req->type, .abi = MSG_ABI, .err = err, .seq = req->seq};

	out_send(c, &hdr, body, len, fds, nfds, why && *why ? why : NULL);
}

void client_tell(struct client *c, u16 type, const void *body, size_t len)
{
	struct msg hdr = {.type = type, .abi = MSG_ABI};

	if (c->nout < TELL_MAX)
		out_send(c, &hdr, body, len, NULL, 0, NULL);
	else if (!c->untold++)
		log_line("process %d does not read what it is told: the rest is left out", c->pid);
}

bool client_push(struct client *c, u16 type, const void *body, size_t len)
{
	if (c->nout >= OUT_MAX)
		return false;
	client_tell(c, type, body, len);
	return true;
}

void pending_add(struct client *c, struct pending *p, const struct msg *req)
{
	p->client = c;
	p->req = *req;
	list_add_tail(&p->node, &c->pending);
	c->busy++;
	watch(c);
}

void pending_forget(struct pending *p)
{
	if (!p->client)
		return;
	list_del_init(&p->node);
	p->client->busy--;
	watch(p->client);
	p->client = NULL;
}

void pending_reply(struct pending *p, int err, const void *body, size_t len, const int *fds,
		   u32 nfds, const char *why)
{
	struct client *c = p->client;

	if (!c)
		return;
	pending_forget(p);
	client_reply(c, &p->req, err, body, len, fds, nfds, why);
}

/* --- in -------------------------------------------------------------------------------------- */

static u64 client_idle_ns(const struct daemon *d)
{
	return d->idle_ns * DAEMON_CLIENT_IDLES;
}

static void hello(struct client *c, const struct frame *f)
{
	struct msg_welcome w = {.nr_cpus = osl_nr_cpus(),
				.bells_size = ALIGN_UP(sizeof(struct osl_bells), EBPFRT_PAGE_SIZE),
				.life_size = ALIGN_UP(sizeof(struct osl_life), EBPFRT_PAGE_SIZE),
				.pid = getpid(),
				.session = c->session,
				.version = EBPFRT_VERSION};
	int fds[] = {c->d->bells_fd, c->d->life_fd};
	struct msg_hello h;

	if (f->len < sizeof(h)) {
		c->dying = true;
		return;
	}
	memcpy(&h, f->body, sizeof(h));
	memcpy(c->name, h.name, sizeof(c->name) - 1);
	if (!c->participant)
		c->participant = participant_new(c->d);
	if (!c->participant) {
		client_reply(c, &f->hdr, -EUSERS, NULL, 0, NULL, 0,
			     "the daemon serves as many processes as it can; end some of them");
		return;
	}
	c->hello = true;
	c->interpret = h.flags & MSG_HELLO_INTERPRET;
	c->heard_ns = osl_now_ns();
	loop_timer_stop(&c->d->loop, &c->silence);
	loop_timer_arm(&c->d->loop, &c->silence, client_idle_ns(c->d));
	/* only who started it can have it for itself: the first one */
	if ((h.flags & MSG_HELLO_PRIVATE) && c->session == 1)
		c->owns_daemon = c->d->private = true;
	w.participant = c->participant;
	client_reply(c, &f->hdr, 0, &w, sizeof(w), fds, 2, NULL);
}

static void status(struct client *c, const struct frame *f)
{
	struct daemon *d = c->d;
	struct msg_status s = {.pid = getpid(),
			       .nclients = d->nclients,
			       .ntargets = session_ntargets(d),
			       .nmaps = d->table.count[EBPF_OBJ_MAP],
			       .nprogs = d->table.count[EBPF_OBJ_PROG],
			       .nlinks = d->table.count[EBPF_OBJ_LINK],
			       .nbtfs = d->table.count[EBPF_OBJ_BTF],
			       .npins = d->table.npins,
			       .uptime_ns = osl_now_ns() - d->started_ns,
			       .log_lost = d->log_lost,
			       .version = EBPFRT_VERSION};

	/* who asks for the state has every line up to here */
	trace_drain(d);
	trace_settle_all(d);
	trace_tell_lost(c);
	strncpy(s.dir, d->dir, sizeof(s.dir) - 1);
	if (d->trace_map)
		s.nmaps--;
	if (d->trace_map && c->log)
		s.log_open = ebpf_ringbuf_unread(&d->trace_map->map);
	client_reply(c, &f->hdr, 0, &s, sizeof(s), NULL, 0, NULL);
}

static void shut_down(struct client *c, const struct frame *f)
{
	u32 force = 0;

	if (f->len >= sizeof(force))
		memcpy(&force, f->body, sizeof(force));
	if (!force && c->d->nclients > 1) {
		client_reply(c, &f->hdr, -EBUSY, NULL, 0, NULL, 0,
			     "other clients are connected; end them, or force it");
		return;
	}
	client_reply(c, &f->hdr, 0, NULL, 0, NULL, 0, NULL);
	daemon_leave(c->d);
}

static bool dispatch(struct client *c, struct frame *f)
{
	static void (*const table[])(struct client *, const struct frame *) = {
		[MSG_PERF_OPEN] = perf_open_request,
		[MSG_PERF_IOCTL] = perf_ioctl_request,
		[MSG_PERF_MMAP] = perf_mmap_request,
		[MSG_OBJECT] = bpf_object,
		[MSG_EVENTFD] = bpf_eventfd,
		[MSG_CLOSED] = bpf_closed,
		[MSG_NAMES] = bpf_names,
		[MSG_TARGET_ADOPT] = session_adopt_request,
		[MSG_TARGET_DROP] = session_drop_request,
		[MSG_TARGET_LIST] = session_targets_request,
		[MSG_LINK_LIST] = session_links_request,
		[MSG_SITE_LIST] = session_sites_request,
		[MSG_LINK_DROP] = session_link_drop_request,
		[MSG_TOKEN] = session_token_request,
		[MSG_ATTACH_BATCH] = session_batch_request,
		[MSG_LOG] = trace_log_request,
		[MSG_STATUS] = status,
		[MSG_RELEASED] = session_released_request,
		[MSG_SHUTDOWN] = shut_down,
		[MSG_HOLD] = hold_request,
		[MSG_SETTLED] = hold_settled_request,
	};

	if (f->hdr.type == MSG_BPF)
		bpf_request(c, f);
	else if (f->hdr.type < ARRAY_SIZE(table) && table[f->hdr.type])
		table[f->hdr.type](c, f);
	else
		return false;
	return true;
}

static void serve(struct client *c, struct frame *f)
{
	if (f->hdr.type == MSG_HELLO && f->hdr.abi != MSG_ABI) {
		client_reply(c, &f->hdr, -EPROTO, NULL, 0, NULL, 0,
			     "client and daemon are of different versions; end the running daemon "
			     "(ebpfrt detach --all, then kill ebpfrtd) and try again");
		return;
	}
	if (f->hdr.abi != MSG_ABI || (f->hdr.type != MSG_HELLO && !c->hello)) {
		c->dying = true;
		return;
	}
	c->heard_ns = osl_now_ns();
	if (f->hdr.type == MSG_HELLO)
		hello(c, f);
	else if (!dispatch(c, f))
		c->dying = true;
}

static void client_event(struct loop_source *s, u32 events)
{
	struct client *c = container_of(s, struct client, src);
	_cleanup_frame_ struct frame f = FRAME_INIT;
	int err;

	if (events & EPOLLOUT)
		out_flush(c);
	if (!c->dying && (events & EPOLLIN)) {
		err = frame_recv(s->fd, &f, MSG_DONTWAIT);
		if (!err)
			serve(c, &f);
		else if (err == -EPROTO)
			log_line("client %d (%s) sent nonsense: dropped", c->pid, c->name);
		if (err && err != -EAGAIN)
			c->dying = true;
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		c->dying = true;
	}
	if (c->dying)
		client_free(c);
}

/* --- coming ---------------------------------------------------------------------------------- */

static int peer_check(struct daemon *d, int fd, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len))
		return -errno;
	return cred->uid == d->uid ? 0 : -EPERM;
}

/* What has arrived and was not read yet is not silence. */
static bool silent(const struct client *c)
{
	struct pollfd p = {.fd = c->src.fd, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

/* Would nobody miss it? */
static bool holds_nothing(const struct client *c)
{
	return !c->owner.n && !c->busy && !c->batching && !c->log && !c->token && !c->owns_daemon &&
	       !session_in_use(c->d, c->session);
}

static void on_silence(struct loop_timer *t)
{
	struct client *c = container_of(t, struct client, silence);
	u64 idle = client_idle_ns(c->d), quiet = osl_now_ns() - c->heard_ns;

	if (!c->hello || (quiet >= idle && holds_nothing(c) && silent(c))) {
		client_free(c);
		return;
	}
	loop_timer_arm(&c->d->loop, t, quiet < idle ? idle - quiet : idle);
}

static bool evictable(const struct client *c, bool hello, u64 now)
{
	if (c->hello != hello || !silent(c))
		return false;
	return !hello || (now - c->heard_ns >= DAEMON_HELLO_MS * 1000000ull && holds_nothing(c));
}

bool client_evict(struct daemon *d)
{
	u64 now = osl_now_ns();
	struct client *c;

	for (int hello = 0; hello < 2; hello++)
		list_for_each_entry (c, &d->clients, node)
			if (evictable(c, hello, now)) {
				client_free(c);
				return true;
			}
	return false;
}

int client_accept(struct daemon *d, int fd)
{
	_cleanup_close_ int own = fd;
	struct client *c;
	struct ucred cred;
	int err = peer_check(d, fd, &cred);

	if (!err && d->nclients >= d->clients_max && !client_evict(d))
		err = -EUSERS;
	if (err) {
		log_line("connection refused: %s", strerror(-err));
		return err;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->d = d;
	c->src.fn = client_event;
	loop_timer_init(&c->silence, on_silence);
	c->pid = cred.pid;
	c->uid = cred.uid;
	c->owner.max = DAEMON_CLIENT_OBJS;
	c->session = ++d->next_session;
	list_init(&c->out);
	list_init(&c->pending);
	err = loop_add(&d->loop, &c->src, own, EPOLLIN);
	if (err) {
		free(c);
		return err;
	}
	own = -1;
	list_add_tail(&c->node, &d->clients);
	d->nclients++;
	loop_timer_arm(&d->loop, &c->silence, DAEMON_HELLO_MS * 1000000ull);
	loop_timer_stop(&d->loop, &d->idle);
	return 0;
}

struct client *client_by_session(struct daemon *d, u32 session)
{
	struct client *c;

	list_for_each_entry (c, &d->clients, node)
		if (c->session == session)
			return c;
	return NULL;
}

struct client *client_by_token(struct daemon *d, u64 token)
{
	struct client *c;

	list_for_each_entry (c, &d->clients, node)
		if (token && c->token == token)
			return c;
	return NULL;
}
