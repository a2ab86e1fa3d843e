/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ARRAY_OF_MAPS and HASH_OF_MAPS: maps whose elements are maps.
 *
 * Model: an element is the daemon's id of the inner map, 0 for none. What an id means each process
 * looks up in a set of its own, which hangs on the outer map and holds the maps that the daemon
 * said may be reached through it: all of them as the verifier took the inner map to be. So an id
 * that somebody scribbled there is another map of the same make, or none.
 *
 * Programs read; only the daemon writes, on behalf of bpf(2).
 *
 * Rules: a set has one writer at a time and grows by being replaced; looking into it is safe in any
 * context.
 */
#pragma once

#include "core/run/map/map.h"

struct ebpf_inner_slot {
	u64 key; /* an id, or a map's address with the top bit set */
	struct ebpf_map *map;
};

struct ebpf_inner {
	u32 mask;
	u32 n; /* slots in use */
	struct ebpf_inner_slot slot[];
};

/* Bytes of a set with room for @maps maps. Pure. */
u64 ebpf_inner_size(u32 maps);
/* Make zeroed memory of that size a set. */
void ebpf_inner_init(struct ebpf_inner *set, u32 maps);
/* Put @map in, once. -ENOSPC: it takes a larger set. */
int ebpf_inner_add(struct ebpf_inner *set, struct ebpf_map *map);
/* All of @from into the empty and larger @to. */
void ebpf_inner_copy(struct ebpf_inner *to, const struct ebpf_inner *from);

/* The map with @id, or NULL. NULL-safe. Any context. */
struct ebpf_map *ebpf_inner_by_id(const struct ebpf_inner *set, u32 id);
/* The map at address @addr when it is in the set, or NULL. NULL-safe. Any context. */
struct ebpf_map *ebpf_inner_by_addr(const struct ebpf_inner *set, u64 addr);

static inline bool ebpf_is_map_of_maps(u32 type)
{
	return type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

/* Put @id at @key into the shared memory, 0: take it out. 0 or -errno. The daemon only. */
int ebpf_inner_store(struct ebpf_map *outer, const void *key, u32 id);

/* Is @map what the inner map @like stands for? The kernel's rule. Pure. */
bool ebpf_inner_fits(const struct ebpf_map_meta *like, const struct ebpf_map_meta *map);
/* May a map of @meta be an inner map? 0, or the kernel's errno. Pure. */
int ebpf_inner_check(const struct ebpf_map_meta *meta);
