/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HASH, PERCPU_HASH, LRU_HASH and LRU_PERCPU_HASH.
 *
 * Layout: struct htab_head | pools | buckets | elements | per-CPU values or reference bytes.
 * All links are 1-based element numbers, so that zeroed memory is an empty table.
 *
 * Chains: a bucket is {lock, head}. Readers take no lock. An element that is freed keeps its `next`
 * (a reader may stand on it) and its memory (a program may hold its value); when it is used again
 * in another bucket, the reader that followed it ends at that bucket's end mark, CHAIN_END |
 * bucket, sees that it is not its own, and starts again.
 *
 * Free elements lie in pools, each a list behind an owned lock and a range never used so far. All
 * pools but the last hold max_entries elements together, so that the table is full exactly when
 * they are empty; they are several so that threads don't meet. The last holds spares for replacing
 * the value of an existing key, which must work in a full table, too.
 *
 * A process can be killed at any store. Whoever takes an element out of a pool or a chain first
 * writes HELD and its own number into the element's state; what it was doing takes effect with a
 * single store to a chain link. So a dead holder's element is either linked (then it is a member)
 * or not (then it goes back to a pool): reap() decides which. The update that was interrupted
 * either happened or did not.
 *
 * A value of at most 8 bytes, or one of a CPU's, is replaced in place, without the bucket's lock:
 * buckets of several keys share a line of the cache, elements of several threads do not. Whoever
 * does that first makes the element WRITTEN, with its number, if it is LINKED; who takes an element
 * out of its chain, or stores to it under the bucket's lock, waits until it is not, or takes it
 * over from a dead process. A longer one is written to a spare element that then takes the old
 * one's place in the chain: a reader sees the old value or the new. The state carries a generation,
 * so that a copy to user space can tell that the element was reused under it.
 */
#include "core/run/map/htab_impl.h"
#include "core/run/map/htab_key.h"
#include "core/run/map/special.h"
#include "core/run/prog.h"

#define MAX_RESTARTS 8u	  /* of one walk */
#define LRU_PATIENCE 128u /* elements looked at before a recently used one goes */
#define LRU_LIMIT 4096u	  /* elements looked at before giving up */
#define MAX_TRIES 8u	  /* of an operation that raced with others */

/* ---- readers --------------------------------------------------------------------------------- */

/*
 * One walk along a chain: the element's link, or 0 and in *end the link the walk ended at: 0 or the
 * bucket's own mark when the key is not there, something else when the walk was led astray.
 */
static inline __attribute__((always_inline)) u32 walk(const struct ebpf_map *map, u32 bucket,
						      const void *key, u32 ksz, u32 *end)
{
	u32 link = load_acquire(&bucket_at(map, bucket)->head);

	for (u32 steps = 0; is_elem(map, link) && steps <= map->meta.max_entries; steps++) {
		struct htab_elem *e = elem_at(map, link);

		if (likely(key_equal(map, e, key, ksz)))
			return link;
		link = load_acquire(&e->next);
	}
	*end = link;
	return 0;
}

static __noinline u32 find_again(const struct ebpf_map *map, u32 bucket, const void *key)
{
	u32 link, end = 0;

	for (u32 i = 0; i < MAX_RESTARTS; i++) {
		link = walk(map, bucket, key, 0, &end);
		if (link || !end || end == (CHAIN_END | bucket))
			return link;
		if (is_elem(map, end) || !(end & CHAIN_END))
			break; /* a cycle, or a link to nowhere */
	}
	if (!map->readonly)
		count(&head_of(map)->corrupt);
	return 0;
}

/* The bucket's first element was not it. */
static __noinline u32 find_behind(const struct ebpf_map *map, u32 bucket, const void *key)
{
	u32 end = 0;
	u32 link;

	switch (map->meta.key_size) {
	case 4:
		link = walk(map, bucket, key, 4, &end);
		break;
	case 8:
		link = walk(map, bucket, key, 8, &end);
		break;
	case 16:
		link = walk(map, bucket, key, 16, &end);
		break;
	default:
		link = walk(map, bucket, key, 0, &end);
	}
	if (likely(link) || likely(end == 0 || end == (CHAIN_END | bucket)))
		return link;
	return find_again(map, bucket, key);
}

