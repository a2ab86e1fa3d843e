/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See inject_thread.h. The points that make it invisible to the target:
 *
 * - PTRACE_SEIZE and PTRACE_INTERRUPT: no signal is involved, a stopped job stays stopped.
 * - System calls of ours run with the original call number -1 and are followed by syscall stops,
 *   not single steps: those would be a forced SIGTRAP, which resets a disposition of SIG_IGN.
 * - The registers are put back in an event stop. Only there does the kernel look, on the way out,
 *   whether an interrupted system call is to be restarted.
 * - Calls that fail with EINTR after a mere stop are repeated, by the kernel, unless a signal is
 *   handled before that.
 * - Signals of the target wait in the kernel's queue, with their sender and value, as if the thread
 *   blocked them. Those that must be open meanwhile the kernel puts back when it finds them blocked
 *   after their stop. Faults of the agent must come through, so what was sent of their signals is
 *   set aside while it works, and takes the place of one that we send instead.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/inject_thread.h"
#include "osl/osl.h"
#include "probe/probe.h"

#define STOP_WAIT_NS 300000000ULL      /* for one candidate to stop */
#define RESTORE_WAIT_NS 10000000000ULL /* to stop once more, after its work */
#define RESTORE_TRIES 3u
#define SEIZE_TRIES 4
#define QUICK_NS 5000000ULL  /* a thread that gets a processor stops that soon, */
#define QUICK_NAP_NS 100000L /* and is held from then on */
#define SLOW_NAP_NS 5000000L
#define SPIN_NS 60000
#define IN_VAIN 3u
#define BIT(sig) (1ULL << ((sig)-1))
#define FAULTS (BIT(SIGSEGV) | BIT(SIGBUS)) /* that the agent may have */
#define SYNCHRONOUS (FAULTS | BIT(SIGILL) | BIT(SIGFPE) | BIT(SIGTRAP))
#define PEEK 32

int thread_fail(struct thread *t, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->why, t->why_size, fmt, ap);
	va_end(ap);
	return err;
}

int thread_read(struct thread *t, u64 addr, void *buf, size_t len)
{
	ssize_t n = pread(t->mem, buf, len, (off_t)addr);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EFAULT;
}

int thread_write(struct thread *t, u64 addr, const void *buf, size_t len)
{
	ssize_t n = pwrite(t->mem, buf, len, (off_t)addr);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EFAULT;
}

/* --- threads
 * --------------------------------------------------------------------------------------
 */

/*
 * A traced thread is another debugger's, unless its tracer is gone by now or is one of our own,
 * whose work is done but for the letting go.
 */
bool task_tracer_passes(const struct probe_task *task)
{
	char path[64], comm[16] = "";
	_cleanup_fclose_ FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/%d/comm", task->tracer);
	f = fopen(path, "re");
	return !f || !fgets(comm, sizeof(comm), f) ||
	       !strncmp(comm, PROBE_INJECTOR, strlen(PROBE_INJECTOR));
}

/* Sleeping threads first: they are in a system call, so its instruction is at hand. Negative: not
 * at all. */
static int task_rank(const struct probe_task *task)
{
	int rank;

	switch (task->state) {
	case 'S':
	case 'T':
		rank = 0;
		break;
	case 'R':
		rank = 1;
		break;
	case 'D': /* uninterruptible, or the parent of a vfork: perhaps not for long */
		rank = 8;
		break;
	default:
		return -1;
	}
	return rank + (task->blocked & BIT(SIGTRAP) ? 4 : 0);
}

static int candidates(struct thread *t)
{
	char path[64];
	struct dirent *e;
	int err = 0;
	DIR *dir;

	t->n = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", t->pid);
	dir = opendir(path);
	if (!dir && errno != ENOENT)
		return thread_fail(t, -errno, "cannot list the threads of process %d: %s", t->pid,
				   strerror(errno));
	if (!dir)
		return thread_fail(t, -ESRCH, "process %d does not exist any more", t->pid);
	while (t->n < THREAD_CANDIDATES && (e = readdir(dir))) {
		struct probe_task task;
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

		if (tid <= 0)
			continue;
		err = probe_task_read(t->pid, tid, &task);
		if (!err && task_rank(&task) >= 0)
			t->v[t->n++] =
				(struct thread_candidate){tid, task_rank(&task), task.state == 'R'};
	}
	closedir(dir);
	if (!t->n && err && err != -ENOENT && err != -ESRCH)
		return thread_fail(t, err, "cannot look at the threads of process %d: %s", t->pid,
				   strerror(-err));
	return 0;
}

