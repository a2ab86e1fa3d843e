/* SPDX-License-Identifier: BSD-2-Clause */
/* Named types in words: see shape.h. Rule: types may be hostile, so everything is bounded. */
#include "btf/shape.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/macros.h"

#define DEPTH_MAX 16
#define STEPS_MAX (1u << 17)
#define TEXT_MAX 4096

struct text {
	char p[TEXT_MAX];
	size_t n;
};

static void put_type(struct text *t, const struct btf *btf, u32 id, int depth);

static void __printf_like(2, 3) put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->p + t->n, sizeof(t->p) - t->n, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->n = MIN(t->n + (size_t)n, sizeof(t->p) - 1);
}

static const char *name_of(const struct btf *btf, u32 off)
{
	const char *name = btf__name_by_offset(btf, off);

	return name ? name : "";
}

static void put_name(struct text *t, const struct btf *btf, const char *word, u32 off)
{
	const char *name = name_of(btf, off);

	put(t, "%s%s", word, *name ? name : "(anon)");
}

static void put_proto(struct text *t, const struct btf *btf, const struct btf_type *proto,
		      const char *between, int depth)
{
	const struct btf_param *p = btf_params(proto);
	u32 n = btf_vlen(proto);

	put_type(t, btf, proto->type, depth + 1);
	put(t, "%s(%s", between, n ? "" : "void");
	for (u32 i = 0; i < n; i++) {
		const char *name = name_of(btf, p[i].name_off);

		put(t, "%s", i ? ", " : "");
		if (!p[i].type && !*name)
			put(t, "...");
		else
			put_type(t, btf, p[i].type, depth + 1);
		if (*name)
			put(t, "%s%s", t->n && t->p[t->n - 1] == '*' ? "" : " ", name);
	}
	put(t, ")");
}

static void put_pointer(struct text *t, const struct btf *btf, u32 to, int depth)
{
	const struct btf_type *type = btf__type_by_id(btf, to);

	if (type && btf_is_func_proto(type)) {
		put_proto(t, btf, type, " (*)", depth);
		return;
	}
	put_type(t, btf, to, depth + 1);
	put(t, "%s*", t->n && t->p[t->n - 1] == '*' ? "" : " ");
}

/* A qualifier stands before what it is said of; of a pointer, behind it. */
static void put_qualified(struct text *t, const struct btf *btf, const char *word, u32 id,
			  int depth)
{
	const struct btf_type *type = btf__type_by_id(btf, id);
	bool behind = type && btf_is_ptr(type);

	if (!behind)
		put(t, "%s ", word);
	put_type(t, btf, id, depth + 1);
	if (behind)
		put(t, " %s", word);
}

static void put_array(struct text *t, const struct btf *btf, const struct btf_type *type, int depth)
{
	const struct btf_type *of = type;

	for (int i = 0; of && btf_is_array(of) && i < DEPTH_MAX; i++)
		of = btf__type_by_id(btf, btf_array(of)->type);
	if (!of || btf_is_array(of)) {
		put(t, "?");
		return;
	}
	for (of = type; btf_is_array(btf__type_by_id(btf, btf_array(of)->type));)
		of = btf__type_by_id(btf, btf_array(of)->type);
	put_type(t, btf, btf_array(of)->type, depth + 1);
	put(t, " ");
	for (of = type; btf_is_array(of); of = btf__type_by_id(btf, btf_array(of)->type))
		put(t, "[%u]", btf_array(of)->nelems);
}

static void put_type(struct text *t, const struct btf *btf, u32 id, int depth)
{
	const struct btf_type *type = id ? btf__type_by_id(btf, id) : NULL;

	if (!id || !type || depth > DEPTH_MAX || t->n + 1 >= sizeof(t->p)) {
		put(t, id ? "?" : "void");
		return;
	}
	switch (btf_kind(type)) {
	case BTF_KIND_PTR:
		return put_pointer(t, btf, type->type, depth);
	case BTF_KIND_CONST:
		return put_qualified(t, btf, "const", type->type, depth);
	case BTF_KIND_VOLATILE:
		return put_qualified(t, btf, "volatile", type->type, depth);
	case BTF_KIND_RESTRICT:
		return put_qualified(t, btf, "restrict", type->type, depth);
	case BTF_KIND_TYPE_TAG:
		return put_type(t, btf, type->type, depth + 1);
	case BTF_KIND_ARRAY:
		return put_array(t, btf, type, depth);
	case BTF_KIND_FUNC_PROTO:
		return put_proto(t, btf, type, " ", depth);
	case BTF_KIND_STRUCT:
		return put_name(t, btf, "struct ", type->name_off);
	case BTF_KIND_UNION:
		return put_name(t, btf, "union ", type->name_off);
	case BTF_KIND_FWD:
		return put_name(t, btf, btf_kflag(type) ? "union " : "struct ", type->name_off);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return put_name(t, btf, "enum ", type->name_off);
	default:
		return put_name(t, btf, "", type->name_off);
	}
}

