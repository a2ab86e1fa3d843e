/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon sends unasked: log lines and events, handed to a callback when the caller's loop
 * says that there is something to read.
 *
 * A frame holds many log lines; their lengths are checked against the frame, and a torn one ends
 * it.
 */
#include "client/client.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "surface/surface.h"

#define LOG_STEP_MS 5

typedef void (*event_fn)(const struct ebpfrt_event *event, void *cookie);

__export int ebpfrt_log_start(unsigned int scope)
{
	u32 s = scope;
	int err = client_request(MSG_LOG, &s, sizeof(s), NULL, "cannot read the log");

	return err < 0 ? err : 0;
}

/* The daemon hands out what was written before it answers, and says what it can't get at yet. */
static int lines_open(void)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg_status s;
	int err = client_request(MSG_STATUS, NULL, 0, &reply, "cannot read the log");

	if (err < 0)
		return err;
	if (reply.len < sizeof(s))
		return client_fail(-EPROTO, "the daemon's reply is short");
	memcpy(&s, reply.body, sizeof(s));
	return (int)MIN(s.log_open, (u32)INT_MAX);
}

__export int ebpfrt_log_flush(unsigned int timeout_ms)
{
	const struct timespec step = {.tv_nsec = LOG_STEP_MS * 1000000l};
	int open = lines_open();

	/* what we wait for is a thread of a target: nothing tells us of it */
	for (u32 ms = 0; open > 0 && ms < timeout_ms; ms += LOG_STEP_MS) {
		nanosleep(&step, NULL);
		open = lines_open();
	}
	return open;
}

__export int ebpfrt_event_fd(void)
{
	int fd = surface_poll_fd();

	return fd >= 0 ? fd : client_fail(fd, "not connected to the daemon");
}

__export int ebpfrt_modules_wait(int on)
{
	u32 v = on != 0;
	int err = client_request(MSG_HOLD, &v, sizeof(v), NULL, "cannot have processes wait");

	return err < 0 ? err : 0;
}

__export int ebpfrt_modules_settled(pid_t pid)
{
	s32 v = pid;
	int err = client_request(MSG_SETTLED, &v, sizeof(v), NULL, "cannot go on");

	return err < 0 ? err : 0;
}

static int dispatch_lines(const struct frame *f, event_fn fn, void *cookie)
{
	size_t at = 0;
	int n = 0;

	while (f->len - at >= sizeof(struct msg_log_line)) {
		struct ebpfrt_event ev = {.type = EBPFRT_EVENT_LOG};
		struct msg_log_line line;
		_cleanup_free_ char *text = NULL;

		memcpy(&line, f->body + at, sizeof(line));
		at += sizeof(line);
		if (line.len > f->len - at)
			break;
		text = strndup((const char *)f->body + at, line.len);
		if (!text)
			return client_fail(-ENOMEM, "out of memory");
		text[strcspn(text, "\n")] = 0;
		if (!line.len)
			ev.type = EBPFRT_EVENT_LOST;
		ev.text = text;
		ev.lost = line.lost;
		fn(&ev, cookie);
		n++;
		at += MIN(ALIGN_UP((size_t)line.len, 8), f->len - at);
	}
	return n;
}

/* The daemon's sentence, without the end of its line. */
static char *why_of(const struct frame *f, int err)
{
	size_t len = f->len - sizeof(struct msg_event);
	char *why = len ? strndup((const char *)f->body + sizeof(struct msg_event), len)
			: strdup(strerror(-err));

	if (why)
		why[strcspn(why, "\n")] = 0;
	return why;
}

static int dispatch_event(const struct frame *f, event_fn fn, void *cookie)
{
	static const enum ebpfrt_event_type types[] = {
		[MSG_EVENT_TARGET_END] = EBPFRT_EVENT_TARGET_END,
		[MSG_EVENT_LINK_ATTACHED] = EBPFRT_EVENT_LINK_ATTACHED,
		[MSG_EVENT_LINK_FAILED] = EBPFRT_EVENT_LINK_FAILED,
		[MSG_EVENT_TARGET_LEFT] = EBPFRT_EVENT_TARGET_LEFT,
		[MSG_EVENT_LINK_DETACHED] = EBPFRT_EVENT_LINK_DETACHED,
		[MSG_EVENT_UNFOLLOWED] = EBPFRT_EVENT_UNFOLLOWED,
		[MSG_EVENT_ASLEEP] = EBPFRT_EVENT_ASLEEP,
		[MSG_EVENT_MODULES] = EBPFRT_EVENT_MODULES,
		[MSG_EVENT_LATE] = EBPFRT_EVENT_LATE,
	};
	struct ebpfrt_event ev = {0};
	_cleanup_free_ char *why = NULL;
	struct msg_event e;

	if (f->len < sizeof(e))
		return 0;
	memcpy(&e, f->body, sizeof(e));
	if (!e.what || e.what >= ARRAY_SIZE(types))
		return 0; /* of a newer daemon */
	ev.type = types[e.what];
	ev.pid = e.pid;
	ev.link = e.link;
	ev.err = e.err;
	if (ev.type == EBPFRT_EVENT_LINK_FAILED || f->len > sizeof(e)) {
		why = why_of(f, e.err);
		if (!why)
			return client_fail(-ENOMEM, "out of memory");
		ev.text = why;
	}
	if (ev.type == EBPFRT_EVENT_UNFOLLOWED) {
		ev.lost = e.link;
		ev.link = 0;
	}
	fn(&ev, cookie);
	return 1;
}

__export int ebpfrt_event_dispatch(event_fn fn, void *cookie)
{
	int total = 0;

	for (;;) {
		_cleanup_frame_ struct frame f = FRAME_INIT;
		int n, err = surface_next_event(0, &f);

		if (err == -ETIMEDOUT || err == -EINTR || err == -EAGAIN)
			return total;
		if (err)
			return client_fail(
				-ECONNRESET,
				"the daemon has gone, and with it every probe; its log is "
				"in the runtime directory");
		n = f.hdr.type == MSG_LOG_LINES ? dispatch_lines(&f, fn, cookie)
		    : f.hdr.type == MSG_EVENT	? dispatch_event(&f, fn, cookie)
						: 0;
		if (n < 0)
			return n;
		total += n;
	}
}
