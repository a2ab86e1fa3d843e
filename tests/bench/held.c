// SPDX-License-Identifier: BSD-2-Clause
/*
 * A process to attach to. One of its threads does nothing but look at the clock: the longest time
 * between two looks is how long it was held, or kept from its CPU by others.
 *
 *	held LIBRARY...     "ready PID"; then per line of input: "reset": "ok", "gap": "gap NS"
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_ulong longest;

static unsigned long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ul + ts.tv_nsec;
}

static void *look(void *unused)
{
	unsigned long last = now(), at;

	for (;; last = at) {
		at = now();
		if (at - last > atomic_load_explicit(&longest, memory_order_relaxed))
			atomic_store(&longest, at - last);
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char line[32];

	for (int i = 1; i < argc; i++)
		if (!dlopen(argv[i], RTLD_NOW)) {
			fprintf(stderr, "held: %s\n", dlerror());
			return 1;
		}
	if (pthread_create(&thread, NULL, look, NULL))
		return 1;
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "reset\n"))
			atomic_store(&longest, 0);
		printf("gap %lu\n", atomic_load(&longest));
		fflush(stdout);
	}
	return 0;
}
