/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Debuggers that come to a target.
 *
 * Model: to gdb a break byte of ours is one of the program's own, whose trap it keeps from the
 * program: that would go on in the middle of an instruction. So where a debugger is seen, the
 * probes of the target *sleep*: the original bytes are put back from outside, through
 * /proc/PID/mem, which needs no ptrace. That is in time: a debugger first stops a process and reads
 * what it needs, and what traps before takes gdb back to a place where no break is any more, and
 * lets it go on there. A trap in the agent itself, the return of a call that was probed before, is
 * one of gdb's stops, too; behind it is an instruction that faults, by which the agent gets it
 * after all. When the debugger has gone, everything is restored and done again by an injection,
 * which knows the masks and handlers by then. Jumps stay: no trap is needed for them. So do all
 * probes where unwinders are guarded: without, an exception doesn't get through the calls whose
 * returns are probed.
 *
 * A tool that passes SIGTRAP on is no such debugger: strace, and whoever says so, ebpfrt-gdb.py by
 * a word in the target's page of statistics, everybody by EBPFRT_DEBUGGER=keep.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/exchange.h"

#define WATCH_NS (40ull * 1000000)
#define WATCH_EACH_NS (2ull * 1000000) /* no more of our time than that */

/* --- who it is ---------------------------------------------------------------------------------
 */

static size_t read_file(const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	buf[MAX(n, 0)] = 0;
	return (size_t)MAX(n, 0);
}

/* Of a task's status; 0: it isn't there. */
static u64 field_of(const char *status, const char *name, int base)
{
	const char *at = strstr(status, name);

	return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

static bool held_quietly(const char *status)
{
	u64 blocked = field_of(status, "\nSigBlk:\t", 16);

	return strstr(status, "\nState:\tt") && !(blocked & 1ull << (SIGTRAP - 1));
}

static s32 tracer_of(s32 pid)
{
	char path[64], buf[4096];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	read_file(path, buf, sizeof(buf));
	return (s32)field_of(buf, "\nTracerPid:\t", 10);
}

static void name_of(s32 pid, char name[16])
{
	char path[64];
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	n = read_file(path, name, 16);
	if (n && name[n - 1] == '\n')
		name[n - 1] = 0;
}

static bool passes_traps_on(const struct target *t, const char *name)
{
	return t->d->keep_probes || READ_ONCE(t->stats->debugger) || !strcmp(name, "strace") ||
	       !strcmp(name, "ltrace");
}

/* One that will swallow traps; 0: none. */
static s32 debugger_of(const struct target *t, char name[16])
{
	s32 tracer = tracer_of(t->pid);

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

static void swap_byte(int mem, u64 addr, u8 from, u8 to)
{
	u8 now;

	if (pread(mem, &now, 1, (off_t)addr) == 1 && now == from &&
	    pwrite(mem, &to, 1, (off_t)addr) != 1)
		log_line("a byte at %#llx could not be written: %s", (unsigned long long)addr,
			 strerror(errno));
}

/*
 * How often its threads were switched to, when a debugger holds them all and none blocks SIGTRAP;
 * 0: it is not so. What is the same later has not run since.
 */
static u64 switches(s32 pid)
{
	char path[300];
	struct dirent *e;
	u64 sum = 1;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && sum && (e = readdir(dir))) {
		char buf[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", pid, e->d_name);
		read_file(path, buf, sizeof(buf));
		sum = held_quietly(buf)
			      ? sum + field_of(buf, "\nvoluntary_ctxt_switches:\t", 10) +
					field_of(buf, "\nnonvoluntary_ctxt_switches:\t", 10)
			      : 0;
	}
	if (dir)
		closedir(dir);
	return sum;
}

/* Where the break is to be seen (@out), or the original byte: the other one. 0 or -errno. */
static int swap_breaks(const struct target *t, bool out)
{
	_cleanup_close_ int mem = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", t->pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	if (mem < 0)
		return -errno;
	for (u32 i = 0; i < t->nsites; i++) {
		const struct arch_patch *p = &t->sites[i].site.patch;

		if (t->sites[i].armed)
			swap_byte(mem, p->addr, out ? ARCH_BREAK : p->insn[0],
				  out ? p->insn[0] : ARCH_BREAK);
	}
	return 0;
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

static bool unwinders_are_guarded(const struct target *t)
{
	for (u32 i = 0; i < t->nsites; i++)
		if (t->sites[i].armed &&
		    t->sites[i].site.flags & (AGENT_SITE_UNWIND | AGENT_SITE_RESUME))
			return true;
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
	WRITE_ONCE(t->stats->asleep, 1);
	/* who says that he passes traps on looks at .asleep then */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (READ_ONCE(t->stats->debugger)) {
		t->asleep = false;
		WRITE_ONCE(t->stats->asleep, 0);
		return;
	}
	err = swap_breaks(t, true);
	t->held = switches(t->pid);
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
	for (u32 i = 0; i < t->nsites; i++)
		t->sites[i].armed = false;
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
		t->held = switches(t->pid);
	if (!t->held || t->held != switches(t->pid) || swap_breaks(t, false))
		return;
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
	snprintf(why, sizeof(why), "process %d: its probes are awake again", t->pid);
	target_event(t->d, t, MSG_EVENT_ASLEEP, 1, 0, why);
}

void debugger_exchanged(struct target *t)
{
	if (t->asleep)
		swap_breaks(t, true);
}

/* --- watching ----------------------------------------------------------------------------------
 */

static bool any_armed(const struct target *t)
{
	for (u32 i = 0; i < t->nsites; i++)
		if (t->sites[i].armed)
			return true;
	return false;
}

void debugger_look(struct target *t)
{
	char name[16];
	s32 tracer;

	if (t->asleep && !t->x && !tracer_of(t->pid)) {
		wake_up(t);
	} else if (t->asleep && READ_ONCE(t->stats->debugger)) {
		stay_awake(t);
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

static void on_watch(struct loop_timer *timer)
{
	struct daemon *d = container_of(timer, struct daemon, watch);
	struct target *t;
	u64 n = 0;

	list_for_each_entry (t, &d->targets, node) {
		if (t->gone || !t->stats || !(t->asleep || any_armed(t)))
			continue;
		debugger_look(t);
		n++;
	}
	if (!list_empty(&d->targets))
		loop_timer_arm(&d->loop, timer, MAX(WATCH_NS, n * WATCH_EACH_NS));
}

void debugger_watch(struct daemon *d)
{
	if (!d->watch.fn)
		loop_timer_init(&d->watch, on_watch);
	if (list_empty(&d->watch.node))
		loop_timer_arm(&d->loop, &d->watch, WATCH_NS);
}
