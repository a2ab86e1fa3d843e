/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of the verifier: a program of macros, what is to come of it, and the same program in
 * the running kernel where there is one that lets us.
 *
 * Maps, by index in lddw: enum case_map.
 */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macros.h"
#include "core/load/verify.h"
#include "tests/support/engine.h"

#define CASE_INSNS 64
#define CASE_LOG (1u << 18)

struct verify_case {
	const char *name;
	int err;	   /* 0 or -errno */
	const char *words; /* in the log */
	bool local;	   /* of our own: the kernel is not asked */
	bool drift;	   /* newer kernels have other words */
	u32 prog_type;	   /* 0: kprobe */
	struct bpf_insn insns[CASE_INSNS];
};

#define JMP_REG(op, d, s, o) INSN(BPF_JMP | (op) | BPF_X, d, s, o, 0)
#define JMP32_IMM(op, d, i, o) INSN(BPF_JMP32 | (op) | BPF_K, d, 0, o, i)
#define JMP32_REG(op, d, s, o) INSN(BPF_JMP32 | (op) | BPF_X, d, s, o, 0)
#define MAY_GOTO(o) INSN(BPF_JMP | BPF_JCOND, 0, 0, o, 0)
#define MAP(d, i) LDDW_KIND(d, BPF_PSEUDO_MAP_FD, i)
#define FUNC(d, rel) LDDW_KIND(d, BPF_PSEUDO_FUNC, (u32)(rel))
/* the address of byte @off in the value of map @i's one entry */
#define VALUE_AT(d, i, off)                                                                        \
	INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_VALUE, 0, i), INSN(0, 0, 0, 0, off)
#define RANDOM() CALL(BPF_FUNC_get_prandom_u32)

enum case_map {
	CASE_HASH,  /* 8 -> 48 */
	CASE_ARRAY, /* 4 -> 48, one entry */
	CASE_RINGBUF,
	CASE_RDONLY, /* an array programs can't write */
	CASE_WRONLY, /* or read */
	CASE_PROGS,
	CASE_QUEUE, /* of 8 bytes */
	CASE_STACKS,
	CASE_USER_RINGBUF,
	CASE_PERF,
	CASE_PERCPU,   /* 4 -> 48 */
	CASE_BLOOM,    /* of 8 bytes */
	CASE_FIELDS,   /* a hash: 4 bytes lock, 4 bytes, 16 bytes timer, 24 bytes; local */
	CASE_CONSTANT, /* frozen: a string, a number at 16, "%d %s" at 24, 'x' to the end; local */
	CASE_OUTER,    /* array of CASE_ARRAYs; local */
};

#define CASE_MAP(kind, key, value, entries, flags, text)                                           \
	{                                                                                          \
		.meta = {                                                                          \
			.type = BPF_MAP_TYPE_##kind,                                               \
			.key_size = key,                                                           \
			.value_size = value,                                                       \
			.max_entries = entries,                                                    \
			.map_flags = flags,                                                        \
			.name = text                                                               \
		}                                                                                  \
	}

static const struct ebpf_vmap case_maps[] = {
	[CASE_HASH] = CASE_MAP(HASH, 8, 48, 8, 0, "h"),
	[CASE_ARRAY] = CASE_MAP(ARRAY, 4, 48, 1, 0, "a"),
	[CASE_RINGBUF] = CASE_MAP(RINGBUF, 0, 0, 4096, 0, "r"),
	[CASE_RDONLY] = CASE_MAP(ARRAY, 4, 48, 1, BPF_F_RDONLY_PROG, "ro"),
	[CASE_WRONLY] = CASE_MAP(ARRAY, 4, 48, 1, BPF_F_WRONLY_PROG, "wo"),
	[CASE_PROGS] = CASE_MAP(PROG_ARRAY, 4, 4, 4, 0, "p"),
	[CASE_QUEUE] = CASE_MAP(QUEUE, 0, 8, 4, 0, "q"),
	[CASE_STACKS] = CASE_MAP(STACK_TRACE, 4, 80, 4, 0, "s"),
	[CASE_USER_RINGBUF] = CASE_MAP(USER_RINGBUF, 0, 0, 4096, 0, "u"),
	[CASE_PERF] = CASE_MAP(PERF_EVENT_ARRAY, 4, 4, 4, 0, "e"),
	[CASE_PERCPU] = CASE_MAP(PERCPU_ARRAY, 4, 48, 4, 0, "c"),
	[CASE_BLOOM] = CASE_MAP(BLOOM_FILTER, 0, 8, 4, 0, "b"),
	[CASE_FIELDS] = {.meta = {.type = BPF_MAP_TYPE_HASH,
				  .key_size = 8,
				  .value_size = 48,
				  .max_entries = 8,
				  .name = "f"},
			 .fields = {{EBPF_FIELD_SPIN_LOCK, 0, 4}, {EBPF_FIELD_TIMER, 8, 16}},
			 .nfields = 2,
			 .has_btf = true},
	[CASE_CONSTANT] = {.meta = {.type = BPF_MAP_TYPE_ARRAY,
				    .key_size = 4,
				    .value_size = 32,
				    .max_entries = 1,
				    .map_flags = BPF_F_RDONLY_PROG,
				    .name = "k"},
			   .frozen = true,
			   .contents =
				   (const u8 *)"constant\0\0\0\0\0\0\0\0\x04\x03\x02\x01\0\0\0\0"
					       "%d %s\0xx"},
	[CASE_OUTER] = {.meta = {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
				 .key_size = 4,
				 .value_size = 4,
				 .max_entries = 4,
				 .name = "o"},
			.inner = &(const struct ebpf_map_meta){.type = BPF_MAP_TYPE_ARRAY,
							       .key_size = 4,
							       .value_size = 48,
							       .max_entries = 1,
							       .name = "i"}},
};

