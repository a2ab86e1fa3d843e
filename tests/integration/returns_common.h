/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame of returns.c and returns.cc: targets whose functions are left in every way there is.
 *One command a line on standard input, one line of answer on standard output, which says what the
 *program saw and never depends on probes.
 *
 *	counts             answers what was entered and returned of each function so far, children
 *included quit
 */
#pragma once

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include "returns.h"

#ifdef __cplusplus
#define EXPORT extern "C" __attribute__((noinline, visibility("default")))
#else
#define EXPORT __attribute__((noinline, noclone, visibility("default")))
#endif

#define NUMBER(name) N_##name,
enum { RETURNS_FUNCS(NUMBER) N_END };

/* shared with children, which add to them */
#define SHARED 8192
static unsigned long *counts;
static char *trace; /* who called, of what asked for it */

#define ENTER(name) __atomic_fetch_add(&counts[2 * N_##name], 1, __ATOMIC_RELAXED)
/* the last thing a function does; the asm keeps it from becoming a tail call */
#define RETURN(name, value)                                                                        \
	do {                                                                                       \
		long value_ = (value);                                                             \
		__atomic_fetch_add(&counts[2 * N_##name + 1], 1, __ATOMIC_RELAXED);                \
		__asm__ volatile("" : "+r"(value_)::"memory");                                     \
		return value_;                                                                     \
	} while (0)

/* what inner() does */
static __thread long (*act)(long);

EXPORT long leaf(long n)
{
	ENTER(leaf);
	RETURN(leaf, n + 1);
}

EXPORT long inner(long n)
{
	ENTER(inner);
	long r = act(n);
	RETURN(inner, r + 1);
}

EXPORT long middle(long n)
{
	ENTER(middle);
	long r = inner(n);
	RETURN(middle, r + 1);
}

EXPORT long outer(long n)
{
	ENTER(outer);
	long r = middle(n);
	RETURN(outer, r + 1);
}

static long through(long (*what)(long), long n)
{
	act = what;
	return outer(n);
}

static long act_leaf(long n)
{
	return leaf(n);
}

/* --- who called
 * ---------------------------------------------------------------------------------------------------------
 */

static void trace_add(void *pc)
{
	size_t used = strlen(trace);
	Dl_info info;

	if (!dladdr(pc, &info) || !info.dli_sname)
		info.dli_sname = "?";
	snprintf(trace + used, SHARED / 2 - used, " %s", info.dli_sname);
}

static long act_backtrace(long n)
{
	void *pcs[64];
	int k = backtrace(pcs, 64);

	for (int i = 0; i < k && i < 64; i++)
		trace_add((char *)pcs[i] - 1);
	return n;
}

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *arg)
{
	leaf(1);
	trace_add((char *)_Unwind_GetIP(context) - 1);
	return _URC_NO_REASON;
}

static long act_unwind(long n)
{
	_Unwind_Backtrace(step, NULL);
	return n;
}

static const char *traced(long (*how)(long), long n)
{
	trace[0] = 0;
	snprintf(trace + strlen(trace), 32, " %ld", through(how, n));
	return trace;
}

/* --- commands
 * -----------------------------------------------------------------------------------------------------------
 */

static void say_counts(void)
{
	printf("counts");
	for (int i = 0; i < 2 * N_END; i++)
		printf(" %lu", counts[i]);
	printf("\n");
}

/* word and number of a command; answers itself */
static void command(const char *word, long n);

int main(void)
{
	char line[256], word[64];

	counts = (unsigned long *)mmap(NULL, SHARED, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	trace = (char *)counts + SHARED / 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		long n = 0;

		if (sscanf(line, "%63s %ld", word, &n) < 1)
			continue;
		if (!strcmp(word, "quit"))
			return (int)n;
		if (!strcmp(word, "counts"))
			say_counts();
		else if (!strcmp(word, "leaf"))
			printf("leaf %ld\n", through(act_leaf, n));
		else if (!strcmp(word, "backtrace"))
			printf("backtrace%s\n", traced(act_backtrace, n));
		else if (!strcmp(word, "unwind"))
			printf("unwind%s\n", traced(act_unwind, n));
		else
			command(word, n);
	}
	return 0;
}
