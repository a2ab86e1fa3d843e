/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash tables' geometry, and their free elements. The model and its rules are told in
 * hashtab.c.
 */
#include "base/hash.h"
#include "core/run/map/htab_impl.h"

/* what arch/x86_64/jit_map.c knows of the tables */
_Static_assert(sizeof(struct htab_bucket) == 8 && offsetof(struct htab_bucket, head) == 4,
	       "jit_map: bucket");
_Static_assert(sizeof(struct htab_elem) == 16 && offsetof(struct htab_elem, small) == 12,
	       "jit_map: element");

#define HTAB_FLAGS                                                                                 \
	(BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED |             \
	 EBPF_MAP_ACCESS_FLAGS)
#define MAX_ENTRIES (1u << 30) /* links need two bits more */
#define MAX_POOLS 8u
#define POOL_MIN 32u /* don't split a smaller table */
#define SPARES 32u   /* updates in flight at once; more fall back to the free elements */

/* ---- geometry: from the private meta only ---------------------------------------------------- */

static int htab_check_sizes(const struct ebpf_map_meta *meta)
{
	if (!meta->max_entries || !meta->key_size || !meta->value_size)
		return -EINVAL;
	if ((u64)meta->key_size + meta->value_size >= EBPF_MAX_ELEM_SIZE - 48)
		return -E2BIG;
	if (is_percpu(meta->type) && ebpf_value_stride(meta) > EBPF_MAX_PERCPU_VALUE)
		return -E2BIG;
	return meta->max_entries > MAX_ENTRIES ? -E2BIG : 0;
}

int ebpf_htab_check(const struct ebpf_map_meta *meta)
{
	bool lru = is_lru(meta->type);
	bool percpu = is_percpu(meta->type);

	if (meta->map_flags & ~HTAB_FLAGS || meta->map_extra)
		return -EINVAL;
	if (meta->map_flags & BPF_F_NO_COMMON_LRU && !lru)
		return -EINVAL;
	if (meta->map_flags & BPF_F_NO_PREALLOC && lru)
		return -ENOTSUPP;
	if (meta->map_flags & BPF_F_NUMA_NODE && (percpu || meta->map_flags & BPF_F_NO_COMMON_LRU))
		return -EINVAL;
	if (percpu && !meta->nr_cpus)
		return -EINVAL;
	return htab_check_sizes(meta);
}

/* Twice the keys: most are found first in their bucket, and the branch that says so is foreseen. */
static u32 nr_buckets(const struct ebpf_map_meta *meta)
{
	return 2 * ebpf_round_up_pow2(meta->max_entries);
}

static u32 bucket_shift(const struct ebpf_map_meta *meta)
{
	return 64u - (u32)__builtin_ctz(nr_buckets(meta));
}

/* Pools besides that of the spares. */
static u32 nr_pools(const struct ebpf_map_meta *meta)
{
	u32 n = 1;

	/* a division would be half of what taking an element costs */
	while (n < MAX_POOLS && n < meta->nr_cpus && meta->max_entries >= 2 * n * POOL_MIN)
		n *= 2;
	return n;
}

bool ebpf_htab_in_place(const struct ebpf_map_meta *meta)
{
	return meta->value_size <= 8 || is_percpu(meta->type);
}

static u32 nr_elems(const struct ebpf_map_meta *meta)
{
	return meta->max_entries + (ebpf_htab_in_place(meta) ? 0 : SPARES);
}

static u32 value_offset(const struct ebpf_map_meta *meta)
{
	if (meta->key_size <= 4)
		return sizeof(struct htab_elem);
	return sizeof(struct htab_elem) + ALIGN_UP(meta->key_size, 8u);
}

static u32 elem_size(const struct ebpf_map_meta *meta)
{
	return value_offset(meta) + (is_percpu(meta->type) ? 0 : ebpf_value_stride(meta));
}

