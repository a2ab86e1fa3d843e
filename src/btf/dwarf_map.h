/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers by 64-bit keys, for the tables of a conversion: open addressing, grows, is emptied often.
 * A key is never 0.
 */
#pragma once

#include "base/types.h"

struct idmap {
	struct idmap_slot *slots;
	u32 n, cap; /* cap is a power of two, or 0 */
};

/* The number of @key, or 0. */
u32 idmap_get(const struct idmap *map, u64 key);
/* @key is not there yet. 0 or -ENOMEM. */
int idmap_put(struct idmap *map, u64 key, u32 value);
void idmap_clear(struct idmap *map);
void idmap_free(struct idmap *map);