static inline __attribute__((always_inline)) u32 find(const struct ebpf_map *map, const void *key,
						      u32 ksz)
{
	u32 bucket = bucket_of(map, key_hash(map, key, ksz));
	u32 link = load_acquire(&bucket_at(map, bucket)->head);

	if (likely(is_elem(map, link)) && likely(key_equal(map, elem_at(map, link), key, ksz)))
		return link;
	return link ? find_behind(map, bucket, key) : 0;
}

static u32 find_any(const struct ebpf_map *map, const void *key)
{
	switch (map->meta.key_size) {
	case 4:
		return find(map, key, 4);
	case 8:
		return find(map, key, 8);
	case 16:
		return find(map, key, 16);
	default:
		return find(map, key, 0);
	}
}

static inline void mark_used(const struct ebpf_map *map, u32 link)
{
	u8 *used = used_byte(map, link);

	if (!READ_ONCE(*used) && !map->readonly)
		WRITE_ONCE(*used, 1);
}

/* Where an element's value lies: known when the key's size is. */
static inline __attribute__((always_inline)) u64 value_at(const struct ebpf_map *map, u32 ksz)
{
	if (ksz == 4)
		return sizeof(struct htab_elem);
	return ksz ? sizeof(struct htab_elem) + ksz : map->off[OFF_VALUE];
}

/* What lookup of a type does with key size @ksz; @lru and @percpu are constants. */
static inline __attribute__((always_inline)) void *lookup_as(struct ebpf_map *map, const void *key,
							     u32 ksz, bool lru, bool percpu)
{
	u32 link = find(map, key, ksz);

	if (unlikely(!link))
		return NULL;
	if (lru)
		mark_used(map, link);
	if (percpu)
		return cpu_value(map, link, ebpf_map_cpu(map));
	return (u8 *)elem_at(map, link) + value_at(map, ksz);
}

/* ---- writers: all under the bucket's lock ---------------------------------------------------- */

static int bucket_lock(struct ebpf_map *map, u32 bucket)
{
	int err = ebpf_lock(&bucket_at(map, bucket)->lock);

	if (err >= 0)
		return 0; /* a dead owner leaves a chain whole */
	count(&head_of(map)->busy);
	return err;
}

static void bucket_unlock(struct ebpf_map *map, u32 bucket)
{
	ebpf_unlock(&bucket_at(map, bucket)->lock);
}

/*
 * The link that leads to the element with @key (or, without a key, to element *link itself), its
 * value in *link. NULL: not in this chain.
 */
static u32 *find_link(struct ebpf_map *map, u32 bucket, const void *key, u32 *link)
{
	u32 *from = &bucket_at(map, bucket)->head;
	u32 at = load_acquire(from);

	for (u32 steps = 0; is_elem(map, at) && steps <= map->meta.max_entries; steps++) {
		struct htab_elem *e = elem_at(map, at);

		if (key ? same_key(map, e, key) : at == *link) {
			*link = at;
			return from;
		}
		from = &e->next;
		at = load_acquire(from);
	}
	return NULL;
}

/* Where a chain goes on, fit to be stored in a link. */
static u32 rest_of_chain(struct ebpf_map *map, u32 bucket, u32 *from)
{
	u32 link = READ_ONCE(*from);

	return is_elem(map, link) ? link : CHAIN_END | bucket;
}

enum value_form { ONE_VALUE, THIS_CPU, ALL_CPUS };

/*
 * A value that is too large to have been copied first still lies in the program's memory. It is
 * read with care: a fault under the bucket's lock would leave it locked by a live process.
 */
static inline int value_in(const struct ebpf_map *map, void *shared, const void *value)
{
	u32 size = map->meta.value_size;

	if (unlikely(ebpf_map_special(map)))
		return ebpf_special_in(map, shared, value);
	if (unlikely(size > EBPF_COPY_FIRST))
		return osl_read(shared, value, size);
	ebpf_copy_in(shared, value, size);
	return 0;
}

static int write_cpus(struct ebpf_map *map, u32 link, const void *value, enum value_form form,
		      bool fresh)
{
	u32 stride = ebpf_value_stride(&map->meta);
	u32 here = form == THIS_CPU ? ebpf_map_cpu(map) : 0;
	int err = 0;

	for (u32 cpu = 0; cpu < map->meta.nr_cpus; cpu++) {
		if (form == ALL_CPUS)
			ebpf_copy_in(cpu_value(map, link, cpu),
				     (const u8 *)value + (u64)cpu * stride, stride);
		else if (cpu == here)
			err = value_in(map, cpu_value(map, link, cpu), value);
		else if (fresh)
			ebpf_zero(cpu_value(map, link, cpu), stride);
	}
	return err;
}

