/* SPDX-License-Identifier: BSD-2-Clause */
/* ARRAY and PERCPU_ARRAY: values, errors, layout; the kernel as the oracle where it may be asked.
 */
#include "map_test.h"

#include "osl/osl_trap.h"

TestSuite(arraymap, .init = test_participants);

Test(arraymap, values_lie_from_offset_zero)
{
	struct ebpf_map map;

	test_map(&map, BPF_MAP_TYPE_ARRAY, 4, 12, 5, BPF_F_MMAPABLE);
	for (u32 i = 0; i < 5; i++)
		cr_assert_eq(map.ops->lookup(&map, &i), map.base + 16 * i);
	cr_assert_eq(map.size, 4096);
}

Test(arraymap, errors_are_the_kernels)
{
	struct ebpf_map map;
	u64 value = 7;
	u32 in = 1, out = 5, next;

	test_map(&map, BPF_MAP_TYPE_ARRAY, 4, 8, 5, 0);
	cr_assert_null(map.ops->lookup(&map, &out));
	cr_assert_eq(map.ops->lookup_user(&map, &out, &value, 0), -ENOENT);
	cr_assert_eq(map.ops->lookup_user(&map, &in, &value, BPF_F_LOCK), -EINVAL);
	cr_assert_eq(map.ops->update(&map, &out, &value, BPF_ANY), -E2BIG);
	cr_assert_eq(map.ops->update(&map, &in, &value, BPF_NOEXIST), -EEXIST);
	cr_assert_eq(map.ops->update(&map, &in, &value, 3), -EINVAL);
	cr_assert_eq(map.ops->del(&map, &in), -EINVAL);
	cr_assert_null(map.ops->lookup_delete_user);
	cr_assert_eq(map.ops->next(&map, NULL, &next), 0);
	cr_assert_eq(next, 0);
	in = 4;
	cr_assert_eq(map.ops->next(&map, &in, &next), -ENOENT);
	cr_assert_eq(map.ops->next(&map, &out, &next), 0);
	cr_assert_eq(next, 0);
}

Test(arraymap, odd_sizes_survive)
{
	for (u32 size = 1; size < 40; size++) {
		u8 in[40], out[41];
		struct ebpf_map map;
		u32 key = 2;

		test_map(&map, BPF_MAP_TYPE_ARRAY, 4, size, 3, 0);
		memset(in, 0x5a, sizeof(in));
		memset(out, 0xee, sizeof(out));
		cr_assert_eq(map.ops->update_user(&map, &key, in, BPF_EXIST), 0);
		cr_assert_eq(map.ops->lookup_user(&map, &key, out, 0), 0);
		cr_assert_arr_eq(in, out, size);
		cr_assert_eq(out[size], 0xee, "wrote behind a value of %u bytes", size);
		munmap(map.base, map.size);
	}
}

Test(arraymap, percpu_parts_are_apart)
{
	u64 value[TEST_CPUS] = {1, 2, 3, 4}, out[TEST_CPUS], mine = 9;
	struct ebpf_map map;
	u32 key = 1, cpu, others = 0;

	test_map(&map, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 3, 0);
	cr_assert_eq(ebpf_map_user_value_size(&map.meta), sizeof(value));
	cr_assert_eq(map.ops->update_user(&map, &key, value, 0), 0);
	cr_assert_eq(map.ops->lookup_user(&map, &key, out, 0), 0);
	cr_assert_arr_eq(value, out, sizeof(value));
	cr_assert_eq(map.ops->update(&map, &key, &mine, 0), 0);
	cr_assert_eq(map.ops->lookup_user(&map, &key, out, 0), 0);
	for (cpu = 0; cpu < TEST_CPUS; cpu++)
		others += out[cpu] == value[cpu];
	cr_assert_eq(others, TEST_CPUS - 1);
	for (cpu = 0; cpu < TEST_CPUS; cpu++)
		cr_assert_eq(*(u64 *)map.ops->lookup_cpu(&map, &key, cpu), out[cpu]);
	cr_assert_null(map.ops->lookup_cpu(&map, &key, TEST_CPUS));
	key = 3;
	cr_assert_null(map.ops->lookup_cpu(&map, &key, 0));
	key = 0;
	cr_assert_eq(map.ops->lookup_user(&map, &key, out, 0), 0);
	for (cpu = 0; cpu < TEST_CPUS; cpu++)
		cr_assert_eq(out[cpu], 0);
}

Test(arraymap, value_addr_is_for_single_entries)
{
	struct ebpf_map map;

	test_map(&map, BPF_MAP_TYPE_ARRAY, 4, 100, 1, 0);
	cr_assert_eq(map.ops->value_addr(&map, 99), map.base + 99);
	cr_assert_null(map.ops->value_addr(&map, 100));
	test_map(&map, BPF_MAP_TYPE_ARRAY, 4, 100, 2, 0);
	cr_assert_null(map.ops->value_addr(&map, 0));
}

