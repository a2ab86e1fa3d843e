/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys of the hash tables: their hash, comparison, and the way in and out of an element. Private to
 * hashtab.c, whose code is made several times, for sizes that are constants.
 */
#pragma once

#include "base/hash.h"
#include "core/run/map/htab_impl.h"

/* @ksz is a constant where it pays: 4, 8, 16, or 0 for any other size, then the meta's. */
static inline __attribute__((always_inline)) u64 key_hash(const struct ebpf_map *map,
							  const void *key, u32 ksz)
{
	u64 k8;
	u32 k4;

	if (ksz == 4) {
		__builtin_memcpy(&k4, key, 4);
		return hash_int(k4, map->meta.seed);
	}
	if (ksz == 8) {
		__builtin_memcpy(&k8, key, 8);
		return hash_int(k8, map->off[SEED]);
	}
	return hash_key(key, ksz ? ksz : map->meta.key_size, map->meta.seed);
}

static inline void *key_of(const struct ebpf_map *map, struct htab_elem *e)
{
	return map->meta.key_size <= 4 ? (void *)&e->small : (void *)(e + 1);
}

/* By words, as hash_key() does. */
static inline __attribute__((always_inline)) bool bytes_equal(const void *a, const void *b, u32 len)
{
	const u8 *p = a, *q = b;
	u32 rest = len % 8, half, other;
	u64 x, y;

	for (; len >= 8; len -= 8, p += 8, q += 8) {
		__builtin_memcpy(&x, p, 8);
		__builtin_memcpy(&y, q, 8);
		if (x != y)
			return false;
	}
	if (rest == 4) {
		__builtin_memcpy(&half, p, 4);
		__builtin_memcpy(&other, q, 4);
		return half == other;
	}
	while (len && *p == *q)
		len--, p++, q++;
	return !len;
}

/*
 * A key too large to have been copied first is the program's own memory, compared under the lock,
 * too: what can't be read equals nothing.
 */
static __noinline bool large_equal(const u8 *ours, const u8 *key, u32 len)
{
	u64 buf[16];

	for (u32 n; len; len -= n, ours += n, key += n) {
		n = MIN(len, (u32)sizeof(buf));
		if (osl_read(buf, key, n) || !bytes_equal(ours, buf, n))
			return false;
	}
	return true;
}

static inline __attribute__((always_inline)) bool
key_equal(const struct ebpf_map *map, struct htab_elem *e, const void *key, u32 ksz)
{
	u64 k8;
	u32 k4;

	if (ksz == 4) {
		__builtin_memcpy(&k4, key, 4);
		return READ_ONCE(e->small) == k4;
	}
	if (ksz == 8) {
		__builtin_memcpy(&k8, key, 8);
		return READ_ONCE(*(u64 *)(e + 1)) == k8;
	}
	if (ksz)
		return bytes_equal(e + 1, key, ksz);
	if (unlikely(map->meta.key_size > EBPF_COPY_FIRST))
		return large_equal(key_of(map, e), key, map->meta.key_size);
	return bytes_equal(key_of(map, e), key, map->meta.key_size);
}

static u32 small_key(const u8 *key, u32 len)
{
	u32 small = 0;

	for (u32 i = 0; i < len; i++)
		((u8 *)&small)[i] = key[i];
	return small;
}

static int key_in(const struct ebpf_map *map, struct htab_elem *e, const void *key)
{
	u32 size = map->meta.key_size;

	if (unlikely(size > EBPF_COPY_FIRST))
		return osl_read(e + 1, key, size);
	if (size <= 4)
		WRITE_ONCE(e->small, small_key(key, size));
	else
		ebpf_copy_in(e + 1, key, size);
	return 0;
}

static void key_out(const struct ebpf_map *map, struct htab_elem *e, void *key)
{
	u32 small = READ_ONCE(e->small);

	if (map->meta.key_size > 4)
		ebpf_copy_out(key, e + 1, map->meta.key_size);
	else
		for (u32 i = 0; i < map->meta.key_size; i++)
			((u8 *)key)[i] = ((u8 *)&small)[i];
}

/* The same hash for the paths that are not worth a copy per key size. */
static u64 hash_of(const struct ebpf_map *map, const void *key)
{
	switch (map->meta.key_size) {
	case 4:
		return key_hash(map, key, 4);
	case 8:
		return key_hash(map, key, 8);
	case 16:
		return key_hash(map, key, 16);
	default:
		return key_hash(map, key, 0);
	}
}

static bool same_key(const struct ebpf_map *map, struct htab_elem *e, const void *key)
{
	switch (map->meta.key_size) {
	case 4:
		return key_equal(map, e, key, 4);
	case 8:
		return key_equal(map, e, key, 8);
	case 16:
		return key_equal(map, e, key, 16);
	default:
		return key_equal(map, e, key, 0);
	}
}

static u32 elem_bucket(const struct ebpf_map *map, struct htab_elem *e)
{
	return bucket_of(map, hash_of(map, key_of(map, e)));
}
