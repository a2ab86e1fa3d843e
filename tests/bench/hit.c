// SPDX-License-Identifier: BSD-2-Clause
/*
 * The program whose calls are timed: functions of four or five instructions, one cache line each,
 * called through a pointer with a number that grows. It knows nothing of who probes it. Those whose
 * names begin with n have a five-byte nop first, which is what everybody can replace best.
 *
 *	hit [--trap] [--threads N] CALLS NAME...   one line "NAME ns-per-call" each
 *
 * The calls are timed in pieces, by what the thread used of its CPU, and the median piece is
 * printed: what else the machine did meanwhile is not the probe's. One thread is pinned to the last
 * CPU, more of them to those before; of theirs the slowest is printed.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PIECES 51

#define MAX_THREADS 8

#define FUNCTION(name, first)                                                                      \
	__asm__(".text\n.balign 64\n.globl bench_" #name "\n.type bench_" #name ",@function\n"     \
		"bench_" #name ":\n" first " push %rbp\n mov %rsp,%rbp\n pop %rbp\n ret\n"         \
		".size bench_" #name ",.-bench_" #name "\n");                                      \
	void bench_##name(long n)
#define NOP5 " .byte 0x0f, 0x1f, 0x44, 0, 0\n"

FUNCTION(base, "");
FUNCTION(trap, "");
FUNCTION(empty, "");
FUNCTION(hash, "");
FUNCTION(ring, "");
FUNCTION(ret, "");
FUNCTION(nbase, NOP5);
FUNCTION(nempty, NOP5);
FUNCTION(ncount, NOP5);
FUNCTION(nhash, NOP5);
FUNCTION(nring, NOP5);
FUNCTION(nret, NOP5);

static const struct item {
	const char *name;
	void (*fn)(long n);
} items[] = {
	{"base", bench_base},	{"trap", bench_trap},	  {"empty", bench_empty},
	{"hash", bench_hash},	{"ring", bench_ring},	  {"ret", bench_ret},
	{"nbase", bench_nbase}, {"nempty", bench_nempty}, {"ncount", bench_ncount},
	{"nhash", bench_nhash}, {"nring", bench_nring},	  {"nret", bench_nret},
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

struct timed {
	void (*volatile fn)(long n);
	long calls;
	long first, step; /* of the numbers */
	int cpu;
	double ns;
	pthread_t thread;
};

static double time_calls(const struct timed *t)
{
	void (*volatile fn)(long n) = t->fn;
	long piece = t->calls / PIECES + 1, number = t->first;
	double ns[PIECES], start;

	for (long i = 0; i < t->calls / 10; i++)
		fn(t->first);
	for (int n = 0; n < PIECES; n++) {
		start = now();
		for (long i = 0; i < piece; i++, number += t->step)
			fn(number);
		ns[n] = (now() - start) / piece;
	}
	qsort(ns, PIECES, sizeof(ns[0]), by_value);
	return ns[PIECES / 2];
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *timed_thread(void *p)
{
	struct timed *t = p;

	pin(t->cpu);
	t->ns = time_calls(t);
	return NULL;
}

static double time_threads(void (*fn)(long n), long calls, int threads)
{
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	struct timed t[MAX_THREADS];
	double ns = 0;

	for (int i = 0; i < threads; i++)
		t[i] = (struct timed){fn, calls, i, threads, (cpus - 1 - i % cpus), 0, 0};
	for (int i = 1; i < threads; i++)
		pthread_create(&t[i].thread, NULL, timed_thread, &t[i]);
	timed_thread(&t[0]);
	for (int i = 1; i < threads; i++)
		pthread_join(t[i].thread, NULL);
	for (int i = 0; i < threads; i++)
		ns = t[i].ns > ns ? t[i].ns : ns;
	return ns;
}

static bool is_base(const char *name)
{
	return !strcmp(name, "base") || !strcmp(name, "nbase");
}

int main(int argc, char **argv)
{
	int arg = 1, threads = 1;
	long calls;

	if (arg < argc && !strcmp(argv[arg], "--trap")) {
		set_trap();
		arg++;
	}
	if (arg + 1 < argc && !strcmp(argv[arg], "--threads")) {
		threads = atoi(argv[arg + 1]);
		arg += 2;
	}
	if (threads < 1 || threads > MAX_THREADS)
		return 2;
	calls = arg < argc ? atol(argv[arg++]) : 100000;
	for (; arg < argc; arg++)
		for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
			if (!strcmp(argv[arg], items[i].name))
				printf("%s %.2f\n", items[i].name,
				       time_threads(items[i].fn,
						    is_base(items[i].name) ? calls * 50 : calls,
						    threads));
	return 0;
}
