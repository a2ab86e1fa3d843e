/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hashes for tables: a multiply that spreads the key; the upper bits of the result, of which at
 * least 32 are good, are to be used. Consecutive integer keys land in different buckets. Not for
 * secrets; a random seed keeps chosen keys from colliding on purpose. Freestanding; safe in any
 * context.
 */
#pragma once

#include "base/types.h"

#define HASH_K1 0x9e3779b97f4a7c15ull
#define HASH_K2 0xd6e8feb86659fd93ull

/* Beginning like the golden ratio; the rest is what a search found to do well after any shift. */
#define HASH_INT 0x9e37d5f2a81d9aa7ull

/*
 * Of an integer key, for a table that takes the topmost bits: keys that count up, in whichever of
 * their bits, hardly meet. The seed is hash_seed()'s, its lower half for keys of four bytes.
 */
static inline u64 hash_int(u64 key, u64 seed)
{
	return (key ^ seed) * HASH_INT;
}

static inline u64 hash_seed(u32 seed)
{
	return seed | (u64)seed << 32;
}

static inline u64 hash_u64(u64 key, u32 seed)
{
	u64 h = (key ^ seed) * HASH_K1;

	return (h ^ (h >> 32)) * HASH_K2;
}

static inline u64 hash_bytes(const void *key, u32 len, u32 seed)
{
	const u8 *p = key;
	u64 h = seed ^ ((u64)len << 32);
	u64 word;

	for (; len >= 8; p += 8, len -= 8) {
		__builtin_memcpy(&word, p, 8);
		h = (h ^ word) * HASH_K1;
		h ^= h >> 29;
	}
	for (word = 0; len; len--)
		word = word << 8 | p[len - 1];
	h = (h ^ word) * HASH_K2;
	return (h ^ (h >> 32)) * HASH_K1;
}
