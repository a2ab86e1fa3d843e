// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target with USDT probes of every shape, told what to do as target.c is:
 *
 *	fire N             every probe N times, arguments from a running number; answers "fired N"
 *	counters           answers "counters EXE... LIB", the counters of who looks
 *	guarded N          N times a site that is only reached while its counter says that somebody
 *looks; answers "guarded SEEN" fork N             a child answers for itself: guarded N, counters
 *before its end; answers "child SEEN COUNTER" load PATH N        dlopen, N times its probe, dlclose
 *unless N ends in '+'; answers "lib SUM COUNTER" hold               a child that does nothing until
 *`release`; answers "held PID" release            answers "released COUNTER", the counter as the
 *held child sees it quit
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "usdt.h"

USDT_COUNTER(shapes_guarded_semaphore);
USDT_COUNTER(shapes_nop5_semaphore);

struct memory {
	int8_t s1;
	uint8_t u1;
	int16_t s2;
	uint16_t u2;
	int32_t s4;
	uint32_t u4;
	int64_t s8;
	uint64_t u8;
};

/* every size in a register, signed and not */
__attribute__((noinline)) static void registers(uint64_t n)
{
	register uint64_t r8 __asm__("r8") = -n * 19, r9 __asm__("r9") = n * 23 << 32,
			     r10 __asm__("r10") = -n * 29;
	register uint64_t r11 __asm__("r11") = -n * 31, r12 __asm__("r12") = n * 37,
			      r13 __asm__("r13") = n * 41;

	__asm__ volatile(USDT(NOP, "shapes", "registers", "0",
			      "-1@%%al 1@%%bl -2@%%cx 2@%%dx -4@%%esi 4@%%edi -8@%%r8 8@%%r9 "
			      "4@%%r10d 2@%%r11w -1@%%r12b -4@%%r13d")
			 :
			 : "a"(n * 3), "b"(n * 5), "c"(n * 7), "d"(n * 11), "S"(n * 13),
			   "D"(n * 17), "r"(r8), "r"(r9), "r"(r10), "r"(r11), "r"(r12), "r"(r13));
}

/* in memory: with a displacement, without, and before the register */
__attribute__((noinline)) static void memory(uint64_t n)
{
	struct memory m = {(int8_t)-n,	(uint8_t)-n,  (int16_t)-n, (uint16_t)-n,
			   (int32_t)-n, (uint32_t)-n, (int64_t)-n, n << 32 | n};

	__asm__ volatile(USDT(NOP, "shapes", "memory", "0",
			      "-1@0(%%rdi) 1@1(%%rdi) -2@2(%%rdi) 2@4(%%rdi) -4@8(%%rdi) "
			      "4@12(%%rdi) -8@-16(%%rsi) 8@-8(%%rsi)")
			 :
			 : "D"(&m), "S"(&m + 1)
			 : "memory");
}

__attribute__((noinline)) static void constants(void)
{
	__asm__ volatile(USDT(NOP, "shapes", "constants", "0",
			      "-4@$-5 8@$123456789012 1@$200 -1@$-1 -2@$-300 4@$0"));
}

__attribute__((noinline)) static void nop5(uint64_t n)
{
	__asm__ volatile(USDT(NOP NOP5, "shapes", "nop5", "shapes_nop5_semaphore", "8@%%rdi")
			 :
			 : "D"(n));
}

/* a leaf that keeps what it needs below its stack pointer */
__attribute__((naked, noinline)) static long nop10(long n)
{
	__asm__ volatile("mov %rdi, -8(%rsp)\nmov %rdi, -64(%rsp)\nmov %rdi, -128(%rsp)\n" USDT(
		NOP NOP10, "shapes", "nop10", "0",
		"8@-8(%rsp)") "mov -8(%rsp), %rax\nadd -64(%rsp), %rax\nadd -128(%rsp), "
			      "%rax\nret\n");
}

__attribute__((noinline)) static void bare5(uint64_t n)
{
	__asm__ volatile(USDT(NOP5, "shapes", "bare5", "0", "8@%%rdi") : : "D"(n));
}

__attribute__((noinline)) static void bare10(uint64_t n)
{
	__asm__ volatile(USDT(NOP10, "shapes", "bare10", "0", "8@%%rdi") : : "D"(n));
}

