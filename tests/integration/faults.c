// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target whose probed instructions fault, and whose handlers look at what the kernel says of
 * them, mend it and go on. Says "ready PID", then obeys:
 *
 * - KIND N: the instruction of that name, N times: "KIND N signals S at A code C addr A trap T ERR
 *   sum S", where the addresses are relative to the instruction and to the page without access
 * - quit
 *
 * The handler's way of mending: the register or the page that is at fault, then the instruction
 * runs once more (repair), or the instruction's length is added (skip).
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096

struct call {
	unsigned long ax, dx, di, si, cx;
};

/* Each is called with a struct call's registers; the label is the probed instruction. */
#define INSN(name, ...)                                                                            \
	__asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name          \
		":\n" __VA_ARGS__ "\n.globl " #name "_end\n" #name "_end:\nret\n.size " #name      \
		", . - " #name "\n");                                                              \
	extern char name[], name##_end[]

INSN(load, "mov (%rdi), %rax");
INSN(store, "mov %rsi, 8(%rdi)");
INSN(swap, "lock xadd %rax, (%rdi)");
INSN(copy, "rep movsb");
INSN(closed, "mov closed_page(%rip), %rax");
INSN(wild, "mov (%rdi), %rax");
INSN(aligned, "movaps (%rdi), %xmm5");
INSN(past, "mov (%rdi), %rax");
INSN(divide, "div %rsi");
INSN(overflow, "idiv %rsi");
INSN(pushes, "push (%rdi)\npop %rax");
INSN(follows, "nop\nmov (%rdi), %rax\nnop"); /* behind the probed one, within a jump there */
INSN(calls, "call *(%rdi)");
INSN(jumps, "jmp *(%rdi)");
INSN(away, "call *%rdi");

/* With %rsp or %rbp elsewhere: what is called comes before what is probed. */
#define AWAY(name, before, insn, behind)                                                           \
	__asm__(".text\n.p2align 4\n" #name "_in:\n" before "\n.globl " #name "\n.type " #name     \
		", @function\n" #name ":\n" insn "\n" #name "_end:\n" behind "\nret\n.size " #name \
		", . - " #name "\n");                                                              \
	extern char name[], name##_in[], name##_end[]
#define ON_STACK(name, insn) AWAY(name, "mov %rsp, %r9\nmov %rdi, %rsp", insn, "mov %r9, %rsp")

ON_STACK(push_closed, "push %rax");
ON_STACK(push_readonly, "push $5");
ON_STACK(push_past, "push %rax");
ON_STACK(push_nowhere, "push %rax");
ON_STACK(push_across, "push %rax");
ON_STACK(call_closed, "call nothing_calls_it");
ON_STACK(call_readonly, "call *%rsi");
ON_STACK(call_to_nowhere, "call *%rsi");
ON_STACK(ret_closed, "ret");
ON_STACK(ret_nowhere, "ret");
ON_STACK(ret_to_nowhere, "ret");
AWAY(jump_closed, "", "jmp *(%rdi)", "");
AWAY(jump_nowhere, "", "jmp *(%rdi)", "");
AWAY(jump_to_nowhere, "", "jmp *%rdi", "");
AWAY(jump_frame, "mov %rbp, %r9\nmov %rdi, %rbp", "jmp *8(%rbp)", "mov %r9, %rbp");

/* A thread without a control block: what a word of it would tell is not there. */
#define SET_FS "mov $0x1002, %edi\nmov $158, %eax\nsyscall\n"
AWAY(no_block, "mov %fs:0, %r9\nxor %esi, %esi\n" SET_FS, "mov $7, %eax",
     "mov %r9, %rsi\nmov %eax, %r9d\n" SET_FS "mov %r9d, %eax");

char closed_page[PAGE] __attribute__((aligned(PAGE)));
static unsigned long good[8] __attribute__((aligned(64)));
static char *past_page, *end_page;
static unsigned long readonly_page[PAGE / 8] __attribute__((aligned(PAGE)));
static unsigned long own_stack[PAGE / 8];
static volatile unsigned long signals;
static unsigned long seen[6], seen_hash;
static const struct kind *now;

void nothing_calls_it(void)
{
}

__attribute__((noinline, noclone)) static unsigned long callee(void)
{
	return 11;
}

enum { SKIP = -2, OPEN = -1 };

struct kind {
	const char *name;
	char *insn, *end;
	int mend; /* the register that gets the good address, or what else is done */
	struct call in;
	char *enter; /* not at the instruction, and with a stack for signals */
};
#define AWAY_KIND(name, to)                                                                        \
	{                                                                                          \
#name, name, name##_end, SKIP, {.di = to }, name##_in                              \
	}
#define NOWHERE 0x8000000000000100

static const struct kind kinds[] = {
	{"load", load, load_end, REG_RDI, {0}},
	{"store", store, store_end, REG_RDI, {.si = 7}},
	{"swap", swap, swap_end, REG_RDI, {.ax = 3}},
	{"copy", copy, copy_end, SKIP, {.cx = 200}},
	{"closed", closed, closed_end, OPEN, {0}},
	{"wild", wild, wild_end, REG_RDI, {.di = 0x8000000000000000}},
	{"aligned", aligned, aligned_end, SKIP, {.di = 0x1001}},
	{"past", past, past_end, REG_RDI, {0}},
	{"divide", divide, divide_end, SKIP, {.ax = 9}},
	{"overflow", overflow, overflow_end, SKIP, {.ax = 9, .dx = 1ul << 62, .si = 2}},
	{"pushes", pushes, pushes_end, REG_RDI, {.di = 0x18}},
	{"follows", follows, follows_end, REG_RDI, {.di = 0x38}},
	{"calls", calls, calls_end, REG_RDI, {.di = 0x20}},
	{"jumps", jumps, jumps_end, SKIP, {.di = 0x28}},
	{"away", away, away_end, REG_RIP, {.di = 0x30}},
	AWAY_KIND(push_closed, 1),
	AWAY_KIND(push_readonly, 2),
	AWAY_KIND(push_past, 3),
	AWAY_KIND(push_nowhere, NOWHERE),
	AWAY_KIND(push_across, 4),
	AWAY_KIND(call_closed, 1),
	AWAY_KIND(call_readonly, 2),
	AWAY_KIND(call_to_nowhere, 5),
	AWAY_KIND(ret_closed, 1),
	AWAY_KIND(ret_nowhere, NOWHERE),
	AWAY_KIND(ret_to_nowhere, 5),
	AWAY_KIND(jump_closed, 1),
	AWAY_KIND(jump_nowhere, NOWHERE),
	AWAY_KIND(jump_to_nowhere, NOWHERE),
	AWAY_KIND(jump_frame, NOWHERE),
	AWAY_KIND(no_block, 0),
};

/* Addresses that only a running program has, by number. */
static unsigned long place(unsigned long n)
{
	switch (n) {
	case 1:
		return (unsigned long)closed_page + 64;
	case 2:
		return (unsigned long)readonly_page + 64;
	case 3:
		return (unsigned long)past_page + PAGE + 64;
	case 4: /* half of what is pushed */
		return (unsigned long)end_page + PAGE + 4;
	case 5:
		own_stack[256] = NOWHERE;
		return (unsigned long)&own_stack[256];
	default:
		return n;
	}
}

static unsigned long relative(unsigned long addr)
{
	if (addr - (unsigned long)end_page < PAGE)
		return 0x1000000 + addr - (unsigned long)end_page;
	if (addr - (unsigned long)past_page < 2 * PAGE)
		return 0x2000000 + addr - (unsigned long)past_page;
	if (addr - (unsigned long)readonly_page < PAGE)
		return 0x5000000 + addr - (unsigned long)readonly_page;
	if (addr - (unsigned long)closed_page < PAGE)
		return 0x3000000 + addr - (unsigned long)closed_page;
	return addr - (unsigned long)now->insn < 64 ? 0x4000000 + addr - (unsigned long)now->insn
						    : addr;
}

static void mix(unsigned long v)
{
	seen_hash = (seen_hash ^ v) * 0x100000001b3;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;

	seen[0] = sig;
	seen[1] = relative(r[REG_RIP]);
	seen[2] = info->si_code;
	seen[3] = relative((unsigned long)info->si_addr);
	seen[4] = r[REG_TRAPNO];
	seen[5] = r[REG_ERR];
	for (int i = 0; i < 6; i++)
		mix(seen[i]);
	for (int i = 0; i < REG_RIP; i++)
		mix(r[i]);
	mix(r[REG_EFL]);
	signals++;
	if (now->mend == REG_RIP) { /* as if it had called callee() */
		r[REG_RIP] = (unsigned long)callee;
	} else if (now->mend == OPEN) {
		mprotect(closed_page, PAGE, PROT_READ | PROT_WRITE);
	} else if (now->mend == SKIP) {
		r[REG_RIP] = (unsigned long)now->end;
		r[REG_RAX] = 5;
	} else {
		r[now->mend] = (unsigned long)good;
	}
}

static unsigned long call(const struct kind *k, struct call c)
{
	__asm__ volatile("call *%5"
			 : "+a"(c.ax), "+d"(c.dx), "+D"(c.di), "+S"(c.si), "+c"(c.cx)
			 : "b"(k->enter ? k->enter : k->insn)
			 : "r8", "r9", "r10", "r11", "xmm5", "memory", "cc");
	return c.ax + 3 * c.cx + 5 * c.dx;
}

static void own_altstack(bool on)
{
	static char stack[65536];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack), .ss_flags = on ? 0 : SS_DISABLE};

	sigaltstack(&ss, NULL);
}

