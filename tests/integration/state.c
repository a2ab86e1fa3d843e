// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that looks at all of its state before and after a probed instruction. Says "ready PID",
 * then obeys:
 *
 * - slot N, step N, nop N: N times from random registers, flags (AC and DF, too), x87, MXCSR,
 * vector and tile registers: "KIND N changed C parts P", C how often anything changed, P the
 * components of the extended state that there were
 * - red KIND N: the 128 bytes below the stack pointer around an instruction (mov, jmp, push, call,
 * ret, pop): "red KIND N sum S"
 * - small N: N calls on a stack of 4 KB with nothing on either side, and an alternate one: "small N
 * sum S"
 * - bare N: the same on a stack that a signal's frame and the calls just fit, and no alternate one
 * - nested N: N signals, whose handler calls on an alternate stack of 8 KB: "nested N sum S under
 * U", U the bytes below it that changed
 * - room: bytes of the alternate stack that a call takes
 * - quit
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096
#define AREA 16384
#define FLAGS 0x244cd5ul /* ID AC OF DF SF ZF AF PF CF; what a user may set and keeps */

struct round {
	unsigned long mask, flags;
	unsigned long in[16], out[16]; /* by number; the stack pointer is not set */
	unsigned long flags_out, sp;
	unsigned char x_in[AREA] __attribute__((aligned(64)));
	unsigned char x_out[AREA] __attribute__((aligned(64)));
};
struct round state_round;