/* a program ends where only zeroes follow */
static inline u32 case_len(const struct verify_case *c)
{
	u32 n = CASE_INSNS;

	while (n && !c->insns[n - 1].code && !c->insns[n - 1].imm)
		n--;
	return n;
}

/* --- BTF: int main(void), and static int sub(void) for every other function ------------------- */

static const struct {
	struct btf_header head;
	struct btf_type integer;
	u32 bits;
	struct btf_type proto, main, sub;
	char names[14];
} case_btf = {
	.head = {.magic = BTF_MAGIC,
		 .version = BTF_VERSION,
		 .hdr_len = sizeof(struct btf_header),
		 .type_len = 4 * sizeof(struct btf_type) + sizeof(u32),
		 .str_off = 4 * sizeof(struct btf_type) + sizeof(u32),
		 .str_len = 14},
	.integer = {.name_off = 1, .info = BTF_KIND_INT << 24, .size = 4},
	.bits = BTF_INT_SIGNED << 24 | 32,
	.proto = {.info = BTF_KIND_FUNC_PROTO << 24, .type = 1},
	.main = {.name_off = 5, .info = BTF_KIND_FUNC << 24 | BTF_FUNC_GLOBAL, .type = 2},
	.sub = {.name_off = 10, .info = BTF_KIND_FUNC << 24 | BTF_FUNC_STATIC, .type = 2},
	.names = "\0int\0main\0sub",
};
#define CASE_BTF_SIZE (sizeof(struct btf_header) + 4 * sizeof(struct btf_type) + sizeof(u32) + 14)

static inline bool case_refers(const struct bpf_insn *in)
{
	return (in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_CALL) ||
	       (in->code == (BPF_LD | BPF_IMM | BPF_DW) && in->src_reg == BPF_PSEUDO_FUNC);
}

static inline u32 case_funcs(const struct verify_case *c, struct bpf_func_info *funcs)
{
	bool start[CASE_INSNS + 1] = {true};
	u32 n = 0, len = case_len(c);

	for (u32 i = 0; i < len; i++)
		if (case_refers(&c->insns[i]) && i + 1 + (u32)c->insns[i].imm < len)
			start[i + 1 + (u32)c->insns[i].imm] = true;
	for (u32 i = 0; i < len; i++)
		if (start[i])
			funcs[n++] = (struct bpf_func_info){i, i ? 4 : 3};
	return n;
}

struct verdict {
	int err;
	char *log;
	u32 states, processed;
};

static inline void verdict_free(struct verdict *v)
{
	free(v->log);
}

