/* SPDX-License-Identifier: BSD-2-Clause */
/* All threads of a process stopped, their signal masks, and what they notice of it: nothing. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/inject_crowd.h"
#include "osl/osl.h"

#define THREADS 8
#define TRAP_BIT (1ull << (SIGTRAP - 1))

static pid_t child, tracer;
static int ready[2], results[2];

/* Blocks everything, says so, waits for a signal, then says how that went. */
static void *blocker(void *arg)
{
	sigset_t all, one;
	int sig, err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	if (write(ready[1], "r", 1) != 1)
		_exit(1);
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	err = sigwait(&one, &sig);
	if (write(results[1], err ? "e" : "k", 1) != 1)
		_exit(1);
	return NULL;
}

static volatile unsigned long *spun; /* NULL: no thread spins */

static void *spinner(void *arg)
{
	for (;;)
		++*spun;
	return arg;
}

static bool waits; /* one more, with a mask for the time of its wait that blocks everything */

static void *waiter(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	for (;;)
		ppoll(NULL, 0, NULL, &all);
	return arg;
}

static void start(int threads)
{
	char c;

	cr_assert_eq(pipe(ready) | pipe(results), 0);
	child = fork();
	if (!child) {
		pthread_t t;
		sigset_t one;

		sigemptyset(&one);
		sigaddset(&one, SIGUSR1); /* for those who wait for it */
		sigprocmask(SIG_BLOCK, &one, NULL);
		for (int i = 0; i < threads; i++)
			pthread_create(&t, NULL, blocker, NULL);
		if (spun)
			pthread_create(&t, NULL, spinner, NULL);
		if (waits)
			pthread_create(&t, NULL, waiter, NULL);
		if (write(ready[1], "r", 1) != 1) /* its own mask is what it was */
			_exit(1);
		for (;;)
			pause();
	}
	for (int i = 0; i <= threads; i++)
		cr_assert_eq(read(ready[0], &c, 1), 1);
}

static void end(void)
{
	if (child <= 0)
		return;
	if (tracer > 0)
		kill(tracer, SIGKILL);
	kill(child, SIGKILL);
	/* Threads that did not stop in time are still ours, and the child is not gone before each
	 * of them has been waited for. */
	while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
		;
}

TestSuite(crowd, .fini = end);

static char why[256];
static struct thread worker;
static struct crowd crowd;

static void prepare(void)
{
	worker.pid = child;
	worker.mem = -1;
	worker.deadline_ns = osl_now_ns() + 5000000000ull;
	worker.why = why;
	worker.why_size = sizeof(why);
}

static void hold(void)
{
	prepare();
	cr_assert_eq(thread_hold(&worker), 0, "%s", why);
	cr_assert_eq(crowd_hold(&crowd, &worker), 0, "%s", why);
}

static void let_go(void)
{
	crowd_release(&crowd);
	thread_release(&worker);
}

static u32 count(bool (*pred)(const struct probe_task *task))
{
	char path[64];
	struct dirent *e;
	struct probe_task task;
	u32 n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", child);
	dir = opendir(path);
	cr_assert(dir);
	while ((e = readdir(dir)))
		if (atoi(e->d_name) > 0 && !probe_task_read(child, atoi(e->d_name), &task))
			n += pred(&task);
	closedir(dir);
	return n;
}

static bool blocks(const struct probe_task *task)
{
	return task->blocked & TRAP_BIT;
}

static bool stops(const struct probe_task *task)
{
	return task->state == 't';
}

Test(crowd, everybody_is_held_and_let_go, .timeout = 20)
{
	start(THREADS);
	hold();
	/* those that had no processor yet stop before they execute anything */
	while (count(stops) != THREADS + 1)
		usleep(1000);
	let_go();
	cr_expect_eq(count(stops), 0);
}

static pid_t any_thread(void)
{
	pid_t tid = 0;
	char path[64];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", child);
	dir = opendir(path);
	cr_assert(dir);
	while ((e = readdir(dir)))
		if (atoi(e->d_name) > 0 && atoi(e->d_name) != child)
			tid = atoi(e->d_name);
	closedir(dir);
	return tid;
}