/* --- what is in it ------------------------------------------------------------------------------
 */

static u64 size_of(const struct btf *btf, u32 id)
{
	s64 size = btf__resolve_size(btf, id);

	return size > 0 ? (u64)size : 0;
}

/* @name and @type become the row's, NULL when there was no memory for them. */
static int add_row(struct btf_shape *s, char *name, u64 at, u64 size, char *type)
{
	if (s->n == s->cap) {
		u32 cap = s->cap ? s->cap * 2 : 16;
		struct btf_row *bigger = reallocarray(s->rows, cap, sizeof(*bigger));

		if (!bigger) {
			free(name);
			free(type);
			return -ENOMEM;
		}
		s->rows = bigger;
		s->cap = cap;
	}
	s->rows[s->n++] = (struct btf_row){name, at, size, type};
	return name ? 0 : -ENOMEM;
}

/* The structure without a name that @id leads to, and how; else NULL. */
static const struct btf_type *anonymous_in(const struct btf *btf, u32 id, const char **way)
{
	*way = ".";
	for (int i = 0; i < DEPTH_MAX; i++) {
		const struct btf_type *t = btf__type_by_id(btf, id);

		if (!t)
			return NULL;
		if (btf_is_composite(t))
			return t->name_off ? NULL : t;
		if (btf_is_array(t) && **way == '.') {
			*way = "[].";
			id = btf_array(t)->type;
		} else if (btf_is_ptr(t) && **way == '.') {
			*way = "->";
			id = t->type;
		} else if (btf_is_mod(t)) {
			id = t->type;
		} else {
			return NULL;
		}
	}
	return NULL;
}

static int add_member(struct btf_shape *s, const struct btf *btf, const char *name, u64 at,
		      u32 type, u32 bits)
{
	struct text text = {.n = 0};
	char *copy;

	put_type(&text, btf, type, 0);
	if (bits)
		put(&text, " : %u", bits);
	copy = strdup(text.p);
	return copy ? add_row(s, strdup(name), at, bits ? 0 : size_of(btf, type), copy) : -ENOMEM;
}

static int add_members(struct btf_shape *s, const struct btf *btf, const struct btf_type *t,
		       const char *prefix, u64 base, int depth)
{
	int err = 0;

	for (u32 i = 0; !err && i < btf_vlen(t) && s->steps++ < STEPS_MAX; i++) {
		const struct btf_member *m = btf_members(t) + i;
		const char *own = name_of(btf, m->name_off), *way;
		u64 at = base + btf_member_bit_offset(t, i);
		const struct btf_type *inner = anonymous_in(btf, m->type, &way);
		char name[512];

		snprintf(name, sizeof(name), "%s%s", prefix, own);
		if (*own)
			err = add_member(s, btf, name, at, m->type, btf_member_bitfield_size(t, i));
		if (err || !inner || depth >= DEPTH_MAX)
			continue;
		if (*own)
			snprintf(name, sizeof(name), "%s%s%s", prefix, own, way);
		err = add_members(s, btf, inner, name, *way == '-' ? 0 : at, depth + 1);
	}
	return err;
}

static int add_values(struct btf_shape *s, const struct btf *btf, const struct btf_type *t)
{
	int err = 0;

	for (u32 i = 0; !err && i < btf_vlen(t); i++) {
		const struct btf_enum *e = btf_enum(t) + i;
		const struct btf_enum64 *wide = btf_enum64(t) + i;

		if (btf_is_enum64(t))
			err = add_row(s, strdup(name_of(btf, wide->name_off)),
				      btf_enum64_value(wide), 0, NULL);
		else
			err = add_row(s, strdup(name_of(btf, e->name_off)),
				      btf_kflag(t) ? (u64)(s64)e->val : (u32)e->val, 0, NULL);
	}
	return err;
}

