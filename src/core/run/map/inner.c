/* SPDX-License-Identifier: BSD-2-Clause */
/* Maps of maps: see inner.h. */
#include "core/run/map/inner.h"
#include "core/run/map/idarray.h"
#include "core/run/map/map_impl.h"

/* --- which maps fit --------------------------------------------------------------------------- */

bool ebpf_inner_fits(const struct ebpf_map_meta *like, const struct ebpf_map_meta *map)
{
	if (like->type != map->type || like->key_size != map->key_size ||
	    like->value_size != map->value_size || like->map_flags != map->map_flags ||
	    like->lock_at != map->lock_at || like->timer_at != map->timer_at)
		return false;
	return map->type != BPF_MAP_TYPE_ARRAY || map->map_flags & BPF_F_INNER_MAP ||
	       like->max_entries == map->max_entries;
}

int ebpf_inner_check(const struct ebpf_map_meta *meta)
{
	if (ebpf_is_map_of_maps(meta->type))
		return -EINVAL;
	return meta->type == BPF_MAP_TYPE_PROG_ARRAY ? -ENOTSUPP : 0;
}

/* --- what both types say ---------------------------------------------------------------------- */

static int refuse_update(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	return -EINVAL;
}

static int refuse_del(struct ebpf_map *map, const void *key)
{
	return -EINVAL;
}

/* --- arrays ----------------------------------------------------------------------------------- */

static int array_check(const struct ebpf_map_meta *meta)
{
	struct ebpf_map_meta plain = *meta;

	if (meta->value_size != 4 || meta->map_flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG))
		return -EINVAL;
	if (meta->map_flags & (BPF_F_MMAPABLE | BPF_F_INNER_MAP))
		return -EINVAL;
	plain.type = BPF_MAP_TYPE_ARRAY;
	return ebpf_array_ops.check(&plain);
}

static u64 array_size(const struct ebpf_map_meta *meta)
{
	return ebpf_page_align(4ull * meta->max_entries);
}

static void array_bind(struct ebpf_map *map)
{
	map->stride = 4;
}

static void *array_lookup(struct ebpf_map *map, const void *key)
{
	u32 index;

	__builtin_memcpy(&index, key, 4);
	return ebpf_inner_by_id(load_acquire(&map->inner), ebpf_idarray_get(map, index));
}

/* --- hash tables: a plain table of ids -------------------------------------------------------- */

static struct ebpf_map_meta as_hash(const struct ebpf_map_meta *meta)
{
	struct ebpf_map_meta plain = *meta;

	plain.type = BPF_MAP_TYPE_HASH;
	return plain;
}

static int hash_check(const struct ebpf_map_meta *meta)
{
	struct ebpf_map_meta plain = as_hash(meta);

	return meta->value_size == 4 ? ebpf_hash_ops.check(&plain) : -EINVAL;
}

static u64 hash_size(const struct ebpf_map_meta *meta)
{
	struct ebpf_map_meta plain = as_hash(meta);

	return ebpf_hash_ops.size(&plain);
}

static void hash_bind(struct ebpf_map *map)
{
	const struct ebpf_map_ops *ops = map->ops;
	u32 type = map->meta.type;

	map->meta.type = BPF_MAP_TYPE_HASH;
	ebpf_hash_ops.bind(map);
	map->plain = map->ops;
	map->ops = ops;
	map->meta.type = type;
}

static void *hash_lookup(struct ebpf_map *map, const void *key)
{
	u32 *id = map->plain->lookup(map, key);

	return id ? ebpf_inner_by_id(load_acquire(&map->inner), READ_ONCE(*id)) : NULL;
}

static int hash_next(struct ebpf_map *map, const void *key, void *next)
{
	return map->plain->next(map, key, next);
}

int ebpf_inner_store(struct ebpf_map *outer, const void *key, u32 id)
{
	u32 index;

	if (outer->meta.type == BPF_MAP_TYPE_ARRAY_OF_MAPS) {
		__builtin_memcpy(&index, key, 4);
		return ebpf_idarray_set(outer, index, id, NULL);
	}
	return id ? outer->plain->update(outer, key, &id, BPF_ANY) : outer->plain->del(outer, key);
}

#define INNER_OPS(NAME, F, NEXT)                                                                   \
	{                                                                                          \
		.name = NAME, .check = F##_check, .size = F##_size, .bind = F##_bind,              \
		.lookup = F##_lookup, .update = refuse_update, .del = refuse_del, .next = NEXT,    \
		.lookup_user = ebpf_no_lookup_user, .update_user = refuse_update,                  \
	}

const struct ebpf_map_ops ebpf_array_of_maps_ops =
	INNER_OPS("array_of_maps", array, ebpf_array_next);
const struct ebpf_map_ops ebpf_hash_of_maps_ops = INNER_OPS("hash_of_maps", hash, hash_next);
