/* SPDX-License-Identifier: BSD-2-Clause */
/* USER_RINGBUF: see ringbuf.h. */
#include "core/run/map/lock.h"
#include "core/run/map/map_impl.h"
#include "core/run/map/ringbuf.h"

#define SAMPLE_MAX ((1u << 24) - 1) /* what a dynptr can show */
#define LEN_MASK (~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT))

static u32 *lock_of(const struct ebpf_map *map)
{
	return (u32 *)(map->base + EBPF_USER_RING_LOCK);
}

static u64 *consumer_pos(const struct ebpf_map *map)
{
	return (u64 *)map->base;
}

static u64 *producer_pos(const struct ebpf_map *map)
{
	return (u64 *)(map->base + EBPFRT_PAGE_SIZE);
}

/* The first word of the record at @pos, wherever that says it is. */
static u32 *record_at(const struct ebpf_map *map, u64 pos)
{
	u64 mask = map->meta.max_entries - 8ull;

	return (u32 *)(map->base + EBPF_RINGBUF_DATA + (pos & mask));
}

int ebpf_user_ring_lock(struct ebpf_map *map)
{
	u32 *lock = lock_of(map);
	u32 owner;

	if (map->readonly)
		return -EPERM;
	if (likely(ebpf_trylock(lock)))
		return 0;
	owner = READ_ONCE(*lock);
	return ebpf_lock_owner_dead(owner) && ebpf_lock_cas(lock, owner, ebpf_lock_self()) ? 0
											   : -EBUSY;
}

int ebpf_user_ring_peek(struct ebpf_map *map, struct ebpf_user_sample *out)
{
	u64 prod = load_acquire(producer_pos(map));
	u64 cons = load_acquire(consumer_pos(map));
	u32 *hdr = record_at(map, cons);
	u32 word, len;
	u64 size;

	if (prod % 8)
		return -EINVAL;
	if (cons >= prod)
		return -ENODATA;
	word = load_acquire(hdr);
	len = word & LEN_MASK;
	size = ALIGN_UP((u64)len + EBPF_RINGBUF_HDR, 8ull);
	if (size > prod - cons)
		return -EINVAL;
	if (size > map->meta.max_entries || len > SAMPLE_MAX)
		return -E2BIG;
	if (word & BPF_RINGBUF_DISCARD_BIT) {
		ebpf_user_ring_consume(map, cons + size);
		return -EAGAIN;
	}
	if (word & BPF_RINGBUF_BUSY_BIT)
		return -ENODATA;
	*out = (struct ebpf_user_sample){
		.data = (u8 *)hdr + EBPF_RINGBUF_HDR, .size = len, .next = cons + size};
	return 0;
}

/* The number of a dead consumer may go to somebody else: nobody is to wait for that one. */
u32 ebpf_user_ring_reap(struct ebpf_map *map)
{
	u32 *lock = lock_of(map);
	u32 owner = READ_ONCE(*lock);

	return ebpf_lock_owner_dead(owner) && ebpf_lock_cas(lock, owner, 0);
}
