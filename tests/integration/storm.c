// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that does, all at once and over and over, what C libraries do with signals blocked or memory shared: threads come
 * and go, children are spawned, forked and vforked, timers make threads, children abort. Each round checks its own outcome.
 *
 *	storm [WORKERS]   prints "ready PID", works until the line "stop", prints "rounds N work CALLS" or what went wrong,
 *			  and waits for one more line
 *
 * work() is called a known number of times, by threads and by children that share the parent's counter.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static atomic_long *calls; /* shared with forked children */
static atomic_bool over;
static atomic_long rounds;
static char wrong[256];
extern char **environ;

__attribute__((noinline, noclone, visibility("default"))) long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

static void call_work(long n)
{
	for (long i = 0; i < n; i++)
		work(i);
	atomic_fetch_add(calls, n);
}

static void expect(const char *what, long got, long want)
{
	if (got != want && !wrong[0])
		snprintf(wrong, sizeof(wrong), "%s: %ld instead of %ld (%s)", what, got, want, strerror(errno));
}

static long ended(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void *short_life(void *arg)
{
	free(malloc(10 + (long)arg));
	call_work(5);
	return (void *)((long)arg + 1);
}

static void threads(void)
{
	pthread_t t[4];
	void *ret;

	for (long i = 0; i < 4; i++)
		expect("pthread_create", pthread_create(&t[i], NULL, short_life, (void *)i), 0);
	for (long i = 0; i < 4; i++) {
		pthread_join(t[i], &ret);
		expect("a thread's result", (long)ret, i + 1);
	}
}

static void spawn(void)
{
	char *const argv[] = {"sh", "-c", "exit 3", NULL};
	pid_t pid;

	expect("posix_spawn", posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
	expect("a spawned child's status", ended(pid), 3);
	expect("posix_spawn of nothing", posix_spawn(&pid, "/nothing", NULL, NULL, argv, environ), ENOENT);
}

static void shell(void)
{
	char line[32] = "";
	FILE *f = popen("echo popen", "r");

	if (f && !fgets(line, sizeof(line), f))
		line[0] = 0;
	expect("popen's output", strcmp(line, "popen\n"), 0);
	expect("pclose", f ? pclose(f) : -1, 0);
	expect("system", WEXITSTATUS(system("exit 4")), 4);
}

static void forks(void)
{
	pid_t pid = fork();

	if (!pid) {
		call_work(7);
		free(malloc(100));
		_exit(5);
	}
	expect("a forked child's status", ended(pid), 5);
	pid = vfork();
	if (!pid) {
		work(1);
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	atomic_fetch_add(calls, 1);
	expect("a vforked child's status", ended(pid), 0);
	pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		abort();
	}
	expect("an aborted child's status", ended(pid), 1000 + SIGABRT);
}

static void on_timer(union sigval v)
{
	atomic_store((atomic_int *)v.sival_ptr, 1);
}

static void timers(void)
{
	struct timespec ms = {0, 1000000};
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_timer};
	struct itimerspec at = {.it_value = ms};
	atomic_int done = 0;
	timer_t t;

	ev.sigev_value.sival_ptr = &done;
	expect("timer_create", timer_create(CLOCK_MONOTONIC, &ev, &t), 0);
	timer_settime(t, 0, &at, NULL);
	while (!atomic_load(&done))
		nanosleep(&ms, NULL);
	timer_delete(t);
}

static void pipes(void)
{
	char buf[64], out[64];
	int fds[2];

	memset(out, 'x', sizeof(out));
	expect("pipe", pipe(fds), 0);
	for (int i = 0; i < 50; i++) {
		expect("write", write(fds[1], out, sizeof(out)), sizeof(out));
		expect("read", read(fds[0], buf, sizeof(buf)), sizeof(buf));
		expect("the bytes", memcmp(buf, out, sizeof(out)), 0);
		free(malloc(i));
	}
	close(fds[0]);
	close(fds[1]);
}

static void *worker(void *arg)
{
	static void (*const kinds[])(void) = {threads, spawn, forks, timers, pipes, threads, shell};

	for (long i = (long)arg; !atomic_load(&over) && !wrong[0]; i++) {
		kinds[i % (sizeof(kinds) / sizeof(kinds[0]))]();
		atomic_fetch_add(&rounds, 1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 4;
	pthread_t t[64];
	char line[64];

	calls = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	n = n > 64 ? 64 : n;
	for (long i = 0; i < n; i++)
		pthread_create(&t[i], NULL, worker, (void *)i);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "stop\n"))
		printf("rounds %ld\n", atomic_load(&rounds));
	atomic_store(&over, true);
	for (long i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	if (wrong[0])
		printf("wrong: %s\n", wrong);
	else
		printf("rounds %ld work %ld\n", atomic_load(&rounds), atomic_load(calls));
	/* somebody may want to look at us once more */
	return !fgets(line, sizeof(line), stdin) || wrong[0];
}
