/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See inject_crowd.h. Once a thread is seized and interrupted it executes no instruction of the
 * program any more, even where it has not stopped yet (it waits in the kernel without regard for
 * signals, or for a processor): such a thread counts as held.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/inject_crowd.h"
#include "osl/osl.h"
#include "probe/probe.h"
#include "proto/shm_abi.h"

#define NS_PER_MS 1000000ULL
#define NAP_NS 20000
#define STOP_WAIT_NS (50 * NS_PER_MS)
#define CLEAR_WAIT_NS (20 * NS_PER_MS)
#define RELEASE_WAIT_NS (10000 * NS_PER_MS)
#define BIT(sig) (1ULL << ((sig)-1))
#define TRAP_BIT BIT(SIGTRAP)
#define GUARDED (TRAP_BIT | BIT(SIGSEGV) | BIT(SIGBUS)) /* what the agent handles */
#define SYNCHRONOUS (GUARDED | BIT(SIGFPE) | BIT(SIGILL))
#define PEEK 32

struct crowd_one {
	pid_t tid;    /* 0: gone */
	pid_t ending; /* it was seen to be on its way out, and is not ours */
	bool asked;   /* to stop */
	bool stopped; /* where ptrace can look at it */
	bool job;     /* with its whole process, by SIGSTOP and the like */
	bool on;      /* let on for a moment: it can be stopped again */
	bool waits;   /* with another mask, when it was looked at last */
	u64 seen_ns;  /* not to have stopped, or asked to */
	u64 opened;   /* signals to block when it is let go */
	bool looked;  /* before the agent was called: */
	bool owes;    /* a signal that it may have raised itself waits for it */
	/* while it is stopped nobody but us changes these, and each is asked for once: */
	bool has_regs, has_task;
	struct remote_regs regs;
	struct probe_task task;
};

static void nap(u64 ns)
{
	struct timespec ts = {0, (long)ns};

	nanosleep(&ts, NULL);
}

/* --- stopping ----------------------------------------------------------------------------------
 */

bool crowd_knows(const struct crowd *c, pid_t tid)
{
	for (u32 i = 0; i < c->n; i++)
		if (c->v[i].tid == tid)
			return true;
	return tid == c->t->tid;
}

static void interrupt(struct crowd_one *one)
{
	one->seen_ns = osl_now_ns();
	one->asked = ptrace(PTRACE_INTERRUPT, one->tid, NULL, NULL) == 0;
}

static struct crowd_one *one_more(struct crowd *c)
{
	if (c->n == c->room) {
		u32 room = c->room ? 2 * c->room : 64;
		struct crowd_one *v = realloc(c->v, room * sizeof(*v));

		if (!v)
			return NULL;
		c->v = v;
		c->room = room;
	}
	c->v[c->n] = (struct crowd_one){0};
	return &c->v[c->n++];
}

static int add(struct crowd *c, pid_t tid)
{
	struct crowd_one *one = one_more(c);

	if (!one)
		return -ENOMEM;
	one->tid = tid;
	if (!c->met)
		interrupt(one);
	return 1;
}

/*
 * It executes nothing of the program any more. That is news once: it may stay on its way out for as
 * long as it likes, for a tracer that does not wait for it, say.
 */
static int ending(struct crowd *c, pid_t tid)
{
	struct crowd_one *one;

	for (u32 i = 0; i < c->n; i++)
		if (c->v[i].ending == tid)
			return 0;
	one = one_more(c);
	if (!one)
		return -ENOMEM;
	one->ending = tid;
	return 1;
}

/* 1: something has changed; 0: nothing that could run. */
static int seize(struct crowd *c, pid_t tid)
{
	struct probe_task task;

	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)THREAD_OPTIONS)) {
		int err = -errno;

		if (err == -ESRCH || probe_task_read(c->t->pid, tid, &task) || task.state == 'X')
			return 1; /* gone */
		if (task.state == 'Z')
			return tid != c->t->pid ? ending(c, tid) : 0;
		if (err != -EPERM)
			return err;
		/* left over from an earlier attempt, in which it could not stop: it is held */
		if (task.tracer == getpid())
			return add(c, tid);
		/* nobody traces it: it has given up its memory already, on its way out */
		if (!task.tracer)
			return ending(c, tid);
		return task_tracer_passes(&task) ? -EAGAIN : err;
	}
	return add(c, tid);
}

