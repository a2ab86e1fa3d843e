// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target to which the signals of faults and traps are sent, several at a time. Says "ready PID",
 * then obeys:
 *
 * - unblock: it blocks them all, another thread sends one of each, and it opens its mask: what its
 *   handlers saw, in their order: signal, value, how deep it was nested, whether it interrupted a
 *   handler that had not begun (h) or something else (c)
 * - suspend: the same with those that the agent never leaves blocked, and a wait without a mask
 * - flood N: another thread sends as fast as it can what a handler blocks, until handlers ran N
 *   times, all the while work() is called on a small stack: "flood N deepest D stack S", S whether
 *   it was enough for what is nested
 * - race N: another thread sends SIGTRAP, over and over, until handlers ran N times, all the while
 *   work() and pushed(), whose first instruction is one byte, are called: "race N pushed P wrong
 * W", P calls, W that returned something else or were interrupted within work()'s first instruction
 * - hold: a thread that blocks SIGTRAP is sent it, by its number; held, and let, where it opens its
 *   mask first: "held P main M own O", whether it is pending there, and how many handlers have run
 * in the first thread and in that one
 * - within HOW: a handler sends itself each of them: how they are nested, SIGNAL/MASK(...). HOW:
 *   plain, nodefer, full (all are masked), on (an alternate stack), opens (the handler opens its
 *   mask), jumps, leaps (out of it, with the mask of before or the handler's): "within HOW ...
 *   pending P mask M", what is so at the end; the same for each of them, and for SIGUSR1
 * - stay: a handler, sent its signal by itself, says "stays" and reads a line before it returns:
 *   "stayed N mask M", how often it was called, and the mask then
 * - rush N HOW: as flood, with all of them: "rush N over O deepest D", O how many began on top of
 *   one of their own kind that had not begun
 * - small N: as only, with SIGTRAP, on an alternate stack that holds one of its frames, not two:
 *   "small N over O deepest D"
 * - only SIG N HOW: the same with SIG alone; HOW ignored: until it was sent N times: "only SIG N
 *   over O deepest D"
 * - count: "work N", how often work() was called
 * - quit
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK (128 << 10) /* two dozen frames with the largest state */

/* the first three are those that are open underneath */
static const int sent[] = {SIGSEGV, SIGBUS, SIGTRAP, SIGFPE, SIGILL};
#define OPEN 3
#define SENT (sizeof(sent) / sizeof(sent[0]))

static char line[1024];
static volatile size_t said;
static long worked;
static volatile int depth, deepest;
static atomic_long handled;
static atomic_int to; /* the thread that gets the flood */
static long wanted, wrong;
static atomic_long calls;

__attribute__((noinline, noclone, visibility("default"))) long work(long n)
{
	__asm__ volatile("" ::: "memory");
	worked++;
	return n * 2 + 1;
}

static void on_sent(int sig, siginfo_t *info, void *context)
{
	greg_t ip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	depth++;
	if (said < sizeof(line) - 32)
		said += (size_t)sprintf(line + said, " %d:%d:%d%c", sig, info->si_value.sival_int,
					depth, ip == (greg_t)on_sent ? 'h' : 'c');
	work(sig);
	depth--;
}

static void on_flood(int sig)
{
	if (++depth > deepest)
		deepest = depth;
	atomic_fetch_add(&handled, 1);
	depth--;
}

static void handle(void (*with_info)(int, siginfo_t *, void *), void (*plain)(int))
{
	struct sigaction sa = {.sa_flags = with_info ? SA_SIGINFO : 0};

	if (with_info)
		sa.sa_sigaction = with_info;
	else
		sa.sa_handler = plain;
	for (size_t i = 0; i < SENT; i++)
		sigaction(sent[i], &sa, NULL);
}

struct sending {
	pid_t to;
	size_t n;
};

static void *send_each(void *arg)
{
	const struct sending *s = arg;

	for (size_t i = 0; i < s->n; i++) {
		siginfo_t info = {.si_signo = sent[i], .si_code = SI_QUEUE};

		info.si_pid = getpid();
		info.si_value.sival_int = (int)i + 1;
		if (syscall(SYS_rt_tgsigqueueinfo, getpid(), s->to, sent[i], &info))
			said += (size_t)sprintf(line + said, " errno %d", errno);
	}
	return NULL;
}

static void each(int suspends)
{
	struct sending s = {(pid_t)syscall(SYS_gettid), suspends ? OPEN : SENT};
	sigset_t all, none;
	pthread_t sender;

	said = 0;
	line[0] = 0;
	handle(on_sent, NULL);
	sigemptyset(&none);
	sigemptyset(&all);
	for (size_t i = 0; i < s.n; i++)
		sigaddset(&all, sent[i]);
	sigprocmask(SIG_BLOCK, &all, NULL);
	pthread_create(&sender, NULL, send_each, &s);
	pthread_join(sender, NULL);
	if (suspends)
		sigsuspend(&none);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	printf("%s%s\n", suspends ? "suspend" : "unblock", line);
}

static void *works(void *arg)
{
	atomic_store(&to, (int)syscall(SYS_gettid));
	while (atomic_load(&handled) < wanted)
		work(1);
	atomic_store(&to, -1);
	return arg;
}

/* If its first instruction was left out it would return to what rbx was. */
__asm__(".text\n.p2align 4\n.globl pushed\n.type pushed, @function\npushed:\npush %rbx\n"
	"lea 1(%rdi,%rdi), %rbx\nmov %rbx, %rax\npop %rbx\nret\n.size pushed, . - pushed\n");
long pushed(long n);

static void on_race(int sig, siginfo_t *info, void *context)
{
	greg_t ip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	wrong += ip == (greg_t)work + 1;
	atomic_fetch_add(&handled, 1);
}

static void *is_raced(void *arg)
{
	atomic_store(&to, (int)syscall(SYS_gettid));
	while (atomic_load(&handled) < wanted) {
		long n = atomic_fetch_add(&calls, 1);

		wrong += work(n) != pushed(n);
	}
	atomic_store(&to, -1);
	return arg;
}

static void *races(void *arg)
{
	int tid;

	while ((tid = atomic_load(&to)) >= 0) {
		long before = atomic_load(&handled), at = atomic_load(&calls);

		if (tid)
			syscall(SYS_tgkill, getpid(), tid, SIGTRAP);
		while (tid && atomic_load(&handled) == before && atomic_load(&calls) - at < 100 &&
		       atomic_load(&to) >= 0)
			;
	}
	return arg;
}

static void *floods(void *arg)
{
	int tid;

	while ((tid = atomic_load(&to)) >= 0)
		if (tid) {
			syscall(SYS_tgkill, getpid(), tid, SIGFPE);
			syscall(SYS_tgkill, getpid(), tid, SIGILL);
		}
	return arg;
}

static void meet(void *(*with)(void *), void *(*sends)(void *), long n)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t worker, sender;
	pthread_attr_t attr;

	wanted = n;
	wrong = 0;
	atomic_store(&handled, 0);
	atomic_store(&calls, 0);
	atomic_store(&to, 0);
	deepest = 0;
	mprotect(stack, 4096, PROT_NONE);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, STACK);
	pthread_create(&worker, &attr, with, NULL);
	pthread_create(&sender, NULL, sends, NULL);
	pthread_join(worker, NULL);
	pthread_join(sender, NULL);
	munmap(stack, STACK);
}

