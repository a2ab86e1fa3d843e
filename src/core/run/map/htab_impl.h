/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash tables' layout in shared memory, and the state of an element: what hashtab.c (chains)
 * and htab_pool.c (free elements) share. The model and its rules are told in hashtab.c.
 */
#pragma once

#include "core/run/map/lock.h"
#include "core/run/map/map_impl.h"

#define CHAIN_END (1u << 31) /* | bucket: the mark at the end of its chain */

struct htab_head {
	u32 hand;      /* LRU: where the clock stands */
	u32 orphans;   /* elements that no pool took back in time */
	u64 busy;      /* operations that gave up on a lock */
	u64 corrupt;   /* links that led nowhere */
	u64 recovered; /* elements taken back from dead processes */
	u64 evicted;   /* by LRU */
	u64 pad[3];
};

struct htab_pool {
	u32 lock;
	u32 head; /* first free element */
	u32 used; /* elements of the pool's range handed out so far */
	u32 pad[13];
};
_Static_assert(sizeof(struct htab_head) == 64 && sizeof(struct htab_pool) == 64, "cache lines");

struct htab_bucket {
	u32 lock;
	u32 head;
};

struct htab_elem {
	u32 next;  /* in the chain: element, or CHAIN_END | bucket */
	u32 state; /* enum state_kind | STATE_SPARE | generation | owner */
	u32 free;  /* next in the pool */
	u32 small; /* a 4-byte key; longer ones begin behind it */
};

enum state_kind {
	FREE = 0,
	LINKED = 1,
	HELD = 2,
	WRITTEN = 3, /* linked, and the owner replaces its value where it is */
};
#define STATE_KIND 3u
#define STATE_SPARE 4u /* while HELD: belongs to the spares, wherever it came from */
#define STATE_GEN 8u   /* one generation; 13 bits */
#define STATE_GENS 0xfff8u
#define STATE_OWNER(s) ((s) >> 16)
#define NOBODY 0u      /* owner without a number of its own: never dead */
#define ORPHAN 0xffffu /* owner of an element that was freed when no pool could be locked */

/* map->off[]: addresses in this process first, for what every lookup does */
enum {
	AT_BUCKETS,
	AT_ELEMS,
	AT_USED,
	OFF_CPU,
	OFF_VALUE,
	NR_ELEMS,
	CPU_AREA,
	SHIFT,
	SEED,
	NR_POOLS
};

