/* SPDX-License-Identifier: BSD-2-Clause */
/* See hold.h. */
#include "daemon/hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define HOLD_NS (1ull * 1000000000) /* less than AGENT_TIMEOUT_MS */

struct hold {
	struct target *t;
	int fd;
	u32 waiting; /* for so many clients */
	struct agent_hello hello;
	struct loop_timer timer;
};

static bool is_holder(const struct client *c, const struct target *t)
{
	return c->hello && c->holds && !c->dying && target_has(t, c->session);
}

void late_tell(struct client *c, s32 pid, const char *why)
{
	const struct msg_event e = {.what = MSG_EVENT_LATE, .pid = pid};
	char body[sizeof(e) + PROBE_WHY_MAX];
	size_t n = MIN(strlen(why), (size_t)PROBE_WHY_MAX);

	memcpy(body, &e, sizeof(e));
	memcpy(body + sizeof(e), why, n);
	client_tell(c, MSG_EVENT, body, sizeof(e) + n);
}

const char *late_daemon(char why[PROBE_WHY_MAX])
{
	snprintf(why, PROBE_WHY_MAX,
		 "the daemon (%d) had no time for it: see that it isn't stopped (kill -CONT %d), "
		 "and start the program again",
		 getpid(), getpid());
	return why;
}

/* How many there are that are waited for. Those that are not are told that it goes on. */
static u32 holders(const struct target *t)
{
	struct client *c;
	u32 n = 0;

	list_for_each_entry (c, &t->d->clients, node) {
		if (!is_holder(c, t))
			continue;
		if (c->late)
			late_tell(c, t->pid, LATE_CLIENT);
		n += !c->late;
	}
	return n;
}

static void wait_for(const struct target *t)
{
	struct client *c;

	list_for_each_entry (c, &t->d->clients, node)
		c->owes += is_holder(c, t) && !c->late;
}

static void note_late(const struct target *t)
{
	struct client *c;

	list_for_each_entry (c, &t->d->clients, node)
		c->late |= is_holder(c, t) && c->owes;
}

/* The descriptor, or -1; it is held no longer. */
static int take(struct target *t, struct agent_hello *hello)
{
	struct hold *h = t->hold;
	int fd = h ? h->fd : -1;

	if (!h)
		return -1;
	*hello = h->hello;
	loop_timer_stop(&t->d->loop, &h->timer);
	t->hold = NULL;
	free(h);
	return fd;
}

void hold_end(struct target *t)
{
	struct agent_hello hello;
	int fd = take(t, &hello);

	if (fd >= 0)
		exchange_serve(t, fd, &hello);
}

void hold_forget(struct target *t)
{
	struct agent_hello hello;
	int fd = take(t, &hello);

	if (fd >= 0)
		close(fd);
}

static void on_late(struct loop_timer *timer)
{
	struct hold *h = container_of(timer, struct hold, timer);

	log_line("process %d: not all of its clients have looked at it in time", h->t->pid);
	note_late(h->t);
	target_event(h->t->d, h->t, MSG_EVENT_LATE, 0, 0, LATE_CLIENT);
	hold_end(h->t);
}

bool hold_begin(struct target *t, int fd, const struct agent_hello *hello)
{
	const u32 n = t->x || t->hold ? 0 : holders(t);
	struct hold *h = n ? calloc(1, sizeof(*h)) : NULL;

	if (!h)
		return false;
	*h = (struct hold){.t = t, .fd = fd, .waiting = n, .hello = *hello};
	loop_timer_init(&h->timer, on_late);
	loop_timer_arm(&t->d->loop, &h->timer, HOLD_NS);
	t->hold = h;
	wait_for(t);
	return true;
}

static void settle(struct target *t)
{
	if (t->hold && --t->hold->waiting == 0)
		hold_end(t);
}

void hold_no_longer(struct client *c)
{
	struct target *t;

	if (!c->holds)
		return;
again: /* what begins may free any of the list */
	list_for_each_entry (t, &c->d->targets, node)
		if (t->hold && target_has(t, c->session)) {
			hold_end(t);
			goto again;
		}
}

void hold_request(struct client *c, const struct frame *f)
{
	u32 on = 0;

	if (f->len >= sizeof(on))
		memcpy(&on, f->body, sizeof(on));
	if (!on)
		hold_no_longer(c);
	c->holds = on;
	c->late = false;
	c->owes = 0;
	client_reply(c, &f->hdr, 0, NULL, 0, NULL, 0, NULL);
}

void hold_settled_request(struct client *c, const struct frame *f)
{
	struct target *t;
	s32 pid = 0;

	if (f->len >= sizeof(pid))
		memcpy(&pid, f->body, sizeof(pid));
	client_reply(c, &f->hdr, 0, NULL, 0, NULL, 0, NULL);
	c->late = false;
	c->owes -= !!c->owes;
	t = target_by_pid(c->d, pid);
	if (t && c->holds && target_has(t, c->session))
		settle(t);
}
