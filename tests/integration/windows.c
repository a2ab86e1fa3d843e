// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that goes through the windows in which the C library blocks signals or shares memory
 * with a child. Says "ready PID", then obeys "go N": each of them N times: "fired
 * TIMERS sum S", S of all results.
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static atomic_long fired;

static void *leaves(void *arg)
{
	pthread_exit((char *)arg + 1);
}

static void *waits(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void on_timer(union sigval v)
{
	atomic_fetch_add(&fired, v.sival_int);
}

static long status_of(pid_t pid)
{
	int status = 0;

	waitpid(pid, &status, 0);
	return status;
}

static long threads(long i)
{
	void *ret, *cancelled;
	pthread_t t;

	pthread_create(&t, NULL, leaves, (void *)i);
	pthread_join(t, &ret);
	pthread_create(&t, NULL, waits, NULL);
	pthread_cancel(t);
	pthread_join(t, &cancelled);
	return (long)ret + (cancelled == PTHREAD_CANCELED);
}

static long children(long i)
{
	char *const argv[] = {"sh", "-c", "exit 3", NULL};
	char line[16] = "";
	FILE *f = popen("echo 12", "r");
	pid_t pid;
	long sum = system("exit 4");

	if (f && fgets(line, sizeof(line), f))
		sum += atol(line);
	sum += f ? pclose(f) : -1;
	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0)
		sum += status_of(pid);
	pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		abort();
	}
	return sum * 3 + (status_of(pid) & 0x7f) + i;
}

static void timer(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_timer};
	struct itimerspec at = {.it_value = {0, 100000}};
	long want = atomic_load(&fired) + 1;
	timer_t t;

	ev.sigev_value.sival_int = 1;
	timer_create(CLOCK_MONOTONIC, &ev, &t);
	timer_settime(t, 0, &at, NULL);
	while (atomic_load(&fired) < want)
		nanosleep(&at.it_value, NULL);
	timer_delete(t);
}

int main(void)
{
	char line[64];
	long n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "go %ld", &n) == 1) {
		long sum = 0;

		atomic_store(&fired, 0);
		for (long i = 0; i < n; i++) {
			sum = sum * 5 + threads(i) + children(i);
			timer();
		}
		printf("fired %ld sum %lx\n", atomic_load(&fired), sum);
	}
	return 0;
}
