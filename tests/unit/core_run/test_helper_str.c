/* SPDX-License-Identifier: BSD-2-Clause */
/* strtol, strtoul, strncmp with the kernel's results. */
#include "helper_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

TestSuite(helper_str, .init = fake_start);

static void number(const char *text, u64 flags, s64 ret, s64 value)
{
	s64 v = 0;

	cr_assert_eq(CALL(strtol, text, strlen(text) + 1, flags, &v), ret, "'%s'", text);
	cr_assert_eq(v, value, "'%s' is %ld", text, (long)v);
}

Test(helper_str, strtol)
{
	number("0", 0, 1, 0);
	number("123", 10, 3, 123);
	number("  -123xyz", 0, 6, -123);
	number("0x1F", 0, 4, 31);
	number("0X1f", 16, 4, 31);
	number("1f", 16, 2, 31);
	number("017", 0, 3, 15);
	number("-9223372036854775808", 10, 20, INT64_MIN);
	number("9223372036854775807", 10, 19, INT64_MAX);
	number("9223372036854775808", 10, -ERANGE, 0);
	number("-9223372036854775809", 10, -ERANGE, 0);
	number("99999999999999999999999", 10, -ERANGE, 0);
	number("", 10, -EINVAL, 0);
	number("-", 10, -EINVAL, 0);
	number("+5", 10, -EINVAL, 0);
	number("abc", 10, -EINVAL, 0);
	number("0x", 0, 1, 0);
	number("0xg", 0, 1, 0);
	number("8", 8, -EINVAL, 0);
	number("1", 7, -EINVAL, 0);
	number("1", 32, -EINVAL, 0);
}

Test(helper_str, strtoul)
{
	u64 v = 0;

	cr_assert_eq(CALL(strtoul, "18446744073709551615", 20, 10, &v), 20);
	cr_assert_eq(v, ~0ull);
	v = 3;
	cr_assert_eq(CALL(strtoul, "18446744073709551616", 20, 10, &v), -ERANGE);
	cr_assert_eq(CALL(strtoul, "-1", 2, 10, &v), -EINVAL);
	cr_assert_eq(CALL(strtoul, "12345", 2, 10, &v), 2);
	cr_assert_eq(v, 12);
}

Test(helper_str, numbers_at_wrong_addresses)
{
	u64 v = 3;

	for (u32 i = 1; i < ARRAY_SIZE(bad); i++) {
		cr_assert_eq(CALL(strtol, bad[i], 8, 10, &v), -EFAULT, "%u", i);
		cr_assert_eq(CALL(strtoul, "7", 1, 10, bad[i]), -EFAULT, "%u", i);
		cr_assert_eq(CALL(strtol, "7", 1, 10, bad[i]), -EFAULT, "%u", i);
	}
	cr_assert_eq(CALL(strtol, 0, 8, 10, &v), -EINVAL);
	cr_assert_eq(CALL(strtol, "1", 0, 10, &v), -EINVAL);
	cr_assert_eq(CALL(strtol, "1", -1, 10, &v), -EINVAL);
	cr_assert_eq(v, 3);
}

Test(helper_str, strtol_as_libc)
{
	unsigned int seed = (unsigned int)time(NULL);

	srandom(seed);
	for (int i = 0; i < 5000; i++) {
		s64 want = (s64)((u64)random() << 33 ^ (u64)random()) >> random() % 64, v = 0;
		char text[32];
		int n = snprintf(text, sizeof(text), "%*s%ld", (int)(random() % 3), "", (long)want);

		cr_assert_eq(CALL(strtol, text, n, 0, &v), n, "seed %u '%s'", seed, text);
		cr_assert_eq(v, want, "seed %u '%s'", seed, text);
	}
}

Test(helper_str, strncmp)
{
	cr_assert_eq(CALL(strncmp, "abc", 4, "abc"), 0);
	cr_assert_lt((s32)CALL(strncmp, "abc", 4, "abd"), 0);
	cr_assert_gt((s32)CALL(strncmp, "b", 2, "abd"), 0);
	cr_assert_eq(CALL(strncmp, "abX", 2, "abY"), 0);
	cr_assert_lt((s32)CALL(strncmp, "ab", 9, "ab\xff"), 0);
	cr_assert_eq(CALL(strncmp, bad[0], 0, bad[1]), 0);
	cr_assert_eq(CALL(strncmp, bad[0], 1, "x"), -EFAULT);
	cr_assert_eq(CALL(strncmp, "x", 1, bad[3]), -EFAULT);
	cr_assert_eq(CALL(strncmp, "x", -1, "x"), -EINVAL);
}
