/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Targets: processes with an agent in them, what they should have, and how they get it.
 *
 * Model: a link that covers a target has a struct tlink there: what the two have to do with each
 * other. Its state says whether the target's agent knows. reconcile() looks whether anything is
 * wanted that is not there, has it planned (plan.h, in a worker), and makes one exchange of it
 * (exchange.c). One exchange per target at a time; what changes meanwhile waits for the next.
 *
 * Sites are remembered for the life of the target, restored ones too: their slots are never given
 * to another instruction.
 */
#pragma once

#include "daemon/daemon.h"
#include "daemon/inject.h"
#include "daemon/plan.h"
#include "probe/probe.h"
#include "proto/shm_abi.h"

#define TARGET_STATS 4096u /* entries of the statistics page */
#define TARGET_DROPPED 1024u

enum tlink_state {
	TLINK_WANT,    /* to be planned and sent */
	TLINK_FLYING,  /* in the exchange under way */
	TLINK_DONE,    /* attached */
	TLINK_PENDING, /* its file is not mapped */
	TLINK_FAILED,
};

struct attach;

struct tlink {
	struct list_head in_target, in_attach;
	struct list_head in_open; /* while something is to be done about it */
	struct target *t;
	struct attach *a;
	u32 link; /* id */
	u32 stat;
	enum tlink_state state; /* changed by tlink_become() */
	bool update;		/* another program; changed by tlink_update() */
	bool had;		/* the agent has, or has had, consumers of it */
	bool inherited;		/* they were there when the process was forked */
	bool sent;		/* the agent may have some of them */
	bool at_returns;	/* AGENT_CONSUMER_AT_RETURNS */
	bool entry;		/* of functions, as far as symbols tell */
	bool fixed;		/* in files that are never unloaded */
	u8 moved;		/* times in a row that the library was not where it had just been */
	s32 err;
	u32 naddrs;
	u64 *addrs;   /* of its sites, 0: none */
	u64 *semas;   /* of the counters beside them */
	u32 calls_of; /* the program with this id calls what is at these addresses */
	u64 calls[EBPF_CALLEES_MAX + EBPF_CALLEE_AIDS];
	u64 addr;    /* the first one */
	u32 missing; /* places that were left out; .reason is of the first one */
	char symbol[96];
	char reason[PROBE_WHY_MAX];
};

/* link->priv */
struct attach {
	struct daemon *d;
	struct ebpf_link_obj *l;
	struct list_head tlinks;
	struct list_head in_waiting; /* daemon->waiting, while somebody is */
	struct ebpf_call *waiting;   /* BPF_LINK_CREATE or _UPDATE that is not answered yet */
	bool batched;		     /* its client collects */
	bool in_batch;		     /* the batch it was collected in is being applied */
};

enum { TAKEN_NOTHING, TAKEN_BREAK, TAKEN_JUMP };

struct site {
	struct agent_site site;
	struct osl_ident file;
	u64 offset;
	u32 consumers;
	u32 rung;  /* enum probe_rung, as planned */
	u32 sheet; /* of plan_site; 0 also when it is closed */
	s32 err;   /* of the last attempt */
	bool armed;
	u8 taken;  /* by debugger.c, from outside: TAKEN_ */
	bool lies; /* it may be in the text, a jump say, and is restored before it is armed again */
};

/* From addresses to numbers, as many as were entered; a later entry of an address is not seen. */
struct addr_index {
	u32 *v; /* number + 1, 0: free */
	u32 size, n;
};

struct member {
	u32 session;
	bool follow;
};

/* what an agent was given */
struct given_one {
	u32 id;
	u32 stat;  /* index into the statistics page, programs only */
	bool sent; /* a forked child inherits the numbers, not certainly the thing */
};
struct given {
	struct given_one *v;
	u32 n, room;
};

struct ring_given {
	u32 map, index, event;
	u64 size;
	bool done;
};