/* --- a signal that waits for its thread ---------------------------------------------------------
 */

static int ask[2], answer[2];
static atomic_long in_main, in_holder;

static void on_held(int sig)
{
	atomic_fetch_add(syscall(SYS_gettid) == getpid() ? &in_main : &in_holder, 1);
}

static void *holds(void *arg)
{
	sigset_t set, pending;
	char c = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	atomic_store(&to, (int)syscall(SYS_gettid));
	while (c != 'l' && read(ask[0], &c, 1) == 1) {
		if (c == 'l')
			sigprocmask(SIG_UNBLOCK, &set, NULL);
		sigpending(&pending);
		if (write(answer[1], sigismember(&pending, SIGTRAP) ? "1" : "0", 1) != 1)
			break;
	}
	return arg;
}

static void held(char how)
{
	char c = '?';

	if (write(ask[1], &how, 1) != 1 || read(answer[0], &c, 1) != 1)
		c = '!';
	printf("held %c main %ld own %ld\n", c, atomic_load(&in_main), atomic_load(&in_holder));
}

static void hold(void)
{
	struct sigaction sa = {.sa_handler = on_held, .sa_flags = SA_RESTART};
	pthread_t holder;

	if (pipe(ask) || pipe(answer))
		return;
	sigaction(SIGTRAP, &sa, NULL);
	atomic_store(&to, 0);
	atomic_store(&in_main, 0);
	atomic_store(&in_holder, 0);
	pthread_create(&holder, NULL, holds, NULL);
	pthread_detach(holder);
	while (!atomic_load(&to))
		;
	syscall(SYS_tgkill, getpid(), atomic_load(&to), SIGTRAP);
	held('h');
}

