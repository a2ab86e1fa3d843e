/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside an exchange: exchange.c conducts it, want.c has the sites planned, deliver.c says what is
 * sent and what the acknowledgements mean.
 */
#pragma once

#include <errno.h>

#include "daemon/target.h"

#define NS_PER_MS 1000000ull

struct exchange;

struct xmsg {
	struct list_head node;
	u16 type;
	u32 len; /* of body */
	int fds[3];
	u32 nfds;
	void (*ack)(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len);
	u32 arg;
	u32 weight; /* it keeps the agent the longer the more of them; 0: no time worth counting */
	u8 body[] __attribute__((aligned(8)));
};

/* where a planned item belongs */
struct want {
	u32 link;
	u32 index; /* of the link's sites */
};

struct exchange {
	struct target *t;
	struct loop_source sock;
	struct loop_source report; /* of the injector */
	struct loop_timer timer;
	struct inject inj;
	struct plan plan;
	struct list_head in_line; /* while it waits for others to be planned */
	bool working;		  /* its plan is being made, or put into effect, */
	struct loop_timer work;	  /* which counts only for so long */
	struct list_head turn;	  /* among those that are injected, or wait for that */
	u64 turn_ns;		  /* when its turn came; 0: it waits */
	struct want *wants;
	u32 nwants;
	struct list_head queue; /* the first one is sent and not yet acknowledged */
	u64 seq;
	u32 reason; /* of the agent's hello, 0: none yet */
	s32 tid;    /* the agent's thread */
	bool planned, injecting, talked;
	bool paused;	    /* the agent was let go before it was told everything */
	bool resumed;	    /* and called again */
	u64 since_ns;	    /* when the injector stopped the target's threads; 0: it did not */
	u64 sent_ns;	    /* when the first message of the queue was sent */
	bool heavy;	    /* something that has a weight was sent since it was called */
	bool prepared;	    /* the queue is what is to be said */
	bool slots_changed; /* it tells so: wanted again when it fails */
	bool calling;	    /* the agent was sent a signal and has not come yet */
	bool silent;	    /* the agent has come by itself, and says no more */
	bool greets;	    /* it is to bring its memory, nothing else: the plan needs that first */

	int call_dir;  /* the runtime directory, open for the agent; -1 */
	bool drop_all; /* as the target's when the plan was made: what comes later waits */
	s32 err;
	char why[PROBE_WHY_MAX];
};

/* exchange.c */
__printf_like(3, 4) void exchange_fail(struct exchange *x, int err, const char *fmt, ...);
void exchange_finish(struct exchange *x);
void exchange_advance(struct exchange *x);
struct xmsg *exchange_enqueue(struct exchange *x, u16 type, const void *body, u32 len);
void exchange_enqueue_fd(struct xmsg *m, int fd);
static inline bool exchange_passing(int err) /* worth another attempt */
{
	return err == -EBUSY || err == -EAGAIN || err == -EINTR;
}

/* The agent was called and has come to bring its memory: go on. Takes @fd. */
void exchange_greeted(struct exchange *x, int fd);

/* call.c: 0, or -errno with the sentence */
int call_may(s32 pid, char why[PROBE_WHY_MAX]);
int call_agent(struct exchange *x, char why[PROBE_WHY_MAX]);
bool call_memory_denied(const struct target *t);

/* deliver.c */
void deliver_put_all(struct exchange *x);
bool deliver_needs_setup(const struct exchange *x); /* it begins with that */
/* for messages that have no acknowledgement of their own */
void deliver_ack_nothing(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body,
			 u32 len);
struct tlink *deliver_find(struct target *t, u64 link);
void deliver_put_map(struct exchange *x, struct ebpf_map_obj *m);

/* inner.c: what the map of maps @outer holds */
void inner_put(struct exchange *x, struct ebpf_map_obj *outer);
void inner_forget(struct target *t); /* the agent has nothing */

/* want.c: plan what is wanted; without that, go on at once. May end the exchange. */
int want_start(struct exchange *x);
void want_init(struct exchange *x);
/* Its turn is over, or is not wanted any more. Idempotent. */
void want_over(struct exchange *x);
/*
 * A library that comes and goes was not where it had just been: the link is planned once more after
 * this exchange, a few times. False: not this link, or not again.
 */
bool want_again(struct tlink *tl);
