/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/loop.h"

static struct loop loop;
static u32 fired[4], nfired;

static void setup(void)
{
	cr_assert_eq(loop_init(&loop), 0);
}

static void teardown(void)
{
	loop_deinit(&loop);
}

TestSuite(loop, .init = setup, .fini = teardown);

struct named_timer {
	struct loop_timer t;
	u32 id;
};

static void on_timer(struct loop_timer *t)
{
	fired[nfired++] = container_of(t, struct named_timer, t)->id;
	if (nfired == 3)
		loop.quit = true;
}

Test(loop, timers_fire_in_their_order, .timeout = 5)
{
	struct named_timer v[4];

	for (u32 i = 0; i < 4; i++) {
		loop_timer_init(&v[i].t, on_timer);
		v[i].id = i;
	}
	loop_timer_arm(&loop, &v[2].t, 3000000);
	loop_timer_arm(&loop, &v[0].t, 0);
	loop_timer_arm(&loop, &v[3].t, 1000000);
	loop_timer_arm(&loop, &v[1].t, 2000000);
	loop_timer_stop(&loop, &v[3].t);
	loop_timer_stop(&loop, &v[3].t);
	loop_run(&loop);
	for (u32 i = 0; i < 3; i++)
		cr_expect_eq(fired[i], i);
}

static void on_news(struct loop_source *s, u32 events)
{
	char c;

	cr_assert_eq(read(s->fd, &c, 1), 1);
	fired[nfired++] = 9;
}

/* Whoever looked at the timer first would call silent what has spoken. */
Test(loop, a_late_loop_looks_at_what_came_before_it_looks_at_the_time, .timeout = 5)
{
	struct loop_source news = {.fn = on_news};
	struct named_timer silence = {.id = 1};
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(loop_add(&loop, &news, fds[0], EPOLLIN), 0);
	loop_timer_init(&silence.t, on_timer);
	loop_timer_arm(&loop, &silence.t, 1);
	usleep(200000); /* stopped, say: it has fired by then, and is ready first */
	cr_assert_eq(write(fds[1], "x", 1), 1);
	while (nfired < 2)
		loop_once(&loop, -1);
	cr_expect_eq(fired[0], 9);
	cr_expect_eq(fired[1], 1);
	close(fds[0]);
	close(fds[1]);
}

/* A callback may free its own source, and others that are ready too. */
static struct loop_source *pair[2];
static u32 calls;

static void remove_both(struct loop_source *s, u32 events)
{
	calls++;
	for (u32 i = 0; i < 2; i++) {
		loop_del(&loop, pair[i]);
		free(pair[i]);
		pair[i] = NULL;
	}
	loop.quit = true;
}

Test(loop, sources_may_go_while_others_are_ready, .timeout = 5)
{
	int p[2][2];

	for (u32 i = 0; i < 2; i++) {
		cr_assert_eq(pipe(p[i]), 0);
		cr_assert_eq(write(p[i][1], "x", 1), 1);
		pair[i] = calloc(1, sizeof(*pair[i]));
		pair[i]->fn = remove_both;
		cr_assert_eq(loop_add(&loop, pair[i], p[i][0], EPOLLIN), 0);
	}
	loop_run(&loop);
	loop_once(&loop, 0);
	cr_expect_eq(calls, 1);
}

static int child_status = -1;

static void on_child(struct loop_child *c, int status)
{
	cr_expect_eq(c->pid, 0);
	child_status = status;
	loop.quit = true;
}

Test(loop, children_are_reaped, .timeout = 5)
{
	struct loop_child c = {.fn = on_child};
	pid_t pid = fork();

	if (!pid)
		_exit(7);
	cr_assert_eq(loop_child_watch(&loop, &c, pid), 0);
	loop_run(&loop);
	cr_expect(WIFEXITED(child_status));
	cr_expect_eq(WEXITSTATUS(child_status), 7);
}

Test(loop, children_are_killed, .timeout = 5)
{
	struct loop_child c = {.fn = on_child};
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	cr_assert_eq(loop_child_watch(&loop, &c, pid), 0);
	loop_child_kill(&loop, &c);
	cr_expect_eq(kill(pid, 0), -1, "it is gone");
	cr_expect_eq(child_status, -1, "nobody is told");
	loop_child_kill(&loop, &c);
}