/* --- handlers on top of handlers ----------------------------------------------------------------
 */

static const char *how;
static sigjmp_buf out;
static volatile int begun;

static void send_own(int sig)
{
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
}

static unsigned which_of(const sigset_t *set)
{
	unsigned which = 0;

	for (size_t i = 0; i < SENT; i++)
		which |= (unsigned)(sigismember(set, sent[i]) > 0) << i;
	return which;
}

static void on_within(int sig, siginfo_t *info, void *context)
{
	sigset_t mask;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	said += (size_t)sprintf(line + said, " %d/%x(", sig, which_of(&mask));
	work(sig);
	if (begun++ == 0) {
		for (size_t i = 0; i < SENT; i++)
			send_own(sent[i]);
		if (!strcmp(how, "opens")) {
			sigemptyset(&mask);
			sigaddset(&mask, sig);
			sigprocmask(SIG_UNBLOCK, &mask, NULL);
		}
		if (!strcmp(how, "jumps"))
			siglongjmp(out, 1);
		if (!strcmp(how, "leaps"))
			longjmp(out, 1);
	}
	said += (size_t)sprintf(line + said, ")");
}

static void handle_as(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

	if (!strcmp(how, "nodefer"))
		sa.sa_flags |= SA_NODEFER;
	if (!strcmp(how, "on"))
		sa.sa_flags |= SA_ONSTACK;
	if (!strcmp(how, "full"))
		sigfillset(&sa.sa_mask);
	for (size_t i = 0; i < SENT; i++)
		sigaction(sent[i], &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
}

static void one_within(int sig)
{
	sigset_t pending, mask, none;

	said = 0;
	line[0] = 0;
	begun = 0;
	if (!sigsetjmp(out, strcmp(how, "leaps")))
		send_own(sig);
	sigpending(&pending);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	printf("%s%s pending %x mask %x", sig == sent[0] ? "" : ",", line, which_of(&pending),
	       which_of(&mask));
}

static void within(const char *as)
{
	stack_t alternate = {.ss_size = STACK}, before;

	how = as;
	alternate.ss_sp = malloc(STACK);
	sigaltstack(&alternate, &before);
	handle_as(on_within);
	printf("within %s:", how);
	for (size_t i = 0; i < SENT; i++)
		one_within(sent[i]);
	one_within(SIGUSR1);
	printf("\n");
	sigaltstack(&before, NULL);
	free(alternate.ss_sp);
}

static void on_stay(int sig, siginfo_t *info, void *context)
{
	char go[16];

	work(sig);
	if (begun++ > 0)
		return;
	send_own(sig);
	printf("stays\n");
	if (!fgets(go, sizeof(go), stdin))
		begun = -1;
}

static void stay(void)
{
	sigset_t mask;

	how = "plain";
	begun = 0;
	handle_as(on_stay);
	send_own(SIGTRAP);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	printf("stayed %d mask %x\n", begun, which_of(&mask));
}

static volatile long over;

static void on_rush(int sig, siginfo_t *info, void *context)
{
	const greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	over += regs[REG_RIP] == (greg_t)on_rush && regs[REG_RDI] == sig;
	on_flood(sig);
}

/*
 * Again and again, faster than they can be handled: but for a moment now and then, as a thread that
 * finds the next one pending whenever it returns from one gets on by chance only, in seconds or in
 * minutes.
 */
static void *rushes(void *arg)
{
	int tid;

	for (long n = 1; (tid = atomic_load(&to)) >= 0; n++) {
		for (size_t i = 0; tid && i < SENT; i++)
			syscall(SYS_tgkill, getpid(), tid, sent[i]);
		if (n % 64 == 0)
			usleep(200);
	}
	return arg;
}

static void rush(long n, const char *as)
{
	how = as;
	over = 0;
	handle_as(on_rush);
	meet(works, rushes, n);
	printf("rush %ld over %ld deepest %d\n", n, over, deepest);
}

static int alone;

static void *repeats(void *arg)
{
	int tid, ignored = !strcmp(how, "ignored");

	for (long n = 1; (tid = atomic_load(&to)) >= 0; n++) {
		if (tid && !syscall(SYS_tgkill, getpid(), tid, alone) && ignored)
			atomic_fetch_add(&handled, 1);
		if (n % 64 == 0)
			usleep(200);
	}
	return arg;
}

static void only(int sig, long n, const char *as)
{
	how = as;
	alone = sig;
	over = 0;
	handle_as(on_rush);
	if (!strcmp(how, "ignored"))
		signal(sig, SIG_IGN);
	meet(works, repeats, n);
	printf("only %d %ld over %ld deepest %d\n", sig, n, over, deepest);
}

/* --- an alternate stack on which there is room for one frame ------------------------------------
 */

#define BESIDE 2560 /* what a handler has besides its frame */

static volatile size_t frame;
static char *alternate;

static void on_frame(int sig)
{
	frame = (size_t)(alternate + STACK - (char *)__builtin_frame_address(0));
}

/* So big are they in this thread. */
static void measure_frame(void)
{
	struct sigaction sa = {.sa_handler = on_frame, .sa_flags = SA_ONSTACK}, old;
	stack_t stack = {.ss_sp = alternate, .ss_size = STACK};

	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &sa, &old);
	send_own(SIGUSR1);
	sigaction(SIGUSR1, &old, NULL);
}