static int by_rank(const void *a, const void *b)
{
	const struct thread_candidate *x = a, *y = b;

	return x->rank - y->rank;
}

/* --- stops --------------------------------------------------------------------------------------
 */

void thread_held_since(struct thread *t, u64 ns)
{
	if (!t->held_at_ns || ns < t->held_at_ns)
		t->held_at_ns = ns;
}

static bool is_exec(int status)
{
	return WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_EXEC;
}

/* Seizing waits for a thread that is about to execute a program, which has another number then. */
static bool met_afterwards(const struct thread *t)
{
	struct probe_task task;

	return !t->held && t->tid != t->pid && !probe_task_read(t->pid, t->pid, &task) &&
	       task.state != 'Z' && task.tracer == getpid();
}

/*
 * Another program has our thread's process: nothing there is what it was, above all not what was
 * saved. The thread that executed it has the process's number now, and had another one perhaps.
 */
static bool has_executed(const struct thread *t, int status)
{
	u64 deadline = osl_now_ns() + STOP_WAIT_NS;
	pid_t got = 0;

	if (met_afterwards(t))
		return true; /* let go at the end of our process */
	while (!is_exec(status)) {
		got = waitpid(t->pid, &status, __WALL | WNOHANG);
		if (got < 0 || (got && !is_exec(status)) || osl_now_ns() >= deadline)
			return false;
		if (!got)
			usleep(200);
	}
	ptrace(PTRACE_DETACH, t->pid, NULL, NULL);
	return true;
}

int thread_gone(struct thread *t, int status)
{
	if (!t->gone)
		t->executed = has_executed(t, status);
	t->gone = true;
	return -ESRCH;
}

int thread_fail_gone(struct thread *t, const char *when)
{
	if (t->executed)
		return thread_fail(t, -ESRCH,
				   "process %d has started another program (exec) %s; attach to "
				   "it again",
				   t->pid, when);
	return thread_fail(t, -ESRCH, "process %d ended %s", t->pid, when);
}

/*
 * To sleep and to be woken takes as long as what is waited for, where both have a processor. Where
 * they share one to look again only keeps it from the other: what was in vain a few times is not
 * done any more.
 */
static bool looks_again(struct thread *t, u64 since)
{
	if (since < SPIN_NS && t->vain < IN_VAIN)
		return true;
	t->vain++;
	return false;
}

/* @soon: its way to the stop takes microseconds. */
static int wait_stop(struct thread *t, u64 deadline, bool soon, int *status)
{
	u64 asked = osl_now_ns(), now = asked;
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (;;) {
		/* a signal may stand for several children: look again now and then */
		struct timespec nap = {0, now - asked < QUICK_NS ? QUICK_NAP_NS : SLOW_NAP_NS};
		pid_t got = waitpid(t->tid, status, __WALL | WNOHANG);

		if (got == t->tid && WIFSTOPPED(*status) && !is_exec(*status)) {
			thread_held_since(t, now);
			if (soon)
				t->vain = 0;
			return 0;
		}
		if (got == t->tid || (got < 0 && errno != EINTR))
			return thread_gone(t, got > 0 ? *status : 0);
		now = osl_now_ns();
		if (now >= deadline)
			return -ETIMEDOUT;
		soon = soon && looks_again(t, now - asked);
		if (!soon)
			sigtimedwait(&chld, NULL, &nap);
	}
}

enum halt { HALT_SYSCALL, HALT_EVENT, HALT_SIGNAL };

static enum halt halt_of(int status)
{
	if (status >> 16 == PTRACE_EVENT_STOP)
		return HALT_EVENT;
	return WSTOPSIG(status) == (SIGTRAP | 0x80) ? HALT_SYSCALL : HALT_SIGNAL;
}

/* Let the thread go on, unless it does already, until it stops again. */
static int go(struct thread *t, int request, u64 deadline, bool soon, enum halt *halt, int *got)
{
	int status, ret;

	if (!t->running && ptrace(request, t->tid, NULL, (void *)(long)t->pass))
		return errno == ESRCH ? thread_gone(t, 0) : -errno;
	t->running = true;
	t->pass = 0;
	ret = wait_stop(t, deadline, soon, &status);
	if (ret)
		return ret;
	t->running = false;
	*halt = halt_of(status);
	*got = WSTOPSIG(status);
	return 0;
}

