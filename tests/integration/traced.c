/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `ebpfrt trace` is tried on: functions whose arguments and results are of all kinds, called
 * once a line. traced [go]: says "ready PID", then obeys: go (call them), hold (a call that doesn't
 * return before the next line), many N, quit STATUS. With an argument it goes at once, and is done.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROBED __attribute__((noinline, noclone, noipa))

enum color { RED, GREEN = 7 };
struct point {
	int x, y;
};
struct item {
	const char *name;
	struct item *next;
	enum color color;
	unsigned low : 3, high : 5;
	char tag[8];
	struct point at[2];
};

static volatile int sink;

PROBED int scalars(int n, char c, bool yes, enum color color, unsigned char byte, long long big)
{
	sink = n + c + yes + color + byte;
	return (int)(n - big);
}

PROBED const char *strings(const char *text, const char *none, const char *wild)
{
	sink = (int)strlen(text) + !none + !wild;
	return text + 1;
}

PROBED struct item *items(struct item *first, char **words)
{
	sink = first->color + !words;
	return first->next;
}

PROBED struct point small(struct point p, int by)
{
	return (struct point){p.x + by, p.y - by};
}

PROBED struct item large(struct item item, struct point p)
{
	item.color = p.x ? GREEN : RED;
	item.next = NULL;
	return item;
}

PROBED int stacked(int a, int b, int c, int d, int e, int f, short g, const char *h)
{
	return a + b + c + d + e + f + g + !h;
}

PROBED double reals(double d, float f, int n)
{
	return d * (double)f + n;
}

PROBED int callbacks(int (*fn)(int), void *data)
{
	return fn(!data);
}

PROBED int plus_one(int n)
{
	return n + 1;
}

PROBED void nothing(void)
{
	sink++;
}

static jmp_buf out;
PROBED void leaves(int how)
{
	longjmp(out, how);
}

PROBED void *ends(void *how)
{
	if (how)
		pthread_exit(how);
	return NULL;
}

PROBED int holds(const char *why)
{
	char line[64];

	return fgets(line, sizeof(line), stdin) ? (int)strlen(why) : -1;
}

static void go(void)
{
	static char *words[] = {(char *)"one", (char *)"two", NULL};
	pthread_t thread;
	struct item tail = {"tail", NULL, GREEN, 1, 30, "end", {{5, 6}, {7, 8}}};
	struct item head = {"say \"hi\"\n\377", &tail, RED, 5, 17, "eightchr", {{1, -2}, {3, 4}}};

	sink = scalars(-5, 'x', true, GREEN, 200, 1ll << 40);
	sink = *strings("a text of more than forty characters, so that it is cut", NULL,
			(const char *)16);
	sink = items(&head, words)->color;
	sink = small((struct point){10, 20}, 3).x;
	sink = large(tail, (struct point){0, 9}).color;
	sink = stacked(1, 2, 3, 4, 5, 6, -7, "eighth");
	sink = (int)reals(1.5, -0.25f, 2);
	sink = callbacks(plus_one, NULL);
	nothing();
	if (!setjmp(out))
		leaves(2);
	if (!pthread_create(&thread, NULL, ends, words))
		pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	char line[64];

	if (argc > 1) {
		go();
		return atoi(argv[1]);
	}
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "go", 2))
			go();
		else if (!strncmp(line, "hold", 4))
			sink = holds("a while");
		else if (!strncmp(line, "many", 4))
			for (int i = atoi(line + 5); i; i--)
				sink = plus_one(i);
		else if (!strncmp(line, "quit", 4))
			return atoi(line + 5);
		printf("done\n");
		fflush(stdout);
	}
	return 1;
}
