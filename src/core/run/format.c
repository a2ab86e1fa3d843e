/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A format is a sequence of plain text and conversions; one parser serves the check and the output.
 * The set is the kernel's for BPF: %d %i %u %x %X with l and ll, %c, %s %pks %pus, %p %px %pK %ps
 * %pS %pB %pi4 %pI4 %pi6 %pI6, %%, with the flags 0 + - space and a width. There are no kernel
 * symbols here: %ps and its like print the address as a kernel without symbols does.
 */
#include <errno.h>

#include "core/run/format.h"
#include "osl/osl_trap.h"

#define STRING_MAX 512
#define WIDTH_MAX 4096

enum kind { LITERAL, PERCENT, INTEGER, CHARACTER, STRING, POINTER, SYMBOL, ADDRESS };

struct spec {
	u8 kind;
	u8 len; /* characters of the format it takes */
	u8 is64, is_signed, base, upper;
	u8 zero, left, plus, space;
	char sub[2]; /* of ADDRESS: i or I, 4 or 6 */
	u16 width;
};

struct sink {
	char *out;
	u32 size, len;
};

/* --- parsing --- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_print(char c)
{
	return c >= 0x20 && c < 0x7f;
}

static bool is_alnum(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* May @c follow a pointer or string conversion? What can't be taken for a part of it. */
static bool is_end(char c)
{
	return !c || is_space(c) || (is_print(c) && !is_alnum(c));
}

static const char *parse_flags(const char *p, struct spec *s)
{
	u32 width = 0;

	for (;; p++) {
		if (*p == '0')
			s->zero = 1;
		else if (*p == '+')
			s->plus = 1;
		else if (*p == '-')
			s->left = 1;
		else if (*p == ' ')
			s->space = 1;
		else
			break;
	}
	for (; is_digit(*p); p++)
		width = MIN(width * 10 + (u32)(*p - '0'), WIDTH_MAX);
	s->width = (u16)width;
	return p;
}

/* Behind the p of a pointer conversion. */
static const char *parse_pointer(const char *p, struct spec *s)
{
	if ((p[0] == 'k' || p[0] == 'u') && p[1] == 's') {
		s->kind = STRING;
		return is_end(p[2]) ? p + 2 : NULL;
	}
	s->kind = POINTER;
	if (is_end(p[0]))
		return p;
	if (p[0] == 'K' || p[0] == 'x')
		return p + 1;
	if (p[0] == 's' || p[0] == 'S' || p[0] == 'B') {
		s->kind = SYMBOL;
		return p + 1;
	}
	if ((p[0] == 'i' || p[0] == 'I') && (p[1] == '4' || p[1] == '6')) {
		s->kind = ADDRESS;
		s->sub[0] = p[0];
		s->sub[1] = p[1];
		return p + 2;
	}
	return NULL;
}

static const char *parse_integer(const char *p, struct spec *s)
{
	s->kind = INTEGER;
	s->base = 10;
	for (u32 i = 0; i < 2 && *p == 'l'; i++, p++)
		s->is64 = 1;
	switch (*p) {
	case 'd':
	case 'i':
		s->is_signed = 1;
		break;
	case 'X':
		s->upper = 1;
		s->base = 16;
		break;
	case 'x':
		s->base = 16;
		break;
	case 'u':
		break;
	default:
		return NULL;
	}
	return p + 1;
}

/* One conversion or one plain character at @p, not the NUL. False when it is not allowed. */
static bool parse(const char *p, struct spec *s)
{
	const char *start = p;

	*s = (struct spec){.kind = LITERAL, .len = 1};
	if (*p != '%')
		return is_print(*p) || is_space(*p);
	if (*++p == '%') {
		*s = (struct spec){.kind = PERCENT, .len = 2};
		return true;
	}
	p = parse_flags(p, s);
	if (*p == 'p') {
		p = parse_pointer(p + 1, s);
	} else if (*p == 's') {
		s->kind = STRING;
		p = is_end(p[1]) ? p + 1 : NULL;
	} else if (*p == 'c') {
		s->kind = CHARACTER;
		p++;
	} else {
		p = parse_integer(p, s);
	}
	if (!p || p - start > 255)
		return false;
	s->len = (u8)(p - start);
	return true;
}

int ebpf_format_check(const char *fmt, u32 nargs)
{
	struct spec s;
	u32 n = 0;

	for (; *fmt; fmt += s.len) {
		if (!parse(fmt, &s))
			return -EINVAL;
		if (s.kind > PERCENT && n++ >= nargs)
			return -EINVAL;
	}
	return 0;
}

/* --- output --- */

static void put(struct sink *k, char c)
{
	if (k->len < k->size)
		k->out[k->len] = c;
	k->len++;
}

static void pad(struct sink *k, char c, s32 n)
{
	while (n-- > 0)
		put(k, c);
}

