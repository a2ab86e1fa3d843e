/* SPDX-License-Identifier: BSD-2-Clause */
/* Perf rings: see perf.h for the model and the rules. */
#include "core/run/map/perf.h"
#include "core/run/map/lock.h"
#include "core/run/map/map_impl.h"

/* the perf event ABI, perf_event_open(2) */
#define PERF_DATA_WORDS 1024 /* offset of data_head in the mmap page */
#define PERF_OURS 2048	     /* reserved there, up to the page's end */
#define PERF_RECORD_LOST 2u
#define PERF_RECORD_SAMPLE 9u
#define PERF_RECORD_MISC_USER 2u

struct perf_words {
	u64 head;
	u64 tail;
	u64 offset;
	u64 size;
};

/* what of page 0 is ours */
struct perf_state {
	u32 lock;
	u32 since_wakeup;
	u64 lost; /* not yet told to the reader */
	u64 corrupt;
	u32 timed; /* what the reader asked for: a sample begins with its time */
};
_Static_assert(PERF_OURS + offsetof(struct perf_state, timed) == EBPF_PERF_TIMED,
	       "where the daemon puts it");

struct perf_header {
	u32 type;
	u16 misc;
	u16 size;
};

struct perf_lost {
	struct perf_header header;
	u64 id;
	u64 lost;
};

/* A sample: the header, the time if wanted, bytes of raw data (padding included) and these. */
#define SAMPLE_FIXED (sizeof(struct perf_header) + sizeof(u32))

static struct perf_words *words(const struct ebpf_map *ring)
{
	return (struct perf_words *)(ring->base + PERF_DATA_WORDS);
}

static struct perf_state *state(const struct ebpf_map *ring)
{
	return (struct perf_state *)(ring->base + PERF_OURS);
}

static int perf_check_meta(const struct ebpf_map_meta *meta)
{
	bool ok = IS_POW2(meta->max_entries) && meta->max_entries % EBPFRT_PAGE_SIZE == 0;

	return ok && !meta->key_size && !meta->value_size ? 0 : -EINVAL;
}

static u64 perf_size(const struct ebpf_map_meta *meta)
{
	return EBPFRT_PAGE_SIZE + meta->max_entries;
}

static void perf_bind(struct ebpf_map *ring)
{
	ring->mask = ring->meta.max_entries - 1;
}

void ebpf_perf_init(struct ebpf_map *ring)
{
	WRITE_ONCE(words(ring)->offset, EBPFRT_PAGE_SIZE);
	WRITE_ONCE(words(ring)->size, ring->meta.max_entries);
}

/* ---- producers: under the lock ----------------------------------------------------------------
 */

/*
 * Copy @len bytes to position *pos, round the corner if need be, and move *pos on. Only the last
 * piece of a record leaves it unaligned to 4.
 */
static void put(struct ebpf_map *ring, u64 *pos, const void *data, u32 len)
{
	u8 *dst = ring->base + EBPFRT_PAGE_SIZE;
	const u8 *src = data;
	u32 word;

	for (; len >= 4 && *pos % 4 == 0; len -= 4, src += 4, *pos += 4) {
		__builtin_memcpy(&word, src, 4);
		WRITE_ONCE(*(u32 *)(dst + (*pos & ring->mask)), word);
	}
	for (; len; len--, src++, ++*pos)
		WRITE_ONCE(dst[*pos & ring->mask], *src);
}

/*
 * Memory that a program named: 0 or -EFAULT. The fault is survived here, since the lock is ours and
 * a run that is cut short would leave it locked.
 */
static int put_from(struct ebpf_map *ring, u64 *pos, const void *data, u32 len)
{
	u8 *dst = ring->base + EBPFRT_PAGE_SIZE;
	u64 at = *pos & ring->mask;
	u32 first = (u32)MIN((u64)len, ring->mask + 1 - at);
	int err = osl_read(dst + at, data, first);

	if (!err)
		err = osl_read(dst, (const u8 *)data + first, len - first);
	*pos += len;
	return err;
}

static void put_lost(struct ebpf_map *ring, u64 *pos, u64 lost)
{
	struct perf_lost rec = {
		.header = {.type = PERF_RECORD_LOST, .size = sizeof(rec)},
		.id = ring->meta.id,
		.lost = lost,
	};

	put(ring, pos, &rec, sizeof(rec));
}

static void put_head(struct ebpf_map *ring, u64 *pos, u32 total, bool timed)
{
	struct perf_header header = {
		.type = PERF_RECORD_SAMPLE, .misc = PERF_RECORD_MISC_USER, .size = (u16)total};
	u32 raw = total - (u32)SAMPLE_FIXED - (timed ? (u32)sizeof(u64) : 0);
	u64 now = timed ? osl_ktime_ns() : 0;

	put(ring, pos, &header, sizeof(header));
	if (timed)
		put(ring, pos, &now, sizeof(now));
	put(ring, pos, &raw, sizeof(raw));
}