/* One CPU's values, when they are per CPU. */
static u64 cpu_area(const struct ebpf_map_meta *meta)
{
	return ALIGN_UP((u64)ebpf_value_stride(meta) * nr_elems(meta), 64ull);
}

static u64 buckets_offset(const struct ebpf_map_meta *meta)
{
	return sizeof(struct htab_head) + (nr_pools(meta) + 1) * sizeof(struct htab_pool);
}

static u64 elems_offset(const struct ebpf_map_meta *meta)
{
	u64 end = buckets_offset(meta) + (u64)nr_buckets(meta) * sizeof(struct htab_bucket);

	return ALIGN_UP(end, 64ull);
}

static u64 lru_offset(const struct ebpf_map_meta *meta)
{
	return ALIGN_UP(elems_offset(meta) + (u64)elem_size(meta) * nr_elems(meta), 64ull);
}

static u64 tail_offset(const struct ebpf_map_meta *meta)
{
	return ALIGN_UP(lru_offset(meta) + (is_lru(meta->type) ? nr_elems(meta) : 0), 64ull);
}

u64 ebpf_htab_size(const struct ebpf_map_meta *meta)
{
	u64 values = is_percpu(meta->type) ? cpu_area(meta) * meta->nr_cpus : 0;

	return ebpf_page_align(tail_offset(meta) + values);
}

void ebpf_htab_layout(struct ebpf_map *map)
{
	const struct ebpf_map_meta *meta = &map->meta;
	u64 base = (u64)(uintptr_t)map->base;

	map->mask = nr_buckets(meta) - 1;
	map->stride = elem_size(meta);
	map->off[AT_BUCKETS] = base + buckets_offset(meta);
	map->off[AT_ELEMS] = base + elems_offset(meta);
	map->off[AT_USED] = base + lru_offset(meta);
	map->off[OFF_CPU] = tail_offset(meta);
	map->off[OFF_VALUE] = value_offset(meta);
	map->off[NR_ELEMS] = nr_elems(meta);
	map->off[CPU_AREA] = cpu_area(meta);
	map->off[SHIFT] = bucket_shift(meta);
	map->off[SEED] = hash_seed(meta->seed);
	map->off[NR_POOLS] = nr_pools(meta);
}

bool ebpf_htab_shape(const struct ebpf_map_meta *meta, struct ebpf_map_shape *shape)
{
	*shape = (struct ebpf_map_shape){
		.nr_elems = nr_elems(meta),
		.elems = (u32)elems_offset(meta),
		.stride = elem_size(meta),
		.seed = meta->seed,
		.buckets = (u32)buckets_offset(meta),
		.shift = bucket_shift(meta),
		.used = is_lru(meta->type) ? (u32)lru_offset(meta) : 0,
	};
	if (is_percpu(meta->type)) {
		shape->nr_cpus = meta->nr_cpus;
		shape->values = (u32)tail_offset(meta);
		shape->value_stride = ebpf_value_stride(meta);
		shape->area = (u32)cpu_area(meta);
	}
	return ebpf_htab_size(meta) <= EBPF_SHAPE_MAX;
}

/* ---- pools ----------------------------------------------------------------------------------- */

static u32 spare_pool(const struct ebpf_map *map)
{
	return (u32)map->off[NR_POOLS];
}

/* First element of a pool's range; that of the next pool is its end. */
static u32 pool_first(const struct ebpf_map *map, u32 pool)
{
	u32 n = (u32)map->off[NR_POOLS];

	if (pool > n)
		return (u32)map->off[NR_ELEMS] + 1;
	return (u32)((u64)map->meta.max_entries * pool >> __builtin_ctz(n)) +
	       1; /* a power of two */
}

static u32 pool_range(const struct ebpf_map *map, u32 pool)
{
	return pool_first(map, pool + 1) - pool_first(map, pool);
}