static int write_value(struct ebpf_map *map, u32 link, const void *value, enum value_form form,
		       bool fresh)
{
	if (form == ONE_VALUE)
		return value_in(map, elem_value(map, elem_at(map, link)), value);
	return write_cpus(map, link, value, form, fresh);
}

/* The value comes before the key: who finds the key finds the value. */
static int fill(struct ebpf_map *map, u32 link, const void *key, const void *value,
		enum value_form form)
{
	int err = write_value(map, link, value, form, true);

	if (err)
		return err;
	if (unlikely(ebpf_map_special(map)))
		ebpf_special_init(map, elem_value(map, elem_at(map, link)));
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (is_lru(map->meta.type))
		WRITE_ONCE(*used_byte(map, link), 0);
	return key_in(map, elem_at(map, link), key);
}

/* Put element @link where *from leads now, followed by @rest: the store that makes it happen. */
static void publish(struct ebpf_map *map, u32 *from, u32 link, u32 rest)
{
	struct htab_elem *e = elem_at(map, link);

	WRITE_ONCE(e->next, rest);
	store_release(from, link);
	set_linked(e);
}

static int insert(struct ebpf_map *map, u32 bucket, const void *key, const void *value,
		  enum value_form form, u32 *held)
{
	u32 *head = &bucket_at(map, bucket)->head;
	int err = *held ? 0 : ebpf_htab_take_free(map, held);

	if (!err)
		err = fill(map, *held, key, value, form);
	if (err)
		return err;
	publish(map, head, *held, rest_of_chain(map, bucket, head));
	*held = 0;
	return 0;
}

static int replace_in_place(struct ebpf_map *map, u32 old, const void *value, enum value_form form)
{
	struct htab_elem *e = elem_at(map, old);
	int err = ebpf_htab_seize(map, e, WRITTEN);

	if (err)
		return err;
	err = write_value(map, old, value, form, false);
	set_linked(e);
	ebpf_special_stop(map, elem_value(map, e));
	return err;
}

static int replace(struct ebpf_map *map, u32 bucket, u32 *from, u32 old, const void *key,
		   const void *value, enum value_form form, u32 *held)
{
	struct htab_elem *e = elem_at(map, old);
	u32 spare = 0;
	int err;

	if (ebpf_htab_in_place(&map->meta))
		return replace_in_place(map, old, value, form);
	err = *held ? 0 : ebpf_htab_take_spare(map, held, &spare);
	if (!err)
		err = fill(map, *held, key, value, form);
	if (err)
		return err;
	hold(e, spare);
	publish(map, from, *held, rest_of_chain(map, bucket, &e->next));
	ebpf_special_stop(map, elem_value(map, e));
	*held = old;
	return 0;
}

/* BPF_F_LOCK: the value stays where it is, and nobody sees half of the change. */
static int store_under_lock(struct ebpf_map *map, u32 link, const void *value)
{
	void *shared = elem_value(map, elem_at(map, link));
	u32 *lock = ebpf_value_lock(map, shared);
	int err = ebpf_value_lock_take(lock);

	if (err)
		return err;
	err = ebpf_special_in(map, shared, value);
	ebpf_unlock(lock);
	return err;
}

/*
 * @held is an element the caller has (0: none); afterwards one that it must give back (0: none).
 * -E2BIG: it takes another element to go on.
 */
static int store_locked(struct ebpf_map *map, u32 bucket, const void *key, const void *value,
			u64 flags, enum value_form form, u32 *held)
{
	u32 old = 0;
	u32 *from = find_link(map, bucket, key, &old);

	if (from && (flags & ~(u64)BPF_F_LOCK) == BPF_NOEXIST)
		return -EEXIST;
	if (!from && (flags & ~(u64)BPF_F_LOCK) == BPF_EXIST)
		return -ENOENT;
	if (from && (flags & BPF_F_LOCK))
		return store_under_lock(map, old, value);
	if (from)
		return replace(map, bucket, from, old, key, value, form, held);
	return insert(map, bucket, key, value, form, held);
}