static int add_inside(struct btf_shape *s, const struct btf *btf, const struct btf_type *t)
{
	if (btf_is_any_enum(t)) {
		s->is_signed = btf_kflag(t);
		return add_values(s, btf, t);
	}
	return btf_is_composite(t) ? add_members(s, btf, t, "", 0, 0) : 0;
}

const char *btf_shape_word(enum btf_shape_kind kind)
{
	static const char *const words[] = {"?",       "struct", "union", "enum",
					    "typedef", "number", "var",	  "func"};

	return words[kind];
}

enum btf_shape_kind btf_shape_kind(const struct btf *btf, u32 id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	if (!t || !*name_of(btf, t->name_off))
		return SHAPE_NONE;
	switch (btf_kind(t)) {
	case BTF_KIND_STRUCT:
		return SHAPE_STRUCT;
	case BTF_KIND_UNION:
		return SHAPE_UNION;
	case BTF_KIND_FWD:
		return btf_kflag(t) ? SHAPE_UNION : SHAPE_STRUCT;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return SHAPE_ENUM;
	case BTF_KIND_TYPEDEF:
		return SHAPE_TYPEDEF;
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
		return SHAPE_NUMBER;
	case BTF_KIND_VAR:
		return SHAPE_VAR;
	case BTF_KIND_FUNC:
		return SHAPE_FUNC;
	default:
		return SHAPE_NONE;
	}
}

static const char *number_word(const struct btf_type *t)
{
	int encoding = btf_is_int(t) ? btf_int_encoding(t) : 0;

	if (btf_is_float(t))
		return "float";
	return encoding & BTF_INT_BOOL	   ? "bool"
	       : encoding & BTF_INT_SIGNED ? "signed"
	       : encoding & BTF_INT_CHAR   ? "char"
					   : "unsigned";
}

/* The type that it is a name of, with what is in that where nothing else names it. */
static int add_target(struct btf_shape *s, const struct btf *btf, u32 id)
{
	const struct btf_type *to = btf__type_by_id(btf, id);
	struct text text = {.n = 0};

	put_type(&text, btf, id, 0);
	s->type = strdup(text.p);
	s->size = s->kind == SHAPE_FUNC ? 0 : size_of(btf, id);
	if (!s->type)
		return -ENOMEM;
	return s->kind == SHAPE_TYPEDEF && to && !to->name_off ? add_inside(s, btf, to) : 0;
}

int btf_shape_make(const struct btf *btf, u32 id, struct btf_shape *out)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	*out = (struct btf_shape){.kind = btf_shape_kind(btf, id)};
	if (out->kind == SHAPE_NONE)
		return 0;
	out->name = name_of(btf, t->name_off);
	out->declared = btf_is_fwd(t);
	if (out->kind >= SHAPE_TYPEDEF && out->kind != SHAPE_NUMBER)
		return add_target(out, btf, t->type);
	out->size = out->declared ? 0 : t->size;
	if (out->kind == SHAPE_NUMBER) {
		out->type = strdup(number_word(t));
		return out->type ? 0 : -ENOMEM;
	}
	return add_inside(out, btf, t);
}

void btf_shape_free(struct btf_shape *s)
{
	for (u32 i = 0; i < s->n; i++) {
		free(s->rows[i].name);
		free(s->rows[i].type);
	}
	free(s->rows);
	free(s->type);
}

static u64 mix(u64 h, const char *text)
{
	return h * HASH_K1 ^ hash_bytes(text, (u32)strlen(text), (u32)(h >> 32));
}

u64 btf_shape_hash(const struct btf_shape *s)
{
	u64 h = s->size * HASH_K2 + s->n + 1;

	if (s->declared)
		return 0;
	h = mix(h, s->type ? s->type : "");
	for (u32 i = 0; i < s->n; i++) {
		const struct btf_row *row = s->rows + i;

		h = mix(mix(h, row->name), row->type ? row->type : "");
		h = h * HASH_K1 ^ hash_u64(row->at, (u32)row->size);
	}
	return h ? h : 1;
}