/* an inner map that programs there find in an outer one */
struct pair_given {
	u32 outer, inner;
	bool sent, there;
};

/* Its agent has gone on without us. */
enum target_late { LATE_NOT, LATE_TO_SAY, LATE_SAID };

struct exchange;

struct target {
	struct list_head node;
	struct daemon *d;
	struct loop_source exit; /* pidfd */
	struct loop_timer retry;
	struct loop_timer silent; /* its agent broke off: does it go on by now? */
	u32 silences;
	struct loop_timer look;		 /* is it still the program it was? */
	struct loop_timer debugger_soon; /* somebody has opened a file of it: debugger.c */
	u32 debugger_looks;
	int status;		   /* its /proc/PID/status, or -1 */
	int watch;		   /* of its directory, or -1 */
	struct loop_timer restore; /* what could not be restored is tried again */
	struct list_head links;	   /* struct tlink */
	struct list_head open;	   /* of them, those that are wanted, in the air or to be updated */
	struct tlink *next_open;   /* where the next one is looked for first, or NULL */
	struct hold *hold;	   /* of the agent that is there; NULL: none (hold.h) */
	u32 nreturns;		   /* of the links, those that want returns */
	struct list_head leaving;  /* struct leaving, see tally.c */
	struct list_head waiters;  /* struct waiter */
	struct exchange *x;
	s32 pid;
	s32 follow_of; /* pid whose links cover this child too, 0: none */
	u64 start_time;
	u64 cookie;
	u32 participant;
	u32 how; /* msg_target_info.how */
	u64 base, dl_debug;
	int mem; /* its memory, from its agent: only workers read it, it may be anything; or -1 */
	bool found;		    /* the agent was there, from an earlier time */
	u64 stopped_ns, longest_ns; /* held by injections, all in all and at a time */
	u32 stops;		    /* by how many */
	bool setup;		    /* the agent has our pages */
	bool loaded;		    /* the agent is in the process */
	bool dirty;		    /* look again when the exchange is over */
	bool modules;		    /* the loader has something new */
	bool gone;
	bool executed;	 /* another program, without our agent */
	bool asleep;	 /* a debugger is there: debugger.c */
	bool bare;	 /* and its jumps are out, too */
	bool slept;	 /* its agent does not know */
	bool waking;	 /* clients are to be told when it is over */
	s32 stays_under; /* a debugger under which its probes stay, as was said */
	u64 held;	 /* context switches of its threads, while the debugger holds them all */
	enum target_late late;
	bool failed;  /* the last attempt; nothing is under way */
	u64 swept_by; /* cookie of the target whose unknown child it was, 0: it came by itself */
	bool sweep;   /* it was restored: its children are to be looked for */
	bool forked;  /* has to be told what it inherited */
	u32 busy_retries;
	u32 restores; /* failed ones in a row */
	bool lingers; /* a thread is in a program that was taken away: once more, then */
	u32 rounds;   /* exchanges since somebody waits, without an end in sight */
	char comm[16];
	struct member *members;
	u32 nmembers;
	u64 family;	 /* what the agent knows its own to be, 0: it follows nothing */
	u64 execs_told;	 /* of stats->nexecs: what clients know of */
	u64 execs_said;	 /* how many programs clients were told of */
	u64 vanished_ns; /* when its agent was first seen to be gone, 0: it is there */
	u64 trace_told;	 /* of stats->trace_dropped: what clients know of */
	int stats_fd;
	struct agent_stats *stats;
	u64 stats_size;
	u32 next_stat;
	struct given maps, progs;
	struct ring_given *rings;
	u32 nrings;
	struct pair_given *pairs;
	u32 npairs, pairs_room;
	struct site *sites;
	u32 nsites, sites_room;
	struct addr_index by_addr; /* of the sites */
	struct plan_arena *arenas;
	u32 narenas, arenas_sent;
	u8 *sheets; /* NULL: none yet */
	int sheets_fd;
	u32 nsheets;
	u32 drops[TARGET_DROPPED]; /* links to be removed by the next exchange */
	u32 ndrops;
	bool drop_all;
	bool slots_changed;	     /* an array of programs or events has another entry */
	u32 dropped[TARGET_DROPPED]; /* links removed in the past: what a forked child may still
					have */
	u32 ndropped;
};

