/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of the execution engines: instructions by name, a program from instructions to its run.
 */
#pragma once

#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "core/load/load.h"
#include "core/run/helper.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

#define INSN(c, d, s, o, i)                                                                        \
	((struct bpf_insn){                                                                        \
		.code = (c), .dst_reg = (d)&15, .src_reg = (s)&15, .off = (o), .imm = (i)})
#define ALU64_IMM(op, d, i) INSN(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define ALU64_REG(op, d, s) INSN(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define ALU32_IMM(op, d, i) INSN(BPF_ALU | (op) | BPF_K, d, 0, 0, i)
#define ALU32_REG(op, d, s) INSN(BPF_ALU | (op) | BPF_X, d, s, 0, 0)
#define MOV_IMM(d, i) ALU64_IMM(BPF_MOV, d, i)
#define MOV_REG(d, s) ALU64_REG(BPF_MOV, d, s)
#define LDX(size, d, s, o) INSN(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define STX(size, d, s, o) INSN(BPF_STX | BPF_MEM | (size), d, s, o, 0)
#define ST(size, d, o, i) INSN(BPF_ST | BPF_MEM | (size), d, 0, o, i)
#define JMP_IMM(op, d, i, o) INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define JA(o) INSN(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define CALL(id) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, id)
#define CALL_BPF(rel) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, rel)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define LDDW_KIND(d, kind, v)                                                                      \
	INSN(BPF_LD | BPF_IMM | BPF_DW, d, kind, 0, (s32)(u64)(v)),                                \
		INSN(0, 0, 0, 0, (s32)((u64)(v) >> 32))
#define LDDW(d, v) LDDW_KIND(d, 0, v)

#define ENGINE_REFS 16

struct engine {
	struct ebpf_prog prog;
	struct ebpf_load load;
	struct ebpf_log log;
	char text[1024];
	u64 refs[ENGINE_REFS];
	void *base;
};

static inline void engine_close(struct engine *e)
{
	if (e->base)
		munmap(e->base, e->load.image_size);
	free(e->load.image);
	e->base = NULL;
	e->load.image = NULL;
}
#define _cleanup_engine_ _cleanup_(engine_close)

static inline int engine_map(struct engine *e)
{
	u32 size = e->load.image_size;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	e->base = p;
	memcpy(p, e->load.image, size);
	if (mprotect(p, size, PROT_READ | PROT_EXEC))
		return -errno;
	return ebpf_prog_bind(&e->prog, p, size, e->refs, 1);
}

/* e->load may be prepared by the caller (map_by_fd, check_flags) */
static inline int engine_load(struct engine *e, const struct bpf_insn *insns, u32 n, bool jit)
{
	int r;

	e->log = (struct ebpf_log){.buf = e->text, .size = sizeof(e->text), .level = 1};
	e->load.insns = insns;
	e->load.ninsns = n;
	e->load.prog_type = BPF_PROG_TYPE_KPROBE;
	e->load.check_flags |= EBPF_CHECK_STRUCTURE;
	e->load.want_jit = jit;
	e->load.log = &e->log;
	r = ebpf_load_build(&e->load);
	if (r)
		return r;
	ebpf_helper_table_init();
	return engine_map(e);
}

/* r0 of one run; *run is kept for a look at aborted and the like */
static inline u64 engine_run(struct engine *e, void *ctx, struct ebpf_run *run)
{
	return ebpf_prog_run(&e->prog, ctx, run);
}

static inline u64 engine_r0(const struct bpf_insn *insns, u32 n, bool jit, void *ctx)
{
	struct engine e __attribute__((cleanup(engine_close))) = {0};
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};

	if (engine_load(&e, insns, n, jit))
		return 0xbad10adbad10adULL;
	return engine_run(&e, ctx, &run);
}
