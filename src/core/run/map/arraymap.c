/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ARRAY and PERCPU_ARRAY: every element exists from the start, all zero; nothing is ever inserted,
 * deleted or locked.
 *
 * Layout of ARRAY: element i at i * round_up(value_size, 8), from offset 0, so that a user can mmap
 * the values (BPF_F_MMAPABLE) and a program can address them directly.
 * Layout of PERCPU_ARRAY: one such array per possible CPU, each beginning on a cache line of its
 * own, so that CPUs don't share lines.
 */
#include "core/run/map/map_impl.h"
#include "core/run/map/special.h"
#include "core/run/prog.h"

#define ARRAY_FLAGS                                                                                \
	(BPF_F_NUMA_NODE | BPF_F_MMAPABLE | BPF_F_PRESERVE_ELEMS | BPF_F_INNER_MAP |               \
	 EBPF_MAP_ACCESS_FLAGS)

static int array_check(const struct ebpf_map_meta *meta)
{
	if (!meta->max_entries || meta->key_size != 4 || !meta->value_size || meta->map_extra)
		return -EINVAL;
	if (meta->map_flags & ~(ARRAY_FLAGS & ~BPF_F_PRESERVE_ELEMS))
		return -EINVAL;
	if (meta->value_size > INT32_MAX || meta->max_entries > EBPF_MAX_ARRAY)
		return -E2BIG;
	return 0;
}

static int percpu_array_check(const struct ebpf_map_meta *meta)
{
	int err = array_check(meta);

	if (err)
		return err;
	if (meta->map_flags & (BPF_F_MMAPABLE | BPF_F_INNER_MAP | BPF_F_NUMA_NODE))
		return -EINVAL;
	if (ebpf_value_stride(meta) > EBPF_MAX_PERCPU_VALUE)
		return -E2BIG;
	return meta->nr_cpus ? 0 : -EINVAL;
}

static u64 array_size(const struct ebpf_map_meta *meta)
{
	return ebpf_page_align((u64)ebpf_value_stride(meta) * meta->max_entries);
}

static u64 cpu_area(const struct ebpf_map_meta *meta)
{
	return ALIGN_UP((u64)ebpf_value_stride(meta) * meta->max_entries, 64ull);
}

static u64 percpu_array_size(const struct ebpf_map_meta *meta)
{
	return ebpf_page_align(cpu_area(meta) * meta->nr_cpus);
}

static void array_bind(struct ebpf_map *map)
{
	map->stride = ebpf_value_stride(&map->meta);
	map->off[0] = cpu_area(&map->meta);
}

static bool array_shape(const struct ebpf_map_meta *meta, struct ebpf_map_shape *shape)
{
	shape->nr_elems = meta->max_entries;
	shape->stride = ebpf_value_stride(meta);
	return array_size(meta) <= EBPF_SHAPE_MAX;
}

static bool percpu_array_shape(const struct ebpf_map_meta *meta, struct ebpf_map_shape *shape)
{
	shape->nr_elems = meta->max_entries;
	shape->nr_cpus = meta->nr_cpus;
	shape->value_stride = ebpf_value_stride(meta);
	shape->area = (u32)cpu_area(meta);
	return percpu_array_size(meta) <= EBPF_SHAPE_MAX;
}

static bool load_index(const struct ebpf_map *map, const void *key, u32 *index)
{
	__builtin_memcpy(index, key, 4);
	return likely(*index < map->meta.max_entries);
}

static void *elem(const struct ebpf_map *map, u32 index)
{
	return map->base + (u64)index * map->stride;
}

static void *cpu_elem(const struct ebpf_map *map, u32 index, u32 cpu)
{
	return (u8 *)elem(map, index) + cpu * map->off[0];
}

static void *array_lookup(struct ebpf_map *map, const void *key)
{
	u32 index;

	return load_index(map, key, &index) ? elem(map, index) : NULL;
}

static void *percpu_array_lookup(struct ebpf_map *map, const void *key)
{
	u32 index;

	return load_index(map, key, &index) ? cpu_elem(map, index, ebpf_map_cpu(map)) : NULL;
}

static void *percpu_array_lookup_cpu(struct ebpf_map *map, const void *key, u32 cpu)
{
	u32 index;

	if (cpu >= map->meta.nr_cpus || !load_index(map, key, &index))
		return NULL;
	return cpu_elem(map, index, cpu);
}

/* What both forms of update refuse, in the kernel's order. */
static int update_index(const struct ebpf_map *map, const void *key, u64 flags, u32 *index)
{
	if ((flags & ~(u64)BPF_F_LOCK) > BPF_EXIST)
		return -EINVAL;
	if (!load_index(map, key, index))
		return -E2BIG;
	if (flags & BPF_NOEXIST)
		return -EEXIST;
	if ((flags & BPF_F_LOCK) && !map->meta.lock_at)
		return -EINVAL;
	return map->readonly ? -EPERM : 0;
}

