/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open addressing with linear steps, at most half full. The keys come from the file that is read,
 * so they are spread by a multiply; who chooses them to collide wastes the time of a worker that
 * has a limit of it.
 */
#include "btf/dwarf_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define CAP_MIN 1024u
#define CAP_KEEP 65536u /* an emptied table above this gives its memory back */

struct idmap_slot {
	u64 key;
	u32 value;
};

static struct idmap_slot *find(const struct idmap *map, u64 key)
{
	u32 mask = map->cap - 1, i = (u32)(hash_u64(key, 0) >> 32) & mask;

	while (map->slots[i].key && map->slots[i].key != key)
		i = (i + 1) & mask;
	return &map->slots[i];
}

u32 idmap_get(const struct idmap *map, u64 key)
{
	return map->cap ? find(map, key)->value : 0;
}

static int grow(struct idmap *map)
{
	struct idmap bigger = {.n = map->n, .cap = map->cap ? map->cap * 2 : CAP_MIN};

	if (map->cap >= 1u << 30)
		return -ENOMEM;
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (u32 i = 0; i < map->cap; i++) {
		if (map->slots[i].key)
			*find(&bigger, map->slots[i].key) = map->slots[i];
	}
	free(map->slots);
	*map = bigger;
	return 0;
}

int idmap_put(struct idmap *map, u64 key, u32 value)
{
	if (map->n >= map->cap / 2 && grow(map))
		return -ENOMEM;
	*find(map, key) = (struct idmap_slot){key, value};
	map->n++;
	return 0;
}

void idmap_clear(struct idmap *map)
{
	if (map->cap > CAP_KEEP)
		idmap_free(map);
	else if (map->n)
		memset(map->slots, 0, map->cap * sizeof(*map->slots));
	map->n = 0;
}

void idmap_free(struct idmap *map)
{
	free(map->slots);
	*map = (struct idmap){0};
}
