/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is common to all map types: the table of types, binding, and the wait for a shared lock.
 */
#include "core/run/map/lock.h"
#include "core/run/map/map_impl.h"

u32 ebpf_map_self;
bool (*ebpf_owner_dead)(u32 who);

const struct ebpf_map_ops *ebpf_map_ops_of(u32 type)
{
	switch (type) {
	case BPF_MAP_TYPE_ARRAY:
		return &ebpf_array_ops;
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		return &ebpf_percpu_array_ops;
	case BPF_MAP_TYPE_HASH:
		return &ebpf_hash_ops;
	case BPF_MAP_TYPE_PERCPU_HASH:
		return &ebpf_percpu_hash_ops;
	case BPF_MAP_TYPE_LRU_HASH:
		return &ebpf_lru_hash_ops;
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
		return &ebpf_lru_percpu_hash_ops;
	case BPF_MAP_TYPE_RINGBUF:
		return &ebpf_ringbuf_ops;
	case BPF_MAP_TYPE_USER_RINGBUF:
		return &ebpf_user_ringbuf_ops;
	case BPF_MAP_TYPE_PROG_ARRAY:
		return &ebpf_prog_array_ops;
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
		return &ebpf_perf_event_array_ops;
	case BPF_MAP_TYPE_STACK_TRACE:
		return &ebpf_stackmap_ops;
	case BPF_MAP_TYPE_QUEUE:
		return &ebpf_queue_ops;
	case BPF_MAP_TYPE_STACK:
		return &ebpf_stack_ops;
	case BPF_MAP_TYPE_BLOOM_FILTER:
		return &ebpf_bloom_ops;
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		return &ebpf_array_of_maps_ops;
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		return &ebpf_hash_of_maps_ops;
	case EBPF_MAP_PERF_RING:
		return &ebpf_perf_ring_ops;
	default:
		return NULL;
	}
}

static int check(const struct ebpf_map_meta *meta)
{
	const struct ebpf_map_ops *ops = ebpf_map_ops_of(meta->type);
	int err;

	if (!ops || !ebpf_map_access_ok(meta->map_flags))
		return -EINVAL;
	err = ops->check(meta);
	if (err)
		return err;
	return ops->size(meta) > EBPF_MAX_SHM ? -ENOMEM : 0;
}

/* Nobody creates a map of an internal type through bpf(2). */
int ebpf_map_check(const struct ebpf_map_meta *meta)
{
	return meta->type >= EBPF_MAP_INTERNAL ? -EINVAL : check(meta);
}

u64 ebpf_map_shm_size(const struct ebpf_map_meta *meta)
{
	return ebpf_map_ops_of(meta->type)->size(meta);
}

int ebpf_map_bind(struct ebpf_map *map, const struct ebpf_map_meta *meta, void *base, u64 size)
{
	if (check(meta) || size != ebpf_map_shm_size(meta))
		return -EINVAL;
	*map = (struct ebpf_map){
		.meta = *meta,
		.ops = ebpf_map_ops_of(meta->type),
		.base = base,
		.size = size,
	};
	map->ops->bind(map);
	return 0;
}

void ebpf_map_shape(const struct ebpf_map_meta *meta, struct ebpf_map_shape *shape)
{
	const struct ebpf_map_ops *ops = ebpf_map_ops_of(meta->type);
	bool fits = meta->type < 1u << 8 && meta->key_size < 1u << 8;
	struct ebpf_map_shape out = {0};

	if (!ops || !ops->shape || !ops->shape(meta, &out))
		out = (struct ebpf_map_shape){0};
	*shape = out;
	shape->kind = fits ? EBPF_MAP_SHAPE(meta->type, meta->key_size) : 0;
}

static bool is_percpu(u32 type)
{
	return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

u32 ebpf_map_user_value_size(const struct ebpf_map_meta *meta)
{
	if (is_percpu(meta->type))
		return ebpf_value_stride(meta) * meta->nr_cpus;
	return meta->value_size;
}

u32 ebpf_map_reap(struct ebpf_map *map)
{
	return map->ops->reap && !map->readonly ? map->ops->reap(map) : 0;
}

void *ebpf_no_lookup(struct ebpf_map *map, const void *key)
{
	return NULL;
}

int ebpf_no_update(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	return -ENOTSUPP;
}

int ebpf_no_del(struct ebpf_map *map, const void *key)
{
	return -ENOTSUPP;
}

int ebpf_no_next(struct ebpf_map *map, const void *key, void *next)
{
	return -ENOTSUPP;
}

int ebpf_no_lookup_user(struct ebpf_map *map, const void *key, void *value, u64 flags)
{
	return -ENOTSUPP;
}

static void relax(u32 times)
{
	for (u32 i = 0; i < times; i++)
		arch_relax();
}

/*
 * A look takes the lock's line of the cache away from the owner, who needs it to come to an end,
 * and often what the lock protects is in it, too. So looks are far apart, and ever farther.
 */
int ebpf_lock_slow(u32 *word)
{
	u32 self = ebpf_lock_self(), wait = EBPF_LOCK_WAIT;

	for (u32 spun = 0; spun < EBPF_LOCK_SPINS; spun += wait) {
		u32 owner;

		relax(wait);
		owner = load_relaxed(word);
		if (!owner && ebpf_lock_cas(word, 0, self))
			return EBPF_LOCKED;
		if (ebpf_lock_owner_dead(owner) && ebpf_lock_cas(word, owner, self))
			return EBPF_LOCK_TAKEN_OVER;
		wait = MIN(wait * 2, EBPF_LOCK_PROBE);
	}
	return -EBUSY;
}
