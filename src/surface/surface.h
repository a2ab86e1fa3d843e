/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel surface on the client side, as the client library sees it.
 *
 * Model: a process that links this code (or preloads libebpfrt-surface.so) has its bpf(2),
 * perf_event_open(2) and the few calls around them answered by ebpfrtd instead of the kernel. There
 * is one connection per process. It is made on first use, starts the daemon when none runs, is made
 * anew in a forked child, and is the same one that surface_request() uses: objects made through
 * bpf(2) and requests belong to one session.
 *
 * All functions are thread-safe and preserve errno; none may be called from a signal handler.
 */
#pragma once

#include "proto/frame.h"

/*
 * Send one request and wait for its reply. @req: type (and flags) filled in; the rest is done here.
 * @fds are borrowed. Returns the reply's err (0, or a positive result, or -errno) with the reply in
 * @reply; or -errno when there is no daemon (then @reply is empty). The sentence that explains a
 * failure is surface_error(). @reply is the caller's to frame_deinit() in every case; NULL when the
 * body is of no interest.
 */
int surface_request(struct msg *req, const void *body, size_t len, const int *fds, u32 nfds,
		    struct frame *reply);

/*
 * Wait up to @timeout_ms (-1: for ever) for a message that comes unasked: MSG_LOG_LINES, MSG_EVENT.
 * 0 with the frame in @out; -ETIMEDOUT; -EINTR; -ENOTCONN; -errno of the connection. Needs an
 * established connection: makes none.
 */
int surface_next_event(int timeout_ms, struct frame *out);

/* The connection's descriptor, for poll(2) only; -ENOTCONN without one. Input may also be a reply
 * that another thread waits for: surface_next_event(0, ...) tells. */
int surface_poll_fd(void);

/* Connect now, starting the daemon when @start. 0 or -errno. */
int surface_connect(bool start);

/* What the daemon said of itself; zeroes without a connection. */
void surface_welcome(struct msg_welcome *out);

/*
 * Links closed between @begin and the end are looked at once, at the end: whether a descriptor was
 * the last of its link takes a walk over all of them.
 */
void surface_close_together(bool begin);

/*
 * From now on this process's bpf(2) is answered by @answer (a result, or -errno), and no daemon is
 * asked: for a child that only wants to see what would be loaded.
 */
void surface_answer(long (*answer)(int cmd, void *attr, u32 size));

/*
 * Functions of targets that the programs this process loads may call (@n of them, which stay where
 * they are), by their numbers in the types that @types is a descriptor of: these stand for the
 * kernel's from here on. Takes @types.
 */
struct ebpf_callee;
void surface_allow_calls(const struct ebpf_callee *callees, u32 n, int types);

/*
 * The environment variable by which a program that is run with the surface is handed the same:
 * "LIST:TYPES", two descriptors of files: struct ebpf_callee one after the other, and @types.
 */
#define SURFACE_CALLEES "EBPFRT_CALLEES"

/* The sentence of this thread's last failure, without newline; "" when the last call succeeded. */
const char *surface_error(void);

/*
 * Who tells the person that the daemon can't be reached or sent nonsense. The default writes a line
 * to standard error, once per distinct cause; a library that reports errors itself sets NULL.
 */
void surface_set_reporter(void (*report)(const char *sentence));

/* The same as surface_error(), exported by the preload library for programs that look it up. */
const char *ebpfrt_surface_error(void);