static __noinline int update_special(struct ebpf_map *map, void *shared, const void *value,
				     u64 flags)
{
	u32 *lock = flags & BPF_F_LOCK ? ebpf_value_lock(map, shared) : NULL;
	int err = lock ? ebpf_value_lock_take(lock) : 0;

	if (err)
		return err;
	err = ebpf_special_in(map, shared, value);
	if (lock)
		ebpf_unlock(lock);
	ebpf_special_stop(map, shared);
	return err;
}

static int array_update(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	u32 index;
	int err = update_index(map, key, flags, &index);

	if (err)
		return err;
	if (unlikely(ebpf_map_special(map)))
		return update_special(map, elem(map, index), value, flags);
	ebpf_copy_in(elem(map, index), value, map->meta.value_size);
	return 0;
}

static int percpu_array_update(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	u32 index;
	int err = update_index(map, key, flags, &index);

	if (!err)
		ebpf_copy_in(cpu_elem(map, index, ebpf_map_cpu(map)), value, map->meta.value_size);
	return err;
}

static int array_del(struct ebpf_map *map, const void *key)
{
	return -EINVAL;
}

int ebpf_array_next(struct ebpf_map *map, const void *key, void *next)
{
	u32 index;

	if (!key || !load_index(map, key, &index))
		index = 0;
	else if (++index == map->meta.max_entries)
		return -ENOENT;
	__builtin_memcpy(next, &index, 4);
	return 0;
}

static int array_lookup_user(struct ebpf_map *map, const void *key, void *value, u64 flags)
{
	u32 *lock = NULL;
	u32 index;
	int err;

	if (flags && (flags != BPF_F_LOCK || !map->meta.lock_at || map->readonly))
		return -EINVAL;
	if (!load_index(map, key, &index))
		return -ENOENT;
	if (flags) {
		lock = ebpf_value_lock(map, elem(map, index));
		err = ebpf_value_lock_take(lock);
		if (err)
			return err;
	}
	ebpf_copy_out(value, elem(map, index), map->meta.value_size);
	if (lock)
		ebpf_unlock(lock);
	ebpf_special_hide(map, value);
	return 0;
}

static int percpu_array_lookup_user(struct ebpf_map *map, const void *key, void *value, u64 flags)
{
	u32 index;

	if (flags)
		return -EINVAL;
	if (!load_index(map, key, &index))
		return -ENOENT;
	for (u32 cpu = 0; cpu < map->meta.nr_cpus; cpu++)
		ebpf_copy_out((u8 *)value + (u64)cpu * map->stride, cpu_elem(map, index, cpu),
			      map->stride);
	return 0;
}

static int percpu_array_update_user(struct ebpf_map *map, const void *key, const void *value,
				    u64 flags)
{
	u32 index;
	int err = update_index(map, key, flags, &index);

	for (u32 cpu = 0; !err && cpu < map->meta.nr_cpus; cpu++)
		ebpf_copy_in(cpu_elem(map, index, cpu), (const u8 *)value + (u64)cpu * map->stride,
			     map->stride);
	return err;
}

static void *array_value_addr(struct ebpf_map *map, u32 off)
{
	if (map->meta.max_entries != 1 || off >= map->meta.value_size)
		return NULL;
	return map->base + off;
}

static int array_elem_of(struct ebpf_map *map, u64 off, u32 *index, void **key, void **value)
{
	u64 i = off / map->stride;

	if (i >= map->meta.max_entries)
		return -ENOENT;
	*index = (u32)i;
	*key = index;
	*value = elem(map, *index);
	return 0;
}

static s64 array_for_each(struct ebpf_map *map, struct ebpf_run *run, u64 fn, u64 cb_ctx)
{
	bool percpu = map->meta.type == BPF_MAP_TYPE_PERCPU_ARRAY;
	u32 cpu = percpu ? ebpf_map_cpu(map) : 0;
	u32 index;

	for (index = 0; index < map->meta.max_entries; index++) {
		u32 key = index; /* the callback may not change where we are */
		u64 value = (u64)(uintptr_t)cpu_elem(map, index, cpu);

		if (run->callback(run, fn, (u64)(uintptr_t)map, (u64)(uintptr_t)&key, value, cb_ctx,
				  0))
			return (s64)index + 1;
	}
	return index;
}

const struct ebpf_map_ops ebpf_array_ops = {
	.name = "array",
	.check = array_check,
	.size = array_size,
	.bind = array_bind,
	.lookup = array_lookup,
	.update = array_update,
	.del = array_del,
	.next = ebpf_array_next,
	.lookup_user = array_lookup_user,
	.update_user = array_update,
	.value_addr = array_value_addr,
	.elem_of = array_elem_of,
	.for_each = array_for_each,
	.shape = array_shape,
};

const struct ebpf_map_ops ebpf_percpu_array_ops = {
	.name = "percpu_array",
	.check = percpu_array_check,
	.size = percpu_array_size,
	.bind = array_bind,
	.lookup = percpu_array_lookup,
	.update = percpu_array_update,
	.del = array_del,
	.next = ebpf_array_next,
	.lookup_user = percpu_array_lookup_user,
	.update_user = percpu_array_update_user,
	.for_each = array_for_each,
	.lookup_cpu = percpu_array_lookup_cpu,
	.shape = percpu_array_shape,
};
