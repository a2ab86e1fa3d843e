/* SPDX-License-Identifier: BSD-2-Clause */
/* Names and numbers in text, without a C library. */
#include "agent/agent.h"

bool text_begins(const char *s, const char *with)
{
	while (*with && *s == *with)
		s++, with++;
	return !*with;
}

char *put_text(char *to, const char *s)
{
	while (*s)
		*to++ = *s++;
	*to = 0;
	return to;
}

char *put_number(char *to, u64 v)
{
	char digits[24];
	u32 n = sizeof(digits) - 1;

	digits[n] = 0;
	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return put_text(to, digits + n);
}
