/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A map as one process sees it.
 *
 * Model: a map is one memfd, sealed against shrinking and growing, mapped shared by the daemon, by
 * clients and by agents. All-zero is a valid empty map. Inside are offsets and indices only; every
 * one that is read from shared memory is loaded once, checked and used from the local copy, every
 * chain walk is bounded by max_entries. What describes the map (type, sizes, masks) is in private
 * memory, struct ebpf_map_meta, and comes from the daemon.
 *
 * Locks in shared memory carry their owner (ebpf_map_self) and can be taken over when the owner is
 * dead (ebpf_owner_dead); spinning is bounded, then the operation fails with -EBUSY as the kernel's
 * does. Readers take none.
 *
 * Errors and flags are the kernel's (kernel/bpf/{arraymap,hashtab,ringbuf}.c, bpf(2)).
 *
 * Everything here is safe in any context, a signal handler included, unless it says otherwise.
 */
#pragma once

#include "base/macros.h"
#include "core/run/image.h"
#include "core/uapi.h"

struct ebpf_run;
struct ebpf_map;

/* Internal types, beyond those of bpf(2): what is shared and bound like a map. */
#define EBPF_MAP_INTERNAL 0x10000u  /* from here on */
#define EBPF_MAP_PERF_RING 0x10001u /* the ring behind an entry of a PERF_EVENT_ARRAY (perf.h) */

struct ebpf_map_meta {
	u32 id;
	u32 type;	 /* BPF_MAP_TYPE_* */
	u32 key_size;	 /* bytes */
	u32 value_size;	 /* bytes */
	u32 max_entries; /* as given, after the kernel's rounding */
	u32 map_flags;	 /* BPF_F_* */
	u32 nr_cpus;	 /* possible CPUs: per-CPU values have this many parts */
	u32 bell;	 /* doorbell slot that wakes this map's readers (osl_ring()), 0: none */
	u64 map_extra;
	char name[BPF_OBJ_NAME_LEN];
	u32 seed; /* of a hash: random, so that chosen keys don't collide; 0 with BPF_F_ZERO_SEED */
	/* where in a value its lock and its timer lie: offset / 4 + 1, 0: none (special.h) */
	u16 lock_at, timer_at;
};

/*
 * One per map type; all slots mandatory unless it says otherwise. @key and @value are readable
 * memory of the meta's sizes in the calling process. `value_size` of the *_user forms is
 * ebpf_map_user_value_size().
 */
struct ebpf_map_ops {
	const char *name;
	/* Does the kernel take these attributes? 0 or its errno. Pure. */
	int (*check)(const struct ebpf_map_meta *meta);
	/* Bytes of shared memory needed, page multiple; at most 2^40. Pure. */
	u64 (*size)(const struct ebpf_map_meta *meta);
	/* Prepare private fields (map->mask, offsets) after map->base is set. */
	void (*bind)(struct ebpf_map *map);
	/* For programs: address of the value (this CPU's part), of a map of maps the inner
	 * struct ebpf_map, or NULL. */
	void *(*lookup)(struct ebpf_map *map, const void *key);
	int (*update)(struct ebpf_map *map, const void *key, const void *value, u64 flags);
	int (*del)(struct ebpf_map *map, const void *key);
	/* Next key after @key (NULL: first) into @next. 0 or -ENOENT. Keeps going while the map
	 * changes. */
	int (*next)(struct ebpf_map *map, const void *key, void *next);
	/*
	 * Optional, hash tables: the key after @key (NULL: the first) in @bucket into @next. 0,
	 * -ENOENT when the bucket has no more, -EAGAIN when @key went away or the chain changed,
	 * -EINVAL behind the last bucket. A bucket's number means the same in every process.
	 */
	int (*next_in)(struct ebpf_map *map, u32 bucket, const void *key, void *next);
	/* For bpf(2): copy the whole value (all CPUs' parts, each rounded up to 8) out or in. */
	int (*lookup_user)(struct ebpf_map *map, const void *key, void *value, u64 flags);
	int (*update_user)(struct ebpf_map *map, const void *key, const void *value, u64 flags);
	int (*lookup_delete_user)(struct ebpf_map *map, const void *key,
				  void *value); /* NULL: -ENOTSUPP (524) */
	/* Optional: address of byte @off in the values, for BPF_PSEUDO_MAP_VALUE. NULL: not such a
	 * map. */
	void *(*value_addr)(struct ebpf_map *map, u32 off);
	/*
	 * Optional: bpf_for_each_map_elem(). Calls run->callback(run, fn, map, key, value, cb_ctx,
	 * 0) until it returns non-zero; returns the number of elements visited or a negative errno.
	 */
	s64 (*for_each)(struct ebpf_map *map, struct ebpf_run *run, u64 fn, u64 cb_ctx);
	/* Optional, per-CPU types: the value of @cpu, or NULL. */
	void *(*lookup_cpu)(struct ebpf_map *map, const void *key, u32 cpu);
	/*
	 * Optional, maps without keys. A value of at most EBPF_COPY_FIRST bytes is private memory;
	 * a larger one may go away meanwhile: -EFAULT. Without pop it is a filter, which a peek
	 * asks for @value.
	 */
	int (*push)(struct ebpf_map *map, const void *value, u64 flags);
	int (*pop)(struct ebpf_map *map, void *value);
	int (*peek)(struct ebpf_map *map, void *value);
	/*
	 * Optional, of types whose values may hold timers: the element in whose value byte @off of
	 * the memory lies. *@key is what a program's callback gets, @index its room where keys are
	 * not in memory. 0 or -ENOENT: no element there, at the moment.
	 */
	int (*elem_of)(struct ebpf_map *map, u64 off, u32 *index, void **key, void **value);
	/* Optional: ebpf_map_reap(). */
	u32 (*reap)(struct ebpf_map *map);
	/*
	 * Optional: fill in what the type has of a shape, which is all zero. False: it is too
	 * large for one. Pure.
	 */
	bool (*shape)(const struct ebpf_map_meta *meta, struct ebpf_map_shape *shape);
};

