// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that a timer, 20,000 times a second, throws out of probed code wherever it happens to
 * be. Says "ready PID", then obeys:
 *
 * - slot N, step N: until N such jumps, the first for an instruction that runs in a slot, the
 *   second for an emulated one: "KIND N hits H lost L slots S", H how often the probed instruction
 *   was begun, L the entries that no jump explains, S the jumps from outside the program's text
 * - quit
 *
 * The instruction is between two counters. What the handler interrupts says which of them counted,
 * and whether there has been a trap: not when it is right at the probed instruction, since a
 * trap comes before any other signal.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define PERIOD_US 50

unsigned long begun, ended;

#define BETWEEN_COUNTERS(name, insn)                                                               \
	__asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name          \
		"_loop:\nincq begun(%rip)\n" #name ":\n" insn "\n" #name                           \
		"_end:\nincq ended(%rip)\njmp " #name "_loop\n.size " #name ", . - " #name "\n");  \
	extern char name[], name##_loop[], name##_end[]

BETWEEN_COUNTERS(in_slot, "mov %rdi, %rax");
BETWEEN_COUNTERS(stepped, "jmp stepped_end");

extern char __executable_start[], etext[];

static const struct kind {
	const char *name;
	void (*loop)(void);
	char *insn, *end;
} kinds[] = {
	{"slot", (void (*)(void))in_slot_loop, in_slot, in_slot_end},
	{"step", (void (*)(void))stepped_loop, stepped, stepped_end},
};

static const struct kind *now;
static sigjmp_buf out;
static volatile sig_atomic_t armed;
static volatile long jumps, not_begun, at_end, outside;

static void on_alarm(int sig, siginfo_t *info, void *context)
{
	char *ip = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	if (!armed)
		return;
	armed = 0;
	jumps++;
	not_begun += ip == now->insn;
	at_end += ip == now->end;
	outside += ip < __executable_start || ip >= etext;
	siglongjmp(out, 1);
}

static void run(const struct kind *k, long n)
{
	struct itimerval every = {{0, PERIOD_US}, {0, PERIOD_US}}, never = {{0}};

	now = k;
	begun = ended = 0;
	jumps = not_begun = at_end = outside = 0;
	setitimer(ITIMER_REAL, &every, NULL);
	sigsetjmp(out, 1);
	if (jumps < n) {
		armed = 1;
		k->loop();
	}
	setitimer(ITIMER_REAL, &never, NULL);
	printf("%s %ld hits %lu lost %ld slots %ld\n", k->name, jumps, begun - not_begun,
	       (long)(begun - ended) - not_begun - at_end - outside, outside);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART};
	char line[64], name[16];
	long n;

	sigaction(SIGALRM, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "%15s %ld", name, &n) == 2)
		for (int i = 0; i < 2; i++)
			if (!strcmp(name, kinds[i].name))
				run(&kinds[i], n);
	return 0;
}
