/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other processes in the target's memory: the child of a vfork() or posix_spawn() that has not
 * executed its program yet, or one of a bare clone(CLONE_VM). They execute the same text, are not
 * held, and have handlers and masks of their own: a break byte kills such a one, unless it was made
 * when ours were there already.
 *
 * The kernel says whether two processes share their memory (kcmp). Where that is forbidden or
 * missing, what is written to the target is looked for in those that could share it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/inject.h"
#include "daemon/inject_crowd.h"

#define NEWCOMERS_MAX 256

/* Field @n of /proc/PID/stat, in what follows the name; 0 when it can't be told. */
static u64 field(const char *rest, u32 n)
{
	for (u32 i = 2; rest && i < n; i++)
		rest = strchr(rest + 1, ' ');
	return rest ? strtoull(rest, NULL, 10) : 0;
}

/*
 * Where its program's text and its stack begin: the same in who shares the memory, and in forked
 * children. 0: unknown.
 */
static u64 layout(pid_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], buf[1024], *rest;
	u64 code, stack;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;
	buf[n] = 0;
	rest = strrchr(buf, ')');
	code = field(rest, 26);
	stack = field(rest, 28);
	return code > 1 && stack > 1 ? stack ^ code << 1 : 0;
}

static bool reads(pid_t pid, u64 at, u64 what)
{
	_cleanup_close_ int mem = -1;
	char path[64];
	u64 v;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	return mem >= 0 && pread(mem, &v, sizeof(v), (off_t)at) == sizeof(v) && v == what;
}

/* kcmp() must not be used, or there is none: try. @room is 8 bytes of the target that are ours. */
static bool shares_contents(struct thread *t, pid_t pid, u64 room)
{
	u64 theirs = layout(pid), mark;

	if (!theirs || theirs != layout(t->pid) ||
	    getrandom(&mark, sizeof(mark), 0) != sizeof(mark) ||
	    thread_write(t, room, &mark, sizeof(mark)))
		return false;
	return reads(pid, room, mark);
}

static long same_memory(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0);
}

/* May kcmp() be used at all? Then who is denied to it is denied to layout(), too. */
static bool may_compare(void)
{
	return same_memory(getpid(), getpid()) == 0;
}

/* Without a thread to work with, who could share it counts as one who does. */
static bool shares(pid_t target, struct thread *t, pid_t pid, u64 room)
{
	long same = same_memory(target, pid);

	if (same >= 0 || errno == ESRCH || may_compare())
		return same == 0;
	return t ? shares_contents(t, pid, room) : layout(pid) && layout(pid) == layout(target);
}

static pid_t who_shares(pid_t target, struct thread *t, u64 room)
{
	const pid_t self = getpid();
	struct dirent *e;
	pid_t found = 0;
	DIR *dir = opendir("/proc");

	while (dir && !found && (e = readdir(dir))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid > 0 && pid != target && pid != self && shares(target, t, pid, room))
			found = pid;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* A thread that waits for its vfork()'s child does so without regard for signals. */
static bool any_vforks(pid_t pid)
{
	struct dirent *e;
	bool found = false;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
		struct probe_task task;

		found = tid > 0 && probe_task_read(pid, tid, &task) == 0 && task.state == 'D';
	}
	if (dir)
		closedir(dir);
	return found;
}

pid_t inject_shares_memory(pid_t pid)
{
	return who_shares(pid, NULL, 0);
}

/*
 * The number that was given to a process or thread last, of those that can be seen here. 0: not
 * known; what containers put in the place of this file is not up to date.
 */
static pid_t newest(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/loadavg", "re");
	struct statfs st;
	int pid;

	if (!f || fstatfs(fileno(f), &st) || st.f_type != PROC_SUPER_MAGIC)
		return 0;
	return fscanf(f, "%*s %*s %*s %*s %d", &pid) == 1 ? pid : 0;
}

void crowd_look_around(struct crowd *c, pid_t pid)
{
	pid_t last = newest();

	c->last_alone = may_compare() && !who_shares(pid, NULL, 0) ? last : 0;
}

/* Of those that have come since, thread or process: 0, or -1 when that can't be told so. */
static pid_t newcomer(const struct crowd *c)
{
	pid_t last = newest(), pid;

	if (!c->last_alone || last < c->last_alone || last - c->last_alone > NEWCOMERS_MAX)
		return -1;
	for (pid = c->last_alone + 1; pid <= last; pid++)
		if (!crowd_knows(c, pid) && same_memory(c->t->pid, pid) == 0)
			return pid;
	return 0;
}

pid_t crowd_other(struct crowd *c, u64 room)
{
	pid_t pid = newcomer(c);

	return pid >= 0 ? pid : who_shares(c->t->pid, c->t, room);
}

int crowd_refuse(struct crowd *c, pid_t other)
{
	struct thread *t = c->t;

	return thread_fail(
		t, any_vforks(t->pid) || any_vforks(other) ? -EAGAIN : -EPERM,
		"process %d shares the memory of process %d (vfork or clone with CLONE_VM), a "
		"probe would kill it; "
		"attach again once one of them has ended, or start the program with `ebpfrt run`",
		other, t->pid);
}
