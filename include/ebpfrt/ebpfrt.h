/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libebpfrt: eBPF for user space, without root.
 *
 * A program that links this library (before libc, as any shared library is) has its bpf(2),
 * perf_event_open(2) and related calls served by a per-user daemon instead of the kernel. Use
 * libbpf as always to open, load and attach objects; use the functions below to say which processes
 * the probes are for, and to see what happens. The daemon is started when it is first needed.
 *
 * Conventions: functions return 0 or a negative errno value unless they say otherwise, and
 * out-parameters change on success only. After a failure ebpfrt_error() is a sentence for the
 * person: what failed, on what, why, and what to do. All functions may be called from any thread
 * (requests of one process are serialised) and none may be called from a signal handler. A
 * connection belongs to the process that made it: a forked child makes its own.
 */
#ifndef EBPFRT_EBPFRT_H
#define EBPFRT_EBPFRT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EBPFRT_API __attribute__((visibility("default")))

/* The last failure of the calling thread, "" when there was none. Valid until its next call. */
EBPFRT_API const char *ebpfrt_error(void);

/* "0.1.0". Static. */
EBPFRT_API const char *ebpfrt_version(void);

/*
 * Connect to the daemon of the calling user, starting it when it doesn't run. Everything else does
 * this by itself. -EACCES: the runtime directory is not ours alone; -ECONNREFUSED: the daemon could
 * not be started.
 */
EBPFRT_API int ebpfrt_connect(void);

/* --- targets: the processes our probes are for --- */

struct ebpfrt_target {
	pid_t pid;
	uint32_t how;	     /* EBPFRT_PRELOADED, EBPFRT_INJECTED, EBPFRT_FORKED */
	uint64_t stopped_ns; /* how long it was held by ptrace, all in all */
	uint64_t longest_ns; /* and at a time */
	uint32_t sites;	     /* patched places */
	uint32_t links;
	uint32_t sessions; /* clients that attached to it */
	uint32_t inert;	   /* 1: the agent restored everything by itself, its daemon had died */
	uint32_t found;	 /* 1: the agent was there already, from an earlier time or another client's
			  */
	uint32_t stops;	 /* how often it was held */
	uint64_t hits;	 /* programs run */
	uint64_t missed; /* hits that could not run a program (nested in another) */
	uint64_t aborted; /* runs cut short by a fault */
	uint64_t left;	  /* calls that were seen to end without a return: exception, longjmp */
	uint64_t foreign; /* traps that belonged to the application and went there */
	uint64_t dropped; /* bpf_printk lines that found no room */
	uint64_t jumps;	  /* of the sites, those that are jumps and not traps */
	char comm[16];
};
#define EBPFRT_PRELOADED 1
#define EBPFRT_INJECTED 2
#define EBPFRT_FORKED 3

#define EBPFRT_FOLLOW 1u /* processes that the target forks are covered as well */

/*
 * Cover @pid by this process's probes, those attached already and those that come. Brings the agent
 * in when it isn't there (ptrace, about a millisecond for one thread). @out may be NULL. -ESRCH,
 * -EPERM (another user's, traced, not dumpable, Yama), -EOPNOTSUPP; ebpfrt_error() has the remedy.
 */
EBPFRT_API int ebpfrt_target_attach(pid_t pid, unsigned int flags, struct ebpfrt_target *out);

/* Detach every client's probes from @pid (0: from all processes); its text is restored. */
EBPFRT_API int ebpfrt_target_detach(pid_t pid);

/* All targets of this user. *out is the caller's to free(3), NULL when there is none. */
EBPFRT_API int ebpfrt_targets(struct ebpfrt_target **out, size_t *n);

/* --- links: programs on sites --- */

enum ebpfrt_link_state { EBPFRT_LINK_PENDING = 1, EBPFRT_LINK_ATTACHED, EBPFRT_LINK_FAILED };

