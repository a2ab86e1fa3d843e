/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User ring buffers: a program takes what a process wrote. Each sample is shown to a callback as a
 * dynptr. The run remembers the ring: a program that is cut short in the callback is no consumer
 * any more (ebpf_run_finish()).
 */
#include "core/run/dynptr.h"
#include "core/run/helper_impl.h"
#include "core/run/map/ringbuf.h"

#define MAX_SAMPLES (128u << 10) /* of one drain, as in the kernel */
#define WAKEUP_FLAGS (BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP)

/* One sample after the other, until the callback has had enough. Samples handled, or -errno. */
static s64 drain(struct ebpf_map *map, struct ebpf_run *run, u64 fn, u64 ctx)
{
	struct ebpf_user_sample s;
	s64 handled = 0;
	u64 stop = 0;

	for (u32 i = 0; i < MAX_SAMPLES && !stop && !run->aborted; i++) {
		int err = ebpf_user_ring_peek(map, &s);
		struct ebpf_dynptr d;

		if (err == -EAGAIN)
			continue;
		if (err)
			return err == -ENODATA ? handled : err;
		d = (struct ebpf_dynptr){.data = s.data, .size = s.size};
		run->drain.next = s.next;
		stop = run->callback(run, fn, (u64)&d, ctx, 0, 0, 0);
		ebpf_user_ring_consume(map, s.next);
		handled++;
	}
	return handled;
}

EBPF_HELPER(user_ringbuf_drain)
{
	struct ebpf_map *map = ebpf_arg_map(r1, run);
	u64 before;
	s64 ret;
	int err;

	if (!map || map->meta.type != BPF_MAP_TYPE_USER_RINGBUF || r4 & ~(u64)WAKEUP_FLAGS)
		return (u64)-EINVAL;
	err = run->drain.map ? -EBUSY : ebpf_user_ring_lock(map);
	if (err)
		return (u64)(s64)err;
	before = run->drain.next = ebpf_ringbuf_query(map, BPF_RB_CONS_POS);
	run->drain.map = map;
	ret = drain(map, run, r2, r3);
	run->drain.map = NULL;
	ebpf_user_ring_unlock(map);
	if (r4 & BPF_RB_FORCE_WAKEUP ||
	    (!(r4 & BPF_RB_NO_WAKEUP) && ebpf_ringbuf_query(map, BPF_RB_CONS_POS) != before))
		osl_ring(map->meta.bell);
	return (u64)ret;
}