static int put_sample(struct ebpf_map *ring, u64 *pos, u32 total, const void *data, u32 size,
		      const void *extra, u32 extra_size, bool timed)
{
	u64 end = *pos + total, zero = 0;
	int err;

	put_head(ring, pos, total, timed);
	err = put_from(ring, pos, data, size);
	if (!err && extra)
		err = put_from(ring, pos, extra, extra_size);
	if (!err)
		put(ring, pos, &zero, (u32)(end - *pos));
	return err;
}

/* How many bytes may be written; none while the reader's position makes no sense. */
static u64 room(const struct ebpf_map *ring, u64 head)
{
	u64 used = head - load_acquire(&words(ring)->tail);

	return used <= ring->meta.max_entries ? ring->meta.max_entries - used : 0;
}

static bool wakeup_due(struct ebpf_map *ring)
{
	u32 n = READ_ONCE(state(ring)->since_wakeup) + 1;
	bool due = n >= ring->meta.map_extra;

	WRITE_ONCE(state(ring)->since_wakeup, due ? 0 : n);
	return due;
}

static int write_locked(struct ebpf_map *ring, u64 raw, const void *data, u32 size,
			const void *extra, u32 extra_size)
{
	bool timed = READ_ONCE(state(ring)->timed);
	u32 total = (u32)ALIGN_UP(raw + SAMPLE_FIXED + (timed ? sizeof(u64) : 0), 8ull);
	u64 pos = ALIGN_DOWN(READ_ONCE(words(ring)->head), 8ull);
	u64 lost = READ_ONCE(state(ring)->lost);
	u64 need = total + (lost ? sizeof(struct perf_lost) : 0);
	int err;

	if (total > UINT16_MAX)
		return -E2BIG;
	if (need >= room(ring, pos))
		return -ENOSPC;
	if (lost)
		put_lost(ring, &pos, lost);
	err = put_sample(ring, &pos, total, data, size, extra, extra_size, timed);
	if (err)
		return err; /* what was written lies beyond the head */
	if (lost)
		__atomic_fetch_sub(&state(ring)->lost, lost, __ATOMIC_RELAXED);
	store_release(&words(ring)->head, pos);
	return 0;
}

s64 ebpf_perf_output(struct ebpf_map *ring, const void *data, u32 size, const void *extra,
		     u32 extra_size)
{
	u64 raw = (u64)size + (extra ? extra_size : 0);
	bool wake = false;
	int err;

	if (raw > EBPF_PERF_MAX_SAMPLE)
		return -E2BIG;
	if (ring->readonly)
		return -EPERM;
	err = ebpf_lock(&state(ring)->lock);
	if (err >= 0) {
		err = write_locked(ring, raw, data, size, extra, extra_size);
		wake = !err && wakeup_due(ring);
		ebpf_unlock(&state(ring)->lock);
	}
	if (err && err != -EFAULT)
		__atomic_fetch_add(&state(ring)->lost, 1, __ATOMIC_RELAXED);
	if (wake)
		osl_ring(ring->meta.bell);
	return err;
}

/* ---- readers --------------------------------------------------------------------------------- */

int ebpf_perf_check(struct ebpf_map *ring)
{
	u64 head = load_acquire(&words(ring)->head);
	u64 pos = load_acquire(&words(ring)->tail);

	if ((head | pos) % 8 || head - pos > ring->meta.max_entries)
		return -EIO;
	while (pos != head) {
		const u64 *at = (u64 *)(ring->base + EBPFRT_PAGE_SIZE + (pos & ring->mask));
		u64 size = READ_ONCE(*at) >> 48; /* struct perf_header's, little-endian */

		if (size % 8 || size < sizeof(struct perf_header) || size > head - pos)
			return -EIO;
		pos += size;
	}
	return 0;
}

void ebpf_perf_reset(struct ebpf_map *ring)
{
	__atomic_fetch_add(&state(ring)->corrupt, 1, __ATOMIC_RELAXED);
	if (ebpf_lock(&state(ring)->lock) < 0)
		return;
	WRITE_ONCE(words(ring)->head, ALIGN_UP(READ_ONCE(words(ring)->head), 8ull));
	store_release(&words(ring)->tail, READ_ONCE(words(ring)->head));
	ebpf_unlock(&state(ring)->lock);
}

static u32 perf_reap(struct ebpf_map *ring)
{
	u32 owner = READ_ONCE(state(ring)->lock);

	return owner && ebpf_lock_owner_dead(owner) && ebpf_lock_cas(&state(ring)->lock, owner, 0);
}

const struct ebpf_map_ops ebpf_perf_ring_ops = {
	.name = "perf_ring",
	.check = perf_check_meta,
	.size = perf_size,
	.bind = perf_bind,
	EBPF_NO_ELEMENTS,
	.reap = perf_reap,
};
