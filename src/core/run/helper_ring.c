/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ring buffers.
 *
 * A reserved sample is named by its address only. The run remembers the few that are open, with
 * their ring: submit and discard accept nothing else, and what a program left open is discarded
 * when it ends.
 */
#include "core/run/dynptr.h"
#include "core/run/helper_impl.h"
#include "core/run/map/lock.h"
#include "core/run/map/ringbuf.h"

#define WAKEUP_FLAGS (BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP)

static struct ebpf_map *arg_ring(u64 arg, const struct ebpf_run *run)
{
	struct ebpf_map *map = ebpf_arg_map(arg, run);

	return map && map->meta.type == BPF_MAP_TYPE_RINGBUF ? map : NULL;
}

static void *reserve(struct ebpf_run *run, struct ebpf_map *map, u64 size)
{
	void *sample;

	if (run->nresv >= EBPF_MAX_RESERVATIONS)
		return NULL;
	sample = ebpf_ringbuf_reserve(map, size, 0);
	if (sample)
		run->resv[run->nresv++] = (struct ebpf_reservation){sample, map};
	return sample;
}

EBPF_HELPER(ringbuf_reserve)
{
	struct ebpf_map *map = arg_ring(r1, run);

	return map && !r3 ? (u64)reserve(run, map, r2) : 0;
}

/* One that failed holds nothing, but is submitted or discarded like any other. */
EBPF_HELPER(ringbuf_reserve_dynptr)
{
	struct ebpf_map *map = arg_ring(r1, run);
	struct ebpf_dynptr *d = ebpf_dynptr(r4);

	*d = (struct ebpf_dynptr){0};
	if (!map || r3)
		return (u64)-EINVAL;
	if (r2 > EBPF_DYNPTR_MAX)
		return (u64)-E2BIG;
	d->data = reserve(run, map, r2);
	if (!d->data)
		return (u64)-EINVAL;
	d->size = (u32)r2;
	return 0;
}

/* The ring of an open sample, which is not open any more afterwards. */
static struct ebpf_map *close_sample(struct ebpf_run *run, u64 sample)
{
	for (u32 i = 0; i < run->nresv; i++) {
		struct ebpf_map *map = run->resv[i].map;

		if ((u64)run->resv[i].sample != sample)
			continue;
		run->resv[i] = run->resv[--run->nresv];
		return map;
	}
	return NULL;
}

static u64 finish(struct ebpf_run *run, u64 sample, u64 flags, bool discard)
{
	struct ebpf_map *map = close_sample(run, sample);

	if (!map)
		return (u64)-EINVAL;
	if (discard)
		ebpf_ringbuf_discard(map, (void *)sample, flags & WAKEUP_FLAGS);
	else
		ebpf_ringbuf_submit(map, (void *)sample, flags & WAKEUP_FLAGS);
	return 0;
}

EBPF_HELPER(ringbuf_submit)
{
	return finish(run, r1, r2, false);
}

EBPF_HELPER(ringbuf_discard)
{
	return finish(run, r1, r2, true);
}

static u64 finish_dynptr(struct ebpf_run *run, u64 arg, u64 flags, bool discard)
{
	struct ebpf_dynptr *d = ebpf_dynptr(arg);

	if (d->data)
		finish(run, (u64)d->data, flags, discard);
	*d = (struct ebpf_dynptr){0};
	return 0;
}

EBPF_HELPER(ringbuf_submit_dynptr)
{
	return finish_dynptr(run, r1, r2, false);
}

EBPF_HELPER(ringbuf_discard_dynptr)
{
	return finish_dynptr(run, r1, r2, true);
}

EBPF_HELPER(ringbuf_output)
{
	struct ebpf_map *map = arg_ring(r1, run);

	return map ? (u64)ebpf_ringbuf_output(map, (const void *)r2, r3, r4) : (u64)-EINVAL;
}

EBPF_HELPER(ringbuf_query)
{
	struct ebpf_map *map = arg_ring(r1, run);

	return map ? ebpf_ringbuf_query(map, r2) : 0;
}

/* The program was cut short with a sample in its hands: that one is consumed. */
static void end_drain(struct ebpf_run *run)
{
	struct ebpf_map *map = run->drain.map;

	ebpf_user_ring_consume(map, run->drain.next);
	ebpf_user_ring_unlock(map);
	osl_ring(map->meta.bell);
	run->drain.map = NULL;
}

u32 ebpf_run_finish(struct ebpf_run *run)
{
	u32 n = run->nresv;

	if (run->drain.map)
		end_drain(run);

	if (run->lock) {
		ebpf_unlock(run->lock);
		run->lock = NULL;
	}
	while (run->nresv) {
		struct ebpf_reservation *r = &run->resv[--run->nresv];

		ebpf_ringbuf_abandon(r->map, r->sample);
	}
	return n;
}