/*
 * One link in one target. With pid 0: the link has no target (yet), or what it counted in targets
 * that have ended. The links of the calling process are listed after their end, too, with what they
 * counted in all.
 */
struct ebpfrt_link {
	uint32_t id, prog_id;
	pid_t pid;
	enum ebpfrt_link_state state;
	int err;	 /* why it failed, negative errno */
	int is_return;	 /* runs when the function returns */
	int is_session;	 /* runs at its entry, and for the same call when it returns */
	uint64_t addr;	 /* in the target's memory */
	uint64_t offset; /* in the file */
	uint64_t cookie;
	uint64_t hits, missed, aborted, left;
	uint32_t places; /* that are probed: a link of many functions may have less than it named */
	uint32_t missing; /* that can't be; reason is that of the first one */
	char prog_name[16];
	char path[240];
	char symbol[96]; /* nearest, "" when unknown */
	char reason[128];
};

/* Links @id (0: all) in process @pid (0: all). *out is the caller's to free(3). */
EBPFRT_API int ebpfrt_links(uint32_t id, pid_t pid, struct ebpfrt_link **out, size_t *n);

/* What stands at a place that is probed. */
struct ebpfrt_site {
	pid_t pid;
	int is_jump;	 /* no signal is needed for a hit */
	uint64_t addr;	 /* in the target's memory */
	uint64_t offset; /* in the file */
	uint64_t dev, ino;
	const char *rung;   /* "nop", "long", "pun", "over", "trap", or "": nothing of ours at the
			       moment */
	const char *reason; /* why it is a trap, NULL: it is none */
	int is_leaf; /* a jump, and the program needs nothing of the agent: it is called itself */
};

/*
 * The places that link @id (0: all) probes in process @pid (0: all); *out is the caller's to
 * free(3). What is said is what lies in the process's memory where that can be read, else what was
 * planned.
 */
EBPFRT_API int ebpfrt_sites(uint32_t id, pid_t pid, struct ebpfrt_site **out, size_t *n);

/* Detach link @id everywhere, whoever made it; *sites (may be NULL): how many were restored. */
EBPFRT_API int ebpfrt_link_detach(uint32_t id, uint32_t *sites);

/*
 * Between begin and end attach requests are collected; end applies them in one exchange with each
 * target. A process that makes many links stops its targets once instead of many times.
 */
EBPFRT_API int ebpfrt_batch_begin(void);
EBPFRT_API int ebpfrt_batch_end(void);

/* --- starting a program under the agent --- */

/*
 * The environment of a program to be started: "NAME=value" strings that a caller adds to its own
 * environment, NULL-terminated, LD_PRELOAD extended and not replaced. @env: the environment to
 * extend (NULL: the caller's). *out is one block, the caller's to free(3).
 */
EBPFRT_API int ebpfrt_run_environment(char *const *env, char ***out);

/* Path of the agent library. 0, -ENOENT, -ENAMETOOLONG. */
EBPFRT_API int ebpfrt_agent_path(char *path, size_t size);
/* Path of the library that gives an unmodified libbpf program this runtime (LD_PRELOAD). */
EBPFRT_API int ebpfrt_surface_path(char *path, size_t size);

/* --- what happens --- */