/*
 * Keys and values up to this size are private copies when a program's operation gets to a map; a
 * larger value is the program's own memory, which can go away meanwhile.
 */
#define EBPF_COPY_FIRST 512

struct ebpf_map {
	struct ebpf_map_meta meta; /* private */
	const struct ebpf_map_ops *ops;
	u8 *base;     /* where the memfd is mapped here; rings are mapped with their data twice (see
			 ringbuf.h) */
	u64 size;     /* bytes mapped */
	u32 mask;     /* type's own */
	u32 stride;   /* type's own: bytes from element to element */
	u64 off[10];  /* type's own: where its parts lie */
	u32 readonly; /* this mapping can't be written: frozen or BPF_F_RDONLY_PROG */
	struct ebpf_inner *inner; /* maps of maps: those that can be reached (inner.h), or NULL */
	const struct ebpf_map_ops *plain; /* HASH_OF_MAPS: of its table of ids */
};

/* Pure. */
void ebpf_map_shape(const struct ebpf_map_meta *meta, struct ebpf_map_shape *shape);

/* The ops of a type, or NULL when the type is unknown. Pure. */
const struct ebpf_map_ops *ebpf_map_ops_of(u32 type);

/* Check @meta as BPF_MAP_CREATE does (rounding max_entries of rings is not done). 0 or the kernel's
 * errno. Pure. */
int ebpf_map_check(const struct ebpf_map_meta *meta);

/* Bytes of shared memory a map of @meta needs. Pure. @meta has passed ebpf_map_check(). */
u64 ebpf_map_shm_size(const struct ebpf_map_meta *meta);

/*
 * Fill @map for memory mapped at @base, @size bytes. Touches no shared memory. 0, or -EINVAL when
 * the size is not what the meta asks for. @map must outlive every program that refers to it.
 */
int ebpf_map_bind(struct ebpf_map *map, const struct ebpf_map_meta *meta, void *base, u64 size);

/* Bytes of a value as bpf(2) sees it: per-CPU types have round_up(value_size, 8) for each possible
 * CPU. Pure. */
u32 ebpf_map_user_value_size(const struct ebpf_map_meta *meta);

/*
 * Give back what participants known to be dead held in @map: elements that were neither in the map
 * nor free, records that were reserved and never committed. The daemon does so for every map that a
 * participant could write once ebpf_owner_dead() says so, and before its number goes to somebody
 * else. Safe beside live users; waits for no live process longer than the bounded spin. Returns how
 * many were recovered.
 */
u32 ebpf_map_reap(struct ebpf_map *map);

/*
 * Who we are, for locks in shared memory: a participant number that the daemon hands out, unique
 * among the living, never 0. Set once per process before any map is written (and again in a forked
 * child).
 */
extern u32 ebpf_map_self;

/*
 * Is participant @who known to be dead? Reads the table the daemon publishes; set by the process's
 * owner of that table (agent, client, daemon). NULL: nobody is ever dead.
 */
extern bool (*ebpf_owner_dead)(u32 who);
