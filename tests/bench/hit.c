// SPDX-License-Identifier: BSD-2-Clause
/*
 * The program whose calls are timed: functions of four instructions, one cache line each, called
 * through a pointer. It knows nothing of who probes it.
 *
 *	hit [--trap] CALLS NAME...      one line "NAME ns-per-call" each; pinned to the last CPU
 *
 * The calls are timed in pieces, by what the thread used of its CPU, and the median piece is
 * printed: what else the machine did meanwhile is not the probe's.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PIECES 51

#define FUNCTION(name)                                                                             \
	__asm__(".text\n.balign 64\n.globl bench_" #name "\n.type bench_" #name ",@function\n"     \
		"bench_" #name ":\n push %rbp\n mov %rsp,%rbp\n pop %rbp\n ret\n"                  \
		".size bench_" #name ",.-bench_" #name "\n");                                      \
	void bench_##name(void)

FUNCTION(base);
FUNCTION(trap);
FUNCTION(empty);
FUNCTION(hash);
FUNCTION(ring);
FUNCTION(ret);

static const struct item {
	const char *name;
	void (*fn)(void);
} items[] = {
	{"base", bench_base}, {"trap", bench_trap}, {"empty", bench_empty},
	{"hash", bench_hash}, {"ring", bench_ring}, {"ret", bench_ret},
};

/* what the int3 stands for is `push %rbp`; the handler does no more than that */
static void on_trap(int sig, siginfo_t *si, void *ctx)
{
	greg_t *r = ((ucontext_t *)ctx)->uc_mcontext.gregs;

	r[REG_RSP] -= 8;
	*(greg_t *)r[REG_RSP] = r[REG_RBP];
}

static void set_trap(void)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	unsigned char *at = (unsigned char *)bench_trap;
	void *page = (void *)((unsigned long)at & ~4095ul);

	sigaction(SIGTRAP, &sa, NULL);
	mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
	*at = 0xcc;
	mprotect(page, 8192, PROT_READ | PROT_EXEC);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double time_calls(void (*volatile fn)(void), long calls)
{
	double ns[PIECES], start;
	long piece = calls / PIECES + 1;

	for (long i = 0; i < calls / 10; i++)
		fn();
	for (int n = 0; n < PIECES; n++) {
		start = now();
		for (long i = 0; i < piece; i++)
			fn();
		ns[n] = (now() - start) / piece;
	}
	qsort(ns, PIECES, sizeof(ns[0]), by_value);
	return ns[PIECES / 2];
}

static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	int arg = 1;
	long calls;

	if (arg < argc && !strcmp(argv[arg], "--trap")) {
		set_trap();
		arg++;
	}
	calls = arg < argc ? atol(argv[arg++]) : 100000;
	pin();
	for (; arg < argc; arg++)
		for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
			if (!strcmp(argv[arg], items[i].name))
				printf("%s %.2f\n", items[i].name,
				       time_calls(items[i].fn, strcmp(items[i].name, "base")
								       ? calls
								       : calls * 50));
	return 0;
}
