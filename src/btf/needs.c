/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an object asks of its target: the named types of its CO-RE relocations, read from .BTF.ext,
 * so that a missing type can be refused in words before libbpf refuses it in its own.
 *
 * The layout of .BTF.ext is the kernel's (Documentation/bpf/btf.rst); every offset is checked, what
 * doesn't fit ends the walk.
 */
#include "btf/btf.h"

#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"

/* libbpf exports this name; its header only declares the later one */
const void *btf_ext__get_raw_data(const struct btf_ext *ext, u32 *size);

struct ext_header {
	u16 magic;
	u8 version, flags;
	u32 hdr_len;
	u32 func_info_off, func_info_len;
	u32 line_info_off, line_info_len;
	u32 core_relo_off, core_relo_len;
};

struct ext_section {
	u32 name_off;
	u32 nrecords;
};

struct needs {
	const struct btf *btf;
	struct btf_need *out;
	int n, max;
};

static void free_btf(struct btf **btf)
{
	btf__free(*btf);
}

static void free_ext(struct btf_ext **ext)
{
	btf_ext__free(*ext);
}

static const char *kind_word(const struct btf_type *t)
{
	switch (btf_kind(t)) {
	case BTF_KIND_STRUCT:
		return "struct";
	case BTF_KIND_UNION:
		return "union";
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return "enum";
	default:
		return NULL;
	}
}

static bool only_asks(u32 kind)
{
	return kind == BPF_CORE_FIELD_EXISTS || kind == BPF_CORE_TYPE_EXISTS ||
	       kind == BPF_CORE_TYPE_MATCHES || kind == BPF_CORE_ENUMVAL_EXISTS ||
	       kind == BPF_CORE_TYPE_ID_LOCAL;
}

static void strip_flavour(char *name)
{
	char *flavour = strstr(name, "___");

	if (flavour && flavour != name)
		*flavour = 0;
}

static void add_need(struct needs *needs, u32 type_id)
{
	const struct btf_type *t;
	struct btf_need one = {0};
	const char *kind, *name;

	/* btf__type_by_id() checks the id; modifiers lead to smaller problems than an endless
	 * chain */
	for (int i = 0; i < 32; i++) {
		t = btf__type_by_id(needs->btf, type_id);
		if (!t || !(btf_is_mod(t) || btf_is_typedef(t)))
			break;
		type_id = t->type;
	}
	kind = t ? kind_word(t) : NULL;
	name = t ? btf__name_by_offset(needs->btf, t->name_off) : NULL;
	if (!kind || !name || !*name)
		return;
	snprintf(one.kind, sizeof(one.kind), "%s", kind);
	snprintf(one.name, sizeof(one.name), "%s", name);
	strip_flavour(one.name);
	for (int i = 0; i < needs->n; i++) {
		if (!strcmp(needs->out[i].name, one.name))
			return;
	}
	if (needs->n < needs->max)
		needs->out[needs->n++] = one;
}

/* One section's records at @p; the bytes it takes, or 0 at the end of what makes sense. */
static u32 walk_section(struct needs *needs, const char *p, u32 left, u32 record_size)
{
	struct ext_section sec;
	u64 size;

	if (left < sizeof(sec))
		return 0;
	memcpy(&sec, p, sizeof(sec));
	size = sizeof(sec) + (u64)sec.nrecords * record_size;
	if (size > left)
		return 0;
	for (u32 i = 0; i < sec.nrecords; i++) {
		struct bpf_core_relo relo;

		memcpy(&relo, p + sizeof(sec) + (u64)i * record_size, sizeof(relo));
		if (!only_asks(relo.kind))
			add_need(needs, relo.type_id);
	}
	return size;
}

static int walk_ext(struct needs *needs, const char *data, u32 len)
{
	struct ext_header h = {0};
	u32 record_size, left, n;
	const char *p;

	if (len < 8)
		return -EINVAL;
	memcpy(&h, data, MIN(len, (u32)sizeof(h)));
	if (h.hdr_len < sizeof(h) || h.core_relo_len < 4)
		return 0;
	if ((u64)h.hdr_len + h.core_relo_off + h.core_relo_len > len)
		return -EINVAL;
	p = data + h.hdr_len + h.core_relo_off;
	memcpy(&record_size, p, 4);
	if (record_size < sizeof(struct bpf_core_relo))
		return -EINVAL;
	for (p += 4, left = h.core_relo_len - 4; left; p += n, left -= n) {
		n = walk_section(needs, p, left, record_size);
		if (!n)
			break;
	}
	return needs->n;
}

int btf_needs(const char *prog_o, struct btf_need *out, int max)
{
	_cleanup_(free_ext) struct btf_ext *ext = NULL;
	_cleanup_(free_btf) struct btf *btf = NULL;
	struct needs needs = {.out = out, .max = max};
	const void *data;
	u32 len = 0;

	btf = btf__parse(prog_o, &ext);
	if (!btf)
		return errno == ENODATA || errno == ENOENT ? 0 : -errno;
	if (!ext)
		return 0;
	data = btf_ext__get_raw_data(ext, &len);
	if (!data)
		return 0;
	needs.btf = btf;
	return walk_ext(&needs, data, len);
}

int btf_file_has(const char *path, const struct btf_need *need)
{
	_cleanup_(free_btf) struct btf *btf = btf__parse_raw(path);
	u32 n = btf ? btf__type_cnt(btf) : 0;

	for (u32 id = 1; id < n; id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);
		const char *name = btf__name_by_offset(btf, t->name_off);
		const char *kind = kind_word(t);

		if (kind && name && !strcmp(kind, need->kind) && !strcmp(name, need->name))
			return 1;
	}
	return 0;
}
