/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BLOOM_FILTER: values that were surely not pushed, or perhaps were.
 *
 * Layout: bits, a power of two of them, nothing else. A value stands for as many of them as there
 * are hash functions (map_extra, 0: five); a push sets them one by one, a peek asks for all.
 *
 * Rules: no lock and no state between two bits. A writer that is killed leaves bits that can only
 * make a value "perhaps" sooner; who scribbles can do that, or take values away.
 */
#include "base/hash.h"
#include "core/run/map/map_impl.h"

#define HASHES_DEFAULT 5u
#define HASHES_MAX 15u
#define WORD_BITS 64u

struct hashes {
	u32 at, step;
};

static u32 nr_hashes(const struct ebpf_map_meta *meta)
{
	return meta->map_extra ? (u32)meta->map_extra : HASHES_DEFAULT;
}

/* entries * hashes / ln 2, rounded up to a power of two; with the kernel's limits */
static u64 nr_bits(const struct ebpf_map_meta *meta)
{
	u64 n = (u64)meta->max_entries * nr_hashes(meta);

	if (n > UINT32_MAX)
		return 1ull << 32;
	n = n / 5 * 7;
	if (n > 1ull << 31)
		return 1ull << 32;
	return n <= WORD_BITS ? WORD_BITS : ebpf_round_up_pow2((u32)n);
}

/* A large value is the program's own memory, which can go away. */
static int hash_large(const struct ebpf_map *map, const u8 *value, u64 *out)
{
	u32 len = map->meta.value_size;
	u64 h = map->meta.seed, buf[32];

	for (u32 n; len; len -= n, value += n) {
		n = MIN(len, (u32)sizeof(buf));
		if (osl_read(buf, value, n))
			return -EFAULT;
		h = (h ^ hash_bytes(buf, n, (u32)(h >> 32))) * HASH_K1;
	}
	*out = h;
	return 0;
}

/* The bits of a value are `at`, `at` + `step`, ... */
static int hash_value(const struct ebpf_map *map, const void *value, struct hashes *out)
{
	u64 h;
	int err = 0;

	if (unlikely(map->meta.value_size > EBPF_COPY_FIRST))
		err = hash_large(map, value, &h);
	else
		h = hash_bytes(value, map->meta.value_size, map->meta.seed);
	if (err)
		return err;
	out->at = (u32)(h >> 32);
	out->step = (u32)((h ^ h >> 32) * HASH_K2 >> 32) | 1;
	return 0;
}

static u64 *word_of(const struct ebpf_map *map, u32 bit)
{
	return (u64 *)map->base + (bit & map->mask) / WORD_BITS;
}

static u64 mask_of(u32 bit)
{
	return 1ull << bit % WORD_BITS;
}

static int bloom_push(struct ebpf_map *map, const void *value, u64 flags)
{
	struct hashes h;
	int err;

	if (flags != BPF_ANY)
		return -EINVAL;
	if (map->readonly)
		return -EPERM;
	err = hash_value(map, value, &h);
	if (err)
		return err;
	for (u32 i = 0; i < nr_hashes(&map->meta); i++, h.at += h.step) {
		u64 *word = word_of(map, h.at);

		/* what is set already is not written: its line stays where it is */
		if (!(READ_ONCE(*word) & mask_of(h.at)))
			__atomic_fetch_or(word, mask_of(h.at), __ATOMIC_RELAXED);
	}
	return 0;
}

static int bloom_peek(struct ebpf_map *map, void *value)
{
	struct hashes h;
	int err = hash_value(map, value, &h);

	if (err)
		return err;
	for (u32 i = 0; i < nr_hashes(&map->meta); i++, h.at += h.step)
		if (!(READ_ONCE(*word_of(map, h.at)) & mask_of(h.at)))
			return -ENOENT;
	return 0;
}

/* --- the same as elements -------------------------------------------------------------------- */

static int bloom_refuse_update(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	return -EINVAL;
}

static int bloom_refuse_del(struct ebpf_map *map, const void *key)
{
	return -EOPNOTSUPP;
}

static int bloom_no_keys(struct ebpf_map *map, const void *key, void *next)
{
	return -EOPNOTSUPP;
}

/* @value asks; nothing is written there. */
static int bloom_lookup_user(struct ebpf_map *map, const void *key, void *value, u64 flags)
{
	return flags ? -EINVAL : bloom_peek(map, value);
}

static int bloom_update_user(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	return bloom_push(map, value, flags);
}

/* --- attributes and memory ------------------------------------------------------------------- */

static int bloom_check(const struct ebpf_map_meta *meta)
{
	const u32 flags = BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | EBPF_MAP_ACCESS_FLAGS;

	if (meta->value_size > EBPF_MAX_ELEM_SIZE)
		return -E2BIG;
	if (!meta->max_entries || meta->key_size || !meta->value_size || meta->map_flags & ~flags)
		return -EINVAL;
	return meta->map_extra > HASHES_MAX ? -EINVAL : 0;
}

static u64 bloom_size(const struct ebpf_map_meta *meta)
{
	return ebpf_page_align(nr_bits(meta) / 8);
}

static void bloom_bind(struct ebpf_map *map)
{
	map->mask = (u32)(nr_bits(&map->meta) - 1);
}

const struct ebpf_map_ops ebpf_bloom_ops = {
	.name = "bloom_filter",
	.check = bloom_check,
	.size = bloom_size,
	.bind = bloom_bind,
	.lookup = ebpf_no_lookup,
	.update = bloom_refuse_update,
	.del = bloom_refuse_del,
	.next = bloom_no_keys,
	.lookup_user = bloom_lookup_user,
	.update_user = bloom_update_user,
	.push = bloom_push,
	.peek = bloom_peek,
};
