// SPDX-License-Identifier: BSD-2-Clause
/*
 * A process of whose functions many are probed (scale.py makes them: f00000, f00001, ...).
 *
 *	scale LIBRARY       "ready PID"; then per line of input "FUNCTIONS KEYS": "ns NS", what a
 *call takes when the first FUNCTIONS are called in turn, with arguments below KEYS: the median of
 *nine pieces
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MOST 10000
#define PIECES 9

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double piece(void (**fn)(unsigned), unsigned functions, unsigned keys)
{
	unsigned calls = functions > 2000 ? functions : 2000, key = 0;
	double start = now();

	if (keys > calls)
		calls = keys;
	for (unsigned i = 0, f = 0; i < calls; i++) {
		fn[f](key);
		f = f + 1 == functions ? 0 : f + 1;
		key = key + 1 == keys ? 0 : key + 1;
	}
	return (now() - start) / calls;
}

int main(int argc, char **argv)
{
	static void (*fn[MOST])(unsigned);
	void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	unsigned functions, keys;
	double ns[PIECES];

	if (!library) {
		fprintf(stderr, "scale: %s\n", argc > 1 ? dlerror() : "no library");
		return 1;
	}
	for (unsigned i = 0; i < MOST; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%05u", i);
		fn[i] = (void (*)(unsigned))dlsym(library, name);
		if (!fn[i])
			return 1;
	}
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (scanf("%u %u", &functions, &keys) == 2) {
		piece(fn, functions, keys); /* who is new in the map, or in the caches */
		for (int i = 0; i < PIECES; i++)
			ns[i] = piece(fn, functions, keys);
		qsort(ns, PIECES, sizeof(*ns), by_value);
		printf("ns %.2f\n", ns[PIECES / 2]);
		fflush(stdout);
	}
	return 0;
}
