/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of x86-64 in the order and size of the kernel's struct pt_regs: what a uprobe
 * program gets as its context. */
#pragma once

#include "base/types.h"

struct arch_regs {
	u64 r15, r14, r13, r12, bp, bx;
	u64 r11, r10, r9, r8, ax, cx, dx, si, di;
	u64 orig_ax;
	u64 ip, cs, flags, sp, ss;
};
#define ARCH_REGS_SIZE 168 /* for who can't use sizeof */
_Static_assert(sizeof(struct arch_regs) == ARCH_REGS_SIZE, "pt_regs of x86-64");

/* In unwind tables: the stack pointer, and the column of the return address. */
#define ARCH_DWARF_SP 7
#define ARCH_DWARF_RA 16
/* How libunwind calls it, in the names of its functions. */
#define ARCH_LIBUNWIND "x86_64"

/* Of the general registers that pass arguments, and results: number @n, or 0. */
static inline u64 arch_regs_argument(const struct arch_regs *regs, u32 n)
{
	const u64 v[] = {regs->di, regs->si, regs->dx, regs->cx, regs->r8, regs->r9};

	return n < 6 ? v[n] : 0;
}
static inline u64 arch_regs_result(const struct arch_regs *regs, u32 n)
{
	return n ? regs->dx : regs->ax;
}

/* The frame pointer, for walking stacks. */
static inline u64 arch_regs_fp(const struct arch_regs *regs)
{
	return regs->bp;
}
