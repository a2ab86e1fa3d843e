/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model: %s %c %d %u %x %%, the numbers with "ll", '+', '#' and a width with '0' ("%02x"). A
 * conversion that isn't one of these, and the whole is formatted by vsnprintf() instead.
 */
#include "core/load/log_format.h"

#include <stdio.h>
#include <string.h>

struct out {
	char *buf;
	size_t size;
	size_t len; /* of the text, be there room or not */
};

struct spec {
	bool plus, hex_mark, wide;
	u32 zeros; /* digits at least */
	char kind;
};

static void put(struct out *o, const char *text, size_t n)
{
	if (o->len < o->size)
		memcpy(o->buf + o->len, text, MIN(n, o->size - o->len));
	o->len += n;
}

static void put_number(struct out *o, const struct spec *s, u64 n, bool negative)
{
	u32 base = s->kind == 'x' ? 16 : 10, digits = 0, at;
	char text[32];

	at = sizeof(text);
	for (u64 rest = n; rest || !digits || digits < s->zeros; rest /= base, digits++)
		text[--at] = "0123456789abcdef"[rest % base];
	if (s->kind == 'x' && s->hex_mark && n) {
		text[--at] = 'x';
		text[--at] = '0';
	}
	if (negative)
		text[--at] = '-';
	else if (s->plus && s->kind == 'd')
		text[--at] = '+';
	put(o, text + at, sizeof(text) - at);
}

/* What follows a '%'; NULL: not one of ours. */
static const char *parse(const char *p, struct spec *s)
{
	*s = (struct spec){0};
	for (; *p == '+' || *p == '#'; p++) {
		s->plus |= *p == '+';
		s->hex_mark |= *p == '#';
	}
	if (p[0] == '0' && p[1] >= '1' && p[1] <= '9') {
		s->zeros = (u32)(p[1] - '0');
		p += 2;
	}
	if (p[0] == 'l' && p[1] == 'l') {
		s->wide = true;
		p += 2;
	}
	s->kind = *p;
	/* a sign or a mark would count as digits of the width */
	if (!*p || !strchr("scdux%", *p) || (s->zeros && (s->kind != 'x' || s->hex_mark)))
		return NULL;
	return p + 1;
}

static void convert(struct out *o, const struct spec *s, va_list *ap)
{
	const char *text;
	char c;
	s64 n;

	switch (s->kind) {
	case 's':
		text = va_arg(*ap, const char *);
		put(o, text, strlen(text));
		return;
	case 'c':
		c = (char)va_arg(*ap, int);
		put(o, &c, 1);
		return;
	case 'd':
		n = s->wide ? va_arg(*ap, long long) : va_arg(*ap, int);
		put_number(o, s, n < 0 ? 0 - (u64)n : (u64)n, n < 0);
		return;
	case '%':
		put(o, "%", 1);
		return;
	default:
		put_number(o, s, s->wide ? va_arg(*ap, unsigned long long) : va_arg(*ap, unsigned),
			   false);
	}
}

static bool format(struct out *o, const char *fmt, va_list *ap)
{
	struct spec s;

	while (*fmt) {
		const char *end = fmt;

		while (*end && *end != '%')
			end++;
		put(o, fmt, (size_t)(end - fmt));
		if (!*end)
			break;
		fmt = parse(end + 1, &s);
		if (!fmt)
			return false;
		convert(o, &s, ap);
	}
	return true;
}

int ebpf_log_vformat(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = {.buf = buf, .size = size};
	va_list copy;
	bool ours;

	va_copy(copy, ap);
	ours = format(&o, fmt, &copy);
	va_end(copy);
	if (!ours)
		return vsnprintf(buf, size, fmt, ap);
	if (size)
		buf[MIN(o.len, size - 1)] = '\0';
	return (int)o.len;
}

int ebpf_log_format(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = ebpf_log_vformat(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
