// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that comes back to where it was by each way that there is: setjmp, getcontext, vfork,
 * fork. Says "ready PID", then obeys "go N": "jump S context S vfork S fork S", and "quit".
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static jmp_buf place;
static ucontext_t context;

__attribute__((noinline, noclone)) static void away(int i)
{
	longjmp(place, i);
}

__attribute__((noinline, noclone)) static long jumps(long n)
{
	volatile long sum = 0;
	volatile int i = 0;

	sum += setjmp(place);
	if (i++ < n)
		away(i);
	return sum;
}

__attribute__((noinline, noclone)) static long contexts(long n)
{
	volatile long sum = 0, i = 0;

	getcontext(&context);
	sum++;
	if (i++ < n)
		setcontext(&context);
	return sum;
}

static long ended(pid_t pid)
{
	int status = 0;

	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

__attribute__((noinline, noclone)) static long vforks(long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++) {
		pid_t pid = vfork();

		if (!pid)
			_exit(3);
		sum += ended(pid);
	}
	return sum;
}

__attribute__((noinline, noclone)) static long forks(long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(5);
		sum += ended(pid);
	}
	return sum;
}

int main(void)
{
	char line[64];
	long n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "go %ld", &n) == 1) {
		long jump = jumps(n), ctx = contexts(n), v = vforks(n), f = forks(n);

		printf("jump %ld context %ld vfork %ld fork %ld\n", jump, ctx, v, f);
	}
	return 4;
}