static void run(const struct kind *k, long n)
{
	unsigned long sum = 0;

	own_altstack(k->enter != NULL);
	now = k;
	signals = 0;
	seen_hash = 0;
	memset(seen, 0, sizeof(seen));
	for (long i = 0; i < n; i++) {
		struct call c = k->in;

		if (k->enter) {
			c.di = place(c.di);
			c.si = k->insn == call_to_nowhere ? NOWHERE : (unsigned long)callee;
		}
		good[0] = k->insn == load || k->insn == swap ? (unsigned long)i
							     : (unsigned long)callee;
		mprotect(closed_page, PAGE, PROT_NONE);
		if (k->insn == past)
			c.di = (unsigned long)past_page + PAGE;
		if (k->insn == copy) {
			c.si = (unsigned long)end_page;
			c.di = (unsigned long)end_page + PAGE - 100; /* half of it can be */
		}
		sum = sum * 3 + call(k, c) + good[1];
	}
	printf("%s %ld signals %lu sig %lu at %lx code %lx addr %lx trap %lu %lu regs %lx sum "
	       "%lx\n",
	       k->name, n, signals, seen[0], seen[1], seen[2], seen[3], seen[4], seen[5], seen_hash,
	       sum);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	FILE *f = tmpfile();
	char line[64], name[24];

	if (!f || ftruncate(fileno(f), PAGE))
		return 1;
	past_page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
	end_page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(end_page + PAGE, PAGE, PROT_NONE);
	mprotect(readonly_page, PAGE, PROT_READ);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		long n = 0;

		if (sscanf(line, "%23s %ld", name, &n) < 1 || !strcmp(name, "quit"))
			break;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if (!strcmp(name, kinds[i].name))
				run(&kinds[i], n);
	}
	return 0;
}