/*
 * The number of threads that were not known before, or -errno. The kernel ends the list early when
 * a thread ends while it is listed: such a one counts, too.
 */
static int seize_new(struct crowd *c)
{
	char path[64];
	struct dirent *e;
	int ret = 0, n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", c->t->pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (ret >= 0 && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

		if (tid <= 0 || crowd_knows(c, tid))
			continue;
		ret = seize(c, tid);
		n += ret;
	}
	closedir(dir);
	return ret < 0 ? ret : n;
}

static void await_one(struct crowd *c, struct crowd_one *one, u64 deadline)
{
	while (one->tid && !one->stopped) {
		int status;
		pid_t got = waitpid(one->tid, &status, __WALL | WNOHANG);

		if (!one->asked)
			interrupt(one);
		if (got == 0) {
			one->seen_ns = osl_now_ns();
			if (one->seen_ns >= deadline)
				return;
			nap(NAP_NS);
		} else if (got < 0 || !WIFSTOPPED(status)) {
			one->tid = 0;
		} else if (status >> 16 == PTRACE_EVENT_EXEC) {
			/* all other threads are gone, the worker, too */
			one->tid = 0;
			thread_gone(c->t, status);
		} else if (status >> 16 == PTRACE_EVENT_STOP) {
			one->stopped = true;
			one->job = WSTOPSIG(status) != SIGTRAP;
			thread_held_since(c->t, one->seen_ns);
		} else {
			ptrace(PTRACE_CONT, one->tid, NULL, (void *)(long)WSTOPSIG(status));
		}
	}
}

/* Whether a thread that has not stopped will do so once it gets a processor. */
static bool will_stop(const struct crowd *c, const struct crowd_one *one)
{
	struct probe_task task;

	return !probe_task_read(c->t->pid, one->tid, &task) && task.state != 'D' &&
	       task.state != 'Z' && task.state != 'X';
}

/* On a busy machine that may take long; in a wait without regard for signals, for ever. */
static void await_willing(struct crowd *c, struct crowd_one *one, u64 deadline)
{
	await_one(c, one, 0);
	while (one->tid && !one->stopped && osl_now_ns() < deadline && will_stop(c, one))
		await_one(c, one, MIN(deadline, osl_now_ns() + NS_PER_MS));
}

/*
 * One that waits for a processor will stop, and must: what is to be blocked there when we have
 * gone, and what its handlers will return to, can only be seen then.
 */
static void await_delayed(struct crowd *c, struct crowd_one *one)
{
	struct probe_task task;

	while (one->tid && !one->stopped && osl_now_ns() < c->t->deadline_ns &&
	       probe_task_read(c->t->pid, one->tid, &task) == 0 &&
	       (task.state == 'R' || task.state == 'S'))
		await_one(c, one, MIN(c->t->deadline_ns, osl_now_ns() + STOP_WAIT_NS));
}

/* A running thread may have made another one before it stopped: until there is none. */
static int hold_rest(struct crowd *c)
{
	u64 deadline = MIN(c->t->deadline_ns, osl_now_ns() + STOP_WAIT_NS);
	int n;

	while ((n = seize_new(c)) > 0) {
		if (osl_now_ns() >= deadline)
			return thread_fail(c->t, -EAGAIN,
					   "process %d makes threads faster than they can be "
					   "stopped; try again later",
					   c->t->pid);
		for (u32 i = 0; i < c->n; i++)
			await_one(c, &c->v[i], deadline);
	}
	for (u32 i = 0; i < c->n && n == 0; i++)
		await_delayed(c, &c->v[i]);
	if (c->t->gone)
		n = -ESRCH;
	if (n == -EAGAIN)
		return thread_fail(c->t, n,
				   "another attach or detach is at work in process %d; try again",
				   c->t->pid);
	if (n == -EPERM)
		return thread_fail(c->t, n,
				   "cannot stop all threads of process %d: is another debugger "
				   "attached to one of them?",
				   c->t->pid);
	if (n < 0 && n != -ESRCH)
		return thread_fail(c->t, n, "cannot stop all threads of process %d: %s", c->t->pid,
				   strerror(-n));
	return n < 0 ? thread_fail_gone(c->t, "while it was being stopped") : 0;
}

