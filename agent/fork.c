/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Forked children.
 *
 * Text, slots, tables and handlers are inherited; what is not is our standing with the daemon. A
 * page that the kernel wipes in the child tells it so, however it was forked. At its first hit a
 * child asks the daemon what to do; when nobody answers it restores its text and goes on alone. A
 * child that shares its parent's memory (vfork) is its parent as long as it does.
 */
#include <errno.h>

#include "agent/agent.h"

int fork_init(void)
{
	u32 *mark = agent.mark;

	if (!mark)
		mark = agent_pages(EBPFRT_PAGE_SIZE, "ebpfrt-fork");
	if (!mark)
		return -ENOMEM;
	SYS3(__NR_madvise, mark, EBPFRT_PAGE_SIZE, SYS_MADV_WIPEONFORK);
	store_release(mark, FORK_KNOWN);
	agent.mark = mark;
	return 0;
}

static void child_settle(void)
{
	active_reset();
	agent.exchange = 0;
	agent_entry_sp = 0;
	agent.pid = sys_getpid();
	if (exchange_run(AGENT_FORK, -1, 0))
		agent_go_inert(false);
	store_release(agent.mark, FORK_KNOWN);
}

bool fork_settle(void)
{
	u32 was = FORK_NEW;

	if (!__atomic_compare_exchange_n(agent.mark, &was, FORK_ASKING, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return was == FORK_KNOWN;
	child_settle();
	return true;
}
