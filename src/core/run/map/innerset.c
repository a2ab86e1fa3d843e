/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets of inner maps: open addressing, two slots a map, at most half full. See inner.h. */
#include "base/hash.h"
#include "core/run/map/inner.h"
#include "core/run/map/map_impl.h"

#define BY_ADDR (1ull << 63)

static u32 slots_for(u32 maps)
{
	return ebpf_round_up_pow2(MAX(maps, 4u) * 4);
}

u64 ebpf_inner_size(u32 maps)
{
	return sizeof(struct ebpf_inner) + (u64)slots_for(maps) * sizeof(struct ebpf_inner_slot);
}

void ebpf_inner_init(struct ebpf_inner *set, u32 maps)
{
	set->mask = slots_for(maps) - 1;
}

static u32 place_of(const struct ebpf_inner *set, u64 key)
{
	return (u32)(hash_u64(key, 0) >> 32) & set->mask;
}

static struct ebpf_map *find(const struct ebpf_inner *set, u64 key)
{
	if (!set)
		return NULL;
	for (u32 i = place_of(set, key);; i = (i + 1) & set->mask) {
		u64 there = load_acquire(&set->slot[i].key);

		if (there == key)
			return set->slot[i].map;
		if (!there)
			return NULL;
	}
}

/* The map before its key: who finds the key finds the map. */
static void put(struct ebpf_inner *set, u64 key, struct ebpf_map *map)
{
	u32 i = place_of(set, key);

	while (set->slot[i].key)
		i = (i + 1) & set->mask;
	set->slot[i].map = map;
	set->n++;
	store_release(&set->slot[i].key, key);
}

static u64 key_of_addr(u64 addr)
{
	return addr | BY_ADDR;
}

int ebpf_inner_add(struct ebpf_inner *set, struct ebpf_map *map)
{
	if (find(set, map->meta.id))
		return 0;
	if (!map->meta.id)
		return -EINVAL;
	if (set->n + 2 > (set->mask + 1) / 2)
		return -ENOSPC;
	put(set, key_of_addr((u64)(uintptr_t)map), map);
	put(set, map->meta.id, map);
	return 0;
}

void ebpf_inner_copy(struct ebpf_inner *to, const struct ebpf_inner *from)
{
	for (u32 i = 0; i <= from->mask; i++)
		if (from->slot[i].key)
			put(to, from->slot[i].key, from->slot[i].map);
}

struct ebpf_map *ebpf_inner_by_id(const struct ebpf_inner *set, u32 id)
{
	return id ? find(set, id) : NULL;
}

struct ebpf_map *ebpf_inner_by_addr(const struct ebpf_inner *set, u64 addr)
{
	return addr & BY_ADDR ? NULL : find(set, key_of_addr(addr));
}
