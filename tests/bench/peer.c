// SPDX-License-Identifier: BSD-2-Clause
/*
 * Other tracers' hits, for comparison with hit.c's, which prints the same lines.
 *
 *	peer ptrace CALLS   a debugger's break point at a nop, the least there is: it stops, the
 *tracer reads the registers and lets it go on peer work CALLS     calls of a function; a tracer
 *that wants it compiled its way (uftrace: -pg) has that done, and runs this
 *
 * Ends with status 77 and a reason where that can't be had.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIECES 9

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

__attribute__((noinline)) void traced(void)
{
	__asm__ volatile("");
}

__attribute__((noinline)) static void trapped(void)
{
	__asm__ volatile("int3");
}

static void time_calls(const char *name, void (*volatile fn)(void), long calls)
{
	double ns[PIECES];
	long piece = calls / PIECES + 1;

	for (long i = 0; i < piece; i++)
		fn();
	for (int n = 0; n < PIECES; n++) {
		double start = now();

		for (long i = 0; i < piece; i++)
			fn();
		ns[n] = (now() - start) / (double)piece;
	}
	qsort(ns, PIECES, sizeof(ns[0]), by_value);
	printf("%s %.2f\n", name, ns[PIECES / 2]);
	fflush(stdout);
}

static int trace(pid_t pid)
{
	struct user_regs_struct regs;
	int status;

	while (waitpid(pid, &status, 0) == pid) {
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		if (!WIFSTOPPED(status))
			return 1;
		if (ptrace(PTRACE_GETREGS, pid, 0, &regs))
			return 1;
		if (ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status)))
			return 1;
	}
	return 1;
}

static int by_ptrace(long calls)
{
	pid_t pid = fork();

	if (pid < 0)
		return 1;
	if (pid)
		return trace(pid);
	if (ptrace(PTRACE_TRACEME, 0, 0, 0)) {
		fprintf(stderr, "ptrace: %s\n", strerror(errno));
		_exit(77);
	}
	time_calls("ptrace", trapped, calls);
	_exit(0);
}

int main(int argc, char **argv)
{
	long calls = argc > 2 ? atol(argv[2]) : 0;

	if (calls > 0 && !strcmp(argv[1], "ptrace"))
		return by_ptrace(calls);
	if (calls > 0 && !strcmp(argv[1], "work")) {
		time_calls("work", traced, calls);
		return 0;
	}
	return 2;
}
