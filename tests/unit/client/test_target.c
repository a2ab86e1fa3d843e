/* SPDX-License-Identifier: BSD-2-Clause */
/* Targets, links, status: the wire's fields arrive in the public ones; a bad reply changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../surface/fake.h"
#include "arch/arch.h"
#include "base/cleanup.h"
#include "client/client.h"
#include "probe/probe.h"

TestSuite(target, .init = fake_start, .fini = fake_stop, .timeout = 20);

static struct msg_target_info some_target(void)
{
	struct msg_target_info t = {.pid = 4711,
				    .how = 2,
				    .stopped_ns = 1500000,
				    .longest_ns = 900000,
				    .stops = 2,
				    .nsites = 3,
				    .nlinks = 4,
				    .hits = 5,
				    .missed = 6,
				    .aborted = 7,
				    .foreign = 8,
				    .trace_dropped = 9,
				    .inert = 1,
				    .jumps = 10,
				    .sessions = 2,
				    .found = 1};

	/* sixteen bytes and no end: what is copied has one */
	memcpy(t.comm, "sixteen-bytes-xx", sizeof(t.comm));
	return t;
}

static void check_target(const struct ebpfrt_target *t)
{
	cr_assert_eq(t->pid, 4711);
	cr_assert_eq(t->how, EBPFRT_INJECTED);
	cr_assert_eq(t->stopped_ns, 1500000);
	cr_assert_eq(t->longest_ns, 900000);
	cr_assert_eq(t->stops, 2);
	cr_assert_eq(t->sites, 3);
	cr_assert_eq(t->links, 4);
	cr_assert_eq(t->hits, 5);
	cr_assert_eq(t->missed, 6);
	cr_assert_eq(t->aborted, 7);
	cr_assert_eq(t->foreign, 8);
	cr_assert_eq(t->dropped, 9);
	cr_assert_eq(t->jumps, 10);
	cr_assert_eq(t->inert, 1);
	cr_assert_eq(t->sessions, 2);
	cr_assert_eq(t->found, 1);
	cr_assert_str_eq(t->comm, "sixteen-bytes-x");
}

static struct msg_target asked_target(void)
{
	struct msg_target t;

	cr_assert_eq(fake->asked_len, sizeof(t));
	memcpy(&t, fake->asked_body, sizeof(t));
	return t;
}

Test(target, attaching_asks_and_tells)
{
	struct msg_target_info info = some_target();
	struct ebpfrt_target t;

	fake_answer(MSG_TARGET_ADOPT, 0, &info, sizeof(info), NULL);
	cr_assert_eq(ebpfrt_target_attach(4711, EBPFRT_FOLLOW, &t), 0);
	check_target(&t);
	cr_assert_eq(asked_target().pid, 4711);
	cr_assert_eq(asked_target().flags, MSG_TARGET_FOLLOW);
	cr_assert_eq(ebpfrt_target_attach(4712, 0, NULL), 0);
	cr_assert_eq(asked_target().pid, 4712);
	cr_assert_eq(asked_target().flags, 0);
}

Test(target, what_is_no_process_is_not_asked_for)
{
	struct ebpfrt_target t;

	cr_assert_eq(ebpfrt_target_attach(0, 0, &t), -EINVAL);
	cr_assert_eq(ebpfrt_target_attach(-1, 0, &t), -EINVAL);
	cr_assert_str_eq(ebpfrt_error(), "-1 is not a process ID");
	cr_assert_eq(fake->connections, 0);
}

Test(target, a_failure_leaves_the_result_alone)
{
	struct ebpfrt_target t = {.pid = 1};
	struct msg_target_info info = some_target();

	fake_answer(MSG_TARGET_ADOPT, -ESRCH, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_target_attach(5, 0, &t), -ESRCH);
	cr_assert_str_eq(ebpfrt_error(), "cannot attach to 5: No such process");
	fake_answer(MSG_TARGET_ADOPT, 0, &info, sizeof(info) - 1, NULL);
	cr_assert_eq(ebpfrt_target_attach(5, 0, &t), -EPROTO);
	cr_assert_eq(t.pid, 1);
}

Test(target, detaching_names_whom)
{
	fake_answer(MSG_TARGET_DROP, 0, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_target_detach(77), 0);
	cr_assert_eq(asked_target().pid, 77);
	fake_answer(MSG_TARGET_DROP, -EIO, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_target_detach(77), -EIO);
	cr_assert_str_eq(ebpfrt_error(), "cannot detach 77: Input/output error");
	cr_assert_eq(ebpfrt_target_detach(0), -EIO);
	cr_assert_str_eq(ebpfrt_error(), "cannot detach from all processes: Input/output error");
}

Test(target, a_list)
{
	struct msg_target_info two[2] = {some_target(), some_target()};
	_cleanup_free_ struct ebpfrt_target *rows = NULL;
	size_t n = 9;

	two[0].pid = 12;
	fake_answer(MSG_TARGET_LIST, 0, two, sizeof(two), NULL);
	cr_assert_eq(ebpfrt_targets(&rows, &n), 0);
	cr_assert_eq(n, 2);
	cr_assert_eq(rows[0].pid, 12);
	check_target(&rows[1]);
}

