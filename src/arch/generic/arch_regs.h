/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers of a CPU we have no folder for: nothing is probed there, programs run on the
 * interpreter only. */
#pragma once

#include "base/types.h"

struct arch_regs {
	u64 ip, sp, r[62];
};
#define ARCH_REGS_SIZE 512 /* for who can't use sizeof */
_Static_assert(sizeof(struct arch_regs) == ARCH_REGS_SIZE, "all of them");

#define ARCH_DWARF_SP 31 /* of none: nothing is known of the stack */
#define ARCH_DWARF_RA 31
/* How libunwind calls it, in the names of its functions. */
#define ARCH_LIBUNWIND ""

/* Nor how arguments are passed. */
static inline u64 arch_regs_argument(const struct arch_regs *regs, u32 n)
{
	return 0;
}
static inline u64 arch_regs_result(const struct arch_regs *regs, u32 n)
{
	return 0;
}

/* Which register holds the frame pointer is not known: a walk ends at once. */
static inline u64 arch_regs_fp(const struct arch_regs *regs)
{
	return 0;
}
