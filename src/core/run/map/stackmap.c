/* SPDX-License-Identifier: BSD-2-Clause */
/* STACK_TRACE: see stackmap.h for the model. */
#include "core/run/map/stackmap.h"
#include "base/hash.h"
#include "core/run/map/lock.h"
#include "core/run/map/map_impl.h"

#define MAX_TRIES 8

struct stack_slot {
	u32 lock;
	u32 seq;  /* odd while the slot changes */
	u32 nr;	  /* addresses; 0: empty */
	u32 hash; /* of all of them */
	u64 ips[];
};

static u32 slots_of(const struct ebpf_map_meta *meta)
{
	return ebpf_round_up_pow2(meta->max_entries);
}

static u32 slot_size(const struct ebpf_map_meta *meta)
{
	return (u32)sizeof(struct stack_slot) + meta->value_size;
}

static int stackmap_check(const struct ebpf_map_meta *meta)
{
	if (meta->map_flags & ~(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY) || meta->map_extra)
		return -EINVAL;
	if (!meta->max_entries || meta->key_size != 4 || meta->value_size < 8 ||
	    meta->value_size % 8 || meta->value_size / 8 > EBPF_MAX_STACK_DEPTH)
		return -EINVAL;
	return meta->max_entries > EBPF_MAX_ARRAY ? -E2BIG : 0;
}

static u64 stackmap_size(const struct ebpf_map_meta *meta)
{
	return ebpf_page_align((u64)slot_size(meta) * slots_of(meta));
}

static void stackmap_bind(struct ebpf_map *map)
{
	map->stride = slot_size(&map->meta);
	map->mask = slots_of(&map->meta) - 1;
}

static struct stack_slot *slot_at(const struct ebpf_map *map, u32 id)
{
	return (struct stack_slot *)(map->base + (u64)id * map->stride);
}

static bool same_stack(const struct stack_slot *s, const u64 *ips, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (READ_ONCE(s->ips[i]) != ips[i])
			return false;
	return true;
}

enum slot_is { EMPTY, OTHER, SAME };

/* What lies in the slot, as far as that can be told without its lock. */
static enum slot_is compare(struct stack_slot *s, const u64 *ips, u32 n, u32 hash, u64 flags)
{
	u32 seq = load_acquire(&s->seq);
	u32 nr = READ_ONCE(s->nr);

	if (!nr)
		return EMPTY;
	if (READ_ONCE(s->hash) != hash)
		return OTHER;
	if (flags & BPF_F_FAST_STACK_CMP)
		return SAME;
	if (nr != n || !same_stack(s, ips, n))
		return OTHER;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return READ_ONCE(s->seq) == seq ? SAME : OTHER;
}

static void change_begin(struct stack_slot *s)
{
	WRITE_ONCE(s->nr, 0);
	WRITE_ONCE(s->seq, READ_ONCE(s->seq) | 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void change_end(struct stack_slot *s, u32 nr)
{
	store_release(&s->seq, (READ_ONCE(s->seq) | 1) + 1);
	store_release(&s->nr, nr);
}

s64 ebpf_stackmap_put(struct ebpf_map *map, const u64 *ips, u32 n, u64 flags)
{
	u32 hash, id;
	struct stack_slot *s;
	enum slot_is is;

	if (!n || map->readonly)
		return n ? -EPERM : -EFAULT;
	n = MIN(n, map->meta.value_size / 8);
	hash = (u32)(hash_bytes(ips, n * 8, 0) >> 32);
	id = hash & map->mask;
	s = slot_at(map, id);
	if (compare(s, ips, n, hash, flags) == SAME)
		return id;
	if (ebpf_lock(&s->lock) < 0)
		return -EBUSY;
	is = compare(s, ips, n, hash, flags);
	if (is == EMPTY || (is == OTHER && flags & BPF_F_REUSE_STACKID)) {
		change_begin(s);
		WRITE_ONCE(s->hash, hash);
		ebpf_copy_in(s->ips, ips, n * 8);
		change_end(s, n);
		is = SAME;
	}
	ebpf_unlock(&s->lock);
	return is == SAME ? (s64)id : -EEXIST;
}

static struct stack_slot *slot_of_key(const struct ebpf_map *map, const void *key)
{
	u32 id;

	__builtin_memcpy(&id, key, 4);
	return id <= map->mask ? slot_at(map, id) : NULL;
}

static int stackmap_lookup_user(struct ebpf_map *map, const void *key, void *value, u64 flags)
{
	struct stack_slot *s = slot_of_key(map, key);

	if (flags)
		return -EINVAL;
	for (u32 i = 0; s && i < MAX_TRIES; i++) {
		u32 seq = load_acquire(&s->seq);
		u32 len = MIN(load_acquire(&s->nr), map->meta.value_size / 8) * 8;

		if (!len)
			return -ENOENT;
		ebpf_copy_out(value, s->ips, len);
		for (u32 at = len; at < map->meta.value_size; at++)
			((u8 *)value)[at] = 0;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (READ_ONCE(s->seq) == seq)
			return 0;
	}
	return s ? -EBUSY : -ENOENT;
}

static int stackmap_del(struct ebpf_map *map, const void *key)
{
	struct stack_slot *s = slot_of_key(map, key);
	u32 nr;

	if (!s)
		return -E2BIG;
	if (map->readonly)
		return -EPERM;
	if (ebpf_lock(&s->lock) < 0)
		return -EBUSY;
	nr = READ_ONCE(s->nr);
	change_begin(s);
	change_end(s, 0);
	ebpf_unlock(&s->lock);
	return nr ? 0 : -ENOENT;
}

static int stackmap_lookup_delete(struct ebpf_map *map, const void *key, void *value)
{
	int err = stackmap_lookup_user(map, key, value, 0);

	return err ? err : stackmap_del(map, key);
}

static int stackmap_next(struct ebpf_map *map, const void *key, void *next)
{
	struct stack_slot *s = key ? slot_of_key(map, key) : NULL;
	u32 id = 0;

	if (s && READ_ONCE(s->nr)) {
		__builtin_memcpy(&id, key, 4);
		id++;
	}
	while (id <= map->mask && !READ_ONCE(slot_at(map, id)->nr))
		id++;
	if (id > map->mask)
		return -ENOENT;
	__builtin_memcpy(next, &id, 4);
	return 0;
}

static int stackmap_refuse_update(struct ebpf_map *map, const void *key, const void *value,
				  u64 flags)
{
	return -EINVAL;
}

const struct ebpf_map_ops ebpf_stackmap_ops = {
	.name = "stack_trace",
	.check = stackmap_check,
	.size = stackmap_size,
	.bind = stackmap_bind,
	.lookup = ebpf_no_lookup,
	.update = stackmap_refuse_update,
	.del = stackmap_del,
	.next = stackmap_next,
	.lookup_user = stackmap_lookup_user,
	.update_user = stackmap_refuse_update,
	.lookup_delete_user = stackmap_lookup_delete,
};