static int set_mask(struct thread *t, u64 mask)
{
	return ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof(mask), &mask) ? -errno : 0;
}

static int change_mask(struct thread *t, u64 block, u64 open)
{
	u64 mask;

	if (ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof(mask), &mask))
		return -errno;
	return set_mask(t, (mask | block) & ~open);
}

/* It goes back to where the kernel took it from, as it is blocked now. (A stop can't be.) */
static void put_off(struct thread *t, int sig)
{
	if (sig == SIGSYS) /* ours: a filter forbids what we tried */
		return;
	change_mask(t, BIT(sig), 0);
	t->pass = sig;
}

/* To the next event stop; after PTRACE_INTERRUPT it comes before any instruction is executed. */
static int to_event_stop(struct thread *t, u64 deadline)
{
	enum halt halt;
	int sig, ret;

	if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL))
		return -errno;
	do {
		ret = go(t, PTRACE_CONT, deadline, true, &halt, &sig);
		if (ret == 0 && halt == HALT_SIGNAL)
			put_off(t, sig);
	} while (ret == 0 && halt != HALT_EVENT);
	return ret;
}

static int get_regs(struct thread *t, struct remote_regs *r)
{
	struct iovec iov = {&r->user, sizeof(r->user)};

	if (ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_PRSTATUS, &iov))
		return -errno;
	return iov.iov_len == sizeof(r->user) ? 0 : -EOPNOTSUPP;
}

/* Is there a signal on its way that the thread's last instruction has raised? */
static bool raised(struct thread *t)
{
	struct probe_task task;
	struct remote_regs regs;

	if (get_regs(t, &regs) == 0 && remote_waits_plainly(&regs))
		return false;
	return probe_task_read(t->pid, t->tid, &task) == 0 &&
	       task.own & ~task.blocked & SYNCHRONOUS;
}

/* Who waits without regard for signals may do so for ever; who waits for a processor does not. */
static int wait_first_stop(struct thread *t, u64 deadline, int *status)
{
	int ret = wait_stop(t, deadline, true, status);
	struct probe_task task;

	while (ret == -ETIMEDOUT && osl_now_ns() < t->deadline_ns &&
	       probe_task_read(t->pid, t->tid, &task) == 0 && task.state != 'D')
		ret = wait_stop(t, MIN(t->deadline_ns, osl_now_ns() + STOP_WAIT_NS), false, status);
	return ret;
}

/*
 * The first stop. Signals that arrive before it are the target's own business. So is one that its
 * last instruction has raised and that is not delivered yet, the trap of a site above all: an event
 * stop comes before the delivery. Such a signal must meet the registers and handlers it was raised
 * with, so it is let through; the thread stops at the first instruction of its handler.
 */
static int first_stop(struct thread *t)
{
	u64 deadline = MIN(t->deadline_ns, osl_now_ns() + STOP_WAIT_NS);
	bool asked = false, passing = false;

	for (;;) {
		int status, ret;
		bool event;

		if (!asked && !passing) {
			if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL))
				return errno == ESRCH ? thread_gone(t, 0) : -errno;
			asked = true;
		}
		ret = wait_first_stop(t, deadline, &status);
		if (ret)
			return ret;
		event = halt_of(status) == HALT_EVENT;
		if (event && !raised(t))
			return 0;
		passing = event;
		if (event)
			asked = false;
		else if (!asked)
			asked = ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) == 0;
		ptrace(PTRACE_CONT, t->tid, NULL, (void *)(long)(event ? 0 : WSTOPSIG(status)));
	}
}

/* --- signals set aside --------------------------------------------------------------------------
 */

static bool is_queued(struct thread *t, int sig, u32 flags)
{
	struct __ptrace_peeksiginfo_args which = {0, flags, PEEK};
	siginfo_t info[PEEK];
	long n;

	while ((n = ptrace(PTRACE_PEEKSIGINFO, t->tid, &which, info)) > 0) {
		for (long i = 0; i < n; i++)
			if (info[i].si_signo == sig)
				return true;
		which.off += (u64)n;
	}
	return false;
}

/* To whom was it sent? Only the queue tells: it goes there for a moment, and comes again. */
static int look_up(struct thread *t, int sig)
{
	int err;

	put_off(t, sig);
	err = to_event_stop(t, t->deadline_ns);
	if (err)
		return err;
	t->found |= BIT(sig);
	t->shared &= ~BIT(sig);
	if (!is_queued(t, sig, 0) && is_queued(t, sig, PTRACE_PEEKSIGINFO_SHARED))
		t->shared |= BIT(sig);
	return change_mask(t, 0, BIT(sig));
}

