/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop: see loop.h. */
#include "daemon/loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "osl/osl.h"

#define NS_PER_S 1000000000ull
#define LATE_NS (NS_PER_S / 10)

static void timers_program(struct loop *l)
{
	struct itimerspec its = {0};

	if (!list_empty(&l->timers)) {
		u64 at = list_entry(l->timers.next, struct loop_timer, node)->at;

		its.it_value.tv_sec = at / NS_PER_S;
		its.it_value.tv_nsec = at % NS_PER_S;
		if (!at)
			its.it_value.tv_nsec = 1;
	}
	timerfd_settime(l->timerfd, TFD_TIMER_ABSTIME, &its, NULL);
}

static void timers_expire(struct loop_source *s, u32 events)
{
	struct loop *l = container_of(s, struct loop, timer_src);
	u64 ticks, now = osl_now_ns();

	if (read(s->fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		return;
	while (!list_empty(&l->timers)) {
		struct loop_timer *t = list_entry(l->timers.next, struct loop_timer, node);

		if (t->at > now)
			break;
		list_del_init(&t->node);
		t->fn(t);
	}
	timers_program(l);
}

int loop_init(struct loop *l)
{
	int err;

	memset(l, 0, sizeof(*l));
	list_init(&l->timers);
	l->timerfd = -1;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		return -errno;
	l->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->timerfd < 0)
		return -errno;
	l->timer_src.fn = timers_expire;
	err = loop_add(l, &l->timer_src, l->timerfd, EPOLLIN);
	return err;
}

void loop_deinit(struct loop *l)
{
	if (l->timerfd >= 0)
		close(l->timerfd);
	if (l->epoll >= 0)
		close(l->epoll);
	l->timerfd = l->epoll = -1;
}

/*
 * We were stopped, or had no time, and every timer has expired meanwhile: what came in meanwhile
 * goes first, or those who waited for us would be called silent. Who is ready is served in turn, so
 * that all others have been when it is the timers' turn again.
 */
static bool others_first(struct loop *l)
{
	bool late =
		!list_empty(&l->timers) &&
		osl_now_ns() > list_entry(l->timers.next, struct loop_timer, node)->at + LATE_NS;

	l->let_pass = late && !l->let_pass;
	return l->let_pass;
}

void loop_once(struct loop *l, int timeout_ms)
{
	struct loop_source *s;
	struct epoll_event ev;

	if (epoll_wait(l->epoll, &ev, 1, timeout_ms) != 1)
		return;
	if (l->rounds)
		WRITE_ONCE(*l->rounds, *l->rounds + 1);
	s = ev.data.ptr;
	if (s != &l->timer_src || !others_first(l))
		s->fn(s, ev.events);
}

void loop_run(struct loop *l)
{
	while (!l->quit)
		loop_once(l, -1);
}

int loop_add(struct loop *l, struct loop_source *s, int fd, u32 events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};

	s->fd = -1;
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	s->fd = fd;
	s->events = events;
	return 0;
}

void loop_mod(struct loop *l, struct loop_source *s, u32 events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};

	if (s->fd < 0 || s->events == events)
		return;
	s->events = events;
	epoll_ctl(l->epoll, EPOLL_CTL_MOD, s->fd, &ev);
}

void loop_del(struct loop *l, struct loop_source *s)
{
	if (s->fd < 0)
		return;
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	s->fd = -1;
}

void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *t))
{
	list_init(&t->node);
	t->fn = fn;
}

void loop_timer_arm(struct loop *l, struct loop_timer *t, u64 after_ns)
{
	struct loop_timer *other;
	struct list_head *before = &l->timers;

	list_del_init(&t->node);
	t->at = osl_now_ns() + after_ns;
	list_for_each_entry (other, &l->timers, node) {
		if (other->at > t->at) {
			before = &other->node;
			break;
		}
	}
	list_add_tail(&t->node, before);
	timers_program(l);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	if (list_empty(&t->node))
		return;
	list_del_init(&t->node);
	timers_program(l);
}

static void child_event(struct loop_source *s, u32 events);

static void child_forget(struct loop *l, struct loop_child *c)
{
	int fd = c->src.fd;

	loop_del(l, &c->src);
	if (fd >= 0)
		close(fd);
	c->pid = 0;
}

/* The loop a child belongs to: there is one in the process. */
static struct loop *children_loop;

static void child_event(struct loop_source *s, u32 events)
{
	struct loop_child *c = container_of(s, struct loop_child, src);
	int status = 0;

	/* an error means that it is nobody's child any more, which is no reason to spin */
	if (waitpid(c->pid, &status, WNOHANG) == 0)
		return;
	child_forget(children_loop, c);
	c->fn(c, status);
}

int loop_child_watch(struct loop *l, struct loop_child *c, pid_t pid)
{
	int fd, err;

	/* loop_child_kill() gets rid of it even where it cannot be watched */
	c->pid = pid;
	c->src.fd = -1;
	fd = syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -errno;
	children_loop = l;
	c->src.fn = child_event;
	err = loop_add(l, &c->src, fd, EPOLLIN);
	if (err)
		close(fd);
	return err;
}

void loop_child_kill(struct loop *l, struct loop_child *c)
{
	if (!c->pid)
		return;
	kill(c->pid, SIGKILL);
	wait_child(c->pid);
	child_forget(l, c);
}
