/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inert: every site is restored and no program runs any more. The handlers stay, for return
 * instances that are still pending and traps that are on their way. A later daemon may set the
 * agent up anew.
 */
#include "agent/agent.h"

void agent_go_inert(void)
{
	u32 was = 0;

	if (!__atomic_compare_exchange_n(&agent.inert, &was, 1, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return;
	site_restore_all();
	if (agent.stats)
		store_relaxed(&agent.stats->inert, 1);
}