static u32 home_pool(const struct ebpf_map *map, u32 link)
{
	u32 pool = 0;

	while (link >= pool_first(map, pool + 1))
		pool++;
	return pool;
}

/*
 * The former owner died in the middle. If it was moving an element, that is the first of the list:
 * taken but not yet unlinked, or linked but not yet called free.
 */
static void pool_repair(struct ebpf_map *map, struct htab_pool *p)
{
	u32 link = READ_ONCE(p->head);

	if (is_elem(map, link) && state_kind(READ_ONCE(elem_at(map, link)->state)) == HELD)
		set_state(elem_at(map, link), FREE, READ_ONCE(elem_at(map, link)->state), NOBODY);
}

static int pool_lock(struct ebpf_map *map, struct htab_pool *p)
{
	int err = ebpf_lock(&p->lock);

	if (err == EBPF_LOCK_TAKEN_OVER)
		pool_repair(map, p);
	else if (err < 0)
		count(&head_of(map)->busy);
	return err < 0 ? err : 0;
}

static u32 pop_listed(struct ebpf_map *map, struct htab_pool *p, u32 spare)
{
	u32 link = READ_ONCE(p->head);
	struct htab_elem *e;

	if (!link)
		return 0;
	e = elem_at(map, link);
	if (!is_elem(map, link) || is_linked(READ_ONCE(e->state))) {
		count(&head_of(map)->corrupt);
		WRITE_ONCE(p->head, 0);
		return 0;
	}
	hold_new(e, spare);
	store_release(&p->head, READ_ONCE(e->free));
	return link;
}

static u32 pop_unused(struct ebpf_map *map, u32 pool, u32 spare)
{
	struct htab_pool *p = pool_at(map, pool);
	u32 range = pool_range(map, pool);

	for (u32 i = 0; i < POOL_MIN; i++) {
		u32 used = READ_ONCE(p->used);
		u32 link = pool_first(map, pool) + used;

		if (used >= range)
			return 0;
		if (!is_linked(READ_ONCE(elem_at(map, link)->state))) {
			hold_new(elem_at(map, link), spare);
			store_release(&p->used, used + 1);
			return link;
		}
		WRITE_ONCE(p->used, used + 1); /* somebody zeroed the pool, not the element */
	}
	return 0;
}

/* An element that is ours from now on; 0 when the pool has none or is busy (then *err says so). */
static u32 pool_pop(struct ebpf_map *map, u32 pool, u32 spare, int *err)
{
	struct htab_pool *p = pool_at(map, pool);
	u32 link;

	if (!READ_ONCE(p->head) && READ_ONCE(p->used) >= pool_range(map, pool))
		return 0;
	if (pool_lock(map, p)) {
		*err = -EBUSY;
		return 0;
	}
	link = pop_listed(map, p, spare);
	if (!link)
		link = pop_unused(map, pool, spare);
	ebpf_unlock(&p->lock);
	return link;
}

static int pool_push(struct ebpf_map *map, u32 pool, u32 link)
{
	struct htab_pool *p = pool_at(map, pool);
	struct htab_elem *e = elem_at(map, link);

	if (pool_lock(map, p))
		return -EBUSY;
	WRITE_ONCE(e->free, READ_ONCE(p->head));
	store_release(&p->head, link);
	set_state(e, FREE, READ_ONCE(e->state), NOBODY);
	ebpf_unlock(&p->lock);
	return 0;
}

/*
 * Two threads that run at once are on two CPUs: they take from two pools, and what they insert does
 * not lie in the same lines of the cache. Where the CPU is not known by a load, threads spread by
 * where their stacks are.
 */
static u32 near_pool(const struct ebpf_map *map)
{
	s64 cpu = osl_fault_cpu();

	if (unlikely(cpu < 0))
		cpu = (s64)(hash_u64((u64)(uintptr_t)__builtin_frame_address(0) >> 16, 0) >> 32);
	return (u32)cpu & ((u32)map->off[NR_POOLS] - 1);
}

