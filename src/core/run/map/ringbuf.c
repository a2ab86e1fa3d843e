/* SPDX-License-Identifier: BSD-2-Clause */
/* RINGBUF: see ringbuf.h for the model and the rules. */
#include "core/run/map/ringbuf.h"
#include "core/run/map/lock.h"
#include "core/run/map/map_impl.h"

#define SHORT 256u /* bytes, at most, that are copied under the lock */
#define MAX_RECORD (UINT32_MAX / 4)
#define LEN_MASK (~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT))
#define WAKEUP_FLAGS ((u64)(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP))

struct ring_consumer {
	u64 pos;
};

struct ring_producer {
	u64 pos;
	u32 lock;
	u32 pad;
	u64 dropped;
	u64 corrupt;
	u64 reaped;
};

_Static_assert(offsetof(struct ring_producer, dropped) == EBPF_RINGBUF_DROPPED - EBPFRT_PAGE_SIZE,
	       "where readers look");

struct ring_header {
	u32 len;
	u32 owner;
};

static struct ring_consumer *consumer(const struct ebpf_map *map)
{
	return (struct ring_consumer *)map->base;
}

static struct ring_producer *producer(const struct ebpf_map *map)
{
	return (struct ring_producer *)(map->base + EBPFRT_PAGE_SIZE);
}

static struct ring_header *record_at(const struct ebpf_map *map, u64 pos)
{
	return (struct ring_header *)(map->base + EBPF_RINGBUF_DATA + (pos & map->mask & ~7ull));
}

static u64 record_size(u32 len)
{
	return ALIGN_UP((u64)len + EBPF_RINGBUF_HDR, 8ull);
}

static int ringbuf_check(const struct ebpf_map_meta *meta)
{
	if (meta->map_flags & ~BPF_F_NUMA_NODE || meta->map_extra)
		return -EINVAL;
	if (meta->key_size || meta->value_size || !IS_POW2(meta->max_entries) ||
	    meta->max_entries % EBPFRT_PAGE_SIZE)
		return -EINVAL;
	return 0;
}

static u64 ringbuf_size(const struct ebpf_map_meta *meta)
{
	return EBPF_RINGBUF_DATA + meta->max_entries;
}

static void ringbuf_bind(struct ebpf_map *map)
{
	map->mask = map->meta.max_entries - 1;
}

/* ---- producers ------------------------------------------------------------------------------- */

/*
 * The first access to a page is a load: then the kernel maps those around it, too, if they exist,
 * where a store would be given that page alone, and a fault costs as much as twenty records.
 */
static inline void enter_page(const u8 *record, u64 size)
{
	const u8 *behind = record + size;

	if (unlikely(((u64)record ^ (u64)behind) >= EBPFRT_PAGE_SIZE))
		(void)READ_ONCE(*behind);
}

/*
 * Under the lock: the memory of a record of @size bytes, its header included, at position @pos. A
 * reader's position from the future leaves no room, as does a full ring.
 */
static inline struct ring_header *room(const struct ebpf_map *map, u64 pos, u64 size)
{
	struct ring_header *hdr = record_at(map, pos);

	if (pos % 8 || pos + size - load_acquire(&consumer(map)->pos) > map->mask)
		return NULL;
	enter_page((const u8 *)hdr, size);
	return hdr;
}

static inline void describe(struct ring_header *hdr, u32 word)
{
	WRITE_ONCE(hdr->len, word);
	WRITE_ONCE(hdr->owner, ebpf_lock_self());
}

/* Another record like this one will want the line behind it, which is likely in no cache yet. */
static inline void fetch_next(const struct ring_header *hdr, u64 size)
{
	__builtin_prefetch((const u8 *)hdr + 2 * size - 8, 1);
}

static inline bool fits(const struct ebpf_map *map, u64 len)
{
	return len <= MAX_RECORD && record_size((u32)len) <= map->meta.max_entries &&
	       !map->readonly;
}

static void drop(struct ebpf_map *map)
{
	__atomic_fetch_add(&producer(map)->dropped, 1, __ATOMIC_RELAXED);
}

