/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scalar as the kernel's log has it: bounds that say nothing are left out, of the others those
 * with equal values are named together ("smin=smin32=0"), lower ones with lower, upper with upper.
 */
#include "core/load/scalar.h"

#include <stdio.h>
#include <string.h>

struct bound {
	const char *name;
	u64 value;
	bool is_signed;
	bool omit;
};

struct text {
	char *buf;
	size_t size;
	int len;
};

#define append(t, ...)                                                                             \
	((t)->len +=                                                                               \
	 snprintf((t)->buf + ((size_t)(t)->len < (t)->size ? (t)->len : 0),                        \
		  (size_t)(t)->len < (t)->size ? (t)->size - (t)->len : 0, __VA_ARGS__))

static bool is_short(s64 value)
{
	return value >= INT16_MIN && value <= INT16_MAX;
}

static void append_number(struct text *t, u64 value, bool is_signed)
{
	if (is_signed && is_short((s64)value))
		append(t, "%lld", (long long)value);
	else if (!is_signed && value <= UINT16_MAX)
		append(t, "%llu", (unsigned long long)value);
	else
		append(t, "0x%llx", (unsigned long long)value);
}

/* In hexadecimal, a negative 32-bit bound has 32 bits. */
static u64 signed_half(s32 value)
{
	return is_short(value) ? (u64)(s64)value : (u32)value;
}

static bool negative(const struct bound *b)
{
	return b->is_signed && (s64)b->value < 0;
}

/* The name of @b and of the bounds after it that have its value, every other one being a lower. */
static void append_group(struct text *t, struct bound *b, struct bound *end)
{
	struct bound *other;

	append(t, "%s%s=", t->len ? "," : "", b->name);
	for (other = b + 2; other < end; other += 2) {
		if (other->omit || other->value != b->value || negative(other) != negative(b))
			continue;
		other->omit = true;
		append(t, "%s=", other->name);
	}
	append_number(t, b->value, b->is_signed);
}

static void append_bounds(struct text *t, const struct ebpf_scalar *s)
{
	struct bound bounds[] = {
		{"smin", (u64)s->smin, true, s->smin == INT64_MIN},
		{"smax", (u64)s->smax, true, s->smax == INT64_MAX},
		{"umin", s->umin, false, s->umin == 0},
		{"umax", s->umax, false, s->umax == UINT64_MAX},
		{"smin32", signed_half(s->s32_min), true, s->s32_min == INT32_MIN},
		{"smax32", signed_half(s->s32_max), true, s->s32_max == INT32_MAX},
		{"umin32", s->u32_min, false, s->u32_min == 0},
		{"umax32", s->u32_max, false, s->u32_max == UINT32_MAX},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bounds); i++) {
		if (!bounds[i].omit)
			append_group(t, &bounds[i], bounds + ARRAY_SIZE(bounds));
	}
}

int ebpf_scalar_print(const struct ebpf_scalar *s, char *buf, size_t size)
{
	struct text t = {buf, size, 0};
	char bits[64];

	if (size)
		buf[0] = '\0';
	if (ebpf_scalar_is_const(s)) {
		append_number(&t, s->var_off.value, true);
		return t.len;
	}
	append_bounds(&t, s);
	if (!ebpf_tnum_is_unknown(s->var_off)) {
		ebpf_tnum_print(s->var_off, bits, sizeof(bits));
		append(&t, "%svar_off=%s", t.len ? "," : "", bits);
	}
	return t.len;
}
