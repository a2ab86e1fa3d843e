// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target with many children at once.
 *
 *	call N       N calls of work(); answers "calls N"
 *	crowd N M    N children are forked, then all of them make M calls of work() each; answers "calls N*M"
 *	keep N       N children are forked, without the C library, that do nothing; answers "kept PID..."
 *	wake M       the kept ones make M calls each and end; answers "calls N*M"
 *	drive        the kept ones make calls until somebody kills them; answers "driven N" when each has made a thousand, and
 *	             "ended N" when they have ended
 *	quit
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX 512

static pid_t children[MAX];
static long n;
static int hold[2]; /* children wait until its last writing end is closed */
static int told[2]; /* driven ones say here that they work */

#define ENDLESS (-1)
#define AT_WORK 1000

__attribute__((noinline, noclone, visibility("default"))) long work(long i)
{
	__asm__ volatile("" ::: "memory");
	return i * 2 + 1;
}

static void work_often(long times)
{
	for (long i = 0; i < times; i++)
		work(i);
}

static void be_driven(void)
{
	work_often(AT_WORK);
	if (write(told[1], "x", 1) != 1)
		_exit(8);
	for (;;)
		work_often(AT_WORK);
}

/* No library call but read(): a child hits nothing before it is told to. A kept one outlives us. */
static void child(int raw)
{
	int times = 0;

	close(hold[1]);
	if (read(hold[0], &times, sizeof(times)) == sizeof(times) && times == ENDLESS)
		be_driven();
	else if (times)
		work_often(times);
	else if (raw)
		for (;;)
			pause();
	_exit(9);
}

static void breed(long count, int raw)
{
	if (pipe(hold))
		exit(2);
	for (n = 0; n < count && n < MAX; n++) {
		children[n] = raw ? (pid_t)syscall(SYS_fork) : fork();
		if (!children[n])
			child(raw);
		if (children[n] < 0) {
			perror("fork");
			exit(2);
		}
	}
	close(hold[0]);
}

static void tell(int times)
{
	for (long i = 0; i < n; i++)
		if (write(hold[1], &times, sizeof(times)) != sizeof(times))
			exit(2);
	close(hold[1]);
}

/* How many ended, and *well: how many of them by themselves. */
static long reap(long *well)
{
	long ended = 0;

	*well = 0;
	for (long i = 0; i < n; i++) {
		int status;

		if (waitpid(children[i], &status, 0) != children[i])
			continue;
		ended++;
		*well += WIFEXITED(status) && WEXITSTATUS(status) == 9;
	}
	return ended;
}

static void wake(int times)
{
	long well;

	tell(times);
	reap(&well);
	printf("calls %ld\n", well * times);
}

static void drive(void)
{
	long at_work = 0, well;
	char c;

	tell(ENDLESS);
	while (at_work < n && read(told[0], &c, 1) == 1)
		at_work++;
	printf("driven %ld\n", at_work);
	printf("ended %ld\n", reap(&well));
}

static void kept(void)
{
	printf("kept");
	for (long i = 0; i < n; i++)
		printf(" %d", children[i]);
	printf("\n");
}

int main(void)
{
	char line[128], word[32];

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (pipe(told))
		return 2;
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		long a = 0, b = 0;

		if (sscanf(line, "%31s %ld %ld", word, &a, &b) < 1 || !strcmp(word, "quit"))
			break;
		if (!strcmp(word, "call")) {
			work_often(a);
			printf("calls %ld\n", a);
		} else if (!strcmp(word, "crowd")) {
			breed(a, 0);
			wake((int)b);
		} else if (!strcmp(word, "keep")) {
			breed(a, 1);
			kept();
		} else if (!strcmp(word, "wake")) {
			wake((int)a);
		} else if (!strcmp(word, "drive")) {
			drive();
		}
	}
	return 0;
}
