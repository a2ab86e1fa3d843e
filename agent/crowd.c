/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The threads that are held during an exchange, and what is given back when they are left.
 *
 * Model: while a site is armed, handlers and masks of our signals are not what the application
 * asked for (sig.c). When there is none any more all of it is put back, so that nothing tells that
 * we were there: masks, those in frames of handlers under way, signals that were held back, and at
 * last the actions. The actions only when no thread needs our handlers: none has a signal of its
 * own on its way, is in the agent, in a program, or in a slot or a jump's stub before its
 * instruction is done, or returns to a stub. What a handler has interrupted there is not seen; that
 * instruction would show the slot's address should it fault.
 */
#include "agent/agent.h"

#define INSN_SYSCALL 0x050f

static const struct agent_crowd *crowd;

static bool is_syscall(const struct arch_patch *patch)
{
	return patch->len == 2 && (patch->insn[0] | patch->insn[1] << 8) == INSN_SYSCALL;
}

/* A system call never faults, and begins again in there when it is interrupted. */
static bool before_its_end(const struct agent_plan *plan, u64 ip)
{
	const struct arch_jump *j = &plan->jump;

	if (plan->can_jump && ip - j->stub < j->stub_len)
		return ip - j->stub < j->tail ||
		       (ip - j->stub < (u64)j->tail + j->tail_len + j->follow &&
			!is_syscall(&plan->patch));
	return ip - plan->patch.slot < plan->patch.len && !is_syscall(&plan->patch);
}

static bool needs_us(u64 ip)
{
	const struct agent_place *p;

	if (agent_contains(ip) || jump_pad_leads(ip) || leaf_contains(ip))
		return true;
	if (!agent_arena_holds(ip, 1))
		return false;
	p = site_of_slot(ip);
	return p && before_its_end(p->plan, ip);
}

bool crowd_any(bool (*in)(u64 ip, u64 sp))
{
	for (u32 i = 0; crowd && i < crowd->n; i++)
		if (in(crowd->who[i].ip, crowd->who[i].sp))
			return true;
	return false;
}

bool crowd_outside(bool (*in)(u64 ip, u64 sp))
{
	if (!crowd)
		return sys_getpid() == agent.pid && sys_only_thread();
	return !crowd->unsettled && !crowd_any(in);
}

static bool in_agent(u64 thread)
{
	for (u32 i = 0; crowd && i < crowd->n; i++)
		if (crowd->who[i].thread == thread && agent_works(crowd->who[i].ip))
			return true;
	return false;
}

bool crowd_needs_traps(u64 thread)
{
	return ret_pending(thread) || active_thread(thread) || in_agent(thread);
}

void crowd_begin(const struct agent_crowd *c)
{
	crowd = c;
	sig_open_masks();
	if (site_guarded())
		return;
	heldback_begin();
	sigframe_open(c->who, c->n);
}

bool crowd_unsettled(void)
{
	return crowd && !crowd_settled();
}

bool crowd_settled(void)
{
	if (!crowd || !sig_installed() || crowd->unsettled || !active_quiet(NULL) || ret_any())
		return false;
	for (u32 i = 0; i < crowd->n; i++)
		if (needs_us(crowd->who[i].ip))
			return false;
	return true;
}

void crowd_end(struct agent_withheld_list *l)
{
	bool settled = crowd_settled();

	if (!site_guarded()) {
		sig_close_masks();
		sigframe_close(crowd->who, crowd->n);
		handling_forget();
		withheld_give_back(l, settled);
		heldback_give_back();
	}
	if (settled && !site_any_armed())
		sig_give_back();
	crowd = NULL;
}
