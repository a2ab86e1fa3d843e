/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks in memory shared by processes that can be killed at any instruction.
 *
 * Model: the lock word is 0 or its owner's participant number. Whoever waits asks now and then
 * whether the owner is dead and, if so, takes the lock over with one compare-and-swap. What the
 * lock protects must therefore be right, or repairable by the one who takes over, after every
 * single store.
 *
 * Rules: a wait is bounded (the owner may be stopped, or preempted by the one who waits); then
 * -EBUSY. Not recursive: a hit within a hit runs no program. Freestanding; any context.
 */
#pragma once

#include <errno.h>

#include "arch/arch.h"
#include "core/run/map/map.h"
#include "osl/osl_trap.h"

#define EBPF_LOCK_SPINS (1u << 14)   /* some hundred microseconds */
#define EBPF_LOCK_PROBE 64u	     /* at most, between two looks at the owner's fate */
#define EBPF_LOCK_WAIT 8u	     /* before the first look: a few hundred ns */
#define EBPF_LOCK_NOBODY 0xffffffffu /* owner of a process without a number: never dead */

enum { EBPF_LOCKED = 0, EBPF_LOCK_TAKEN_OVER = 1 };

static inline u32 ebpf_lock_self(void)
{
	u32 self = ebpf_map_self;

	return likely(self) ? self : EBPF_LOCK_NOBODY;
}

static inline bool ebpf_lock_cas(u32 *word, u32 from, u32 to)
{
	return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

/* A number that no participant can have was written by somebody who scribbles: nobody unlocks. */
static inline bool ebpf_lock_owner_dead(u32 owner)
{
	if (!owner || owner == EBPF_LOCK_NOBODY)
		return false;
	return owner >= OSL_MAX_PARTICIPANTS || (ebpf_owner_dead && ebpf_owner_dead(owner));
}

/* The wait: EBPF_LOCKED, EBPF_LOCK_TAKEN_OVER or -EBUSY. */
int ebpf_lock_slow(u32 *word);

static inline int ebpf_lock(u32 *word)
{
	if (likely(ebpf_lock_cas(word, 0, ebpf_lock_self())))
		return EBPF_LOCKED;
	return ebpf_lock_slow(word);
}

/* Without waiting; a dead owner's lock is not taken over. */
static inline bool ebpf_trylock(u32 *word)
{
	return load_relaxed(word) == 0 && ebpf_lock_cas(word, 0, ebpf_lock_self());
}

static inline void ebpf_unlock(u32 *word)
{
	store_release(word, 0);
}
