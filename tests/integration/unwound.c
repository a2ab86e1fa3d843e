// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target whose stack is walked at each instruction of a call, those of a hit included, and the
 * tracer that sees to it.
 *
 * As a target: says "ready PID"; a line "at" is answered by "at ADDRESS ADDRESS", where the call
 * begins and where the handler leaves its verdict; "handler" sets the handler of SIGUSR1, behind
 * libc's back, as runtimes with system calls of their own do: then nobody puts the signal off.
 * After "run" it calls work() until SIGALRM: "calls N wrong W". The handler walks the stack with
 * the compiler's unwinder. Who called work() is what it finds at the call's first instruction.
 *
 * With PID and both ADDRESSes: at each instruction of one call the stack is walked from outside, by
 * libdw with registers and memory as a debugger reads them, and SIGUSR1 is sent: "steps N outside O
 * inside I": in so many cases exactly the true callers were found, behind what is ours. Where they
 * weren't is said, one line each: where the walk ended, and what the instruction is of.
 */
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <execinfo.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steps.h"

#define STEPS_MAX 20000
#define FRAMES 64

struct walk {
	unsigned long at[FRAMES];
	int n;
};

struct verdict {
	long walks, good; /* of the handler */
};

long work(long x);
extern const char call_begins[], call_ends[];
long called(long x);
__asm__(".text\n.p2align 4\n.globl work\n.type work, @function\nwork:\n.cfi_startproc\n"
	"lea 3(%rdi), %rax\nmov %rdi, %rdx\nadd $0, %rdx\nret\n.cfi_endproc\n.size work, . - work\n"
	".p2align 4\n.type called, @function\ncalled:\n.cfi_startproc\npush %rbx\n"
	".cfi_adjust_cfa_offset 8\n.cfi_rel_offset rbx, 0\nmov %rdi, %rbx\n"
	"call_begins:\ncall work\ncall_ends:\npop %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore "
	"rbx\n"
	"ret\n.cfi_endproc\n.size called, . - called\n"
	".p2align 4\nnop\nrestorer:\nmov $15, %rax\nsyscall\n");
extern const char restorer[];

static volatile sig_atomic_t stop;
static struct verdict verdict;
static struct walk callers; /* of the call, from its caller's caller on */

/* Does @w end in the call's callers, and come to them from the call or from before it? */
static bool ends_well(const struct walk *w, const struct walk *end, unsigned long begins,
		      unsigned long ends)
{
	int first = w->n - end->n;

	if (!end->n || first < 1 || memcmp(w->at + first, end->at, sizeof(*end->at) * end->n))
		return false;
	return w->at[first - 1] >= begins && w->at[first - 1] <= ends;
}

/* --- the target ---------------------------------------------------------------------------------
 */

static void on_alarm(int sig)
{
	stop = 1;
}

static void walk_here(struct walk *w)
{
	void *at[FRAMES];

	w->n = backtrace(at, FRAMES);
	for (int i = 0; i < w->n; i++)
		w->at[i] = (unsigned long)at[i];
}

static void on_signal(int sig)
{
	unsigned long begins = (unsigned long)call_begins, ends = (unsigned long)call_ends;
	struct walk w;
	int at = 0;

	walk_here(&w);
	if (!callers.n) {
		while (at < w.n && w.at[at++] != begins)
			;
		callers.n = w.n - at;
		memcpy(callers.at, w.at + at, sizeof(*w.at) * callers.n);
	}
	verdict.walks++;
	verdict.good += ends_well(&w, &callers, begins, ends);
	kill(getpid(), SIGUSR2); /* the tracer takes it */
}

static void set_handler(void)
{
	struct {
		void (*handler)(int);
		unsigned long flags;
		const void *restorer;
		unsigned long mask;
	} act = {on_signal, 0x04000000, restorer, 0};
	long ret = 6;

	__asm__ volatile("add $7, %%eax\nmov $8, %%r10d\nsyscall" /* rt_sigaction */
			 : "+a"(ret)
			 : "D"(SIGUSR1), "S"(&act), "d"(0)
			 : "rcx", "r10", "r11", "memory");
	printf("%s\n", ret ? "failed" : "set");
}

static void run(void)
{
	long calls = 0, wrong = 0;

	stop = 0;
	callers.n = 0;
	verdict = (struct verdict){0};
	for (long x = 0; !stop; x++, calls++)
		wrong += called(x) != x + 3;
	printf("calls %ld wrong %ld\n", calls, wrong);
}

/* --- the tracer ---------------------------------------------------------------------------------
 */

struct traced {
	pid_t pid;
	unsigned long begins, ends, verdict;
	Dwfl *dwfl;
	struct walk callers;
	int steps, outside, inside;
};

static int on_frame(Dwfl_Frame *frame, void *walk)
{
	struct walk *w = walk;
	Dwarf_Addr pc;

	if (w->n == FRAMES || !dwfl_frame_pc(frame, &pc, NULL))
		return DWARF_CB_ABORT;
	w->at[w->n++] = pc;
	return DWARF_CB_OK;
}