/* A thread that ends stays listed for as long as its tracer does not wait for it. */
Test(crowd, who_stays_on_its_way_out_is_no_new_thread, .timeout = 20)
{
	struct probe_task task = {0};
	pid_t tid;
	char c;

	start(1);
	tid = any_thread();
	cr_assert_gt(tid, 0);
	tracer = fork();
	if (!tracer) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) || write(ready[1], "t", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	cr_assert_eq(read(ready[0], &c, 1), 1);
	syscall(SYS_tgkill, child, tid, SIGUSR1);
	while (!probe_task_read(child, tid, &task) && task.state != 'Z')
		usleep(1000);
	cr_assert_eq(task.tracer, tracer);
	hold();
	let_go();
}

Test(crowd, without_guards_a_blocker_is_refused, .timeout = 20)
{
	start(THREADS);
	hold();
	cr_expect_eq(crowd_clear(&crowd, false), -EAGAIN);
	cr_expect(strstr(why, "blocks SIGTRAP"), "%s", why);
	let_go();
	cr_expect_eq(count(blocks), THREADS, "nobody's mask was changed");
}

Test(crowd, with_guards_it_is_unblocked, .timeout = 20)
{
	char c;

	start(THREADS);
	hold();
	cr_expect_eq(crowd_clear(&crowd, true), 0, "%s", why);
	cr_expect_eq(count(blocks), 0);
	let_go();
	cr_expect_eq(count(blocks), THREADS,
		     "nobody took care of their masks: they are as they were");
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(kill(child, SIGUSR1), 0);
	/* standard signals do not queue: one is certain */
	cr_assert_eq(read(results[0], &c, 1), 1);
	cr_expect_eq(c, 'k', "a wait that the stop interrupted goes on");
}

/* What ptrace tells is the mask that it will have again: open. */
Test(crowd, who_waits_with_another_mask_is_refused, .timeout = 20)
{
	waits = true;
	start(0);
	while (!count(blocks))
		usleep(1000);
	hold();
	cr_expect_eq(crowd_clear(&crowd, true), -EAGAIN);
	cr_expect(strstr(why, "waits with SIGTRAP blocked"), "%s", why);
	let_go();
	while (!count(blocks)) /* its wait goes on */
		usleep(1000);
}

/* The one that works for us is itself in sigwait(), with everything else blocked. */
Test(crowd, who_works_is_unblocked, .timeout = 20)
{
	struct probe_task task;
	char c;

	cr_assert_eq(pipe(ready) | pipe(results), 0);
	child = fork();
	if (!child) {
		blocker(NULL);
		pause();
	}
	cr_assert_eq(read(ready[0], &c, 1), 1);
	do {
		usleep(1000);
		cr_assert_eq(probe_task_read(child, child, &task), 0);
	} while (task.blocked & 1ull << (SIGUSR1 - 1)); /* open for as long as it waits */
	hold();
	cr_expect_eq(crowd_clear(&crowd, true), 0, "%s", why);
	let_go();
	cr_assert_eq(probe_task_read(child, child, &task), 0);
	cr_expect(blocks(&task));
	cr_assert_eq(kill(child, SIGUSR1), 0);
	cr_assert_eq(read(results[0], &c, 1), 1);
	cr_expect_eq(c, 'k', "a wait that the stop interrupted goes on");
}

static void until_it_spins(void)
{
	unsigned long before = *spun;

	while (*spun == before)
		usleep(1000);
}

/* Who runs has stopped before one that sleeps is kept from being woken. */
Test(crowd, who_runs_is_stopped_first, .timeout = 20)
{
	spun = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq((void *)spun, MAP_FAILED);
	start(THREADS);
	until_it_spins();
	prepare();
	cr_assert_eq(thread_look(&worker), 0, "%s", why);
	cr_assert_eq(thread_claim(&worker), 0);
	cr_expect_eq(count(stops), 0, "nobody is stopped by that");
	cr_assert_eq(crowd_meet(&crowd, &worker), 0, "%s", why);
	cr_expect_eq(count(stops), 1, "the one that runs");
	cr_expect(worker.held_at_ns);
	cr_assert_eq(thread_stop(&worker), 0);
	cr_assert_eq(thread_hold(&worker), 0, "%s", why);
	cr_expect_eq(worker.tid, child, "who works has slept");
	cr_assert_eq(crowd_hold(&crowd, &worker), 0, "%s", why);
	cr_expect(crowd_stopped(&crowd), "the sleepers, too");
	cr_expect_eq(count(stops), THREADS + 2);
	let_go();
	until_it_spins();
	cr_expect_eq(count(stops), 0);
}

Test(crowd, nobody_else_is_no_trouble, .timeout = 20)
{
	start(0);
	hold();
	cr_expect_eq(crowd_clear(&crowd, false), 0, "%s", why);
	let_go();
}