static inline struct verdict case_ours(const struct verify_case *c, u32 level)
{
	struct verdict v = {.log = calloc(1, CASE_LOG)};
	struct ebpf_log log = {.buf = v.log, .size = CASE_LOG, .level = level};
	struct ebpf_vprog prog = {.insns = c->insns,
				  .ninsns = case_len(c),
				  .prog_type = c->prog_type ? c->prog_type : BPF_PROG_TYPE_KPROBE,
				  .nr_cpus = (u32)sysconf(_SC_NPROCESSORS_CONF),
				  .gpl = true,
				  .maps = case_maps,
				  .nmaps = ARRAY_SIZE(case_maps)};
	struct bpf_func_info funcs[CASE_INSNS];
	struct ebpf_proof proof = {0};
	struct ebpf_facts facts = {0};

	prog.nfuncs = case_funcs(c, funcs);
	prog.funcs = funcs;
	prog.btf = (struct ebpf_vbtf){(const u8 *)&case_btf, CASE_BTF_SIZE};
	v.err = ebpf_explore(&prog, &log, &proof, &facts);
	v.states = proof.nstates;
	v.processed = facts.processed;
	ebpf_facts_free(&facts);
	if (!v.err) /* what we let through is what the second phase bears out */
		v.err = ebpf_check_proof(&prog, &proof, &log, &facts);
	ebpf_log_end(&log);
	ebpf_proof_free(&proof);
	ebpf_facts_free(&facts);
	return v;
}

/* --- the kernel ------------------------------------------------------------------------------ */

static inline int kernel_map(const struct ebpf_map_meta *m)
{
	union bpf_attr a = {.map_type = m->type,
			    .key_size = m->key_size,
			    .value_size = m->value_size,
			    .max_entries = m->max_entries,
			    .map_flags = m->map_flags};

	strcpy(a.map_name, m->name);
	return (int)syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof(a));
}

static inline int *kernel_maps(void)
{
	static int fds[ARRAY_SIZE(case_maps)] = {-1};

	for (u32 i = 0; i < CASE_FIELDS && (!i || fds[0] >= 0) && fds[i] <= 0; i++)
		fds[i] = kernel_map(&case_maps[i].meta);
	return fds;
}

static inline int kernel_btf(void)
{
	union bpf_attr a = {.btf = (u64)(uintptr_t)&case_btf, .btf_size = CASE_BTF_SIZE};
	static int fd;

	if (!fd)
		fd = (int)syscall(SYS_bpf, BPF_BTF_LOAD, &a, sizeof(a));
	return fd;
}

static inline bool kernel_there(void)
{
	return kernel_maps()[0] >= 0;
}

static inline struct verdict case_kernel(const struct verify_case *c, u32 level)
{
	struct verdict v = {.log = calloc(1, CASE_LOG)};
	struct bpf_insn insns[CASE_INSNS];
	struct bpf_func_info funcs[CASE_INSNS];
	union bpf_attr a = {.prog_type = c->prog_type ? c->prog_type : BPF_PROG_TYPE_KPROBE,
			    .insns = (u64)(uintptr_t)insns,
			    .insn_cnt = case_len(c),
			    .license = (u64)(uintptr_t) "GPL",
			    .log_buf = (u64)(uintptr_t)v.log,
			    .log_size = CASE_LOG,
			    .log_level = level};
	long fd;

	a.prog_btf_fd = (u32)kernel_btf();
	a.func_info = (u64)(uintptr_t)funcs;
	a.func_info_rec_size = sizeof(*funcs);
	a.func_info_cnt = case_funcs(c, funcs);
	memcpy(insns, c->insns, sizeof(insns));
	for (u32 i = 0; i < a.insn_cnt; i++)
		if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
		    (insns[i].src_reg == BPF_PSEUDO_MAP_FD ||
		     insns[i].src_reg == BPF_PSEUDO_MAP_VALUE))
			insns[i].imm = kernel_maps()[insns[i].imm];
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
	v.err = fd < 0 ? -errno : 0;
	if (fd >= 0)
		close((int)fd);
	return v;
}

static inline void case_check(const struct verify_case *c)
{
	struct verdict v = case_ours(c, c->err == -E2BIG ? 4 : 1);

	cr_expect_eq(v.err, c->err, "%s: %d, not %d\n%s", c->name, v.err, c->err, v.log);
	if (c->words)
		cr_expect(strstr(v.log, c->words), "%s: no \"%s\" in\n%s", c->name, c->words,
			  v.log);
	verdict_free(&v);
	if (c->local || !kernel_there())
		return;
	v = case_kernel(c, c->err == -E2BIG ? 4 : 1);
	cr_expect_eq(v.err, c->err, "%s: the kernel says %d\n%s", c->name, v.err, v.log);
	if (c->words && !c->drift)
		cr_expect(strstr(v.log, c->words), "%s: no \"%s\" in the kernel's\n%s", c->name,
			  c->words, v.log);
	verdict_free(&v);
}
