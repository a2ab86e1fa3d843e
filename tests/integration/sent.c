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
 * - count: "work N", how often work() was called
 * - quit
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
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

static char line[512];
static size_t said;
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
	char command[64];
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
		else if (!strcmp(command, "count\n"))
			printf("work %ld\n", worked);
		else if (sscanf(command, "flood %ld", &n) == 1)
			flood(n);
		else if (sscanf(command, "race %ld", &n) == 1)
			race(n);
		else
			break;
	}
	return 0;
}