Test(target, an_empty_list_is_no_memory)
{
	struct ebpfrt_target *rows = (void *)1;
	size_t n = 9;

	fake_answer(MSG_TARGET_LIST, 0, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_targets(&rows, &n), 0);
	cr_assert_null(rows);
	cr_assert_eq(n, 0);
}

Test(target, a_torn_list_is_refused)
{
	struct msg_target_info two[2] = {some_target(), some_target()};
	struct ebpfrt_target *rows = (void *)1;
	size_t n = 9;

	fake_answer(MSG_TARGET_LIST, 0, two, sizeof(two) - 4, NULL);
	cr_assert_eq(ebpfrt_targets(&rows, &n), -EPROTO);
	cr_assert(strstr(ebpfrt_error(), "torn"));
	cr_assert_eq(rows, (void *)1);
	cr_assert_eq(n, 9);
}

static struct msg_link_info some_link(u32 id, u32 state)
{
	struct msg_link_info l = {.link = id,
				  .prog = 21,
				  .pid = 4711,
				  .state = state,
				  .err = -ENOENT,
				  .is_ret = 1,
				  .addr = 0x401000,
				  .offset = 0x1000,
				  .cookie = ~0ull,
				  .hits = 1,
				  .missed = 2,
				  .aborted = 3};

	memset(l.prog_name, 'p', sizeof(l.prog_name));
	memset(l.path, '/', sizeof(l.path));
	memset(l.symbol, 's', sizeof(l.symbol));
	memset(l.reason, 'r', sizeof(l.reason));
	return l;
}

Test(target, links_arrive_whole)
{
	struct msg_link_info l = some_link(5, MSG_LINK_FAILED);
	_cleanup_free_ struct ebpfrt_link *rows = NULL;
	struct msg_link_query q;
	size_t n = 0;

	fake_answer(MSG_LINK_LIST, 0, &l, sizeof(l), NULL);
	cr_assert_eq(ebpfrt_links(5, 4711, &rows, &n), 0);
	memcpy(&q, fake->asked_body, sizeof(q));
	cr_assert_eq(q.id, 5);
	cr_assert_eq(q.pid, 4711);
	cr_assert_eq(n, 1);
	cr_assert_eq(rows->id, 5);
	cr_assert_eq(rows->prog_id, 21);
	cr_assert_eq(rows->pid, 4711);
	cr_assert_eq(rows->state, EBPFRT_LINK_FAILED);
	cr_assert_eq(rows->err, -ENOENT);
	cr_assert_eq(rows->is_return, 1);
	cr_assert_eq(rows->addr, 0x401000);
	cr_assert_eq(rows->offset, 0x1000);
	cr_assert_eq(rows->cookie, ~0ull);
	cr_assert_eq(rows->hits, 1);
	cr_assert_eq(rows->missed, 2);
	cr_assert_eq(rows->aborted, 3);
	cr_assert_eq(strlen(rows->prog_name), sizeof(rows->prog_name) - 1);
	cr_assert_eq(strlen(rows->path), sizeof(rows->path) - 1);
	cr_assert_eq(strlen(rows->symbol), sizeof(rows->symbol) - 1);
	cr_assert_eq(strlen(rows->reason), sizeof(rows->reason) - 1);
}

/* This process is the target: what lies in its memory decides. */
Test(target, sites_are_what_lies_there)
{
	static const u8 bytes[] = {ARCH_JUMP, ARCH_BREAK, 0x90};
	struct msg_site_info s[5];
	_cleanup_free_ struct ebpfrt_site *rows = NULL;
	struct msg_link_query q;
	size_t n = 0;

	for (u32 i = 0; i < ARRAY_SIZE(s); i++)
		s[i] = (struct msg_site_info){.pid = getpid(),
					      .rung = PROBE_RUNG_PUN,
					      .addr = (u64)&bytes[i % 3],
					      .offset = i,
					      .file = {.dev = 1, .ino = 2}};
	s[3].addr = 0; /* can't be read */
	s[4].rung = PROBE_RUNG_EMULATED;
	fake_answer(MSG_SITE_LIST, 0, s, sizeof(s), NULL);
	cr_assert_eq(ebpfrt_sites(7, 4711, &rows, &n), 0);
	memcpy(&q, fake->asked_body, sizeof(q));
	cr_assert(q.id == 7 && q.pid == 4711);
	cr_assert_eq(n, ARRAY_SIZE(s));
	cr_assert_str_eq(rows[0].rung, "pun");
	cr_assert(rows[0].is_jump && !rows[0].reason);
	cr_assert_str_eq(rows[1].rung, "trap", "the agent keeps the break");
	cr_assert_str_eq(rows[1].reason, "it is not made a jump in this process as it is now");
	cr_assert_str_eq(rows[2].rung, "", "taken out");
	cr_assert_str_eq(rows[3].rung, "pun", "as it was planned");
	cr_assert_str_eq(rows[4].rung, "trap");
	cr_assert_str_eq(rows[4].reason, "its first instruction can only be emulated");
	cr_assert(rows[4].offset == 4 && rows[4].dev == 1 && rows[4].ino == 2);
	cr_assert_eq(rows[4].pid, getpid());
}

