/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf_perf_event_output(): which ring gets what. */
#include "core/run/map/perf.h"
#include "helper_fake.h"

static u32 asked, size_seen;

s64 ebpf_perf_output(struct ebpf_map *ring, const void *data, u32 size, const void *extra,
		     u32 extra_size)
{
	char copy[16];

	cr_assert(ring == &fake_map && !extra && !extra_size);
	if (size > sizeof(copy) || osl_read(copy, data, size))
		return -EFAULT;
	size_seen = size;
	return 0;
}

static struct ebpf_map *ring_at(struct ebpf_map *array, u32 index)
{
	cr_assert_eq(array, &fake_map);
	asked = index;
	return index == 3 ? &fake_map : NULL;
}

static void start(void)
{
	fake_start();
	fake_map.meta.type = BPF_MAP_TYPE_PERF_EVENT_ARRAY;
	fake_map.meta.max_entries = 4096;
	fake_env.perf_ring = ring_at;
}

TestSuite(helper_perf, .init = start);

Test(helper_perf, index)
{
	cr_assert_eq(CALL(perf_event_output, 0, &fake_map, 3, "xyz", 3), 0);
	cr_assert(asked == 3 && size_seen == 3);
	cr_assert_eq(CALL(perf_event_output, 0, &fake_map, 4000, "xyz", 3), -ENOENT);
	cr_assert_eq(CALL(perf_event_output, 0, &fake_map, 4096, "xyz", 3), -E2BIG);
	cr_assert_eq(CALL(perf_event_output, 0, &fake_map, 1ull << 32, "xyz", 3), -EINVAL);
	CALL(perf_event_output, 0, &fake_map, BPF_F_CURRENT_CPU, "xyz", 3);
	cr_assert_lt(asked, osl_nr_cpus());
}

Test(helper_perf, data)
{
	size_seen = 0;
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(CALL(perf_event_output, 0, &fake_map, 3, bad[i], 8), -EFAULT, "%u", i);
	cr_assert_eq(CALL(perf_event_output, 0, &fake_map, 3, "x", 65520), -E2BIG);
	cr_assert_eq(CALL(perf_event_output, 0, &fake_map, 3, "x", -1), -E2BIG);
	cr_assert_eq(size_seen, 0);
	cr_assert_eq(CALL(perf_event_output, 0, &fake_map, 3, NULL, 0), 0);
}

Test(helper_perf, only_arrays_with_rings)
{
	run.env = NULL;
	cr_assert_eq(CALL(perf_event_output, 0, &fake_map, 3, "xyz", 3), -ENOENT);
	fake_map.meta.type = BPF_MAP_TYPE_HASH;
	cr_assert_eq(CALL(perf_event_output, 0, &fake_map, 3, "xyz", 3), -EINVAL);
	cr_assert_eq(CALL(perf_event_output, 0, NULL, 3, "xyz", 3), -EINVAL);
}
