// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a debugger is used on: "call N" calls middle(N), which calls work() twice: "sum S". Lines to
 * stop at have a nop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) long work(long n)
{
	n = n * 2;
	__asm__ volatile("nop # inside" : "+r"(n));
	return n + 1;
}

__attribute__((noinline)) long middle(long n)
{
	long a = work(n);
	long b = work(n + 1);

	__asm__ volatile("nop # behind" : "+r"(a), "+r"(b));
	return a + b;
}

/* A call that is under way while nothing happens. */
__attribute__((noinline)) char *next_line(char *line, int size)
{
	char *got = fgets(line, size, stdin);

	__asm__ volatile("" : "+r"(got));
	return got;
}

int main(void)
{
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (next_line(line, sizeof(line)) && strncmp(line, "quit", 4))
		printf("sum %ld\n", middle(atol(line + 5)));
	return 0;
}
