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

/* Of @bits, as wide as the enumeration or as a bitfield of its type. */
static struct json_object *enumerator(const struct btf *btf, const struct btf_type *t, u64 v,
				      u32 bits)
{
	u64 mask = bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;

	for (u32 i = 0; i < btf_vlen(t); i++) {
		u64 e = btf_is_enum(t) ? (u32)btf_enum(t)[i].val
				       : btf_enum64_value(&btf_enum64(t)[i]);
		u32 name = btf_is_enum(t) ? btf_enum(t)[i].name_off : btf_enum64(t)[i].name_off;

		if ((e & mask) == (v & mask))
			return json_object_new_string(btf__name_by_offset(btf, name));
	}
	return btf_kflag(t) ? json_object_new_int64(sign_extend(v, bits))
			    : json_object_new_uint64(v & mask);
}

/* As short as it can be read back from. */
static struct json_object *real(const u8 *data, size_t size)
{
	char text[40];
	double d = 0;
	float f;

	memcpy(&f, data, sizeof(f));
	if (size == sizeof(d))
		memcpy(&d, data, sizeof(d));
	else
		d = f;
	for (int digits = size == sizeof(f) ? 6 : 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, d);
		if (size == sizeof(f) ? strtof(text, NULL) == f : strtod(text, NULL) == d)
			break;
	}
	/* what JSON has no number for (inf, nan) is a word */
	return text[strcspn(text, "in")] ? json_object_new_string(text)
					 : json_object_new_double_s(d, text);
}

static struct json_object *hex(const u8 *data, size_t size)
{
	char text[2 * 32 + 3] = "0x", *p = text + 2;

	while (size > 1 && !data[size - 1])
		size--;
	for (p += sprintf(p, "%x", data[size - 1]); --size;)
		p += sprintf(p, "%02x", data[size - 1]);
	return json_object_new_string(text);
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
	if (bits && ((u64)off + bits > (u64)size * 8 || bits > 64))
		return NULL;
	if (bits && btf_is_any_enum(m))
		return enumerator(btf, m, bitfield(data, off, bits), bits);
	if (bits)
		return btf_is_int(m) ? integer(m, bitfield(data, off, bits), bits) : NULL;
	if (msize < 0 || off / 8 + (u64)msize > size)
		return NULL;
	return typed(btf, id, data + off / 8, msize, depth + 1);
}

/* What has no name is transparent: its members stand among those of the structure it is in. */
static void add_members(struct json_object *o, const struct btf *btf, const struct btf_type *t,
			const u8 *data, size_t size, int depth)
{
	for (u32 i = 0; i < btf_vlen(t); i++) {
		const char *name = btf__name_by_offset(btf, btf_members(t)[i].name_off);
		u32 off = btf_member_bit_offset(t, i) / 8;
		const struct btf_type *m =
			btf__type_by_id(btf, value_strip(btf, btf_members(t)[i].type));

		if (name && *name)
			out_add(o, name, member(btf, t, i, data, size, depth));
		else if (m && btf_is_composite(m) && depth < DEPTH_MAX && off <= size &&
			 m->size <= size - off)
			add_members(o, btf, m, data + off, m->size, depth + 1);
	}
}

static struct json_object *structure(const struct btf *btf, const struct btf_type *t,
				     const u8 *data, size_t size, int depth)
{
	struct json_object *o = json_object_new_object();

	add_members(o, btf, t, data, size, depth);
	return o;
}

/* Bytes of the character of UTF-8 at @p, 0: it is none, or not printable. */
static size_t character(const u8 *p, size_t left)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	/* of what could be written shorter, is half of a pair, or beyond the last */
	u8 least = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
	u8 most = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;

	if (n == 1)
		return (p[0] >= 0x20 && p[0] != 0x7f) || p[0] == '\t' || p[0] == '\n';
	if (p[0] < 0xc2 || p[0] > 0xf4 || left < n || p[1] < least || p[1] > most)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if (p[i] >> 6 != 2)
			return 0;
	}
	return n;
}

/*
 * Text: of chars whatever can be printed up to a NUL or the end; of other bytes, which are numbers
 * as often, only what is there, ends with a NUL, and has nothing but NULs behind it.
 */
static bool is_text(const u8 *data, size_t size, bool chars, size_t *len)
{
	size_t n = strnlen((const char *)data, size), step;

	*len = n;
	for (size_t i = 0; i < n; i += step) {
		step = character(data + i, n - i);
		if (!step)
			return false;
	}
	for (size_t i = n; !chars && i < size; i++) {
		if (data[i])
			return false;
	}
	return chars || (n && n < size);
}

static bool is_char(const struct btf *btf, const struct btf_type *t)
{
	return (btf_int_encoding(t) & BTF_INT_CHAR) ||
	       !strcmp(btf__name_by_offset(btf, t->name_off), "char");
}

static struct json_object *array(const struct btf *btf, const struct btf_type *t, const u8 *data,
				 size_t size, int depth)
{
	const struct btf_array *info = btf_array(t);
	u32 id = value_strip(btf, info->type);
	const struct btf_type *e = btf__type_by_id(btf, id);
	s64 esize = btf__resolve_size(btf, id);
	struct json_object *a;
	size_t len;

	if (!e || esize <= 0 || (u64)esize * info->nelems > size)
		return value_bytes_json(data, size);
	if (btf_is_int(e) && esize == 1 && info->nelems > 1 &&
	    !(btf_int_encoding(e) & BTF_INT_BOOL) &&
	    is_text(data, info->nelems, is_char(btf, e), &len))
		return json_object_new_string_len((const char *)data, (int)len);
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
		if (size > 8)
			return size <= 32 ? hex(data, size) : value_bytes_json(data, size);
		return integer(t, load(data, size), size * 8);
	case BTF_KIND_FLOAT:
		return size == 4 || size == 8 ? real(data, size) : value_bytes_json(data, size);
	case BTF_KIND_PTR:
		return size && size <= 8 ? hex(data, size) : value_bytes_json(data, size);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return enumerator(btf, t, load(data, size), MIN(size, 8ul) * 8);
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
