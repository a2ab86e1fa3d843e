// SPDX-License-Identifier: BSD-2-Clause
/*
 * Uses the library of modules_lib.c, and has a struct item of its own, as well as a struct caller
 * that the library only hands on. A line "VALUE ID" on standard input is answered by "used"; "0 0"
 * makes it another program, which is given, and "-1 0" has it use the library that is given from then
 * on.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct item {
	double x, y;
	int value;
};

struct caller {
	char pad[CALLER_PAD];
	int id;
};

void *item_new(int value, long weight);
int item_use(void *item, struct caller *cookie);

__attribute__((noinline)) int app_use(struct item *it)
{
	__asm__ volatile("" ::: "memory");
	return it->value;
}

static void *(*make)(int, long) = item_new;
static int (*use)(void *, struct caller *) = item_use;

static void change_library(const char *path)
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!lib)
		return;
	make = (void *(*)(int, long))dlsym(lib, "item_new");
	use = (int (*)(void *, struct caller *))dlsym(lib, "item_use");
}

int main(int argc, char **argv)
{
	int value, id;

	setvbuf(stdin, NULL, _IONBF, 0);

	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	while (scanf("%d %d", &value, &id) == 2) {
		if (!value && argc > 1)
			return execv(argv[1], argv + 1);
		if (value < 0 && argc > 1) {
			change_library(argv[1]);
			continue;
		}

		struct caller caller = {.pad = {1}, .id = id};
		struct item own = {.x = 1, .value = value + 1};
		void *it = make(value, value * 10L);
		int sum = use(it, &caller) + app_use(&own);

		free(it);
		printf(sum == 2 * value + 1 ? "used\n" : "broken\n");
		fflush(stdout);
	}
	return 0;
}
