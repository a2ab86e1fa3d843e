/* SPDX-License-Identifier: BSD-2-Clause */
/* What comes unasked: every line and every event once, in order; a torn frame ends where it is. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "../surface/fake.h"
#include "client/client.h"

TestSuite(event, .init = fake_start, .fini = fake_stop, .timeout = 20);

#define HEARD_MAX 16

static struct {
	struct ebpfrt_event ev[HEARD_MAX];
	char text[HEARD_MAX][32];
	u32 n;
} heard;

static void hear(const struct ebpfrt_event *ev, void *cookie)
{
	cr_assert_eq(cookie, &heard);
	cr_assert_lt(heard.n, HEARD_MAX);
	heard.ev[heard.n] = *ev;
	snprintf(heard.text[heard.n++], sizeof(heard.text[0]), "%s",
		 ev->text ? ev->text : "(none)");
}

/* @body comes before the answer to a request; how many events it holds. */
static int dispatch(u16 type, const void *body, u32 len)
{
	memcpy(fake->unasked.body, body, len);
	fake->unasked.len = len;
	fake->unasked.type = type;
	fake_answer(MSG_LOG, 0, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_log_start(EBPFRT_LOG_ALL), 0);
	heard.n = 0;
	return ebpfrt_event_dispatch(hear, &heard);
}

/* Append a line as the daemon packs it. */
static u32 put_line(u8 *body, u32 at, const char *text, u32 lost)
{
	struct msg_log_line line = {.len = (u32)strlen(text), .lost = lost};

	memcpy(body + at, &line, sizeof(line));
	memcpy(body + at + sizeof(line), text, line.len);
	return at + sizeof(line) + ALIGN_UP(line.len, 8u);
}

Test(event, the_log_is_asked_for_with_its_scope)
{
	u32 scope = 9;

	fake_answer(MSG_LOG, 0, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_log_start(EBPFRT_LOG_SESSION), 0);
	memcpy(&scope, fake->asked_body, sizeof(scope));
	cr_assert_eq(scope, 0);
	fake_answer(MSG_LOG, -ENOMEM, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_log_start(EBPFRT_LOG_ALL), -ENOMEM);
	memcpy(&scope, fake->asked_body, sizeof(scope));
	cr_assert_eq(scope, 1);
	cr_assert_str_eq(ebpfrt_error(), "cannot read the log: Cannot allocate memory");
}

Test(event, lines_of_a_frame)
{
	u8 body[256] = {0};
	u32 len = put_line(body, 0, "first\n", 0);

	len = put_line(body, len, "eight...", 3);
	len = put_line(body, len, "", 5);
	len = put_line(body, len, "last", 0);
	cr_assert_eq(dispatch(MSG_LOG_LINES, body, len), 4);
	cr_assert_eq(heard.n, 4);
	cr_assert_eq(heard.ev[0].type, EBPFRT_EVENT_LOG);
	cr_assert_str_eq(heard.text[0], "first", "the newline is the caller's to print");
	cr_assert_eq(heard.ev[0].lost, 0);
	cr_assert_str_eq(heard.text[1], "eight...");
	cr_assert_eq(heard.ev[1].lost, 3);
	cr_assert_eq(heard.ev[2].type, EBPFRT_EVENT_LOST, "lost, and no line after it yet");
	cr_assert_eq(heard.ev[2].lost, 5);
	cr_assert_str_eq(heard.text[3], "last");
	cr_assert_eq(ebpfrt_event_dispatch(hear, &heard), 0, "each once");
}

Test(event, a_line_longer_than_its_frame_ends_it)
{
	u8 body[64] = {0};
	u32 len = put_line(body, 0, "whole", 0), end = put_line(body, len, "torn off", 0);

	cr_assert_eq(dispatch(MSG_LOG_LINES, body, end - 1), 1);
	cr_assert_str_eq(heard.text[0], "whole");
	cr_assert_eq(dispatch(MSG_LOG_LINES, body, len + 4), 1, "half a head is no line");
	memset(body, 0xff, sizeof(body));
	cr_assert_eq(dispatch(MSG_LOG_LINES, body, sizeof(body)), 0);
	cr_assert_eq(dispatch(MSG_LOG_LINES, body, 0), 0);
}

Test(event, a_last_line_may_come_without_its_padding)
{
	u8 body[64] = {0};

	put_line(body, 0, "short", 0);
	cr_assert_eq(dispatch(MSG_LOG_LINES, body, sizeof(struct msg_log_line) + 5), 1);
	cr_assert_str_eq(heard.text[0], "short");
}

Test(event, events_by_their_numbers)
{
	static const enum ebpfrt_event_type want[] = {
		EBPFRT_EVENT_TARGET_END,  EBPFRT_EVENT_LINK_ATTACHED, EBPFRT_EVENT_LINK_FAILED,
		EBPFRT_EVENT_TARGET_LEFT, EBPFRT_EVENT_LINK_DETACHED, [7] = EBPFRT_EVENT_MODULES,
		[8] = EBPFRT_EVENT_LATE};

	for (u32 i = 0; i < ARRAY_SIZE(want); i++) {
		if (i == 5 || i == 6)
			continue; /* below */

		struct msg_event e = {
			.what = MSG_EVENT_TARGET_END + i, .pid = 100, .link = 7, .err = -ENOENT};

		cr_assert_eq(dispatch(MSG_EVENT, &e, sizeof(e)), 1);
		cr_assert_eq(heard.ev[0].type, want[i]);
		cr_assert_eq(heard.ev[0].pid, 100);
		cr_assert_eq(heard.ev[0].link, 7);
		cr_assert_eq(heard.ev[0].err, -ENOENT);
	}
}

