/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of kernel functions that a program calls and that are not served: the daemon is told them
 * with the program, so that its refusal can name them.
 *
 * Model: a call has the id of a type in what stands for the kernel's BTF. Served functions come
 * first in it, and the built-in one has no others; so there is something to look up only in a file
 * that $EBPFRT_VMLINUX_BTF names. Types have no index: they are gone through in order, once.
 *
 * Rules: the file is anybody's. Whatever in it makes no sense ends the search, and a name that was
 * not found is left out.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>

#include "core/load/btf_kind.h"
#include "core/run/kfunc.h"
#include "proto/msg.h"
#include "surface/internal.h"

#define FILE_MAX (64u << 20)

struct types {
	const u8 *at, *end; /* of what follows */
	const char *strs;
	u32 strs_len;
};

static bool open_types(const u8 *data, u32 size, struct types *t)
{
	struct btf_header h;
	u64 from;

	if (size < sizeof(h))
		return false;
	memcpy(&h, data, sizeof(h));
	if (h.magic != BTF_MAGIC || h.hdr_len < sizeof(h))
		return false;
	from = (u64)h.hdr_len + h.type_off;
	if (from + h.type_len > size || (u64)h.hdr_len + h.str_off + h.str_len > size)
		return false;
	t->at = data + from;
	t->end = t->at + h.type_len;
	t->strs = (const char *)data + h.hdr_len + h.str_off;
	t->strs_len = h.str_len;
	return true;
}

static bool next_type(struct types *t, struct btf_type *out)
{
	s64 tail;

	if ((size_t)(t->end - t->at) < sizeof(*out))
		return false;
	memcpy(out, t->at, sizeof(*out));
	tail = btf_kind_tail(out->info);
	t->at += sizeof(*out);
	if (tail < 0 || tail > t->end - t->at)
		return false;
	t->at += tail;
	return true;
}

static void name_one(const struct types *t, const struct btf_type *type, struct msg_kfunc *f)
{
	const char *name = t->strs + type->name_off;
	size_t len;

	if (BTF_INFO_KIND(type->info) != BTF_KIND_FUNC || type->name_off >= t->strs_len)
		return;
	len = strnlen(name, MIN(t->strs_len - type->name_off, sizeof(f->name) - 1));
	memcpy(f->name, name, len);
}

static void name_all(const u8 *data, u32 size, struct msg_kfunc *f, u32 n)
{
	struct types t;
	struct btf_type type;
	u32 id = 1, found = 0;

	if (!open_types(data, size, &t))
		return;
	for (; found < n && next_type(&t, &type); id++)
		for (u32 i = 0; i < n; i++)
			if (f[i].id == id) {
				name_one(&t, &type, &f[i]);
				found++;
			}
}

static u8 *read_file(const char *path, u32 *size)
{
	int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	u8 *data = fd < 0 ? NULL : malloc(FILE_MAX);
	long r = 1;

	for (*size = 0; data && r > 0 && *size<FILE_MAX; *size += r> 0 ? (u32)r : 0)
		r = sys_call3(SYS_read, fd, data + *size, FILE_MAX - *size);
	if (fd >= 0)
		sys_close(fd);
	return data;
}

/* The calls of functions that are not served, each once. */
static u32 collect(const struct bpf_insn *insns, u32 n, struct msg_kfunc *f)
{
	u32 nf = 0, k;

	for (u32 i = 0; i < n && nf < MSG_KFUNCS_MAX; i++) {
		const struct bpf_insn *in = &insns[i];

		if (in->code == (BPF_LD | BPF_DW | BPF_IMM))
			i++;
		if (in->code != (BPF_JMP | BPF_CALL) || in->src_reg != BPF_PSEUDO_KFUNC_CALL ||
		    in->off || in->imm < EKFUNC_MAX)
			continue;
		for (k = 0; k < nf && f[k].id != (u32)in->imm;)
			k++;
		f[k].id = (u32)in->imm;
		nf = MAX(nf, k + 1);
	}
	return nf;
}

u32 surface_kfunc_names(const struct bpf_insn *insns, u32 n, struct msg_kfunc *f)
{
	const char *path = secure_getenv("EBPFRT_VMLINUX_BTF");
	_cleanup_free_ u8 *data = NULL;
	u32 nf, size;

	memset(f, 0, MSG_KFUNCS_MAX * sizeof(*f));
	nf = path && *path ? collect(insns, n, f) : 0;
	if (!nf)
		return 0;
	data = read_file(path, &size);
	if (!data)
		return 0;
	name_all(data, size, f, nf);
	return nf;
}
