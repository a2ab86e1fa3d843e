// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target whose signal handlers are under way while somebody comes or goes. The main thread and
 * another one block SIGTRAP, SIGSEGV and SIGBUS. Says "ready PID", then obeys, also in the
 * handlers:
 *
 * - enter, enter-alternate: a signal to itself, whose handler reads the commands that follow, on an
 * alternate stack: "in"
 * - leave: the innermost handler returns: "out"
 * - enter-thread, leave-thread: the same in the other thread: "in"; "out MASK SUM", what it blocks
 * then, and the sum of two calls
 * - call N: "sum S"
 * - mask: what it believes to block: "mask HEX"
 * - actions: of the signals that say a fault, as the system calls tell: "actions HANDLER/FLAGS/MASK
 * ..."
 * - stacks: what handlers on alternate stacks see of these, with calls in between: "stacks ..."
 * - own: handlers of its own for SIGTRAP and SIGFPE: "own"
 * - quit
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define ALTERNATE (64 << 10)

static pthread_t other;
static int to_other[2], from_other[2];
static unsigned long other_mask;
static long other_sum;

__attribute__((noinline, noclone, visibility("default"))) long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

static unsigned long blocked(void)
{
	unsigned long mask;
	sigset_t set;

	pthread_sigmask(SIG_BLOCK, NULL, &set);
	memcpy(&mask, &set, sizeof(mask));
	return mask;
}

static void block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	sigaddset(&set, SIGSEGV);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void use_alternate(void)
{
	stack_t alternate = {.ss_sp = malloc(ALTERNATE), .ss_size = ALTERNATE};

	sigaltstack(&alternate, NULL);
}

static void on_own(int sig)
{
}

static void on_thread(int sig)
{
	char c = 0;

	if (write(from_other[1], &c, 1) != 1 || read(to_other[0], &c, 1) != 1)
		exit(98);
}

static void *thread(void *arg)
{
	block();
	use_alternate();
	pthread_kill(pthread_self(), SIGPWR);
	other_mask = blocked();
	other_sum = work(1) + work(2);
	return arg;
}

static void enter_thread(void)
{
	char c;

	pthread_create(&other, NULL, thread, NULL);
	if (read(from_other[0], &c, 1) != 1)
		exit(98);
	puts("in");
}

static void leave_thread(void)
{
	char c = 0;

	if (write(to_other[1], &c, 1) != 1)
		exit(98);
	pthread_join(other, NULL);
	printf("out %lx %ld\n", other_mask, other_sum);
}

static void actions(void)
{
	static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGUSR1};
	struct sigaction sa;
	unsigned long mask;

	printf("actions");
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], NULL, &sa);
		memcpy(&mask, &sa.sa_mask, sizeof(mask));
		printf(" %lx/%x/%lx", (long)sa.sa_handler, sa.sa_flags, mask);
	}
	puts("");
}

static void own(void)
{
	struct sigaction sa = {.sa_handler = on_own, .sa_flags = SA_RESTART};

	sigaddset(&sa.sa_mask, SIGCHLD);
	sigaddset(&sa.sa_mask, SIGSEGV);
	sigaction(SIGTRAP, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	puts("own");
}

static void calls(long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++)
		sum += work(i);
	printf("sum %ld\n", sum);
}

/* --- alternate stacks
 * ----------------------------------------------------------------------------------------------------
 */

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static char *first, *second; /* two of them */
static size_t small_size;

/* where something is */
static char which(const void *p)
{
	const char *c = p;

	return c >= first && c < first + ALTERNATE     ? 'a'
	       : c >= second && c < second + ALTERNATE ? 'b'
	       : c				       ? 'm'
						       : '0';
}

/* with a call before, whose probe must change nothing of it */
static void tell_stack(void)
{
	stack_t now;

	work(1);
	if (sigaltstack(NULL, &now))
		abort();
	printf(" %c:%c/%x/%d", which(&now), which(now.ss_sp), now.ss_flags,
	       now.ss_size == small_size);
}

static void set_stack(char *sp, size_t size, unsigned flags)
{
	stack_t to = {.ss_sp = sp, .ss_size = size, .ss_flags = (int)flags};
	int failed = sigaltstack(&to, NULL);

	printf(" %d", failed);
	tell_stack();
}

static void on_inner(int sig)
{
	tell_stack();
}

static void on_outer(int sig)
{
	tell_stack();
	raise(SIGRTMIN + 1);
	tell_stack();
	set_stack(second, ALTERNATE, 0); /* only where the first is not in use */
	raise(SIGRTMIN + 1);
	tell_stack();
}

static void stacks_with(size_t size, unsigned flags)
{
	small_size = size;
	printf(" |");
	set_stack(first, size, flags);
	raise(SIGRTMIN);
	tell_stack();
	raise(SIGRTMIN + 1);
	tell_stack();
}

static void stacks(void)
{
	struct sigaction outer = {.sa_handler = on_outer, .sa_flags = SA_ONSTACK};
	struct sigaction inner = {.sa_handler = on_inner, .sa_flags = SA_ONSTACK};
	size_t least = getauxval(AT_MINSIGSTKSZ);
	size_t tight = 3 * least + 2048; /* two handlers, and a hit */

	first = calloc(2, ALTERNATE);
	second = first + ALTERNATE;
	sigaction(SIGRTMIN, &outer, NULL);
	sigaction(SIGRTMIN + 1, &inner, NULL);
	printf("stacks");
	stacks_with(tight < 8192 ? 8192 : tight, 0);
	stacks_with(tight < 8192 ? 8192 : tight, SS_AUTODISARM);
	stacks_with(ALTERNATE, 0);
	stacks_with(ALTERNATE, SS_AUTODISARM);
	puts("");
	use_alternate();
	free(first);
}

static int read_line(char *line, int room)
{
	int n = 0;

	while (n < room - 1 && read(0, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	return n;
}

/* Until the command that ends this handler, or all. */
static void obey(void)
{
	char line[64];

	while (read_line(line, sizeof(line))) {
		if (!strcmp(line, "quit"))
			exit(0);
		if (!strcmp(line, "leave"))
			return;
		if (!strcmp(line, "enter") || !strcmp(line, "enter-alternate")) {
			raise(line[5] ? SIGUSR2 : SIGUSR1);
			puts("out");
		} else if (!strcmp(line, "enter-thread")) {
			enter_thread();
		} else if (!strcmp(line, "leave-thread")) {
			leave_thread();
		} else if (!strncmp(line, "call ", 5)) {
			calls(atol(line + 5));
		} else if (!strcmp(line, "mask")) {
			printf("mask %lx\n", blocked());
		} else if (!strcmp(line, "actions")) {
			actions();
		} else if (!strcmp(line, "stacks")) {
			stacks();
		} else if (!strcmp(line, "own")) {
			own();
		} else {
			printf("error %s\n", line);
		}
	}
}

static void on_enter(int sig)
{
	puts("in");
	obey();
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_enter, .sa_flags = SA_NODEFER};
	struct sigaction on_other = {.sa_handler = on_thread, .sa_flags = SA_ONSTACK};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pipe(to_other) || pipe(from_other))
		return 98;
	sigaddset(&sa.sa_mask, SIGTRAP);
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_flags |= SA_ONSTACK;
	sigaction(SIGUSR2, &sa, NULL);
	sigaction(SIGPWR, &on_other, NULL);
	use_alternate();
	block();
	printf("ready %d\n", getpid());
	obey();
	return 0;
}
