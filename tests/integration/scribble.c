// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target gone wrong, or hostile: it finds in its own memory whatever it can write of ours that others see, too, and writes
 * random bytes over it, while it goes on calling malloc(). Its own private memory it leaves alone.
 *
 *	scribble SEED     prints "ready PID"; then, one command a line:
 *	pages             answers "pages N", what it would write on
 *	scribble ROUNDS   answers "done N", bytes written
 *	quit
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_AREAS 256

static struct area {
	uint8_t *at;
	size_t size;
} areas[MAX_AREAS];
static int nr_areas;
static uint64_t state;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* The writable shared mappings of memfds, anew each time: attaching and detaching changes them. */
static long look(void)
{
	char line[512], perms[8], path[256];
	unsigned long lo, hi, bytes = 0;
	FILE *f = fopen("/proc/self/maps", "r");

	nr_areas = 0;
	while (f && fgets(line, sizeof(line), f)) {
		path[0] = 0;
		if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &lo, &hi, perms, path) < 3)
			continue;
		if (perms[1] != 'w' || perms[3] != 's' || strncmp(path, "/memfd:", 7) || nr_areas == MAX_AREAS)
			continue;
		areas[nr_areas++] = (struct area){(uint8_t *)lo, hi - lo};
		bytes += hi - lo;
	}
	if (f)
		fclose(f);
	return (long)(bytes / 4096);
}

/* Half of the writes go to a page's first bytes, where heads, positions and locks are; small numbers are likelier to be
 * taken for something than large ones. */
static long scribble(long rounds)
{
	for (long i = 0; i < rounds && nr_areas; i++) {
		struct area *a = &areas[rnd() % nr_areas];
		size_t word = rnd() % (a->size / 8);
		uint64_t value = rnd();

		if (rnd() % 2)
			word = word / 512 * 512 + rnd() % 16;
		((volatile uint64_t *)a->at)[word] = rnd() % 2 ? value : value >> rnd() % 64;
		if (i % 8 == 0)
			free(malloc(1 + i % 300));
	}
	return nr_areas ? rounds * 8 : 0;
}

int main(int argc, char **argv)
{
	char line[128];

	state = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	state = state * 0x9e3779b97f4a7c15u | 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "pages", 5))
			printf("pages %ld\n", look());
		else if (!strncmp(line, "scribble ", 9))
			printf("done %ld\n", scribble((look(), atol(line + 9))));
		else if (!strncmp(line, "quit", 4))
			return 0;
		else
			printf("error %s", line);
	}
	return 0;
}
