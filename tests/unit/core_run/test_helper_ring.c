/* SPDX-License-Identifier: BSD-2-Clause */
/* Ring and perf helpers over rings that record what happens to their samples. */
#include "core/run/dynptr.h"
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

Test(helper_ring, a_dynptr_is_a_sample_of_any_size)
{
	struct ebpf_dynptr d;
	u64 v = 7;

	for (u32 len = 1; len <= 3; len++) {
		cr_expect_eq(CALL(ringbuf_reserve_dynptr, &fake_map, len * 8, 0, &d), 0);
		cr_expect_eq(d.size, len * 8);
		cr_expect_eq(run.nresv, 1);
		cr_expect_eq(CALL(dynptr_write, &d, len * 8 - 8, &v, 8, 0), 0);
		cr_expect_eq(samples[len - 1][len * 8 - 8], 7);
		cr_expect_eq(CALL(dynptr_write, &d, len * 8 - 7, &v, 8, 0), -E2BIG);
		if (len == 2)
			cr_expect_eq(CALL(ringbuf_discard_dynptr, &d, 0), 0);
		else
			cr_expect_eq(CALL(ringbuf_submit_dynptr, &d, BPF_RB_NO_WAKEUP | 1u << 8),
				     0);
		cr_expect(!d.data && !d.size);
		cr_expect_eq(run.nresv, 0);
	}
	cr_expect_eq(submitted, 2);
	cr_expect_eq(discarded, 1);
	cr_expect_eq(last_flags, BPF_RB_NO_WAKEUP);
}

Test(helper_ring, a_dynptr_that_could_not_be_had)
{
	struct ebpf_dynptr d = {samples[0], 8, 8};

	cr_expect_eq(CALL(ringbuf_reserve_dynptr, &fake_map, 16, 1, &d), -EINVAL);
	cr_expect(!d.data && !d.size && !d.start);
	cr_expect_eq(CALL(ringbuf_reserve_dynptr, &fake_map, 1u << 24, 0, &d), -E2BIG);
	cr_expect_eq(CALL(ringbuf_reserve_dynptr, &fake_map, 1ull << 40, 0, &d), -E2BIG);
	cr_expect_eq(CALL(ringbuf_reserve_dynptr, &fake_map, sizeof(samples[0]) + 1, 0, &d),
		     -EINVAL);
	cr_expect_eq(CALL(ringbuf_reserve_dynptr, &fake_map + 1, 16, 0, &d), -EINVAL);
	cr_expect(!d.data);
	cr_expect_eq(CALL(ringbuf_submit_dynptr, &d, 0), 0);
	cr_expect_eq(CALL(ringbuf_discard_dynptr, &d, 0), 0);
	cr_expect_eq(submitted + discarded, 0);
}

/* what a run that was cut short left open */
Test(helper_ring, a_dynptr_left_open)
{
	struct ebpf_dynptr d;

	cr_expect_eq(CALL(ringbuf_reserve_dynptr, &fake_map, 16, 0, &d), 0);
	cr_expect_eq(ebpf_run_finish(&run), 1);
	cr_expect_eq(abandoned, 1);
}
