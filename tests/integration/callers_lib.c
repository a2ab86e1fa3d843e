// SPDX-License-Identifier: BSD-2-Clause
/*
 * As a library: opens the other one, to which only its own path leads. With INNER that other one:
 * its constructor calls the program, and asks what comes behind itself.
 */
#include <dlfcn.h>
#include <stddef.h>

#include "callers.h"

#ifdef INNER
static long value;

__attribute__((constructor)) static void begin(void)
{
	value = c_work(20) == 41 && dlsym(RTLD_NEXT, "malloc");
}

long inner_value(void)
{
	return value;
}
#else
long lib_open(void)
{
	void *lib = dlopen("callers_inner.so", RTLD_NOW);
	long (*get)(void) = lib ? (long (*)(void))dlsym(lib, "inner_value") : NULL;
	long value = get ? get() : 0;

	if (lib)
		dlclose(lib);
	return value;
}
#endif
