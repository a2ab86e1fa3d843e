// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target whose probed function is called while a signal mask blocks everything: by handlers that
 * run under the mask of a waiting system call, and by threads that blocked all signals before
 * anybody came. Says "ready PID", then obeys:
 *
 * - suspend|ppoll|pselect|epoll N: wait N times with all signals but SIGUSR1 blocked, whose
 *   handler calls work(): "sum S"
 * - threads N: N calls in each of the threads that block all signals: "sum S"
 * - mask: what the main thread, another one and the handler believe to block: "mask HEX HEX HEX"
 * - born: SIGTRAPs that a thread has seen which was born while all signals were blocked: one that
 *   was sent at once; with all blocked by itself; with it open; after one more: "born A B C D"
 * - flood: SIGTRAPs that were sent to 150 threads which block them: seen before they open their
 *   masks, and afterwards: "flood A B"
 * - listen: a thread begins to wait for SIGTRAP, which all block from now on: "listen TID"
 * - heard: how often it has got one: "heard N"
 * - rest: waits in many ways in a thread that blocks SIGTRAP, which is sent to it three times while
 *   it sleeps: "rest" and for each: its name, error, whether it ended early (!), SIGTRAPs that were
 *   pending at its end, and seen before and after SIGTRAP was opened
 * - limit: the same in a shower of SIGTRAP, by the ways that end by themselves and whose rest of
 * the time can be told: "limit" and each: its name, and "late" when the shower ended first, after
 * 10 s
 * - ended N: a thread that blocks SIGTRAP waits N times, until SIGUSR1 ends it, whose handler has
 *   hardly returned when SIGTRAP is sent: "ended E after W", waits that ended with an error, and
 *   others
 * - both: waits with a mask that blocks SIGTRAP when that and SIGUSR1 are pending: for each what
 *   came in in the wait, and what afterwards: "both ..."; upper case where a handler ran with
 *   SIGUSR2 blocked, which is so before and after the wait
 * - open: the same with a mask that blocks nothing, for SIGTRAP and SIGUSR1, then for SIGUSR1 and
 *   SIGALRM: "open ..."
 * - block, unblock: all signals; what was blocked at the start
 * - quit
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS 3

static volatile long sum;
static pthread_barrier_t begin, done;
static long calls;
static int epfd;
static unsigned long others_mask; /* of the threads */
static volatile int listener, heard;

__attribute__((noinline, noclone, visibility("default"))) long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

static void on_signal(int sig)
{
	sum += work(sum & 7);
}

static unsigned long own_mask(void)
{
	unsigned long mask = 0;
	sigset_t set;

	pthread_sigmask(SIG_BLOCK, NULL, &set);
	memcpy(&mask, &set, sizeof(mask));
	return mask;
}

static void *worker(void *arg)
{
	for (;;) {
		pthread_barrier_wait(&begin);
		for (long i = 0; i < calls; i++)
			__sync_fetch_and_add(&sum, work(i));
		others_mask = own_mask();
		pthread_barrier_wait(&done);
	}
	return arg;
}

static void wait_once(const char *how, const sigset_t *mask)
{
	struct timespec second = {1, 0};
	struct epoll_event e;

	kill(getpid(), SIGUSR1); /* blocked until the wait */
	if (!strcmp(how, "suspend"))
		sigsuspend(mask);
	else if (!strcmp(how, "ppoll"))
		ppoll(NULL, 0, &second, mask);
	else if (!strcmp(how, "pselect"))
		pselect(0, NULL, NULL, NULL, &second, mask);
	else
		epoll_pwait(epfd, &e, 1, 1000, mask);
}

/* --- a thread as C libraries make it, all signals being blocked, that stays there for a while ---
 */

static volatile int traps, sent;
static int born_tid;
static long seen[4];

static void on_trap(int sig)
{
	__sync_fetch_and_add(&traps, 1);
}

static void set_mask(unsigned long mask)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
}

#define OURS (1ul << (SIGTRAP - 1) | 1ul << (SIGBUS - 1) | 1ul << (SIGSEGV - 1))

static int newborn(void *arg)
{
	while (!sent)
		;
	syscall(SYS_getpid); /* whatever is to be delivered is, now */
	seen[0] = traps;
	set_mask(~0ul);
	seen[1] = traps;
	set_mask(~OURS);
	seen[2] = traps;
	syscall(SYS_tgkill, getpid(), born_tid, SIGTRAP);
	seen[3] = traps;
	syscall(SYS_exit, 0);
	return arg != NULL;
}

