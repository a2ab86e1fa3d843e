// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that calls a thousand functions, told what to do as target.c is:
 *
 *	all N		N times each of m_000 to m_999; answers "all SUM"
 *	names N		N times each of the names that are more or less than they seem; answers
 *"names SUM"
 *	libc N		N times memcpy of 777 bytes and strlen of "!known" through what the loader
 *found; answers "libc SUM" break NAME	writes a break instruction over a function, as a debugger
 *does; answers "broken" quit
 *
 *	many LIBRARY
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef long (*function)(long);
static void *lib;
static function all[1000];

static function find(const char *name)
{
	function fn = (function)dlsym(lib, name);

	if (!fn) {
		printf("error %s\n", dlerror());
		exit(1);
	}
	return fn;
}

static long names(long n)
{
	function v[] = {find("twice_a"), find("twice_b"), find("chosen"), find("versioned"),
			(function)dlvsym(lib, "versioned", "V1")};
	long sum = 0;

	for (long i = 0; i < n; i++)
		for (int k = 0; k < 5; k++)
			sum += v[k](1);
	return sum;
}

static long libc(long n)
{
	void *(*volatile copy)(void *, const void *, size_t) = memcpy;
	size_t (*volatile length)(const char *) = strlen;
	static char a[777], b[777];
	long sum = 0;

	for (long i = 0; i < n; i++) {
		copy(a, b, sizeof(a));
		sum += length("!known");
	}
	return sum;
}

static void put_break(const char *name)
{
	int fd = open("/proc/self/mem", O_RDWR);

	if (fd < 0 || pwrite(fd, "\xcc", 1, (off_t)(uintptr_t)find(name)) != 1)
		printf("error break\n");
	else
		printf("broken\n");
	close(fd);
}

int main(int argc, char **argv)
{
	char line[128], word[32], name[32];

	setvbuf(stdout, NULL, _IOLBF, 0);
	lib = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	for (int i = 0; lib && i < 1000; i++) {
		snprintf(name, sizeof(name), "m_%03d", i);
		all[i] = find(name);
	}
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		long sum = 0;

		*name = 0;
		sscanf(line, "%31s %31s", word, name);
		if (!strcmp(word, "quit"))
			return 0;
		for (long i = 0; !strcmp(word, "all") && i < atol(name); i++)
			for (int k = 0; k < 1000; k++)
				sum += all[k](k);
		if (!strcmp(word, "names"))
			sum = names(atol(name));
		if (!strcmp(word, "libc"))
			sum = libc(atol(name));
		if (!strcmp(word, "break"))
			put_break(name);
		else
			printf("%s %ld\n", word, sum);
	}
	return 0;
}
