/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing values by their BTF type: the inverse of value.c, for keys and values on a command line.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/value.h"

#define DEPTH_MAX 16

struct writer {
	const struct btf *btf;
	char *why;
	size_t why_size;
};

static int encode(struct writer *w, u32 id, struct json_object *o, u8 *out, size_t size, int depth);

/* A number of @size bytes, range-checked, from text. */
static int store_number(struct writer *w, const char *text, void *out, size_t size)
{
	bool negative = *text == '-';
	char *end;
	u64 v;
	u32 bits = size * 8;

	errno = 0;
	v = negative ? (u64)strtoll(text, &end, 0) : strtoull(text, &end, 0);
	if (errno || *end || end == text) {
		snprintf(w->why, w->why_size, "'%s' is not a number", text);
		return -EINVAL;
	}
	if (size > sizeof(v)) {
		snprintf(w->why, w->why_size, "a number of %zu bytes is written as bytes", size);
		return -EINVAL;
	}
	if (bits < 64 && (negative ? (s64)v < -((s64)1 << (bits - 1)) : v >> bits)) {
		snprintf(w->why, w->why_size, "%s does not fit into %zu byte%s", text, size,
			 size == 1 ? "" : "s");
		return -EINVAL;
	}
	memcpy(out, &v, size);
	return 0;
}

static int encode_enum(struct writer *w, const struct btf_type *t, const char *text, void *out,
		       size_t size)
{
	for (u32 i = 0; i < btf_vlen(t); i++) {
		u32 name = btf_is_enum(t) ? btf_enum(t)[i].name_off : btf_enum64(t)[i].name_off;
		u64 v = btf_is_enum(t) ? (u64)btf_enum(t)[i].val
				       : btf_enum64_value(&btf_enum64(t)[i]);

		if (!strcmp(btf__name_by_offset(w->btf, name), text)) {
			memcpy(out, &v, MIN(size, sizeof(v)));
			return 0;
		}
	}
	return store_number(w, text, out, size);
}

static int store_real(struct writer *w, const char *text, void *out, size_t size)
{
	char *end;
	double d = strtod(text, &end);
	float f = (float)d;

	if (*end || end == text || (size != sizeof(d) && size != sizeof(f))) {
		snprintf(w->why, w->why_size, "'%s' is not a number", text);
		return -EINVAL;
	}
	memcpy(out, size == sizeof(d) ? (void *)&d : &f, size);
	return 0;
}

/* Bits [off, off + bits) of what is at @out. */
static int encode_bitfield(struct writer *w, const struct btf_type *t, const char *name, u32 bits,
			   u32 off, struct json_object *o, u8 *out, size_t size)
{
	u64 v = 0, mask = bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;
	const char *text = json_object_get_string(o);
	int err;

	if (json_object_is_type(o, json_type_boolean))
		text = json_object_get_boolean(o) ? "1" : "0";
	if (!t || !text || (u64)off + bits > (u64)size * 8 || bits > 64) {
		snprintf(w->why, w->why_size, "member '%s' can't be written", name);
		return -EINVAL;
	}
	err = btf_is_any_enum(t) ? encode_enum(w, t, text, &v, sizeof(v))
				 : store_number(w, text, &v, sizeof(v));
	if (err)
		return err;
	if ((v & ~mask) && (*text != '-' || ~v >> (bits - 1))) {
		snprintf(w->why, w->why_size, "%s does not fit into the %u bit%s of '%s'", text,
			 bits, bits == 1 ? "" : "s", name);
		return -EINVAL;
	}
	for (u32 i = 0; i < bits; i++)
		out[(off + i) / 8] |= (u8)((v >> i & 1) << (off + i) % 8);
	return 0;
}

static const struct btf_type *member_type(struct writer *w, const struct btf_type *t, u32 i)
{
	return btf__type_by_id(w->btf, value_strip(w->btf, btf_members(t)[i].type));
}

