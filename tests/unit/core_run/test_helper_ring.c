/* SPDX-License-Identifier: BSD-2-Clause */
/* Ring and perf helpers over rings that record what happens to their samples. */
#include "core/run/map/ringbuf.h"
#include "helper_fake.h"

#define SAMPLES 8
static u8 samples[SAMPLES][64];
static u32 used, submitted, discarded, abandoned;
static u64 last_flags;

void *ebpf_ringbuf_reserve(struct ebpf_map *map, u64 size, u64 flags)
{
	return used < SAMPLES && size <= sizeof(samples[0]) ? samples[used++] : NULL;
}

void ebpf_ringbuf_submit(struct ebpf_map *map, void *sample, u64 flags)
{
	cr_assert_eq(map, &fake_map);
	last_flags = flags;
	submitted++;
}

void ebpf_ringbuf_discard(struct ebpf_map *map, void *sample, u64 flags)
{
	cr_assert_eq(map, &fake_map);
	discarded++;
}

void ebpf_ringbuf_abandon(struct ebpf_map *map, void *sample)
{
	cr_assert_eq(map, &fake_map);
	abandoned++;
}

s64 ebpf_ringbuf_output(struct ebpf_map *map, const void *data, u64 size, u64 flags)
{
	cr_assert_eq(map, &fake_map);
	last_flags = flags;
	return (s64)size + ((const char *)data)[0];
}

u64 ebpf_ringbuf_query(struct ebpf_map *map, u64 flags)
{
	return flags + 100;
}

static void start(void)
{
	fake_start();
	fake_map.meta.type = BPF_MAP_TYPE_RINGBUF;
}

TestSuite(helper_ring, .init = start);

Test(helper_ring, reserve_then_submit_or_discard)
{
	s64 a = CALL(ringbuf_reserve, &fake_map, 16, 0),
	    b = CALL(ringbuf_reserve, &fake_map, 16, 0);

	cr_assert(a && b && a != b);
	cr_assert_eq(CALL(ringbuf_submit, a, BPF_RB_NO_WAKEUP), 0);
	cr_assert(submitted == 1 && last_flags == BPF_RB_NO_WAKEUP);
	cr_assert_eq(CALL(ringbuf_discard, b, 0), 0);
	cr_assert_eq(discarded, 1);
	/* once is enough, and only what was reserved */
	cr_assert_eq(CALL(ringbuf_submit, a, 0), -EINVAL);
	cr_assert_eq(CALL(ringbuf_discard, b, 0), -EINVAL);
	cr_assert_eq(CALL(ringbuf_submit, 0, 0), -EINVAL);
	cr_assert_eq(CALL(ringbuf_submit, samples[5], 0), -EINVAL);
	cr_assert_eq(ebpf_run_finish(&run), 0);
}

Test(helper_ring, what_stays_open_is_dropped)
{
	for (u32 i = 0; i < EBPF_MAX_RESERVATIONS; i++)
		cr_assert_neq(CALL(ringbuf_reserve, &fake_map, 16, 0), 0);
	cr_assert_eq(CALL(ringbuf_reserve, &fake_map, 16, 0), 0);
	cr_assert_eq(used, EBPF_MAX_RESERVATIONS);
	cr_assert_eq(ebpf_run_finish(&run), EBPF_MAX_RESERVATIONS);
	cr_assert(abandoned == EBPF_MAX_RESERVATIONS && !discarded);
	cr_assert_eq(ebpf_run_finish(&run), 0);
}

Test(helper_ring, output_and_query)
{
	cr_assert_eq(CALL(ringbuf_output, &fake_map, "\1", 16, BPF_RB_NO_WAKEUP), 17);
	cr_assert_eq(last_flags, BPF_RB_NO_WAKEUP);
	cr_assert_eq(CALL(ringbuf_query, &fake_map, 2), 102);
}

Test(helper_ring, only_rings)
{
	fake_map.meta.type = BPF_MAP_TYPE_HASH;
	cr_assert_eq(CALL(ringbuf_reserve, &fake_map, 16, 0), 0);
	cr_assert_eq(CALL(ringbuf_output, &fake_map, "x", 1, 0), -EINVAL);
	cr_assert_eq(CALL(ringbuf_query, &fake_map, 2), 0);
}
