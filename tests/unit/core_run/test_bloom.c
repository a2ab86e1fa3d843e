/* SPDX-License-Identifier: BSD-2-Clause */
/* BLOOM_FILTER: what was pushed is there, most of the rest is not; beside the kernel's. */
#include "map_test.h"

#include "osl/osl.h"
#include "osl/osl_trap.h"

TestSuite(bloom, .init = test_participants);

static void test_filter(struct ebpf_map *map, u32 value_size, u32 max, u32 hashes)
{
	struct ebpf_map_meta meta = test_meta(BPF_MAP_TYPE_BLOOM_FILTER, 0, value_size, max, 0);
	u64 size;

	meta.map_extra = hashes;
	meta.seed = test_rand();
	cr_assert_eq(ebpf_map_check(&meta), 0);
	size = ebpf_map_shm_size(&meta);
	cr_assert_eq(ebpf_map_bind(map, &meta, test_mmap(size), size), 0);
}

/* Wrong answers among as many questions as there are values, in thousandths. */
static u32 wrong_of(struct ebpf_map *map, u32 n)
{
	u32 wrong = 0;

	for (u64 i = 0; i < n; i++)
		cr_assert_eq(map->ops->push(map, &i, 0), 0);
	for (u64 i = 0; i < n; i++)
		cr_assert_eq(map->ops->peek(map, &i), 0, "%llu was pushed", (unsigned long long)i);
	for (u64 i = n; i < 2ull * n; i++)
		wrong += map->ops->peek(map, &i) == 0;
	return wrong * 1000 / n;
}

/* The rate that theory gives for this many bits, with room for chance. */
Test(bloom, perhaps_is_rarely_wrong)
{
	const struct {
		u32 max, hashes, wrong;
	} rows[] = {{10000, 0, 45}, {10000, 3, 145}, {10000, 10, 5}, {9000, 1, 520}};

	test_seed();
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ebpf_map map;
		u32 wrong;

		test_filter(&map, 8, rows[i].max, rows[i].hashes);
		wrong = wrong_of(&map, rows[i].max);
		cr_assert_leq(wrong, rows[i].wrong, "row %u: %u in a thousand", i, wrong);
		munmap(map.base, map.size);
	}
}

Test(bloom, values_of_any_size)
{
	test_seed();
	for (u32 size = 1; size < 2000; size += size < 40 ? 1 : 131) {
		u8 value[2000];
		struct ebpf_map map;

		test_filter(&map, size, 1000, 0);
		for (u32 i = 0; i < 20; i++) {
			memset(value, (int)(size + i), sizeof(value));
			cr_assert_eq(map.ops->peek(&map, value), -ENOENT);
			cr_assert_eq(map.ops->push(&map, value, 0), 0);
			cr_assert_eq(map.ops->peek(&map, value), 0);
			value[size - 1] ^= 0x80; /* every byte counts */
			cr_assert_eq(map.ops->peek(&map, value), -ENOENT);
		}
		munmap(map.base, map.size);
	}
}

Test(bloom, flags_and_elements)
{
	struct ebpf_map map;
	u64 value = 5;

	test_filter(&map, 8, 10, 0);
	for (u64 flags = 1; flags < 8; flags++)
		cr_assert_eq(map.ops->push(&map, &value, flags), -EINVAL);
	cr_assert_eq(map.ops->lookup_user(&map, NULL, &value, 0), -ENOENT);
	cr_assert_eq(map.ops->update_user(&map, NULL, &value, 0), 0);
	cr_assert_eq(map.ops->lookup_user(&map, NULL, &value, 0), 0);
	cr_assert_eq(map.ops->lookup_user(&map, NULL, &value, 1), -EINVAL);
	cr_assert_eq(map.ops->update(&map, &value, &value, 0), -EINVAL);
	cr_assert_null(map.ops->lookup(&map, &value));
	cr_assert_null(map.ops->lookup_delete_user);
	mprotect(map.base, map.size, PROT_READ);
	map.readonly = 1;
	cr_assert_eq(map.ops->push(&map, &value, 0), -EPERM);
	cr_assert_eq(map.ops->peek(&map, &value), 0);
}