/* The members of what has no name are written as if they stood beside it. */
static bool is_transparent(struct writer *w, const struct btf_type *t, u32 i, size_t size)
{
	const struct btf_type *m = member_type(w, t, i);
	u64 off = btf_member_bit_offset(t, i) / 8;

	return !*btf__name_by_offset(w->btf, btf_members(t)[i].name_off) && m &&
	       btf_is_composite(m) && off + m->size <= size;
}

static int encode_members(struct writer *w, const struct btf_type *t, struct json_object *o,
			  u8 *out, size_t size, int depth)
{
	int err = 0;

	for (u32 i = 0; !err && i < btf_vlen(t); i++) {
		const char *name = btf__name_by_offset(w->btf, btf_members(t)[i].name_off);
		u32 bits = btf_member_bitfield_size(t, i), off = btf_member_bit_offset(t, i);
		s64 msize = btf__resolve_size(w->btf, btf_members(t)[i].type);
		struct json_object *m;

		if (is_transparent(w, t, i, size) && depth < DEPTH_MAX)
			err = encode_members(w, member_type(w, t, i), o, out + off / 8,
					     member_type(w, t, i)->size, depth + 1);
		if (err || !*name || !json_object_object_get_ex(o, name, &m))
			continue;
		if (bits) {
			err = encode_bitfield(w, member_type(w, t, i), name, bits, off, m, out,
					      size);
			continue;
		}
		if (msize < 0 || off / 8 + (u64)msize > size) {
			snprintf(w->why, w->why_size, "member '%s' can't be written", name);
			return -EINVAL;
		}
		err = encode(w, btf_members(t)[i].type, m, out + off / 8, msize, depth + 1);
	}
	return err;
}

static bool has_member(struct writer *w, const struct btf_type *t, const char *key, int depth)
{
	for (u32 i = 0; i < btf_vlen(t); i++) {
		const char *name = btf__name_by_offset(w->btf, btf_members(t)[i].name_off);

		if (*name && !strcmp(key, name))
			return true;
		if (is_transparent(w, t, i, SIZE_MAX / 2) && depth < DEPTH_MAX &&
		    has_member(w, member_type(w, t, i), key, depth + 1))
			return true;
	}
	return false;
}

static int check_member_names(struct writer *w, const struct btf_type *t, struct json_object *o)
{
	json_object_object_foreach(o, key, value)
	{
		(void)value;
		if (!has_member(w, t, key, 0)) {
			snprintf(w->why, w->why_size, "the type has no member '%s'", key);
			return -EINVAL;
		}
	}
	return 0;
}

static int encode_struct(struct writer *w, const struct btf_type *t, struct json_object *o, u8 *out,
			 size_t size, int depth)
{
	int err;

	if (!json_object_is_type(o, json_type_object)) {
		/* as the maps are printed: a structure of one member is that member */
		if (btf_vlen(t) == 1 && !btf_member_bitfield_size(t, 0) &&
		    !btf_member_bit_offset(t, 0))
			return encode(w, btf_members(t)[0].type, o, out, size, depth + 1);
		snprintf(w->why, w->why_size,
			 "a structure is written as JSON: {\"member\": value}");
		return -EINVAL;
	}
	err = check_member_names(w, t, o);
	return err ? err : encode_members(w, t, o, out, size, depth);
}

static int encode_array(struct writer *w, const struct btf_type *t, struct json_object *o, u8 *out,
			size_t size, int depth)
{
	const struct btf_array *info = btf_array(t);
	s64 esize = btf__resolve_size(w->btf, info->type);
	size_t n;

	if (json_object_is_type(o, json_type_string) && esize == 1) {
		n = json_object_get_string_len(o);
		if (n > size) {
			snprintf(w->why, w->why_size,
				 "the text has %zu bytes, there is room for %zu", n, size);
			return -EINVAL;
		}
		memcpy(out, json_object_get_string(o), n);
		return 0;
	}
	if (!json_object_is_type(o, json_type_array) || esize <= 0 ||
	    json_object_array_length(o) > info->nelems || (u64)esize * info->nelems > size) {
		snprintf(w->why, w->why_size, "an array of %u is written as JSON: [a, b, ...]",
			 info->nelems);
		return -EINVAL;
	}
	for (size_t i = 0; i < json_object_array_length(o); i++) {
		int err = encode(w, info->type, json_object_array_get_idx(o, i), out + i * esize,
				 esize, depth + 1);

		if (err)
			return err;
	}
	return 0;
}

