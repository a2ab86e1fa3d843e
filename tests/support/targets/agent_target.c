/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target for the agent's tests: one mode per situation in which a thread may be met.
 *
 * It says "ready ADDRESS..." on stdout, does what the mode says until a byte (or the end) comes on
 * stdin, then says "done RESULT..." and exits 0. Nothing of ours is linked; builds with any libc,
 * static or not.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone, noipa))

static volatile long sink;

NOINLINE long probe_me(long x)
{
	sink += x;
	return x * 2 + 1;
}

/* reached by a tail call from outer() */
NOINLINE long inner(long x)
{
	sink += x;
	return x + 7;
}

NOINLINE long outer(long x)
{
	sink++;
	return inner(x + 1);
}

static jmp_buf escape;

NOINLINE long leaves(long x)
{
	sink++;
	if (x)
		longjmp(escape, 1);
	return 0;
}

NOINLINE long load(long *p)
{
	return *p;
}

static long (*volatile recurse_again)(long depth);

NOINLINE long recurse(long depth)
{
	/* through a pointer, or the compiler makes a loop of it */
	return depth ? recurse_again(depth - 1) + 1 : probe_me(0) - 1;
}

/* a pair that the compiler must leave alone */
static void allocate(size_t size)
{
	void *volatile p = malloc(size);

	free(p);
}

static long stop_requested(void)
{
	struct pollfd p = {.fd = 0, .events = POLLIN};

	return poll(&p, 1, 0) != 0;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void ready(void)
{
	printf("ready %lx %lx %lx %lx %lx %lx %lx %lx\n", (long)probe_me, (long)outer, (long)inner,
	       (long)leaves, (long)load, (long)recurse, (long)malloc, (long)getppid);
	fflush(stdout);
}

static long calls(long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++)
		sum += probe_me(i);
	return sum;
}

static int mode_read(void)
{
	char c;
	ssize_t n = read(0, &c, 1);

	return printf("done %zd %d %ld\n", n, n < 0 ? errno : 0, calls(1000)) < 0;
}

/* has executable memory that it could unmap at any time, below everything else */
static int mode_memfd(void)
{
	int fd = (int)syscall(SYS_memfd_create, "code", 0);

	if (fd < 0 || ftruncate(fd, 4096) ||
	    mmap((void *)0x10000000, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0) ==
		    MAP_FAILED)
		return 1;
	return mode_read();
}

static volatile long interrupted;

/* reads commands: a line with a number is so many calls; -1: what others have noticed */
static int mode_call(void)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		printf("sum %ld\n", atol(line) < 0 ? interrupted : calls(atol(line)));
		fflush(stdout);
	}
	return printf("done 0\n") < 0;
}

static void *waiting(void *arg)
{
	struct epoll_event e;
	int ep = epoll_create1(0);

	while (epoll_wait(ep, &e, 1, -1) < 0)
		interrupted++;
	return arg;
}

static void wake(int sig)
{
}

/* the same, with threads beside it that wait and must not notice anything */
static int mode_crew(void)
{
	pthread_t t;

	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, waiting, NULL);
	return mode_call();
}

/* until SIGUSR1: what the kernel says of the rest, and the time by the clock, in microseconds */
static int mode_sleep(void)
{
	struct timespec ts = {3600, 0}, rest = ts;
	double t;
	int ret;

	signal(SIGUSR1, wake);
	t = now();
	ret = nanosleep(&ts, &rest);
	t = now() - t;
	return printf("done %d %d %ld %ld\n", ret, ret ? errno : 0,
		      (ts.tv_sec - rest.tv_sec) * 1000000L - rest.tv_nsec / 1000,
		      (long)(t * 1e6)) < 0;
}

static int mode_epoll(void)
{
	struct epoll_event e = {.events = EPOLLIN};
	int ep = epoll_create1(0), ret;

	signal(SIGUSR1, wake);
	epoll_ctl(ep, EPOLL_CTL_ADD, 0, &e);
	ret = epoll_wait(ep, &e, 1, -1);
	return printf("done %d %d\n", ret, ret < 0 ? errno : 0) < 0;
}

static int mode_sigwait(void)
{
	struct timespec ts = {1, 0};
	sigset_t set;
	int ret;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ret = sigtimedwait(&set, NULL, &ts);
	return printf("done %d %d\n", ret, ret < 0 ? errno : 0) < 0;
}

static int futex_word;

