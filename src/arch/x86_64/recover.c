/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaving an execution from a fault handler (see enter.S). Emitted code keeps its struct ebpf_run
 * in r12 from prologue to epilogue.
 */
#include "arch/arch.h"

#define EM_X86_64 62
#define FLAG_DF 0x400u /* the ABI wants the direction flag clear */

const u32 arch_jit_machine = EM_X86_64;

bool arch_prog_recover(struct arch_regs *regs, const u64 *recover)
{
	if (!recover[1])
		return false;
	regs->sp = recover[0];
	regs->ip = recover[1];
	regs->ax = 0;
	regs->flags &= ~(u64)FLAG_DF;
	return true;
}

struct ebpf_run *arch_prog_run_of(const struct arch_regs *regs)
{
	return (struct ebpf_run *)(uintptr_t)regs->r12;
}
