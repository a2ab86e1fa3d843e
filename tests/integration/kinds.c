// SPDX-License-Identifier: BSD-2-Clause
/*
 * Processes that are made in other ways than by fork(), and other kinds of processes. Says
 * "ready PID OTHER", then for every line on standard input has ten calls of work() made and says
 * "sum S"; a line "e" ends the other process before, and from then on makes the calls itself.
 * Ends with status 3, or 4 when a process of its own did not end as it should.
 *
 *	kinds vm       a process that shares the memory, but not the handlers, makes the calls
 *	kinds sighand  a process that shares both, and is no thread
 *	kinds vfork    each line: the child of a vfork()
 *	kinds clone    each line: the child of a bare clone()
 *	kinds late     each line: as `vm`, a new one
 *	kinds vforking a thread waits for its vfork()'s child, which makes the calls
 *	kinds mdwe     PR_SET_MDWE: nothing that was not executable becomes so
 *	kinds sleeping a thread sleeps over and over; says how often it was woken early
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT __attribute__((noinline, noclone, visibility("default")))
#define STACK (256 << 10)

static int ask[2], reply[2];
static pid_t other;
static int odd_end;

EXPORT long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

static long ten(void)
{
	long sum = 0;

	for (long i = 0; i < 10; i++)
		sum += work(i);
	return sum;
}

/* Until the end is asked for. */
static int serve(void *arg)
{
	char c;

	while (read(ask[0], &c, 1) == 1 && c != 'e') {
		long sum = ten();

		if (write(reply[1], &sum, sizeof(sum)) != sizeof(sum))
			break;
	}
	return 7;
}

static int once(void *arg)
{
	*(long *)arg = ten();
	_exit(7);
}

static pid_t start(int (*fn)(void *), int flags, void *arg)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return clone(fn, stack + STACK, flags | SIGCHLD, arg);
}

static void ended(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
		odd_end = 1;
}

/* --- one line ----------------------------------------------------------------------------------
 */

static long asked(void)
{
	long sum = -1;

	if (write(ask[1], "c", 1) != 1 || read(reply[0], &sum, sizeof(sum)) != sizeof(sum))
		odd_end = 1;
	return sum;
}

static long in_vfork(void)
{
	volatile long sum = 0;
	pid_t pid = vfork();

	if (!pid) {
		sum = ten();
		_exit(7);
	}
	ended(pid);
	return sum;
}

static long in_clone(void)
{
	long *sum = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
	     ret;
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);

	if (!pid)
		once(sum);
	ended(pid);
	ret = *sum;
	munmap(sum, 4096);
	return ret;
}

static long in_late(void)
{
	long sum = 0;

	ended(start(once, CLONE_VM, &sum));
	return sum;
}

/* --- modes -------------------------------------------------------------------------------------
 */

static pthread_t thread;

static void *vforking(void *arg)
{
	pid_t pid = vfork();

	if (!pid) {
		other = getpid();
		serve(NULL);
		_exit(7);
	}
	ended(pid);
	return arg;
}

static volatile long wrong;

static void *sleeping(void *arg)
{
	const struct timespec ts = {0, 30000000};

	for (;;) {
		struct timespec a, b;
		long ns;
		int ret;

		clock_gettime(CLOCK_MONOTONIC, &a);
		ret = nanosleep(&ts, NULL);
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
		if (ret || ns < ts.tv_nsec)
			wrong++;
	}
	return arg;
}

static long count_wrong(void)
{
	ten();
	return wrong;
}

static long (*mode(const char *name))(void)
{
	if (!strcmp(name, "vm"))
		other = start(serve, CLONE_VM, NULL);
	else if (!strcmp(name, "sighand"))
		other = start(serve, CLONE_VM | CLONE_SIGHAND, NULL);
	else if (!strcmp(name, "vforking")) {
		pthread_create(&thread, NULL, vforking, NULL);
		while (!*(volatile pid_t *)&other)
			sched_yield();
	} else if (!strcmp(name, "vfork"))
		return in_vfork;
	else if (!strcmp(name, "clone"))
		return in_clone;
	else if (!strcmp(name, "late"))
		return in_late;
	else if (!strcmp(name, "mdwe")) {
		if (prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0))
			exit(77);
		return ten;
	} else if (!strcmp(name, "sleeping")) {
		pthread_create(&thread, NULL, sleeping, NULL);
		return count_wrong;
	} else
		exit(2);
	return asked;
}

static void end_other(const char *name)
{
	if (write(ask[1], "e", 1) != 1)
		odd_end = 1;
	if (!strcmp(name, "vforking"))
		pthread_join(thread, NULL);
	else
		ended(other);
}

int main(int argc, char **argv)
{
	long (*fn)(void);
	char line[64];

	if (argc != 2 || pipe(ask) || pipe(reply))
		return 2;
	fn = mode(argv[1]);
	printf("ready %d %d\n", getpid(), other);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (line[0] == 'e') {
			end_other(argv[1]);
			fn = ten;
		}
		printf("sum %ld\n", fn());
		fflush(stdout);
	}
	if (fn == asked)
		end_other(argv[1]);
	return odd_end ? 4 : 3;
}
