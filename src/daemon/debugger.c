/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Debuggers that come to a target.
 *
 * Model: to gdb a break byte of ours is one of the program's own, whose trap it keeps from the
 * program: that would go on in the middle of an instruction. So where a debugger is seen, the
 * probes of the target *sleep*: the original bytes are put back from outside, through
 * /proc/PID/mem, which needs no ptrace. That is in time: a debugger first stops a process and reads
 * what it needs, and what traps before takes gdb back to a place where no break is any more, and
 * lets it go on there. The return of a call that was probed before leads to a break in the agent;
 * that is a nop then, behind which is an instruction that faults: gdb stops at that, and passes it
 * on. When the debugger has gone, everything is restored and done again by an injection,
 * which knows the masks and handlers by then. Jumps need no trap; but a break point of the
 * debugger's in the last bytes of one would lead it astray, to a trap of ours. They are taken out
 * as soon as all threads are held, as several bytes are no one write. They stay, and so do all
 * probes where unwinders are guarded: without, an exception doesn't get through the calls whose
 * returns are probed.
 *
 * A debugger is seen when it opens a file of the target in /proc, which all do when they attach:
 * the directory is watched. So the probes sleep before it can have let the process go on. The
 * targets are looked at every few dozen milliseconds, too: what it opens could lie in a /proc that
 * was mounted elsewhere.
 *
 * Where we get no time until it lets the process go on, the break's trap is gdb's and lldb's: they
 * stop at each, and go on behind it without the signal, so that the rest of the instruction is
 * executed; with the signal (`signal SIGTRAP`) nothing is lost. An instruction that faults instead
 * (hlt, as fast) would be shown as often, but its SIGSEGV is passed on by all of them unasked: of
 * 3000 calls under each none went wrong. All that knows a break by its trap would have to change
 * for that, and where applications' handlers and masks for SIGSEGV come in; jumps need neither.
 *
 * A tool that passes SIGTRAP on is no such debugger: strace (not ltrace, whose own break points are
 * all that it knows), and whoever says so, ebpfrt-gdb.py by
 * a word in the target's page of statistics, everybody by EBPFRT_DEBUGGER=keep.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/exchange.h"

#define WATCH_NS (40ull * 1000000)
#define WATCH_EACH_NS (2ull * 1000000)	/* no more of our time than that; and where files are */
#define WATCH_SAVED_NS (5ull * 1000000) /* watched, too */
#define SOON_NS 1000000ull		/* from when it opens a file on, it is looked for: */
#define SOON_TIMES 6u			/* each time after twice as long */

/* --- who it is ---------------------------------------------------------------------------------
 */

static bool held_quietly(const struct probe_task *task, bool open)
{
	return task->state == 't' && !(open && task->blocked & 1ull << (SIGTRAP - 1));
}

/* Its file stays open: to open it would wake us up again. */
static s32 tracer_of(const struct target *t)
{
	struct probe_task task;

	return t->status >= 0 && !probe_task_read_fd(t->status, &task) ? task.tracer : 0;
}

static void name_of(s32 pid, char name[16])
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, name, 15);
	name[MAX(n, 0)] = 0;
	name[strcspn(name, "\n")] = 0;
}

static bool passes_traps_on(const struct target *t, const char *name)
{
	return t->d->keep_probes || READ_ONCE(t->stats->debugger) || !strcmp(name, "strace");
}

/* One that will swallow traps; 0: none. */
static s32 debugger_of(const struct target *t, char name[16])
{
	s32 tracer = tracer_of(t);

	if (!tracer) {
		WRITE_ONCE(t->stats->debugger, 0); /* it has left */
		return 0;
	}
	name_of(tracer, name);
	/* it has just ended, or is ours or another daemon's */
	if (!name[0] || !strcmp(name, PROBE_INJECTOR) || passes_traps_on(t, name))
		return 0;
	return tracer;
}

/* --- the bytes ---------------------------------------------------------------------------------
 */

/* What stands at a site, or, not @out, what was there: all of @from, else nothing is done. */
static bool swap_bytes(int mem, u64 addr, const u8 *from, const u8 *to, u32 len)
{
	u8 now[ARCH_JUMP_LEN];

	if (pread(mem, now, len, (off_t)addr) != (ssize_t)len || memcmp(now, from, len))
		return false;
	if (pwrite(mem, to, len, (off_t)addr) == (ssize_t)len)
		return true;
	log_line("the bytes at %#llx could not be written: %s", (unsigned long long)addr,
		 strerror(errno));
	return false;
}

