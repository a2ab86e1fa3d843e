/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RINGBUF: a stream of records of any size from many processes to one reader, in the order of their
 * reservation.
 *
 * Layout of the memfd, the kernel's, which libbpf's ring_buffer reads: page 0 the reader's
 * position (u64), page 1 the producers' (u64, and behind it what is ours), then max_entries bytes
 * of data, a power of two. Positions only grow; a record lies at its position modulo the size,
 * 8-aligned: {u32 len | BUSY | DISCARD, u32 producer} and len bytes. Where the kernel keeps a page
 * offset stands the participant number of the producer, so that records of the dead can be told.
 *
 * A record may begin before the end of the data and end behind it. So every process that touches
 * records maps the data twice, one behind the other: ebpf_ringbuf_layout() says how.
 *
 * Rules: producers serialise on an owned lock while they reserve, which takes a few stores, or
 * append a short record as a whole; a position is published only behind a complete header. Nothing
 * read from the ring is used as an address or a length before it was checked; a hostile producer or
 * reader can lose records, not more. Records that did not fit are counted.
 */
#pragma once

#include "core/run/map/map.h"

#define EBPF_RINGBUF_HDR 8u
#define EBPF_RINGBUF_CONSUMED 0 /* offsets of the positions, u64 each */
#define EBPF_RINGBUF_PRODUCED EBPFRT_PAGE_SIZE
#define EBPF_RINGBUF_DATA (2 * EBPFRT_PAGE_SIZE) /* offset of the data in memfd and mapping */

/* one mmap of a part of the memfd at an offset of the reserved range */
struct ebpf_map_part {
	u64 at;	 /* in the range */
	u64 off; /* in the memfd */
	u64 len;
};

/*
 * How a ring of @meta is mapped: reserve as many bytes as this returns, then map both parts over
 * them (MAP_SHARED|MAP_FIXED). Its start is ebpf_map_bind()'s base; the size given there is
 * ebpf_map_shm_size(). Pure.
 */
static inline u64 ebpf_ringbuf_layout(const struct ebpf_map_meta *meta,
				      struct ebpf_map_part part[2])
{
	u64 once = EBPF_RINGBUF_DATA + meta->max_entries;

	part[0] = (struct ebpf_map_part){.at = 0, .off = 0, .len = once};
	part[1] = (struct ebpf_map_part){
		.at = once, .off = EBPF_RINGBUF_DATA, .len = meta->max_entries};
	return once + meta->max_entries;
}

/*
 * The helpers of the same names; flags and results are the kernel's. Any context. Reserve: the
 * record's memory, or NULL (no room, too large, wrong flags). A record that was reserved must be
 * submitted or discarded by the same execution. Output copies with care: a wrong address gives
 * -EFAULT and, of a long record, leaves a discarded one. Submit and discard ignore a @sample that
 * is not in this ring.
 */
s64 ebpf_ringbuf_output(struct ebpf_map *map, const void *data, u64 size, u64 flags);
void *ebpf_ringbuf_reserve(struct ebpf_map *map, u64 size, u64 flags);
void ebpf_ringbuf_submit(struct ebpf_map *map, void *sample, u64 flags);
void ebpf_ringbuf_discard(struct ebpf_map *map, void *sample, u64 flags);
u64 ebpf_ringbuf_query(struct ebpf_map *map, u64 what);

/* As discard, of a record that its program did not come to submit: it counts as dropped. */
void ebpf_ringbuf_abandon(struct ebpf_map *map, void *sample);

/* Could @sample be the memory of a record of this ring? The kernel's submit takes no map. */
bool ebpf_ringbuf_contains(const struct ebpf_map *map, const void *sample);

/*
 * For our own readers: hand every complete record to @fn, until it returns non-zero, up to the
 * first record in progress; those that come meanwhile, too. Returns the number of records handed
 * over, or -EIO when the ring's words make no sense: then everything in it is skipped. The memory
 * @fn sees can be written by others meanwhile; it copies, then checks. One reader at a time.
 */
typedef int (*ebpf_ringbuf_fn)(void *ctx, const void *data, u32 len);
s64 ebpf_ringbuf_consume(struct ebpf_map *map, ebpf_ringbuf_fn fn, void *ctx);

/*
 * Before the ring is handed to a reader that trusts it (libbpf's): does every record from the
 * reader's position to the first one in progress lie within the data? 0, or -EIO; then
 * ebpf_ringbuf_reset() makes it readable again, at the price of what is in it.
 */
int ebpf_ringbuf_check(struct ebpf_map *map);
void ebpf_ringbuf_reset(struct ebpf_map *map);

/* Records nobody has consumed, those that are being written included. Advisory; the consumer. */
u32 ebpf_ringbuf_unread(const struct ebpf_map *map);

/*
 * Records that found no room, or were left open by a program that was cut short, ever. Advisory.
 * For those who only have the memfd: an u64 at that offset.
 */
#define EBPF_RINGBUF_DROPPED (EBPFRT_PAGE_SIZE + 16)
u64 ebpf_ringbuf_dropped(const struct ebpf_map *map);

/*
 * USER_RINGBUF: the same layout the other way round. User space produces, in the kernel's format
 * that libbpf's user_ring_buffer writes; programs consume, one at a time, which an owned lock in
 * the consumer's page sees to. Producers serialise among themselves. A sample is checked as the
 * kernel does before it is handed out; what is in it can change at any time.
 */
static inline bool ebpf_is_ring(u32 type)
{
	return type == BPF_MAP_TYPE_RINGBUF || type == BPF_MAP_TYPE_USER_RINGBUF;
}

struct ebpf_user_sample {
	void *data;
	u32 size;
	u64 next; /* position behind it */
};

/* Become the consumer. 0; -EBUSY: somebody is; -EPERM. */
int ebpf_user_ring_lock(struct ebpf_map *map);
/* The next sample: 0; -ENODATA: none yet; -EAGAIN: one was skipped; -EINVAL, -E2BIG: nonsense. */
int ebpf_user_ring_peek(struct ebpf_map *map, struct ebpf_user_sample *out);

#define EBPF_USER_RING_LOCK 64u /* offset of the consumer's lock */

static inline void ebpf_user_ring_unlock(struct ebpf_map *map)
{
	store_release((u32 *)(map->base + EBPF_USER_RING_LOCK), 0);
}

/* Everything before position @next is consumed. */
static inline void ebpf_user_ring_consume(struct ebpf_map *map, u64 next)
{
	store_release((u64 *)map->base, next);
}
u32 ebpf_user_ring_reap(struct ebpf_map *map); /* of the map's operations */
