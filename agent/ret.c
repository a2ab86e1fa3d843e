/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Return probes: the return address on the stack is replaced by the address of a stub, one stub for
 * each call that has not returned yet (a *return instance*).
 *
 * Model: stubs are 8 bytes, the first of them int3, in pages of the agent's text (entry.S); the
 * return address an instance replaced lies in agent_ret_saved[] at the stub's index, so that one
 * static unwind rule describes all stubs. Free instances are on a lock-free list. An instance is
 * released when its stub is reached. A function left by longjmp or an exception never gets there:
 * such instances are found when the list has run dry, by their stack slot not holding the stub's
 * address any more.
 *
 * Unwinders know nothing of stubs (where the agent was injected, not even the rule above): before
 * one looks at a stack, the daemon has a site that puts the thread's return addresses back.
 *
 * A function entered by a tail call finds a stub as its return address and takes it as the address
 * to return to: the chain unwinds by itself, one trap each.
 *
 * All this is private memory: a forked child has its own copy, and needs it.
 */
#include <errno.h>

#include "agent/agent.h"

#define STUB_SIZE 8u
#define STUBS 4096u /* as many as entry.S has; the first of each page is not one */
#define STUBS_PER_PAGE (EBPFRT_PAGE_SIZE / STUB_SIZE)

struct instance {
	u64 slot; /* where on the stack the return address was */
	u64 thread;
	const struct agent_place *place;
	u32 next; /* free list */
	u32 live;
};

extern u64 agent_ret_saved[STUBS];
u64 agent_ret_saved[STUBS] __attribute__((aligned(4096)));
static struct instance instances[STUBS];
static u64 free_list; /* version << 32 | index; 0: empty */

static u64 stub_of(u32 i)
{
	return (u64)agent_ret_stubs + (u64)i * STUB_SIZE;
}

static u32 index_of(u64 stub)
{
	return (u32)((stub - (u64)agent_ret_stubs) / STUB_SIZE);
}

static void release(u32 i)
{
	u64 head = load_relaxed(&free_list), new;

	store_release(&instances[i].live, 0);
	do {
		store_relaxed(&instances[i].next, (u32)head);
		new = ((head >> 32) + 1) << 32 | i;
	} while (!__atomic_compare_exchange_n(&free_list, &head, new, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

static u32 take(void)
{
	u64 head = load_acquire(&free_list), new;

	do {
		if (!(u32)head)
			return 0;
		new = ((head >> 32) + 1) << 32 | load_relaxed(&instances[(u32)head].next);
	} while (!__atomic_compare_exchange_n(&free_list, &head, new, true, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	return (u32)head;
}

void ret_init(u32 limit)
{
	u32 done = 0;

	if (agent.ret_limit) /* a later set-up finds them in use */
		return;
	for (u32 i = 1; i < STUBS && done < limit; i++) {
		if (i % STUBS_PER_PAGE == 0)
			continue;
		release(i);
		done++;
	}
	agent.ret_limit = done;
}

/* Claimed from here on: nobody else releases it. */
static bool claim(struct instance *in)
{
	u32 live = 1;

	return __atomic_compare_exchange_n(&in->live, &live, 2, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/*
 * Release instances whose call can't return any more. `live` goes 1 -> 2 to claim one, so that two
 * threads never release the same; an instance in the making is 0 until its stub is on the stack.
 */
static u32 prune(void)
{
	u32 n = 0;

	for (u32 i = 1; i < STUBS; i++) {
		u64 now;

		if (load_acquire(&instances[i].live) != 1)
			continue;
		if (osl_read(&now, (void *)instances[i].slot, 8) == 0 && now == stub_of(i))
			continue;
		if (claim(&instances[i])) {
			release(i);
			n++;
		}
	}
	return n;
}

__hot bool ret_push(const struct agent_place *p, const struct arch_regs *regs)
{
	u64 ra, stub;
	u32 i;

	if (osl_read(&ra, (void *)regs->sp, 8))
		return false;
	i = take();
	if (!i && prune())
		i = take();
	if (!i)
		return false;
	stub = stub_of(i);
	agent_ret_saved[i] = ra;
	instances[i].slot = regs->sp;
	instances[i].thread = arch_thread_pointer();
	instances[i].place = p;
	if (osl_write((void *)regs->sp, &stub, 8)) {
		release(i);
		return false;
	}
	store_release(&instances[i].live, 1);
	return true;
}

void ret_give_up(u64 sp)
{
	u64 self = arch_thread_pointer(), now;

	for (u32 i = 1; i < STUBS; i++) {
		struct instance *in = &instances[i];

		if (load_acquire(&in->live) != 1 || in->thread != self || in->slot < sp)
			continue;
		if (osl_read(&now, (void *)in->slot, 8) || now != stub_of(i) || !claim(in))
			continue;
		osl_write((void *)in->slot, &agent_ret_saved[i], 8);
		trap_missed(in->place, true);
		release(i);
	}
}

bool ret_pending(u64 thread)
{
	u64 now;

	for (u32 i = 1; i < STUBS; i++)
		if (load_acquire(&instances[i].live) == 1 && instances[i].thread == thread &&
		    osl_read(&now, (void *)instances[i].slot, 8) == 0 && now == stub_of(i))
			return true;
	return false;
}

__hot const struct agent_place *ret_pop(u64 addr, struct arch_regs *regs)
{
	u32 i = index_of(addr);
	const struct agent_place *p = instances[i].place;

	if (addr != stub_of(i) || i % STUBS_PER_PAGE == 0 || !p)
		return NULL;
	regs->ip = agent_ret_saved[i];
	if (claim(&instances[i]))
		release(i);
	return p;
}