/* The offsets are checked in main(). */
#define STATE(name, insn)                                                                          \
	__asm__(".text\n.p2align 4\n" #name "_in:\n"                                               \
		"push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"               \
		"mov state_round(%rip), %eax\nmov 4+state_round(%rip), %edx\n"                     \
		"xrstor64 320+state_round(%rip)\n"                                                 \
		"mov %rsp, 280+state_round(%rip)\n"                                                \
		"push 8+state_round(%rip)\npopfq\n"                                                \
		"mov 16+state_round(%rip), %rax\nmov 24+state_round(%rip), %rcx\n"                 \
		"mov 32+state_round(%rip), %rdx\nmov 40+state_round(%rip), %rbx\n"                 \
		"mov 56+state_round(%rip), %rbp\nmov 64+state_round(%rip), %rsi\n"                 \
		"mov 72+state_round(%rip), %rdi\nmov 80+state_round(%rip), %r8\n"                  \
		"mov 88+state_round(%rip), %r9\nmov 96+state_round(%rip), %r10\n"                  \
		"mov 104+state_round(%rip), %r11\nmov 112+state_round(%rip), %r12\n"               \
		"mov 120+state_round(%rip), %r13\nmov 128+state_round(%rip), %r14\n"               \
		"mov 136+state_round(%rip), %r15\n"                                                \
		".globl " #name "\n.type " #name ", @function\n" #name ":\n" insn "\n"             \
		"mov %rax, 144+state_round(%rip)\nmov %rcx, 152+state_round(%rip)\n"               \
		"mov %rdx, 160+state_round(%rip)\nmov %rbx, 168+state_round(%rip)\n"               \
		"mov %rsp, 176+state_round(%rip)\nmov %rbp, 184+state_round(%rip)\n"               \
		"mov %rsi, 192+state_round(%rip)\nmov %rdi, 200+state_round(%rip)\n"               \
		"mov %r8, 208+state_round(%rip)\nmov %r9, 216+state_round(%rip)\n"                 \
		"mov %r10, 224+state_round(%rip)\nmov %r11, 232+state_round(%rip)\n"               \
		"mov %r12, 240+state_round(%rip)\nmov %r13, 248+state_round(%rip)\n"               \
		"mov %r14, 256+state_round(%rip)\nmov %r15, 264+state_round(%rip)\n"               \
		"pushfq\npop 272+state_round(%rip)\npush $0x202\npopfq\n"                          \
		"mov state_round(%rip), %eax\nmov 4+state_round(%rip), %edx\n"                     \
		"xsave64 16704+state_round(%rip)\n"                                                \
		"fninit\npop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n"        \
		".size " #name ", . - " #name "\n");                                               \
	void name##_in(void)

STATE(state_slot, "mov %rax, %rax");
STATE(state_step, "jmp 1f\nud2\n1:");
STATE(state_nop, "nopw 0(%rax, %rax)");

/* --- values --- */

static unsigned long seed;

static unsigned long next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

static const struct {
	int number;
	const char *name;
} components[] = {{2, "avx"}, {5, "opmask"}, {6, "zmm_hi256"}, {7, "hi16_zmm"}, {18, "amx"}};

static unsigned long xcr0(void)
{
	unsigned int a, d;

	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return (unsigned long)d << 32 | a;
}

static unsigned int component(int i, unsigned int *offset)
{
	unsigned int size, c, d;

	__cpuid_count(0xd, i, size, *offset, c, d);
	return size;
}

/* 16 rows of 64 bytes, the palette that every CPU with tiles has */
static void tiles(unsigned char *x)
{
	unsigned int at;

	if (!(state_round.mask >> 17 & 1))
		return;
	component(17, &at);
	memset(x + at, 0, 64);
	x[at] = 1;
	for (int t = 0; t < 8; t++) {
		x[at + 16 + 2 * t] = 64;
		x[at + 48 + t] = 16;
	}
}

static void fill(void)
{
	unsigned char *x = state_round.x_in;
	unsigned long bv = state_round.mask;
	unsigned int mxcsr = 0x1f80 | (next() & 0xe07f), at;
	unsigned short control = 0x37f | (next() & 0xc00), status = next() & 0x7f7f;

	memset(x, 0, AREA);
	memset(state_round.x_out, 0, AREA);
	memcpy(x, &control, 2);
	memcpy(x + 2, &status, 2);
	x[4] = next();
	memcpy(x + 24, &mxcsr, 4);
	for (int i = 32; i < 416; i += 8) {
		unsigned long v = next();

		memcpy(x + i, &v, i < 160 && i % 16 ? 2 : 8);
	}
	for (size_t k = 0; k < sizeof(components) / sizeof(components[0]); k++) {
		unsigned int size = component(components[k].number, &at);

		for (unsigned int i = 0; bv >> components[k].number & 1 && i < size; i += 8) {
			unsigned long v = next();

			memcpy(x + at + i, &v, 8);
		}
	}
	tiles(x);
	memcpy(x + 512, &bv, 8);
	state_round.flags = 0x202 | (next() & FLAGS);
	for (int i = 0; i < 16; i++)
		state_round.in[i] = next();
}

static bool xstate_same(void)
{
	const unsigned char *a = state_round.x_in, *b = state_round.x_out;
	unsigned int at, size;

	if (memcmp(a, b, 28) || memcmp(a + 32, b + 32, 416 - 32))
		return false;
	for (size_t k = 0; k < sizeof(components) / sizeof(components[0]); k++) {
		size = component(components[k].number, &at);
		if (state_round.mask >> components[k].number & 1 && memcmp(a + at, b + at, size))
			return false;
	}
	return true;
}

static bool unchanged(void)
{
	for (int i = 0; i < 16; i++)
		if (state_round.out[i] != (i == 4 ? state_round.sp : state_round.in[i]))
			return false;
	return (state_round.flags_out & FLAGS) == (state_round.flags & FLAGS) && errno == 77 &&
	       xstate_same();
}

static void rounds(const char *kind, void (*in)(void), long n)
{
	long changed = 0;

	for (long i = 0; i < n; i++) {
		fill();
		errno = 77;
		in();
		changed += !unchanged();
	}
	printf("%s %ld changed %ld parts x87 sse", kind, n, changed);
	for (size_t k = 0; k < sizeof(components) / sizeof(components[0]); k++)
		if (state_round.mask >> components[k].number & 1)
			printf(" %s", components[k].name);
	printf("\n");
}

/* --- below the stack pointer --- */

/* Fills the 128 bytes, runs the instruction, copies them to %rdi; what pushes or pops is undone. */
#define RED(name, before, insn, behind)                                                            \
	__asm__(".text\n.p2align 4\n" #name "_in:\n" before "\nmov $-128, %rcx\n"                  \
		"1: mov %rcx, %rax\nimul %rsi, %rax\nmov %rax, (%rsp,%rcx)\nadd $8, %rcx\njnz "    \
		"1b\n"                                                                             \
		".globl " #name "\n.type " #name ", @function\n" #name ":\n" insn "\n" behind      \
		"\nmov $-128, %rcx\n2: mov (%rsp,%rcx), %rax\nmov %rax, 128(%rdi,%rcx)\n"          \
		"add $8, %rcx\njnz 2b\nret\n.size " #name ", . - " #name "\n");                    \
	void name##_in(unsigned long *out, unsigned long by)

RED(red_mov, "", "mov %rsi, %rdx", "");
RED(red_jmp, "", "jmp 3f\nud2\n3:", "");
RED(red_push, "", "push %rsi", "pop %rdx");
RED(red_pop, "push $7", "pop %rdx", "");
RED(red_call, "", "call 3f\njmp 4f\n3: ret\n4:", "");
RED(red_ret, "lea 3f(%rip), %rax\npush %rax", "ret", "3:");

static const struct {
	const char *name;
	void (*in)(unsigned long *out, unsigned long by);
} reds[] = {{"mov", red_mov_in}, {"jmp", red_jmp_in},	{"push", red_push_in},
	    {"pop", red_pop_in}, {"call", red_call_in}, {"ret", red_ret_in}};

static void red(const char *kind, long n)
{
	unsigned long sum = 0, out[16];

	for (size_t k = 0; k < sizeof(reds) / sizeof(reds[0]); k++)
		for (long i = 0; i < n && !strcmp(kind, reds[k].name); i++) {
			reds[k].in(out, 0x9e3779b97f4a7c15 * (i + 1));
			for (int j = 0; j < 16; j++)
				sum = (sum ^ out[j]) * 0x100000001b3;
		}
	printf("red %s %ld sum %lx\n", kind, n, sum);
}

/* --- stacks --- */

__attribute__((noinline, noclone)) long work(long n)
{
	__asm__ volatile("" : "+r"(n));
	return n * 3 + 1;
}

static ucontext_t home, away;
static long small_calls, small_sum;

/* Deeper and deeper: each call leaves less room. */
__attribute__((noinline, noclone)) static long deep(long n, int depth)
{
	volatile char room[64] = {1};

	return depth ? deep(n, depth - 1) + room[0] : work(n);
}

static void on_small_stack(void)
{
	for (long i = 0; i < small_calls; i++)
		small_sum += deep(i, (int)(i % 16));
}

static void own_altstack(void *at, size_t size)
{
	stack_t ss = {.ss_sp = at, .ss_size = size, .ss_flags = at ? 0 : SS_DISABLE};

	sigaltstack(&ss, NULL);
}

static void on_stack(const char *what, size_t size, bool alternate_too, long n)
{
	static char alternate[65536];
	char *stack = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(stack + PAGE, size, PROT_READ | PROT_WRITE);
	own_altstack(alternate_too ? alternate : NULL, sizeof(alternate));
	small_calls = n;
	small_sum = 0;
	getcontext(&away);
	away.uc_stack.ss_sp = stack + PAGE;
	away.uc_stack.ss_size = size;
	away.uc_link = &home;
	makecontext(&away, on_small_stack, 0);
	swapcontext(&home, &away);
	own_altstack(NULL, 0);
	munmap(stack, size + 2 * PAGE);
	printf("%s %ld sum %ld\n", what, n, small_sum);
}

/* The kernel's frame, what the calls take, and not much more. */
static size_t bare_size(void)
{
	size_t frame = getauxval(AT_MINSIGSTKSZ);

	return ((frame ? frame : 2048) + PAGE + PAGE - 1) / PAGE * PAGE;
}

static volatile long nested_sum;

static void on_usr1(int sig)
{
	nested_sum += work(sig);
}

#define UNDER 16384
#define SMALL_ALTERNATE 8192

static void nested(long n)
{
	static unsigned char memory[UNDER + SMALL_ALTERNATE];
	long under = 0;

	memset(memory, 0x5a, sizeof(memory));
	own_altstack(memory + UNDER, SMALL_ALTERNATE);
	nested_sum = 0;
	for (long i = 0; i < n; i++)
		raise(SIGUSR1);
	own_altstack(NULL, 0);
	for (int i = 0; i < UNDER; i++)
		under += memory[i] != 0x5a;
	printf("nested %ld sum %ld under %ld\n", n, nested_sum, under);
}

/* How far down does a hit write? */
static void room(void)
{
	static unsigned char memory[65536];
	int low = 0;

	memset(memory, 0x5a, sizeof(memory));
	own_altstack(memory, sizeof(memory));
	work(1);
	own_altstack(NULL, 0);
	while (low < 65536 && memory[low] == 0x5a)
		low++;
	printf("room %d kernel %lu\n", 65536 - low, getauxval(AT_MINSIGSTKSZ));
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK};
	char line[64], what[16], kind[16];

	if (offsetof(struct round, x_in) != 320 || offsetof(struct round, x_out) != 16704 ||
	    offsetof(struct round, sp) != 280)
		return 9;
	state_round.mask = xcr0() & 0x600e7;
	if (state_round.mask >> 18 & 1 && syscall(SYS_arch_prctl, 0x1023 /* permission */, 18))
		state_round.mask &= ~0x60000ul;
	sigaction(SIGUSR1, &sa, NULL);
	seed = (unsigned long)getpid() << 20 | 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		long n = 0;

		if (sscanf(line, "red %15s %ld", kind, &n) == 2) {
			red(kind, n);
			continue;
		}
		if (sscanf(line, "%15s %ld", what, &n) < 1 || !strcmp(what, "quit"))
			break;
		if (!strcmp(what, "slot"))
			rounds(what, state_slot_in, n);
		else if (!strcmp(what, "step"))
			rounds(what, state_step_in, n);
		else if (!strcmp(what, "nop"))
			rounds(what, state_nop_in, n);
		else if (!strcmp(what, "small"))
			on_stack(what, PAGE, true, n);
		else if (!strcmp(what, "bare"))
			on_stack(what, bare_size(), false, n);
		else if (!strcmp(what, "nested"))
			nested(n);
		else if (!strcmp(what, "room"))
			room();
	}
	return 0;
}