/* An element that we hold. */
static void unlink_elem(struct ebpf_map *map, u32 bucket, u32 *from, u32 link)
{
	struct htab_elem *e = elem_at(map, link);

	store_release(from, rest_of_chain(map, bucket, &e->next));
	ebpf_special_stop(map, elem_value(map, e));
}

/* ---- making room ----------------------------------------------------------------------------- */

/* Take one victim out of the table, unless its bucket is busy, or it. */
static bool evict_one(struct ebpf_map *map, u32 link)
{
	struct htab_elem *e = elem_at(map, link);
	u32 bucket = elem_bucket(map, e);
	u32 *from;

	if (!ebpf_trylock(&bucket_at(map, bucket)->lock))
		return false;
	from = find_link(map, bucket, NULL, &link);
	if (from && !try_seize(e, HELD))
		from = NULL;
	if (from)
		unlink_elem(map, bucket, from, link);
	bucket_unlock(map, bucket);
	if (from) {
		hold_new(e, 0);
		count(&head_of(map)->evicted);
	}
	return from;
}

/*
 * The clock: the hand goes round, an element that was looked up since the last round is spared
 * once. After some patience anything goes, so that a table in heavy use costs no more than a
 * bounded walk.
 */
static int evict(struct ebpf_map *map, u32 *held)
{
	u32 n = (u32)map->off[NR_ELEMS];

	for (u32 looked = 0; looked < LRU_LIMIT; looked++) {
		u32 link = __atomic_fetch_add(&head_of(map)->hand, 1, __ATOMIC_RELAXED) % n + 1;
		u8 *used = used_byte(map, link);

		if (!is_linked(READ_ONCE(elem_at(map, link)->state)))
			continue;
		if (READ_ONCE(*used) && looked < LRU_PATIENCE) {
			WRITE_ONCE(*used, 0);
			continue;
		}
		if (evict_one(map, link)) {
			*held = link;
			return 0;
		}
	}
	return -ENOMEM;
}

static u32 htab_reap(struct ebpf_map *map);

/* The pools are empty. 0: try again. */
static int make_room(struct ebpf_map *map, u32 *held)
{
	u32 *orphans = &head_of(map)->orphans;

	if (READ_ONCE(*orphans) && __atomic_exchange_n(orphans, 0, __ATOMIC_RELAXED) &&
	    htab_reap(map))
		return 0;
	return is_lru(map->meta.type) ? evict(map, held) : -E2BIG;
}

static int store(struct ebpf_map *map, const void *key, const void *value, u64 flags,
		 enum value_form form)
{
	u32 bucket = bucket_of(map, hash_of(map, key));
	u32 held = 0;
	int err;

	if ((flags & ~(u64)BPF_F_LOCK) > BPF_EXIST || ((flags & BPF_F_LOCK) && !map->meta.lock_at))
		return -EINVAL;
	if (map->readonly)
		return -EPERM;
	for (u32 i = 0; i < MAX_TRIES; i++) {
		err = bucket_lock(map, bucket);
		if (err)
			break;
		err = store_locked(map, bucket, key, value, flags, form, &held);
		bucket_unlock(map, bucket);
		if (err != -E2BIG)
			break;
		err = make_room(map, &held);
		if (err)
			break;
	}
	if (held)
		ebpf_htab_give_back(map, held);
	return err;
}

/* ---- operations ------------------------------------------------------------------------------ */

static inline bool may_overwrite(const struct ebpf_map *map, u64 flags, bool percpu)
{
	return (flags == BPF_ANY || flags == BPF_EXIST) && !map->readonly &&
	       map->meta.value_size <= (percpu ? EBPF_COPY_FIRST : 8) && !ebpf_map_special(map);
}

/*
 * The usual update, of a value that is there and is replaced in place: once the element is WRITTEN
 * it stays what it is, and where. True when it is done.
 */
static inline __attribute__((always_inline)) bool
overwrite(struct ebpf_map *map, u32 link, const void *key, const void *value, u32 ksz, bool percpu)
{
	struct htab_elem *e = elem_at(map, link);
	u32 size = map->meta.value_size, state = READ_ONCE(e->state);
	u64 *to, word;

	if (unlikely(state_kind(state) != LINKED) || unlikely(!seize_from(e, state, WRITTEN)))
		return false;
	if (unlikely(!key_equal(map, e, key, ksz))) {
		set_linked(e);
		return false;
	}
	to = percpu ? cpu_value(map, link, ebpf_map_cpu(map))
		    : (void *)((u8 *)e + value_at(map, ksz));
	if (likely(size == sizeof(word))) {
		__builtin_memcpy(&word, value, sizeof(word));
		WRITE_ONCE(*to, word);
	} else {
		ebpf_copy_in(to, value, size);
	}
	set_state(e, LINKED, state, NOBODY);
	return true;
}