/* Somebody who wants to know when a target has settled. */
struct waiter {
	struct list_head node;
	struct pending req;
	void (*fn)(struct waiter *w, struct target *t, int err, const char *why);
};

/* --- target.c -------------------------------------------------------------------------------- */

struct target *target_new(struct daemon *d, s32 pid, int *err, char why[PROBE_WHY_MAX]);
void target_free(struct target *t);
struct target *target_by_pid(struct daemon *d, s32 pid);
struct target *target_by_cookie(struct daemon *d, u64 cookie);
int target_join(struct target *t, u32 session, bool follow); /* its links cover it from now on */
void target_leave(struct target *t, u32 session);
bool target_has(const struct target *t, u32 session);
/* Of all its threads, by a signal. */
bool target_is_stopped(const struct target *t);
/* What failed as its agent said no more is tried again when it isn't stopped (any more). */
void target_await(struct target *t);
/* It can't be patched (any more): whoever waits is told. */
void target_fail(struct target *t, int err, const char *why);
/* Bring about what is wanted, unless it is already on its way. */
void target_reconcile(struct target *t);
/* An exchange went well: see what is left to be done; when nothing is, answer whoever waits. */
void target_advanced(struct target *t);
/* Nothing is under way any more: answer whoever waits for this target. */
void target_settled(struct target *t, int err, const char *why);
struct site *target_site(struct target *t, u64 addr);
/* Number of the one of @n whose address @at() gives is @addr, -1: none; enters those that came
 * since. */
int addr_index_find(struct addr_index *x, u64 addr, u32 n, u64 (*at)(const void *v, u32 i),
		    const void *v);
struct site *target_site_add(struct target *t);
u32 given_index(const struct given *g, u32 id);	      /* n: not there */
struct given_one *given_add(struct given *g, u32 id); /* NULL: no memory */
/* Links that cover it and have no tlink yet get one. */
void target_link_up(struct target *t);
/* Its agent has vanished: it executes another program. It is forgotten, but not before the caller
 * is through. */
bool target_executed(struct target *t);
/* Is there still our agent at @base of that process? It may have executed another program, or have
 * no memory any more. */
enum agent_seen { AGENT_THERE, AGENT_VANISHED, AGENT_NO_MEMORY, AGENT_UNSEEN };
enum agent_seen agent_look(s32 pid, u64 base);
bool target_has_work(const struct target *t);
/* Is there a break or a jump of ours in it? */
bool target_any_armed(const struct target *t);
/* Links have gone that its agent does not know to be gone. */
bool target_owes_bytes(const struct target *t);
/* A child of @parent that was forked: inherits what the agent there has. */
struct target *target_fork(struct target *parent, s32 pid);
u32 target_stat_new(struct target *t);
/* Statistics: loaded once each, sums over the page. */
void target_stat(const struct target *t, u32 index, struct agent_stat *out);
u64 target_hits(const struct target *t); /* of any site */
void target_event(struct daemon *d, const struct target *t, enum msg_event_what what, u32 link,
		  s32 err, const char *why);

/* --- attach.c -------------------------------------------------------------------------------- */

