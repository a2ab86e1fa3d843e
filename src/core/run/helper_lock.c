/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf_spin_lock() and bpf_spin_unlock(): the lock in a map's value.
 *
 * Model: the verifier has seen to it that a program holds one lock at most, lets go of it on every
 * path and calls nothing that waits meanwhile. The lock's memory is anybody's, so all it does is
 * keep well-behaved programs apart: its owner is a number that can be dead, and a wait is bounded.
 * Who can't have it is cut short before it has touched what the lock protects, and counted as such.
 */
#include "core/run/helper_impl.h"
#include "core/run/map/special.h"

EBPF_HELPER(spin_lock)
{
	u32 *lock = (u32 *)(uintptr_t)r1;

	if (likely(!ebpf_value_lock_take(lock)))
		run->lock = lock;
	else
		ebpf_run_leave(run);
	return 0;
}

EBPF_HELPER(spin_unlock)
{
	u32 *lock = (u32 *)(uintptr_t)r1;

	if (run->lock == lock) {
		run->lock = NULL;
		ebpf_unlock(lock);
	}
	return 0;
}
