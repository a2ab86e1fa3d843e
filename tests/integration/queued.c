// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that is sent signals by other processes, which say who they are and carry values. Says
 * "ready PID", then obeys:
 *
 * - start: two processes begin to send. One queues SIGRTMIN as fast as they are taken, with
 *   numbers that count up. The other sends each of those signals that an injection or the agent
 *   has a part in, one at a time, in each way: to the process or to a thread, with a value or
 *   without. "started"
 * - end: one ends, again and again, a wait that opens SIGUSR2 and is to fail with EINTR each time.
 *   "started"; over: it ends: "ended E on O", how many waits were ended, and how many went on
 * behind the handler
 * - stop: they end, but not before there were 10,000 of the first: "stopped", how many of the first
 *   were lost, and came out of order or with a wrong sender or code; how many of the second were
 *   lost, came twice, to another thread, or with something else in them: "0 0 0 0 0 0"
 * - count: "queued N sent M works W", what has come, and how often work() was called
 * - quit
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEAST 10000
#define AHEAD 32
#define LOST_S 60

static const int single[] = {SIGSEGV, SIGBUS, SIGTRAP, SIGFPE, SIGILL, SIGURG, SIGUSR1};
#define SINGLE ((long)(sizeof(single) / sizeof(single[0])))

enum way { TO_PROCESS, TO_THREAD, PROCESS_VALUE, THREAD_VALUE, WAYS };

/* shared with those that send */
static struct shared {
	volatile int stop;
	volatile pid_t tid; /* of the thread that is sent to */
	volatile long queued, disordered, total;
	volatile int sender; /* of the first */
	volatile long sent, taken, lost, twice, elsewhere, changed;
	volatile pid_t waiter; /* whose waits are ended */
	volatile long handled, ended, unended;
	char story[1024]; /* of what went wrong: W:SIGNAL/CODE */
	volatile int told;
	volatile int expected, sig, code, value, pid;
} * s;

static volatile long works;

__attribute__((noinline, noclone, visibility("default"))) long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

static void tell(char what, const siginfo_t *info)
{
	static const char *const codes[] = {"user", "queue", "thread"};
	int code = s->code == SI_USER ? 0 : s->code == SI_QUEUE ? 1 : 2;

	if (s->told > (int)sizeof(s->story) - 128)
		return;
	s->told += sprintf(s->story + s->told, " %c:%d/%s/%d", what, s->sig, codes[code],
			   s->value & 1);
	if (info)
		s->told +=
			sprintf(s->story + s->told, "=%d/%d/%d/%d", info->si_signo, info->si_code,
				info->si_pid - s->pid, info->si_value.sival_int - s->value);
}

static void on_queued(int sig, siginfo_t *info, void *context)
{
	work(sig);
	if (info->si_code != SI_QUEUE || info->si_pid != s->sender || info->si_uid != getuid() ||
	    info->si_value.sival_int != s->queued)
		s->disordered++;
	s->queued++;
}

static void on_single(int sig, siginfo_t *info, void *context)
{
	int thread = s->code == SI_TKILL || s->value & 1;

	work(sig);
	if (!s->expected) {
		s->twice++;
		tell('t', info);
		return;
	}
	if (sig != s->sig || info->si_code != s->code || info->si_pid != s->pid ||
	    info->si_uid != getuid() ||
	    (s->code == SI_QUEUE && info->si_value.sival_int != s->value)) {
		s->changed++;
		tell('c', info);
	}
	if (thread && syscall(SYS_gettid) != s->tid) {
		s->elsewhere++;
		tell('e', info);
	}
	s->expected = 0;
	__sync_fetch_and_add(&s->taken, 1);
}

static void on_end(int sig)
{
	s->handled++;
}

/* --- those that send ----------------------------------------------------------------------------
 */

static void await_queued(long n)
{
	time_t begin = time(NULL);

	while (s->queued < n && time(NULL) - begin < LOST_S)
		usleep(20);
}

static void queue_all(pid_t to)
{
	s->sender = getpid();
	for (int i = 0; !s->stop || i < LEAST; s->total = i) {
		await_queued(i - AHEAD);
		if (sigqueue(to, SIGRTMIN, (union sigval){.sival_int = i}) == 0)
			i++;
		else if (errno != EAGAIN)
			break;
	}
	_exit(0);
}

/* A value to a thread is odd, one to the process is even. */
static void send_one(pid_t to, int sig, enum way way, int i)
{
	siginfo_t info = {.si_signo = sig, .si_code = SI_QUEUE};

	info.si_pid = getpid();
	info.si_uid = getuid();
	s->value = way == PROCESS_VALUE || way == TO_PROCESS ? 2 * i : 2 * i + 1;
	info.si_value.sival_int = s->value;
	s->sig = sig;
	s->pid = getpid();
	s->code = way == TO_PROCESS ? SI_USER : way == TO_THREAD ? SI_TKILL : SI_QUEUE;
	s->sent++;
	__atomic_store_n(&s->expected, 1, __ATOMIC_SEQ_CST);
	if (way == TO_PROCESS)
		kill(to, sig);
	else if (way == TO_THREAD)
		syscall(SYS_tgkill, to, s->tid, sig);
	else if (way == PROCESS_VALUE)
		sigqueue(to, sig, info.si_value);
	else
		syscall(SYS_rt_tgsigqueueinfo, to, s->tid, sig, &info);
}

