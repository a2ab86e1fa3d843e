/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ebpfrtd: what its parts share.
 *
 * Model: one loop, one thread that decides; a second thread (waker.c) only turns doorbells into
 * eventfd writes and carries the life word. Clients (client.c) send requests; a request is answered
 * at once or later, when an exchange with a target, or a worker, is through. Targets (target.c) are
 * processes with an agent in them, changed by *exchanges*; what a target should have follows from
 * the links that cover it, and reconcile() brings it there.
 *
 * Rules: nothing here blocks on a peer; everything read from a peer is checked first; whatever
 * parses a target's files or runs a program does so in a forked worker.
 */
#pragma once

#include "core/load/syscall.h"
#include "daemon/loop.h"
#include "osl/osl_trap.h"
#include "proto/frame.h"

struct client;
struct target;
struct waker;

#define DAEMON_CLIENT_OBJS 16384u /* quota of held objects per connection */
#define DAEMON_CLIENTS 1024u
#define DAEMON_TALLY_CHAINS 4096u
#define DAEMON_HELLO_MS 3000u /* a connection has to say who it is */
#define DAEMON_IDLE_MS 10000u
#define DAEMON_CLIENT_IDLES 6u /* idle times for a client that holds nothing */

struct daemon {
	struct loop loop;
	struct ebpf_table table;
	struct list_head clients, targets, handles, greeters, families;
	struct list_head waiting; /* struct attach, whose callers are */
	struct list_head gone_tallies;
	struct tally *tally_chains[DAEMON_TALLY_CHAINS]; /* by link: tally.c */
	u32 nclients, ntallies, ngreeters, nhandles, nfamilies;
	u32 clients_max, greeters_max;
	u32 next_session;
	struct loop_source ctl, agent, signals, dir_src, names_src, handles_src;
	struct loop_timer idle;
	struct loop_timer settled; /* see whether we can still be reached */
	struct loop_timer watch;   /* for debuggers */
	struct loop_source opened; /* files of targets in /proc (inotify) */
	struct loop_timer admit;   /* nobody is admitted until then */
	u64 idle_ns;
	u64 started_ns;
	u64 log_lost;
	u32 stats_users;
	u32 uid;
	bool private; /* belongs to one client and leaves with it */
	bool leaving;
	bool unreachable; /* the runtime directory was taken away */
	bool jumps;	  /* sites become jumps where they can */
	bool keep_probes; /* under a debugger, too */
	bool only_jumps;  /* where they can't there is no probe */
	char dir[96];
	/* waker.c */
	int bells_fd, life_fd;
	struct osl_bells *bells;
	struct osl_life *life;
	struct waker *waker;
	u32 next_participant;
	u8 participants[OSL_MAX_PARTICIPANTS]; /* 1: in use */
	/* trace.c */
	struct ebpf_map_obj *trace_map;
	struct loop_source trace_src;
	struct timers *timers; /* timer.c */
	int names_dir;	       /* names.c */
};

/* --- exchange.c ------------------------------------------------------------------------------ */

/* The agent's, which stays open, or -errno. */
int exchange_agent_file(struct daemon *d);

/* --- main.c ---------------------------------------------------------------------------------- */

/* Something that keeps the daemon may have gone: see whether to leave soon. */
void daemon_check_idle(struct daemon *d);
void debugger_init(struct daemon *d); /* debugger.c; before the first target */
void daemon_leave(struct daemon *d);

/* --- log.c ----------------------------------------------------------------------------------- */

void log_open(const char *path, bool foreground);
/* In the background: standard error is the log from here on. */
void log_take_stderr(void);
void log_line(const char *fmt, ...) __printf_like(1, 2);

/* --- waker.c --------------------------------------------------------------------------------- */

int waker_start(struct daemon *d); /* the pages and the thread */
void waker_stop(struct daemon *d);
/* A doorbell slot and the eventfd it rings: the slot, or -ENOSPC. *fd stays the waker's. */
int waker_bell_new(struct daemon *d, int *fd);
void waker_bell_free(struct daemon *d, u32 bell);
int waker_bell_fd(struct daemon *d, u32 bell); /* -1: none */