static void *waker(void *arg)
{
	char c;

	(void)!read(0, &c, 1);
	futex_word = 1;
	syscall(SYS_futex, &futex_word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
	return arg;
}

static int mode_futex(void)
{
	pthread_t t;
	long ret;

	pthread_create(&t, NULL, waker, NULL);
	ret = syscall(SYS_futex, &futex_word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
	return printf("done %ld %d\n", ret, ret < 0 ? errno : 0) < 0;
}

static int mode_busy(void)
{
	long n = 0;

	while (!stop_requested())
		for (int i = 0; i < 1000; i++, n++)
			allocate((size_t)(n % 300) + 1);
	return printf("done %ld\n", n) < 0;
}

static int mode_calls_busy(void)
{
	long n = 0, bad = 0;

	while (!stop_requested())
		for (int i = 0; i < 100; i++, n++)
			bad += probe_me(n) != n * 2 + 1;
	return printf("done %ld %ld\n", n, bad) < 0;
}

#define THREADS 20
static long counts[THREADS];
static volatile int stopping;

static void *caller(void *arg)
{
	long *count = arg, bad = 0;

	for (; !stopping; ++*count) {
		bad += probe_me(*count) != *count * 2 + 1;
		allocate(64);
	}
	return (void *)bad;
}

static int mode_threads(void)
{
	pthread_t t[THREADS];
	long sum = 0, bad = 0;
	void *ret;
	char c;

	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, caller, &counts[i]);
	(void)!read(0, &c, 1);
	stopping = 1;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &ret);
		bad += (long)ret;
		sum += counts[i];
	}
	return printf("done %ld %ld\n", sum, bad) < 0;
}

static volatile sig_atomic_t traps, faults, users;
static sigjmp_buf fault_escape;
static void *volatile fault_ip;

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;

	(void)info;
	if (sig == SIGTRAP)
		traps++;
	if (sig == SIGUSR1)
		users += probe_me(1) == 3;
	if (sig == SIGSEGV) {
		faults++;
#ifdef __x86_64__
		fault_ip = (void *)uc->uc_mcontext.gregs[REG_RIP];
#endif
		siglongjmp(fault_escape, 1);
	}
}

static void catch (int sig)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	sigfillset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
}

/* own handlers for everything the agent handles; a probed load from NULL */
static int mode_signals(void)
{
	char c;

	catch (SIGTRAP);
	catch (SIGSEGV);
	catch (SIGUSR1);
	(void)!read(0, &c, 1);
	__asm__ volatile("int3");
	raise(SIGTRAP);
	if (sigsetjmp(fault_escape, 1) == 0)
		load(NULL);
	return printf("done %d %d %d %ld\n", (int)traps, (int)faults, fault_ip == (void *)load,
		      calls(10)) < 0;
}

/* no handler: a null pointer must kill as it always did */
static int mode_crash(void)
{
	char c;

	(void)!read(0, &c, 1);
	calls(3);
	return (int)load(NULL);
}

static int mode_int3(void)
{
	char c;

	(void)!read(0, &c, 1);
	calls(3);
	__asm__ volatile("int3");
	return 0;
}

static int mode_fork(void)
{
	int status = -1;
	char c;
	pid_t pid;

	(void)!read(0, &c, 1);
	pid = fork();
	if (pid == 0)
		_exit(calls(100) == 10000 ? 7 : 8);
	waitpid(pid, &status, 0);
	return printf("done %d %ld\n", status, calls(10)) < 0;
}

/* every call is left by longjmp, so that no return instance ever comes back */
static int mode_longjmp(void)
{
	volatile long n = 0;
	char c;

	(void)!read(0, &c, 1);
	for (n = 0; n < 20000; n++)
		if (setjmp(escape) == 0)
			leaves(1);
	return printf("done %ld %ld\n", (long)n, leaves(0)) < 0;
}

static int mode_returns(void)
{
	long sum = 0;
	char c;

	recurse_again = recurse;
	(void)!read(0, &c, 1);
	for (int i = 0; i < 1000; i++)
		sum += outer(i);
	return printf("done %ld %ld\n", sum, recurse(9)) < 0;
}

/* blocks everything, as libc does around clone and spawn, and runs commands */
static int mode_masks(void)
{
	sigset_t all, old;
	long sum;
	char c;

	(void)!read(0, &c, 1);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	sum = calls(10);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGTRAP, SIG_DFL);
	return printf("done %ld %d\n", sum, system("true")) < 0;
}

static int mode_dlopen(void)
{
	char c;
	void *lib;

	(void)!read(0, &c, 1);
#ifdef NO_DLOPEN
	lib = &c;
#else
	lib = dlopen("libm.so.6", RTLD_NOW);
#endif
	return printf("done %d %ld\n", lib != NULL, calls(10)) < 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} modes[] = {
	{"read", mode_read},	   {"call", mode_call},	      {"crew", mode_crew},
	{"sleep", mode_sleep},	   {"epoll", mode_epoll},     {"sigwait", mode_sigwait},
	{"futex", mode_futex},	   {"busy", mode_busy},	      {"callbusy", mode_calls_busy},
	{"threads", mode_threads}, {"signals", mode_signals}, {"crash", mode_crash},
	{"int3", mode_int3},	   {"fork", mode_fork},	      {"longjmp", mode_longjmp},
	{"returns", mode_returns}, {"masks", mode_masks},     {"dlopen", mode_dlopen},
	{"memfd", mode_memfd},
};

int main(int argc, char **argv)
{
	int ret;

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0) {
			ready();
			ret = modes[i].run();
			fflush(stdout);
			return ret;
		}
	return 2;
}