/*
 * A break that the thread has just executed is a SIGTRAP to it, and the end of a handler that
 * blocks one of the agent's signals a SIGSEGV: of a kind the kernel takes two for a thread for one.
 */
static enum way fit(int sig, enum way way)
{
	if (sig == SIGTRAP || sig == SIGSEGV)
		return way == TO_THREAD ? TO_PROCESS : way == THREAD_VALUE ? PROCESS_VALUE : way;
	return way;
}

static void send_each(pid_t to)
{
	for (int i = 0; !s->stop || i < 2 * SINGLE * WAYS; i++) {
		time_t begin = time(NULL);

		int sig = single[i % SINGLE];
		enum way way = (enum way)(i / SINGLE % WAYS);

		way = fit(sig, way);
		send_one(to, sig, way, i);
		while (s->expected && time(NULL) - begin < LOST_S)
			usleep(20);
		if (s->expected) {
			s->lost++;
			tell('l', NULL);
		}
		s->expected = 0;
	}
	_exit(0);
}

/* A wait whose handler has run ends at once, or goes on for good: then it is ended once more. */
static void end_waits(pid_t to)
{
	while (!s->stop) {
		time_t begin = time(NULL);
		long before = s->ended;

		syscall(SYS_tgkill, to, s->waiter, SIGUSR2);
		while (s->ended == before && time(NULL) - begin < LOST_S / 10)
			usleep(20);
		s->unended += s->ended == before && s->handled > before;
	}
	_exit(0);
}

static pid_t begin_sending(void (*send)(pid_t))
{
	pid_t self = getpid(), child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		send(self);
	}
	return child;
}

/* --- the threads that they are sent to ----------------------------------------------------------
 */

/* Not the one whose numbers count up: that goes to one thread, in its order. */
static void *works_on(void *arg)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	for (;;) {
		work(works++);
		usleep(50);
	}
	return arg;
}

static void *waits(void *arg)
{
	sigset_t set;

	s->tid = (pid_t)syscall(SYS_gettid);
	sigemptyset(&set);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	for (;;)
		poll(NULL, 0, -1);
	return arg;
}

static void *is_ended(void *arg)
{
	int epfd = epoll_create1(0);
	struct epoll_event e;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	sigdelset(&set, SIGUSR2);
	s->waiter = (pid_t)syscall(SYS_gettid);
	while (epoll_pwait(epfd, &e, 1, -1, &set) < 0 && errno == EINTR)
		s->ended++;
	return arg;
}

static void handle(int sig, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};

	sigaction(sig, &sa, NULL);
}

int main(void)
{
	pid_t child[3];
	char line[64];
	pthread_t t;
	sigset_t all;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return 1;
	handle(SIGRTMIN, on_queued);
	for (long i = 0; i < SINGLE; i++)
		handle(single[i], on_single);
	signal(SIGUSR2, on_end);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pthread_create(&t, NULL, works_on, NULL);
	pthread_create(&t, NULL, waits, NULL);
	pthread_create(&t, NULL, is_ended, NULL);
	while (!s->tid || !s->waiter)
		sched_yield();
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "quit\n")) {
		if (!strcmp(line, "start\n")) {
			s->stop = 0;
			s->queued = s->disordered = s->total = 0;
			s->sent = s->taken = s->lost = s->twice = s->elsewhere = s->changed = 0;
			child[1] = begin_sending(send_each);
			child[0] = begin_sending(queue_all);
			printf("started\n");
		} else if (!strcmp(line, "end\n")) {
			s->stop = 0;
			s->handled = s->ended = s->unended = 0;
			child[2] = begin_sending(end_waits);
			printf("started\n");
		} else if (!strcmp(line, "over\n")) {
			s->stop = 1;
			waitpid(child[2], NULL, 0);
			printf("ended %ld on %ld\n", s->ended, s->unended);
		} else if (!strcmp(line, "stop\n")) {
			s->stop = 1;
			waitpid(child[0], NULL, 0);
			waitpid(child[1], NULL, 0);
			await_queued(s->total);
			printf("stopped %ld %ld %ld %ld %ld %ld\n", s->total - s->queued,
			       s->disordered, s->lost, s->twice, s->elsewhere, s->changed);
		} else {
			printf("queued %ld sent %ld works %ld%s\n", s->queued, s->taken, works,
			       s->story);
			s->told = s->story[0] = 0;
		}
	}
	return 0;
}