static void begin(struct crowd *c, struct thread *t)
{
	*c = (struct crowd){.t = t, .last_alone = c->last_alone};
}

/* Look once at those from @first on: true when all have stopped. */
static bool await_round(struct crowd *c, u32 first)
{
	bool all = true;

	for (u32 i = first; i < c->n; i++) {
		await_one(c, &c->v[i], 0);
		all &= !c->v[i].tid || c->v[i].stopped;
	}
	return all;
}

static void await_all(struct crowd *c, u32 first)
{
	u64 deadline = MIN(c->t->deadline_ns, osl_now_ns() + STOP_WAIT_NS);

	while (!await_round(c, first) && osl_now_ns() < deadline)
		nap(NAP_NS);
}

/* What can't be had is tried once more by hold_rest(), which says why. */
int crowd_meet(struct crowd *c, struct thread *t)
{
	u32 n;

	begin(c, t);
	c->met = true;
	for (u32 i = 1; i < t->n; i++)
		if (!t->v[i].runs)
			seize(c, t->v[i].tid);
	n = c->n;
	for (u32 i = 1; i < t->n; i++)
		if (t->v[i].runs)
			seize(c, t->v[i].tid);
	for (u32 i = n; i < c->n; i++)
		if (c->v[i].tid)
			interrupt(&c->v[i]);
	await_all(c, n);
	return t->gone ? thread_fail_gone(t, "while it was being stopped") : 0;
}

int crowd_hold(struct crowd *c, struct thread *t)
{
	if (!c->met)
		begin(c, t);
	c->met = false;
	for (u32 i = 0; i < c->n; i++)
		if (c->v[i].tid && !c->v[i].asked)
			interrupt(&c->v[i]);
	await_all(c, 0);
	return hold_rest(c);
}

bool crowd_stopped(const struct crowd *c)
{
	for (u32 i = 0; i < c->n; i++)
		if (c->v[i].tid && !c->v[i].stopped)
			return false;
	return true;
}

/* --- what one that has stopped is like ----------------------------------------------------------
 */

static bool get_regs(struct crowd_one *one)
{
	struct iovec iov = {&one->regs.user, sizeof(one->regs.user)};

	if (!one->has_regs)
		one->has_regs = !ptrace(PTRACE_GETREGSET, one->tid, (void *)NT_PRSTATUS, &iov) &&
				iov.iov_len == sizeof(one->regs.user);
	return one->has_regs;
}

/* For as long as it has not stopped it is another one each time. */
static bool get_task(const struct crowd *c, struct crowd_one *one)
{
	if (!one->has_task && probe_task_read(c->t->pid, one->tid, &one->task))
		return false;
	one->has_task = one->stopped;
	return true;
}

/*
 * For the kernel to write its whole status takes longer than all else that is done with a thread.
 * Most wait in a system call that has no mask of its own: their mask is the one that ptrace tells,
 * and their last instruction has raised nothing.
 */
static bool is_plain(struct crowd_one *one)
{
	return one->stopped && get_regs(one) && remote_waits_plainly(&one->regs);
}

/* --- letting go --------------------------------------------------------------------------------
 */

/* 0 when that is done or need not be. */
static int try_repeat(const struct crowd *c, struct crowd_one *one)
{
	struct remote_regs regs;
	struct iovec iov = {&regs.user, sizeof(regs.user)};

	if (!get_regs(one))
		return -EIO;
	if (!remote_spurious_eintr(&one->regs))
		return 0;
	regs = one->regs;
	thread_repeat_syscall(c->t->pid, one->tid, &regs);
	return ptrace(PTRACE_SETREGSET, one->tid, (void *)NT_PRSTATUS, &iov) ? -errno : 0;
}

