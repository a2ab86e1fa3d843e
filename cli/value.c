/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading values by their BTF type: see value.h. */
#include "cli/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define DEPTH_MAX 16
#define SIZE_MAX_SHOWN (1u << 20)

static struct json_object *typed(const struct btf *btf, u32 id, const u8 *data, size_t size,
				 int depth);

u32 value_strip(const struct btf *btf, u32 id)
{
	for (int i = 0; btf && i < 32; i++) {
		const struct btf_type *t = btf__type_by_id(btf, id);

		if (!t)
			return 0;
		if (!btf_is_mod(t) && !btf_is_typedef(t))
			return id;
		id = t->type;
	}
	return 0;
}

static u64 load(const u8 *data, size_t size)
{
	u64 v = 0;

	memcpy(&v, data, MIN(size, sizeof(v)));
	return v;
}

static s64 sign_extend(u64 v, u32 bits)
{
	return bits >= 64 ? (s64)v : (s64)(v << (64 - bits)) >> (64 - bits);
}

struct json_object *value_bytes_json(const void *data, size_t size)
{
	struct json_object *a = json_object_new_array();
	const u8 *p = data;
	char hex[8];

	for (size_t i = 0; i < size; i++) {
		snprintf(hex, sizeof(hex), "0x%02x", p[i]);
		out_push(a, json_object_new_string(hex));
	}
	return a;
}

static struct json_object *integer(const struct btf_type *t, u64 v, u32 bits)
{
	u32 enc = btf_int_encoding(t);

	if (enc & BTF_INT_BOOL)
		return json_object_new_boolean(v != 0);
	if (enc & BTF_INT_SIGNED)
		return json_object_new_int64(sign_extend(v, bits));
	return json_object_new_uint64(v);
}

static struct json_object *enumerator(const struct btf *btf, const struct btf_type *t, u64 v)
{
	for (u32 i = 0; i < btf_vlen(t); i++) {
		u64 e = btf_is_enum(t) ? (u32)btf_enum(t)[i].val
				       : btf_enum64_value(&btf_enum64(t)[i]);
		u32 name = btf_is_enum(t) ? btf_enum(t)[i].name_off : btf_enum64(t)[i].name_off;

		if (e == (btf_is_enum(t) ? (u32)v : v))
			return json_object_new_string(btf__name_by_offset(btf, name));
	}
	return json_object_new_int64(sign_extend(v, t->size * 8));
}

/* Bits [off, off + bits) of a member that lies in @data. */
static u64 bitfield(const u8 *data, u32 off, u32 bits)
{
	u64 v = 0;

	for (u32 i = 0; i < bits && i < 64; i++)
		v |= (u64)(data[(off + i) / 8] >> ((off + i) % 8) & 1) << i;
	return v;
}

static struct json_object *member(const struct btf *btf, const struct btf_type *t, u32 i,
				  const u8 *data, size_t size, int depth)
{
	u32 id = value_strip(btf, btf_members(t)[i].type);
	u32 off = btf_member_bit_offset(t, i), bits = btf_member_bitfield_size(t, i);
	const struct btf_type *m = btf__type_by_id(btf, id);
	s64 msize = btf__resolve_size(btf, id);

	if (!m || off / 8 > size)
		return NULL;
	if (bits) {
		if ((u64)off + bits > (u64)size * 8 || !btf_is_int(m))
			return NULL;
		return integer(m, bitfield(data, off, bits), bits);
	}
	if (msize < 0 || off / 8 + (u64)msize > size)
		return NULL;
	return typed(btf, id, data + off / 8, msize, depth + 1);
}

static struct json_object *structure(const struct btf *btf, const struct btf_type *t,
				     const u8 *data, size_t size, int depth)
{
	struct json_object *o = json_object_new_object();

	for (u32 i = 0; i < btf_vlen(t); i++) {
		const char *name = btf__name_by_offset(btf, btf_members(t)[i].name_off);

		out_add(o, name && *name ? name : "(anon)", member(btf, t, i, data, size, depth));
	}
	return o;
}

