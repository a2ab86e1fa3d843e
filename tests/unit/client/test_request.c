/* SPDX-License-Identifier: BSD-2-Clause */
/* A request: what comes back, and the words for what doesn't; nothing on standard error. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../surface/fake.h"
#include "client/client.h"

TestSuite(request, .init = fake_start, .fini = fake_stop, .timeout = 20);

Test(request, body_out_and_body_back)
{
	static const char question[] = "question", answer[] = "an answer";
	_cleanup_frame_ struct frame f = FRAME_INIT;

	fake_answer(MSG_STATUS, 0, answer, sizeof(answer), NULL);
	client_fail(-EIO, "of an earlier call");
	cr_assert_eq(client_request(MSG_STATUS, question, sizeof(question), &f, "cannot"), 0);
	cr_assert_eq(f.len, sizeof(answer));
	cr_assert_arr_eq(f.body, answer, sizeof(answer));
	cr_assert_eq(fake->asked_type, MSG_STATUS);
	cr_assert_eq(fake->asked_len, sizeof(question));
	cr_assert_arr_eq(fake->asked_body, question, sizeof(question));
	cr_assert_str_empty(ebpfrt_error(), "a success clears what was said before");
}

Test(request, a_positive_result_is_one)
{
	fake_answer(MSG_LINK_DROP, 17, NULL, 0, NULL);
	cr_assert_eq(client_request(MSG_LINK_DROP, NULL, 0, NULL, "cannot"), 17);
}

Test(request, the_daemons_sentence_is_passed_on_as_it_is)
{
	fake_answer(MSG_LINK_DROP, -EPERM, NULL, 0, "link 3 is another user's; ask 100% of them");
	cr_assert_eq(client_request(MSG_LINK_DROP, NULL, 0, NULL, "cannot drop"), -EPERM);
	cr_assert_str_eq(ebpfrt_error(), "link 3 is another user's; ask 100% of them");
}

Test(request, without_a_sentence_one_is_made)
{
	fake_answer(MSG_LINK_DROP, -EBUSY, NULL, 0, NULL);
	cr_assert_eq(client_request(MSG_LINK_DROP, NULL, 0, NULL, "cannot drop"), -EBUSY);
	cr_assert_str_eq(ebpfrt_error(), "cannot drop: Device or resource busy");
}

/* Standard error of what @fn does, at most @size - 1 bytes. */
static void stderr_of(void (*fn)(void), char *text, size_t size)
{
	int saved = dup(2), p[2];
	ssize_t n;

	cr_assert_eq(pipe2(p, O_NONBLOCK), 0);
	dup2(p[1], 2);
	fn();
	fflush(stderr);
	dup2(saved, 2);
	n = read(p[0], text, size - 1);
	text[n > 0 ? n : 0] = 0;
}

/* A directory in which nobody listens, and no daemon to start. */
static void nobody_there(void)
{
	char empty[128];

	snprintf(empty, sizeof(empty), "%s/empty", fake->dir);
	cr_assert_eq(mkdir(empty, 0700), 0);
	setenv("EBPFRT_RUNTIME_DIR", empty, 1);
	setenv("EBPFRT_DAEMON", "/nonexistent/ebpfrtd", 1);
}

static void forget_nobody(void)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/empty/daemon.log", fake->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/empty/lock", fake->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/empty", fake->dir);
	rmdir(path);
}

static int request_result, connect_result;
static char request_error[512], connect_error[512];

static void ask_nobody(void)
{
	request_result = client_request(MSG_STATUS, NULL, 0, NULL, "cannot ask");
	strcpy(request_error, ebpfrt_error());
	connect_result = ebpfrt_connect();
	strcpy(connect_error, ebpfrt_error());
}

Test(request, a_daemon_that_cannot_be_started_is_said_to_the_caller_only)
{
	char text[1024];

	nobody_there();
	stderr_of(ask_nobody, text, sizeof(text));
	forget_nobody();
	cr_assert_lt(request_result, 0);
	cr_assert_neq(request_result, -ENOENT, "not to be taken for an answer");
	cr_assert(strstr(request_error, "/nonexistent/ebpfrtd"), "%s", request_error);
	cr_assert_lt(connect_result, 0);
	cr_assert(strstr(connect_error, "/nonexistent/ebpfrtd"), "%s", connect_error);
	cr_assert_str_empty(text, "a library is silent");
}

Test(request, connecting_greets_once)
{
	cr_assert_eq(ebpfrt_connect(), 0);
	cr_assert_eq(ebpfrt_connect(), 0);
	cr_assert_eq(fake->connections, 1);
	cr_assert_str_empty(ebpfrt_error());
}
