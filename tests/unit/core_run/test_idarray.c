/* SPDX-License-Identifier: BSD-2-Clause */
/* PROG_ARRAY and PERF_EVENT_ARRAY: ids in, ids out, the kernel's errors. */
#include "map_test.h"

#include "core/run/map/idarray.h"

Test(idarray, ids_are_kept)
{
	struct ebpf_map map;
	u32 key = 2, id, old = 9;

	test_map(&map, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 3, 0);
	cr_assert_eq(ebpf_idarray_get(&map, 2), 0);
	cr_assert_eq(ebpf_idarray_set(&map, 2, 50, &old), 0);
	cr_assert_eq(old, 0);
	cr_assert_eq(ebpf_idarray_set(&map, 2, 51, &old), 0);
	cr_assert_eq(old, 50);
	cr_assert_eq(ebpf_idarray_get(&map, 2), 51);
	cr_assert_eq(*(u32 *)map.ops->lookup(&map, &key), 51);
	cr_assert_eq(map.ops->lookup_user(&map, &key, &id, 0), 0);
	cr_assert_eq(id, 51);
}

Test(idarray, errors_are_the_kernels)
{
	struct ebpf_map map;
	u32 key = 3, id = 1;

	test_map(&map, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 3, 0);
	cr_assert_eq(ebpf_idarray_set(&map, 3, 1, NULL), -E2BIG);
	cr_assert_eq(ebpf_idarray_get(&map, 3), 0);
	cr_assert_eq(ebpf_idarray_get(&map, ~0u), 0);
	cr_assert_null(map.ops->lookup(&map, &key));
	cr_assert_eq(map.ops->lookup_user(&map, &key, &id, 0), -ENOENT);
	key = 0;
	cr_assert_eq(map.ops->lookup_user(&map, &key, &id, 0), -ENOENT);
	cr_assert_eq(map.ops->update(&map, &key, &id, 0), -EINVAL);
	test_map(&map, BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 3, 0);
	cr_assert_eq(map.ops->lookup_user(&map, &key, &id, 0), -524);
}