static inline bool is_lru(u32 type)
{
	return type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

static inline bool is_percpu(u32 type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

static inline struct htab_head *head_of(const struct ebpf_map *map)
{
	return (struct htab_head *)map->base;
}

static inline struct htab_pool *pool_at(const struct ebpf_map *map, u32 pool)
{
	return (struct htab_pool *)(map->base + sizeof(struct htab_head)) + pool;
}

static inline struct htab_bucket *bucket_at(const struct ebpf_map *map, u32 bucket)
{
	return (struct htab_bucket *)(uintptr_t)map->off[AT_BUCKETS] + bucket;
}

/* Does a link lead to an element? What it says otherwise is a mark, or nonsense. */
static inline bool is_elem(const struct ebpf_map *map, u32 link)
{
	return link - 1 < (u32)map->off[NR_ELEMS];
}

static inline struct htab_elem *elem_at(const struct ebpf_map *map, u32 link)
{
	return (void *)(uintptr_t)(map->off[AT_ELEMS] + (u64)(link - 1) * map->stride);
}

static inline void *elem_value(const struct ebpf_map *map, struct htab_elem *e)
{
	return (u8 *)e + map->off[OFF_VALUE];
}

static inline void *cpu_value(const struct ebpf_map *map, u32 link, u32 cpu)
{
	return map->base + map->off[OFF_CPU] + cpu * map->off[CPU_AREA] +
	       (u64)(link - 1) * ebpf_value_stride(&map->meta);
}

static inline u8 *used_byte(const struct ebpf_map *map, u32 link)
{
	return (u8 *)(uintptr_t)map->off[AT_USED] + link - 1;
}

static inline void count(u64 *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* The upper bits of the hash: they depend on all bits of the key. */
static inline u32 bucket_of(const struct ebpf_map *map, u64 hash)
{
	return (u32)(hash >> map->off[SHIFT]);
}

static inline u32 state_kind(u32 state)
{
	return state & STATE_KIND;
}

/* A member of a chain, whose value may be under way. */
static inline bool is_linked(u32 state)
{
	return state_kind(state) == LINKED || state_kind(state) == WRITTEN;
}

static inline u32 self_owner(void)
{
	u32 self = ebpf_lock_self();

	return self < ORPHAN ? self : NOBODY;
}

static inline bool state_owner_dead(u32 state)
{
	u32 owner = STATE_OWNER(state);

	return owner == ORPHAN || ebpf_lock_owner_dead(owner);
}

static inline void set_state(struct htab_elem *e, u32 kind, u32 gen, u32 owner)
{
	store_release(&e->state, kind | (gen & STATE_GENS) | owner << 16);
}

/* Ours, about to leave a chain. */
static inline void hold(struct htab_elem *e, u32 spare)
{
	set_state(e, HELD | spare, READ_ONCE(e->state), self_owner());
}

/* Ours, and nobody who still reads it may believe that it is what it was. */
static inline void hold_new(struct htab_elem *e, u32 spare)
{
	set_state(e, HELD | spare, READ_ONCE(e->state) + STATE_GEN, self_owner());
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* An element that nobody else writes or holds is ours, in @state (a kind and STATE_SPARE or not).
 */
static inline bool seize_from(struct htab_elem *e, u32 old, u32 state)
{
	u32 new = state | (old & STATE_GENS) | self_owner() << 16;

	return __atomic_compare_exchange_n(&e->state, &old, new, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static inline bool try_seize(struct htab_elem *e, u32 state)
{
	u32 old = READ_ONCE(e->state);

	return state_kind(old) != WRITTEN && seize_from(e, old, state);
}

static inline void set_linked(struct htab_elem *e)
{
	set_state(e, LINKED, READ_ONCE(e->state), NOBODY);
}

/* A type's check, size, shape and bind. */
int ebpf_htab_check(const struct ebpf_map_meta *meta);
u64 ebpf_htab_size(const struct ebpf_map_meta *meta);
bool ebpf_htab_shape(const struct ebpf_map_meta *meta, struct ebpf_map_shape *shape);
void ebpf_htab_layout(struct ebpf_map *map);

/* ebpf_map_ops.elem_of */
int ebpf_htab_elem_of(struct ebpf_map *map, u64 off, u32 *index, void **key, void **value);

/*
 * try_seize() with some patience; from a dead owner, too. Under the bucket's lock, of a member. 0
 * or -EBUSY.
 */
int ebpf_htab_seize(struct ebpf_map *map, struct htab_elem *e, u32 state);

/* Can a value be replaced by storing over it? */
bool ebpf_htab_in_place(const struct ebpf_map_meta *meta);

/* A free element, held by us, into *link: 0, -E2BIG or -EBUSY. */
int ebpf_htab_take_free(struct ebpf_map *map, u32 *link);

/* A spare, or else a free element; *spare is STATE_SPARE or 0. 0 or -EBUSY. */
int ebpf_htab_take_spare(struct ebpf_map *map, u32 *link, u32 *spare);

/* Give an element back that we hold. */
void ebpf_htab_give_back(struct ebpf_map *map, u32 link);

/*
 * For reaping. Repair every pool that a dead process was working on: from then on, what a dead
 * process holds is on no list. 0 or -EBUSY.
 */
int ebpf_htab_repair_pools(struct ebpf_map *map);

/*
 * Was element @link, which a dead process holds in @state, taken from a range that does not know of
 * it? Then it is free again and *done. 0 or -EBUSY.
 */
int ebpf_htab_reap_unused(struct ebpf_map *map, u32 link, u32 state, bool *done);
