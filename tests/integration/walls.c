// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that shuts itself in while it is probed. Says "ready PID", then obeys:
 *
 * - call N: calls of work(): "sum S"
 * - fork N: a child makes them and ends with their sum as its status: "child STATUS"
 * - hold N: that many threads, which block all signals: "held"
 * - fault: the default action of SIGSEGV
 * - text: a sum over its own code: "text S"
 * - wall mdwe: nothing that was not executable becomes so
 * - wall undumpable
 * - wall files: no more descriptors
 * - wall strict: only read, write, exit and the end of handlers; anything else is death
 * - wall kill: the same, and forks, by seccomp(), in all threads
 * - wall prctl, wall syscall: the same, by prctl(), and by that through syscall()
 * - wall counter: whoever reads the CPU's counter gets SIGSEGV
 * - wall refuse: the same as kill, but anything else is EPERM
 *   "wall NAME", or "no NAME"
 * - quit
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

extern char __executable_start, etext;

__attribute__((noinline, noclone, visibility("default"))) long work(long n)
{
	__asm__ volatile("" : "+r"(n)::"memory");
	return n * 2 + 1;
}

static long calls(long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++)
		sum += work(i);
	return sum;
}

#define ALLOW(nr)                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int filter(const char *how)
{
	unsigned int otherwise =
		!strcmp(how, "refuse") ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_KILL_PROCESS;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		ALLOW(SYS_rt_sigreturn),
		ALLOW(SYS_fork),
		ALLOW(SYS_wait4),
		BPF_STMT(BPF_RET | BPF_K, otherwise),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	if (!strcmp(how, "prctl"))
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
	if (!strcmp(how, "syscall"))
		return (int)syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
}

static bool strict; /* has one way to end only */

static int wall(const char *how)
{
	struct rlimit none = {0, 0};

	if (!strcmp(how, "mdwe"))
		return prctl(PR_SET_MDWE, 1, 0, 0, 0);
	if (!strcmp(how, "undumpable"))
		return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (!strcmp(how, "files"))
		return setrlimit(RLIMIT_NOFILE, &none);
	if (!strcmp(how, "counter"))
		return prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
	strict = !strcmp(how, "strict");
	if (strict)
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	return filter(how);
}

/* By system calls that the filters allow. */
static void do_fork(long n)
{
	int status = -1;
	pid_t pid = (pid_t)syscall(SYS_fork);

	if (!pid)
		syscall(SYS_exit_group, (int)(calls(n) & 0x7f));
	syscall(SYS_wait4, pid, &status, 0, NULL);
	printf("child %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static int never[2];
static pthread_barrier_t blocked;

static void *hold(void *arg)
{
	char c;

	pthread_barrier_wait(&blocked);
	while (read(never[0], &c, 1) < 0)
		;
	return arg;
}

static int do_hold(long n)
{
	sigset_t all, before;
	pthread_t t;

	if (pipe(never))
		return -1;
	pthread_barrier_init(&blocked, NULL, (unsigned int)n + 1);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (n--)
		if (pthread_create(&t, NULL, hold, NULL))
			return -1;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_barrier_wait(&blocked);
	return 0;
}

int main(void)
{
	static char line[256], out[256];
	char how[32];
	long n;

	setvbuf(stdin, line, _IOLBF, sizeof(line));
	setvbuf(stdout, out, _IOLBF, sizeof(out));
	printf("ready %d\n", getpid());
	for (char command[64]; fgets(command, sizeof(command), stdin);) {
		unsigned long sum = 0;

		if (sscanf(command, "call %ld", &n) == 1) {
			printf("sum %ld\n", calls(n));
		} else if (sscanf(command, "fork %ld", &n) == 1) {
			do_fork(n);
		} else if (sscanf(command, "wall %31s", how) == 1) {
			printf("%s %s\n", wall(how) ? "no" : "wall", how);
		} else if (sscanf(command, "hold %ld", &n) == 1) {
			printf("%s\n", do_hold(n) ? "none" : "held");
		} else if (!strncmp(command, "fault", 5)) {
			*(volatile int *)16 = 0;
		} else if (!strncmp(command, "text", 4)) {
			for (char *p = &__executable_start; p < &etext; p++)
				sum = (sum ^ (unsigned char)*p) * 0x100000001b3;
			printf("text %lx\n", sum);
		} else {
			break;
		}
	}
	syscall(strict ? SYS_exit : SYS_exit_group, 3);
	return 3;
}