/* one name at several sites, as inlining leaves it, with other arguments at each */
__attribute__((noinline)) static void several(uint64_t n)
{
	__asm__ volatile(USDT(NOP, "shapes", "several", "0", "8@%%rdi") : : "D"(n));
	__asm__ volatile(USDT(NOP, "shapes", "several", "0", "8@%%rsi") : : "S"(n + 1));
	__asm__ volatile(USDT(NOP, "shapes", "several", "0", "-4@$7"));
}

/* what libbpf 1.1.2 can't read: indexed, and a variable by its name */
__attribute__((noinline)) static void odd(const long *v, long n)
{
	static long variable;

	__asm__ volatile(USDT(NOP, "odd", "indexed", "0", "8@8(%%rdi,%%rsi,8)")
			 :
			 : "D"(v), "S"(n)
			 : "memory");
	__asm__ volatile(USDT(NOP, "odd", "relative", "0", "8@%0") : : "m"(variable) : "memory");
}

static long guarded(long n)
{
	long seen = 0;

	for (long i = 0; i < n; i++)
		if (shapes_guarded_semaphore) {
			seen++;
			__asm__ volatile(USDT(NOP, "shapes", "guarded", "shapes_guarded_semaphore",
					      "8@%%rdi")
					 :
					 : "D"(i));
		}
	return seen;
}

static void fire(long n)
{
	long sum = 0;

	for (long i = 1; i <= n; i++) {
		registers(i);
		memory(i);
		constants();
		nop5(i);
		sum += nop10(i) - 3 * i;
		bare5(i);
		bare10(i);
		several(i);
		odd((long[]){i, i, i}, 1);
	}
	printf("fired %ld %ld\n", n, sum);
}

static void do_fork(long n)
{
	long v[2];
	int fds[2];

	if (pipe(fds) < 0)
		exit(99);
	if (!fork()) {
		v[0] = guarded(n);
		v[1] = shapes_guarded_semaphore;
		_exit(write(fds[1], v, sizeof(v)) != sizeof(v));
	}
	if (read(fds[0], v, sizeof(v)) != sizeof(v))
		exit(98);
	wait(NULL);
	close(fds[0]);
	close(fds[1]);
	printf("child %ld %ld\n", v[0], v[1]);
}

static int held[2][2];

static void hold(void)
{
	unsigned short v;
	pid_t pid;
	char c;

	if (pipe(held[0]) < 0 || pipe(held[1]) < 0)
		exit(97);
	pid = fork();
	if (!pid) {
		if (read(held[0][0], &c, 1) != 1)
			_exit(1);
		v = shapes_guarded_semaphore;
		_exit(write(held[1][1], &v, sizeof(v)) != sizeof(v));
	}
	printf("held %d\n", pid);
}

static void release(void)
{
	unsigned short v;

	if (write(held[0][1], "", 1) != 1 || read(held[1][0], &v, sizeof(v)) != sizeof(v))
		exit(96);
	wait(NULL);
	printf("released %d\n", v);
}

static void load(const char *path, const char *count)
{
	long n = atol(count), sum = 0;
	void *lib = dlopen(path, RTLD_NOW);
	long (*fn)(long) = lib ? (long (*)(long))dlsym(lib, "usdt_lib") : NULL;
	volatile unsigned short *counter = lib ? dlsym(lib, "lib_entry_semaphore") : NULL;
	int was;

	if (!fn || !counter) {
		printf("error %s\n", dlerror());
		return;
	}
	for (long i = 0; i < n; i++)
		sum += fn(i);
	was = *counter;
	if (!strchr(count, '+'))
		dlclose(lib);
	printf("lib %ld %d\n", sum, was);
}

int main(void)
{
	char line[512], a[32], b[256], c[32];

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		*a = *b = *c = 0;
		sscanf(line, "%31s %255s %31s", a, b, c);
		if (!strcmp(a, "fire"))
			fire(atol(b));
		else if (!strcmp(a, "counters"))
			printf("counters %d %d\n", shapes_guarded_semaphore, shapes_nop5_semaphore);
		else if (!strcmp(a, "guarded"))
			printf("guarded %ld\n", guarded(atol(b)));
		else if (!strcmp(a, "fork"))
			do_fork(atol(b));
		else if (!strcmp(a, "hold"))
			hold();
		else if (!strcmp(a, "release"))
			release();
		else if (!strcmp(a, "load"))
			load(b, c);
		else if (!strcmp(a, "quit"))
			return 0;
		else
			printf("error command\n");
	}
	return 0;
}
