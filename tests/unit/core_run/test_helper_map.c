/* SPDX-License-Identifier: BSD-2-Clause */
/* Map helpers over a map that records what it is asked: which pointers reach a map's code. */
#include "helper_fake.h"

#include "core/run/map/inner.h"

static u64 seen_key, seen_value, seen_flags, found;
static int calls;

static void *fake_lookup(struct ebpf_map *map, const void *key)
{
	calls++;
	memcpy(&seen_key, key, 8);
	return &found;
}

static void *fake_lookup_cpu(struct ebpf_map *map, const void *key, u32 cpu)
{
	calls++;
	memcpy(&seen_key, key, 8);
	seen_flags = cpu;
	return &found;
}

static int fake_update(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	u32 size = map->meta.value_size;

	calls++;
	memcpy(&seen_key, key, 8);
	memcpy(&seen_value, (const u8 *)value + size - 8, 8);
	seen_flags = flags;
	return -EEXIST;
}

static int fake_del(struct ebpf_map *map, const void *key)
{
	calls++;
	memcpy(&seen_key, key, 8);
	return -ENOENT;
}

static s64 fake_for_each(struct ebpf_map *map, struct ebpf_run *r, u64 fn, u64 ctx)
{
	calls++;
	return (s64)(fn + ctx);
}

static int fake_push(struct ebpf_map *map, const void *value, u64 flags)
{
	calls++;
	memcpy(&seen_value, value, 8);
	seen_flags = flags;
	return -E2BIG;
}

static int pop_result;

static int fake_pop(struct ebpf_map *map, void *value)
{
	calls++;
	if (!pop_result)
		memset(value, 0x77, map->meta.value_size);
	return pop_result;
}

static struct ebpf_map_ops ops = {.lookup = fake_lookup,
				  .update = fake_update,
				  .del = fake_del,
				  .for_each = fake_for_each,
				  .lookup_cpu = fake_lookup_cpu,
				  .push = fake_push,
				  .pop = fake_pop,
				  .peek = fake_pop};

static void start(void)
{
	fake_start();
	fake_map.ops = &ops;
	fake_map.meta.key_size = 8;
	fake_map.meta.value_size = 8;
}

TestSuite(helper_map, .init = start);

Test(helper_map, pass_through)
{
	u64 key = 5, value = 6;

	cr_assert_eq(CALL(map_lookup_elem, &fake_map, &key), (s64)&found);
	cr_assert_eq(seen_key, 5);
	cr_assert_eq(CALL(map_update_elem, &fake_map, &key, &value, BPF_NOEXIST), -EEXIST);
	cr_assert(seen_value == 6 && seen_flags == BPF_NOEXIST);
	cr_assert_eq(CALL(map_delete_elem, &fake_map, &key), -ENOENT);
	cr_assert_eq(CALL(for_each_map_elem, &fake_map, 40, 2, 0), 42);
	cr_assert_eq(CALL(map_lookup_percpu_elem, &fake_map, &key, 1ull << 32 | 3), (s64)&found);
	cr_assert(seen_key == 5 && seen_flags == 3);
	cr_assert_eq(calls, 5);
	ops.lookup_cpu = NULL;
	cr_assert_eq(CALL(map_lookup_percpu_elem, &fake_map, &key, 3), 0);
}

Test(helper_map, values_without_keys)
{
	u64 value = 6;

	cr_assert_eq(CALL(map_push_elem, &fake_map, &value, BPF_EXIST), -E2BIG);
	cr_assert(seen_value == 6 && seen_flags == BPF_EXIST);
	cr_assert_eq(CALL(map_pop_elem, &fake_map, &value), 0);
	cr_assert_eq(value, 0x7777777777777777);
	value = 0;
	cr_assert_eq(CALL(map_peek_elem, &fake_map, &value), 0);
	cr_assert_eq(value, 0x7777777777777777);
	pop_result = -ENOENT;
	cr_assert_eq(CALL(map_pop_elem, &fake_map, &value), -ENOENT);
	cr_assert_eq(value, 0, "the program may read it now");
	fake_map.meta.value_size = 2 * 4096;
	memset(edge - 2 * 4096, 1, 2 * 4096);
	cr_assert_eq(CALL(map_peek_elem, &fake_map, edge - 2 * 4096), -ENOENT);
	for (u32 i = 1; i <= 2 * 4096; i++)
		cr_assert_eq(edge[-(s64)i], 0);
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_map.meta.value_size = 8;
		pop_result = i % 2 ? 0 : -ENOENT;
		cr_assert_eq(CALL(map_push_elem, &fake_map, bad[i], 0), -EFAULT);
		cr_assert_eq(CALL(map_pop_elem, &fake_map, bad[i]), -EFAULT);
		cr_assert_eq(CALL(map_peek_elem, &fake_map, bad[i]), -EFAULT);
		cr_assert_eq(CALL(map_pop_elem, bad[i], &value), -EINVAL);
	}
	/* what can't be popped is asked */
	ops.pop = NULL;
	pop_result = -ENOENT;
	value = 4;
	cr_assert_eq(CALL(map_peek_elem, &fake_map, &value), -ENOENT);
	cr_assert_eq(value, 4);
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(CALL(map_peek_elem, &fake_map, bad[i]), -EFAULT);
	ops.push = NULL;
	ops.pop = ops.peek = NULL;
	cr_assert_eq(CALL(map_push_elem, &fake_map, &value, 0), -EINVAL);
	cr_assert_eq(CALL(map_pop_elem, &fake_map, &value), -EINVAL);
	cr_assert_eq(CALL(map_peek_elem, &fake_map, &value), -EINVAL);
}

