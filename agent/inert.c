/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inert: every site is restored and no program runs any more. The handlers stay, for return
 * instances that are still pending and traps that are on their way; so do tables and slots. A later
 * daemon may set the agent up anew.
 */
#include "agent/agent.h"

bool agent_go_inert(bool others_stopped)
{
	bool all;

	/* hits that find it set go on meanwhile: their sites are still served */
	store_release(&agent.inert, 1);
	site_changed();
	leaf_all_off();
	all = site_restore_all(others_stopped);
	if (agent.stats)
		store_relaxed(&agent.stats->inert, 1);
	return all;
}

/* Nobody reads them any more but late traps, which do so in vain. */
static void blank(const struct agent_shared *s)
{
	if (!s->addr)
		return;
	sys_mmap((u64)s->addr, s->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	sys_name_memory(s->addr, s->size, "ebpfrt-table");
}

/* Who comes from here on finds no consumers; who came before is seen in a hit. */
bool agent_give_back(void)
{
	store_release(&agent.lanes, NULL);
	site_changed();
	site_unhook_all();
	if (!active_quiet(NULL) || !leaf_give_back())
		return false;
	agent_state_release();
	for (u32 i = 0; i < AGENT_SHARED; i++)
		blank(&agent.shared[i]);
	return true;
}