/* A wait that failed with EINTR because of the mere stop is entered again. Nobody does it later. */
static void repeat_wait(const struct crowd *c, struct crowd_one *one)
{
	if (try_repeat(c, one))
		try_repeat(c, one);
}

/* May its last instruction have raised a signal that is not delivered yet? */
static bool owes_signal(const struct crowd *c, struct crowd_one *one)
{
	return !is_plain(one) &&
	       (!get_task(c, one) || one->task.own & ~one->task.blocked & GUARDED);
}

/*
 * One that waits with another mask will wait again, and save this one before. One whose last
 * instruction has raised a signal must get it: blocked, it would go on behind a break byte, in the
 * middle of the instruction that is there again. What the agent has given back to it since is only
 * to wait for it.
 */
static void block_again(const struct crowd *c, struct crowd_one *one)
{
	u64 mask;

	if (!one->opened || (one->looked ? one->owes : owes_signal(c, one)) ||
	    ptrace(PTRACE_GETSIGMASK, one->tid, (void *)sizeof(mask), &mask))
		return;
	mask |= one->opened;
	ptrace(PTRACE_SETSIGMASK, one->tid, (void *)sizeof(mask), &mask);
}

static void release_one(struct crowd *c, struct crowd_one *one)
{
	if (!one->tid || !one->stopped)
		return;
	block_again(c, one);
	repeat_wait(c, one);
	ptrace(PTRACE_DETACH, one->tid, NULL, NULL);
	one->tid = 0;
}

/*
 * Those that have stopped first. The others must have, too, or their waits would fail without a
 * reason. One that can't is let go at the end of our process; until then it is ours, and another
 * attempt finds it so.
 */
void crowd_release(struct crowd *c)
{
	u64 deadline = osl_now_ns() + RELEASE_WAIT_NS;

	for (u32 i = 0; i < c->n; i++) {
		await_one(c, &c->v[i], 0);
		release_one(c, &c->v[i]);
	}
	c->released_ns = osl_now_ns();
	for (u32 i = 0; i < c->n; i++) {
		await_willing(c, &c->v[i], deadline);
		release_one(c, &c->v[i]);
	}
	free(c->v);
	*c = (struct crowd){.t = c->t,
			    .last_alone = c->last_alone,
			    .blocker = c->blocker,
			    .released_ns = c->released_ns};
}

/* --- signal masks ------------------------------------------------------------------------------
 */

/*
 * What must be open: a trap that is blocked is death. Where the masks are guarded the faults, too:
 * who blocks one of them, a handler of the application's for it above all, returns to a fault of
 * ours (agent/handling.c).
 */
static u64 must_be_open(const struct crowd *c)
{
	return c->guarded ? GUARDED : TRAP_BIT;
}

/* The one that ptrace tells, and in its status the one that it has now: false when it is gone. */
static bool get_masks(const struct crowd *c, struct crowd_one *one, u64 *mask)
{
	bool told =
		one->stopped && !ptrace(PTRACE_GETSIGMASK, one->tid, (void *)sizeof(*mask), mask);

	if (told && is_plain(one)) {
		one->task.blocked = *mask;
		return true;
	}
	if (!get_task(c, one))
		return false;
	if (!told)
		*mask = one->task.blocked;
	return true;
}

/*
 * Does it block that? Where the program's own system calls will not block it again, it is
 * unblocked, as these calls would have done. Not so while a thread waits with another mask
 * (sigsuspend, ppoll): a handler would run with that one.
 */