static void put_padded(struct sink *k, const struct spec *s, const char *text, u32 len)
{
	s32 fill = (s32)s->width - (s32)len;

	if (!s->left)
		pad(k, ' ', fill);
	for (u32 i = 0; i < len; i++)
		put(k, text[i]);
	if (s->left)
		pad(k, ' ', fill);
}

/* Digits of @v, last first; returns how many. */
static u32 digits(char *buf, u64 v, u32 base, bool upper)
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	u32 n = 0;

	do {
		buf[n++] = set[v % base];
		v /= base;
	} while (v);
	return n;
}

static void put_number(struct sink *k, const struct spec *s, u64 v, char sign)
{
	char buf[24];
	u32 n = digits(buf, v, s->base, s->upper);
	s32 fill = (s32)s->width - (s32)n - (sign != 0);

	if (!s->left && !s->zero)
		pad(k, ' ', fill);
	if (sign)
		put(k, sign);
	if (!s->left && s->zero)
		pad(k, '0', fill);
	while (n)
		put(k, buf[--n]);
	if (s->left)
		pad(k, ' ', fill);
}

static void put_integer(struct sink *k, const struct spec *s, u64 v)
{
	char sign = 0;

	if (!s->is64)
		v = s->is_signed ? (u64)(s64)(s32)v : (u32)v;
	if (s->is_signed) {
		sign = (s64)v < 0 ? '-' : s->plus ? '+' : s->space ? ' ' : 0;
		v = (s64)v < 0 ? -v : v;
	}
	put_number(k, s, v, sign);
}

static __noinline void put_string(struct sink *k, const struct spec *s, u64 addr)
{
	char buf[STRING_MAX];
	s64 n = osl_read_str(buf, (const char *)addr, sizeof(buf));

	put_padded(k, s, buf, n > 0 ? (u32)n - 1 : 0);
}

/* All sixteen digits, unless a width says otherwise. */
static void put_pointer(struct sink *k, const struct spec *s, u64 v)
{
	struct spec hex = *s;

	hex.base = 16;
	if (!hex.width) {
		hex.width = 16;
		hex.zero = 1;
		hex.left = 0;
	}
	put_number(k, &hex, v, 0);
}

static void put_symbol(struct sink *k, u64 v)
{
	struct spec hex = {.base = 16, .width = 16, .zero = 1};

	put(k, '0');
	put(k, 'x');
	put_number(k, &hex, v, 0);
}

static u32 ipv4_text(char *text, const u8 *a, bool zeros)
{
	u32 len = 0;

	for (u32 i = 0; i < 4; i++) {
		if (i)
			text[len++] = '.';
		if (zeros || a[i] >= 100)
			text[len++] = (char)('0' + a[i] / 100);
		if (zeros || a[i] >= 10)
			text[len++] = (char)('0' + a[i] / 10 % 10);
		text[len++] = (char)('0' + a[i] % 10);
	}
	return len;
}

static u32 ipv6_text(char *text, const u8 *a, bool colons)
{
	u32 len = 0;

	for (u32 i = 0; i < 16; i++) {
		if (i && !(i & 1) && colons)
			text[len++] = ':';
		text[len++] = "0123456789abcdef"[a[i] >> 4];
		text[len++] = "0123456789abcdef"[a[i] & 15];
	}
	return len;
}

/* An address in network order; one that can't be read prints as zeros. */
static void put_address(struct sink *k, const struct spec *s, u64 addr)
{
	u8 a[16] = {0};
	char text[40];
	u32 len;

	if (osl_read(a, (const void *)addr, s->sub[1] == '4' ? 4 : 16))
		osl_zero(a, sizeof(a));
	if (s->sub[1] == '4')
		len = ipv4_text(text, a, s->sub[0] == 'i');
	else
		len = ipv6_text(text, a, s->sub[0] == 'I');
	put_padded(k, s, text, len);
}

static void convert(struct sink *k, const struct spec *s, u64 arg)
{
	char c = (char)arg;

	switch (s->kind) {
	case INTEGER:
		return put_integer(k, s, arg);
	case CHARACTER:
		return put_padded(k, s, &c, 1);
	case STRING:
		return put_string(k, s, arg);
	case POINTER:
		return put_pointer(k, s, arg);
	case SYMBOL:
		return put_symbol(k, arg);
	case ADDRESS:
		return put_address(k, s, arg);
	}
}

u32 ebpf_format(char *out, u32 size, const char *fmt, const u64 *args)
{
	struct sink k = {out, size, 0};
	struct spec s;

	for (; *fmt && parse(fmt, &s); fmt += s.len) {
		if (s.kind <= PERCENT)
			put(&k, *fmt);
		else
			convert(&k, &s, *args++);
	}
	if (size)
		out[MIN(k.len, size - 1)] = 0;
	return k.len;
}
