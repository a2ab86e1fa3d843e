/* SPDX-License-Identifier: BSD-2-Clause */
/* Dynptrs of local memory: every function, at and beyond each bound, with none, and in two places.
 */
#include "core/run/dynptr.h"
#include "helper_fake.h"

#define KCALL(name, ...) KCALL_(name, __VA_ARGS__, 0, 0, 0, 0, 0)
#define KCALL_(name, a, b, c, d, e, ...)                                                           \
	((s64)ebpf_k_##name((u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), &run))
#define ERR32(e) ((s64)(u32) - (e))
#define SIZE 100u

static u8 memory[SIZE], before[SIZE];
static struct ebpf_dynptr d;

static void start(void)
{
	fake_start();
	for (u32 i = 0; i < SIZE; i++)
		memory[i] = (u8)(i + 1);
	memcpy(before, memory, SIZE);
	cr_assert_eq(CALL(dynptr_from_mem, memory, SIZE, 0, &d), 0);
}

TestSuite(dynptr, .init = start);

static bool is_none(const struct ebpf_dynptr *p)
{
	static const struct ebpf_dynptr none;

	return !memcmp(p, &none, sizeof(none));
}

Test(dynptr, from_memory)
{
	cr_expect_eq(KCALL(dynptr_size, &d), SIZE);
	cr_expect_eq(KCALL(dynptr_is_null, &d), 0);
	cr_expect_eq(KCALL(dynptr_is_rdonly, &d), 0);
	cr_expect_eq(CALL(dynptr_from_mem, memory, SIZE, 1, &d), -EINVAL);
	cr_expect(is_none(&d));
	cr_expect_eq(CALL(dynptr_from_mem, memory, (1u << 24) - 1, 0, &d), 0);
	cr_expect_eq(CALL(dynptr_from_mem, memory, 1u << 24, 0, &d), -E2BIG);
	cr_expect(is_none(&d));
	cr_expect_eq(CALL(dynptr_from_mem, memory, 1ull << 32, 0, &d), -E2BIG);
	cr_expect_eq(CALL(dynptr_from_mem, memory, 0, 0, &d), 0);
	cr_expect_eq(KCALL(dynptr_is_null, &d), 0);
	cr_expect_eq(CALL(dynptr_read, edge - 1, 1, &d, 0, 0), -E2BIG);
}

Test(dynptr, none_has_nothing)
{
	struct ebpf_dynptr none = {0}, copy = d;
	u64 v;

	cr_expect_eq(CALL(dynptr_read, &v, 0, &none, 0, 0), -EINVAL);
	cr_expect_eq(CALL(dynptr_write, &none, 0, &v, 0, 0), -EINVAL);
	cr_expect_eq(CALL(dynptr_data, &none, 0, 0), 0);
	cr_expect_eq(KCALL(dynptr_slice, &none, 0, 0, 0), 0);
	cr_expect_eq(KCALL(dynptr_size, &none), ERR32(EINVAL));
	cr_expect_eq(KCALL(dynptr_is_null, &none), 1);
	cr_expect_eq(KCALL(dynptr_is_rdonly, &none), 0);
	cr_expect_eq(KCALL(dynptr_adjust, &none, 0, 0), ERR32(EINVAL));
	cr_expect_eq(KCALL(dynptr_clone, &none, &copy), ERR32(EINVAL));
	cr_expect(is_none(&copy));
}

static const struct range {
	u64 off, len;
	bool in;
} ranges[] = {
	{0, 0, true},
	{0, SIZE, true},
	{SIZE, 0, true},
	{SIZE - 1, 1, true},
	{3, 17, true},
	{0, SIZE + 1, false},
	{SIZE, 1, false},
	{SIZE - 1, 2, false},
	{SIZE + 1, 0, false},
	{~0ull, 1, false},
	{~0ull, 0, false},
	{1, ~0ull, false},
	{~0ull - 7, 8, false},
	{1ull << 32, 1, false},
	{(1ull << 32) + 1, 1, false},
	{0, (1ull << 32) + 1, false},
	{UINT32_MAX - 3, 8, false},
};

Test(dynptr, bounds)
{
	u8 buf[SIZE + 8];

	for (u32 i = 0; i < ARRAY_SIZE(ranges); i++) {
		const struct range *r = &ranges[i];
		s64 said = r->in ? 0 : -E2BIG;
		s64 where = r->in ? (s64)(memory + r->off) : 0;

		memset(buf, 0xee, sizeof(buf));
		cr_expect_eq(CALL(dynptr_read, buf, r->len, &d, r->off, 0), said, "range %u", i);
		if (r->in)
			cr_expect_eq(memcmp(buf, memory + r->off, r->len), 0);
		cr_expect_eq(buf[r->in ? r->len : 0], 0xee);
		cr_expect_eq(CALL(dynptr_data, &d, r->off, r->len), where, "range %u", i);
		memset(buf, 0x77, sizeof(buf));
		cr_expect_eq(CALL(dynptr_write, &d, r->off, buf, r->len, 0), said, "range %u", i);
		if (r->in)
			memset(before + r->off, 0x77, r->len);
		cr_expect_eq(memcmp(memory, before, SIZE), 0, "range %u", i);
		/* the kernel function takes 32 bits */
		if (r->off <= UINT32_MAX && r->len <= UINT32_MAX)
			cr_expect_eq(KCALL(dynptr_slice, &d, r->off, 0, r->len), where);
	}
	cr_expect_eq(CALL(dynptr_read, buf, 1, &d, 0, 1), -EINVAL);
	cr_expect_eq(CALL(dynptr_write, &d, 0, buf, 1, 1), -EINVAL);
	cr_expect_eq(CALL(dynptr_write, &d, SIZE, buf, 1, 1), -E2BIG);
}

Test(dynptr, parts_of_parts)
{
	struct ebpf_dynptr copy;

	cr_expect_eq(KCALL(dynptr_clone, &d, &copy), 0);
	cr_expect_eq(KCALL(dynptr_adjust, &d, 10, 9), ERR32(EINVAL));
	cr_expect_eq(KCALL(dynptr_adjust, &d, 10, SIZE + 1), ERR32(ERANGE));
	cr_expect_eq(KCALL(dynptr_adjust, &d, SIZE + 1, SIZE + 1), ERR32(ERANGE));
	cr_expect_eq(KCALL(dynptr_adjust, &d, ~0u, ~0u), ERR32(ERANGE));
	cr_expect_eq(KCALL(dynptr_size, &d), SIZE);
	cr_expect_eq(KCALL(dynptr_adjust, &d, 10, 50), 0);
	cr_expect_eq(KCALL(dynptr_size, &d), 40);
	cr_expect_eq(KCALL(dynptr_adjust, &d, 5, 41), ERR32(ERANGE));
	cr_expect_eq(KCALL(dynptr_adjust, &d, 5, 40), 0);
	cr_expect_eq(KCALL(dynptr_size, &d), 35);
	cr_expect_eq(CALL(dynptr_data, &d, 0, 35), (s64)(memory + 15));
	cr_expect_eq(CALL(dynptr_data, &d, 0, 36), 0);
	cr_expect_eq(KCALL(dynptr_adjust, &d, 35, 35), 0);
	cr_expect_eq(KCALL(dynptr_size, &d), 0);
	cr_expect_eq(KCALL(dynptr_is_null, &d), 0);
	cr_expect_eq(KCALL(dynptr_size, &copy), SIZE);
	cr_expect_eq(CALL(dynptr_data, &copy, 0, SIZE), (s64)memory);
}

/* a program may copy from a map's value into the same */
Test(dynptr, copies_that_overlap)
{
	for (u32 from = 0; from < 40; from++)
		for (u32 to = 0; to < 40; to++)
			for (u32 len = 0; len <= 60; len += 7) {
				memmove(before + to, before + from, len);
				cr_assert_eq(CALL(dynptr_write, &d, to, memory + from, len, 0), 0);
				cr_assert_eq(memcmp(memory, before, SIZE), 0, "%u to %u, %u", from,
					     to, len);
				memmove(before + from, before + to, len);
				cr_assert_eq(CALL(dynptr_read, memory + from, len, &d, to, 0), 0);
				cr_assert_eq(memcmp(memory, before, SIZE), 0, "%u to %u, %u", from,
					     to, len);
			}
}

Test(dynptr, wrong_addresses)
{
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_eq(CALL(dynptr_read, bad[i], 8, &d, 0, 0), -EFAULT, "bad %u", i);
		cr_expect_eq(CALL(dynptr_write, &d, 0, bad[i], 8, 0), -EFAULT, "bad %u", i);
	}
}