static void *works_small(void *arg)
{
	stack_t stack = {0};

	measure_frame();
	stack.ss_size = frame + BESIDE;
	stack.ss_sp = alternate + STACK - stack.ss_size;
	if (sigaltstack(&stack, NULL) == 0)
		works(arg);
	atomic_store(&to, -1);
	return arg;
}

static void small(long n)
{
	alternate = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	how = "on";
	alone = SIGTRAP;
	over = 0;
	handle_as(on_rush);
	meet(works_small, repeats, n);
	munmap(alternate, STACK);
	printf("small %ld over %ld deepest %d\n", n, over, deepest);
}

static void flood(long n)
{
	handle(NULL, on_flood);
	meet(works, floods, n);
	printf("flood %ld deepest %d\n", n, deepest);
}

static void race(long n)
{
	handle(on_race, NULL);
	meet(is_raced, races, n);
	printf("race %ld pushed %ld wrong %ld\n", n, atomic_load(&calls), wrong);
}

int main(void)
{
	char command[64], as[16];
	int sig;
	long n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(command, sizeof(command), stdin)) {
		if (!strcmp(command, "unblock\n"))
			each(0);
		else if (!strcmp(command, "suspend\n"))
			each(1);
		else if (!strcmp(command, "hold\n"))
			hold();
		else if (!strcmp(command, "held\n") || !strcmp(command, "let\n"))
			held(*command);
		else if (!strcmp(command, "stay\n"))
			stay();
		else if (!strcmp(command, "count\n"))
			printf("work %ld\n", worked);
		else if (sscanf(command, "flood %ld", &n) == 1)
			flood(n);
		else if (sscanf(command, "small %ld", &n) == 1)
			small(n);
		else if (sscanf(command, "race %ld", &n) == 1)
			race(n);
		else if (sscanf(command, "within %15s", as) == 1)
			within(as);
		else if (sscanf(command, "rush %ld %15s", &n, as) == 2)
			rush(n, as);
		else if (sscanf(command, "only %d %ld %15s", &sig, &n, as) == 3)
			only(sig, n, as);
		else
			break;
	}
	return 0;
}
