// SPDX-License-Identifier: BSD-2-Clause
/*
 * Waits in many ways for 0.7 s each, without a thread. Says "ready PID"; for a line that names a
 * way says "begin" and, when the wait is over, "NAME ok" or what was wrong: an error, a wait that
 * ended early, or one that was not ended by a signal that came. A line "call N": N calls of work(),
 * "sum S"; "join", "part": four threads that call work() are there, and are not. With arguments,
 * that many threads beside it wait, too.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((noinline, noclone, visibility("default")))
#define MS 700

static int in[2]; /* nothing ever comes */
static volatile int alarms;

EXPORT long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void on_alarm(int sig)
{
	alarms++;
}

static void set_alarm(void)
{
	struct itimerval it = {.it_value = {0, MS * 1000}};
	struct sigaction sa = {.sa_handler = on_alarm};

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

static int w_nanosleep(void)
{
	struct timespec ts = {0, MS * 1000000};

	return nanosleep(&ts, NULL);
}

static int w_until(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += MS * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) ? -1 : 0;
}

static int w_poll(void)
{
	struct pollfd p = {in[0], POLLIN, 0};

	return poll(&p, 1, MS);
}

static int w_select(void)
{
	struct timeval tv = {0, MS * 1000};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(in[0], &set);
	return select(in[0] + 1, &set, NULL, NULL, &tv);
}

static int w_ppoll(void)
{
	struct timespec ts = {0, MS * 1000000};
	struct pollfd p = {in[0], POLLIN, 0};
	sigset_t set;

	sigfillset(&set);
	return ppoll(&p, 1, &ts, &set);
}

static int epoll(void)
{
	static int fd = -1;
	struct epoll_event e = {.events = EPOLLIN};

	if (fd < 0) {
		fd = epoll_create1(0);
		epoll_ctl(fd, EPOLL_CTL_ADD, in[0], &e);
	}
	return fd;
}

static int w_epoll(void)
{
	struct epoll_event e;

	return epoll_wait(epoll(), &e, 1, MS);
}

static int w_semaphore(void)
{
	struct timespec ts;
	sem_t sem;

	sem_init(&sem, 0, 0);
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += MS * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return sem_timedwait(&sem, &ts) && errno == ETIMEDOUT ? 0 : -1;
}

static int w_receive(void)
{
	struct timeval tv = {0, MS * 1000};
	int s[2];
	char c;

	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	tv.tv_sec = recv(s[0], &c, 1, 0);
	close(s[0]);
	close(s[1]);
	return tv.tv_sec < 0 && errno == EAGAIN ? 0 : -1;
}

/* these end by a signal, and by nothing else */
static int w_read(void)
{
	char c;

	set_alarm();
	return read(in[0], &c, 1) < 0 && errno == EINTR && alarms ? 0 : -1;
}

static int w_pause(void)
{
	set_alarm();
	return pause() < 0 && errno == EINTR && alarms ? 0 : -1;
}

static int w_forever(void)
{
	struct epoll_event e;

	set_alarm();
	return epoll_wait(epoll(), &e, 1, -1) < 0 && errno == EINTR && alarms ? 0 : -1;
}

static const struct {
	const char *name;
	int (*fn)(void);
} ways[] = {
	{"nanosleep", w_nanosleep}, {"until", w_until},	    {"poll", w_poll},
	{"select", w_select},	    {"ppoll", w_ppoll},	    {"epoll", w_epoll},
	{"semaphore", w_semaphore}, {"receive", w_receive}, {"read", w_read},
	{"pause", w_pause},	    {"forever", w_forever},
};

static void wait_in(const char *name, int (*fn)(void))
{
	long begin = now_ms(), ms;
	int ret;

	printf("begin\n");
	fflush(stdout);
	alarms = 0;
	ret = fn();
	ms = now_ms() - begin;
	if (ret)
		printf("%s %d: %s\n", name, ret, strerror(errno));
	else if (ms < MS - 1)
		printf("%s after %ld ms\n", name, ms);
	else
		printf("%s ok\n", name);
}

static void *thread(void *arg)
{
	static volatile long wrong;

	for (;;)
		for (size_t i = 0; i < 8; i++) {
			long begin = now_ms();

			if (ways[i].fn() || now_ms() - begin < MS - 1)
				wrong++;
			if (wrong)
				abort();
		}
	return arg;
}

/* --- threads that come and go ------------------------------------------------------------------
 */

#define CREW 4
static pthread_t crew[CREW];
static volatile int leave;
static volatile long wrong;

static void *member(void *arg)
{
	while (!leave) {
		if (work(7) != 15)
			wrong++;
		usleep(200);
	}
	return arg;
}

static void join_in(void)
{
	leave = 0;
	for (int i = 0; i < CREW; i++)
		pthread_create(&crew[i], NULL, member, NULL);
	printf("joined\n");
}

static void part(void)
{
	leave = 1;
	for (int i = 0; i < CREW; i++)
		pthread_join(crew[i], NULL);
	printf("parted %ld\n", wrong);
}

int main(int argc, char **argv)
{
	char line[64];
	pthread_t t;
	long n;

	if (pipe(in))
		return 1;
	for (n = argc > 1 ? atol(argv[1]) : 0; n > 0; n--)
		pthread_create(&t, NULL, thread, NULL);
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		long sum = 0;

		line[strcspn(line, "\n")] = 0;
		for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
			if (!strcmp(line, ways[i].name))
				wait_in(line, ways[i].fn);
		if (sscanf(line, "call %ld", &n) == 1) {
			for (long i = 0; i < n; i++)
				sum += work(i);
			printf("sum %ld\n", sum);
		}
		if (!strcmp(line, "join"))
			join_in();
		if (!strcmp(line, "part"))
			part();
		fflush(stdout);
		if (!strcmp(line, "quit 0"))
			return 0;
	}
	return 0;
}
