/* SPDX-License-Identifier: BSD-2-Clause */
/* Entering a program on a CPU without a JIT: a plain call, with no way back from a fault. */
#include "arch/arch.h"

const u32 arch_jit_machine;

u64 arch_prog_enter(arch_prog_fn fn, void *ctx, struct ebpf_run *run)
{
	return fn(ctx, run);
}

bool arch_prog_recover(struct arch_regs *regs, const u64 *recover)
{
	return false;
}

void arch_prog_leave(struct ebpf_run *run)
{
}

struct ebpf_run *arch_prog_run_of(const struct arch_regs *regs)
{
	return NULL;
}
