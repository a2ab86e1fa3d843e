/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The four functions a compiler may call on its own. Hidden: the application's are never used, they
 * may be probed, interposed or use vector registers.
 */
#include "agent/agent.h"

void *memmove(void *dst, const void *src, size_t len);
void *memset(void *dst, int c, size_t len);

void *memcpy(void *dst, const void *src, size_t len)
{
	u8 *d = dst;
	const u8 *s = src;

	for (; len >= 8; len -= 8, d += 8, s += 8)
		__builtin_memcpy(d, s, 8);
	for (; len; len--)
		*d++ = *s++;
	return dst;
}

void *memmove(void *dst, const void *src, size_t len)
{
	u8 *d = dst;
	const u8 *s = src;

	if (d <= s || d >= s + len)
		return memcpy(dst, src, len);
	while (len--)
		d[len] = s[len];
	return dst;
}

void *memset(void *dst, int c, size_t len)
{
	u8 *d = dst;

	for (; len; len--)
		*d++ = (u8)c;
	return dst;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const u8 *x = a, *y = b;

	for (; len; len--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