u32 participant_new(struct daemon *d); /* 0: all taken */
void participant_dead(struct daemon *d, u32 who);

/* --- handle.c: sockets that stand for links, perf events and BPF_ENABLE_STATS ----------------- */

/*
 * A descriptor for a client; @obj (NULL: none) is referenced until its last copy is closed, then
 * @gone (may be NULL) is called. The client's end, or -errno.
 */
int handle_new(struct daemon *d, struct ebpf_obj *obj, void (*gone)(struct daemon *d));
int handles_start(struct daemon *d);
void handle_reap(struct daemon *d); /* those whose last copy has been closed by now */
void handle_drop_all(struct daemon *d);

/* --- client.c -------------------------------------------------------------------------------- */

struct client_out {
	struct list_head node;
	struct msg hdr;
	u8 *body;
	size_t len;
	char *text;
	int fds[MSG_FDS_MAX];
	u32 nfds;
};

struct client {
	struct list_head node;
	struct daemon *d;
	struct loop_source src;
	struct loop_timer silence; /* until hello; then, whether it still is of use */
	u64 heard_ns;		   /* when the last request came */
	struct ebpf_owner owner;
	struct list_head out; /* what the socket did not take */
	u32 nout;
	struct list_head pending; /* requests answered later */
	u32 session;
	u64 token;
	u32 participant;
	s32 pid;
	u32 uid;
	bool hello, owns_daemon, dying;
	bool interpret; /* its programs get no machine code */
	bool batching;
	bool holds; /* wants to look at a process before it goes on (hold.h), */
	bool late;  /* and has not looked in time, nor said so since */
	u32 owes;   /* so many times it was waited for and has not said that it is done */
	u32 busy;   /* an unanswered request: no further one is read */
	bool log, log_all;
	u32 log_lost;
	u32 untold; /* events it was not told of */
	char name[32];
};

int client_accept(struct daemon *d, int fd); /* takes @fd in every case */
void client_free(struct client *c);
/* Drop the oldest connection that has said nothing or holds nothing; false: there is none. */
bool client_evict(struct daemon *d);
/* Answer the request @req; @fds stay the caller's. Never fails: a peer that is gone is cleaned up
 * later. */
void client_reply(struct client *c, const struct msg *req, int err, const void *body, size_t len,
		  const int *fds, u32 nfds, const char *why);
/* Something unasked; false when the client's queue is full. */
bool client_push(struct client *c, u16 type, const void *body, size_t len);
/* Something unasked that is left out only for those who never read. */
void client_tell(struct client *c, u16 type, const void *body, size_t len);
struct client *client_by_session(struct daemon *d, u32 session);
struct client *client_by_token(struct daemon *d, u64 token);

/* A request that will be answered later: remembered with its client, who may go before. */
struct pending {
	struct list_head node;
	struct client *client; /* NULL: gone */
	struct msg req;
};
void pending_add(struct client *c, struct pending *p, const struct msg *req);
/* Answer and forget. */
void pending_reply(struct pending *p, int err, const void *body, size_t len, const int *fds,
		   u32 nfds, const char *why);
void pending_forget(struct pending *p);

/* --- bpf.c: MSG_BPF and the objects' own requests --------------------------------------------- */

void bpf_request(struct client *c, struct frame *f); /* may take over @f's memory */
/* The answer of a call that returned EBPF_LATER. */
void bpf_done(struct ebpf_call *call, int err);
void bpf_object(struct client *c, const struct frame *f);
void bpf_eventfd(struct client *c, const struct frame *f);
void bpf_closed(struct client *c, const struct frame *f);
void bpf_names(struct client *c, const struct frame *f);
/* PERF_EVENT_IOC_SET_BPF: a link that the event owns; answers the request itself. */
void bpf_set_prog(struct client *c, const struct frame *f, struct ebpf_obj *event,
		  const struct osl_ident *prog);
extern const struct ebpf_backend daemon_backend;

/* --- names.c: where pins have their names ---------------------------------------------------- */

