/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Forked children.
 *
 * Text, slots, tables and handlers are inherited; what is not is our standing with the daemon. A
 * page that the kernel wipes in the child tells it so, however it was forked. At its first hit a
 * child asks the daemon what to do; when there is none any more it restores its text and goes on
 * alone. When the daemon is only slow, the child asks again, at hits that are further and further
 * apart; what it hits until then is counted as missed, where its parent counts. So is all that a
 * child hits that may not ask, because its parent filters system calls (osl_wall()). A child that
 * shares its parent's memory (vfork) is its parent as long as it does.
 */
#include <errno.h>

#include "agent/agent.h"

#define ASK_PAUSE_MS 1000u
#define ASK_PAUSE_MAX_MS 60000u

static u64 ask_at_ms; /* not before */
static u64 ask_pause_ms;

int fork_init(void)
{
	u32 *mark = agent.mark;

	if (!mark)
		mark = agent_pages(EBPFRT_PAGE_SIZE, "ebpfrt-fork");
	if (!mark)
		return -ENOMEM;
	SYS3(__NR_madvise, mark, EBPFRT_PAGE_SIZE, SYS_MADV_WIPEONFORK);
	agent.changes = (u64 *)mark + 1;
	site_changed();
	store_release(mark, FORK_KNOWN);
	agent.mark = mark;
	return 0;
}

/*
 * A child forgets what was in the air in its parent, once. One that shares its parent's memory
 * has nothing to forget.
 */
void fork_begin(void)
{
	if (!agent.mark || load_acquire(agent.mark) == FORK_KNOWN || agent.pid == sys_getpid())
		return;
	active_reset();
	leaf_forked();
	site_changed();
	withheld_forked();
	heldback_forked();
	jump_forked();
	ret_forked();
	agent.exchange = 0;
	agent_entry_sp = 0;
	agent.pid = sys_getpid();
	ask_at_ms = 0;
	ask_pause_ms = ASK_PAUSE_MS;
}

static bool nobody_there(int err)
{
	return err == -ECONNREFUSED || err == -ENOENT || err == -ENOTCONN || agent_daemon_dead();
}

static bool child_settle(void)
{
	u64 now;
	int err;

	if (load_relaxed(&osl_walled)) /* asking could be its end */
		return false;
	now = sys_now_ms();
	fork_begin();
	if (now < ask_at_ms)
		return false;
	err = exchange_run(AGENT_FORK, -1, 0);
	if (err && !nobody_there(err)) {
		ask_at_ms = sys_now_ms() + ask_pause_ms;
		ask_pause_ms = MIN(2 * ask_pause_ms, ASK_PAUSE_MAX_MS);
		return false;
	}
	if (err)
		agent_go_inert(false);
	return true;
}

bool fork_settle(void)
{
	u32 was = FORK_NEW;
	bool settled;

	if (!__atomic_compare_exchange_n(agent.mark, &was, FORK_ASKING, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return was == FORK_KNOWN;
	settled = child_settle();
	store_release(agent.mark, settled ? FORK_KNOWN : FORK_NEW);
	return settled;
}