struct tlink *tlink_new(struct target *t, struct attach *a);
/* Forget it; what the agent has of it is dropped by the next exchange. */
void tlink_free(struct tlink *tl);
void tlink_become(struct tlink *tl, enum tlink_state state);
void tlink_update(struct tlink *tl, bool update);
/* The one behind @tl, NULL: the first one; of all or of the open ones. NULL: there is none. */
struct tlink *tlink_next(const struct target *t, const struct tlink *tl, bool all);
void tlink_fail(struct tlink *tl, int err, const char *why);
/* The same of one of its places, which some links can do without. */
void tlink_fail_place(struct tlink *tl, u32 index, int err, const char *why);
/* How many of its places are probed. */
u32 tlink_places(const struct tlink *tl);
void tlink_release_sites(struct tlink *tl);
/* May it be elsewhere, or gone, when libraries come and go? */
static inline bool tlink_moves(const struct tlink *tl)
{
	return tl->state == TLINK_PENDING || (tl->state == TLINK_DONE && !tl->fixed);
}
bool attach_covers(const struct ebpf_link_obj *l, const struct target *t);
/* Nothing of it is on its way any more? Then its caller is answered (true), which may free it. */
bool attach_settle(struct attach *a);
void attach_wait(struct attach *a, struct ebpf_call *call); /* NULL: nobody waits any more */

/* --- tally.c --------------------------------------------------------------------------------- */

/* What a link has counted where it is no longer attached. */
struct tally {
	struct tally *next; /* of those that are found in the same place */
	struct list_head in_gone;
	u32 link, prog, session;
	bool gone; /* the link is */
	u64 hits, missed, aborted, left;
};
void tally_new(struct daemon *d, const struct ebpf_link_obj *l);
struct tally *tally_find(struct daemon *d, u32 link);
void tally_leave(const struct tlink *tl); /* before it is forgotten */
void tally_settle(struct target *t);	  /* somebody asks, or the target has ended */
void tally_link_gone(struct daemon *d, u32 link);
void tally_session_gone(struct daemon *d, u32 session);

/* --- family.c -------------------------------------------------------------------------------- */

#define FAMILY_SESSIONS 8u
struct family {
	struct list_head node;
	u64 token;
	s32 root; /* the process whose links cover its children, too */
	u32 n;
	u32 sessions[FAMILY_SESSIONS];
};
struct family *family_by_token(struct daemon *d, u64 token);
u64 family_of(struct target *t); /* its token, 0: nothing follows what it executes */
void family_prune(struct daemon *d, bool (*alive)(struct daemon *d, u32 session));
void family_tell(struct target *t); /* what it has executed and is not followed */

/* --- debugger.c ------------------------------------------------------------------------------ */

void debugger_watch(struct target *t);	   /* there is a target, which was just made */
void debugger_forget(struct target *t);	   /* it goes */
void debugger_look(struct target *t);	   /* is one there, or has it gone? */
void debugger_exchanged(struct target *t); /* the agent may have written breaks */
void debugger_awake(struct target *t);	   /* everything that is wanted is there */

/* --- sweep.c --------------------------------------------------------------------------------- */

/* @t was restored: so are children of its family that nobody knows. */
void sweep_children(struct target *t);
/* @t has ended: when it was the last one of its family, its unknown children take its place. */
void sweep_orphans(struct target *t);

/* --- sheets.c -------------------------------------------------------------------------------- */

/* The pad of @j is on sheet number @sheet - 1. False: it can't be. */
bool sheets_put(struct target *t, u32 sheet, const struct arch_jump *j);
/* No further pad comes to those that there are; idempotent. */
void sheets_close(struct target *t);

/* --- session.c ------------------------------------------------------------------------------- */

/* Nothing of ours has to be in its text any more? Then nothing is. */
void target_rest(struct target *t);
bool session_alive(struct daemon *d, u32 session);
void session_prune(struct daemon *d); /* forget sessions of which nothing is left */

/* --- exchange.c ------------------------------------------------------------------------------ */

/* The daemon's own initiative: plan, inject or command, talk. */
void exchange_start(struct target *t);
void exchange_abort(struct target *t); /* idempotent */
/* The agent's initiative: it has connected and said why. Takes @fd. */
void exchange_serve(struct target *t, int fd, const struct agent_hello *h);