static struct walk walk_outside(struct traced *t)
{
	struct walk w = {.n = 0};

	dwfl_getthread_frames(t->dwfl, t->pid, on_frame, &w);
	return w;
}

static struct verdict read_verdict(const struct traced *t)
{
	struct verdict v = {0};
	struct iovec to = {&v, sizeof(v)}, from = {(void *)t->verdict, sizeof(v)};

	process_vm_readv(t->pid, &to, 1, &from, 1, 0);
	return v;
}

/* The handler, from its begin to its end: the thread is where it was. */
static bool walk_inside(struct traced *t, struct place at)
{
	struct verdict before = read_verdict(t), now;
	struct place p;
	int sig = 0;

	syscall(SYS_tgkill, t->pid, t->pid, SIGUSR1);
	do
		sig = resume(t->pid, PTRACE_CONT, sig);
	while (sig != SIGUSR2);
	do
		p = step(t->pid);
	while (p.ip != at.ip || p.sp != at.sp);
	now = read_verdict(t);
	return now.walks == before.walks + 1 && now.good == before.good + 1;
}

/* By the file that is mapped there, "stub" where there is none. */
static const char *kind_of(const struct traced *t, unsigned long at)
{
	Dwfl_Module *m = dwfl_addrmodule(t->dwfl, at);
	const char *name = m ? dwfl_module_info(m, NULL, NULL, NULL, NULL, NULL, NULL, NULL) : "";

	if (strstr(name, "ebpfrt-agent"))
		return "agent";
	if (strstr(name, "memfd:prog"))
		return "program";
	if (strstr(name, "memfd:ebpfrt-slots"))
		return "pad";
	return strrchr(name, '/') ? strrchr(name, '/') + 1 : "stub";
}

static void check(struct traced *t, struct place at)
{
	struct walk w = walk_outside(t);
	bool outside = ends_well(&w, &t->callers, t->begins, t->ends);
	bool inside = walk_inside(t, at);

	if (!outside)
		printf("outside: %s %d %lx\n", kind_of(t, w.n ? w.at[w.n - 1] : at.ip), t->steps,
		       at.ip);
	if (!inside)
		printf("inside: %s %d %lx\n", kind_of(t, at.ip), t->steps, at.ip);
	t->outside += outside;
	t->inside += inside;
	t->steps++;
}

static void walk_call(struct traced *t)
{
	struct place at;
	struct walk w;

	while ((at = step(t->pid)).ip != t->begins)
		;
	w = walk_outside(t);
	t->callers.n = w.n - 1;
	memcpy(t->callers.at, w.at + 1, sizeof(*w.at) * t->callers.n);
	for (; at.ip != t->ends && t->steps < STEPS_MAX; at = step(t->pid))
		check(t, at);
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

static int no_debuginfo(Dwfl_Module *m, void **data, const char *name, Dwarf_Addr base,
			const char *file, const char *link, GElf_Word crc, char **found)
{
	return -1;
}

static Dwfl *open_process(pid_t pid)
{
	static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_linux_proc_find_elf,
						 .find_debuginfo = no_debuginfo};
	Dwfl *dwfl = dwfl_begin(&callbacks);

	if (!dwfl || dwfl_linux_proc_report(dwfl, pid) || dwfl_report_end(dwfl, NULL, NULL) ||
	    dwfl_linux_proc_attach(dwfl, pid, true)) {
		printf("cannot unwind: %s\n", dwfl_errmsg(-1));
		exit(1);
	}
	return dwfl;
}

static int trace(struct traced *t)
{
	int status;

	share_cpu(t->pid);
	if (ptrace(PTRACE_SEIZE, t->pid, NULL, NULL) ||
	    ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL) || waitpid(t->pid, &status, __WALL) < 0) {
		printf("cannot trace: %s\n", strerror(errno));
		return 1;
	}
	t->dwfl = open_process(t->pid);
	walk_call(t);
	printf("steps %d outside %d inside %d\n", t->steps, t->outside, t->inside);
	ptrace(PTRACE_DETACH, t->pid, NULL, NULL);
	dwfl_end(t->dwfl);
	return 0;
}

int main(int argc, char **argv)
{
	struct walk w;
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 3) {
		struct traced t = {.pid = atoi(argv[1]),
				   .begins = strtoul(argv[2], NULL, 16),
				   .verdict = strtoul(argv[3], NULL, 16)};

		t.ends = t.begins + (unsigned long)(call_ends - call_begins);
		return trace(&t);
	}
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	walk_here(&w); /* what it needs is loaded now */
	signal(SIGALRM, on_alarm);
	signal(SIGUSR2, SIG_IGN);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4)) {
		if (!strncmp(line, "at", 2))
			printf("at %lx %lx\n", (unsigned long)call_begins, (unsigned long)&verdict);
		else if (!strncmp(line, "run", 3))
			run();
		else if (!strncmp(line, "handler", 7))
			set_handler();
	}
	return 0;
}