/*
 * The usual insertion, into an empty bucket: the element is filled before the bucket is locked,
 * which then only has to be still empty. True when it is done.
 */
static __noinline bool insert_first(struct ebpf_map *map, u32 bucket, const void *key,
				    const void *value, enum value_form form)
{
	struct htab_bucket *b = bucket_at(map, bucket);
	bool empty;
	u32 link;

	if (ebpf_htab_take_free(map, &link))
		return false;
	if (fill(map, link, key, value, form) || !ebpf_lock_cas(&b->lock, 0, ebpf_lock_self())) {
		ebpf_htab_give_back(map, link);
		return false;
	}
	empty = !is_elem(map, READ_ONCE(b->head));
	if (likely(empty))
		publish(map, &b->head, link, CHAIN_END | bucket);
	ebpf_unlock(&b->lock);
	if (unlikely(!empty))
		ebpf_htab_give_back(map, link);
	return empty;
}

static inline bool may_insert(const struct ebpf_map *map, u64 flags)
{
	return (flags == BPF_ANY || flags == BPF_NOEXIST) && !map->readonly &&
	       map->meta.value_size <= EBPF_COPY_FIRST && !ebpf_map_special(map);
}

/* Not the first of its bucket, or not there, or its bucket was busy. */
static __noinline int update_other(struct ebpf_map *map, const void *key, const void *value,
				   u64 flags)
{
	bool percpu = is_percpu(map->meta.type);
	u32 bucket = bucket_of(map, hash_of(map, key));
	u32 link = 0;

	if (!is_elem(map, READ_ONCE(bucket_at(map, bucket)->head)) && may_insert(map, flags) &&
	    insert_first(map, bucket, key, value, percpu ? THIS_CPU : ONE_VALUE))
		return 0;
	if (may_overwrite(map, flags, percpu))
		link = find_behind(map, bucket, key);
	if (link && overwrite(map, link, key, value, 0, percpu))
		return 0;
	return store(map, key, value, flags, percpu ? THIS_CPU : ONE_VALUE);
}

static inline __attribute__((always_inline)) int
update_as(struct ebpf_map *map, const void *key, const void *value, u64 flags, u32 ksz, bool percpu)
{
	u32 bucket = bucket_of(map, key_hash(map, key, ksz));
	u32 link = load_acquire(&bucket_at(map, bucket)->head);

	if (likely(is_elem(map, link)) && likely(key_equal(map, elem_at(map, link), key, ksz)) &&
	    likely(may_overwrite(map, flags, percpu)) &&
	    likely(overwrite(map, link, key, value, ksz, percpu)))
		return 0;
	return update_other(map, key, value, flags);
}

static int htab_update_user(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	return store(map, key, value, flags, is_percpu(map->meta.type) ? ALL_CPUS : ONE_VALUE);
}

static void read_value(struct ebpf_map *map, u32 link, void *value)
{
	u32 stride = ebpf_value_stride(&map->meta);

	if (!is_percpu(map->meta.type)) {
		ebpf_copy_out(value, elem_value(map, elem_at(map, link)), map->meta.value_size);
		ebpf_special_hide(map, value);
		return;
	}
	for (u32 cpu = 0; cpu < map->meta.nr_cpus; cpu++)
		ebpf_copy_out((u8 *)value + (u64)cpu * stride, cpu_value(map, link, cpu), stride);
}

/* Take @key out; its value into @value unless that is NULL. */
static int remove_key(struct ebpf_map *map, const void *key, void *value)
{
	u32 bucket = bucket_of(map, hash_of(map, key));
	u32 link = 0;
	u32 *from;
	int err;

	if (map->readonly)
		return -EPERM;
	err = bucket_lock(map, bucket);
	if (err)
		return err;
	from = find_link(map, bucket, key, &link);
	err = from ? ebpf_htab_seize(map, elem_at(map, link), HELD) : -ENOENT;
	if (!err && value)
		read_value(map, link, value);
	if (!err)
		unlink_elem(map, bucket, from, link);
	bucket_unlock(map, bucket);
	if (!err)
		ebpf_htab_give_back(map, link);
	return err;
}

