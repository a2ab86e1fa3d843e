/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks and timers in a map's values (struct bpf_spin_lock, struct bpf_timer): what copies of a
 * value leave out, as the kernel's do.
 *
 * Model: at most one lock (4 bytes, 4-aligned) and one timer (16 bytes, 8-aligned) a value; where
 * they lie is in the map's private description and comes from its BTF. A copy in touches neither, a
 * copy out has zeros there, an element that is new or replaced has no timer. Nobody believes what
 * they hold: a lock's owner is a number that can be dead, a timer is a handle that the daemon
 * checks.
 *
 * Rules: freestanding; any context.
 */
#pragma once

#include "core/run/map/lock.h"
#include "core/run/map/map_impl.h"

#define EBPF_TIMER_SIZE 16u
#define EBPF_SPECIAL_UNIT 4u /* of the offsets in the description, which count from 1 */

static inline bool ebpf_map_special(const struct ebpf_map *map)
{
	return map->meta.lock_at | map->meta.timer_at;
}

/* The lock of a value, NULL: the map has none. */
static inline u32 *ebpf_value_lock(const struct ebpf_map *map, void *value)
{
	u32 at = map->meta.lock_at;

	return at ? (u32 *)((u8 *)value + (at - 1) * EBPF_SPECIAL_UNIT) : NULL;
}

static inline u64 *ebpf_value_timer(const struct ebpf_map *map, void *value)
{
	u32 at = map->meta.timer_at;

	return at ? (u64 *)((u8 *)value + (at - 1) * EBPF_SPECIAL_UNIT) : NULL;
}

/* Copy @value into the element's value @shared. 0, or -EFAULT of a value larger than
 * EBPF_COPY_FIRST. */
int ebpf_special_in(const struct ebpf_map *map, void *shared, const void *value);

/* What a user gets of the two: zeros. @value is a copy of a whole value. */
void ebpf_special_hide(const struct ebpf_map *map, void *value);

/* The value's timer is no longer one. */
void ebpf_special_stop(const struct ebpf_map *map, void *value);

/* Neither lock nor timer: an element nobody has seen yet. */
void ebpf_special_init(const struct ebpf_map *map, void *value);

/*
 * Hold a value's lock for a copy with BPF_F_LOCK, or for a program. Bounded: 0 or -EBUSY when its
 * owner neither lets go nor dies. A dead owner's lock is taken over, the value as it left it.
 */
int ebpf_value_lock_take(u32 *lock);
