// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target to which a signal comes at each instruction of a call, those of a hit included, and the
 * tracer that sees to it.
 *
 * As a target: says "ready PID"; a line "at" is answered by "at ADDRESS", where the call begins.
 * After "run" it calls work() until SIGALRM: "calls N wrong W". The handler of SIGUSR1 calls it,
 * too. Wrong is another result, and what the handler finds in place of the call's return address,
 * if that is within a stub: it is the address itself or a stub's, and stubs are aligned.
 *
 * After "fresh" the same, where each call that the tracer looks at is the first one of a thread, as
 * far as its thread pointer says.
 *
 * With PID and ADDRESS: after ever more instructions from there on it sends SIGUSR1, until the call
 * is over, or as many as a third argument says: "steps N".
 */
#include <asm/prctl.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steps.h"

#define STEPS_MAX 20000

long work(long x);
extern const char call_begins[], call_ends[];
long called(long x, void **slot);
/* work() from call_begins on, with the address of its return address in *slot */
__asm__(".text\n.p2align 4\n.globl work\n.type work, @function\nwork:\n"
	"lea 3(%rdi), %rax\nmov %rdi, %rdx\nadd $0, %rdx\nret\n.size work, . - work\n"
	".p2align 4\n.type called, @function\ncalled:\npush %rbx\nlea -8(%rsp), %rbx\nmov %rbx, "
	"(%rsi)\n"
	"call_begins:\ncall work\ncall_ends:\npop %rbx\nret\n.size called, . - called\n");

static volatile sig_atomic_t seen, stop;
static volatile long within, wrong;
static void *slot;

static void on_alarm(int sig)
{
	stop = 1;
}

static void on_signal(int sig)
{
	unsigned long back = *(volatile unsigned long *)slot;

	if (back != (unsigned long)call_ends && back % 8)
		wrong++;
	within++;
	if (work(7) != 10)
		wrong++;
	seen = 1;
}

/* --- other thread pointers ----------------------------------------------------------------------
 */

#define BELOW 512 /* what is copied of a thread's own memory */
#define ABOVE 2304
#define AREA 4096
#define POINTERS 256

static char areas[POINTERS][AREA] __attribute__((aligned(64)));
static unsigned long own_pointer;

static void set_pointer(unsigned long to)
{
	syscall(SYS_arch_prctl, ARCH_SET_FS, to);
}

static void new_pointer(void)
{
	static int n;
	char *to = areas[n++ % POINTERS] + BELOW;

	memcpy(to - BELOW, (char *)own_pointer - BELOW, BELOW + ABOVE);
	*(unsigned long *)to = (unsigned long)to;
	set_pointer((unsigned long)to);
}

static void run(bool fresh)
{
	long calls = 0;

	syscall(SYS_arch_prctl, ARCH_GET_FS, &own_pointer);
	for (long x = 0; !stop; x++) {
		wrong += called(x, &slot) != x + 3;
		calls++;
		if (!seen)
			continue;
		seen = 0;
		kill(getpid(), SIGUSR2); /* the tracer takes it */
		for (int i = 0; i < 3; i++, calls++)
			wrong += work(i) != i + 3;
		if (fresh)
			new_pointer();
	}
	set_pointer(own_pointer);
	printf("calls %ld wrong %ld\n", calls + within, wrong);
}

/* --- the tracer ---------------------------------------------------------------------------------
 */

/* False: the call was over before. */
static int signal_after(pid_t pid, unsigned long at, int steps)
{
	int sig = 0;

	while (step(pid).ip != at)
		;
	for (int i = 0; i < steps; i++)
		if (step(pid).ip == at + (unsigned long)(call_ends - call_begins))
			return 0;
	syscall(SYS_tgkill, pid, pid, SIGUSR1);
	do
		sig = resume(pid, PTRACE_CONT, sig);
	while (sig != SIGUSR2);
	return 1;
}

/* One of them runs at a time: they needn't wake each other across CPUs. */
static void share_cpu(pid_t pid)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	sched_setaffinity(pid, sizeof(one), &one);
}

static int trace(pid_t pid, unsigned long at, int most)
{
	int status, n = 0;

	share_cpu(pid);
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) ||
	    waitpid(pid, &status, __WALL) < 0) {
		printf("cannot trace: %s\n", strerror(errno));
		return 1;
	}
	while (n < most && signal_after(pid, at, n))
		n++;
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	printf("steps %d\n", n);
	return 0;
}

int main(int argc, char **argv)
{
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2)
		return trace(atoi(argv[1]), strtoul(argv[2], NULL, 16),
			     argc > 3 ? atoi(argv[3]) : STEPS_MAX);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	signal(SIGALRM, on_alarm);
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, SIG_IGN);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4)) {
		if (!strncmp(line, "at", 2)) {
			printf("at %lx\n", (unsigned long)call_begins);
			continue;
		}
		stop = 0;
		within = 0;
		run(!strncmp(line, "fresh", 5));
	}
	return 0;
}
