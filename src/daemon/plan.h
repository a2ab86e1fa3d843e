/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From links to sites: where the bytes of a file are in a process, and how each instruction there
 * is probed.
 *
 * Model: a worker process reads the target's maps, memory and ELF files (all hostile) and fills a
 * shared block; the daemon takes it when the worker has ended well. Input is the worker's copy of
 * the daemon's memory. A worker that crashes or takes too long fails the plan, not the daemon.
 */
#pragma once

#include "arch/arch.h"
#include "core/run/callee.h"
#include "daemon/loop.h"
#include "osl/osl.h"
#include "probe/probe.h"

#define PLAN_TIMEOUT_NS (10ull * 1000000000)
#define PLAN_ARENAS 256u
#define PLAN_SYSCALL_SITES 64u
#define PLAN_UNWIND_SITES 64u

struct plan_arena {
	u64 addr, size, used; /* .size 0: none could be mapped; .used bytes are in the way there */
};

/* one place that is wanted */
struct plan_item {
	/* in */
	struct osl_ident file;
	const char *path;
	u64 offset;
	u64 ref_ctr; /* file offset of a counter of who looks (USDT semaphore), 0: none */
	bool is_ret;
	bool is_session;		   /* with is_ret: entry and return are those of one call */
	const struct ebpf_callee *callees; /* functions of the target that its program calls */
	u32 ncallees;
	/* out */
	s32 err; /* 0; -ENOENT with .pending: not mapped; else why it can't be */
	bool pending;
	bool fixed; /* a file that is not unloaded: the program, libc, the loader */
	u64 addr;
	bool at_returns; /* there, as return addresses must not be replaced */
	u64 sema;	 /* address of the counter, 0: none or not mapped writable */
	u32 site;	 /* index into the plan's sites */
	u64 calls[EBPF_CALLEES_MAX + EBPF_CALLEE_AIDS]; /* of the callees, then of the aids */
	char symbol[96];
	char why[PROBE_WHY_MAX];
};

struct plan_site {
	struct arch_patch patch;
	struct arch_jump jump;
	struct osl_ident file;
	u64 offset;
	u64 func;  /* of AGENT_SITE_RETURN */
	u32 flags; /* AGENT_SITE_* */
	u32 rung;  /* enum probe_rung */
	u32 sheet; /* that its pad is on: one more than its number; 0: none */
};

/* system calls of a file by which signals are blocked and their handlers set */
struct plan_scan {
	struct osl_ident file;
	s64 ctime_ns; /* the file's, when it was read */
	u32 n;
	struct {
		u64 load, call; /* file offsets of the number's load and of the call */
		u32 nr;
	} calls[PLAN_SYSCALL_SITES];
};
#define PLAN_SCANS 6u /* files of one target that are looked through */

/* The block; items, then sites, then addresses of sites that have gone follow it. */
struct plan_out {
	u32 done;
	s32 err;
	char why[PROBE_WHY_MAX];
	u32 nitems;
	u32 nsites;
	u32 max_sites;
	u32 ngone; /* known armed sites where another file, or nothing, is mapped by now */
	u32 max_gone;
	u32 narenas;
	struct plan_arena
		arenas[PLAN_ARENAS];	    /* the target's, used ones advanced, new ones behind */
	struct plan_scan scans[PLAN_SCANS]; /* made by this worker: to be remembered */
	u32 nscans;
	bool hooked; /* the loader's notification point is among the sites */
	bool sanitised;
	size_t size; /* of the block */
};

struct target;
struct site;
struct addr_index;

struct plan {
	struct loop_child child;
	struct loop_timer timer;
	struct loop *loop;
	struct plan_out *out;
	void (*fn)(struct plan *p);
	bool over; /* the worker has ended */
};

static inline struct plan_item *plan_items(struct plan_out *o)
{
	return (struct plan_item *)(o + 1);
}

static inline struct plan_site *plan_sites(struct plan_out *o)
{
	return (struct plan_site *)(plan_items(o) + o->nitems);
}

static inline u64 *plan_gone(struct plan_out *o)
{
	return (u64 *)(plan_sites(o) + o->max_sites);
}

/* what the worker works on */
struct plan_job {
	s32 pid;
	s32 tid;      /* a thread of ours at the moment: its signal mask does not count; 0: none */
	int mem;      /* its memory as its agent gave it, or -1: where the kernel denies it to us */
	u64 dl_debug; /* 0: unknown */
	bool want_hook, want_sanitise, want_unwind;
	bool want_guards;	       /* even where nothing is probed */
	bool want_left;		       /* how calls end that don't return */
	bool jumps;		       /* where they can be */
	bool only_jumps;	       /* and else no probe */
	const struct plan_scan *scans; /* known ones */
	u32 nscans;
	const struct site *sites; /* known ones: their original bytes, their slots */
	u32 nsites;
	struct addr_index *known; /* of these, or NULL; the worker's own copy */
};

/* Room for @nitems and @nknown sites; the caller fills the inputs and arenas, then starts. */
int plan_init(struct plan *p, struct loop *loop, u32 nitems, u32 nknown);
int plan_start(struct plan *p, const struct plan_job *job, void (*fn)(struct plan *p));
/* Idempotent; ends the worker. */
void plan_deinit(struct plan *p);
/* The work itself, in the calling process: for tests. */
void plan_run(struct plan_out *o, const struct plan_job *job);
