/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is a blob a BTF that can be handed to others? Structure only, in two linear passes: header and
 * sections, then every type record with its references and strings. Nothing recurses; chains of
 * modifiers are followed a bounded number of steps. The kernel's own verdicts and errno for the
 * same faults (kernel/bpf/btf.c) are the model: EINVAL, E2BIG for size.
 */
#include <string.h>

#include "core/load/btf_kind.h"
#include "core/load/syscall.h"

#define ENOTSUPP 524 /* the kernel's own */
#define BTF_SIZE_MAX (16u << 20)
#define BTF_CHAIN_MAX 32u
#define INFO_BITS 0x9f00ffffu /* flag, kind and vlen */

struct btf_view {
	const u8 *types;
	u32 types_len;
	const char *strs;
	u32 strs_len;
	u32 nr; /* types, void excluded */
};

static bool add_ok(u32 a, u32 b, u32 max)
{
	return a <= max && b <= max - a;
}

static int view_header(const u8 *data, u32 size, struct btf_view *v, struct ebpf_log *log)
{
	struct btf_header h;
	u32 body;

	if (size < sizeof(h)) {
		ebpf_log_printf(log, "hdr_len not found\n");
		return -EINVAL;
	}
	memcpy(&h, data, sizeof(h));
	if (h.magic != BTF_MAGIC || h.version != BTF_VERSION || h.flags) {
		ebpf_log_printf(log, h.magic != BTF_MAGIC ? "Invalid magic\n"
				     : h.flags		  ? "Unsupported flags\n"
							  : "Unsupported version\n");
		return h.magic != BTF_MAGIC ? -EINVAL : -ENOTSUPP;
	}
	if (h.hdr_len < sizeof(h) || h.hdr_len > size) {
		ebpf_log_printf(log, "Unsupported section found\n");
		return -EINVAL;
	}
	body = size - h.hdr_len;
	if (!body) {
		ebpf_log_printf(log, "No data\n");
		return -EINVAL;
	}
	if (!add_ok(h.type_off, h.type_len, body) || !add_ok(h.str_off, h.str_len, body) ||
	    (h.type_off & 3) || (h.type_len & 3) || h.type_off + h.type_len != h.str_off ||
	    h.str_off + h.str_len != body) {
		ebpf_log_printf(log, "Invalid section offset\n");
		return -EINVAL;
	}
	v->types = data + h.hdr_len + h.type_off;
	v->types_len = h.type_len;
	v->strs = (const char *)data + h.hdr_len + h.str_off;
	v->strs_len = h.str_len;
	v->nr = 0;
	if (!v->strs_len || v->strs[0] || v->strs[v->strs_len - 1]) {
		ebpf_log_printf(log, "Invalid string section\n");
		return -EINVAL;
	}
	return 0;
}

/* The record at @off, its length in *len. */
static int record(const struct btf_view *v, u32 off, struct btf_type *t, u32 *len)
{
	s64 tail;

	if (!add_ok(off, sizeof(*t), v->types_len))
		return -EINVAL;
	memcpy(t, v->types + off, sizeof(*t));
	tail = btf_kind_tail(t->info);
	if (tail < 0 || !add_ok(off + sizeof(*t), tail, v->types_len))
		return -EINVAL;
	*len = sizeof(*t) + tail;
	return 0;
}

static bool name_ok(const struct btf_view *v, u32 off)
{
	return off < v->strs_len;
}

static bool refers(const struct btf_type *t)
{
	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_PTR:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FUNC_PROTO:
	case BTF_KIND_VAR:
	case KIND_DECL_TAG:
	case KIND_TYPE_TAG:
		return true;
	default:
		return false;
	}
}

/* Words of the tail that are type ids or string offsets, by kind. */
static bool tail_ok(const struct btf_view *v, const struct btf_type *t, const u8 *tail)
{
	u32 vlen = BTF_INFO_VLEN(t->info), stride = 0, kind = BTF_INFO_KIND(t->info), w[3];

	if (kind == BTF_KIND_ARRAY) {
		memcpy(w, tail, 12);
		return w[0] && w[0] <= v->nr && w[1] && w[1] <= v->nr;
	}
	if (kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_DATASEC ||
	    kind == KIND_ENUM64)
		stride = 12;
	else if (kind == BTF_KIND_ENUM || kind == BTF_KIND_FUNC_PROTO)
		stride = 8;
	for (u32 i = 0; stride && i < vlen; i++) {
		memcpy(w, tail + (size_t)i * stride, stride);
		if (kind == BTF_KIND_DATASEC) {
			if (!w[0] || w[0] > v->nr || w[2] > t->size || w[1] > t->size - w[2])
				return false;
			continue;
		}
		if (!name_ok(v, w[0]))
			return false;
		if (kind != BTF_KIND_ENUM && kind != KIND_ENUM64 && w[1] > v->nr)
			return false;
		if ((kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION) && !w[1])
			return false;
	}
	return true;
}

