/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The types of one function: what its prototype leads to, and no others.
 *
 * Model: whoever checks a program that is told a function's arguments needs these types alone; of
 * a library they are a small part. They are numbered as they are met, the function first, and
 * written one after the other with the numbers they have then.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "btf/btf_priv.h"

/* kinds and flags after the oldest headers we build with */
#define SLICE_TYPE_TAG 18
#define SLICE_ENUM64 19

struct slice {
	const struct btf *from;
	struct btf *to;
	u32 *met;    /* by number in @from: the one in @to, 0: not met */
	u32 *queue;  /* numbers in @from, in the order they were met */
	u32 n, next; /* of the queue: how many, and written */
};

/* The number that @id has, or will have. */
static int meet(struct slice *s, u32 id)
{
	if (!id || id >= btf__type_cnt(s->from))
		return 0;
	if (!s->met[id]) {
		s->queue[s->n++] = id;
		s->met[id] = s->n;
	}
	return (int)s->met[id];
}

static const char *name_at(const struct slice *s, u32 off)
{
	const char *name = btf__name_by_offset(s->from, off);

	return name ? name : "";
}

static int add_members(struct slice *s, const struct btf_type *t)
{
	const struct btf_member *m = btf_members(t);
	int err = 0;

	for (u32 i = 0; err >= 0 && i < btf_vlen(t); i++)
		err = btf__add_field(s->to, name_at(s, m[i].name_off), meet(s, m[i].type),
				     btf_member_bit_offset(t, i), btf_member_bitfield_size(t, i));
	return err;
}

static int add_struct(struct slice *s, const struct btf_type *t, const char *name)
{
	int err = btf_is_struct(t) ? btf__add_struct(s->to, name, t->size)
				   : btf__add_union(s->to, name, t->size);

	return err < 0 ? err : add_members(s, t);
}

static int add_enum(struct slice *s, const struct btf_type *t, const char *name)
{
	const struct btf_enum *v = btf_enum(t);
	int err = btf__add_enum(s->to, name, t->size);

	for (u32 i = 0; err >= 0 && i < btf_vlen(t); i++)
		err = btf__add_enum_value(s->to, name_at(s, v[i].name_off),
					  btf_kflag(t) ? v[i].val : (s64)(u32)v[i].val);
	/* libbpf makes it signed where a value is negative only */
	return err;
}

static int add_enum64(struct slice *s, const struct btf_type *t, const char *name)
{
	const struct btf_enum64 *v = btf_enum64(t);
	int err = btf__add_enum64(s->to, name, t->size, btf_kflag(t));

	for (u32 i = 0; err >= 0 && i < btf_vlen(t); i++)
		err = btf__add_enum64_value(s->to, name_at(s, v[i].name_off),
					    btf_enum64_value(&v[i]));
	return err;
}

/* Every parameter of a function that is checked has a name. */
static int add_proto(struct slice *s, const struct btf_type *t)
{
	const struct btf_param *p = btf_params(t);
	int err = btf__add_func_proto(s->to, meet(s, t->type));
	char made[16];

	for (u32 i = 0; err >= 0 && i < btf_vlen(t); i++) {
		const char *name = name_at(s, p[i].name_off);

		snprintf(made, sizeof(made), "arg%u", i);
		err = btf__add_func_param(s->to,
					  !p[i].type ? NULL
					  : *name    ? name
						     : made,
					  meet(s, p[i].type));
	}
	return err;
}

static int add_array(struct slice *s, const struct btf_type *t)
{
	const struct btf_array *a = btf_array(t);

	return btf__add_array(s->to, meet(s, a->index_type), meet(s, a->type), a->nelems);
}

/* What is said of no value is left out: it becomes void. */
static int add(struct slice *s, const struct btf_type *t)
{
	const char *name = name_at(s, t->name_off);

	switch (btf_kind(t)) {
	case BTF_KIND_INT:
		return btf__add_int(s->to, name, t->size, btf_int_encoding(t));
	case BTF_KIND_FLOAT:
		return btf__add_float(s->to, name, t->size);
	case BTF_KIND_PTR:
		return btf__add_ptr(s->to, meet(s, t->type));
	case BTF_KIND_ARRAY:
		return add_array(s, t);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return add_struct(s, t, name);
	case BTF_KIND_ENUM:
		return add_enum(s, t, name);
	case SLICE_ENUM64:
		return add_enum64(s, t, name);
	case BTF_KIND_FWD:
		return btf__add_fwd(s->to, name, btf_kflag(t) ? BTF_FWD_UNION : BTF_FWD_STRUCT);
	case BTF_KIND_TYPEDEF:
		return btf__add_typedef(s->to, name, meet(s, t->type));
	case BTF_KIND_VOLATILE:
		return btf__add_volatile(s->to, meet(s, t->type));
	case BTF_KIND_RESTRICT:
		return btf__add_restrict(s->to, meet(s, t->type));
	case BTF_KIND_FUNC:
		return btf__add_func(s->to, name, BTF_FUNC_GLOBAL, meet(s, t->type));
	case BTF_KIND_FUNC_PROTO:
		return add_proto(s, t);
	default:
		return btf__add_const(s->to, meet(s, t->type));
	}
}

static int write_all(struct slice *s, u32 func)
{
	int err = 0;

	meet(s, func);
	while (err >= 0 && s->next < s->n)
		err = add(s, btf__type_by_id(s->from, s->queue[s->next++]));
	return err < 0 ? err : btf_names_for_c(s->to);
}

/* The only function of that name; -EEXIST: they have different types. */
static int find_function(const struct btf *btf, const char *name)
{
	u32 n = btf__type_cnt(btf), proto = 0;
	int found = -ENOENT;

	for (u32 i = 1; i < n; i++) {
		const struct btf_type *t = btf__type_by_id(btf, i);

		if (!btf_is_func(t) || strcmp(btf__name_by_offset(btf, t->name_off), name))
			continue;
		if (proto && proto != t->type)
			return -EEXIST;
		proto = t->type;
		found = (int)i;
	}
	return found;
}

int btf_slice(const struct btf *btf, const char *name, struct btf **out)
{
	_cleanup_free_ u32 *met = calloc(btf__type_cnt(btf), sizeof(*met));
	_cleanup_free_ u32 *queue = calloc(btf__type_cnt(btf), sizeof(*queue));
	_cleanup_btf_ struct btf *to = btf__new_empty();
	struct slice s = {.from = btf, .to = to, .met = met, .queue = queue};
	int func = find_function(btf, name), err;

	if (func < 0)
		return func;
	if (!met || !queue || !to)
		return -ENOMEM;
	err = write_all(&s, (u32)func);
	if (err)
		return err;
	*out = TAKE_PTR(to);
	return 0;
}
