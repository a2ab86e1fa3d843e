/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an object asks of its target: the named types of its CO-RE relocations, read from .BTF.ext,
 * so that each can be looked for where it should be (view.c), and a missing one be refused in words
 * before libbpf refuses it in its own.
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

/* The kinds of type that are found by their name. */
static const char *const kind_words[] = {
	[BTF_KIND_STRUCT] = "struct", [BTF_KIND_UNION] = "union",     [BTF_KIND_ENUM] = "enum",
	[BTF_KIND_ENUM64] = "enum",   [BTF_KIND_TYPEDEF] = "typedef",
};

static bool only_asks(u32 kind)
{
	return kind == BPF_CORE_FIELD_EXISTS || kind == BPF_CORE_TYPE_EXISTS ||
	       kind == BPF_CORE_TYPE_MATCHES || kind == BPF_CORE_ENUMVAL_EXISTS ||
	       kind == BPF_CORE_TYPE_ID_LOCAL;
}

/* Where ___flavour begins, as libbpf sees it; the whole length when there is none. */
static size_t essential_len(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = n < 5 ? 0 : n - 4; i > 0; i--) {
		const char *sep = name + i;

		if (!strncmp(sep, "___", 3) && sep[-1] != '_' && sep[3] != '_')
			return i;
	}
	return n;
}

static const char *kind_word(const struct btf_type *t)
{
	u32 kind = btf_kind(t);

	return kind < ARRAY_SIZE(kind_words) ? kind_words[kind] : NULL;
}

bool btf_is_needed(const struct btf *btf, u32 id, const struct btf_need *need)
{
	const struct btf_type *t = btf__type_by_id(btf, id);
	const char *kind = kind_word(t), *name = btf__name_by_offset(btf, t->name_off);

	if (!kind || !name || strcmp(kind, need->kind))
		return false;
	return !strncmp(name, need->name, strlen(need->name)) &&
	       essential_len(name) == strlen(need->name);
}

static bool is_known(struct needs *needs, const struct btf_need *one)
{
	for (int i = 0; i < needs->n; i++) {
		struct btf_need *known = &needs->out[i];

		if (strcmp(known->name, one->name) || strcmp(known->kind, one->kind) ||
		    strcmp(known->section, one->section))
			continue;
		known->must |= one->must;
		known->asked |= one->asked;
		return true;
	}
	return false;
}

/* -E2BIG: there are more than room was made for. */
static int add_need(struct needs *needs, const char *section, const struct bpf_core_relo *relo)
{
	/* btf__type_by_id() checks the id */
	const struct btf_type *t = btf__type_by_id(needs->btf, relo->type_id);
	const char *kind = t ? kind_word(t) : NULL;
	const char *name = t ? btf__name_by_offset(needs->btf, t->name_off) : NULL;
	struct btf_need one = {.must = !only_asks(relo->kind), .asked = only_asks(relo->kind)};

	if (!kind || !name || !*name || relo->kind == BPF_CORE_TYPE_ID_LOCAL)
		return 0;
	snprintf(one.kind, sizeof(one.kind), "%s", kind);
	snprintf(one.name, sizeof(one.name), "%.*s", (int)essential_len(name), name);
	/* of SEC("?...") libbpf forgets the mark, too */
	snprintf(one.section, sizeof(one.section), "%s",
		 section ? section + (*section == '?') : "");
	if (is_known(needs, &one))
		return 0;
	if (needs->n == needs->max)
		return -E2BIG;
	needs->out[needs->n++] = one;
	return 0;
}

/* One section's records at @p; the bytes it takes, 0 at the end of what makes sense, or -errno. */
static s64 walk_section(struct needs *needs, const char *p, u32 left, u32 record_size)
{
	struct ext_section sec;
	const char *name;
	u64 size;
	int err = 0;

	if (left < sizeof(sec))
		return 0;
	memcpy(&sec, p, sizeof(sec));
	size = sizeof(sec) + (u64)sec.nrecords * record_size;
	if (size > left)
		return 0;
	name = btf__name_by_offset(needs->btf, sec.name_off);
	for (u32 i = 0; !err && i < sec.nrecords; i++) {
		struct bpf_core_relo relo;

		memcpy(&relo, p + sizeof(sec) + (u64)i * record_size, sizeof(relo));
		err = add_need(needs, name, &relo);
	}
	return err ? err : (s64)size;
}

static int walk_ext(struct needs *needs, const char *data, u32 len)
{
	struct ext_header h = {0};
	u32 record_size, left;
	const char *p;
	s64 n;

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
		if (n <= 0)
			return n ? (int)n : needs->n;
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