static void print_born(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	static void *tls[512]; /* room for what is below and above the thread pointer */
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			  CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	unsigned long mask;

	signal(SIGTRAP, on_trap);
	traps = sent = 0;
	tls[256] = tls[258] = &tls[256];
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, 8);
	set_mask(~0ul);
	if (clone(newborn, stack + sizeof(stack), flags, NULL, &born_tid, &tls[256], &born_tid) < 0)
		abort();
	syscall(SYS_tgkill, getpid(), born_tid, SIGTRAP);
	sent = 1;
	while (__atomic_load_n(&born_tid, __ATOMIC_ACQUIRE))
		usleep(1000);
	set_mask(mask);
	printf("born %ld %ld %ld %ld\n", seen[0], seen[1], seen[2], seen[3]);
}

/* --- many threads, each with a signal that waits ------------------------------------------------
 */

#define FLOOD 150
static pthread_barrier_t blocked, flooded;

static void *one_of_many(void *arg)
{
	sigset_t set;

	sigfillset(&set);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	*(int *)arg = (int)syscall(SYS_gettid);
	pthread_barrier_wait(&blocked);
	pthread_barrier_wait(&flooded);
	sigemptyset(&set);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	return NULL;
}

static void print_flood(void)
{
	static pthread_t t[FLOOD];
	static int tid[FLOOD];
	int before;

	signal(SIGTRAP, on_trap);
	traps = 0;
	pthread_barrier_init(&blocked, NULL, FLOOD + 1);
	pthread_barrier_init(&flooded, NULL, FLOOD + 1);
	for (int i = 0; i < FLOOD; i++)
		pthread_create(&t[i], NULL, one_of_many, &tid[i]);
	pthread_barrier_wait(&blocked);
	for (int i = 0; i < FLOOD; i++)
		syscall(SYS_tgkill, getpid(), tid[i], SIGTRAP);
	before = traps;
	pthread_barrier_wait(&flooded);
	for (int i = 0; i < FLOOD; i++)
		pthread_join(t[i], NULL);
	printf("flood %d %d\n", before, traps);
}

/* --- waits that are not to be disturbed ----------------------------------------------------------
 */

#define REST_MS 200
static int rester, resting, in[2];
static const struct timespec rest_time = {0, REST_MS * 1000000};
static sigset_t all_but_usr1;

static void on_usr1(int sig)
{
}

static int by_read(void)
{
	char c;

	return read(in[0], &c, 1) == 1 ? 0 : -1;
}

static int by_poll(void)
{
	return poll(NULL, 0, REST_MS);
}

static int by_ppoll(void)
{
	return ppoll(NULL, 0, &rest_time, &all_but_usr1);
}

static int by_select(void)
{
	struct timeval tv = {0, REST_MS * 1000};

	return select(0, NULL, NULL, NULL, &tv);
}

static int by_pselect(void)
{
	return pselect(0, NULL, NULL, NULL, &rest_time, &all_but_usr1);
}

static int by_nanosleep(void)
{
	return nanosleep(&rest_time, NULL);
}

static int by_until(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += REST_MS * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	return errno ? -1 : 0;
}

static int by_sem(void)
{
	struct timespec ts;
	sem_t sem;

	sem_init(&sem, 0, 0);
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += REST_MS * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return sem_timedwait(&sem, &ts) && errno == ETIMEDOUT ? 0 : -1;
}

static int by_futex(void)
{
	static int word;

	return syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &rest_time, NULL, 0) &&
			       errno == ETIMEDOUT
		       ? 0
		       : -1;
}

static int by_epoll(void)
{
	struct epoll_event e;

	return epoll_wait(epfd, &e, 1, REST_MS);
}

static int by_epoll_mask(void)
{
	struct epoll_event e;

	return epoll_pwait(epfd, &e, 1, REST_MS, &all_but_usr1);
}

static int by_suspend(void)
{
	return sigsuspend(&all_but_usr1) && errno == EINTR ? 0 : -1;
}

static const struct way {
	const char *name;
	int (*wait)(void);
	int ends; /* it is ended: by what can be read, by SIGUSR1 */
} ways[] = {
	{"read", by_read, 1},
	{"poll", by_poll, 0},
	{"ppoll", by_ppoll, 0},
	{"select", by_select, 0},
	{"pselect", by_pselect, 0},
	{"nanosleep", by_nanosleep, 0},
	{"until", by_until, 0},
	{"sem", by_sem, 0},
	{"futex", by_futex, 0},
	{"epoll", by_epoll, 0},
	{"epoll_pwait", by_epoll_mask, 0},
	{"suspend", by_suspend, 2},
};

static void await_sleep(void)
{
	char path[64], text[256], *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", rester);
	while (!__atomic_load_n(&resting, __ATOMIC_ACQUIRE))
		sched_yield();
	for (;;) {
		f = fopen(path, "re");
		end = f && fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
		if (f)
			fclose(f);
		if (end && end[2] == 'S')
			return;
		sched_yield();
	}
}

