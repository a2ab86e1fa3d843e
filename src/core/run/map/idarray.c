/* SPDX-License-Identifier: BSD-2-Clause */
/* Arrays of ids: see idarray.h. */
#include "core/run/map/idarray.h"
#include "core/run/map/map_impl.h"

static int idarray_check(const struct ebpf_map_meta *meta)
{
	u32 flags = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY;

	if (meta->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY)
		flags |= BPF_F_PRESERVE_ELEMS;
	if (!meta->max_entries || meta->key_size != 4 || meta->value_size != 4 || meta->map_extra)
		return -EINVAL;
	if (meta->map_flags & ~flags)
		return -EINVAL;
	return meta->max_entries > EBPF_MAX_ARRAY ? -E2BIG : 0;
}

static u64 idarray_size(const struct ebpf_map_meta *meta)
{
	return ebpf_page_align(4ull * meta->max_entries);
}

static void idarray_bind(struct ebpf_map *map)
{
	map->stride = 4;
}

static u32 *id_at(const struct ebpf_map *map, u32 index)
{
	return index < map->meta.max_entries ? (u32 *)map->base + index : NULL;
}

u32 ebpf_idarray_get(const struct ebpf_map *map, u32 index)
{
	u32 *id = id_at(map, index);

	return id ? load_acquire(id) : 0;
}

int ebpf_idarray_set(struct ebpf_map *map, u32 index, u32 id, u32 *old)
{
	u32 *at = id_at(map, index), was;

	if (!at)
		return -E2BIG;
	was = __atomic_exchange_n(at, id, __ATOMIC_ACQ_REL);
	if (old)
		*old = was;
	return 0;
}

static void *idarray_lookup(struct ebpf_map *map, const void *key)
{
	u32 index;

	__builtin_memcpy(&index, key, 4);
	return id_at(map, index);
}

static int idarray_refuse_update(struct ebpf_map *map, const void *key, const void *value,
				 u64 flags)
{
	return -EINVAL;
}

static int idarray_refuse_del(struct ebpf_map *map, const void *key)
{
	return -EINVAL;
}

/* bpf(2) shows the ids of programs, and nothing of events. */
static int idarray_lookup_user(struct ebpf_map *map, const void *key, void *value, u64 flags)
{
	u32 index, id;

	if (flags)
		return -EINVAL;
	if (map->meta.type != BPF_MAP_TYPE_PROG_ARRAY)
		return -ENOTSUPP;
	__builtin_memcpy(&index, key, 4);
	id = ebpf_idarray_get(map, index);
	if (!id)
		return -ENOENT;
	__builtin_memcpy(value, &id, 4);
	return 0;
}

#define IDARRAY_OPS(NAME)                                                                          \
	{                                                                                          \
		.name = NAME, .check = idarray_check, .size = idarray_size, .bind = idarray_bind,  \
		.lookup = idarray_lookup, .update = idarray_refuse_update,                         \
		.del = idarray_refuse_del, .next = ebpf_array_next,                                \
		.lookup_user = idarray_lookup_user, .update_user = idarray_refuse_update,          \
	}

const struct ebpf_map_ops ebpf_prog_array_ops = IDARRAY_OPS("prog_array");
const struct ebpf_map_ops ebpf_perf_event_array_ops = IDARRAY_OPS("perf_event_array");