Test(arraymap, a_readonly_mapping_is_not_written)
{
	struct ebpf_map map;
	u64 value = 1;
	u32 key = 0;

	test_map(&map, BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY_PROG);
	mprotect(map.base, map.size, PROT_READ);
	map.readonly = 1;
	cr_assert_eq(map.ops->update(&map, &key, &value, 0), -EPERM);
	cr_assert_eq(map.ops->lookup_user(&map, &key, &value, 0), 0);
	cr_assert_eq(value, 0);
}

static u64 stop_at(struct ebpf_run *run, u64 fn, u64 map, u64 key, u64 value, u64 ctx, u64 zero)
{
	*(u64 *)(uintptr_t)value = *(u32 *)(uintptr_t)key + 100;
	return *(u32 *)(uintptr_t)key == ctx;
}

Test(arraymap, for_each_counts_and_stops)
{
	struct ebpf_run run = {.callback = stop_at};
	struct ebpf_map map;
	u32 key = 3;

	test_map(&map, BPF_MAP_TYPE_ARRAY, 4, 8, 10, 0);
	cr_assert_eq(map.ops->for_each(&map, &run, 0, 3), 4);
	cr_assert_eq(*(u64 *)map.ops->lookup(&map, &key), 103);
	key = 4;
	cr_assert_eq(*(u64 *)map.ops->lookup(&map, &key), 0);
	cr_assert_eq(map.ops->for_each(&map, &run, 0, 77), 10);
}

/* ---- attributes, against the kernel ---- */

static const u32 flag_sets[] = {0,
				BPF_F_NO_PREALLOC,
				BPF_F_NO_COMMON_LRU,
				BPF_F_MMAPABLE,
				BPF_F_RDONLY_PROG,
				BPF_F_WRONLY_PROG,
				BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG,
				BPF_F_RDONLY | BPF_F_WRONLY,
				BPF_F_ZERO_SEED,
				BPF_F_INNER_MAP,
				BPF_F_PRESERVE_ELEMS,
				BPF_F_STACK_BUILD_ID,
				1u << 30};
static const u32 sizes[] = {0, 1, 3, 4, 8, 12, 16, 4096, 32768, 40000, 1 << 22};
static const u32 entries[] = {0, 1, 3, 4096, 8192, 12288};
static const u32 types[] = {0,
			    BPF_MAP_TYPE_ARRAY,
			    BPF_MAP_TYPE_PERCPU_ARRAY,
			    BPF_MAP_TYPE_HASH,
			    BPF_MAP_TYPE_PERCPU_HASH,
			    BPF_MAP_TYPE_LRU_HASH,
			    BPF_MAP_TYPE_LRU_PERCPU_HASH,
			    BPF_MAP_TYPE_PROG_ARRAY,
			    BPF_MAP_TYPE_PERF_EVENT_ARRAY,
			    BPF_MAP_TYPE_STACK_TRACE,
			    BPF_MAP_TYPE_RINGBUF,
			    BPF_MAP_TYPE_USER_RINGBUF,
			    BPF_MAP_TYPE_QUEUE,
			    BPF_MAP_TYPE_STACK,
			    BPF_MAP_TYPE_BLOOM_FILTER,
			    200};

static void compare_create(u32 type, u32 key, u32 value, u32 max, u32 flags)
{
	struct ebpf_map_meta meta = test_meta(type, key, value, max, flags);
	int theirs, ours = ebpf_map_check(&meta);

	/* what only memory decides is left out: it costs the kernel, and proves nothing */
	if (!ours && ebpf_map_shm_size(&meta) > 1 << 20)
		return;
	theirs = kernel_create(type, key, value, max, flags);
	if (theirs >= 0) {
		close(theirs);
		theirs = 0;
	}
	cr_expect_eq(ours, theirs, "type %u key %u value %u max %u flags %#x: %d, the kernel %d",
		     type, key, value, max, flags, ours, theirs);
}

Test(arraymap, attributes_are_judged_as_by_the_kernel)
{
	if (!kernel_usable())
		cr_skip("bpf(2) is not allowed here");
	test_seed();
	for (u32 i = 0; i < 3000; i++)
		compare_create(
			types[test_rand() % ARRAY_SIZE(types)],
			test_rand() % 2 ? 4 * (test_rand() % 4 != 0) : sizes[test_rand() % 8],
			sizes[test_rand() % ARRAY_SIZE(sizes)],
			entries[test_rand() % ARRAY_SIZE(entries)],
			test_rand() % 2 ? 0 : flag_sets[test_rand() % ARRAY_SIZE(flag_sets)]);
}