/* Of each kind one would have waited for the thread and one for the process. */
static void set_aside(struct thread *t, const siginfo_t *info, bool shared)
{
	for (u32 i = 0; i < t->naside; i++)
		if (t->aside[i].info.si_signo == info->si_signo && t->aside[i].shared == shared)
			return;
	if (t->naside < THREAD_ASIDE_MAX)
		t->aside[t->naside++] = (struct thread_aside){*info, shared};
}

static int sent_fault(struct thread *t, const siginfo_t *info)
{
	if (!(t->found & BIT(info->si_signo)))
		return look_up(t, info->si_signo);
	t->found &= ~BIT(info->si_signo);
	set_aside(t, info, t->shared & BIT(info->si_signo));
	return 0;
}

/*
 * One that we send is given what the other was. Nobody else takes it: all threads are held. The
 * thread's own come before those of the process.
 */
static int queue_again(struct thread *t, const struct thread_aside *a)
{
	int sig = 0, wanted = a->info.si_signo;
	bool own_first = a->shared && is_queued(t, wanted, 0);
	enum halt halt;
	siginfo_t info;

	if (is_queued(t, wanted, a->shared ? PTRACE_PEEKSIGINFO_SHARED : 0))
		return 0; /* the kernel takes two for one */
	if (a->shared ? kill(t->pid, wanted) : syscall(SYS_tgkill, t->pid, t->tid, wanted))
		return -errno;
	while (sig != wanted || own_first) {
		if (sig == wanted) {
			if (ptrace(PTRACE_GETSIGINFO, t->tid, NULL, &info) == 0)
				set_aside(t, &info, false);
			own_first = false;
		} else if (sig) {
			put_off(t, sig);
		}
		if (change_mask(t, 0, BIT(wanted)) ||
		    go(t, PTRACE_CONT, osl_now_ns() + RESTORE_WAIT_NS, true, &halt, &sig) ||
		    halt != HALT_SIGNAL)
			return -EIO;
	}
	ptrace(PTRACE_SETSIGINFO, t->tid, NULL, &a->info);
	put_off(t, wanted);
	return 0;
}

/* It ends in an event stop, as it begins. */
static int queue_aside(struct thread *t)
{
	struct thread_aside a;
	int err = 0;

	while (t->naside && err == 0) {
		a = t->aside[--t->naside];
		if (queue_again(t, &a) && !t->gone)
			syscall(SYS_tgkill, t->pid, t->tid, a.info.si_signo);
		err = t->gone ? -ESRCH : to_event_stop(t, osl_now_ns() + RESTORE_WAIT_NS);
	}
	return err;
}

/* --- registers ----------------------------------------------------------------------------------
 */

static int set_regs(struct thread *t, struct remote_regs *r)
{
	struct iovec iov = {&r->user, sizeof(r->user)};

	return ptrace(PTRACE_SETREGSET, t->tid, (void *)NT_PRSTATUS, &iov) ? -errno : 0;
}

/* One that can't be asked, as it is just ending, has none. */
static bool handles_pending(pid_t pid, pid_t tid)
{
	struct probe_task task;

	return !probe_task_read(pid, tid, &task) && task.pending & ~task.blocked & task.caught;
}

void thread_repeat_syscall(pid_t pid, pid_t tid, struct remote_regs *r)
{
	u8 before[sizeof(long)];
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, tid, (void *)(remote_last_syscall(r) - REMOTE_BEFORE), NULL);
	memcpy(before, &word, sizeof(before));
	if (errno)
		remote_repeat_syscall(r, NULL);
	else if (!remote_repeats_before(r, before) || !handles_pending(pid, tid))
		remote_repeat_syscall(r, before);
}

static int save(struct thread *t)
{
	struct iovec x = {t->xstate, sizeof(t->xstate)};
	struct probe_task task;
	int ret = get_regs(t, &t->saved);

	if (ret)
		return ret;
	if (!remote_is_64bit(&t->saved))
		return -EOPNOTSUPP;
	if (ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_X86_XSTATE, &x) ||
	    ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof(t->mask), &t->mask))
		return -errno;
	t->xstate_len = x.iov_len;
	t->seen = t->mask;
	if (!remote_waits_plainly(&t->saved)) {
		ret = probe_task_read(t->pid, t->tid, &task);
		if (ret)
			return ret == -ENOENT ? -ESRCH : ret;
		t->seen = task.blocked;
	}
	if (remote_spurious_eintr(&t->saved))
		thread_repeat_syscall(t->pid, t->tid, &t->saved);
	return 0;
}