/* From the smallest to more bits than 32 bits count. */
Test(bloom, sizes)
{
	const struct {
		u32 max, hashes;
		u64 bytes;
	} rows[] = {
		{1, 1, 4096},		{9000, 5, 8192},	   {30000, 5, 32768},
		{1u << 30, 1, 1 << 28}, {1u << 31, 1, 1ull << 29}, {~0u, 15, 1ull << 29},
	};

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ebpf_map_meta meta =
			test_meta(BPF_MAP_TYPE_BLOOM_FILTER, 0, 4, rows[i].max, 0);

		meta.map_extra = rows[i].hashes;
		cr_assert_eq(ebpf_map_check(&meta), 0);
		cr_assert_eq(ebpf_map_shm_size(&meta), rows[i].bytes, "row %u: %llu", i,
			     (unsigned long long)ebpf_map_shm_size(&meta));
	}
}

static int kernel_filter(u32 value_size, u32 max, u32 hashes)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_BLOOM_FILTER;
	attr.value_size = value_size;
	attr.max_entries = max;
	attr.map_extra = hashes;
	return kernel_bpf(BPF_MAP_CREATE, &attr);
}

Test(bloom, as_good_as_the_kernels)
{
	u32 ours, theirs = 0, max = 5000;
	struct ebpf_map map;
	int fd;

	if (!kernel_usable())
		cr_skip("bpf(2) is not allowed here");
	test_seed();
	test_filter(&map, 8, max, 4);
	ours = wrong_of(&map, max);
	fd = kernel_filter(8, max, 4);
	for (u64 i = 0; i < max; i++)
		cr_assert_eq(kernel_elem(BPF_MAP_UPDATE_ELEM, fd, NULL, &i, 0), 0);
	for (u64 i = max; i < 2ull * max; i++)
		theirs += kernel_elem(BPF_MAP_LOOKUP_ELEM, fd, NULL, &i, 0) == 0;
	theirs = theirs * 1000 / max;
	cr_assert_leq(ours, theirs + 20, "%u in a thousand, the kernel's %u", ours, theirs);
	for (u32 hashes = 0; hashes < 20; hashes++) {
		struct ebpf_map_meta meta = map.meta;
		int err = kernel_filter(8, 10, hashes);

		meta.map_extra = hashes;
		cr_assert_eq(ebpf_map_check(&meta), MIN(err, 0), "%u hash functions", hashes);
		if (err >= 0)
			close(err);
	}
	close(fd);
}

/* Bits are set one by one: two processes at once lose none. */
Test(bloom, processes_share_it)
{
	struct ebpf_map map;
	int status;

	test_seed();
	test_filter(&map, 8, 20000, 0);
	for (u32 who = 2; who < 5; who++) {
		if (test_fork(who))
			continue;
		for (u64 i = 0; i < 20000; i++)
			if (map.ops->push(&map, &i, 0))
				_exit(1);
		_exit(0);
	}
	while (wait(&status) > 0)
		cr_assert_eq(status, 0);
	for (u64 i = 0; i < 20000; i++)
		cr_assert_eq(map.ops->peek(&map, &i), 0);
}

/* Whatever lies there is an answer. */
Test(bloom, scribbling)
{
	struct ebpf_map map;

	test_seed();
	test_filter(&map, 8, 1000, 15);
	for (u32 round = 0; round < 100; round++) {
		for (u32 i = 0; i < map.size / 4; i++)
			((u32 *)map.base)[i] = test_rand();
		for (u64 i = 0; i < 50; i++) {
			int err = map.ops->peek(&map, &i);

			cr_assert(err == 0 || err == -ENOENT);
			cr_assert_eq(map.ops->push(&map, &i, 0), 0);
		}
	}
}

/* A large value is the program's memory, which may be unmapped. */
Test(bloom, a_value_that_goes_away)
{
	u8 *p = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ebpf_map map;

	cr_assert_eq(mprotect(p + 4096, 4096, PROT_NONE), 0);
	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_trap_init_self();
	test_filter(&map, 1000, 10, 0);
	cr_assert_eq(map.ops->push(&map, p + 3500, 0), -EFAULT);
	cr_assert_eq(map.ops->peek(&map, p + 3500), -EFAULT);
	cr_assert_eq(map.ops->push(&map, p, 0), 0);
	cr_assert_eq(map.ops->peek(&map, p), 0);
}