Test(helper_map, maps_inside_maps)
{
	static u8 memory[4096];
	struct ebpf_inner *set = (void *)memory;
	static struct ebpf_map inner, stranger;
	u64 key = 5;

	inner = stranger = fake_map;
	inner.meta.id = 7;
	cr_assert_eq(CALL(map_lookup_elem, &inner, &key), 0);
	cr_assert_leq(ebpf_inner_size(2), sizeof(memory));
	ebpf_inner_init(set, 2);
	cr_assert_eq(ebpf_inner_add(set, &inner), 0);
	fake_map.inner = set;
	cr_assert_eq(CALL(map_lookup_elem, &inner, &key), (s64)&found);
	cr_assert_eq(CALL(map_delete_elem, &inner, &key), -ENOENT);
	cr_assert_eq(CALL(map_lookup_elem, &stranger, &key), 0);
	cr_assert_eq(CALL(map_lookup_elem, (u64)&inner + 8, &key), 0);
	cr_assert_eq(CALL(map_lookup_elem, 7, &key), 0, "its id is not the map");
}

Test(helper_map, large_values)
{
	u64 key = 5;

	fake_map.meta.value_size = 3 * 4096;
	memset(edge - 8, 0x11, 8);
	cr_assert_eq(CALL(map_update_elem, &fake_map, &key, edge - 3 * 4096, 0), -EEXIST);
	cr_assert_eq(seen_value, 0x1111111111111111);
	cr_assert_eq(CALL(map_update_elem, &fake_map, &key, edge - 3 * 4096 + 1, 0), -EFAULT);
	cr_assert_eq(CALL(map_update_elem, &fake_map, &key, ~0ull - 4096, 0), -EFAULT);
	cr_assert_eq(calls, 1);
}

Test(helper_map, wrong_addresses_stay_outside)
{
	u64 key = 5;

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_assert_eq(CALL(map_lookup_elem, &fake_map, bad[i]), 0);
		cr_assert_eq(CALL(map_lookup_percpu_elem, &fake_map, bad[i], 0), 0);
		cr_assert_eq(CALL(map_delete_elem, &fake_map, bad[i]), -EFAULT);
		cr_assert_eq(CALL(map_update_elem, &fake_map, bad[i], &key, 0), -EFAULT);
		cr_assert_eq(CALL(map_update_elem, &fake_map, &key, bad[i], 0), -EFAULT);
	}
	cr_assert_eq(calls, 0);
}

Test(helper_map, only_maps_of_the_program)
{
	struct ebpf_map other = fake_map;
	u64 key = 5;
	const u64 wrong[] = {0, (u64)&other, (u64)edge, 0x8000000000000000};

	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		cr_assert_eq(CALL(map_lookup_elem, wrong[i], &key), 0);
		cr_assert_eq(CALL(map_lookup_percpu_elem, wrong[i], &key, 0), 0);
		cr_assert_eq(CALL(map_delete_elem, wrong[i], &key), -EINVAL);
		cr_assert_eq(CALL(map_update_elem, wrong[i], &key, &key, 0), -EINVAL);
		cr_assert_eq(CALL(for_each_map_elem, wrong[i], 1, 1, 0), -EINVAL);
	}
	/* the address of a map's value is not a map */
	fake_image.ref.kind = EBPF_REF_MAP_VALUE;
	cr_assert_eq(CALL(map_lookup_elem, &fake_map, &key), 0);
	cr_assert_eq(calls, 0);
}

Test(helper_map, for_each_arguments)
{
	cr_assert_eq(CALL(for_each_map_elem, &fake_map, 1, 1, 1), -EINVAL);
	ops.for_each = NULL;
	cr_assert_eq(CALL(for_each_map_elem, &fake_map, 1, 1, 0), -EINVAL);
}

static u64 sum;

static u64 body(struct ebpf_run *r, u64 fn, u64 i, u64 ctx, u64 r3, u64 r4, u64 r5)
{
	sum += i + ctx;
	return i == fn;
}

Test(helper_map, loop)
{
	run.callback = body;
	cr_assert_eq(CALL(loop, 10, ~0ull, 100, 0), 10);
	cr_assert_eq(sum, 1045);
	cr_assert_eq(CALL(loop, 10, 3, 0, 0), 4);
	cr_assert_eq(CALL(loop, 0, 3, 0, 0), 0);
	cr_assert_eq(CALL(loop, 10, 3, 0, 1), -EINVAL);
	cr_assert_eq(CALL(loop, (8 << 20) + 1, 3, 0, 0), -E2BIG);
	run.aborted = 1;
	cr_assert_eq(CALL(loop, 10, ~0ull, 0, 0), 1);
}