static void remove_way_back(struct thread *t)
{
	static const u8 zeros[REMOTE_WAY_BACK];

	if (t->back)
		thread_write(t, t->back, zeros, sizeof(zeros));
	t->back = 0;
}

static int restore(struct thread *t)
{
	struct iovec x = {t->xstate, t->xstate_len};
	int ret = ptrace(PTRACE_SETREGSET, t->tid, (void *)NT_X86_XSTATE, &x) ? -errno : 0;

	if (ret == 0)
		ret = set_mask(t, t->mask | t->opened);
	if (ret == 0)
		ret = set_regs(t, &t->saved);
	if (ret)
		return ret;
	remove_way_back(t);
	return 0;
}

/* The one step that must not fail is tried again; then there is still the way back. */
static int restore_surely(struct thread *t)
{
	int ret = -EIO;

	/* it gets time of its own, whatever was left: on a busy machine it may need it */
	for (u32 i = 0; i < RESTORE_TRIES && ret && !t->gone; i++) {
		ret = to_event_stop(t, osl_now_ns() + RESTORE_WAIT_NS);
		if (ret == 0 && t->naside)
			ret = queue_aside(t);
		if (ret == 0)
			ret = restore(t);
	}
	return ret;
}

u64 thread_release(struct thread *t)
{
	u64 held = t->held ? osl_now_ns() - t->held_at_ns : 0;

	if (t->held && restore_surely(t) == 0) {
		ptrace(PTRACE_DETACH, t->tid, NULL, NULL);
		held = osl_now_ns() - t->held_at_ns;
	}
	t->held = false;
	t->opened = 0;
	t->begun = t->looked = t->claimed = false;
	t->held_at_ns = 0;
	if (t->mem >= 0)
		close(t->mem);
	t->mem = -1;
	return held;
}

/* --- a system call instruction ------------------------------------------------------------------
 */

static u64 scan(struct thread *t, u64 start, u64 end)
{
	u8 buf[8192];

	for (u64 at = start; at < end; at += sizeof(buf) - 1) {
		size_t len = MIN(sizeof(buf), end - at);
		const u8 *hit;

		if (thread_read(t, at, buf, len))
			return 0;
		hit = memmem(buf, len, REMOTE_SYSCALL, REMOTE_SYSCALL_LEN);
		if (hit)
			return at + (u64)(hit - buf);
	}
	return 0;
}

/*
 * Memory without a file of its own, such as a program's image: another thread may unmap it while we
 * are at work, and what is mapped there next is not to be written to or executed.
 */
static bool may_go(const char *line)
{
	return strstr(line, " /memfd:");
}

static u64 scan_all(struct thread *t)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[512], perms[8];
	u64 start, end, found = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end, perms) == 3 &&
		    perms[0] == 'r' && perms[2] == 'x' && !strstr(line, "[vsyscall]") &&
		    !may_go(line))
			found = scan(t, start, end);
	return found;
}

static bool insn_is_there(struct thread *t)
{
	u8 insn[REMOTE_SYSCALL_LEN];

	return thread_read(t, t->insn, insn, sizeof(insn)) == 0 &&
	       memcmp(insn, REMOTE_SYSCALL, sizeof(insn)) == 0;
}

static int find_insn(struct thread *t)
{
	t->insn = remote_last_syscall(&t->saved);
	if (remote_in_syscall(&t->saved) && insn_is_there(t))
		return 0;
	t->insn = scan_all(t);
	return t->insn ? 0 : -ENOENT;
}

/* The agent, which was called meanwhile, puts breakpoints on some of them. */
static int find_insn_again(struct thread *t)
{
	return insn_is_there(t) ? 0 : find_insn(t);
}

/* --- the way back -------------------------------------------------------------------------------
 */

static bool all_zeros(const u8 *p, size_t n)
{
	while (n && !*p)
		p++, n--;
	return n == 0;
}

static bool is_mapped(pid_t pid, u64 addr)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[512];
	u64 start, end;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2 && addr >= start &&
			addr < end;
	return found;
}

/* Where a thread is, ~0 when that can't be told. */
static u64 where_is(pid_t pid, pid_t tid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256], *last;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return ~0ULL;
	last = strrchr(line, ' ');
	return last ? strtoull(last, NULL, 16) : ~0ULL;
}