Test(event, why_a_link_failed)
{
	struct {
		struct msg_event e;
		char why[16];
	} m = {{.what = MSG_EVENT_LINK_FAILED, .err = -ENOENT}, "it is\nnot there"};

	cr_assert_eq(dispatch(MSG_EVENT, &m, sizeof(m.e) + 4), 1);
	cr_assert_str_eq(heard.text[0], "it i", "it ends with the message");
	cr_assert_eq(dispatch(MSG_EVENT, &m, sizeof(m)), 1);
	cr_assert_str_eq(heard.text[0], "it is", "one line");
	cr_assert_eq(dispatch(MSG_EVENT, &m, sizeof(m.e)), 1);
	cr_assert_str_eq(heard.text[0], "No such file or directory", "none");
	m.e.what = MSG_EVENT_LINK_ATTACHED;
	cr_assert_eq(dispatch(MSG_EVENT, &m, sizeof(m.e)), 1);
	cr_assert_str_eq(heard.text[0], "(none)", "others have none");
}

Test(event, programs_that_are_not_followed)
{
	struct {
		struct msg_event e;
		char why[16];
	} m = {{.what = MSG_EVENT_UNFOLLOWED, .pid = 100, .link = 3}, "it is\nso"};

	cr_assert_eq(dispatch(MSG_EVENT, &m, sizeof(m)), 1);
	cr_assert_eq(heard.ev[0].type, EBPFRT_EVENT_UNFOLLOWED);
	cr_assert_eq(heard.ev[0].pid, 100);
	cr_assert_eq(heard.ev[0].lost, 3);
	cr_assert_eq(heard.ev[0].link, 0, "it is a number, of no link");
	cr_assert_str_eq(heard.text[0], "it is", "one line");
	cr_assert_eq(dispatch(MSG_EVENT, &m, sizeof(m.e)), 1);
	cr_assert_str_eq(heard.text[0], "(none)", "there were too many to name them");
}

Test(event, probes_that_sleep)
{
	struct {
		struct msg_event e;
		char why[8];
	} m = {{.what = MSG_EVENT_ASLEEP, .pid = 100, .link = 1}, "awake"};

	cr_assert_eq(dispatch(MSG_EVENT, &m, sizeof(m)), 1);
	cr_assert_eq(heard.ev[0].type, EBPFRT_EVENT_ASLEEP);
	cr_assert_eq(heard.ev[0].link, 1);
	cr_assert_str_eq(heard.text[0], "awake");
}

Test(event, what_a_newer_daemon_says_is_passed_over)
{
	struct msg_event e = {.what = MSG_EVENT_LATE + 1, .pid = 100};

	cr_assert_eq(dispatch(MSG_EVENT, &e, sizeof(e)), 0);
	e.what = 0;
	cr_assert_eq(dispatch(MSG_EVENT, &e, sizeof(e)), 0);
	e.what = 1;
	cr_assert_eq(dispatch(MSG_EVENT, &e, sizeof(e) - 1), 0, "short");
	cr_assert_eq(dispatch(MSG_TYPES, &e, sizeof(e)), 0);
	cr_assert_eq(heard.n, 0);
}

Test(event, without_a_connection_there_is_nothing_to_wait_for)
{
	cr_assert_lt(ebpfrt_event_fd(), 0);
	cr_assert_str_eq(ebpfrt_error(), "not connected to the daemon");
	cr_assert_eq(fake->connections, 0, "and none is made");
}

Test(event, a_daemon_that_goes_is_seen_and_said)
{
	struct pollfd p = {.events = POLLIN};

	cr_assert_eq(ebpfrt_connect(), 0);
	p.fd = ebpfrt_event_fd();
	cr_assert_geq(p.fd, 0);
	cr_assert_eq(poll(&p, 1, 0), 0);
	cr_assert_eq(ebpfrt_event_dispatch(hear, &heard), 0);
	kill(fake->pid, SIGKILL);
	cr_assert_eq(poll(&p, 1, 10000), 1);
	cr_assert_eq(ebpfrt_event_dispatch(hear, &heard), -ECONNRESET);
	cr_assert(strstr(ebpfrt_error(), "the daemon has gone"));
}

Test(event, lines_that_wait_are_waited_for)
{
	struct msg_status s = {.log_open = 2};

	fake_answer(MSG_STATUS, 0, &s, sizeof(s), NULL);
	cr_assert_eq(ebpfrt_log_flush(0), 2);
	cr_assert_eq(ebpfrt_log_flush(30), 2, "no longer than it was told");
	s.log_open = 0;
	fake_answer(MSG_STATUS, 0, &s, sizeof(s), NULL);
	cr_assert_eq(ebpfrt_log_flush(1000000), 0);
	fake_answer(MSG_STATUS, 0, &s, 8, NULL);
	cr_assert_eq(ebpfrt_log_flush(0), -EPROTO);
}
