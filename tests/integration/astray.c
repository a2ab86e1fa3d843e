// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target with functions that begin with instructions shorter than a jump. "call NAME N" calls
 * one of them N times: "counted C traps T" (C: what it counts, T: break instructions met that are
 * nobody's). "handle" sets a handler for these. A break in place of a nop, or of the first byte of
 * a pause, does no harm then: the handler goes on behind it.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

unsigned long counted;
static volatile unsigned long traps;

#define FUNCTION(name, insns)                                                                      \
	__asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name          \
		":\n" insns "\nincq counted(%rip)\nret\n.size " #name ", . - " #name "\n");        \
	extern void name(void)

/* The last byte of a jump here is that of a pause, 0xf3: it leads some 200 MB below. */
FUNCTION(four, ".byte 0x0f,0x1f,0x40,0\npause");
FUNCTION(three, ".byte 0x0f,0x1f,0\nnop\npause");
FUNCTION(two, ".byte 0x66,0x90\nnop\nnop\npause");
FUNCTION(one, "nop\nnop\nnop\nnop\npause");

static const struct {
	const char *name;
	void (*fn)(void);
} functions[] = {{"four", four}, {"three", three}, {"two", two}, {"one", one}};

static void on_trap(int sig)
{
	traps++;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_trap};
	char line[64], name[16];
	long n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "handle", 6)) {
			sigaction(SIGTRAP, &sa, NULL);
			printf("handled\n");
			continue;
		}
		if (sscanf(line, "call %15s %ld", name, &n) != 2)
			break;
		counted = traps = 0;
		for (int i = 0; i < 4; i++)
			for (long k = 0; k < n && !strcmp(name, functions[i].name); k++)
				functions[i].fn();
		printf("counted %lu traps %lu\n", counted, traps);
	}
	return 0;
}
