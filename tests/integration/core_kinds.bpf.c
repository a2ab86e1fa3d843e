// SPDX-License-Identifier: BSD-2-Clause
/*
 * Every kind of CO-RE relocation, against a struct rec of any LAYOUT: what is found goes into a map by name. What a layout
 * hasn't is asked for first, and then read as it is called there (___flavour), or left out.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#include "core_kinds.h"

struct rec___renamed {
	int count;
	unsigned int bits : 3;
	int digits[4];
};

struct rec___pointer {
	int *value;
	unsigned int *flags;
	int *numbers;
	struct sub *subs, *sub;
};

struct nothing {
	int x;
};

/* asked for with the last kind, which this compiler doesn't know: core_matches.py puts it in */
struct sub___match {
	int x;
	short y;
};
union either___match {
	int i;
	char bytes[12];
};
struct rec___match {
	int value;
	unsigned int flags : 3;
	int mode : 6;
	int numbers[4];
	struct sub subs[3];
	struct sub sub;
	char *name;
};
#pragma clang attribute pop

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct name {
	char text[24];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, struct name);
	__type(value, long);
} found SEC(".maps");

static __attribute__((noinline)) int put(const struct name *name, long value)
{
	return name ? bpf_map_update_elem(&found, name, &value, BPF_ANY) : 0;
}

