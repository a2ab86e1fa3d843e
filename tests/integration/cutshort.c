// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that calls a function with a value of its own in every register, and looks at all of
 * them afterwards. Into the lock of the map `pairs`, which it finds in its own memory, it writes an
 * owner that never lets go: programs that want it are cut short in the middle of a helper.
 *
 *	prints "ready PID"; then, one command a line:
 *	call N      answers "called N changed M": registers that were not as before, of all calls
 *	lock W      writes W: "locked"; "none" where there is no such map
 *	quit
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOCK_AT 4 /* struct pair of locks.bpf.c */
#define REGISTERS 16

/* Whatever the first instruction, five bytes can be had. */
__asm__(".text\n.p2align 6\n.globl work\n.type work, @function\nwork:\n"
	".byte 0x0f, 0x1f, 0x44, 0, 0\nret\n.size work, . - work\n");

/*
 * with_registers(in, out): the registers but rsp are those of @in for a call of work(), and in @out
 * what they are behind it; in place of rsp the flags.
 */
__asm__(".text\n.type with_registers, @function\nwith_registers:\n"
	"push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\npush %rsi\n"
	"mov 8(%rdi), %rcx\nmov 16(%rdi), %rdx\nmov 24(%rdi), %rbx\n"
	"push 32(%rdi)\npopfq\nmov 40(%rdi), %rbp\nmov 48(%rdi), %rsi\nmov 64(%rdi), %r8\n"
	"mov 72(%rdi), %r9\nmov 80(%rdi), %r10\nmov 88(%rdi), %r11\nmov 96(%rdi), %r12\n"
	"mov 104(%rdi), %r13\nmov 112(%rdi), %r14\nmov 120(%rdi), %r15\nmov (%rdi), %rax\n"
	"mov 56(%rdi), %rdi\n"
	"call work\n"
	"xchg %rdi, (%rsp)\nmov %rax, (%rdi)\nmov %rcx, 8(%rdi)\nmov %rdx, 16(%rdi)\n"
	"mov %rbx, 24(%rdi)\npushfq\npop 32(%rdi)\npush $0x202\npopfq\nmov %rbp, 40(%rdi)\nmov "
	"%rsi, 48(%rdi)\n"
	"mov %r8, 64(%rdi)\nmov %r9, 72(%rdi)\nmov %r10, 80(%rdi)\nmov %r11, 88(%rdi)\n"
	"mov %r12, 96(%rdi)\nmov %r13, 104(%rdi)\nmov %r14, 112(%rdi)\nmov %r15, 120(%rdi)\n"
	"pop 56(%rdi)\n"
	"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n"
	".size with_registers, . - with_registers\n");
void with_registers(const uint64_t *in, uint64_t *out);

static long calls(long n)
{
	static const uint64_t flags[] = {0x246, 0x203, 0x286, 0xa02, 0xad7, 0x646, 0x40246};
	uint64_t in[REGISTERS], out[REGISTERS];
	long changed = 0;

	for (long i = 0; i < n; i++) {
		for (int k = 0; k < REGISTERS; k++)
			in[k] = 0x9e3779b97f4a7c15u * (uint64_t)(i * REGISTERS + k + 1);
		in[4] = flags[i % 7];
		with_registers(in, out);
		for (int k = 0; k < REGISTERS; k++)
			changed += in[k] != out[k];
	}
	return changed;
}

/* Where the process has the values of the first such map, or NULL. */
static char *pairs(void)
{
	static unsigned long found;
	char line[512], path[256];
	unsigned long lo;
	FILE *f = found ? NULL : fopen("/proc/self/maps", "r");

	while (f && !found && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%*x %*s %*s %*s %*s %255s", &lo, path) == 2 &&
		    !strcmp(path, "/memfd:pairs"))
			found = lo;
	if (f)
		fclose(f);
	return (char *)found;
}

int main(void)
{
	char line[128];

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "call ", 5)) {
			long n = atol(line + 5);

			printf("called %ld changed %ld\n", n, calls(n));
		} else if (!strncmp(line, "lock ", 5)) {
			char *at = pairs();

			if (at)
				*(volatile uint32_t *)(at + LOCK_AT) =
					(uint32_t)strtoul(line + 5, NULL, 0);
			puts(at ? "locked" : "none");
		} else {
			return atoi(line + 5);
		}
	}
	return 0;
}
