/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The signal frame of x86-64 as the kernel builds it, and the two ways between it and struct
 * arch_regs. Freestanding: it can be included beside libc's <signal.h>, whose names it does not
 * use.
 *
 * Rules: any context. Segment registers are never written back; orig_ax is -1, as it is for a
 * kernel uprobe hit.
 */
#pragma once

#include "arch/arch.h"

struct osl_ucontext {
	u64 flags;
	u64 link;
	u64 stack_sp;
	u32 stack_flags;
	u32 pad;
	u64 stack_size;
	u64 r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip;
	u64 eflags;
	u16 cs, gs, fs, ss;
	u64 err, trapno, oldmask, cr2;
	u64 fpstate;
	u64 reserved[8];
	u64 sigmask; /* what sigreturn will install */
};
_Static_assert(offsetof(struct osl_ucontext, r8) == 40, "uc_mcontext");
_Static_assert(offsetof(struct osl_ucontext, ip) == 168, "REG_RIP");
_Static_assert(offsetof(struct osl_ucontext, eflags) == 176, "entry.S: uc_flags");
_Static_assert(offsetof(struct osl_ucontext, sigmask) == 296, "uc_sigmask");

/* xmm0 and those that follow, in the part of the frame that has the form of FXSAVE; or NULL. */
static inline const u64 *osl_ucontext_vectors(const struct osl_ucontext *uc)
{
	return uc->fpstate ? (const u64 *)(uintptr_t)(uc->fpstate + 160) : NULL;
}

static inline void osl_regs_from_ucontext(struct arch_regs *regs, const void *ucontext)
{
	const struct osl_ucontext *uc = ucontext;

	*regs = (struct arch_regs){
		.r15 = uc->r15,
		.r14 = uc->r14,
		.r13 = uc->r13,
		.r12 = uc->r12,
		.bp = uc->bp,
		.bx = uc->bx,
		.r11 = uc->r11,
		.r10 = uc->r10,
		.r9 = uc->r9,
		.r8 = uc->r8,
		.ax = uc->ax,
		.cx = uc->cx,
		.dx = uc->dx,
		.si = uc->si,
		.di = uc->di,
		.orig_ax = ~0ull,
		.ip = uc->ip,
		.cs = uc->cs,
		.flags = uc->eflags,
		.sp = uc->sp,
		.ss = uc->ss,
	};
}

static inline void osl_regs_to_ucontext(const struct arch_regs *regs, void *ucontext)
{
	struct osl_ucontext *uc = ucontext;

	uc->r15 = regs->r15;
	uc->r14 = regs->r14;
	uc->r13 = regs->r13;
	uc->r12 = regs->r12;
	uc->bp = regs->bp;
	uc->bx = regs->bx;
	uc->r11 = regs->r11;
	uc->r10 = regs->r10;
	uc->r9 = regs->r9;
	uc->r8 = regs->r8;
	uc->ax = regs->ax;
	uc->cx = regs->cx;
	uc->dx = regs->dx;
	uc->si = regs->si;
	uc->di = regs->di;
	uc->ip = regs->ip;
	uc->eflags = regs->flags;
	uc->sp = regs->sp;
}