/* The usual deletion: of the first of its bucket. */
static inline __attribute__((always_inline)) int del_as(struct ebpf_map *map, const void *key,
							u32 ksz)
{
	u32 bucket = bucket_of(map, key_hash(map, key, ksz));
	struct htab_bucket *b = bucket_at(map, bucket);
	u32 link = load_acquire(&b->head);

	if (unlikely(map->readonly) || unlikely(ebpf_map_special(map)) || !is_elem(map, link) ||
	    !key_equal(map, elem_at(map, link), key, ksz) ||
	    !ebpf_lock_cas(&b->lock, 0, ebpf_lock_self()))
		return remove_key(map, key, NULL);
	if (unlikely(READ_ONCE(b->head) != link) ||
	    unlikely(!key_equal(map, elem_at(map, link), key, ksz)) ||
	    unlikely(!try_seize(elem_at(map, link), HELD))) {
		ebpf_unlock(&b->lock);
		return remove_key(map, key, NULL);
	}
	store_release(&b->head, rest_of_chain(map, bucket, &elem_at(map, link)->next));
	ebpf_unlock(&b->lock);
	ebpf_htab_give_back(map, link);
	return 0;
}

static int htab_lookup_delete(struct ebpf_map *map, const void *key, void *value)
{
	return remove_key(map, key, value);
}

/* Did @e stay the same element since its state was @before? */
static bool undisturbed(struct htab_elem *e, u32 before)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return ((READ_ONCE(e->state) ^ before) & STATE_GENS) == 0;
}

/* With BPF_F_LOCK nobody sees half of a change that a program makes under the lock. */
static int read_under_lock(struct ebpf_map *map, u32 link, void *value)
{
	u32 *lock = ebpf_value_lock(map, elem_value(map, elem_at(map, link)));
	int err = ebpf_value_lock_take(lock);

	if (err)
		return err;
	read_value(map, link, value);
	ebpf_unlock(lock);
	return 0;
}

static int htab_lookup_user(struct ebpf_map *map, const void *key, void *value, u64 flags)
{
	int err = 0;

	if (flags && (flags != BPF_F_LOCK || !map->meta.lock_at || map->readonly))
		return -EINVAL;
	for (u32 i = 0; i < MAX_RESTARTS; i++) {
		u32 link = find_any(map, key);
		struct htab_elem *e;
		u32 before;

		if (!link)
			return -ENOENT;
		e = elem_at(map, link);
		before = load_acquire(&e->state);
		if (!same_key(map, e, key))
			continue;
		if (flags)
			err = read_under_lock(map, link, value);
		else
			read_value(map, link, value);
		if (err || undisturbed(e, before))
			return err;
	}
	return -EBUSY;
}

/*
 * The key of the element at @link into @next, if that element is in the chain of @bucket. An
 * element that was reused meanwhile is not.
 */
static bool copy_key(struct ebpf_map *map, u32 bucket, u32 link, void *next)
{
	struct htab_elem *e = elem_at(map, link);
	u32 before = load_acquire(&e->state);

	if (elem_bucket(map, e) != bucket)
		return false;
	key_out(map, e, next);
	return undisturbed(e, before);
}

/*
 * Is there an element with @key in the chain of @bucket before @last? Only when links were
 * scribbled on; a walk over all keys must come to its end nevertheless.
 */
static bool comes_before(struct ebpf_map *map, u32 bucket, const void *key, u32 last)
{
	u32 link = load_acquire(&bucket_at(map, bucket)->head);

	for (u32 steps = 0; is_elem(map, link) && steps <= map->meta.max_entries; steps++) {
		if (same_key(map, elem_at(map, link), key))
			return true;
		if (link == last)
			return false;
		link = load_acquire(&elem_at(map, link)->next);
	}
	return false;
}

/* The first key of the buckets from @bucket on. */
static int first_from(struct ebpf_map *map, u32 bucket, void *next)
{
	for (; bucket <= map->mask; bucket++) {
		for (u32 i = 0; i < MAX_RESTARTS; i++) {
			u32 link = load_acquire(&bucket_at(map, bucket)->head);

			if (!is_elem(map, link))
				break;
			if (copy_key(map, bucket, link, next))
				return 0;
		}
	}
	return -ENOENT;
}