Test(target, torn_sites_are_refused)
{
	struct msg_site_info s = {0};
	struct ebpfrt_site *rows = NULL;
	size_t n = 9;

	fake_answer(MSG_SITE_LIST, 0, &s, sizeof(s) - 1, NULL);
	cr_assert_eq(ebpfrt_sites(0, 0, &rows, &n), -EPROTO);
	cr_assert(!rows && n == 9);
}

Test(target, detaching_a_link_counts_what_was_attached)
{
	struct msg_link_info l[3] = {some_link(5, MSG_LINK_ATTACHED),
				     some_link(5, MSG_LINK_PENDING),
				     some_link(5, MSG_LINK_ATTACHED)};
	uint32_t sites = 99, id;

	l[0].places = 1;
	l[2].places = 3; /* a link of several functions */

	fake_answer(MSG_LINK_LIST, 0, l, sizeof(l), NULL);
	fake_answer(MSG_LINK_DROP, -ENOENT, NULL, 0, "there is no link 5");
	cr_assert_eq(ebpfrt_link_detach(5, &sites), -ENOENT);
	cr_assert_str_eq(ebpfrt_error(), "there is no link 5");
	cr_assert_eq(sites, 99);
	fake_answer(MSG_LINK_DROP, 0, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_link_detach(5, &sites), 0);
	cr_assert_eq(sites, 4);
	memcpy(&id, fake->asked_body, sizeof(id));
	cr_assert_eq(id, 5);
	cr_assert_eq(ebpfrt_link_detach(5, NULL), 0);
}

Test(target, a_batch_begins_and_ends)
{
	u32 begin = 9;

	fake_answer(MSG_ATTACH_BATCH, 0, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_batch_begin(), 0);
	memcpy(&begin, fake->asked_body, sizeof(begin));
	cr_assert_eq(begin, 1);
	fake_answer(MSG_ATTACH_BATCH, 3, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_batch_end(), 0, "a positive result is no failure");
	memcpy(&begin, fake->asked_body, sizeof(begin));
	cr_assert_eq(begin, 0);
	fake_answer(MSG_ATTACH_BATCH, -EINVAL, NULL, 0, "function 'x' starts with a jump");
	cr_assert_eq(ebpfrt_batch_end(), -EINVAL);
	cr_assert_str_eq(ebpfrt_error(), "function 'x' starts with a jump");
}

Test(target, the_daemons_state)
{
	struct msg_status s = {.pid = 42,
			       .nclients = 1,
			       .ntargets = 2,
			       .nmaps = 3,
			       .nprogs = 4,
			       .nlinks = 5,
			       .nbtfs = 6,
			       .npins = 7,
			       .uptime_ns = 8,
			       .log_lost = 9,
			       .version = "1.2.3"};
	struct ebpfrt_status out = {.daemon = 1};

	memset(s.dir, 'd', sizeof(s.dir));
	fake_answer(MSG_STATUS, 0, &s, sizeof(s) - 1, NULL);
	cr_assert_eq(ebpfrt_status(&out), -EPROTO);
	cr_assert_eq(out.daemon, 1);
	fake_answer(MSG_STATUS, 0, &s, sizeof(s), NULL);
	cr_assert_eq(ebpfrt_status(&out), 0);
	cr_assert_eq(out.daemon, 42);
	cr_assert_eq(out.clients, 1);
	cr_assert_eq(out.targets, 2);
	cr_assert_eq(out.maps, 3);
	cr_assert_eq(out.progs, 4);
	cr_assert_eq(out.links, 5);
	cr_assert_eq(out.btfs, 6);
	cr_assert_eq(out.pins, 7);
	cr_assert_eq(out.uptime_ns, 8);
	cr_assert_eq(out.log_lost, 9);
	cr_assert_str_eq(out.version, "1.2.3");
	cr_assert_eq(strlen(out.dir), sizeof(out.dir) - 1);
}

Test(target, ending_the_daemon_by_force_or_not)
{
	u32 force = 9;

	fake_answer(MSG_SHUTDOWN, 0, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_shutdown(7), 0);
	memcpy(&force, fake->asked_body, sizeof(force));
	cr_assert_eq(force, 1);
	fake_answer(MSG_SHUTDOWN, -EBUSY, NULL, 0, "1 other client uses it");
	cr_assert_eq(ebpfrt_shutdown(0), -EBUSY);
	memcpy(&force, fake->asked_body, sizeof(force));
	cr_assert_eq(force, 0);
	cr_assert_str_eq(ebpfrt_error(), "1 other client uses it");
}
