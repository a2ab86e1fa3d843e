// SPDX-License-Identifier: BSD-2-Clause
/* A tracer that goes through a hit instruction by instruction: for tests of what can come in. */
#pragma once

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

/* What the signal stop is for, to be passed on; 0: nothing. */
static inline int resume(pid_t pid, int request, int sig)
{
	int status;

	if (ptrace(request, pid, NULL, (void *)(long)sig) || waitpid(pid, &status, __WALL) < 0 ||
	    !WIFSTOPPED(status)) {
		printf("the target has ended\n");
		exit(1);
	}
	return status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
}

struct place {
	unsigned long ip, sp;
};

static inline struct place step(pid_t pid)
{
	struct user_regs_struct regs;
	siginfo_t info;
	int sig = 0;

	do { /* its own breaks are its own */
		sig = resume(pid, PTRACE_SINGLESTEP, sig);
		ptrace(PTRACE_GETSIGINFO, pid, NULL, &info);
	} while (sig == SIGTRAP && info.si_code == SI_KERNEL);
	ptrace(PTRACE_GETREGS, pid, NULL, &regs);
	return (struct place){regs.rip, regs.rsp};
}
