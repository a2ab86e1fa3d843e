/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of kernel functions out of a file that is anybody's. */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "core/run/kfunc.h"
#include "proto/msg.h"
#include "surface/internal.h"

#define FILLERS 40u /* types before those that are looked for: served functions have low numbers   \
		     */
#define ACQUIRE (FILLERS + 1)
#define STRUCT (FILLERS + 2)
#define LAST (FILLERS + 3)

static u8 file[4096];
static u32 file_size;
static char path[] = "/tmp/ebpfrt-kfunc-XXXXXX";

static void put(const void *data, u32 len)
{
	memcpy(file + file_size, data, len);
	file_size += len;
}

static void type(u32 name, u32 kind, u32 vlen, u32 tail)
{
	struct btf_type t = {.name_off = name, .info = kind << 24 | vlen};
	static const u8 none[64];

	put(&t, sizeof(t));
	put(none, tail);
}

/* Every kind is behind us when the functions come. */
static void make(void)
{
	static const char strs[] = "\0bpf_task_acquire\0some\0bpf_last";
	struct btf_header h = {.magic = BTF_MAGIC, .version = 1, .hdr_len = sizeof(h)};
	u32 types;

	file_size = sizeof(h);
	type(18, BTF_KIND_INT, 0, 4);
	type(0, BTF_KIND_ARRAY, 0, 12);
	type(18, BTF_KIND_STRUCT, 2, 24);
	type(18, BTF_KIND_ENUM, 3, 24);
	type(0, BTF_KIND_FUNC_PROTO, 2, 16);
	type(18, BTF_KIND_VAR, 0, 4);
	type(18, BTF_KIND_DATASEC, 1, 12);
	type(18, 17, 0, 4);
	type(18, 19, 1, 12);
	for (u32 i = 9; i < FILLERS; i++)
		type(0, BTF_KIND_PTR, 0, 0);
	type(1, BTF_KIND_FUNC, 0, 0);
	type(18, BTF_KIND_STRUCT, 0, 0);
	type(23, BTF_KIND_FUNC, 0, 0);
	types = file_size - (u32)sizeof(h);
	put(strs, sizeof(strs));
	h.type_len = h.str_off = types;
	h.str_len = sizeof(strs);
	memcpy(file, &h, sizeof(h));
}

static void save(u32 len)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	cr_assert_eq(write(fd, file, len), (ssize_t)len);
	close(fd);
}

static void start(void)
{
	close(mkstemp(path));
	setenv("EBPFRT_VMLINUX_BTF", path, 1);
	make();
	save(file_size);
}

static void stop(void)
{
	unlink(path);
}

TestSuite(kfunc, .init = start, .fini = stop, .timeout = 20);

static struct bpf_insn call(s32 id)
{
	return (struct bpf_insn){
		.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = id};
}

static const char *name_of(s32 id)
{
	static struct msg_kfunc f[MSG_KFUNCS_MAX];
	struct bpf_insn in = call(id);

	return surface_kfunc_names(&in, 1, f) == 1 ? f[0].name : NULL;
}

Test(kfunc, named)
{
	struct bpf_insn insns[] = {
		call(ACQUIRE),
		call(EKFUNC_ITER_NUM_NEW),
		{.code = BPF_LD | BPF_DW | BPF_IMM},
		call(STRUCT), /* a half of the one before */
		call(LAST),
		call(ACQUIRE),
	};
	struct msg_kfunc f[MSG_KFUNCS_MAX];

	cr_assert_eq(surface_kfunc_names(insns, ARRAY_SIZE(insns), f), 2);
	cr_expect_eq(f[0].id, ACQUIRE);
	cr_expect_str_eq(f[0].name, "bpf_task_acquire");
	cr_expect_eq(f[1].id, LAST);
	cr_expect_str_eq(f[1].name, "bpf_last");
}

Test(kfunc, no_name)
{
	struct bpf_insn insns[100];
	struct msg_kfunc f[MSG_KFUNCS_MAX];

	cr_expect_str_eq(name_of(STRUCT), "");
	cr_expect_str_eq(name_of(LAST + 1), "");
	cr_expect_null(name_of(-1));
	for (u32 i = 0; i < ARRAY_SIZE(insns); i++)
		insns[i] = call((s32)(ACQUIRE + i));
	cr_expect_eq(surface_kfunc_names(insns, ARRAY_SIZE(insns), f), MSG_KFUNCS_MAX);
	cr_expect_str_eq(f[0].name, "bpf_task_acquire");
	cr_expect_str_eq(f[3].name, "");
	setenv("EBPFRT_VMLINUX_BTF", "/nonexistent", 1);
	cr_expect_null(name_of(ACQUIRE));
	unsetenv("EBPFRT_VMLINUX_BTF");
	cr_expect_null(name_of(ACQUIRE));
}

/* a name without an end ends where the strings do */
Test(kfunc, cut)
{
	struct btf_header h;

	for (u32 len = 0; len < file_size; len += 3) {
		save(len);
		cr_expect_str_eq(name_of(ACQUIRE), "", "of %u bytes", len);
	}
	memcpy(&h, file, sizeof(h));
	h.str_len -= 5;
	memcpy(file, &h, sizeof(h));
	save(file_size);
	cr_expect_str_eq(name_of(LAST), "bpf_");
}

Test(kfunc, damaged)
{
	u64 seed = 0x9e3779b97f4a7c15u;

	for (u32 i = 0; i < 1000; i++) {
		u8 was;
		u32 at;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		at = (u32)(seed >> 33) % file_size;
		was = file[at];
		file[at] = (u8)(seed >> 25);
		save(file_size);
		cr_expect_leq(strlen(name_of(ACQUIRE)), 59);
		cr_expect_leq(strlen(name_of(LAST)), 59);
		file[at] = was;
	}
}
