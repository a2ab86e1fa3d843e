/* SPDX-License-Identifier: BSD-2-Clause */
/* STACK_TRACE: ids, flags, reading while it changes, writers that are killed. */
#include "map_test.h"

#include "core/run/map/stackmap.h"

TestSuite(stackmap, .init = test_participants);

static void stack_of(u64 *ips, u32 n, u64 x)
{
	for (u32 i = 0; i < n; i++)
		ips[i] = x * 1000 + i;
}

Test(stackmap, equal_stacks_have_one_id)
{
	u64 a[4], b[4], out[16];
	struct ebpf_map map;
	u32 id, other, next;

	test_map(&map, BPF_MAP_TYPE_STACK_TRACE, 4, 16 * 8, 1000, 0);
	stack_of(a, 4, 1);
	stack_of(b, 4, 2);
	id = (u32)ebpf_stackmap_put(&map, a, 4, 0);
	cr_assert_lt(id, 1024);
	cr_assert_eq(ebpf_stackmap_put(&map, a, 4, 0), id);
	other = (u32)ebpf_stackmap_put(&map, b, 4, 0);
	cr_assert_neq(other, id);
	cr_assert_eq(map.ops->lookup_user(&map, &id, out, 0), 0);
	cr_assert_arr_eq(out, a, sizeof(a));
	for (u32 i = 4; i < 16; i++)
		cr_assert_eq(out[i], 0);
	cr_assert_eq(map.ops->next(&map, NULL, &next), 0);
	cr_assert_eq(next, MIN(id, other));
	cr_assert_eq(map.ops->next(&map, &next, &next), 0);
	cr_assert_eq(next, MAX(id, other));
	cr_assert_eq(map.ops->next(&map, &next, &next), -ENOENT);
	cr_assert_eq(map.ops->del(&map, &id), 0);
	cr_assert_eq(map.ops->del(&map, &id), -ENOENT);
	cr_assert_eq(map.ops->lookup_user(&map, &id, out, 0), -ENOENT);
	id = 1024;
	cr_assert_eq(map.ops->del(&map, &id), -E2BIG);
	cr_assert_eq(map.ops->lookup_user(&map, &id, out, 0), -ENOENT);
	cr_assert_null(map.ops->lookup(&map, &other));
	cr_assert_eq(map.ops->update(&map, &other, out, 0), -EINVAL);
	cr_assert_eq(ebpf_stackmap_put(&map, a, 0, 0), -EFAULT);
}

Test(stackmap, a_taken_id_is_refused_or_reused)
{
	u64 ips[200], out[127];
	struct ebpf_map map;
	u32 id = 0;

	test_map(&map, BPF_MAP_TYPE_STACK_TRACE, 4, 127 * 8, 1, 0);
	stack_of(ips, 200, 1);
	cr_assert_eq(ebpf_stackmap_put(&map, ips, 200, 0), 0, "cut to what fits");
	cr_assert_eq(ebpf_stackmap_put(&map, ips, 100, 0), -EEXIST);
	cr_assert_eq(map.ops->lookup_user(&map, &id, out, 0), 0);
	cr_assert_arr_eq(out, ips, sizeof(out));
	cr_assert_eq(ebpf_stackmap_put(&map, ips, 3, BPF_F_REUSE_STACKID), 0);
	cr_assert_eq(map.ops->lookup_user(&map, &id, out, 0), 0);
	cr_assert_arr_eq(out, ips, 24);
	cr_assert_eq(out[3], 0);
}

static void put_for_ever(struct ebpf_map *map)
{
	u64 ips[32];

	for (;;) {
		u32 n = 1 + test_rand() % 32;

		stack_of(ips, n, test_rand() % 64);
		ebpf_stackmap_put(map, ips, n, BPF_F_REUSE_STACKID);
	}
}

static void check_stack(struct ebpf_map *map, u32 id)
{
	u64 out[32];

	if (map->ops->lookup_user(map, &id, out, 0))
		return;
	for (u32 i = 0; i < 32 && out[i]; i++)
		cr_assert_eq(out[i], out[0] + i, "stack %u is torn", id);
}

Test(stackmap, killed_anywhere_no_stack_is_torn, .timeout = 60)
{
	struct ebpf_map map;
	u64 ips[2] = {5000, 5001};

	test_seed();
	test_map(&map, BPF_MAP_TYPE_STACK_TRACE, 4, 32 * 8, 8, 0);
	for (u32 round = 0; round < 100; round++) {
		u64 until = test_now_ns() + 200000 + test_rand() % 2000000;
		u32 who = 2 + round;
		pid_t pid = test_fork(who);

		if (!pid) {
			test_rand_state = test_rand_state * 31 + who;
			put_for_ever(&map);
		}
		while (test_now_ns() < until)
			check_stack(&map, test_rand() % 8);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		shared->dead[who] = 1;
		for (u32 id = 0; id < 8; id++)
			check_stack(&map, id);
		cr_assert_geq(ebpf_stackmap_put(&map, ips, 2, BPF_F_REUSE_STACKID), 0);
	}
}