#define SAY(what, value)                                                                                               \
	({                                                                                                             \
		static const struct name what_ = {#what};                                                              \
		struct name n_ = what_;                                                                                \
		put(&n_, (value));                                                                                     \
	})

#define INFO(r, field, info) __builtin_preserve_field_info((r)->field, BPF_FIELD_##info)

/* a number of any size and sign, or some of its bits */
#define READ_USER(r, field)                                                                                            \
	({                                                                                                             \
		unsigned long long v_ = 0;                                                                             \
		bpf_probe_read_user(&v_, INFO(r, field, BYTE_SIZE), (void *)(r) + INFO(r, field, BYTE_OFFSET));        \
		v_ <<= INFO(r, field, LSHIFT_U64);                                                                     \
		INFO(r, field, SIGNED) ? (long)v_ >> INFO(r, field, RSHIFT_U64)                                        \
				       : (long)(v_ >> INFO(r, field, RSHIFT_U64));                                     \
	})

/* the same of an array's element, for which there are no bits */
#define READ_ELEMENT(r, field)                                                                                         \
	({                                                                                                             \
		long v_ = 0;                                                                                           \
		bpf_probe_read_user(&v_, INFO(r, field, BYTE_SIZE), (void *)(r) + INFO(r, field, BYTE_OFFSET));        \
		v_;                                                                                                    \
	})

#ifdef ODD /* libbpf refuses that */
#undef READ_ELEMENT
#define READ_ELEMENT READ_USER
#endif

static void numbers(struct rec *r)
{
	struct rec___renamed *n = (void *)r;
	struct rec___pointer *p = (void *)r;

	if (bpf_core_field_exists(r->value)) {
		SAY(value, READ_USER(r, value));
		SAY(value_offset, bpf_core_field_offset(r->value));
		SAY(value_size, bpf_core_field_size(r->value));
	} else if (bpf_core_field_exists(n->count)) {
		SAY(value, READ_USER(n, count));
		SAY(value_offset, bpf_core_field_offset(n->count));
	} else if (bpf_core_field_exists(p->value)) {
		int v = 0;

		bpf_probe_read_user(&v, sizeof(v), BPF_CORE_READ_USER(p, value));
		SAY(value, v);
	}
	if (bpf_core_field_exists(r->flags)) {
		SAY(flags, READ_USER(r, flags));
	} else if (bpf_core_field_exists(n->bits)) {
		SAY(flags, READ_USER(n, bits));
	} else if (bpf_core_field_exists(p->flags)) {
		unsigned int v = 0;

		bpf_probe_read_user(&v, sizeof(v), BPF_CORE_READ_USER(p, flags));
		SAY(flags, v);
	}
	if (bpf_core_field_exists(r->mode)) {
		SAY(mode, READ_USER(r, mode));
		SAY(mode_signed, INFO(r, mode, SIGNED));
	}
}

static void arrays(struct rec *r)
{
	struct rec___renamed *n = (void *)r;
	struct rec___pointer *p = (void *)r;
	int v = 0;

	if (bpf_core_field_exists(r->numbers)) {
		SAY(number, READ_ELEMENT(r, numbers[2]));
		SAY(number_offset, bpf_core_field_offset(r->numbers[2]));
		SAY(numbers_size, bpf_core_field_size(r->numbers));
	} else if (bpf_core_field_exists(n->digits)) {
		SAY(number, READ_ELEMENT(n, digits[2]));
	} else if (bpf_core_field_exists(p->numbers)) {
		bpf_probe_read_user(&v, sizeof(v), BPF_CORE_READ_USER(p, numbers) + 2);
		SAY(number, v);
	}
	if (bpf_core_field_exists(r->subs)) {
		SAY(subs_x, READ_USER(r, subs[1].x));
		SAY(subs_y, READ_USER(r, subs[1].y));
		SAY(subs_x_offset, bpf_core_field_offset(r->subs[1].x));
		SAY(subs_size, bpf_core_field_size(r->subs));
	} else if (bpf_core_field_exists(p->subs)) {
		struct sub *s = (void *)BPF_CORE_READ_USER(p, subs) + bpf_core_type_size(struct sub);

		SAY(subs_x, READ_USER(s, x));
		SAY(subs_y, READ_USER(s, y));
	}
}

static void structures(struct rec *r)
{
	struct rec___pointer *p = (void *)r;

	if (bpf_core_field_exists(r->sub)) {
		SAY(sub_x, READ_USER(r, sub.x));
		SAY(sub_y_offset, bpf_core_field_offset(r->sub.y));
	} else if (bpf_core_field_exists(p->sub)) {
		struct sub *s = BPF_CORE_READ_USER(p, sub);

		SAY(sub_x, READ_USER(s, x));
	}
	SAY(value_exists, bpf_core_field_exists(r->value));
	SAY(sub_exists, bpf_core_field_exists(r->sub));
	SAY(numbers_exist, bpf_core_field_exists(r->numbers));
	SAY(name_exists, bpf_core_field_exists(r->name));
	SAY(name_offset, bpf_core_field_offset(r->name));
}

static void enums(void)
{
	SAY(colour_exists, bpf_core_type_exists(enum colour));
	SAY(green_exists, bpf_core_enum_value_exists(enum colour, GREEN));
	SAY(blue_exists, bpf_core_enum_value_exists(enum colour, BLUE));
	if (bpf_core_enum_value_exists(enum colour, GREEN)) {
		SAY(green, (long)bpf_core_enum_value(enum colour, GREEN));
		SAY(colour_size, bpf_core_type_size(enum colour));
	}
	if (bpf_core_enum_value_exists(enum colour, BLUE))
		SAY(blue, (long)bpf_core_enum_value(enum colour, BLUE));
}

static void types(void)
{
	SAY(rec_exists, bpf_core_type_exists(struct rec));
	SAY(rec_size, bpf_core_type_size(struct rec));
	SAY(sub_size, bpf_core_type_size(struct sub));
	SAY(nothing_exists, bpf_core_type_exists(struct nothing));
	SAY(either_exists, bpf_core_type_exists(union either));
	SAY(blob_exists, bpf_core_type_exists(blob_t));
	if (bpf_core_type_exists(union either))
		SAY(either_size, bpf_core_type_size(union either));
	if (bpf_core_type_exists(blob_t))
		SAY(blob_size, bpf_core_type_size(blob_t));
	SAY(local_id, bpf_core_type_id_local(struct rec) > 0);
	SAY(target_id, bpf_core_type_id_kernel(struct rec) > 0);
	SAY(sub_matches, bpf_core_type_exists(struct sub___match));
	SAY(rec_matches, bpf_core_type_exists(struct rec___match));
	SAY(either_matches, bpf_core_type_exists(union either___match));
}

SEC("uprobe//proc/self/exe:use")
int BPF_KPROBE(on_use, struct rec *r)
{
	char name[5] = "";

	numbers(r);
	arrays(r);
	structures(r);
	enums();
	types();
	bpf_probe_read_user(name, sizeof(name), BPF_CORE_READ_USER(r, name));
	SAY(name, name[1]);
	return 0;
}