static void *disturb(void *arg)
{
	const struct way *w = arg;

	for (int i = 0; i < 3; i++) {
		await_sleep();
		syscall(SYS_tgkill, getpid(), rester, SIGTRAP);
	}
	await_sleep();
	if (w->ends == 1 && write(in[1], "x", 1) != 1)
		abort();
	if (w->ends == 2)
		syscall(SYS_tgkill, getpid(), rester, SIGUSR1);
	return arg;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void rest_by(const struct way *w)
{
	sigset_t trap, pending;
	pthread_t t;
	long begins;
	int err, before, early;

	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	pthread_sigmask(SIG_BLOCK, &trap, NULL);
	traps = resting = 0;
	pthread_create(&t, NULL, disturb, (void *)w);
	begins = now_ms();
	__atomic_store_n(&resting, 1, __ATOMIC_RELEASE);
	err = w->wait() ? errno : 0;
	early = !w->ends && now_ms() - begins < REST_MS - 1;
	sigpending(&pending);
	pthread_join(t, NULL);
	before = traps;
	pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
	printf(" %s %d%s %d %d %d", w->name, err, early ? "!" : "", sigismember(&pending, SIGTRAP),
	       before, traps);
}

static void print_rest(void)
{
	struct sigaction trap = {.sa_handler = on_trap}, usr1 = {.sa_handler = on_usr1}, old;

	sigaction(SIGTRAP, &trap, NULL);
	sigaction(SIGUSR1, &usr1, &old);
	sigfillset(&all_but_usr1);
	sigdelset(&all_but_usr1, SIGUSR1);
	rester = (int)syscall(SYS_gettid);
	if (pipe(in))
		abort();
	printf("rest");
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		rest_by(&ways[i]);
	printf("\n");
	close(in[0]);
	close(in[1]);
	sigaction(SIGUSR1, &old, NULL);
}

/* --- a wait in a shower ------------------------------------------------------------------------
 */

#define SHOWER_MS 10000
#define DROPS_MS (REST_MS / 20)

static volatile int ended;

static void *shower(void *arg)
{
	long begins = now_ms();

	while (!ended && now_ms() - begins < SHOWER_MS) {
		syscall(SYS_tgkill, getpid(), rester, SIGTRAP);
		usleep(DROPS_MS * 1000);
	}
	*(int *)arg = !ended;
	return arg;
}

static void limit_by(const struct way *w)
{
	sigset_t trap;
	pthread_t t;
	int late;

	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	pthread_sigmask(SIG_BLOCK, &trap, NULL);
	ended = 0;
	pthread_create(&t, NULL, shower, &late);
	w->wait();
	ended = 1;
	pthread_join(t, NULL);
	pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
	printf(" %s%s", w->name, late ? " late" : "");
}

static void print_limit(void)
{
	signal(SIGTRAP, on_trap);
	sigfillset(&all_but_usr1);
	sigdelset(&all_but_usr1, SIGUSR1);
	rester = (int)syscall(SYS_gettid);
	printf("limit");
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (!ways[i].ends && ways[i].wait != by_epoll)
			limit_by(&ways[i]);
	printf("\n");
}

/* --- what comes in right behind a handler that has ended a wait ---------------------------------
 */

#define ENDED_MS 2000

static volatile long rounds, returned;
static volatile int handling;

static void on_end(int sig)
{
	handling = 1;
}

static void *end_each(void *arg)
{
	for (long i = 0; i < rounds; i++) {
		while (returned < i)
			sched_yield();
		await_sleep();
		handling = 0;
		syscall(SYS_tgkill, getpid(), rester, SIGUSR1);
		while (!handling)
			;
		for (int k = 0; k < 8 && returned == i; k++)
			syscall(SYS_tgkill, getpid(), rester, SIGTRAP);
	}
	return arg;
}

static void print_ended(long n)
{
	struct sigaction sa = {.sa_handler = on_end}, old;
	struct epoll_event e;
	sigset_t set, was;
	pthread_t t;
	long ended = 0;

	sigaction(SIGUSR1, &sa, &old);
	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &set, &was);
	signal(SIGTRAP, on_trap);
	rester = (int)syscall(SYS_gettid);
	rounds = n;
	returned = resting = 0;
	pthread_create(&t, NULL, end_each, NULL);
	__atomic_store_n(&resting, 1, __ATOMIC_RELEASE);
	while (returned < n) {
		ended += epoll_wait(epfd, &e, 1, ENDED_MS) < 0 && errno == EINTR;
		returned++;
	}
	pthread_join(t, NULL);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	sigaction(SIGUSR1, &old, NULL);
	printf("ended %ld after %ld\n", ended, n - ended);
}

