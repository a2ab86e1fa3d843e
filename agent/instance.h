/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Return instances as ret.c has them, and what the short way (lean.c) does with one when nothing is
 * in the way: to push is to take the one that stays with the thread's place, to pop is to put it
 * back there.
 */
#pragma once

#include "agent/agent.h"

#define STUB_SIZE AGENT_STUB_SIZE
#define STUBS_PER_PAGE (EBPFRT_PAGE_SIZE / STUB_SIZE)
/* as many as entry.S has; the first of each page is not one */
#define STUBS (AGENT_STUB_PAGES * STUBS_PER_PAGE)
#define RAISED (8 * EBPFRT_PAGE_SIZE) /* bytes of stubs that can be calls, every other one */
#define CALL_BEFORE 4u		      /* length of the call before one of those */

enum state {
	FREE,
	LIVE,
	SUSPENDED, /* its slot holds the true address */
	CHAINED,   /* its slot holds another's stub, or that one's true address */
	TAKEN,	   /* somebody is exchanging what its slot holds */
	POPPED,	   /* the same, and its stub was reached meanwhile */
};
#define STATE_BITS 3u

struct instance {
	u64 slot; /* where on the stack the return address was */
	u64 thread;
	u64 unwound; /* suspended: stack pointer from which on it was met */
	const struct agent_place *place;
	u32 how;   /* suspended: what leaves it when it is passed */
	u32 next;  /* free list; of others, whether the CPU expects its return (entry.S) */
	u32 notes; /* of sessions (session.c), released with the instance */
	u32 word;  /* changes << STATE_BITS | state: a state seen twice is not taken for the same */
};

extern u64 agent_ret_saved[STUBS] __hidden;
extern struct instance agent_ret_instances[STUBS] __hidden;
extern u32 agent_ret_visitors __hidden; /* who may take instances that are not theirs */

static inline u64 stub_of(u32 i)
{
	return (u64)agent_ret_stubs + (u64)i * STUB_SIZE;
}

static inline u32 index_of(u64 stub)
{
	return (u32)((stub - (u64)agent_ret_stubs) / STUB_SIZE);
}

static inline enum state state_of(u32 word)
{
	return word & ((1u << STATE_BITS) - 1);
}

static inline u32 word_after(u32 seen, enum state to)
{
	return ((seen >> STATE_BITS) + 1) << STATE_BITS | to;
}

static inline bool can_call(u32 i)
{
	return i < RAISED / STUB_SIZE;
}

/* Is the CPU going to expect the return to the stub @addr to be followed by that to the caller? */
static inline bool ret_paired(u64 addr)
{
	return load_relaxed(&agent_ret_instances[index_of(addr)].next);
}

/* The call by which the hit of @i is to go on, or RET_UNPAIRED. */
static __always_inline u64 ret_pair(u32 i)
{
	return likely(can_call(i)) ? stub_of(i) - CALL_BEFORE : RET_UNPAIRED;
}

/* Is the word at @sp in a page of what has been written below it? */
static __always_inline bool is_writable(u64 sp)
{
	return sp % EBPFRT_PAGE_SIZE - JUMP_PUSHED <= EBPFRT_PAGE_SIZE - JUMP_PUSHED - sizeof(u64);
}

/*
 * As ret_push(), where nothing is in the way: else 0, and nothing has been done. What is
 * JUMP_PUSHED bytes below @sp can be written.
 */
static __always_inline u64 ret_push_spare(const struct agent_place *p, u64 sp, u64 thread,
					  u32 *spare)
{
	u32 i = *spare;
	struct instance *in = &agent_ret_instances[i];
	u64 ra;

	if (unlikely(!i || !is_writable(sp)))
		return 0;
	ra = *(const u64 *)sp;
	if (unlikely(ret_is_stub(ra)))
		return 0;
	*spare = 0;
	agent_ret_saved[i] = ra;
	in->slot = sp;
	in->thread = thread;
	in->place = p;
	in->next = can_call(i);
	store_release((u64 *)sp, stub_of(i));
	store_release(&in->word, word_after(load_relaxed(&in->word), LIVE));
	if (unlikely(load_acquire(&agent.inert)))
		ret_take_back(i);
	return ret_pair(i);
}

/* Nobody else will change what the thread has just returned to; its place has been entered. */
static __always_inline bool is_alone(const struct instance *in, u64 sp)
{
	return in->slot == sp - sizeof(u64) && !load_acquire(&agent_ret_visitors);
}

/*
 * As ret_pop(), where nothing is in the way and nothing belongs to the call: else NULL, and nothing
 * has been done. The stub's call has changed what is below @sp before the thread entered its place.
 */
static __always_inline const struct agent_place *ret_pop_spare(u64 addr, u64 sp, u64 *ip,
							       u32 *spare)
{
	u32 i = index_of(addr), word;
	struct instance *in = &agent_ret_instances[i];
	bool alone = is_alone(in, sp); /* first of all */

	word = load_acquire(&in->word);
	if (unlikely(!alone || addr % STUB_SIZE || *spare || state_of(word) != LIVE ||
		     load_relaxed(&in->notes)))
		return NULL;
	store_release(&in->word, word_after(word, FREE));
	*ip = agent_ret_saved[i];
	*spare = i;
	return in->place;
}