static bool is_truth(const char *word)
{
	return !strcmp(word, "true") || !strcmp(word, "false");
}

static int encode(struct writer *w, u32 id, struct json_object *o, u8 *out, size_t size, int depth)
{
	u32 real = value_strip(w->btf, id);
	const struct btf_type *t = real ? btf__type_by_id(w->btf, real) : NULL;
	const char *text = json_object_get_string(o);

	if (!t || !text || depth > DEPTH_MAX) {
		snprintf(w->why, w->why_size, "a value of this type can't be written");
		return -EINVAL;
	}
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
		if (json_object_is_type(o, json_type_boolean))
			text = json_object_get_boolean(o) ? "1" : "0";
		if (btf_int_encoding(t) & BTF_INT_BOOL && is_truth(text))
			text = *text == 't' ? "1" : "0";
		return store_number(w, text, out, size);
	case BTF_KIND_FLOAT:
		return store_real(w, text, out, size);
	case BTF_KIND_PTR:
		return store_number(w, text, out, size);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return encode_enum(w, t, text, out, size);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return encode_struct(w, t, o, out, size, depth);
	case BTF_KIND_ARRAY:
		return encode_array(w, t, o, out, size, depth);
	default:
		snprintf(w->why, w->why_size, "a value of this type can't be written");
		return -EINVAL;
	}
}

static int parse_bytes(struct writer *w, char *const *words, int base, u8 *out, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char *end;
		unsigned long v;

		errno = 0;
		v = strtoul(words[i], &end, base);
		if (errno || *end || end == words[i] || v > 255) {
			snprintf(w->why, w->why_size, "'%s' is not a byte", words[i]);
			return -EINVAL;
		}
		out[i] = (u8)v;
	}
	return 0;
}

static int parse_typed(struct writer *w, u32 id, const char *word, u8 *out, size_t size)
{
	const struct btf_type *t = btf__type_by_id(w->btf, value_strip(w->btf, id));
	struct json_object *o = NULL;
	int err;

	if (t && (btf_is_composite(t) || (btf_is_array(t) && *word == '[')))
		o = json_tokener_parse(word);
	if (!o)
		o = json_object_new_string(word);
	err = encode(w, id, o, out, size, 0);
	json_object_put(o);
	return err;
}

int value_parse(const struct btf *btf, u32 id, char *const *words, int n, void *out, size_t size,
		char *why, size_t why_size)
{
	struct writer w = {.btf = btf, .why = why, .why_size = why_size};
	_cleanup_free_ u8 *buf = calloc(1, size ? size : 1);
	int err;

	if (!buf)
		return -ENOMEM;
	if (n > 1 && !strcmp(words[0], "hex") && (size_t)n - 1 == size)
		err = parse_bytes(&w, words + 1, 16, buf, size);
	else if (n > 1 && (size_t)n == size)
		err = parse_bytes(&w, words, 0, buf, size);
	else if (n == 1 && btf && value_strip(btf, id))
		err = parse_typed(&w, id, words[0], buf, size);
	else if (n == 1 && (size == 1 || size == 2 || size == 4 || size == 8))
		err = store_number(&w, words[0], buf, size);
	else {
		snprintf(why, why_size,
			 "%d word%s where %zu bytes are wanted (decimal, 0x.., or all in hex after "
			 "the "
			 "word hex)",
			 n, n == 1 ? "" : "s", size);
		err = -EINVAL;
	}
	if (!err)
		memcpy(out, buf, size);
	return err;
}
