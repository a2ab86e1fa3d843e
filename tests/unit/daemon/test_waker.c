/* SPDX-License-Identifier: BSD-2-Clause */
/* Doorbells ring, and the life word says so when the process that owns it is killed. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/daemon.h"

static struct daemon d;

static bool rings(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	u64 n;

	if (poll(&p, 1, timeout_ms) != 1)
		return false;
	return read(fd, &n, sizeof(n)) == sizeof(n);
}

static void be_producer(void)
{
	struct osl_self self;

	osl_self_fill(&self);
	self.bells = d.bells;
	self.life = d.life;
	osl_trap_init(&self);
}

Test(waker, bells_ring_their_own_eventfd, .timeout = 10)
{
	int fd[2], bell[2];

	cr_assert_eq(waker_start(&d), 0);
	be_producer();
	for (u32 i = 0; i < 2; i++) {
		bell[i] = waker_bell_new(&d, &fd[i]);
		cr_assert_gt(bell[i], 0);
	}
	for (u32 i = 0; i < 100; i++) {
		osl_ring(bell[i % 2]);
		cr_expect(rings(fd[i % 2], 2000), "ring %u", i);
		cr_expect_not(rings(fd[1 - i % 2], 0), "the other one is silent");
	}
	waker_bell_free(&d, bell[0]);
	osl_ring(bell[0]);
	osl_ring(bell[1]);
	cr_expect(rings(fd[1], 2000), "a slot without an owner harms nobody");
	waker_stop(&d);
}

/* The producer's burst may come while the waker is going to sleep: none is lost. */
Test(waker, no_ring_is_lost, .timeout = 20)
{
	int fd, bell;
	pid_t pid;

	cr_assert_eq(waker_start(&d), 0);
	be_producer();
	bell = waker_bell_new(&d, &fd);
	for (u32 round = 0; round < 300; round++) {
		/* now and then the producer is another process */
		pid = round % 50 ? -1 : fork();
		if (pid <= 0)
			osl_ring(bell);
		if (!pid)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		cr_assert(rings(fd, 2000), "round %u", round);
	}
	waker_stop(&d);
}

Test(waker, life_word_tells_of_a_kill, .timeout = 10)
{
	struct osl_life *life = mmap(NULL, 2 * EBPFRT_PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int report[2], fd = -1;
	pid_t pid;

	cr_assert_neq(life, MAP_FAILED);
	cr_assert_eq(pipe(report), 0);
	pid = fork();
	if (!pid) {
		char ready = waker_start(&d) == 0;

		/* the parent opens the page by way of /proc */
		cr_assert_eq(write(report[1], &d.life_fd, sizeof(int)), sizeof(int));
		cr_assert_eq(write(report[1], &ready, 1), 1);
		for (;;)
			pause();
	}
	int theirs;
	char ready, path[64];

	cr_assert_eq(read(report[0], &theirs, sizeof(theirs)), sizeof(theirs));
	cr_assert_eq(read(report[0], &ready, 1), 1);
	cr_assert(ready);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, theirs);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	life = mmap(NULL, sizeof(*life), PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(life, MAP_FAILED);
	cr_expect_neq(READ_ONCE(life->alive), 0);
	cr_expect_eq(READ_ONCE(life->alive) & OSL_LIFE_OWNER_DIED, 0);
	cr_expect_neq(life->generation, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_expect_neq(READ_ONCE(life->alive) & OSL_LIFE_OWNER_DIED, 0);
}

Test(waker, participants_are_unique_among_the_living)
{
	u32 a, b;

	cr_assert_eq(waker_start(&d), 0);
	a = participant_new(&d);
	b = participant_new(&d);
	cr_expect_neq(a, 0);
	cr_expect_neq(a, b);
	participant_dead(&d, a);
	cr_expect_eq(d.life->dead[a], 1);
	for (u32 i = 0; i < OSL_MAX_PARTICIPANTS - 2; i++) {
		u32 c = participant_new(&d);

		cr_assert_neq(c, 0);
		cr_assert_neq(c, b);
		if (c == a)
			cr_expect_eq(d.life->dead[a], 0, "taken again, alive again");
	}
	cr_expect_eq(participant_new(&d), 0, "there are no more");
	waker_stop(&d);
}