static char order[16];
static volatile int norder;

static void on_both(int sig)
{
	char c = sig == SIGTRAP ? 't' : sig == SIGALRM ? 'a' : 'u';

	if (own_mask() & 1ul << (SIGUSR2 - 1))
		c -= 'a' - 'A';
	order[norder++ % (int)sizeof(order)] = c;
}

static void wait_both(const char *how, const sigset_t *mask, int first)
{
	sigset_t both, old;

	sigemptyset(&both);
	sigaddset(&both, first);
	sigaddset(&both, SIGUSR1);
	sigaddset(&both, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &both, &old);
	sigdelset(&both, SIGUSR2);
	norder = 0;
	syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), first);
	wait_once(how, mask); /* sends the other one */
	printf(" %s %.*s", how, norder, order);
	norder = 0;
	pthread_sigmask(SIG_UNBLOCK, &both, NULL);
	printf(",%.*s", norder, order);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void wait_each(const sigset_t *mask, int first)
{
	static const char *const hows[] = {"suspend", "ppoll", "pselect", "epoll"};
	struct sigaction both = {.sa_handler = on_both}, old, old_first;

	sigaction(first, &both, &old_first);
	sigaction(SIGUSR1, &both, &old);
	for (int i = 0; i < 4; i++)
		wait_both(hows[i], mask, first);
	sigaction(SIGUSR1, &old, NULL);
	sigaction(first, &old_first, NULL);
}

static void print_both(int open)
{
	sigset_t mask;

	sigemptyset(&mask);
	if (!open)
		sigaddset(&mask, SIGTRAP);
	printf(open ? "open" : "both");
	wait_each(&mask, SIGTRAP);
	if (open)
		wait_each(&mask, SIGALRM);
	printf("\n");
}

static void print_mask(void)
{
	struct sigaction sa;
	unsigned long mask;

	calls = 0;
	pthread_barrier_wait(&begin);
	pthread_barrier_wait(&done);
	sigaction(SIGUSR1, NULL, &sa);
	memcpy(&mask, &sa.sa_mask, sizeof(mask));
	printf("mask %lx %lx %lx\n", own_mask(), others_mask, mask);
}

static void *listen_for_traps(void *arg)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	listener = (int)syscall(SYS_gettid);
	while (sigwait(&set, &sig) == 0)
		heard++;
	return NULL;
}

static void print_listener(void)
{
	pthread_t t;

	pthread_create(&t, NULL, listen_for_traps, NULL);
	while (!listener)
		sched_yield();
	printf("listen %d\n", listener);
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t all, wait, usr1;
	char line[64], how[16];
	pthread_t t;

	sigfillset(&sa.sa_mask);
	sigaction(SIGUSR1, &sa, NULL);
	sigfillset(&all);
	wait = all;
	sigdelset(&wait, SIGUSR1);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	pthread_barrier_init(&begin, NULL, THREADS + 1);
	pthread_barrier_init(&done, NULL, THREADS + 1);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t, NULL, worker, NULL);
	pthread_sigmask(SIG_SETMASK, &usr1, NULL);
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		long n = 0;

		if (sscanf(line, "%15s %ld", how, &n) < 1 || !strcmp(how, "quit"))
			break;
		sum = 0;
		if (!strcmp(how, "threads")) {
			calls = n;
			pthread_barrier_wait(&begin);
			pthread_barrier_wait(&done);
		} else if (!strcmp(how, "block") || !strcmp(how, "listen")) {
			pthread_sigmask(SIG_SETMASK, &all, NULL);
		} else if (!strcmp(how, "unblock")) {
			pthread_sigmask(SIG_SETMASK, &usr1, NULL);
		}
		if (!strcmp(how, "mask")) {
			print_mask();
		} else if (!strcmp(how, "born")) {
			print_born();
		} else if (!strcmp(how, "flood")) {
			print_flood();
		} else if (!strcmp(how, "listen")) {
			print_listener();
		} else if (!strcmp(how, "heard")) {
			printf("heard %d\n", heard);
		} else if (!strcmp(how, "rest")) {
			print_rest();
		} else if (!strcmp(how, "both")) {
			print_both(0);
		} else if (!strcmp(how, "limit")) {
			print_limit();
		} else if (!strcmp(how, "ended")) {
			print_ended(n);
		} else if (!strcmp(how, "open")) {
			print_both(1);
		} else {
			for (long i = 0; i < n && strcmp(how, "threads"); i++)
				wait_once(how, &wait);
			printf("sum %ld\n", sum);
		}
		fflush(stdout);
	}
	return 0;
}
