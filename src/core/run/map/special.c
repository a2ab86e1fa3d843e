/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks and timers in values: see special.h for the model and the rules. */
#include "core/run/map/special.h"

/* Long enough for an owner that lost its CPU in between; nobody sleeps in a probe. */
#define LOCK_ROUNDS 64u

#define NONE UINT32_MAX

static u32 offset(u16 at)
{
	return at ? (at - 1u) * EBPF_SPECIAL_UNIT : NONE;
}

static int copy_piece(u8 *shared, const u8 *value, u32 len, bool large)
{
	u64 word = 0;
	u32 half;

	if (large) {
		if (osl_read(&word, value, len))
			return -EFAULT;
		value = (const u8 *)&word;
	}
	if (len == 4) {
		__builtin_memcpy(&half, value, 4);
		WRITE_ONCE(*(u32 *)shared, half);
	} else {
		ebpf_copy_in(shared, value, len);
	}
	return 0;
}

/* Words are copied whole, but for the one that is half a lock. */
int ebpf_special_in(const struct ebpf_map *map, void *shared, const void *value)
{
	u32 lock = offset(map->meta.lock_at), timer = offset(map->meta.timer_at);
	u32 size = map->meta.value_size;
	int err = 0;

	for (u32 off = 0; off < size && !err; off += 8) {
		u32 at = off, len = MIN(8u, size - off);

		if (timer != NONE && off - timer < EBPF_TIMER_SIZE)
			continue;
		if (lock != NONE && lock - off < 8) {
			at = lock == off ? off + 4 : off;
			len = at + 4 <= size ? 4 : 0;
		}
		if (len)
			err = copy_piece((u8 *)shared + at, (const u8 *)value + at, len,
					 size > EBPF_COPY_FIRST);
	}
	return err;
}

void ebpf_special_hide(const struct ebpf_map *map, void *value)
{
	u32 lock = offset(map->meta.lock_at), timer = offset(map->meta.timer_at);

	if (lock != NONE)
		__builtin_memset((u8 *)value + lock, 0, 4);
	if (timer != NONE)
		__builtin_memset((u8 *)value + timer, 0, EBPF_TIMER_SIZE);
}

void ebpf_special_stop(const struct ebpf_map *map, void *value)
{
	u64 *timer = ebpf_value_timer(map, value);

	if (!timer)
		return;
	WRITE_ONCE(timer[0], 0);
	WRITE_ONCE(timer[1], 0);
}

void ebpf_special_init(const struct ebpf_map *map, void *value)
{
	u32 *lock = ebpf_value_lock(map, value);

	if (lock)
		WRITE_ONCE(*lock, 0);
	ebpf_special_stop(map, value);
}

int ebpf_value_lock_take(u32 *lock)
{
	int err = -EBUSY;

	for (u32 i = 0; i < LOCK_ROUNDS && err == -EBUSY; i++)
		err = ebpf_lock(lock);
	return MIN(err, 0);
}