/* An integer's bits lie inside of its bytes. pahole writes encodings that the kernel refuses. */
static bool int_ok(const struct btf_type *t, const u8 *tail)
{
	u32 bits, word;

	memcpy(&word, tail, sizeof(word));
	bits = BTF_INT_BITS(word) + BTF_INT_OFFSET(word);
	return !BTF_INFO_VLEN(t->info) && !(word & 0xf0000000) && bits <= 128 &&
	       (bits + 7) / 8 <= t->size;
}

static bool type_ok(const struct btf_view *v, u32 id, const struct btf_type *t, const u8 *tail)
{
	u32 kind = BTF_INFO_KIND(t->info);

	if (!name_ok(v, t->name_off) || t->info & ~INFO_BITS)
		return false;
	if (refers(t) && (t->type > v->nr || (t->type == id && kind != BTF_KIND_PTR)))
		return false;
	if (kind == BTF_KIND_INT && !int_ok(t, tail))
		return false;
	return tail_ok(v, t, tail);
}

static int count_types(struct btf_view *v, struct ebpf_log *log)
{
	struct btf_type t = {0};
	u32 len;

	for (u32 off = 0; off < v->types_len; off += len) {
		if (record(v, off, &t, &len)) {
			ebpf_log_printf(log, "[%u] Invalid kind:%u or truncated type\n", v->nr + 1,
					(unsigned int)BTF_INFO_KIND(t.info));
			return -EINVAL;
		}
		v->nr++;
	}
	return 0;
}

int ebpf_btf_check_form(const u8 *data, u32 size, struct ebpf_log *log)
{
	struct btf_view v = {0};
	struct btf_type t;
	u32 len, id = 0;
	int err;

	err = view_header(data, size, &v, log);
	if (!err)
		err = count_types(&v, log);
	if (err)
		return err;
	for (u32 off = 0; off < v.types_len; off += len) {
		record(&v, off, &t, &len);
		if (!type_ok(&v, ++id, &t, v.types + off + sizeof(t))) {
			ebpf_log_printf(log, "[%u] kind:%u Invalid type, member or name\n", id,
					(unsigned int)BTF_INFO_KIND(t.info));
			return -EINVAL;
		}
	}
	return 0;
}

int ebpf_btf_check(const u8 *data, u32 size, struct ebpf_log *log)
{
	return size > BTF_SIZE_MAX ? -E2BIG : ebpf_btf_check_form(data, size, log);
}

static void view_checked(const u8 *data, u32 size, struct btf_view *v)
{
	struct ebpf_log none = {0};

	view_header(data, size, v, &none);
}

static int find_type(const struct btf_view *v, u32 id, struct btf_type *t, const u8 **tail)
{
	u32 len, off = 0;

	if (!id)
		return -EINVAL;
	for (; off < v->types_len; off += len) {
		if (record(v, off, t, &len))
			return -EINVAL;
		if (!--id) {
			*tail = v->types + off + sizeof(*t);
			return 0;
		}
	}
	return -EINVAL;
}

u32 ebpf_btf_nr_types(const u8 *data, u32 size)
{
	struct ebpf_log none = {0};
	struct btf_view v = {0};

	view_checked(data, size, &v);
	count_types(&v, &none);
	return v.nr;
}

int ebpf_btf_kind(const u8 *data, u32 size, u32 id)
{
	struct btf_view v = {0};
	struct btf_type t;
	const u8 *tail;

	view_checked(data, size, &v);
	if (find_type(&v, id, &t, &tail))
		return -EINVAL;
	return BTF_INFO_KIND(t.info);
}

/* How many values of which other type, @id, those of @t are; false: @t says what they are itself.
 */
static bool consists_of(const struct btf_type *t, const u8 *tail, u64 *n, u32 *id)
{
	u32 w[3];

	*n = 1;
	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_ARRAY:
		memcpy(w, tail, sizeof(w));
		*n = w[2];
		*id = w[0];
		return true;
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_VAR:
	case KIND_TYPE_TAG:
		*id = t->type;
		return true;
	default:
		return false;
	}
}

s64 ebpf_btf_type_size(const u8 *data, u32 size, u32 id)
{
	struct btf_view v = {0};
	struct btf_type t;
	const u8 *tail;
	u64 factor = 1, n;
	u32 i, kind;

	view_checked(data, size, &v);
	for (i = 0; i < BTF_CHAIN_MAX; i++) {
		if (find_type(&v, id, &t, &tail))
			return -EINVAL;
		if (!consists_of(&t, tail, &n, &id))
			break;
		factor *= n;
		if (factor > UINT32_MAX)
			return -EINVAL;
	}
	kind = BTF_INFO_KIND(t.info);
	if (i == BTF_CHAIN_MAX || (!btf_kind_is_sized(kind) && kind != BTF_KIND_PTR))
		return -EINVAL;
	factor *= kind == BTF_KIND_PTR ? sizeof(u64) : t.size;
	return factor > UINT32_MAX ? -EINVAL : (s64)factor;
}