static struct ring_header *reserve_locked(struct ebpf_map *map, u32 len)
{
	struct ring_producer *p = producer(map);
	u64 pos = READ_ONCE(p->pos), size = record_size(len);
	struct ring_header *hdr = room(map, pos, size);

	if (!hdr)
		return NULL;
	describe(hdr, len | BPF_RINGBUF_BUSY_BIT);
	store_release(&p->pos, pos + size);
	fetch_next(hdr, size);
	return hdr;
}

static inline struct ring_header *reserve(struct ebpf_map *map, u64 len)
{
	struct ring_producer *p = producer(map);
	struct ring_header *hdr = NULL;

	if (!fits(map, len))
		return NULL;
	if (likely(ebpf_lock(&p->lock) >= 0)) {
		hdr = reserve_locked(map, (u32)len);
		ebpf_unlock(&p->lock);
	}
	if (unlikely(!hdr))
		drop(map);
	return hdr;
}

/*
 * The exchange orders the header before the look at the reader's position: either we see that the
 * reader has come to this record and wake it, or it sees the record. Without a look a store will
 * do.
 */
static inline void commit(struct ebpf_map *map, struct ring_header *hdr, u32 len, u64 flags)
{
	u64 pos = (u64)((u8 *)hdr - map->base) - EBPF_RINGBUF_DATA;

	if (flags & WAKEUP_FLAGS) {
		store_release(&hdr->len, len);
		if (flags & BPF_RB_FORCE_WAKEUP)
			osl_ring(map->meta.bell);
		return;
	}
	__atomic_exchange_n(&hdr->len, len, __ATOMIC_SEQ_CST);
	if ((load_acquire(&consumer(map)->pos) & map->mask) == pos)
		osl_ring(map->meta.bell);
}

static s64 output_long(struct ebpf_map *map, const void *data, u64 size, u64 flags)
{
	struct ring_header *hdr = reserve(map, size);

	if (unlikely(!hdr))
		return -EAGAIN;
	if (unlikely(osl_read(hdr + 1, data, size))) {
		commit(map, hdr, (u32)size | BPF_RINGBUF_DISCARD_BIT, BPF_RB_NO_WAKEUP);
		return -EFAULT;
	}
	commit(map, hdr, (u32)size, flags);
	return 0;
}

/* Under the lock: a record at position @pos that nobody ever sees in progress. */
static inline s64 append_locked(struct ebpf_map *map, u64 pos, const void *data, u32 len)
{
	struct ring_producer *p = producer(map);
	u64 size = record_size(len);
	struct ring_header *hdr = room(map, pos, size);

	if (unlikely(!hdr))
		return -EAGAIN;
	if (unlikely(osl_read(hdr + 1, data, len)))
		return -EFAULT;
	describe(hdr, len);
	store_release(&p->pos, pos + size);
	fetch_next(hdr, size);
	return 0;
}

/*
 * A short record is copied under the lock. Two producers' records lie in one line of the cache, and
 * a copy made later would have to fetch that line back from who has come next, who wants it again
 * to fill his own. As for the exchange, see commit(): here it is the position that makes the record
 * seen.
 */
static inline s64 output_short(struct ebpf_map *map, const void *data, u32 len, u64 flags)
{
	struct ring_producer *p = producer(map);
	s64 err = -EAGAIN;
	u64 pos = 0;

	if (!fits(map, len))
		return err;
	if (likely(ebpf_lock(&p->lock) >= 0)) {
		pos = READ_ONCE(p->pos);
		err = append_locked(map, pos, data, len);
		if (flags)
			ebpf_unlock(&p->lock);
		else
			__atomic_exchange_n(&p->lock, 0, __ATOMIC_SEQ_CST);
	}
	if (unlikely(err == -EAGAIN))
		drop(map);
	if (unlikely(err))
		return err;
	if (flags & BPF_RB_FORCE_WAKEUP || (!flags && load_acquire(&consumer(map)->pos) == pos))
		osl_ring(map->meta.bell);
	return 0;
}

