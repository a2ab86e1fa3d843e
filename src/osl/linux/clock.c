/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks, for any context.
 *
 * Model: the vDSO tells the time. It reads the CPU's counter, or, where the kernel doesn't trust
 * that, makes a system call; the kernel may lose its trust at any time. Where a system call of ours
 * may be a process's end (osl_wall()), or a program has forbidden itself to read the counter, we
 * are *calm* from then on: only the coarse clock is asked, which is a load, and how far it is to
 * its next tick is told by the counter if we may read it. So the time is never wrong by more than a
 * tick, and nearly always right; it may go back by that much from one CPU to another.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <linux/prctl.h>
#include <linux/time.h>

#include "osl/linux/clock.h"
#include "osl/linux/cpu.h"
#include "osl/linux/vdso.h"
#include "osl/osl_trap.h"

#define NSEC_PER_SEC 1000000000ull
#define TICKS_EARLY_SEC 300u /* before their count leaves 32 bits */
#define DEFAULT_TICK_NS (NSEC_PER_SEC / 1000)
#define RATE_MIN_NS 1000000ull /* watched for less than that, the counter's rate is not known */
#define RATE_BITS 32

struct ns_time {
	s64 sec, nsec;
};

static struct {
	int (*gettime)(int clock, struct ns_time *out); /* the vDSO's, or NULL */
	u64 tick_ns;		 /* of the kernel's timer; 0: not asked yet */
	u64 began, began_cycles; /* what the time was, and the counter */
	bool calm;
	u64 since, since_cycles; /* the same when we became calm */
	u64 rate;		 /* ns << RATE_BITS that a cycle takes; 0: not known */
	s64 skew;		 /* what has turned out to be missing */
	s64 boot, tai;		 /* from CLOCK_MONOTONIC to these */
} state;

static long kernel(long nr, long a, long b)
{
	return unlikely(load_relaxed(&osl_walled)) ? -EPERM : osl_hw_syscall(nr, a, b, 0, 0);
}

static u64 clock_ns(int clock)
{
	struct ns_time t = {0, 0};

	if (unlikely(!state.gettime || state.gettime(clock, &t)))
		kernel(__NR_clock_gettime, clock, (long)&t);
	return (u64)t.sec * NSEC_PER_SEC + (u64)t.nsec;
}

/* A coarse clock moves once a tick. */
static u64 tick_ns(void)
{
	struct ns_time t = {0, 0};

	if (unlikely(!READ_ONCE(state.tick_ns))) {
		kernel(__NR_clock_getres, CLOCK_MONOTONIC_COARSE, (long)&t);
		WRITE_ONCE(state.tick_ns, t.nsec ? (u64)t.nsec : DEFAULT_TICK_NS);
	}
	return READ_ONCE(state.tick_ns);
}

/* --- calm ------------------------------------------------------------------------------------- */

static bool read_cycles(u64 *out)
{
	u64 cycles = osl_fault_cycles();

	if (cycles == (u64)-EFAULT)
		return false;
	*out = cycles;
	return true;
}

static u64 rate_of(u64 ns, u64 cycles)
{
	if (ns < RATE_MIN_NS)
		return 0;
	for (; ns >> (63 - RATE_BITS); ns /= 2)
		cycles /= 2;
	return cycles ? (ns << RATE_BITS) / cycles : 0;
}

void osl_clock_calm(bool counter)
{
	if (load_relaxed(&state.calm))
		return;
	tick_ns();
	state.since = clock_ns(CLOCK_MONOTONIC);
	state.boot = (s64)(clock_ns(CLOCK_BOOTTIME) - state.since);
	state.tai = (s64)(clock_ns(CLOCK_TAI) - state.since);
	if (counter && state.began && read_cycles(&state.since_cycles))
		state.rate =
			rate_of(state.since - state.began, state.since_cycles - state.began_cycles);
	store_release(&state.calm, true);
}

/* By the counter alone. */
static u64 counted_ns(void)
{
	u64 rate = load_relaxed(&state.rate), cycles;

	if (!rate)
		return state.since;
	if (!read_cycles(&cycles)) { /* forbidden meanwhile */
		store_relaxed(&state.rate, 0);
		return state.since;
	}
	cycles -= state.since_cycles;
	return state.since + (u64)((unsigned __int128)cycles * rate >> RATE_BITS);
}

static __noinline u64 calm_ns(void)
{
	u64 counted = counted_ns(), now = counted + (u64)load_relaxed(&state.skew), least, most;

	if (!state.gettime)
		return now;
	least = clock_ns(CLOCK_MONOTONIC_COARSE);
	most = MAX(least + state.tick_ns, state.since);
	least = MAX(least, state.since);
	if (likely(now >= least && now <= most))
		return now;
	now = now < least ? least : most;
	store_relaxed(&state.skew, (s64)(now - counted));
	return now;
}

/* --- what is asked ---------------------------------------------------------------------------- */

u64 osl_ktime_ns(void)
{
	return unlikely(load_relaxed(&state.calm)) ? calm_ns() : clock_ns(CLOCK_MONOTONIC);
}

u64 osl_ktime_boot_ns(void)
{
	return unlikely(load_relaxed(&state.calm)) ? calm_ns() + (u64)state.boot
						   : clock_ns(CLOCK_BOOTTIME);
}

u64 osl_ktime_tai_ns(void)
{
	return unlikely(load_relaxed(&state.calm)) ? calm_ns() + (u64)state.tai
						   : clock_ns(CLOCK_TAI);
}

/* The vDSO never makes a system call for it. */
u64 osl_ktime_coarse_ns(void)
{
	return unlikely(load_relaxed(&state.calm) && !state.gettime)
		       ? calm_ns()
		       : clock_ns(CLOCK_MONOTONIC_COARSE);
}

u64 osl_ticks(void)
{
	u64 tick = tick_ns();
	u32 per_second = (u32)((NSEC_PER_SEC + tick / 2) / tick);

	return (u64)(u32) - (TICKS_EARLY_SEC * per_second) + osl_ktime_coarse_ns() / tick;
}

/* --- start ------------------------------------------------------------------------------------ */

static bool counter_forbidden(void)
{
	int what = PR_TSC_ENABLE;

	return !kernel(__NR_prctl, PR_GET_TSC, (long)&what) && what == PR_TSC_SIGSEGV;
}

void osl_clock_init(u64 vdso)
{
	if (counter_forbidden() && !load_relaxed(&state.calm)) {
		state.gettime = NULL; /* it would read the counter, even now */
		osl_clock_calm(false);
	}
	state.gettime = osl_vdso_sym(vdso, "__vdso_clock_gettime");
	if (state.began || load_relaxed(&state.calm)) /* in a child, or once more */
		return;
	read_cycles(&state.began_cycles);
	state.began = clock_ns(CLOCK_MONOTONIC);
}
