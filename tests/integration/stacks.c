/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target that leaves hits of work() in the middle: says "ready PID", then
 *
 *	jump N    a timer's handler leaves a loop of calls by siglongjmp(), N times; "jump N in
 *		  M": M of them found it outside this program's text, in what a probe has made
 *	exit N    N threads, eight at a time, each ended in such a loop by a handler
 *	cancel N  by an asynchronous cancellation
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define EXPORT __attribute__((noinline, noclone, used, visibility("default")))
#define PERIOD_NS 20000
#define AT_A_TIME 8

extern char __executable_start[], etext[];

static sigjmp_buf out;
static volatile sig_atomic_t armed;
static volatile long outside;
static atomic_long begun;

EXPORT long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

static void on_alarm(int sig, siginfo_t *info, void *context)
{
	char *ip = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	if (!armed)
		return;
	armed = 0;
	outside += ip < __executable_start || ip >= etext;
	siglongjmp(out, 1);
}

static void on_end(int sig)
{
	pthread_exit(NULL);
}

static void jump(long n)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct itimerspec once = {{0}, {0, PERIOD_NS}};
	static volatile long jumps;
	timer_t timer;

	timer_create(CLOCK_MONOTONIC, &ev, &timer);
	outside = 0;
	jumps = -1;
	sigsetjmp(out, 1);
	if (++jumps < n) {
		armed = 1;
		timer_settime(timer, 0, &once, NULL);
		for (long i = 0;; i++)
			work(i);
	}
	timer_delete(timer);
	printf("jump %ld in %ld\n", n, outside);
}

static void *thread(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (long i = 0;; i++) {
		work(i);
		if (i == 100)
			begun++;
	}
	return arg;
}

static void threads(const char *how, long n)
{
	pthread_t t[AT_A_TIME];

	for (long done = 0; done < n; done += AT_A_TIME) {
		begun = 0;
		for (int i = 0; i < AT_A_TIME; i++)
			if (pthread_create(&t[i], NULL, thread, NULL))
				return;
		while (begun < AT_A_TIME)
			usleep(100);
		for (int i = 0; i < AT_A_TIME; i++)
			if (!strcmp(how, "exit"))
				pthread_kill(t[i], SIGUSR1);
			else
				pthread_cancel(t[i]);
		for (int i = 0; i < AT_A_TIME; i++)
			pthread_join(t[i], NULL);
	}
	printf("%s %ld\n", how, n);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO};
	char line[64], what[16];
	long n;

	sigaction(SIGALRM, &sa, NULL);
	signal(SIGUSR1, on_end);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "%15s %ld", what, &n) == 2 &&
	       strcmp(what, "quit"))
		if (!strcmp(what, "jump"))
			jump(n);
		else
			threads(what, n);
	return 0;
}
