/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Printing BTF.
 *
 * Model: a type is made into one JSON object, whose fields are called and ordered as in bpftool's
 * output; the text is the same fields in a line, and a line for each member.
 */
#include "cli/btfdump.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "btf/btf.h"

#define NAME_MAX_SHOWN 1024

static const char *const kinds[] = {"UNKN",    "INT",	   "PTR",      "ARRAY",	     "STRUCT",
				    "UNION",   "ENUM",	   "FWD",      "TYPEDEF",    "VOLATILE",
				    "CONST",   "RESTRICT", "FUNC",     "FUNC_PROTO", "VAR",
				    "DATASEC", "FLOAT",	   "DECL_TAG", "TYPE_TAG",   "ENUM64"};

static void add_name(struct json_object *o, const struct btf *btf, u32 off)
{
	const char *name = btf__name_by_offset(btf, off);
	char clean[NAME_MAX_SHOWN];

	out_add_str(o, "name", out_clean(name && *name ? name : "(anon)", clean, sizeof(clean)));
}

static const char *sign_word(bool is_signed)
{
	return is_signed ? "SIGNED" : "UNSIGNED";
}

static void add_int(struct json_object *o, const struct btf_type *t)
{
	int encoding = btf_int_encoding(t);

	out_add_u64(o, "size", t->size);
	out_add_u64(o, "bits_offset", btf_int_offset(t));
	out_add_u64(o, "nr_bits", btf_int_bits(t));
	out_add_str(o, "encoding",
		    encoding & BTF_INT_SIGNED ? "SIGNED"
		    : encoding & BTF_INT_CHAR ? "CHAR"
		    : encoding & BTF_INT_BOOL ? "BOOL"
					      : "(none)");
}

static void add_members(struct json_object *o, const struct btf *btf, const struct btf_type *t)
{
	struct json_object *all = json_object_new_array();

	out_add_u64(o, "size", t->size);
	out_add_u64(o, "vlen", btf_vlen(t));
	for (u32 i = 0; i < btf_vlen(t); i++) {
		struct json_object *m = json_object_new_object();
		u32 bits = btf_member_bitfield_size(t, i);

		add_name(m, btf, btf_members(t)[i].name_off);
		out_add_u64(m, "type_id", btf_members(t)[i].type);
		out_add_u64(m, "bits_offset", btf_member_bit_offset(t, i));
		if (bits)
			out_add_u64(m, "bitfield_size", bits);
		out_push(all, m);
	}
	out_add(o, "members", all);
}

static void add_value(struct json_object *all, const struct btf *btf, u32 name, bool is_signed,
		      u64 value)
{
	struct json_object *v = json_object_new_object();

	add_name(v, btf, name);
	if (is_signed)
		out_add_s64(v, "val", (s64)value);
	else
		out_add_u64(v, "val", value);
	out_push(all, v);
}

static void add_values(struct json_object *o, const struct btf *btf, const struct btf_type *t)
{
	struct json_object *all = json_object_new_array();
	bool is_signed = btf_kflag(t);

	out_add_str(o, "encoding", sign_word(is_signed));
	out_add_u64(o, "size", t->size);
	out_add_u64(o, "vlen", btf_vlen(t));
	for (u32 i = 0; i < btf_vlen(t); i++) {
		const struct btf_enum *e = btf_enum(t) + i;
		const struct btf_enum64 *wide = btf_enum64(t) + i;

		if (btf_is_enum64(t))
			add_value(all, btf, wide->name_off, is_signed, btf_enum64_value(wide));
		else
			add_value(all, btf, e->name_off, is_signed,
				  is_signed ? (u64)(s64)e->val : (u32)e->val);
	}
	out_add(o, "values", all);
}

static void add_params(struct json_object *o, const struct btf *btf, const struct btf_type *t)
{
	struct json_object *all = json_object_new_array();

	out_add_u64(o, "ret_type_id", t->type);
	out_add_u64(o, "vlen", btf_vlen(t));
	for (u32 i = 0; i < btf_vlen(t); i++) {
		struct json_object *p = json_object_new_object();

		add_name(p, btf, btf_params(t)[i].name_off);
		out_add_u64(p, "type_id", btf_params(t)[i].type);
		out_push(all, p);
	}
	out_add(o, "params", all);
}

static void add_section(struct json_object *o, const struct btf *btf, const struct btf_type *t)
{
	struct json_object *all = json_object_new_array();

	out_add_u64(o, "size", t->size);
	out_add_u64(o, "vlen", btf_vlen(t));
	for (u32 i = 0; i < btf_vlen(t); i++) {
		const struct btf_var_secinfo *v = btf_var_secinfos(t) + i;
		const struct btf_type *var = btf__type_by_id(btf, v->type);
		struct json_object *s = json_object_new_object();

		add_name(s, btf, var ? var->name_off : 0);
		out_add_u64(s, "type_id", v->type);
		out_add_u64(s, "offset", v->offset);
		out_add_u64(s, "size", v->size);
		out_push(all, s);
	}
	out_add(o, "vars", all);
}

static const char *linkage_word(u32 linkage)
{
	static const char *const words[] = {"static", "global", "extern"};

	return linkage < ARRAY_SIZE(words) ? words[linkage] : "?";
}

