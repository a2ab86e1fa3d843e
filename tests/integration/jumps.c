// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that timers, 20,000 times a second, throw out of probed code wherever it happens to
 * be. Says "ready PID", then obeys:
 *
 * - slot N, step N: until N such jumps, the first for an instruction that runs in a slot, the
 *   second for an emulated one: "KIND N hits H lost L slots S", H how often the probed instruction
 *   was begun, L the entries that no jump explains, S the jumps from outside the program's text
 * - slot N sent, step N sent: the same with timers whose signals are those of faults and traps, one
 *   after the other; "together" in place of "sent": all at the same time
 * - back N, calm N: until N such jumps, or with the second N signals, the last of which jumps, in a
 *   loop that calls a function: "KIND N returned R perhaps P wrong W", R how often it did, P how
 *   often in addition, for all that is known here, W what it returned that it should not have
 * - quit
 *
 * The instruction is between two counters. What the handler interrupts says which of them counted,
 * and whether there has been a trap: not when it is right at the probed instruction, since a
 * trap comes before any other signal.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PERIOD_US 50

unsigned long begun, ended;
static unsigned long before; /* .begun at the start of the loop */

#define BETWEEN_COUNTERS(name, insn)                                                               \
	__asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name          \
		"_loop:\nincq begun(%rip)\n" #name ":\n" insn "\n" #name                           \
		"_end:\nincq ended(%rip)\njmp " #name "_loop\n.size " #name ", . - " #name "\n");  \
	extern char name[], name##_loop[], name##_end[]

BETWEEN_COUNTERS(in_slot, "mov %rdi, %rax");
BETWEEN_COUNTERS(stepped, "jmp stepped_end");

/* The function is more than what is replaced by a jump. What it returns and does to flags and
 * registers is seen by its caller. */
__asm__(".text\n.p2align 4\n.globl returning\n.type returning, @function\nreturning:\n"
	"movabs $0x123456789abcdef0, %rax\nret\n.size returning, . - returning\n"
	".type returning_loop, @function\nreturning_loop:\nmovabs $0x123456789abcdef0, %r8\n"
	"0:\ncall returning\nreturning_end:\nincq ended(%rip)\ncmp %rax, %r8\nje 0b\n"
	"incq begun(%rip)\njmp 0b\n"
	".size returning_loop, . - returning_loop\n");
extern char returning[], returning_loop[], returning_end[];

extern char __executable_start[], etext[];

static const struct kind {
	const char *name;
	void (*loop)(void);
	char *insn, *end;
	int calm;
} kinds[] = {
	{"slot", (void (*)(void))in_slot_loop, in_slot, in_slot_end, 0},
	{"step", (void (*)(void))stepped_loop, stepped, stepped_end, 0},
	{"back", (void (*)(void))returning_loop, returning, returning_end, 0},
	{"calm", (void (*)(void))returning_loop, returning, returning_end, 1},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct kind *now;
static sigjmp_buf out;
static volatile sig_atomic_t armed;
static volatile long wanted, jumps, not_begun, at_end, outside;

static void on_alarm(int sig, siginfo_t *info, void *context)
{
	char *ip = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	if (!armed || (now->calm && ++jumps < wanted))
		return;
	armed = 0;
	jumps += !now->calm;
	not_begun += ip == now->insn;
	at_end += ip == now->end;
	/* not on the way to the first instruction */
	outside += (ip < __executable_start || ip >= etext) &&
		   (begun != before || now->insn == returning);
	siglongjmp(out, 1);
}

static const int sent[] = {SIGSEGV, SIGBUS, SIGTRAP, SIGFPE, SIGILL};
#define SENT (int)(sizeof(sent) / sizeof(sent[0]))

/* Timers all the time, or several in turn, each when the one before has done its work. */
static void run(const struct kind *k, long n, int ntimers, bool in_turn)
{
	struct itimerspec every = {{0, 1000 * PERIOD_US}, {0, 1000 * PERIOD_US}};
	struct itimerspec once = {{0}, every.it_value};
	static timer_t timers[SENT];

	now = k;
	wanted = n;
	begun = ended = 0;
	jumps = not_begun = at_end = outside = 0;
	for (int i = 0; i < ntimers; i++) {
		struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL,
				      .sigev_signo = ntimers == 1 ? SIGALRM : sent[i]};

		timer_create(CLOCK_MONOTONIC, &ev, &timers[i]);
	}
	for (int i = 0; i < ntimers && !in_turn; i++)
		timer_settime(timers[i], 0, &every, NULL);
	sigsetjmp(out, 1);
	if (jumps < n) {
		before = begun;
		armed = 1;
		if (in_turn)
			timer_settime(timers[jumps % ntimers], 0, &once, NULL);
		k->loop();
	}
	for (int i = 0; i < ntimers; i++)
		timer_delete(timers[i]);
	if (k->insn == returning)
		printf("%s %ld returned %lu perhaps %ld wrong %lu\n", k->name, jumps,
		       ended + (unsigned long)at_end, outside, begun);
	else
		printf("%s %ld hits %lu lost %ld slots %ld\n", k->name, jumps, begun - not_begun,
		       (long)(begun - ended) - not_begun - at_end - outside, outside);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART};
	char line[64], name[16], what[16];
	long n;
	int words;

	sigaction(SIGALRM, &sa, NULL);
	for (int i = 0; i < SENT; i++)
		sigaction(sent[i], &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) &&
	       (what[0] = 0, words = sscanf(line, "%15s %ld %15s", name, &n, what)) >= 2)
		for (size_t i = 0; i < KINDS; i++)
			if (!strcmp(name, kinds[i].name))
				run(&kinds[i], n, words == 3 ? SENT : 1, !strcmp(what, "sent"));
	return 0;
}