static int htab_next(struct ebpf_map *map, const void *key, void *next)
{
	u32 bucket = key ? bucket_of(map, hash_of(map, key)) : 0;

	for (u32 i = 0; i < MAX_RESTARTS; i++) {
		u32 at = key ? find_any(map, key) : 0;
		u32 link;

		if (!at)
			return first_from(map, 0, next);
		link = load_acquire(&elem_at(map, at)->next);
		if (!is_elem(map, link))
			break;
		if (copy_key(map, bucket, link, next)) {
			if (comes_before(map, bucket, next, at))
				break;
			return 0;
		}
	}
	return first_from(map, bucket + 1, next);
}

static int htab_next_in(struct ebpf_map *map, u32 bucket, const void *key, void *next)
{
	u32 at, link;

	if (bucket > map->mask)
		return -EINVAL;
	if (key) {
		at = find_any(map, key);
		if (!at)
			return -EAGAIN;
		link = load_acquire(&elem_at(map, at)->next);
	} else {
		link = load_acquire(&bucket_at(map, bucket)->head);
	}
	if (!is_elem(map, link))
		return -ENOENT;
	return copy_key(map, bucket, link, next) ? 0 : -EAGAIN;
}

static void *htab_lookup_cpu(struct ebpf_map *map, const void *key, u32 cpu)
{
	u32 link = cpu < map->meta.nr_cpus ? find_any(map, key) : 0;

	if (!link)
		return NULL;
	if (is_lru(map->meta.type))
		mark_used(map, link);
	return cpu_value(map, link, cpu);
}

static void *program_value(struct ebpf_map *map, u32 link)
{
	if (is_percpu(map->meta.type))
		return cpu_value(map, link, ebpf_map_cpu(map));
	return elem_value(map, elem_at(map, link));
}

/* The callback may delete the element it is given, which keeps its link. */
static s64 htab_for_each(struct ebpf_map *map, struct ebpf_run *run, u64 fn, u64 cb_ctx)
{
	s64 visited = 0;

	for (u32 bucket = 0; bucket <= map->mask; bucket++) {
		u32 link = load_acquire(&bucket_at(map, bucket)->head);

		while (is_elem(map, link) && visited < (s64)map->off[NR_ELEMS]) {
			struct htab_elem *e = elem_at(map, link);

			if (elem_bucket(map, e) != bucket)
				break;
			visited++;
			if (run->callback(run, fn, (u64)(uintptr_t)map,
					  (u64)(uintptr_t)key_of(map, e),
					  (u64)(uintptr_t)program_value(map, link), cb_ctx, 0))
				return visited;
			link = load_acquire(&e->next);
		}
	}
	return visited;
}

/* ---- after a death --------------------------------------------------------------------------- */

/*
 * The holder of @link is dead. Under the lock of its bucket: a member stays one; what is not in the
 * chain is ours now (true), unless somebody else was faster.
 */
