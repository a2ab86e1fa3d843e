/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The logs' formatter says what libc's snprintf() says: every conversion it knows, some it leaves
 * to libc, edges and random numbers, buffers that are too small.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/load/log_format.h"

static void same_text(size_t size, const char *theirs, int length, const char *ours, int our_length)
{
	cr_assert_eq(our_length, length, "\"%s\" not \"%s\"", ours, theirs);
	cr_assert(!size || !strcmp(ours, theirs), "\"%s\" not \"%s\"", ours, theirs);
}

#define SAME(size, ...)                                                                            \
	do {                                                                                       \
		char theirs[128] = "?", ours[128] = "?";                                           \
		int length = snprintf(theirs, size, __VA_ARGS__);                                  \
                                                                                                   \
		same_text(size, theirs, length, ours, ebpf_log_format(ours, size, __VA_ARGS__));   \
	} while (0)

static void numbers(u64 n, size_t size)
{
	SAME(size, "%d|%u|%x|%#x|%+d", (int)n, (unsigned)n, (unsigned)n, (unsigned)n, (int)n);
	SAME(size, "%lld|%llu", (long long)n, (unsigned long long)n);
	SAME(size, "%llx|%#llx|%+lld", (unsigned long long)n, (unsigned long long)n, (long long)n);
	SAME(size, "r%d = *(%s *)(r%d %+d): (%02x)", (int)n, "u64", 1, (s16)n, (u8)n);
	SAME(size, "%c%s%%", (char)('a' + n % 26), "text");
	SAME(size, "%5d|%-4d|%05x|%o", (int)n, (int)n, (unsigned)n, (unsigned)n);
	SAME(size, "%*c;%3s|%.2s", 4, ' ', "a", "abc");
	SAME(size, "%#02x|%+d", (unsigned)n, 0);
}

Test(log_format, as_libc)
{
	static const u64 edges[] = {
		0,	    1,	       9,	   10,	       0x7f,
		0x80,	    0xff,      0x7fffffff, 0x80000000, 0xffffffff,
		1ull << 32, INT64_MAX, 1ull << 63, UINT64_MAX, 0xffffffff80000000};
	static const size_t sizes[] = {0, 1, 2, 5, 9, 128};

	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
			numbers(edges[i], sizes[k]);
	srandom(1);
	for (u32 i = 0; i < 10000; i++)
		numbers(((u64)random() << 33 ^ (u64)random()) >> random() % 64, 128);
	SAME(128, "no conversion");
	SAME(128, "%s", "");
}
