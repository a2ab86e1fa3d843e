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

/* One word more of a longer key, on top of the hash of those before it: hash_seed()'s at first. */
static inline u64 hash_word(u64 hash, u64 word)
{
	return hash_int(word, hash << 32 | hash >> 32);
}

/*
 * Of a table's key, by words of 8 bytes and at last one of 4: as programs write what keys are made
 * of, for a load of more than what one store wrote waits for it. A rest that is neither is part of
 * a word that overlaps the one before.
 */
static inline __attribute__((always_inline)) u64 hash_key(const void *key, u32 len, u32 seed)
{
	u64 h = hash_seed(seed), word = 0;
	const u8 *p = key;
	u32 half, rest = len % 8;

	if (len == 4) {
		__builtin_memcpy(&half, p, 4);
		return hash_int(half, seed);
	}
	for (; len >= 8; p += 8, len -= 8) {
		__builtin_memcpy(&word, p, 8);
		h = hash_word(h, word);
	}
	if (!rest)
		return h;
	if (rest == 4) {
		__builtin_memcpy(&half, p, 4);
		word = half;
	} else if (p != (const u8 *)key) {
		__builtin_memcpy(&word, p + rest - 8, 8);
	} else {
		for (; len; len--)
			word = word << 8 | p[len - 1];
	}
	return hash_word(h, word);
}

/* Of an address or a number that nobody chooses, in one multiply: 24 bits, all of them good. */
static inline u32 hash_quick(u64 key)
{
	return (u32)((key * HASH_K1) >> 40);
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