s64 ebpf_ringbuf_output(struct ebpf_map *map, const void *data, u64 size, u64 flags)
{
	if (flags & ~WAKEUP_FLAGS)
		return -EINVAL;
	if (likely(size <= SHORT))
		return output_short(map, data, (u32)size, flags);
	return output_long(map, data, size, flags);
}

void *ebpf_ringbuf_reserve(struct ebpf_map *map, u64 size, u64 flags)
{
	struct ring_header *hdr = flags ? NULL : reserve(map, size);

	return hdr ? hdr + 1 : NULL;
}

bool ebpf_ringbuf_contains(const struct ebpf_map *map, const void *sample)
{
	u64 off = (u64)((const u8 *)sample - map->base) - EBPF_RINGBUF_DATA - EBPF_RINGBUF_HDR;

	return map->meta.type == BPF_MAP_TYPE_RINGBUF && off < map->meta.max_entries &&
	       off % 8 == 0;
}

static void finish(struct ebpf_map *map, void *sample, u64 flags, u32 discard)
{
	struct ring_header *hdr = (struct ring_header *)sample - 1;

	if (ebpf_ringbuf_contains(map, sample) && !map->readonly)
		commit(map, hdr, (READ_ONCE(hdr->len) & LEN_MASK) | discard, flags);
}

void ebpf_ringbuf_submit(struct ebpf_map *map, void *sample, u64 flags)
{
	finish(map, sample, flags, 0);
}

void ebpf_ringbuf_discard(struct ebpf_map *map, void *sample, u64 flags)
{
	finish(map, sample, flags, BPF_RINGBUF_DISCARD_BIT);
}

void ebpf_ringbuf_abandon(struct ebpf_map *map, void *sample)
{
	if (ebpf_ringbuf_contains(map, sample) && !map->readonly)
		__atomic_fetch_add(&producer(map)->dropped, 1, __ATOMIC_RELAXED);
	ebpf_ringbuf_discard(map, sample, 0);
}

u64 ebpf_ringbuf_query(struct ebpf_map *map, u64 what)
{
	u64 cons = load_acquire(&consumer(map)->pos);
	u64 prod = load_acquire(&producer(map)->pos);

	switch (what) {
	case BPF_RB_AVAIL_DATA:
		return prod - cons;
	case BPF_RB_RING_SIZE:
		return map->meta.max_entries;
	case BPF_RB_CONS_POS:
		return cons;
	case BPF_RB_PROD_POS:
		return prod;
	default:
		return 0;
	}
}

u64 ebpf_ringbuf_dropped(const struct ebpf_map *map)
{
	return READ_ONCE(producer(map)->dropped);
}

/* ---- readers --------------------------------------------------------------------------------- */

/* Both positions, if they can be: aligned, and no further apart than the ring is long. */
static bool positions(const struct ebpf_map *map, u64 *cons, u64 *prod)
{
	*cons = load_acquire(&consumer(map)->pos);
	*prod = load_acquire(&producer(map)->pos);
	return (*cons | *prod) % 8 == 0 && *prod - *cons <= map->meta.max_entries;
}

/* Bytes from the record at @pos to the next, 0 when it reaches beyond @prod. */
static u64 record_span(u64 pos, u64 prod, u32 word)
{
	u64 size = record_size(word & LEN_MASK);

	return size <= prod - pos ? size : 0;
}

int ebpf_ringbuf_check(struct ebpf_map *map)
{
	u64 pos, prod;

	if (!positions(map, &pos, &prod))
		return -EIO;
	while (pos != prod) {
		u32 word = load_acquire(&record_at(map, pos)->len);
		u64 span = record_span(pos, prod, word);

		if (!span)
			return -EIO;
		if (word & BPF_RINGBUF_BUSY_BIT)
			break;
		pos += span;
	}
	return 0;
}

u32 ebpf_ringbuf_unread(const struct ebpf_map *map)
{
	u64 pos, prod;
	u32 n = 0;

	if (!positions(map, &pos, &prod))
		return 0;
	while (pos != prod) {
		u32 word = load_acquire(&record_at(map, pos)->len);
		u64 span = record_span(pos, prod, word);

		if (!span)
			break;
		n += !(word & BPF_RINGBUF_DISCARD_BIT);
		pos += span;
	}
	return n;
}

