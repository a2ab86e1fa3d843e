/* SPDX-License-Identifier: BSD-2-Clause */
/* Walks over stacks made by hand: honest, cut short, cyclic and wild. */
#include "core/run/map/stackmap.h"
#include "helper_fake.h"

#define FRAMES 200
static u64 stack[2 * FRAMES + 2];
static struct arch_regs regs;
static u64 put[127];
static u32 nput;

s64 ebpf_stackmap_put(struct ebpf_map *map, const u64 *ips, u32 n, u64 flags)
{
	memcpy(put, ips, n * 8);
	nput = n;
	return 77;
}

/* @n frames above the probed one: return addresses 1000, 1001, ... */
static void make_stack(u32 n)
{
	memset(stack, 0, sizeof(stack));
	for (u32 i = 0; i < n; i++) {
		stack[2 * i] = i + 1 < n ? (u64)&stack[2 * i + 2] : 0;
		stack[2 * i + 1] = 1000 + i;
	}
	regs = (struct arch_regs){.ip = 999, .bp = (u64)stack};
}

static void start(void)
{
	fake_start();
	run.kind = EBPF_RUN_UPROBE;
	run.ctx = &regs;
	fake_map.meta.type = BPF_MAP_TYPE_STACK_TRACE;
	fake_map.meta.value_size = 127 * 8;
	make_stack(3);
}

TestSuite(helper_stack, .init = start);

static s64 get(u64 *buf, u64 size, u64 flags)
{
	return CALL(get_stack, &regs, buf, size, flags);
}

Test(helper_stack, whole)
{
	u64 buf[8], zero[8] = {0};

	memset(buf, 0xee, sizeof(buf));
	cr_assert_eq(get(buf, sizeof(buf), BPF_F_USER_STACK), 4 * 8);
	cr_assert(buf[0] == 999 && buf[1] == 1000 && buf[2] == 1001 && buf[3] == 1002);
	cr_assert_eq(memcmp(buf + 4, zero, 32), 0, "the rest is zeroed");
}

Test(helper_stack, skip_and_size)
{
	u64 buf[2];

	cr_assert_eq(get(buf, 16, BPF_F_USER_STACK | 1), 16);
	cr_assert(buf[0] == 1000 && buf[1] == 1001);
	cr_assert_eq(get(buf, 16, BPF_F_USER_STACK | 3), 8);
	cr_assert_eq(get(buf, 16, BPF_F_USER_STACK | 4), 0);
	cr_assert_eq(get(buf, 16, BPF_F_USER_STACK | 5), -EFAULT);
	cr_assert_eq(get(buf, 0, BPF_F_USER_STACK), 0);
}

Test(helper_stack, depth_is_bounded)
{
	u64 buf[256];

	make_stack(FRAMES);
	cr_assert_eq(get(buf, sizeof(buf), BPF_F_USER_STACK), 127 * 8);
	cr_assert_eq(buf[126], 1125);
}

Test(helper_stack, broken_chains)
{
	const u64 wild[] = {(u64)stack, (u64)stack + 1, 0x8000000000000000,
			    (u64)edge,	(u64)edge - 8,	8};
	u64 buf[16];

	for (u32 i = 0; i < ARRAY_SIZE(wild); i++) {
		stack[0] = wild[i];
		cr_assert_eq(get(buf, sizeof(buf), BPF_F_USER_STACK), 16, "%u", i);
		cr_assert(buf[0] == 999 && buf[1] == 1000);
	}
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		regs.bp = bad[i];
		cr_assert_eq(get(buf, sizeof(buf), BPF_F_USER_STACK), 8, "%u", i);
	}
}

Test(helper_stack, refused)
{
	u64 buf[4] = {1, 1, 1, 1};

	cr_assert_eq(get(buf, 32, 0), -EFAULT);
	cr_assert(!buf[0] && !buf[3]);
	cr_assert_eq(get(buf, 31, BPF_F_USER_STACK), -EINVAL);
	cr_assert_eq(get(buf, 32, BPF_F_USER_STACK | 1 << 12), -EINVAL);
	cr_assert_eq(get(buf, -8, BPF_F_USER_STACK), -EINVAL);
	cr_assert_eq(get((u64 *)bad[1], 32, BPF_F_USER_STACK), -EFAULT);
	run.kind = EBPF_RUN_TEST;
	cr_assert_eq(get(buf, 32, BPF_F_USER_STACK), -EFAULT);
}

Test(helper_stack, stackid)
{
	cr_assert_eq(CALL(get_stackid, &regs, &fake_map, BPF_F_USER_STACK | 1), 77);
	cr_assert(nput == 3 && put[0] == 1000);
	cr_assert_eq(CALL(get_stackid, &regs, &fake_map, BPF_F_USER_STACK | 4), -EFAULT);
	fake_map.meta.value_size = 8;
	cr_assert_eq(CALL(get_stackid, &regs, &fake_map, BPF_F_USER_STACK), 77);
	cr_assert_eq(nput, 1);
	cr_assert_eq(CALL(get_stackid, &regs, &fake_map, 0), -EFAULT);
	cr_assert_eq(CALL(get_stackid, &regs, &fake_map, 1 << 12), -EINVAL);
	fake_map.meta.type = BPF_MAP_TYPE_HASH;
	cr_assert_eq(CALL(get_stackid, &regs, &fake_map, BPF_F_USER_STACK), -EINVAL);
	cr_assert_eq(CALL(get_stackid, &regs, NULL, BPF_F_USER_STACK), -EINVAL);
}
