/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inert: every site is restored and no program runs any more. The handlers stay, for return
 * instances that are still pending and traps that are on their way. A later daemon may set the
 * agent up anew.
 */
#include "agent/agent.h"

bool agent_go_inert(bool others_stopped)
{
	bool all;

	/* hits that find it set go on meanwhile: their sites are still served */
	store_release(&agent.inert, 1);
	all = site_restore_all(others_stopped);
	if (agent.stats)
		store_relaxed(&agent.stats->inert, 1);
	return all;
}
