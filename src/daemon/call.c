/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calling a preloaded agent by a signal, where ptrace is denied: see agent/call.c for what happens
 * there, proto/shm_abi.h for what the signal says.
 *
 * Rules: the signal goes to one thread that has it open, best one that runs or waits in a system
 * call which the kernel restarts; never to one that waits for signals, which would take it for its
 * own. What can't be found out about a thread speaks against it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/exchange.h"
#include "proto/shm_abi.h"

#define CALL_BIT (1ull << (AGENT_CALL_SIGNAL - 1))

struct callee {
	pid_t tid;
	int rank; /* lower is better, negative: not at all */
	int nr;	  /* of the system call it is in, -1: unknown */
};

static FILE *open_task(pid_t pid, pid_t tid, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	return fopen(path, "re");
}

/* Running, or asleep with the signal open? */
static int rank_of_state(pid_t pid, pid_t tid)
{
	_cleanup_fclose_ FILE *f = open_task(pid, tid, "status");
	char line[256], state = 0;
	u64 blocked = ~0ull;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "State: %c", &state) != 1)
			sscanf(line, "SigBlk: %" SCNx64, &blocked);
	if (blocked & CALL_BIT)
		return -1;
	return state == 'R' ? 0 : state == 'S' ? 1 : state == 'D' ? 8 : -1;
}

/* Waits that are not gone on with by the kernel itself; sorted by how much is to be done. */
static int rank_of_wait(pid_t pid, pid_t tid)
{
	static const char *const later[] = {"hrtimer_nanosleep", "poll",  "select",
					    "ep_poll",		 "futex", "sigsuspend"};
	_cleanup_fclose_ FILE *f = open_task(pid, tid, "wchan");
	char where[64] = "";

	if (!f || !fgets(where, sizeof(where), f))
		return 6;
	if (strstr(where, "sigtimedwait"))
		return -1;
	for (u32 i = 0; i < ARRAY_SIZE(later); i++)
		if (strstr(where, later[i]))
			return (int)i + 1;
	return 0;
}

/* Where we may know it. */
static int syscall_of(pid_t pid, pid_t tid)
{
	_cleanup_fclose_ FILE *f = open_task(pid, tid, "syscall");
	int nr;

	return f && fscanf(f, "%d", &nr) == 1 && nr >= 0 && nr < 1024 ? nr : -1;
}

static struct callee look_at(pid_t pid, pid_t tid)
{
	struct callee c = {.tid = tid, .rank = rank_of_state(pid, tid), .nr = -1};
	int wait = c.rank > 0 ? rank_of_wait(pid, tid) : 0;

	if (c.rank < 0 || wait < 0)
		c.rank = -1;
	else
		c.rank += wait;
	if (c.rank > 0)
		c.nr = syscall_of(pid, tid);
	if (c.nr == SYS_rt_sigtimedwait)
		c.rank = -1;
	return c;
}

static bool choose(pid_t pid, struct callee *out)
{
	struct callee best = {.rank = -1};
	char path[64];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
		struct callee c = {.rank = -1};

		if (tid > 0)
			c = look_at(pid, tid);
		if (c.rank >= 0 && (best.rank < 0 || c.rank < best.rank))
			best = c;
	}
	if (dir)
		closedir(dir);
	*out = best;
	return best.rank >= 0;
}

static int send_call(pid_t pid, const struct callee *c, int dir)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = AGENT_CALL_SIGNAL;
	info.si_code = SI_QUEUE;
	info.si_errno = (int)AGENT_CALL_MARK;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_ptr = (void *)((u64)(u32)dir | (u64)(u32)(c->nr + 1) << 32);
	return syscall(SYS_rt_tgsigqueueinfo, pid, c->tid, AGENT_CALL_SIGNAL, &info) ? -errno : 0;
}

int call_may(s32 pid, char why[PROBE_WHY_MAX])
{
	struct probe_process p;
	int err = probe_process_read(pid, &p, why);

	return err ? err : probe_process_may_call(&p, why);
}

int call_agent(struct exchange *x, char why[PROBE_WHY_MAX])
{
	s32 pid = x->t->pid;
	struct callee c;
	int err = call_may(pid, why);

	if (err)
		return err;
	if (x->call_dir < 0)
		x->call_dir = open(x->t->d->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (x->call_dir < 0) {
		snprintf(why, PROBE_WHY_MAX, "the runtime directory %s is gone", x->t->d->dir);
		return -errno;
	}
	if (!choose(pid, &c)) {
		snprintf(why, PROBE_WHY_MAX,
			 "ptrace is denied, and no thread of process %d can be called: all of them "
			 "block SIGURG or wait for signals",
			 pid);
		return -EAGAIN; /* it may be on its way out of the last call */
	}
	err = send_call(pid, &c, x->call_dir);
	if (err)
		snprintf(why, PROBE_WHY_MAX, "cannot send a signal to process %d: %s", pid,
			 strerror(-err));
	return err;
}

bool call_memory_denied(const struct target *t)
{
	_cleanup_close_ int fd = -1;
	char path[64];

	if (t->mem >= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/mem", t->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 && (errno == EACCES || errno == EPERM);
}