static bool anybody_in(pid_t pid, u64 start, u64 len)
{
	char path[64];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return true;
	while (!found && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
		u64 at = tid > 0 ? where_is(pid, tid) : 0;

		found = at == ~0ULL || at - start < len;
	}
	closedir(dir);
	return found;
}

/* Zeros, or the way back of an earlier child that was killed, if nobody needs it any more. */
static bool is_room(struct thread *t, u64 at)
{
	u8 now[REMOTE_WAY_BACK];
	u64 stack;

	if (thread_read(t, at, now, sizeof(now)))
		return false;
	if (all_zeros(now, sizeof(now)))
		return true;
	return remote_is_way_back(now, &stack) && !is_mapped(t->pid, stack) &&
	       !anybody_in(t->pid, at, sizeof(now));
}

/* Where the text of a file has ended and its page has not. */
static u64 find_room(struct thread *t)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[512], perms[8];
	u64 start, end, inode;

	snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %" SCNu64, &start, &end,
			   perms, &inode) == 4 &&
		    !strcmp(perms, "r-xp") && (inode || strstr(line, "[vdso]")) && !may_go(line) &&
		    is_room(t, end - REMOTE_WAY_BACK))
			return end - REMOTE_WAY_BACK;
	return 0;
}

static int write_code(struct thread *t, u64 at)
{
	u8 code[REMOTE_WAY_BACK] = {0};

	remote_way_back(&t->saved, t->mask | t->opened, &t->extra, at, code);
	return thread_write(t, at, code, sizeof(code));
}

static void write_way_back(struct thread *t)
{
	u64 at = find_room(t);

	t->extra = (struct remote_extra){.fds = {-1, -1}};
	if (!at || write_code(t, at))
		return;
	t->back = at;
	t->insn = at;
}

/* Only numbers in it change. */
void thread_update_way_back(struct thread *t)
{
	if (t->back)
		write_code(t, t->back);
}

/* --- holding ------------------------------------------------------------------------------------
 */

/* Nothing is mapped at 0, which is an error. Where there is no memory any more it is the end. */
static bool mem_is_live(int mem)
{
	char c;

	return pread(mem, &c, 1, 0) != 0;
}

/* -ESRCH: it has given its memory up, on its way out. */
static int open_mem(pid_t pid, pid_t tid, int *out)
{
	_cleanup_close_ int mem = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/mem", pid, tid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	if (mem < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if (!mem_is_live(mem))
		return -ESRCH;
	*out = TAKE_FD(mem);
	return 0;
}

static bool has_mem(pid_t pid, pid_t tid)
{
	_cleanup_close_ int mem = -1;

	return open_mem(pid, tid, &mem) != -ESRCH;
}

/* Has another program taken the place of the one that was to be stopped? */
static bool is_another(const struct thread *t)
{
	return t->bare || (t->mem >= 0 && !mem_is_live(t->mem));
}

/*
 * The kernel says EPERM of what is traced, of what is just ending, and of what may not be traced,
 * by the state it found. The one that is read afterwards may be the next: who traced it has gone,
 * or the first thread has made room for the one that executes another program.
 */
static int why_not_seized(struct thread *t, pid_t tid)
{
	struct probe_task task;

	if (!has_mem(t->pid, tid) || probe_task_read(t->pid, tid, &task) || task.state == 'Z' ||
	    task.state == 'X')
		return -ESRCH;
	/* it did not stop in time at an earlier attempt: it is ours all the same */
	if (task.tracer == getpid())
		return 0;
	if (task.tracer)
		return task_tracer_passes(&task) ? -EAGAIN : -EBUSY;
	if (tid != t->pid || !is_another(t))
		return -EPERM;
	t->gone = t->executed = true;
	return -ESRCH;
}

/* What is denied for good is denied again. */
static int seize(struct thread *t, pid_t tid)
{
	int err = -EPERM;

	for (int try = 0; try < SEIZE_TRIES && err == -EPERM; try++) {
		if (!ptrace(PTRACE_SEIZE, tid, NULL, (void *)THREAD_OPTIONS))
			return 0;
		err = errno == EPERM ? why_not_seized(t, tid) : -errno;
	}
	return err == -EBUSY ? -EPERM : err;
}