static void swap_break(int mem, struct site *s, bool out)
{
	const struct arch_patch *p = &s->site.patch;
	const u8 ours = ARCH_BREAK;

	if (out && swap_bytes(mem, p->addr, &ours, p->insn, 1))
		s->taken = TAKEN_BREAK;
	else if (!out && s->taken == TAKEN_BREAK)
		swap_bytes(mem, p->addr, p->insn, &ours, 1);
}

static void swap_jump(int mem, struct site *s, bool out)
{
	const struct arch_patch *p = &s->site.patch;
	const struct arch_jump *j = &s->site.jump;
	u8 jump[ARCH_JUMP_LEN], was[ARCH_JUMP_LEN];

	if (!j->to)
		return;
	arch_jump_bytes(p->addr, j->to, jump);
	for (u32 i = 0; i < j->own; i++)
		was[i] = arch_jump_was(p, j, i);
	if (out && swap_bytes(mem, p->addr, jump, was, j->own))
		s->taken = TAKEN_JUMP;
	else if (!out && s->taken == TAKEN_JUMP)
		swap_bytes(mem, p->addr, was, jump, j->own);
}

static int open_memory(s32 pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* Out with them, or back with those that were taken out. 0 or -errno. */
static int swap_all(struct target *t, bool out, void (*swap)(int mem, struct site *s, bool out))
{
	_cleanup_close_ int mem = open_memory(t->pid);

	if (mem < 0)
		return -errno;
	for (u32 i = 0; i < t->nsites; i++)
		if (t->sites[i].armed)
			swap(mem, &t->sites[i], out);
	return 0;
}

static void swap_stub_page(int mem, u64 addr, u8 from, u8 to)
{
	u8 page[EBPFRT_PAGE_SIZE];
	bool any = false;

	if (pread(mem, page, sizeof(page), (off_t)addr) != (ssize_t)sizeof(page))
		return;
	for (u32 i = AGENT_STUB_SIZE; i < sizeof(page); i += AGENT_STUB_SIZE) {
		any |= page[i] == from;
		page[i] = page[i] == from ? to : page[i];
	}
	if (any && pwrite(mem, page, sizeof(page), (off_t)addr) != (ssize_t)sizeof(page))
		log_line("the return stubs at %#llx could not be written: %s",
			 (unsigned long long)addr, strerror(errno));
}

/*
 * The breaks of calls that return. A debugger that steps through one of our handlers, in which
 * SIGTRAP is blocked, has the kernel take our action for it away: what trapped then, when the
 * debugger has gone and before we are back, would kill. Without the break a return comes to what
 * faults behind it. The address is the target's word, and the memory its own.
 */
static void swap_stubs(const struct target *t, bool out)
{
	u64 at = READ_ONCE(t->stats->stubs);
	_cleanup_close_ int mem = open_memory(t->pid);

	if (mem < 0 || !at || at % EBPFRT_PAGE_SIZE)
		return;
	for (u32 i = 0; i < AGENT_STUB_PAGES; i++)
		swap_stub_page(mem, at + (u64)i * EBPFRT_PAGE_SIZE, out ? ARCH_BREAK : ARCH_NOP,
			       out ? ARCH_NOP : ARCH_BREAK);
}

/*
 * How often its threads were switched to, when a debugger holds them all and, where that matters,
 * none blocks SIGTRAP (@open); 0: it is not so. What is the same later has not run since.
 */
static u64 switches(s32 pid, bool open)
{
	struct dirent *e;
	char path[64];
	u64 sum = 1;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && sum && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
		struct probe_task task;

		if (tid <= 0)
			continue;
		if (probe_task_read(pid, tid, &task) || !held_quietly(&task, open))
			sum = 0;
		else
			sum += task.waits + task.preemptions;
	}
	if (dir)
		closedir(dir);
	return sum;
}

/* When nobody runs: several bytes are no one write. */
static void take_jumps_out(struct target *t)
{
	if (!t->bare && switches(t->pid, false))
		t->bare = swap_all(t, true, swap_jump) == 0;
}

/* --- sleep and waking --------------------------------------------------------------------------
 */

