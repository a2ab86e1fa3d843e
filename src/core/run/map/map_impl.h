/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the map types share: the list of their operations, copies in and out of shared memory, and
 * operations a type does not have. Private to this folder.
 */
#pragma once

#include <errno.h>

#include "core/run/map/map.h"
#include "osl/osl_trap.h"

#define ENOTSUPP 524 /* the kernel's own, seen through bpf(2); not in any errno.h */

/* the kernel's bounds on sizes, x86-64 */
#define EBPF_MAX_ELEM_SIZE (1u << 22)	 /* largest allocation: key and value and its header */
#define EBPF_MAX_PERCPU_VALUE (1u << 15) /* one CPU's part of a value */
#define EBPF_MAX_ARRAY (1u << 31)	 /* most elements, a power of two in 32 bits */
#define EBPF_MAX_SHM (1ull << 40)

#define EBPF_MAP_ACCESS_FLAGS (BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)

extern const struct ebpf_map_ops ebpf_array_ops;
extern const struct ebpf_map_ops ebpf_percpu_array_ops;
extern const struct ebpf_map_ops ebpf_hash_ops;
extern const struct ebpf_map_ops ebpf_percpu_hash_ops;
extern const struct ebpf_map_ops ebpf_lru_hash_ops;
extern const struct ebpf_map_ops ebpf_lru_percpu_hash_ops;
extern const struct ebpf_map_ops ebpf_ringbuf_ops;
extern const struct ebpf_map_ops ebpf_user_ringbuf_ops;
extern const struct ebpf_map_ops ebpf_perf_ring_ops;
extern const struct ebpf_map_ops ebpf_prog_array_ops;
extern const struct ebpf_map_ops ebpf_perf_event_array_ops;
extern const struct ebpf_map_ops ebpf_stackmap_ops;
extern const struct ebpf_map_ops ebpf_queue_ops;
extern const struct ebpf_map_ops ebpf_stack_ops;
extern const struct ebpf_map_ops ebpf_bloom_ops;
extern const struct ebpf_map_ops ebpf_array_of_maps_ops;
extern const struct ebpf_map_ops ebpf_hash_of_maps_ops;

/* Keys of an array, whatever its values are. */
int ebpf_array_next(struct ebpf_map *map, const void *key, void *next);

/* What a type without elements says: -ENOTSUPP, as the kernel. */
void *ebpf_no_lookup(struct ebpf_map *map, const void *key);
int ebpf_no_update(struct ebpf_map *map, const void *key, const void *value, u64 flags);
int ebpf_no_del(struct ebpf_map *map, const void *key);
int ebpf_no_next(struct ebpf_map *map, const void *key, void *next);
int ebpf_no_lookup_user(struct ebpf_map *map, const void *key, void *value, u64 flags);
#define EBPF_NO_ELEMENTS                                                                           \
	.lookup = ebpf_no_lookup, .update = ebpf_no_update, .del = ebpf_no_del,                    \
	.next = ebpf_no_next, .lookup_user = ebpf_no_lookup_user, .update_user = ebpf_no_update

static inline u32 ebpf_round_up_pow2(u32 n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

static inline u64 ebpf_page_align(u64 bytes)
{
	return ALIGN_UP(bytes, (u64)EBPFRT_PAGE_SIZE);
}

static inline u32 ebpf_value_stride(const struct ebpf_map_meta *meta)
{
	return ALIGN_UP(meta->value_size, 8u);
}

/* A program can't be barred from reading and from writing at once; nor can a user. */
static inline bool ebpf_map_access_ok(u32 flags)
{
	const u32 prog = BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
	const u32 user = BPF_F_RDONLY | BPF_F_WRONLY;

	return (flags & prog) != prog && (flags & user) != user;
}

/* This CPU's part; a CPU number we were not told about (hotplug, a wrong meta) shares a part. */
static inline u32 ebpf_map_cpu(const struct ebpf_map *map)
{
	s64 cpu = osl_fault_cpu();

	return likely((u64)cpu < map->meta.nr_cpus) ? (u32)cpu : osl_cpu() % map->meta.nr_cpus;
}

/*
 * Copies to and from 8-aligned shared memory, word by word, so that a concurrent reader never sees
 * half a word of a value. The other side is private memory of any alignment and exactly @len bytes.
 * Storing the last word writes the padding of the 8-aligned shared side, too.
 */
static inline u64 ebpf_load_tail(const u8 *src, u32 len)
{
	u64 word = 0;

	for (u32 i = 0; i < len; i++)
		((u8 *)&word)[i] = src[i];
	return word;
}

static inline void ebpf_copy_in(void *shared, const void *private, u32 len)
{
	u64 *dst = shared;
	const u8 *src = private;
	u64 word;

	for (; len >= 8; len -= 8, src += 8, dst++) {
		__builtin_memcpy(&word, src, 8);
		WRITE_ONCE(*dst, word);
	}
	if (len)
		WRITE_ONCE(*dst, ebpf_load_tail(src, len));
}

static inline void ebpf_copy_out(void *private, const void *shared, u32 len)
{
	const u64 *src = shared;
	u8 *dst = private;
	u64 word;

	for (; len >= 8; len -= 8, src++, dst += 8) {
		word = READ_ONCE(*src);
		__builtin_memcpy(dst, &word, 8);
	}
	if (!len)
		return;
	word = READ_ONCE(*src);
	for (u32 i = 0; i < len; i++)
		dst[i] = ((u8 *)&word)[i];
}

static inline void ebpf_zero(void *shared, u32 len)
{
	u64 *dst = shared;

	for (; len >= 8; len -= 8)
		WRITE_ONCE(*dst++, 0);
}
