/* SPDX-License-Identifier: BSD-2-Clause */
/* Strings and numbers in them; results and errors as the kernel's. */
#include "core/run/helper_impl.h"

#define NUMBER_MAX 63 /* characters the kernel looks at after blanks and sign */
#define BASE_MASK 0x1full

struct number {
	u64 value;
	u32 consumed;
	bool negative;
};

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static u32 digit(char c)
{
	if (c >= '0' && c <= '9')
		return (u32)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (u32)(c - 'a' + 10) : 16;
}

/* The base that the text itself shows, and how many characters that takes. */
static u32 prefix(const char *s, u32 *base)
{
	bool hex = s[0] == '0' && (s[1] | 0x20) == 'x';

	if (!*base)
		*base = s[0] != '0' ? 10 : hex && digit(s[2]) < 16 ? 16 : 8;
	return *base == 16 && hex ? 2 : 0;
}

/* @s ends with a NUL. 0, -EINVAL without a digit, -ERANGE. */
static int parse_digits(const char *s, u32 base, struct number *out)
{
	u32 start = prefix(s, &base), i = start;
	u64 v = 0;

	for (u32 d; (d = digit(s[i])) < base; i++)
		if (__builtin_mul_overflow(v, (u64)base, &v) ||
		    __builtin_add_overflow(v, (u64)d, &v))
			return -ERANGE;
	if (i == start)
		return -EINVAL;
	out->value = v;
	out->consumed += i;
	return 0;
}

/* Blanks, a sign where allowed, digits: from at most @len bytes at @src. */
static int parse(const char *src, u64 len, u64 flags, struct number *out)
{
	u32 base = (u32)(flags & BASE_MASK);
	char buf[NUMBER_MAX + 1];
	char c = 0;
	u64 i = 0, n;

	if (!src || !len || len > EBPF_MAX_SIZE || flags & ~BASE_MASK ||
	    (base && base != 8 && base != 10 && base != 16))
		return -EINVAL;
	for (; i < len; i++) {
		if (osl_read(&c, src + i, 1))
			return -EFAULT;
		if (!is_blank(c))
			break;
	}
	out->negative = i < len && c == '-';
	i += out->negative;
	if (i >= len)
		return -EINVAL;
	n = MIN(len - i, NUMBER_MAX);
	if (osl_read(buf, src + i, n))
		return -EFAULT;
	buf[n] = 0;
	out->consumed = (u32)i;
	return parse_digits(buf, base, out);
}

EBPF_HELPER(strtol)
{
	struct number n;
	int err = parse((const char *)r1, r2, r3, &n);
	s64 v;

	if (err)
		return (u64)(s64)err;
	if (n.value > (u64)INT64_MAX + n.negative)
		return (u64)-ERANGE;
	v = (s64)(n.negative ? -n.value : n.value);
	return osl_write((void *)r4, &v, sizeof(v)) ? (u64)-EFAULT : n.consumed;
}

EBPF_HELPER(strtoul)
{
	struct number n;
	int err = parse((const char *)r1, r2, r3, &n);

	if (!err && n.negative)
		err = -EINVAL;
	if (err)
		return (u64)(s64)err;
	return osl_write((void *)r4, &n.value, sizeof(n.value)) ? (u64)-EFAULT : n.consumed;
}

/* strncmp(@r1, @r3, @r2) */
EBPF_HELPER(strncmp)
{
	const char *a = (const char *)r1, *b = (const char *)r3;

	if (r2 > EBPF_MAX_SIZE)
		return (u64)-EINVAL;
	for (u64 i = 0; i < r2; i++) {
		u8 x, y;

		if (osl_read(&x, a + i, 1) || osl_read(&y, b + i, 1))
			return (u64)-EFAULT;
		if (x != y)
			return x < y ? (u64)-1 : 1;
		if (!x)
			break;
	}
	return 0;
}
