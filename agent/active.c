/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which threads are in a hit.
 *
 * Model: a table keyed by thread pointer, open addressing in a fixed window. A thread writes only
 * its own entry, so nothing is contended but cache lines. While no entry lies elsewhere than at the
 * start of its window, which is counted, only that one is looked at. A second hit is *nested* when
 * its frame lies just below the frame of the first on the same stack: the thread pointer alone
 * would not do for threads that were cloned without one. Threads that find the window full are
 * counted instead, so that active_quiet() never lies.
 */
#include "agent/agent.h"

#define ACTIVE_SLOTS 1024u
#define ACTIVE_WINDOW 32u
#define ACTIVE_REACH (1u << 20) /* nested frames are nearer than this */

static struct agent_active slots[ACTIVE_SLOTS] __cacheline_aligned;
static u32 displaced;		     /* entries that are not where their window starts */
static struct agent_active overflow; /* .key counts the threads that found no place; its .run and
					.link are anybody's and never looked at */

static u32 window_start(u64 key)
{
	return (u32)((key * 0x9e3779b97f4a7c15ULL) >> 40) % ACTIVE_SLOTS;
}

static bool nested_in(u64 outer, u64 inner)
{
	return outer - inner - 1 < ACTIVE_REACH && stack_index(outer) == stack_index(inner);
}

static struct agent_active *find(u64 key, u64 frame)
{
	u32 start = window_start(key);
	u32 window = load_relaxed(&displaced) ? ACTIVE_WINDOW : 1; /* its own it counted itself */

	for (u32 i = 0; i < window; i++) {
		struct agent_active *a = &slots[(start + i) % ACTIVE_SLOTS];

		if (load_relaxed(&a->key) == key && nested_in(load_relaxed(&a->frame), frame))
			return a;
	}
	return NULL;
}

static u64 own_key(void)
{
	return arch_thread_pointer() | 1;
}

struct agent_active *active_here(u64 frame)
{
	return find(own_key(), frame);
}

__hot struct agent_active *active_enter(u64 frame, bool *nested)
{
	u64 key = own_key();
	u32 start = window_start(key);

	*nested = find(key, frame);
	if (*nested)
		return NULL;
	for (u32 i = 0; i < ACTIVE_WINDOW; i++) {
		struct agent_active *a = &slots[(start + i) % ACTIVE_SLOTS];
		u64 empty = 0;

		if (load_relaxed(&a->key))
			continue;
		if (__atomic_compare_exchange_n(&a->key, &empty, key, false, __ATOMIC_SEQ_CST,
						__ATOMIC_RELAXED)) {
			store_relaxed(&a->frame, frame);
			if (unlikely(i))
				__atomic_fetch_add(&displaced, 1, __ATOMIC_RELAXED);
			return a;
		}
	}
	__atomic_fetch_add(&overflow.key, 1, __ATOMIC_SEQ_CST);
	return &overflow;
}

__hot void active_leave(struct agent_active *a)
{
	if (a == &overflow) {
		__atomic_fetch_sub(&overflow.key, 1, __ATOMIC_RELEASE);
		return;
	}
	a->run = NULL;
	if (unlikely(a != &slots[window_start(load_relaxed(&a->key))]))
		__atomic_fetch_sub(&displaced, 1, __ATOMIC_RELAXED);
	store_relaxed(&a->frame, 0);
	store_release(&a->key, 0);
}

bool active_quiet(const struct agent_active *self)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (u32 i = 0; i < ACTIVE_SLOTS; i++)
		if (&slots[i] != self && load_acquire(&slots[i].key))
			return false;
	return load_acquire(&overflow.key) == 0;
}

bool active_runs(u64 link)
{
	for (u32 i = 0; i < ACTIVE_SLOTS; i++)
		if (load_acquire(&slots[i].link) == link)
			return true;
	return load_acquire(&overflow.key) != 0;
}

void active_reset(void)
{
	for (u32 i = 0; i < ACTIVE_SLOTS; i++)
		slots[i] = (struct agent_active){0};
	overflow.key = 0;
	displaced = 0;
	stack_reset();
}