int ebpf_htab_seize(struct ebpf_map *map, struct htab_elem *e, u32 state)
{
	for (u32 spin = 0; spin < EBPF_LOCK_SPINS; spin++) {
		u32 old = READ_ONCE(e->state);

		if (try_seize(e, state))
			return 0;
		if (spin % EBPF_LOCK_PROBE == 0 && state_owner_dead(old) &&
		    seize_from(e, old, state))
			return 0;
		arch_relax();
	}
	count(&head_of(map)->busy);
	return -EBUSY;
}

/* A free element into *link: 0, -E2BIG or -EBUSY. */
int ebpf_htab_take_free(struct ebpf_map *map, u32 *link)
{
	u32 n = (u32)map->off[NR_POOLS];
	u32 near = near_pool(map);
	int err = -E2BIG;
	u32 got;

	for (u32 i = 0; i < n; i++) {
		got = pool_pop(map, (near + i) & (n - 1), 0, &err);
		if (got) {
			*link = got;
			return 0;
		}
	}
	return err;
}

/* A spare, or else a free element; *spare says which. */
int ebpf_htab_take_spare(struct ebpf_map *map, u32 *link, u32 *spare)
{
	int err = 0;
	u32 got = pool_pop(map, spare_pool(map), STATE_SPARE, &err);

	*spare = got ? STATE_SPARE : 0;
	if (!got)
		return ebpf_htab_take_free(map, link) ? -EBUSY : 0;
	*link = got;
	return 0;
}

/* Give an element back that we hold. */
void ebpf_htab_give_back(struct ebpf_map *map, u32 link)
{
	struct htab_elem *e = elem_at(map, link);
	u32 spare = READ_ONCE(e->state) & STATE_SPARE;
	u32 n = (u32)map->off[NR_POOLS];
	u32 near = near_pool(map);

	if (spare && !pool_push(map, spare_pool(map), link))
		return;
	for (u32 i = 0; !spare && i < n; i++)
		if (!pool_push(map, (near + i) & (n - 1), link))
			return;
	set_state(e, HELD | spare, READ_ONCE(e->state), ORPHAN);
	__atomic_fetch_add(&head_of(map)->orphans, 1, __ATOMIC_RELAXED);
}

int ebpf_htab_repair_pools(struct ebpf_map *map)
{
	for (u32 pool = 0; pool <= spare_pool(map); pool++) {
		int err = pool_lock(map, pool_at(map, pool));

		if (err)
			return err;
		ebpf_unlock(&pool_at(map, pool)->lock);
	}
	return 0;
}

/* Taken from a pool's range, which does not know it yet: simply free. */
int ebpf_htab_reap_unused(struct ebpf_map *map, u32 link, u32 state, bool *done)
{
	u32 pool = home_pool(map, link);
	struct htab_pool *p = pool_at(map, pool);
	int err = pool_lock(map, p);

	if (err)
		return err;
	*done = link - pool_first(map, pool) >= READ_ONCE(p->used);
	if (*done && READ_ONCE(elem_at(map, link)->state) == state)
		set_state(elem_at(map, link), FREE, state, NOBODY);
	ebpf_unlock(&p->lock);
	return 0;
}

/* --- elements by their place ------------------------------------------------------------------ */

int ebpf_htab_elem_of(struct ebpf_map *map, u64 off, u32 *index, void **key, void **value)
{
	u64 at = (u64)(uintptr_t)map->base + off - map->off[AT_ELEMS];
	u64 i = at / map->stride;
	struct htab_elem *e;

	if (i >= map->off[NR_ELEMS])
		return -ENOENT;
	e = elem_at(map, (u32)i + 1);
	if (!is_linked(READ_ONCE(e->state)))
		return -ENOENT;
	*key = map->meta.key_size <= 4 ? (void *)&e->small : (void *)(e + 1);
	*value = elem_value(map, e);
	return 0;
}
