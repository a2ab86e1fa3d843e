// SPDX-License-Identifier: BSD-2-Clause
/*
 * A runtime that looks return addresses up in a table of its own, as Java machines and V8 do while
 *they collect garbage: here the table says where caller() is. By its symbols it is a Java machine.
 *
 *	call N     N calls of work(); answers "sum S astray K": K of their return addresses were not
 *in the table quit
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CODE __attribute__((noinline, noclone))

static int astray;

extern const char __start_table[], __stop_table[];

CODE int JNI_CreateJavaVM(void)
{
	return -1;
}

/* what walks the stack: two frames up is who called work() */
CODE static void look(void)
{
	void **fp = __builtin_frame_address(0);
	const char *ret = ((void ***)fp)[0][1];

	if (ret < __start_table || ret >= __stop_table)
		astray++;
}

CODE long work(long n)
{
	look();
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

CODE __attribute__((section("table"))) long caller(long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++)
		sum += work(i);
	return sum;
}

int main(void)
{
	char line[64];
	long n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4)) {
		if (sscanf(line, "call %ld", &n) == 1)
			n = caller(n);
		printf("sum %ld astray %d\n", n, astray);
		astray = 0;
	}
	return astray || JNI_CreateJavaVM() != -1;
}