static bool blocks_ours(struct crowd *c, struct crowd_one *one)
{
	u64 mask, open, ours = must_be_open(c);

	if (!one->tid || !get_masks(c, one, &mask))
		return false;
	if (!one->stopped && one->task.blocked & ours) {
		await_willing(c, one, c->t->deadline_ns);
		if (!one->tid || !get_masks(c, one, &mask))
			return false;
	}
	c->blocked = (mask | one->task.blocked) & ours;
	if (!one->stopped)
		c->waits = one->waits;
	if (!one->stopped || !c->blocked)
		return c->blocked;
	c->waits = one->waits = mask != one->task.blocked;
	if (!c->guarded || one->waits)
		return true;
	open = mask & ~GUARDED;
	if (ptrace(PTRACE_SETSIGMASK, one->tid, (void *)sizeof(open), &open))
		return true;
	one->task.blocked = open;
	one->opened |= mask & GUARDED;
	return false;
}

static bool worker_blocks_ours(struct crowd *c)
{
	struct thread *t = c->t;

	c->blocked = (t->mask | t->seen) & must_be_open(c);
	if (!c->blocked)
		return false;
	if (!c->guarded || t->mask != t->seen) {
		c->waits = t->mask != t->seen;
		return true;
	}
	t->opened |= t->mask & GUARDED;
	t->mask &= ~GUARDED; /* what it will get back */
	return false;
}

static pid_t who_blocks(struct crowd *c)
{
	for (u32 i = 0; i < c->n; i++)
		if (blocks_ours(c, &c->v[i]))
			return c->v[i].tid;
	return worker_blocks_ours(c) ? c->t->tid : 0;
}

/* Those that block it run for a moment, as far as they can. */
static void let_on(struct crowd *c)
{
	u64 deadline = osl_now_ns() + STOP_WAIT_NS;

	for (u32 i = 0; i < c->n; i++)
		if (c->v[i].stopped && !c->v[i].job && blocks_ours(c, &c->v[i])) {
			repeat_wait(c, &c->v[i]);
			c->v[i].stopped = c->v[i].has_regs = c->v[i].has_task = false;
			c->v[i].on = true;
			c->v[i].looked = false;
			ptrace(PTRACE_CONT, c->v[i].tid, NULL, NULL);
		}
	nap(50000);
	for (u32 i = 0; i < c->n; i++)
		if (c->v[i].tid && !c->v[i].stopped)
			interrupt(&c->v[i]);
	for (u32 i = 0; i < c->n; i++)
		await_one(c, &c->v[i], c->v[i].on ? deadline : 0);
}

static const char *name_of_blocked(u64 set)
{
	return set & TRAP_BIT ? "SIGTRAP" : set & BIT(SIGSEGV) ? "SIGSEGV" : "SIGBUS";
}

static int fail_blocked(struct crowd *c, pid_t tid)
{
	c->blocker = tid;
	return thread_fail(
		c->t, -EAGAIN,
		c->guarded && c->waits
			? "thread %d of process %d waits with %s blocked (sigsuspend, ppoll, "
			  "pselect or epoll_pwait), a probe would kill it; attach again once that "
			  "wait is over, or start the program with `ebpfrt run`"
			: "thread %d of process %d blocks %s, a probe would kill it; start "
			  "the program with `ebpfrt run`, which keeps the signal unblocked",
		tid, c->t->pid, name_of_blocked(c->blocked));
}

int crowd_clear(struct crowd *c, bool guarded)
{
	u64 deadline = MIN(c->t->deadline_ns, osl_now_ns() + CLEAR_WAIT_NS);
	pid_t tid;
	int err;

	c->guarded = guarded;
	c->waits = false; /* seen once it stays: the next time the thread may not stop in time */
	while ((tid = who_blocks(c))) {
		if (osl_now_ns() >= deadline || tid == c->t->tid)
			return fail_blocked(c, tid);
		let_on(c);
		err = hold_rest(c);
		if (err)
			return err;
	}
	return 0;
}

/* --- what the agent knows ----------------------------------------------------------------------
 */

static void give(struct agent_withheld_list *out, u64 thread, pid_t tid, u64 *opened)
{
	if (!*opened || out->given == AGENT_WITHHELD_MAX)
		return;
	out->v[out->given++] = (struct agent_withheld){thread, (u32)tid, (u32)*opened};
	*opened = 0;
}

static bool is_nudge(const siginfo_t *info)
{
	u32 mark;

	memcpy(&mark, (const u8 *)info + AGENT_MARK_AT, sizeof(mark));
	return info->si_code == SI_QUEUE && mark == AGENT_NUDGE;
}

