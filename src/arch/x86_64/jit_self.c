/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU and the thread that run the program.
 *
 * Both are told by words near the thread pointer: the CPU's number by the one that the kernel keeps
 * there for a thread (rseq(2)), the thread's by the libc's. Where they are the process knows
 * (osl_trap.h); a thread may have neither, so that the loads may fault, and what they give is
 * compared with what can be. The number of a thread is believed where there is an entry, made by
 * one that had asked the kernel, for the same number and thread pointer.
 */
#include "jit_self.h"

#include "core/run/helper.h"

/* offsets in struct ebpf_run and struct osl_who, asserted in core/run/prog.c */
enum { RUN_HELPERS = 0, RUN_CPU = 272, RUN_CPU_PART = 276, RUN_CALLEE = 280 };
enum { WHO_TID_AT = 0, WHO_TP = 16, WHO_PID_TGID = 24, WHO_SHIFT = 4 };
#define MAX_CPUS 0x1000 /* osl_cpu() takes no number from there on */

static void load(struct emit *e, bool wide, u8 dst, u8 base, s32 disp)
{
	emit_rm(e, 0, wide, 0x8b, dst, base, disp, false);
}

void jit_call_helper(struct emit *e, u32 id)
{
	emit_mov(e, true, R9, R12);
	load(e, true, R11, R12, RUN_HELPERS);
	emit_rm(e, 0, false, 0xff, 2, R11, (s32)(id * 8), false);
}

void jit_call_target(struct emit *e, u32 callee)
{
	emit_rm(e, 0, false, 0xc7, 0, R12, RUN_CALLEE, false);
	emit_bytes(e, callee, 4);
	jit_call_helper(e, EBPF_HELPER_KFUNC + EKFUNC_TARGET);
}

static void keep(struct emit *e, u8 reg, s32 at)
{
	emit_rm(e, 0, false, 0x89, reg, R12, at, false);
}

void jit_cpu_find(struct emit *e, u32 nr_cpus, const u32 *slow)
{
	load(e, true, R11, R12, RUN_HELPERS);
	load(e, true, RAX, R11, EBPF_HELPER_CPU_AT * 8);
	emit_test(e, true, RAX, RAX);
	emit_jcc32(e, CC_E, slow);
	emit_guard(e, slow);
	emit_load_fs(e, RAX, RAX);
	emit_alu_imm(e, false, X86_CMP, RAX, nr_cpus ? (s32)nr_cpus : MAX_CPUS);
	emit_jcc32(e, CC_AE, slow);
	keep(e, RAX, RUN_CPU);
	if (nr_cpus)
		keep(e, RAX, RUN_CPU_PART);
}

/* The part is found as map_impl.h has it. */
void jit_cpu_ask(struct emit *e, u32 nr_cpus)
{
	emit_push(e, RDI);
	emit_push(e, RDI);
	jit_call_helper(e, BPF_FUNC_get_smp_processor_id);
	keep(e, RAX, RUN_CPU);
	if (nr_cpus) {
		emit_mov_imm(e, RCX, nr_cpus);
		emit_alu(e, false, X86_XOR, RDX, RDX);
		emit_unary(e, false, X86_DIV, RCX);
		keep(e, RDX, RUN_CPU_PART);
	}
	emit_pop(e, RDI);
	emit_pop(e, RDI);
}

void jit_cpu(struct emit *e)
{
	load(e, false, RAX, R12, RUN_CPU);
}

void jit_pid_tgid(struct emit *e, const u32 *slow)
{
	u32 start;

	load(e, true, R11, R12, RUN_HELPERS);
	load(e, true, RCX, R11, EBPF_HELPER_WHO * 8);
	load(e, true, RAX, RCX, WHO_TID_AT);
	emit_guard(e, slow);
	emit_load_fs(e, RAX, RAX);
	emit_guard(e, slow);
	emit_load_self(e, RDX);
	emit_zext8(e, RSI, RAX);
	emit_shift_imm(e, false, X86_SHL, RSI, WHO_SHIFT);
	start = e->len;
	emit_rm_index(e, true, 0x39, RDX, RCX, RSI, 1, WHO_TP);
	emit_fuses(e, start);
	emit_jcc32(e, CC_NE, slow);
	emit_rm_index(e, true, 0x8b, RDX, RCX, RSI, 1, WHO_PID_TGID);
	emit_alu(e, false, X86_CMP, RDX, RAX);
	emit_jcc32(e, CC_NE, slow);
	emit_mov(e, true, RAX, RDX);
}
