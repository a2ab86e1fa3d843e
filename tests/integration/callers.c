// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that asks the loader for what depends on who asks: what comes behind the caller, and
 * what the caller's path leads to. Says "ready PID", then obeys "go N", each of it N times: "next N
 * tail N version N open N none S", what each found, and S of the words for what is not there.
 *
 *	callers LIBRARY
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "callers.h"

#define EXPORT __attribute__((noinline, noclone, visibility("default")))

EXPORT long c_work(long n)
{
	__asm__ volatile("" : "+r"(n));
	return n * 2 + 1;
}

long c_next(void);
void *c_tail(const char *name);
long c_version(void);
long c_open(long (*open)(void));
unsigned long c_none(void);

EXPORT long c_next(void)
{
	return dlsym(RTLD_NEXT, "malloc") != NULL;
}

/* Nothing is left to be done: the compiler jumps there. */
EXPORT void *c_tail(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

EXPORT long c_version(void)
{
	return dlvsym(RTLD_NEXT, "malloc", "GLIBC_2.2.5") != NULL;
}

EXPORT long c_open(long (*open)(void))
{
	return open() + c_work(1) - 3;
}

EXPORT unsigned long c_none(void)
{
	unsigned long sum = 0;

	if (dlsym(RTLD_NEXT, "nothing_has_this_name") || dlopen("callers_nothing.so", RTLD_NOW))
		return 0;
	for (const char *p = dlerror(); p && *p; p++)
		sum = sum * 31 + (unsigned char)*p;
	return sum;
}

int main(int argc, char **argv)
{
	void *lib = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	long (*open)(void) = lib ? (long (*)(void))dlsym(lib, "lib_open") : NULL;
	char line[64];
	long n;

	if (!open)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "go %ld", &n) == 1) {
		long next = 0, tail = 0, version = 0, opened = 0;
		unsigned long none = 0;

		for (long i = 0; i < n; i++) {
			next += c_next();
			tail += c_tail("malloc") != NULL;
			version += c_version();
			opened += c_open(open);
			none += c_none();
		}
		printf("next %ld tail %ld version %ld open %ld none %lx\n", next, tail, version,
		       opened, none);
	}
	return 0;
}
