/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Services of the OS that are safe in any context, a probe's path included: no allocation, no lock,
 * no libc.
 *
 * A process that runs programs calls osl_trap_init() once, before the first run and again in a
 * forked child. Nothing here makes a system call on the ordinary path; the exceptions are named.
 */
#pragma once

#include "arch/arch.h"

#define OSL_COMM_LEN 16
#define OSL_BELLS 1024 /* doorbell slots; slot 0 is never rung */

/*
 * The doorbell page, one per daemon, mapped writable by every producer: a producer marks its ring's
 * slot pending and wakes the daemon's waker thread only when that sleeps. All-zero is valid;
 * nothing in it is trusted.
 */
struct osl_bells {
	u32 seq;    /* futex word: bumped with every ring */
	u32 asleep; /* the waker is in futex_wait or about to be */
	u64 pending[OSL_BELLS / 64];
	u32 mute; /* there is a producer that can't wake anybody: look now and then */
};

/*
 * The life page, one per daemon: written by the daemon only (sealed F_SEAL_FUTURE_WRITE after its
 * own mapping), mapped read-only by everybody else. `alive` is on the robust list of a daemon
 * thread: the kernel sets FUTEX_OWNER_DIED in it when the daemon dies, however it dies.
 */
#define OSL_LIFE_OWNER_DIED 0x40000000u
#define OSL_MAX_PARTICIPANTS 4096
struct osl_life {
	u32 alive;	   /* tid of the daemon's life thread, or with OSL_LIFE_OWNER_DIED set */
	u32 stats_enabled; /* BPF_ENABLE_STATS is on */
	u64 generation;	   /* of this daemon: random */
	u8 dead[OSL_MAX_PARTICIPANTS]; /* 1: participant number is known dead */
	u64 rounds; /* of the daemon's loop: while it is the same the daemon did nothing */
};

/* What the caller knows about its process; copied. Zero or NULL what is unknown. */
struct osl_self {
	u32 tgid; /* as the program should see it */
	u32 uid, gid;
	u64 cgroup_id;
	u64 vdso; /* address of the vDSO's ELF header, 0: clocks are system calls */
	struct osl_bells *bells;
	const struct osl_life *life;
};
void osl_trap_init(const struct osl_self *self);

/*
 * A process that filters its system calls (seccomp) may be killed for one that it never made
 * itself. Told before the filter is there, we make none any more, in it and its children: what
 * needs one goes without, or fails with -EPERM.
 */
extern bool osl_walled;
void osl_wall(void);

/*
 * Clocks, in ns. Through the vDSO; a system call only where the vDSO itself makes one or is
 * missing.
 */
u64 osl_ktime_ns(void);	     /* CLOCK_MONOTONIC */
u64 osl_ktime_boot_ns(void); /* CLOCK_BOOTTIME */
u64 osl_ktime_coarse_ns(void);
u64 osl_ktime_tai_ns(void);
/*
 * From now on they make no system call, and with !@counter don't read the CPU's counter: called
 * before that may harm the process. They are right to a tick of the kernel's timer then.
 */
void osl_clock_calm(bool counter);
/* The kernel's timer ticks, counted from where it does: five minutes before it overflows 32 bits.
 */
u64 osl_ticks(void);

/* Identity. The tid is cached per thread (one system call at a thread's first hit). */
u32 osl_cpu(void);
/* The same where a load is enough, else no CPU's number. */
s64 osl_fault_cpu(void);
/* Distance of the CPU's number from the thread pointer, a u32 that may be out of range or nowhere;
 * 0: unknown. */
extern s64 osl_cpu_at;
u32 osl_numa_node(void);
u32 osl_tgid(void);
u32 osl_tid(void);
/*
 * What code needs to answer by itself: a thread whose pointer is @tp, as the word it leads to says,
 * and whose word at @tp + .tid_at is a tid with an entry for both, is that entry's. Entries of
 * threads that are gone, or none, are of no harm: who finds another calls osl_tid(), which makes it
 * its own. All of it may change at any time; .pid_tgid is loaded once.
 */
#define OSL_WHO_SLOTS 256 /* a tid's is the one of its last 8 bits */
struct osl_who {
	s64 tid_at; /* may lead nowhere */
	u64 pad;
	struct {
		u64 tp;
		u64 pid_tgid; /* tgid << 32 | tid */
	} by_tid[OSL_WHO_SLOTS];
};
extern struct osl_who osl_who;
u64 osl_uid_gid(void); /* gid << 32 | uid */
u64 osl_cgroup_id(void);
/* Is the file (st_dev, st_ino) the PID namespace of this process, whose numbers osl_tid() gives? */
bool osl_pidns_is(u64 dev, u64 ino);
/* The thread's name, NUL-padded. Cached per thread; refreshed by a system call when older than 10
 * ms. */
void osl_comm(char comm[OSL_COMM_LEN]);
/* The thread pointer, by the fastest way that works here; 0 where there is none. */
u64 osl_thread_pointer(void);
u32 osl_random(void); /* pseudo-random, per process */

/*
 * Copies that survive a wrong address: 0 or -EFAULT. The loads and stores lie between two labels
 * that the SIGSEGV and SIGBUS handler of the process knows (osl_fault_fixup()); no system call.
 */
int osl_read(void *dst, const void *src, size_t len);
int osl_write(void *dst, const void *src, size_t len);
/* Store @len zero bytes: 0 or -EFAULT. */
int osl_zero(void *dst, size_t len);
/* Atomically @new in place of @old: 0, 1 when something else is there, or -EFAULT. Aligned. */
int osl_exchange(u64 *at, u64 old, u64 new);
/*
 * Copy a string with its NUL, at most @len bytes, always terminated when @len > 0. Returns the
 * bytes written, NUL included, or -EFAULT (then dst[0..len) is zeroed, as the kernel does).
 */
s64 osl_read_str(char *dst, const char *src, size_t len);

/* What an access that failed would have raised; all zero when it is not known. */
struct osl_fault {
	s32 sig, code; /* of the signal */
	u64 addr;      /* its si_addr */
	u32 trap, err; /* in the signal frame */
};
/*
 * Access the byte at @addr, without changing it when @write: 0, or -EFAULT and *out, which the
 * process's fault handler tells (osl_fault_tell()).
 */
int osl_touch(u64 addr, bool write, struct osl_fault *out);
void osl_fault_tell(struct arch_regs *regs, const struct osl_fault *what);

/* In the fault handler: was this ours? Then *regs continues at the error return and true comes
 * back. */
bool osl_fault_fixup(struct arch_regs *regs);

/* Wake the readers behind doorbell slot @bell. A system call only when the waker sleeps. 0 does
 * nothing. */
void osl_ring(u32 bell);

/* True when the daemon that set this process up is dead. One load. */
bool osl_daemon_dead(void);