/* One that @runs, or would if there were a processor for it, is held from when it has stopped. */
static int hold_one(struct thread *t, pid_t tid, bool runs)
{
	int ret;

	t->tid = tid;
	t->gone = t->executed = t->running = false;
	ret = t->claimed ? 0 : seize(t, tid);
	t->claimed = false;
	if (ret)
		return ret;
	if (!runs)
		thread_held_since(t, osl_now_ns());
	ret = first_stop(t);
	if (ret)
		return ret;
	ret = save(t);
	if (ret) {
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
		return ret;
	}
	t->held = true;
	return 0;
}

static int refused(struct thread *t, int err)
{
	switch (err) {
	case -EPERM:
	case -EACCES:
		t->denied = true;
		return thread_fail(
			t, err,
			"cannot stop a thread of process %d: ptrace is denied; run `ebpfrt "
			"doctor -p %d` to see why",
			t->pid, t->pid);
	case -EAGAIN:
		return thread_fail(t, err,
				   "another attach or detach is at work in process %d; try again",
				   t->pid);
	case -ETIMEDOUT:
		return thread_fail(t, err,
				   "cannot stop a thread of process %d: all of them are in "
				   "uninterruptible waits, or the machine is too busy; try again "
				   "later",
				   t->pid);
	case -EOPNOTSUPP:
		return thread_fail(t, err, "process %d runs 32-bit code, which is not supported",
				   t->pid);
	case -ESRCH:
		return thread_fail_gone(t, "while it was being stopped");
	default:
		return thread_fail(t, err, "cannot stop a thread of process %d: %s", t->pid,
				   strerror(-err));
	}
}

int thread_look(struct thread *t)
{
	int ret;

	/* before anything is stopped: it shows later on whether it is still that program's */
	t->bare = open_mem(t->pid, t->pid, &t->mem) == -ESRCH;
	t->tried = 0;
	t->err = -ESRCH;
	ret = candidates(t);
	if (ret)
		return ret;
	qsort(t->v, t->n, sizeof(t->v[0]), by_rank);
	t->looked = true;
	return 0;
}

int thread_claim(struct thread *t)
{
	int ret = t->n ? seize(t, t->v[0].tid) : -ESRCH;

	t->claimed = ret == 0;
	return ret;
}

int thread_stop(struct thread *t)
{
	const struct thread_candidate *c = &t->v[t->tried++];
	int ret = hold_one(t, c->tid, c->runs);

	if (ret && ret != -ESRCH)
		t->err = ret;
	return ret;
}

int thread_hold(struct thread *t)
{
	int ret = t->looked ? 0 : thread_look(t);

	if (ret)
		return ret;
	while (t->tried < t->n && !t->held && !t->executed)
		thread_stop(t);
	t->looked = false;
	if (!t->held)
		return refused(t, t->executed ? -ESRCH : t->err);
	if (t->mem >= 0 && !mem_is_live(t->mem)) {
		t->executed = true;
		return thread_fail_gone(t, "while it was being stopped");
	}
	ret = t->mem < 0 ? open_mem(t->pid, t->pid, &t->mem) : 0;
	if (ret)
		return thread_fail(t, ret, "cannot open the memory of process %d: %s", t->pid,
				   strerror(-ret));
	if (find_insn(t))
		return thread_fail(t, -ENOENT, "found no system call instruction in process %d",
				   t->pid);
	return 0;
}

/* --- executing ----------------------------------------------------------------------------------
 */

/* Our instruction can't be executed: a signal of ours, which would come again and again. */
static bool faulted(struct thread *t, int sig)
{
	struct remote_regs regs;
	siginfo_t info;

	return BIT(sig) & SYNCHRONOUS && ptrace(PTRACE_GETSIGINFO, t->tid, NULL, &info) == 0 &&
	       info.si_code > 0 && get_regs(t, &regs) == 0 &&
	       remote_within(&regs, t->insn, t->insn + REMOTE_SYSCALL_LEN);
}

/* It stands before a system call of ours, which is not to be executed. */
static void call_off(struct thread *t, struct remote_regs *regs)
{
	if (get_regs(t, regs))
		return;
	remote_call_off(regs);
	set_regs(t, regs);
}