/* A char array that holds text: printable up to a NUL, nothing but NULs after it. */
static bool is_text(const u8 *data, size_t size)
{
	size_t n = strnlen((const char *)data, size);

	for (size_t i = 0; i < n; i++) {
		if ((data[i] < 0x20 && data[i] != '\t' && data[i] != '\n') || data[i] >= 0x7f)
			return false;
	}
	return n < size;
}

static struct json_object *array(const struct btf *btf, const struct btf_type *t, const u8 *data,
				 size_t size, int depth)
{
	const struct btf_array *info = btf_array(t);
	u32 id = value_strip(btf, info->type);
	const struct btf_type *e = btf__type_by_id(btf, id);
	s64 esize = btf__resolve_size(btf, id);
	struct json_object *a;

	if (!e || esize <= 0 || (u64)esize * info->nelems > size)
		return value_bytes_json(data, size);
	if (btf_is_int(e) && esize == 1 && info->nelems > 1 && is_text(data, info->nelems))
		return json_object_new_string((const char *)data);
	a = json_object_new_array();
	for (u32 i = 0; i < info->nelems; i++)
		out_push(a, typed(btf, id, data + i * esize, esize, depth + 1));
	return a;
}

/* Global data: the section's variables by name. */
static struct json_object *section(const struct btf *btf, const struct btf_type *t, const u8 *data,
				   size_t size, int depth)
{
	struct json_object *o = json_object_new_object();

	for (u32 i = 0; i < btf_vlen(t); i++) {
		const struct btf_var_secinfo *v = &btf_var_secinfos(t)[i];
		const struct btf_type *var = btf__type_by_id(btf, v->type);
		const char *name = var ? btf__name_by_offset(btf, var->name_off) : NULL;

		if (!name || (u64)v->offset + v->size > size)
			continue;
		out_add(o, name, typed(btf, var->type, data + v->offset, v->size, depth + 1));
	}
	return o;
}

static struct json_object *typed(const struct btf *btf, u32 id, const u8 *data, size_t size,
				 int depth)
{
	const struct btf_type *t;

	id = value_strip(btf, id);
	t = id ? btf__type_by_id(btf, id) : NULL;
	if (!t || depth > DEPTH_MAX || size > SIZE_MAX_SHOWN)
		return value_bytes_json(data, size);
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
		return size > 8 ? value_bytes_json(data, size)
				: integer(t, load(data, size), size * 8);
	case BTF_KIND_PTR: {
		char hex[32];

		snprintf(hex, sizeof(hex), "0x%llx", (unsigned long long)load(data, size));
		return json_object_new_string(hex);
	}
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return enumerator(btf, t, load(data, size));
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return t->size <= size ? structure(btf, t, data, size, depth)
				       : value_bytes_json(data, size);
	case BTF_KIND_ARRAY:
		return array(btf, t, data, size, depth);
	case BTF_KIND_DATASEC:
		return section(btf, t, data, size, depth);
	default:
		return value_bytes_json(data, size);
	}
}

struct json_object *value_json(const struct btf *btf, u32 id, const void *data, size_t size)
{
	return btf && id ? typed(btf, id, data, size, 0) : value_bytes_json(data, size);
}

static char *bytes_text(const u8 *data, size_t size)
{
	char *text = malloc(size * 3 + 1), *p = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < size; i++)
		p += sprintf(p, "%s%02x", i ? " " : "", data[i]);
	*p = 0;
	return text;
}

char *value_text(const struct btf *btf, u32 id, const void *data, size_t size)
{
	struct json_object *o;
	char *text;

	if (!btf || !value_strip(btf, id))
		return bytes_text(data, size);
	o = value_json(btf, id, data, size);
	if (json_object_is_type(o, json_type_string)) {
		text = malloc((size_t)json_object_get_string_len(o) * 4 + 8);
		if (text)
			out_clean(json_object_get_string(o), text,
				  (size_t)json_object_get_string_len(o) * 4 + 8);
	} else {
		text = strdup(json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
	}
	json_object_put(o);
	return text;
}

bool value_u64(const struct btf *btf, u32 id, const void *data, size_t size, u64 *out)
{
	const struct btf_type *t = NULL;

	if (btf)
		t = btf__type_by_id(btf, value_strip(btf, id));
	if (t && !btf_is_int(t))
		return false;
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return false;
	*out = load(data, size);
	return true;
}