/* Does a signal that its last instruction has raised, or the agent, wait for being delivered? */
static bool raised(pid_t tid)
{
	struct {
		u64 off;
		u32 flags;
		s32 nr;
	} which = {0, 0, PEEK};
	siginfo_t info[PEEK];
	long n = ptrace(PTRACE_PEEKSIGINFO, tid, &which, info);

	for (long i = 0; i < n; i++)
		if (BIT(info[i].si_signo) & SYNCHRONOUS &&
		    (info[i].si_code > 0 || is_nudge(&info[i])))
			return true;
	return n < 0 || n == PEEK;
}

/* One that is held without having stopped: the kernel says where it waits. */
static bool find_waiting(const struct crowd *c, pid_t tid, struct agent_held *out)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256] = "", *ip, *sp;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", c->t->pid, tid);
	f = fopen(path, "re");
	ip = f && fgets(line, sizeof(line), f) ? strrchr(line, ' ') : NULL;
	if (!ip)
		return false;
	*ip++ = 0;
	sp = strrchr(line, ' ');
	*out = (struct agent_held){.ip = strtoull(ip, NULL, 16),
				   .sp = sp ? strtoull(sp, NULL, 16) : 0};
	return sp;
}

static bool find_held(const struct crowd *c, struct crowd_one *one, struct agent_held *out)
{
	const struct remote_regs *regs = &one->regs;

	if (!one->stopped)
		return find_waiting(c, one->tid, out);
	if (!get_regs(one))
		return false;
	*out = (struct agent_held){remote_thread_pointer(regs), regs->user.rsp, regs->user.rip};
	return !raised(one->tid);
}

static void tell_held(const struct crowd *c, struct agent_withheld_list *out)
{
	const struct remote_regs *own = &c->t->saved;

	out->unsettled = raised(c->t->tid);
	out->held = 1;
	out->who[0] = (struct agent_held){remote_thread_pointer(own), own->user.rsp, own->user.rip};
	for (u32 i = 0; i < c->n; i++) {
		struct agent_held *h = &out->who[out->held];

		if (!c->v[i].tid)
			continue;
		if (out->held == AGENT_WITHHELD_MAX) {
			out->unsettled = 1;
			break;
		}
		*h = (struct agent_held){0};
		if (!find_held(c, &c->v[i], h))
			out->unsettled = 1;
		out->held += h->sp != 0;
	}
}

/* What is stopped raises nothing more. */
static void look_at_signals(struct crowd *c)
{
	for (u32 i = 0; i < c->n; i++) {
		if (!c->v[i].tid || !c->v[i].stopped || c->v[i].looked)
			continue;
		c->v[i].owes = owes_signal(c, &c->v[i]);
		c->v[i].looked = true;
	}
}

void crowd_given(struct crowd *c, struct agent_withheld_list *out)
{
	look_at_signals(c);
	tell_held(c, out);
	out->given = out->back = 0;
	give(out, remote_thread_pointer(&c->t->saved), c->t->tid, &c->t->opened);
	for (u32 i = 0; i < c->n; i++)
		if (c->v[i].opened && get_regs(&c->v[i]))
			give(out, remote_thread_pointer(&c->v[i].regs), c->v[i].tid,
			     &c->v[i].opened);
}

static u64 back_for(const struct agent_withheld_list *in, u64 thread)
{
	for (u32 i = 0; i < MIN(in->back, AGENT_WITHHELD_MAX); i++)
		if (in->v[i].thread == thread)
			return in->v[i].which & GUARDED;
	return 0;
}

void crowd_back(struct crowd *c, const struct agent_withheld_list *in)
{
	if (!in->back)
		return;
	c->t->opened |= back_for(in, remote_thread_pointer(&c->t->saved));
	for (u32 i = 0; i < c->n; i++)
		if (c->v[i].stopped && get_regs(&c->v[i]))
			c->v[i].opened |= back_for(in, remote_thread_pointer(&c->v[i].regs));
}