int names_start(struct daemon *d);
void names_stop(struct daemon *d);
/* Is there any name, a directory's included? */
bool names_any(const struct daemon *d);
/* struct ebpf_backend's */
int names_make(struct ebpf_table *t, const char *name, struct ebpf_pin *pin);
int names_find(struct ebpf_table *t, const char *name, struct osl_ident *out);
bool names_gone(const struct ebpf_pin *pin);
void names_free(struct ebpf_pin *pin);

/* --- perf.c ---------------------------------------------------------------------------------- */

void perf_open_request(struct client *c, const struct frame *f);
void perf_ioctl_request(struct client *c, const struct frame *f);
void perf_mmap_request(struct client *c, const struct frame *f);
int perf_link_of_event(struct ebpf_call *call, struct ebpf_link_obj *l, struct ebpf_obj *event);
void perf_link_gone(struct ebpf_link_obj *l);
void perf_set_link(struct ebpf_obj *event, struct ebpf_link_obj *l); /* owned by the event */
struct ebpf_link_obj *perf_link_at(struct ebpf_obj *event);
u32 perf_bell(struct ebpf_obj *event);
/* The ring of @event: descriptor (-1: none yet), bytes, id. */
int perf_ring(struct ebpf_obj *event, u64 *size, u32 *id);

/* --- session.c, target.c ---------------------------------------------------------------------- */

void session_adopt_request(struct client *c, const struct frame *f);
void session_drop_request(struct client *c, const struct frame *f);
void session_targets_request(struct client *c, const struct frame *f);
void session_links_request(struct client *c, const struct frame *f);
void session_sites_request(struct client *c, const struct frame *f);
void session_link_drop_request(struct client *c, const struct frame *f);
void session_batch_request(struct client *c, const struct frame *f);
void session_released_request(struct client *c, const struct frame *f);
void session_token_request(struct client *c, const struct frame *f);
void session_gone(struct daemon *d, u32 session);   /* its client is */
bool session_in_use(struct daemon *d, u32 session); /* it has a target or a link */
u32 session_ntargets(struct daemon *d);		    /* living, patched or adopted */

int attach_link(struct ebpf_call *call, struct ebpf_link_obj *l);
void attach_detach(struct ebpf_link_obj *l);
int attach_update(struct ebpf_call *call, struct ebpf_link_obj *l, struct ebpf_prog_obj *old);
int attach_slot_set(struct ebpf_map_obj *map, u32 index, struct ebpf_obj *obj);

/* inner.c */
bool inner_reach(struct ebpf_map_obj *outer, struct ebpf_map_obj *inner); /* of the backend */
/* Changes of maps of maps that no target has to be told of any more become visible. */
void inner_publish(struct daemon *d);
void attach_prog_stats(struct ebpf_prog_obj *prog, u64 *cnt, u64 *ns, u64 *missed);

void agent_accept(struct daemon *d, int fd); /* takes @fd */
bool agent_evict(struct daemon *d);	     /* as client_evict() */
void targets_drop_all(struct daemon *d);     /* restore everything, within a bounded time */

/* --- trace.c --------------------------------------------------------------------------------- */

int trace_start(struct daemon *d);
void trace_stop(struct daemon *d);
/* Hand out the lines that were written so far, before something that ends their story. */
void trace_drain(struct daemon *d);
/* Bring the lines that did not fit into the ring to the notice of those who wait for them. */
void trace_settle(struct target *t);
void trace_settle_all(struct daemon *d);
/* Tell @c how many lines it has lost since the last one it got. */
void trace_tell_lost(struct client *c);
void trace_log_request(struct client *c, const struct frame *f);

/* --- timer.c: bpf_timer ---------------------------------------------------------------------- */

int timers_start(struct daemon *d);
void timers_stop(struct daemon *d);
/* A record of the trace ring that says that a timer was started at @ts (CLOCK_MONOTONIC, ns). */
void timers_record(struct daemon *d, u64 ts, const void *data, u32 len);

/* --- testrun.c ------------------------------------------------------------------------------- */

int testrun_start(struct ebpf_call *call, struct ebpf_prog_obj *prog);
/* progbuild.c: ebpf_backend.prog_build */
int progbuild_start(struct ebpf_call *call, struct ebpf_load *load);