static void tell_that_stay(struct target *t, s32 tracer, const char *name, int err,
			   const char *reason)
{
	char why[PROBE_WHY_MAX];

	snprintf(why, sizeof(why),
		 "process %d is under a debugger (%s, %d), and its probes can't be taken out: %s; "
		 "let that pass SIGTRAP on (in gdb: handle SIGTRAP nostop noprint pass)",
		 t->pid, name, tracer, reason);
	target_event(t->d, t, MSG_EVENT_ASLEEP, 0, err, why);
}

/* Who asks only for his own return address finds the true one while nothing is probed. */
static bool unwinders_are_guarded(const struct target *t)
{
	for (u32 i = 0; i < t->nsites; i++) {
		u32 flags = t->sites[i].site.flags;

		if (t->sites[i].armed && flags & (AGENT_SITE_UNWIND | AGENT_SITE_RESUME) &&
		    !(flags & AGENT_SITE_ASKS))
			return true;
	}
	return false;
}

static void stay(struct target *t, s32 tracer, const char *name)
{
	if (t->stays_under != tracer)
		tell_that_stay(
			t, tracer, name, -EBUSY,
			"exceptions couldn't pass through the calls whose returns are probed");
	t->stays_under = tracer;
}

static void fall_asleep(struct target *t, s32 tracer, const char *name)
{
	char why[PROBE_WHY_MAX];
	int err;

	t->asleep = true;
	t->bare = false;
	WRITE_ONCE(t->stats->asleep, 1);
	/* who says that he passes traps on looks at .asleep then */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (READ_ONCE(t->stats->debugger)) {
		t->asleep = false;
		WRITE_ONCE(t->stats->asleep, 0);
		return;
	}
	err = swap_all(t, true, swap_break);
	swap_stubs(t, true);
	t->held = switches(t->pid, true);
	take_jumps_out(t);
	if (err) {
		tell_that_stay(t, tracer, name, err, strerror(-err));
		return;
	}
	snprintf(why, sizeof(why),
		 "process %d is under a debugger (%s, %d): its probes sleep, and what it does "
		 "meanwhile is not seen; they come back when that leaves",
		 t->pid, name, tracer);
	target_event(t->d, t, MSG_EVENT_ASLEEP, 0, 0, why);
}

/* The links that are, or would be, in place are wanted again, in a target that has nothing. */
static void want_all_again(struct target *t)
{
	struct tlink *tl;

	list_for_each_entry (tl, &t->links, in_target) {
		if (tl->state != TLINK_DONE && tl->state != TLINK_FAILED)
			continue;
		tlink_release_sites(tl);
		tlink_become(tl, TLINK_WANT);
	}
	for (u32 i = 0; i < t->nsites; i++) {
		t->sites[i].lies |= t->sites[i].armed; /* jumps stay */
		t->sites[i].armed = false;
		t->sites[i].taken = TAKEN_NOTHING;
	}
	t->drop_all = t->setup;
}

static void wake_up(struct target *t)
{
	t->asleep = false;
	t->slept = t->waking = true;
	WRITE_ONCE(t->stats->asleep, 0);
	WRITE_ONCE(t->stats->debugger, 0);
	want_all_again(t);
	target_reconcile(t);
}

/* The debugger says that it passes traps on, and nothing has run yet. */
static void stay_awake(struct target *t)
{
	if (!t->held)
		t->held = switches(t->pid, true);
	if (!t->held || t->held != switches(t->pid, true) || swap_all(t, false, swap_break) ||
	    swap_all(t, false, swap_jump))
		return;
	for (u32 i = 0; i < t->nsites; i++)
		t->sites[i].taken = TAKEN_NOTHING;
	t->asleep = false;
	WRITE_ONCE(t->stats->asleep, 0);
	t->waking = true;
	debugger_awake(t);
}

void debugger_awake(struct target *t)
{
	char why[PROBE_WHY_MAX];

	if (!t->waking || t->asleep)
		return;
	t->waking = false;
	swap_stubs(t, false);
	snprintf(why, sizeof(why), "process %d: its probes are awake again", t->pid);
	target_event(t->d, t, MSG_EVENT_ASLEEP, 1, 0, why);
}

void debugger_exchanged(struct target *t)
{
	if (!t->asleep)
		return;
	swap_all(t, true, swap_break);
	t->bare = false;
	take_jumps_out(t);
}