static bool reap_claim(struct ebpf_map *map, u32 link, u32 state)
{
	struct htab_elem *e = elem_at(map, link);
	u32 mine = HELD | (state & (STATE_SPARE | STATE_GENS)) | self_owner() << 16;
	u32 bucket = elem_bucket(map, e);
	bool claimed = false;

	if (bucket_lock(map, bucket))
		return false;
	if (!find_link(map, bucket, NULL, &link))
		claimed = __atomic_compare_exchange_n(&e->state, &state, mine, false,
						      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	else if (READ_ONCE(e->state) == state)
		set_linked(e);
	bucket_unlock(map, bucket);
	return claimed;
}

static u32 reap_elem(struct ebpf_map *map, u32 link)
{
	struct htab_elem *e = elem_at(map, link);
	u32 state = READ_ONCE(e->state);
	bool done;

	if (unlikely(state_kind(state) == WRITTEN) && state_owner_dead(state) &&
	    seize_from(e, state, WRITTEN))
		set_linked(e);
	if (likely(state_kind(state) != HELD) || !state_owner_dead(state))
		return 0;
	if (ebpf_htab_reap_unused(map, link, state, &done))
		return 0;
	if (!done) {
		if (!reap_claim(map, link, state))
			return 0;
		ebpf_htab_give_back(map, link);
	}
	count(&head_of(map)->recovered);
	return 1;
}

static u32 htab_reap(struct ebpf_map *map)
{
	u32 recovered = 0;

	if (ebpf_htab_repair_pools(map))
		return 0;
	for (u32 bucket = 0; bucket <= map->mask; bucket++) {
		u32 *lock = &bucket_at(map, bucket)->lock;
		u32 owner = READ_ONCE(*lock);

		if (unlikely(owner) && ebpf_lock_owner_dead(owner))
			ebpf_lock_cas(lock, owner, 0);
	}
	for (u32 link = 1; link <= (u32)map->off[NR_ELEMS]; link++)
		recovered += reap_elem(map, link);
	return recovered;
}

/* ---- the tables: one for each type and size of key that has code of its own ------------------ */

static void htab_bind(struct ebpf_map *map);

#define HTAB_OPS(NAME, F, PERCPU)                                                                  \
	{                                                                                          \
		.name = NAME, .check = ebpf_htab_check, .size = ebpf_htab_size, .bind = htab_bind, \
		.lookup = F##_lookup, .update = F##_update, .del = F##_del, .next = htab_next,     \
		.next_in = htab_next_in, .lookup_user = htab_lookup_user,                          \
		.update_user = htab_update_user, .lookup_delete_user = htab_lookup_delete,         \
		.for_each = htab_for_each, .elem_of = ebpf_htab_elem_of,                           \
		.lookup_cpu = (PERCPU) ? htab_lookup_cpu : NULL, .reap = htab_reap,                \
		.shape = ebpf_htab_shape,                                                          \
	}

/* Each begins a line of its own: what it costs does not depend on what stands before it. */
#define HTAB_CODE(F, KSZ, LRU, PERCPU)                                                             \
	static __cacheline_aligned void *F##_lookup(struct ebpf_map *map, const void *key)         \
	{                                                                                          \
		return lookup_as(map, key, KSZ, LRU, PERCPU);                                      \
	}                                                                                          \
	static __cacheline_aligned int F##_update(struct ebpf_map *map, const void *key,           \
						  const void *value, u64 flags)                    \
	{                                                                                          \
		return update_as(map, key, value, flags, KSZ, PERCPU);                             \
	}                                                                                          \
	static __cacheline_aligned int F##_del(struct ebpf_map *map, const void *key)              \
	{                                                                                          \
		return del_as(map, key, KSZ);                                                      \
	}

#define HTAB_TYPE(F, NAME, LRU, PERCPU)                                                            \
	HTAB_CODE(F##_4, 4, LRU, PERCPU)                                                           \
	HTAB_CODE(F##_8, 8, LRU, PERCPU)                                                           \
	HTAB_CODE(F##_16, 16, LRU, PERCPU)                                                         \
	HTAB_CODE(F, 0, LRU, PERCPU)                                                               \
	static const struct ebpf_map_ops F##_4_ops = HTAB_OPS(NAME, F##_4, PERCPU);                \
	static const struct ebpf_map_ops F##_8_ops = HTAB_OPS(NAME, F##_8, PERCPU);                \
	static const struct ebpf_map_ops F##_16_ops = HTAB_OPS(NAME, F##_16, PERCPU);              \
	const struct ebpf_map_ops ebpf_##F##_ops = HTAB_OPS(NAME, F, PERCPU);

HTAB_TYPE(hash, "hash", false, false)
HTAB_TYPE(percpu_hash, "percpu_hash", false, true)
HTAB_TYPE(lru_hash, "lru_hash", true, false)
HTAB_TYPE(lru_percpu_hash, "lru_percpu_hash", true, true)

#define HTAB_PICK(F)                                                                               \
	(size == 4    ? &F##_4_ops                                                                 \
	 : size == 8  ? &F##_8_ops                                                                 \
	 : size == 16 ? &F##_16_ops                                                                \
		      : &ebpf_##F##_ops)

static void htab_bind(struct ebpf_map *map)
{
	u32 size = map->meta.key_size;

	ebpf_htab_layout(map);
	switch (map->meta.type) {
	case BPF_MAP_TYPE_HASH:
		map->ops = HTAB_PICK(hash);
		break;
	case BPF_MAP_TYPE_PERCPU_HASH:
		map->ops = HTAB_PICK(percpu_hash);
		break;
	case BPF_MAP_TYPE_LRU_HASH:
		map->ops = HTAB_PICK(lru_hash);
		break;
	default:
		map->ops = HTAB_PICK(lru_percpu_hash);
	}
}