static void add_fields(struct json_object *o, const struct btf *btf, const struct btf_type *t)
{
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
		add_int(o, t);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		add_members(o, btf, t);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		add_values(o, btf, t);
		break;
	case BTF_KIND_ARRAY:
		out_add_u64(o, "type_id", btf_array(t)->type);
		out_add_u64(o, "index_type_id", btf_array(t)->index_type);
		out_add_u64(o, "nr_elems", btf_array(t)->nelems);
		break;
	case BTF_KIND_FWD:
		out_add_str(o, "fwd_kind", btf_kflag(t) ? "union" : "struct");
		break;
	case BTF_KIND_FLOAT:
		out_add_u64(o, "size", t->size);
		break;
	case BTF_KIND_FUNC_PROTO:
		add_params(o, btf, t);
		break;
	case BTF_KIND_DATASEC:
		add_section(o, btf, t);
		break;
	default:
		out_add_u64(o, "type_id", t->type);
		if (btf_is_func(t))
			out_add_str(o, "linkage", linkage_word(btf_vlen(t)));
		if (btf_is_var(t))
			out_add_str(o, "linkage", linkage_word(btf_var(t)->linkage));
	}
}

static struct json_object *describe(const struct btf *btf, u32 id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);
	struct json_object *o = json_object_new_object();

	out_add_u64(o, "id", id);
	out_add_str(o, "kind", btf_kind(t) < ARRAY_SIZE(kinds) ? kinds[btf_kind(t)] : "?");
	add_name(o, btf, t->name_off);
	add_fields(o, btf, t);
	return o;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v ? json_object_get_string(v) : "";
}

/* key=value, but for what stands before; a line for each element of the one array. */
static void print_fields(struct json_object *o)
{
	struct json_object *rows = NULL;

	json_object_object_foreach(o, key, value)
	{
		if (json_object_is_type(value, json_type_array))
			rows = value;
		else if (strcmp(key, "id") && strcmp(key, "kind") && strcmp(key, "name"))
			printf(" %s=%s", key, json_object_get_string(value));
	}
	putchar('\n');
	for (size_t i = 0; rows && i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);

		printf("\t'%s'", text_of(row, "name"));
		print_fields(row);
	}
}

int btfdump_raw(const struct btf *btf)
{
	for (u32 id = 1; id < btf__type_cnt(btf); id++) {
		struct json_object *o = describe(btf, id);

		printf("[%u] %s '%s'", id, text_of(o, "kind"), text_of(o, "name"));
		print_fields(o);
		json_object_put(o);
	}
	return EXIT_SUCCESS;
}

int btfdump_json(const struct btf *btf, const struct out_json *json)
{
	struct json_object *doc = json_object_new_array(), *all = json_object_new_object();

	for (u32 id = 1; id < btf__type_cnt(btf); id++)
		out_push(doc, describe(btf, id));
	out_add(all, "types", doc);
	out_json_put(json, all);
	return EXIT_SUCCESS;
}

/* --- C ------------------------------------------------------------------------------------------
 */

static void print_c(void *ctx, const char *fmt, va_list ap)
{
	vprintf(fmt, ap);
}

static void cleanup_dump(struct btf_dump **d)
{
	btf_dump__free(*d);
}

static int print_types(struct btf *btf)
{
	_cleanup_(cleanup_dump) struct btf_dump *d = btf_dump__new(btf, print_c, NULL, NULL);
	u32 n = btf__type_cnt(btf);
	int err = 0;

	if (!d)
		return -errno;
	for (u32 id = 1; !err && id < n; id++)
		err = btf_dump__dump_type(d, id);
	return err;
}

/* Numbers that no C has by that name (char16_t, Rust's u8): typedefs of one that it has. */
static void print_numbers(const struct btf *btf)
{
	static const char *const words[] = {"char", "short", "int", "long long", "__int128"};

	for (u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);
		const char *name = btf__name_by_offset(btf, t->name_off);

		if (!(btf_is_int(t) || btf_is_float(t)) || btf_name_is_c_number(name))
			continue;
		if (btf_is_int(t) && btf_int_encoding(t) & BTF_INT_BOOL)
			printf("typedef _Bool %s;\n", name);
		else if (btf_is_float(t) && (t->size == 4 || t->size == 8))
			printf("typedef %s %s;\n", t->size == 4 ? "float" : "double", name);
		else if (btf_is_float(t) || __builtin_popcount(t->size) != 1 || t->size > 16)
			printf("typedef struct { unsigned char bytes[%u]; } %s;\n", t->size, name);
		else
			printf("typedef %s %s %s;\n",
			       btf_int_encoding(t) & BTF_INT_SIGNED ? "signed" : "unsigned",
			       words[__builtin_ctz(t->size)], name);
	}
}

static void print_guard(const char *name)
{
	printf("#pragma once\n\n/* Types of %s, for programs that are relocated where they run. "
	       "*/\n\n"
	       "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
	       "#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = "
	       "record)\n#endif\n\n",
	       name);
}

int btfdump_c(struct btf *btf, const char *header)
{
	int err = btf_names_for_c(btf);

	if (!err && !btf_is_printable(btf))
		return out_error("these types are no C: one is inside of itself, too many are "
				 "inside of each other, or a number has an odd size\n  see them "
				 "with `format raw`");
	if (!err && header)
		print_guard(header);
	if (!err) {
		print_numbers(btf);
		err = print_types(btf);
	}
	if (err)
		return out_error("cannot print the types: %s", strerror(-err));
	if (header)
		printf("\n#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute "
		       "pop\n#endif\n");
	return EXIT_SUCCESS;
}
