/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf_timer_*(): see timer.h for the model. Results and their order are the kernel's. */
#include "core/run/helper_impl.h"
#include "core/run/map/ringbuf.h"
#include "core/run/map/special.h"
#include "core/run/timer.h"
#include "core/run/trace.h"

#define MAX_CLOCKS 16 /* the kernel's */
#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCK_BOOTTIME 7

static u32 clock_code(u64 clockid)
{
	switch (clockid) {
	case CLOCK_MONOTONIC:
		return EBPF_TIMER_MONOTONIC;
	case CLOCK_REALTIME:
		return EBPF_TIMER_REALTIME;
	case CLOCK_BOOTTIME:
		return EBPF_TIMER_BOOT;
	default:
		return EBPF_TIMER_NONE;
	}
}

static bool change(u64 *word, u64 *from, u64 to)
{
	return __atomic_compare_exchange_n(word, from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/* The map of @run's program in whose memory @timer lies. */
static struct ebpf_map *map_of(const struct ebpf_run *run, const u64 *timer)
{
	const struct ebpf_image *img = run->prog->image;
	const struct ebpf_image_ref *refs = ebpf_image_refs(img);

	for (u32 i = 0; i < img->nrefs; i++) {
		struct ebpf_map *map = (struct ebpf_map *)(uintptr_t)run->refs[i];

		if (refs[i].kind == EBPF_REF_MAP && map && map->meta.timer_at &&
		    (u64)((const u8 *)timer - map->base) <= map->size - EBPF_TIMER_SIZE)
			return map;
	}
	return NULL;
}

EBPF_HELPER(timer_init)
{
	u64 *timer = (u64 *)(uintptr_t)r1, none = READ_ONCE(*timer);
	u32 clock = r3 < MAX_CLOCKS ? clock_code(r3) : EBPF_TIMER_NONE;

	if (clock == EBPF_TIMER_NONE)
		return (u64)-EINVAL;
	if ((none & EBPF_TIMER_CLOCK) || !change(timer, &none, clock))
		return (u64)-EBUSY;
	return 0;
}

EBPF_HELPER(timer_set_callback)
{
	u64 *timer = (u64 *)(uintptr_t)r1;
	u32 pc;

	if (!(READ_ONCE(*timer) & EBPF_TIMER_CLOCK) || !ebpf_callback_pc(run, r2, &pc))
		return (u64)-EINVAL;
	WRITE_ONCE(timer[1], (u64)run->prog->id << 32 | (pc + 1));
	return 0;
}

/* Tell the daemon. -ENOMEM: its ring is full. */
static int tell(struct ebpf_run *run, const struct ebpf_timer_rec *t)
{
	struct ebpf_map *ring = run->env ? run->env->trace : NULL;
	struct ebpf_trace_rec *rec = NULL;

	if (ring)
		rec = ebpf_ringbuf_reserve(ring, sizeof(*rec) + sizeof(*t), 0);
	if (!rec)
		return -ENOMEM;
	*rec = (struct ebpf_trace_rec){.ts = osl_ktime_ns(), .len = EBPF_TRACE_TIMER};
	__builtin_memcpy(rec->text, t, sizeof(*t));
	ebpf_ringbuf_submit(ring, rec, 0);
	return 0;
}

EBPF_HELPER(timer_start)
{
	u64 *timer = (u64 *)(uintptr_t)r1, state = READ_ONCE(*timer), what = READ_ONCE(timer[1]);
	struct ebpf_map *map = map_of(run, timer);
	struct ebpf_timer_rec rec;

	if (r3 & ~(u64)(EBPF_TIMER_F_ABS | EBPF_TIMER_F_CPU_PIN))
		return (u64)-EINVAL;
	if (!map || !(state & EBPF_TIMER_CLOCK) || !(u32)what)
		return (u64)-EINVAL;
	rec = (struct ebpf_timer_rec){
		.value = (u64)((u8 *)timer - map->base),
		.nsecs = r2,
		.state = (state & EBPF_TIMER_CLOCK) | EBPF_TIMER_RUNS |
			 ((state >> EBPF_TIMER_GEN_SHIFT) + 1) << EBPF_TIMER_GEN_SHIFT,
		.map = map->meta.id,
		.prog = (u32)(what >> 32),
		.pc = (u32)what - 1,
		.absolute = !!(r3 & EBPF_TIMER_F_ABS),
	};
	/* lost against another start or stop: theirs came last */
	if (!change(timer, &state, rec.state))
		return 0;
	if (tell(run, &rec)) {
		change(timer, &rec.state, rec.state & ~EBPF_TIMER_RUNS);
		return (u64)-ENOMEM;
	}
	return 0;
}

/* A callback that runs in this moment is not waited for; it has begun before. */
EBPF_HELPER(timer_cancel)
{
	u64 *timer = (u64 *)(uintptr_t)r1, state = READ_ONCE(*timer);

	if (!(state & EBPF_TIMER_CLOCK))
		return (u64)-EINVAL;
	if (run->kind == EBPF_RUN_TIMER && run->ctx == timer)
		return (u64)-EDEADLK;
	WRITE_ONCE(timer[1], 0);
	while ((state & EBPF_TIMER_RUNS) && !change(timer, &state, state & ~EBPF_TIMER_RUNS))
		;
	return !!(state & EBPF_TIMER_RUNS);
}