int thread_syscall(struct thread *t, s64 *ret, long nr, const u64 args[6])
{
	struct remote_regs regs = t->saved;
	enum halt halt;
	int sig, err, stops = 0;

	if (!t->begun)
		write_way_back(t);
	/* what did not finish in time may have by now */
	if (t->midway && to_event_stop(t, t->deadline_ns))
		return thread_fail(t, -ETIMEDOUT, "process %d did not finish a system call for us",
				   t->pid);
	t->midway = false;
	err = find_insn_again(t);
	if (err)
		return thread_fail(t, err, "found no system call instruction in process %d",
				   t->pid);
	remote_set_syscall(&regs, t->insn, nr, args);
	err = set_regs(t, &regs);
	/* in this order: with its own registers it must have its own mask */
	if (err == 0 && !t->begun)
		err = set_mask(t, ~SYNCHRONOUS);
	t->begun = true;
	while (err == 0 && stops < 2) {
		err = go(t, PTRACE_SYSCALL, t->deadline_ns, true, &halt, &sig);
		if (err == 0 && halt == HALT_SYSCALL)
			stops++;
		else if (err == 0 && halt == HALT_SIGNAL && faulted(t, sig))
			err = -EFAULT;
		else if (err == 0 && halt == HALT_SIGNAL)
			put_off(t, sig);
	}
	t->midway = err != 0;
	/* what it has done must be known, or it stays */
	if (err == 0 && get_regs(t, &regs))
		err = get_regs(t, &regs);
	if (err && t->gone)
		return thread_fail_gone(t, "during the injection");
	if (err && stops == 1 && !t->running)
		call_off(t, &regs);
	if (err)
		return thread_fail(t, err, "process %d did not finish a system call for us",
				   t->pid);
	*ret = remote_result(&regs);
	return 0;
}

/* --- a call -------------------------------------------------------------------------------------
 */

/* A signal stops the called function: its end, a fault it handles itself, or the target's. */
static int call_signal(struct thread *t, int sig, u64 lo, u64 hi, s64 *ret)
{
	struct remote_regs regs;
	struct probe_task task;
	siginfo_t info;
	int err = get_regs(t, &regs);

	if (err == 0 && ptrace(PTRACE_GETSIGINFO, t->tid, NULL, &info))
		err = -errno;
	if (err)
		return thread_fail(t, err, "cannot look at the agent in process %d: %s", t->pid,
				   strerror(-err));
	if (sig == SIGURG && remote_within(&regs, lo, hi)) {
		if (!remote_has_sent(&regs, sig))
			put_off(t, sig); /* somebody else's, let in a moment earlier */
		*ret = remote_call_result(&regs);
		return 0;
	}
	if (info.si_code <= 0 && BIT(sig) & FAULTS) {
		err = sent_fault(t, &info);
		return err ? err : -EAGAIN;
	}
	if (sig == SIGSYS || (info.si_code > 0 && BIT(sig) & SYNCHRONOUS && sig != SIGTRAP)) {
		if (sig == SIGSYS || probe_task_read(t->pid, t->tid, &task) ||
		    !(task.caught & BIT(sig)))
			return thread_fail(t, -EFAULT, "the agent got signal %d in process %d", sig,
					   t->pid);
		t->pass = sig;
		return -EAGAIN;
	}
	put_off(t, sig);
	return -EAGAIN;
}

static int call(struct thread *t, u64 lo, u64 hi, s64 *ret)
{
	enum halt halt;
	int sig, err;

	do {
		err = go(t, PTRACE_CONT, t->deadline_ns, false, &halt, &sig);
		t->called |= err == 0 || t->running;
		if (err == 0)
			err = halt == HALT_SIGNAL ? call_signal(t, sig, lo, hi, ret) : -EAGAIN;
	} while (err == -EAGAIN);
	return err;
}

int thread_call(struct thread *t, u64 entry, u64 sp, u64 a, u64 b, u64 c, u64 lo, u64 hi, s64 *ret)
{
	struct remote_regs regs = t->saved;
	const u64 args[4] = {a, b, c, t->back ? t->back + REMOTE_SYSCALL_LEN : 0};
	int err;

	t->why[0] = 0;
	remote_set_call(&regs, entry, sp, args);
	err = set_regs(t, &regs);
	if (err == 0)
		err = change_mask(t, 0, FAULTS);
	if (err == 0)
		err = call(t, lo, hi, ret);
	if (err == 0 || *t->why)
		return err;
	/* wherever it is now, it is set back to where it was */
	if (err == -ETIMEDOUT)
		return thread_fail(t, err, "the agent in process %d did not finish in time",
				   t->pid);
	if (!t->gone)
		return thread_fail(t, err, "cannot call the agent in process %d: %s", t->pid,
				   strerror(-err));
	return thread_fail_gone(t, "while the agent was at work");
}
