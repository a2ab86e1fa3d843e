// SPDX-License-Identifier: BSD-2-Clause
/*
 * Processes that are hard or impossible to attach to. Says "ready PID" of the one in question, then
 *answers every line on standard input with "sum S" of ten calls of work(), until the end of its
 *input.
 *
 *	odd plain         nothing special
 *	odd block         blocks SIGTRAP
 *	odd suspend       a thread waits for SIGUSR1 with everything else blocked, then waits on
 *	                  like any other
 *	odd faults        the same, but for SIGTRAP, which is open
 *	odd seccomp       allows itself read, write and exit only
 *	odd undumpable    has made itself undumpable
 *	odd traced        is traced by its parent
 *	odd zombie        the process named has ended and nobody has waited for it
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT __attribute__((noinline, noclone, visibility("default")))

EXPORT long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

/* an instruction that is meant to fail where it is */
__asm__(".globl strange\n.type strange, @function\nstrange:\n\tud2\n\tret\n.size strange, . - "
	"strange\n");

static void block_trap(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

#define ALLOW(nr)                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_exit_group),
		ALLOW(SYS_fstat),
		ALLOW(SYS_newfstatat),
		ALLOW(SYS_brk),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		_exit(77);
}

static void ready(pid_t pid)
{
	printf("ready %d\n", pid);
	fflush(stdout);
}

static int serve(void)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		long sum = 0;

		for (long i = 0; i < 10; i++)
			sum += work(i);
		printf("sum %ld\n", sum);
		fflush(stdout);
	}
	return 3;
}

/* A debugger that lets everything through. */
static int trace_child(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		ready(getpid());
		_exit(serve());
	}
	while (waitpid(pid, &status, 0) == pid && !WIFEXITED(status) && !WIFSIGNALED(status))
		ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status));
	return WEXITSTATUS(status);
}

static void on_signal(int sig)
{
}

static void *suspended(void *arg)
{
	sigset_t set;

	sigfillset(&set);
	sigdelset(&set, SIGUSR1);
	if (arg)
		sigdelset(&set, SIGTRAP);
	sigsuspend(&set);
	for (;;)
		pause();
	return arg;
}

static int suspend_thread(void *open_trap)
{
	pthread_t thread;
	sigset_t set;

	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL); /* until the wait */
	pthread_create(&thread, NULL, suspended, open_trap);
	ready(getpid());
	return serve();
}

static int keep_zombie(void)
{
	siginfo_t info;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	ready(pid);
	return serve();
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "plain";

	if (!strcmp(mode, "traced"))
		return trace_child();
	if (!strcmp(mode, "zombie"))
		return keep_zombie();
	if (!strcmp(mode, "suspend"))
		return suspend_thread(NULL);
	if (!strcmp(mode, "faults"))
		return suspend_thread(&argc);
	if (!strcmp(mode, "undumpable"))
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (!strcmp(mode, "block"))
		block_trap();
	ready(getpid());
	if (!strcmp(mode, "seccomp"))
		filter();
	return serve();
}
