/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Perf rings: what a user mmaps from a perf event and what bpf_perf_event_output() writes to. One
 * ring is bound like a map, of the internal type EBPF_MAP_PERF_RING.
 *
 * Layout of the memfd: page 0 as struct perf_event_mmap_page, of which the four data words are
 * used, then max_entries bytes of data, a power of two of pages. Mapped once: records that wrap are
 * copied in two parts, by us as by libbpf. Records: PERF_RECORD_SAMPLE with PERF_SAMPLE_RAW, and
 * PERF_RECORD_LOST before the first sample that fits again.
 *
 * Rules: a record is written under an owned lock and exists once data_head is stored, so a killed
 * producer leaves nothing behind. The reader's position is checked before it is used.
 *
 * The meta: max_entries is the data's size; map_extra the number of samples per wakeup (0: 1); id
 * goes into PERF_RECORD_LOST.
 */
#pragma once

#include "core/run/map/map.h"

#define EBPF_PERF_MAX_SAMPLE 65516u /* the record's size, headers and padding, is 16 bits */

/*
 * Write a sample that holds @data, then @extra (NULL: none). 0; -ENOSPC when there is no room
 * (counted, told to the reader); -E2BIG; -EBUSY when the ring's lock could not be had (counted as
 * lost, too); -EFAULT when @data or @extra can't be read, which it finds out itself. Any context.
 */
s64 ebpf_perf_output(struct ebpf_map *ring, const void *data, u32 size, const void *extra,
		     u32 extra_size);

/* Where in page 0 a u32 says that samples carry their time (PERF_SAMPLE_TIME): the daemon's. */
#define EBPF_PERF_TIMED (2048 + 24)

/* Fill in page 0 what readers may look at: the daemon, once, before anyone else maps the ring. */
void ebpf_perf_init(struct ebpf_map *ring);

/* As ebpf_ringbuf_check() and ebpf_ringbuf_reset(). */
int ebpf_perf_check(struct ebpf_map *ring);
void ebpf_perf_reset(struct ebpf_map *ring);