void ebpf_ringbuf_reset(struct ebpf_map *map)
{
	struct ring_producer *p = producer(map);

	__atomic_fetch_add(&p->corrupt, 1, __ATOMIC_RELAXED);
	if (ebpf_lock(&p->lock) < 0)
		return;
	if (READ_ONCE(p->pos) % 8)
		WRITE_ONCE(p->pos, ALIGN_UP(READ_ONCE(p->pos), 8ull));
	store_release(&consumer(map)->pos, READ_ONCE(p->pos));
	ebpf_unlock(&p->lock);
}

struct reading {
	ebpf_ringbuf_fn fn;
	void *ctx;
	bool enough; /* fn wants no more */
	s64 n;	     /* records handed over */
};

/* The committed records from the reader's position on. 1: there were any, 0, or -EIO. */
static int consume_some(struct ebpf_map *map, struct reading *r)
{
	u64 pos, prod;
	int any = 0;

	if (!positions(map, &pos, &prod))
		return -EIO;
	while (!r->enough && pos != prod) {
		struct ring_header *hdr = record_at(map, pos);
		u32 word = load_acquire(&hdr->len);
		u64 span = record_span(pos, prod, word);

		if (!span)
			return -EIO;
		if (word & BPF_RINGBUF_BUSY_BIT)
			break;
		if (!(word & BPF_RINGBUF_DISCARD_BIT)) {
			r->enough = r->fn(r->ctx, hdr + 1, word & LEN_MASK);
			r->n++;
		}
		any = 1;
		pos += span;
		store_release(&consumer(map)->pos, pos);
	}
	return any;
}

/*
 * A producer that finds the reader short of its record does not ring: the reader comes to it by
 * itself. So it looks again until there was nothing, each time after a fence that orders its
 * position before that look.
 */
s64 ebpf_ringbuf_consume(struct ebpf_map *map, ebpf_ringbuf_fn fn, void *ctx)
{
	struct reading r = {.fn = fn, .ctx = ctx};
	int any;

	do {
		any = consume_some(map, &r);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (any > 0 && !r.enough);
	if (any < 0)
		ebpf_ringbuf_reset(map);
	return any < 0 ? any : r.n;
}

/*
 * A record whose producer died stays where it is, and the reader before it: what we read of it is
 * stable unless somebody scribbles, and then the exchange fails or hits a word that is lost anyway.
 */
static u32 ringbuf_reap(struct ebpf_map *map)
{
	struct ring_producer *p = producer(map);
	u32 owner = READ_ONCE(p->lock), reaped = 0;
	u64 pos, prod, span;

	if (owner && ebpf_lock_owner_dead(owner))
		ebpf_lock_cas(&p->lock, owner, 0);
	if (!positions(map, &pos, &prod))
		return 0;
	for (; pos != prod; pos += span) {
		struct ring_header *hdr = record_at(map, pos);
		u32 word = load_acquire(&hdr->len);

		span = record_span(pos, prod, word);
		if (!span)
			break;
		if (word & BPF_RINGBUF_BUSY_BIT && ebpf_lock_owner_dead(READ_ONCE(hdr->owner)) &&
		    ebpf_lock_cas(&hdr->len, word, (word & LEN_MASK) | BPF_RINGBUF_DISCARD_BIT))
			reaped++;
	}
	if (reaped) {
		__atomic_fetch_add(&p->reaped, reaped, __ATOMIC_RELAXED);
		osl_ring(map->meta.bell);
	}
	return reaped;
}

const struct ebpf_map_ops ebpf_ringbuf_ops = {
	.name = "ringbuf",
	.check = ringbuf_check,
	.size = ringbuf_size,
	.bind = ringbuf_bind,
	EBPF_NO_ELEMENTS,
	.reap = ringbuf_reap,
};

const struct ebpf_map_ops ebpf_user_ringbuf_ops = {
	.name = "user_ringbuf",
	.check = ringbuf_check,
	.size = ringbuf_size,
	.bind = ringbuf_bind,
	EBPF_NO_ELEMENTS,
	.reap = ebpf_user_ring_reap,
};
