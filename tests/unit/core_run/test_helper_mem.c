/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads of any memory. */
#include "helper_fake.h"

TestSuite(helper_mem, .init = fake_start);

Test(helper_mem, reads)
{
	u64 v = 0;

	cr_assert_eq(CALL(probe_read, &v, 4, "abcd"), 0);
	cr_assert_eq(v, 0x64636261);
	cr_assert_eq(CALL(probe_read, 0, 0, 0), 0);
	cr_assert_eq(CALL(copy_from_user, &v, 8, &fake_refs), 0);
	cr_assert_eq(v, fake_refs[0]);
}

Test(helper_mem, wrong_addresses_zero_the_destination)
{
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		u8 dst[64], zero[64] = {0};

		memset(dst, 0xee, sizeof(dst));
		cr_assert_eq(CALL(probe_read, dst, 64, bad[i]), -EFAULT, "%u", i);
		cr_assert_eq(memcmp(dst, zero, 64), 0);
		memset(dst, 0xee, sizeof(dst));
		cr_assert_eq(CALL(copy_from_user, dst, 64, bad[i]), -EFAULT, "%u", i);
		cr_assert_eq(memcmp(dst, zero, 64), 0);
		/* one readable byte before the edge may not be a NUL */
		edge[-1] = 'x';
		memset(dst, 0xee, sizeof(dst));
		cr_assert_eq(CALL(probe_read_str, dst, 64, bad[i]), -EFAULT, "%u", i);
		cr_assert_eq(memcmp(dst, zero, 64), 0);
	}
}

Test(helper_mem, wrong_destinations)
{
	char src[64] = "source";

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_assert_eq(CALL(probe_read, bad[i], 64, src), -EFAULT, "%u", i);
		cr_assert_eq(CALL(probe_read_str, bad[i], 64, src), -EFAULT, "%u", i);
	}
}

Test(helper_mem, negative_sizes)
{
	u64 v = 7;

	cr_assert_eq(CALL(probe_read, &v, -1, &v), -EINVAL);
	cr_assert_eq(CALL(probe_read_str, &v, -8, &v), -EINVAL);
	cr_assert_eq(v, 7);
}

Test(helper_mem, strings)
{
	char dst[8];

	cr_assert_eq(CALL(probe_read_str, dst, 8, "abc"), 4);
	cr_assert_str_eq(dst, "abc");
	cr_assert_eq(CALL(probe_read_str, dst, 8, "abcdefghij"), 8);
	cr_assert_str_eq(dst, "abcdefg");
	cr_assert_eq(CALL(probe_read_str, dst, 0, 0), 0);
}
