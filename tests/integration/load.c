// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target whose threads do all the time what a runtime could lean on itself: allocate, copy, lock,
 * look at the clock, find their own variables. Says "ready PID", then obeys
 *
 *	go T N   T threads, N rounds each, while a timer's handler copies and looks at the clock:
 *		 "went SUM wrong W handled H"; a round is one call of each, a handler's run one of
 *		 memcpy() and one of clock_gettime()
 *
 *	load LIBRARY
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

static struct {
	pthread_mutex_t mutex;
	unsigned long magic;
	unsigned long sum; /* under the mutex */
} shared = {.mutex = PTHREAD_MUTEX_INITIALIZER, .magic = LOAD_MAGIC};
_Static_assert(offsetof(typeof(shared), magic) == LOAD_MUTEX, "right behind the mutex");

static long *(*counter)(void);
static atomic_long wrong, handled;
static unsigned char pattern[LOAD_COPY], from_handler[LOAD_COPY];

static void alarms(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(how, &set, NULL);
}

static void look(struct timespec *last)
{
	struct timespec now = {-1, 0};

	if (clock_gettime(LOAD_CLOCK, &now) || now.tv_sec < last->tv_sec ||
	    (now.tv_sec == last->tv_sec && now.tv_nsec < last->tv_nsec))
		atomic_fetch_add(&wrong, 1);
	*last = now;
}

static void on_alarm(int sig)
{
	unsigned char copy[LOAD_COPY];
	struct timespec now = {0};

	memcpy(copy, from_handler, LOAD_COPY);
	look(&now);
	if (copy[1] != 7 || copy[LOAD_COPY - 1] != 7)
		atomic_fetch_add(&wrong, 1);
	atomic_fetch_add(&handled, 1);
}

static unsigned long sum_of(const unsigned char *p)
{
	unsigned long sum = 0;

	for (int i = 0; i < LOAD_COPY; i += 8)
		sum = sum * 31 + p[i];
	return sum;
}

static void *thread(void *arg)
{
	struct timespec last = {0};
	long *first = NULL;

	for (long i = 0; i < (long)arg; i++) {
		unsigned char *volatile p = malloc(LOAD_MALLOC);
		long *mine = counter();

		memcpy(p, pattern, LOAD_COPY);
		pthread_mutex_lock(&shared.mutex);
		if (i == 0)
			alarms(SIG_UNBLOCK);
		shared.sum += sum_of(p) + i;
		pthread_mutex_unlock(&shared.mutex);
		look(&last);
		if ((first && mine != first) || ++*mine != i + 1)
			atomic_fetch_add(&wrong, 1);
		first = mine;
		free(p);
	}
	alarms(SIG_BLOCK);
	return NULL;
}

static void go(long threads, long n)
{
	struct itimerval every = {{0, 700}, {0, 700}}, never = {{0}};
	pthread_t t[64];

	shared.sum = 0;
	atomic_store(&wrong, 0);
	atomic_store(&handled, 0);
	setitimer(ITIMER_REAL, &every, NULL);
	for (long i = 0; i < threads && i < 64; i++)
		pthread_create(&t[i], NULL, thread, (void *)n);
	for (long i = 0; i < threads && i < 64; i++)
		pthread_join(t[i], NULL);
	setitimer(ITIMER_REAL, &never, NULL);
	printf("went %lu wrong %ld handled %ld\n", shared.sum, atomic_load(&wrong),
	       atomic_load(&handled));
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	void *lib = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	char line[64];
	long t, n;

	counter = lib ? (long *(*)(void))dlsym(lib, "load_counter") : NULL;
	if (!counter)
		return 2;
	for (int i = 0; i < LOAD_COPY; i++)
		pattern[i] = i * 13;
	memset(from_handler, 7, LOAD_COPY);
	alarms(SIG_BLOCK); /* but in threads */
	sigaction(SIGALRM, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "go %ld %ld", &t, &n) == 2)
		go(t, n);
	return 0;
}
