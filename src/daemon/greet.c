/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Agents that come by themselves: a preloaded program has started, a library has come or gone, a
 * child was forked. Who they are is what the kernel says of the socket's other end; a token says
 * which session a preloaded program belongs to.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/exchange.h"
#include "daemon/hold.h"

#define HELLO_TIMEOUT_NS (AGENT_PATIENCE_MS * 1000000ull) /* a busy machine may keep it from it */

struct greeter {
	struct list_head node;
	struct daemon *d;
	struct loop_source src;
	struct loop_timer timer;
	s32 pid;
};

/* The descriptor, which is the caller's now. */
static int greeter_free(struct greeter *g)
{
	int fd = g->src.fd;

	loop_del(&g->d->loop, &g->src);
	loop_timer_stop(&g->d->loop, &g->timer);
	list_del_init(&g->node);
	g->d->ngreeters--;
	free(g);
	return fd;
}

/* The same process has a new program: those who don't follow it have nothing to do with that. */
static void ended_as_it_was(struct target *t, const struct family *f)
{
	family_tell(t);
	for (u32 i = 0; f && i < f->n; i++)
		target_leave(t, f->sessions[i]);
	target_event(t->d, t, MSG_EVENT_TARGET_LEFT, 0, f ? -ESRCH : 0, NULL);
	target_free(t);
}

/* Any target of the session, whose events it gets; or NULL. */
static const struct target *relative(const struct daemon *d, u32 session)
{
	const struct target *t;

	list_for_each_entry (t, &d->targets, node)
		for (u32 i = 0; i < t->nmembers; i++)
			if (t->members[i].session == session)
				return t;
	return NULL;
}

/*
 * Our agent came along into what translates programs, or into such a program: those who follow @t
 * are told.
 */
static bool tell_translated(const struct target *t, s32 pid)
{
	char path[64], exe[128], why[PROBE_WHY_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[MAX(n, 0)] = 0;
	if (!t || !probe_translator(exe))
		return false;
	snprintf(why, sizeof(why),
		 "process %d has executed %s, which is not probed: %s never executes the code that "
		 "probes are in",
		 pid, exe, probe_translator(exe));
	target_event(t->d, t, 6, 1, 0, why);
	return true;
}

static void join_family(struct target *t, const struct family *f)
{
	t->follow_of = f->root == t->pid ? 0 : f->root;
	for (u32 i = 0; i < f->n; i++)
		if (session_alive(t->d, f->sessions[i]))
			target_join(t, f->sessions[i], true);
}

/* It did not wait for us, and has ended: nothing of it was probed. */
static void tell_late(struct daemon *d, const struct client *c, const struct family *f, s32 pid)
{
	char why[PROBE_WHY_MAX];

	late_daemon(why);
	if (c)
		late_tell(client_by_session(d, c->session), pid, why);
	for (u32 i = 0; f && i < f->n; i++) {
		struct client *follower = client_by_session(d, f->sessions[i]);

		if (follower)
			late_tell(follower, pid, why);
	}
}

static struct target *started(struct daemon *d, s32 pid, const struct agent_hello *h)
{
	struct client *c = client_by_token(d, h->token);
	const struct family *f = c ? NULL : family_by_token(d, h->token);
	struct target *t = target_by_pid(d, pid);
	char why[PROBE_WHY_MAX];
	int err;

	if ((c || f) && tell_translated(t ? t : relative(d, c ? c->session : f->sessions[0]), pid))
		c = NULL;
	if (t)
		ended_as_it_was(t, f);
	if (!c && !f)
		return NULL;
	t = target_new(d, pid, &err, why);
	if (!t) {
		log_line("preloaded process %d: %s", pid, why);
		if (err == -ESRCH)
			tell_late(d, c, f, pid);
		return NULL;
	}
	t->how = 1;
	t->loaded = true;
	if (c)
		target_join(t, c->session, true);
	else
		join_family(t, f);
	target_link_up(t);
	debugger_look(t);
	target_event(d, t, MSG_EVENT_MODULES, 0, 0, NULL);
	return t;
}

/* The first time something went wrong: nobody knows how far it got. */
static void asks_again(struct target *t)
{
	struct tlink *tl;

	t->forked = true;
	list_for_each_entry (tl, &t->links, in_target)
		if (tl->state == TLINK_FAILED)
			tlink_become(tl, TLINK_WANT);
}

static struct target *forked(struct daemon *d, s32 pid, const struct agent_hello *h)
{
	struct target *parent = target_by_cookie(d, h->target), *t = target_by_pid(d, pid);
	char why[PROBE_WHY_MAX];
	int err;

	if (h->generation != d->life->generation)
		return NULL;
	if (t) {
		asks_again(t);
		return t;
	}
	if (parent && !parent->gone)
		t = target_fork(parent, pid);
	else
		t = target_new(d, pid, &err, why);
	if (!t)
		return NULL;
	t->loaded = true;
	t->how = 3;
	if (list_empty(&t->links))
		t->drop_all = true;
	return t;
}

static struct target *greeted(struct daemon *d, s32 pid, const struct agent_hello *h)
{
	struct target *t;

	switch (h->reason) {
	case AGENT_START:
		return started(d, pid, h);
	case AGENT_FORK:
		return forked(d, pid, h);
	case AGENT_MODULES:
		t = target_by_pid(d, pid);
		if (t) {
			t->modules = true;
			target_event(d, t, MSG_EVENT_MODULES, 0, 0, NULL);
		}
		return t;
	case AGENT_CALLED:
		t = target_by_pid(d, pid);
		return t && t->x && t->x->calling ? t : NULL;
	default:
		return NULL;
	}
}

static bool parse(const u8 *buf, ssize_t n, struct agent_hello *h)
{
	struct agent_msg m;

	if (n < (ssize_t)(sizeof(m) + sizeof(*h)))
		return false;
	memcpy(&m, buf, sizeof(m));
	memcpy(h, buf + sizeof(m), sizeof(*h));
	return m.len == n && m.type == AGENT_HELLO && m.abi == AGENT_ABI;
}

/* One message, and the descriptor with it, or -1. */
static ssize_t receive(int sock, u8 *buf, size_t size, int *fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {buf, size};
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = CMSG_LEN(sizeof(int))}; /* no second one */
	ssize_t n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&h) : NULL;

	*fd = -1;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(*fd)))
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return n;
}