enum ebpfrt_event_type {
	EBPFRT_EVENT_LOG = 1,	    /* a bpf_printk line: text */
	EBPFRT_EVENT_TARGET_END,    /* pid ended */
	EBPFRT_EVENT_TARGET_LEFT,   /* pid runs on, unprobed: detached by another client, or (err)
				       exec */
	EBPFRT_EVENT_LINK_ATTACHED, /* a pending link found its place: link, pid */
	EBPFRT_EVENT_LINK_FAILED,   /* link, pid, err */
	EBPFRT_EVENT_LINK_DETACHED, /* link was detached, by whomever */
	EBPFRT_EVENT_LOST,	    /* lost more bpf_printk lines, and no line after them yet */
	EBPFRT_EVENT_UNFOLLOWED,    /* pid has executed lost programs that are not followed: text
				       names the one, or is NULL */
	EBPFRT_EVENT_MODULES, /* pid has a new program, or other libraries than before: there may be
				 more to attach to */
	EBPFRT_EVENT_ASLEEP,  /* pid is under a debugger, and its probes sleep; or, with link, they
				 are awake again: text */
	EBPFRT_EVENT_LATE,    /* pid, with its new program or libraries, has not been waited for any
				 longer */
};
struct ebpfrt_event {
	enum ebpfrt_event_type type;
	pid_t pid;
	uint32_t link;
	int err;
	uint32_t lost;	  /* lines dropped before this one because we were slow */
	const char *text; /* no newline; valid during the callback; LINK_FAILED: the reason; NULL:
			     nothing is said */
};

#define EBPFRT_LOG_SESSION 0u /* lines of the targets of this process */
#define EBPFRT_LOG_ALL 1u     /* lines of all targets of this user */

/* From now on bpf_printk lines come as events. */
EBPFRT_API int ebpfrt_log_start(unsigned int scope);

/*
 * Have every line that was written so far as an event, which ebpfrt_event_dispatch() hands out.
 * Waits up to @timeout_ms for lines that wait behind one that a thread is just writing. How many
 * such lines there are still, or negative errno.
 */
EBPFRT_API int ebpfrt_log_flush(unsigned int timeout_ms);

/*
 * Descriptor to poll(2) for reading: events are waiting. The library's; don't read or close it.
 * Negative errno when not connected.
 */
EBPFRT_API int ebpfrt_event_fd(void);

/*
 * From now on (@on) a process that has a new program or other libraries waits, up to a second,
 * before it executes any of that: until EBPFRT_EVENT_MODULES has been heard, whatever there is more
 * to attach is attached, in a batch, and ebpfrt_modules_settled() called with its pid. Only for who
 * looks for events all the time: who was late (EBPFRT_EVENT_LATE) is not waited for again until
 * that has been called. 0 or negative errno.
 */
EBPFRT_API int ebpfrt_modules_wait(int on);
EBPFRT_API int ebpfrt_modules_settled(pid_t pid);

/*
 * Call @fn for every event that has arrived; don't wait. Number of events, or negative errno
 * (-ECONNRESET: the daemon has gone, and with it every probe).
 */
EBPFRT_API int ebpfrt_event_dispatch(void (*fn)(const struct ebpfrt_event *event, void *cookie),
				     void *cookie);

struct ebpfrt_status {
	pid_t daemon;
	uint32_t clients, targets, maps, progs, links, btfs, pins;
	uint64_t uptime_ns;
	uint64_t log_lost;
	char version[32];
	char dir[108]; /* where the sockets are */
};

/* The daemon and what it holds for all clients of this user. */
EBPFRT_API int ebpfrt_status(struct ebpfrt_status *out);

/* Detach everything and end the daemon. -EBUSY when others use it and @force is 0. */
EBPFRT_API int ebpfrt_shutdown(int force);

/* --- does it work here? --- */

enum ebpfrt_verdict { EBPFRT_OK, EBPFRT_WARN, EBPFRT_FAIL };

struct ebpfrt_check {
	enum ebpfrt_verdict verdict;
	const char *name;   /* a word or two: "yama", "agent" */
	const char *detail; /* what was found */
	const char *remedy; /* what to do about it, "" when there is nothing to do */
};

/*
 * Look at everything this runtime depends on, and at process @pid when it isn't 0; call @fn for
 * each finding. Strings are valid during the callback. Returns the worst verdict.
 */
EBPFRT_API enum ebpfrt_verdict
ebpfrt_doctor(pid_t pid, void (*fn)(const struct ebpfrt_check *check, void *cookie), void *cookie);

#ifdef __cplusplus
}
#endif
#endif
