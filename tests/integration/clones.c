// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that makes processes of every kind from within functions that are probed at entry and
 * return; children call such functions, return from those that they were made in, and end in one.
 * Says "ready PID", then obeys
 *
 *	one KIND N    N children of a kind, by name
 *	storm T N     T threads, N children each, of all kinds in turn
 *
 * "made SUM bad B counts I O I O I O": children that did not end as they should, and all entries
 * and returns so far of work(), outer() and leave(), as those who called them have counted.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT __attribute__((noinline, noclone, visibility("default")))
#define STACK (64 << 10)
#define STATUS 7
#define DEPTH 3

enum { WORK, OUTER, LEAVE, FUNCTIONS };
static struct {
	atomic_long in[FUNCTIONS], out[FUNCTIONS];
} * own; /* children's, too */
static atomic_long bad;

struct kind {
	const char *name;
	long (*make)(const struct kind *k); /* to its end; a value that the kind stands for */
	int flags;			    /* of clone() */
	int executes;			    /* ends as another program */
};

/* --- probed --- */

EXPORT long work(long depth)
{
	long (*volatile again)(long) = work; /* a call, not a loop */
	long sum = 1;

	__asm__ volatile("" : "+r"(sum)::"memory");
	if (depth)
		sum += again(depth - 1) * 2;
	return sum;
}

EXPORT long outer(const struct kind *k)
{
	long v = k->make(k);

	__asm__ volatile("" : "+r"(v)::"memory");
	return v + 1;
}

EXPORT void leave(int executes)
{
	static char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 7", NULL};
	static char *const env[] = {NULL};

	if (executes)
		syscall(SYS_execve, "/bin/sh", argv, env);
	_exit(executes ? 8 : STATUS);
}

/* --- those who call them --- */

static long do_work(void)
{
	long sum;

	atomic_fetch_add(&own->in[WORK], DEPTH + 1);
	sum = work(DEPTH);
	atomic_fetch_add(&own->out[WORK], DEPTH + 1);
	return sum;
}

static long do_outer(const struct kind *k)
{
	long v;

	atomic_fetch_add(&own->in[OUTER], 1);
	v = outer(k);
	atomic_fetch_add(&own->out[OUTER], 1);
	return v;
}

static void __attribute__((noreturn)) do_leave(int executes)
{
	atomic_fetch_add(&own->in[LEAVE], 1);
	leave(executes);
	_exit(9);
}

static void __attribute__((noreturn)) child(const struct kind *k)
{
	for (int i = 0; i < 3; i++)
		if (do_work() != 15)
			_exit(10);
	do_leave(k->executes);
}

static void ended(pid_t pid)
{
	int status = 0;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != STATUS)
		atomic_fetch_add(&bad, 1);
}

/* --- kinds --- */

static long in_vfork(const struct kind *k)
{
	pid_t pid = vfork();

	if (!pid)
		child(k);
	ended(pid);
	return do_work();
}

/* a child of a vfork() has one itself */
static long in_vforks(const struct kind *k)
{
	pid_t pid = vfork();

	if (!pid) {
		pid = vfork();
		if (!pid)
			child(k);
		do_work();
		do_leave(0);
	}
	ended(pid);
	return do_work();
}

static long in_fork(const struct kind *k)
{
	pid_t pid = fork();

	if (!pid)
		child(k);
	ended(pid);
	return do_work();
}

static long in_clone(const struct kind *k)
{
	pid_t pid = (pid_t)syscall(SYS_clone, k->flags | SIGCHLD, NULL, NULL, NULL, 0);

	if (!pid)
		child(k);
	ended(pid);
	return do_work();
}

/* the child returns from outer(), too */
static long in_both(const struct kind *k)
{
	pid_t pid = fork();

	if (!pid)
		return 1000;
	ended(pid);
	return do_work();
}

static int on_its_stack(void *arg)
{
	child(arg);
}

/* shares the memory, and what finds a thread's variables; runs at the same time */
static long in_shared(const struct kind *k)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid = clone(on_its_stack, stack + STACK, k->flags | SIGCHLD, (void *)k);
	long sum = 0;

	for (int i = 0; i < 20; i++)
		sum += do_work();
	ended(pid);
	munmap(stack, STACK);
	return sum;
}

static const struct kind kinds[] = {
	{"vfork", in_vfork},
	{"vfork_exec", in_vfork, 0, 1},
	{"vfork_vfork", in_vforks},
	{"fork", in_fork},
	{"fork_exec", in_fork, 0, 1},
	{"fork_returns", in_both},
	{"clone", in_clone},
	{"clone_files", in_clone, CLONE_FILES | CLONE_FS},
	{"vm", in_shared, CLONE_VM},
	{"vm_exec", in_shared, CLONE_VM, 1},
	{"vm_sighand", in_shared, CLONE_VM | CLONE_SIGHAND},
	{"vm_vfork", in_shared, CLONE_VM | CLONE_VFORK},
	{"vm_vfork_exec", in_shared, CLONE_VM | CLONE_VFORK, 1},
};
#define KINDS ((long)(sizeof(kinds) / sizeof(kinds[0])))

static long make(const struct kind *k)
{
	long v = do_outer(k);

	if (v == 1001) /* a child that came back */
		do_leave(0);
	return v;
}

struct job {
	long first, n, sum;
};

static void *storm(void *arg)
{
	struct job *j = arg;

	for (long i = 0; i < j->n; i++)
		j->sum += make(&kinds[(j->first + i) % KINDS]) * (i + 1);
	return NULL;
}

static long storms(long threads, long n)
{
	struct job jobs[32] = {{0}};
	pthread_t t[32];
	long sum = 0;

	for (long i = 0; i < threads && i < 32; i++) {
		jobs[i].first = i * 3;
		jobs[i].n = n;
		pthread_create(&t[i], NULL, storm, &jobs[i]);
	}
	for (long i = 0; i < threads && i < 32; i++) {
		pthread_join(t[i], NULL);
		sum += jobs[i].sum;
	}
	return sum;
}

static long one(const char *name, long n)
{
	long sum = 0;

	for (long k = 0; k < KINDS; k++)
		for (long i = 0; i < n && !strcmp(name, kinds[k].name); i++)
			sum += make(&kinds[k]);
	return sum;
}

int main(void)
{
	char line[64], name[32];
	long t, n, sum;

	own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "storm %ld %ld", &t, &n) == 2)
			sum = storms(t, n);
		else if (sscanf(line, "one %31s %ld", name, &n) == 2)
			sum = one(name, n);
		else
			break;
		printf("made %ld bad %ld counts", sum, atomic_load(&bad));
		for (int f = 0; f < FUNCTIONS; f++)
			printf(" %ld %ld", atomic_load(&own->in[f]), atomic_load(&own->out[f]));
		printf("\n");
	}
	return 0;
}