static void take_memory(struct target *t, int *mem)
{
	if (*mem < 0)
		return; /* it can't open it any more, and has not got another one */
	if (t->mem >= 0)
		close(t->mem);
	t->mem = TAKE_FD(*mem);
}

/* As for whoever is told of MSG_EVENT_MODULES there may be more to do first. */
static bool may_hold(const struct agent_hello *h)
{
	return h->reason == AGENT_START || h->reason == AGENT_MODULES;
}

static bool hung_up(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

static void on_greeting(struct loop_source *s, u32 events)
{
	struct greeter *g = container_of(s, struct greeter, src);
	struct daemon *d = g->d;
	_cleanup_close_ int mem = -1;
	u8 buf[512];
	ssize_t n = receive(s->fd, buf, sizeof(buf), &mem);
	s32 pid = g->pid;
	struct agent_hello h;
	struct target *t;
	int fd;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	fd = greeter_free(g);
	if (!parse(buf, n, &h)) {
		if (n > 0)
			log_line("process %d: an agent of another version, or none", pid);
		close(fd);
		return;
	}
	t = greeted(d, pid, &h);
	if (!t) {
		close(fd);
		return;
	}
	take_memory(t, &mem);
	if (may_hold(&h) && hung_up(fd)) {
		char why[PROBE_WHY_MAX];

		log_line("process %d has not waited for us", pid);
		target_event(d, t, MSG_EVENT_LATE, 0, 0, late_daemon(why));
		t->late = LATE_SAID;
	}
	if (h.reason == AGENT_CALLED && t->x->greets)
		exchange_greeted(t->x, fd);
	else if (!may_hold(&h) || !hold_begin(t, fd, &h))
		exchange_serve(t, fd, &h);
}

static void on_silence(struct loop_timer *timer)
{
	close(greeter_free(container_of(timer, struct greeter, timer)));
}

bool agent_evict(struct daemon *d)
{
	struct greeter *g;

	list_for_each_entry (g, &d->greeters, node) {
		struct pollfd p = {.fd = g->src.fd, .events = POLLIN};

		if (poll(&p, 1, 0) == 0) {
			close(greeter_free(g));
			return true;
		}
	}
	return false;
}

void agent_accept(struct daemon *d, int fd)
{
	_cleanup_close_ int own = fd;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct greeter *g;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) || cred.uid != d->uid ||
	    cred.pid <= 0 || (d->ngreeters >= d->greeters_max && !agent_evict(d)))
		return;
	g = calloc(1, sizeof(*g));
	if (!g)
		return;
	g->d = d;
	g->pid = cred.pid;
	g->src.fn = on_greeting;
	loop_timer_init(&g->timer, on_silence);
	if (loop_add(&d->loop, &g->src, own, EPOLLIN)) {
		free(g);
		return;
	}
	own = -1;
	list_add_tail(&g->node, &d->greeters);
	d->ngreeters++;
	loop_timer_arm(&d->loop, &g->timer, HELLO_TIMEOUT_NS);
}