/* --- watching ----------------------------------------------------------------------------------
 */

void debugger_look(struct target *t)
{
	char name[16];
	s32 tracer;

	if (t->asleep && !t->x && !tracer_of(t)) {
		wake_up(t);
	} else if (t->asleep && READ_ONCE(t->stats->debugger)) {
		stay_awake(t);
	} else if (t->asleep) {
		take_jumps_out(t);
	} else if (!t->asleep) {
		tracer = t->x && t->x->injecting ? 0 : debugger_of(t, name);
		if (tracer && unwinders_are_guarded(t))
			stay(t, tracer, name);
		else if (tracer)
			fall_asleep(t, tracer, name);
		else
			t->stays_under = 0;
	}
}

static bool is_watched(const struct target *t)
{
	return !t->gone && t->stats && (t->asleep || target_any_armed(t));
}

static void on_watch(struct loop_timer *timer)
{
	struct daemon *d = container_of(timer, struct daemon, watch);
	struct target *t;
	u64 n = 0;

	list_for_each_entry (t, &d->targets, node) {
		if (!is_watched(t))
			continue;
		debugger_look(t);
		n++;
	}
	if (!list_empty(&d->targets))
		loop_timer_arm(
			&d->loop, timer,
			MAX(WATCH_NS, n * (d->opened.fd > 0 ? WATCH_SAVED_NS : WATCH_EACH_NS)));
}

/* Who opens a file may attach only after that. */
static void on_soon(struct loop_timer *timer)
{
	struct target *t = container_of(timer, struct target, debugger_soon);

	if (!is_watched(t))
		return;
	debugger_look(t);
	if (!(t->asleep && t->bare) && ++t->debugger_looks < SOON_TIMES)
		loop_timer_arm(&t->d->loop, timer, SOON_NS << t->debugger_looks);
}

static void opened(struct daemon *d, int watch)
{
	struct target *t;

	list_for_each_entry (t, &d->targets, node) {
		if (t->watch != watch || !is_watched(t))
			continue;
		t->debugger_looks = 0;
		loop_timer_stop(&d->loop, &t->debugger_soon);
		on_soon(&t->debugger_soon);
		return;
	}
}

/* Not what the daemon opens itself every now and then. */
static bool is_opened_to_attach(const char *name)
{
	return !strcmp(name, "status") || !strcmp(name, "task") || !strcmp(name, "maps");
}

static void on_opened(struct loop_source *src, u32 events)
{
	struct daemon *d = container_of(src, struct daemon, opened);
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *e;
	ssize_t n = read(src->fd, buf, sizeof(buf));
	int last = -1;

	for (char *at = buf; at < buf + n; at += sizeof(*e) + e->len) {
		e = (const struct inotify_event *)at;
		if (e->wd == last || !e->len || !is_opened_to_attach(e->name))
			continue;
		opened(d, e->wd);
		last = e->wd;
	}
}

/* Its limits are per user; without it a debugger is seen a little later. */
void debugger_init(struct daemon *d)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	loop_timer_init(&d->watch, on_watch);
	d->opened.fn = on_opened;
	if (fd >= 0 && loop_add(&d->loop, &d->opened, fd, EPOLLIN))
		close(fd);
}

void debugger_watch(struct target *t)
{
	struct daemon *d = t->d;
	char path[64];

	if (list_empty(&d->watch.node))
		loop_timer_arm(&d->loop, &d->watch, WATCH_NS);
	loop_timer_init(&t->debugger_soon, on_soon);
	snprintf(path, sizeof(path), "/proc/%d/status", t->pid);
	t->status = open(path, O_RDONLY | O_CLOEXEC);
	*strrchr(path, '/') = 0;
	/* the file that is open keeps the directory, and with it the watch */
	if (t->status >= 0 && d->opened.fd > 0)
		t->watch = inotify_add_watch(d->opened.fd, path, IN_OPEN | IN_ONLYDIR);
}

void debugger_forget(struct target *t)
{
	if (t->debugger_soon.fn)
		loop_timer_stop(&t->d->loop, &t->debugger_soon);
	if (t->watch > 0)
		inotify_rm_watch(t->d->opened.fd, t->watch);
	if (t->status >= 0)
		close(t->status);
	t->watch = t->status = -1;
}
