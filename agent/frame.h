/* SPDX-License-Identifier: BSD-2-Clause */
/* What the handlers of the agent get: the kernel's siginfo and signal frame. */
#pragma once

#include <asm/siginfo.h>
#include <asm/signal.h>

#include "osl/linux/ucontext.h"
#include "osl/osl_trap.h"

static inline void frame_set_ip(struct osl_ucontext *uc, u64 ip)
{
	uc->ip = ip;
}

static inline u64 frame_ip(const struct osl_ucontext *uc)
{
	return uc->ip;
}

/* Where the siginfo is of the frame that the kernel made at @frame. */
#define FRAME_UC_SIZE 304 /* the kernel's struct ucontext */
static inline u64 frame_info(u64 frame)
{
	return frame + 8 + FRAME_UC_SIZE;
}

/* Is that what the kernel makes, and not a copy of some words of it? */
#define USER_CS 0x33
static inline bool frame_is_whole(const struct osl_ucontext *uc, u64 frame)
{
	return uc->cs == USER_CS && uc->flags <= 7 && !uc->link && uc->fpstate > frame &&
	       uc->fpstate - frame < 4096 && uc->ip;
}

/* si_errno of a trap whose handler returns without looking any more for what was held back */
#define TRAP_OVER 0x7261

#define RESTORER_LEN 9 /* bytes of its instructions */

/* of the alternate stack: there is none while a handler runs; there is none */
#define FRAME_AUTODISARM (1u << 31)
#define FRAME_DISABLE 2

#define FLAGS_RESUME 0x10000 /* set by every fault */
#define FLAGS_DIRECTION 0x400
#define FLAGS_TRAP 0x100 /* the CPU stops behind each instruction */
#define TRAP_BREAK 3
#define TRAP_STACK 12
#define TRAP_PROTECTION 13
#define TRAP_PAGE 14
#define TRAP_ALIGNMENT 17

/* The signal that the kernel makes of a fault of which only the trap is known. */
static inline void frame_complete_fault(struct osl_fault *f)
{
	if (f->sig)
		return;
	f->sig = f->trap == TRAP_PROTECTION ? SIGSEGV : SIGBUS;
	f->code = f->trap == TRAP_ALIGNMENT ? BUS_ADRALN : SI_KERNEL;
	f->addr = 0;
	f->err = 0;
}

static inline void frame_set_fault(struct osl_ucontext *uc, const struct osl_fault *f)
{
	uc->eflags |= FLAGS_RESUME;
	uc->trapno = f->trap;
	uc->err = f->err;
	if (f->addr)
		uc->cr2 = f->addr;
}

/*
 * What the C++ ABI has in an exception that is being passed on: the function that decides where a
 * forced unwinding stops, or 0. 0 or -EFAULT.
 */
static inline int frame_unwind_stop(const struct arch_regs *regs, u64 *stop)
{
	return osl_read(stop, (void *)(regs->di + 16), sizeof(*stop));
}

/* Of a function that was entered with @regs: its first three arguments. */
static inline u64 frame_argument(const struct arch_regs *regs, u32 i)
{
	return i == 0 ? regs->di : i == 1 ? regs->si : regs->dx;
}

static inline void frame_set_arguments(struct arch_regs *regs, u64 a, u64 b, u64 c)
{
	regs->di = a;
	regs->si = b;
	regs->dx = c;
}

/* entry.S: agent_end_above; what a function may change and nobody hands over anything in */
static inline void frame_set_scratch(struct arch_regs *regs, u64 fn, u64 arg)
{
	regs->r10 = fn;
	regs->r11 = arg;
}

/* entry.S: agent_call_back */
static inline void frame_call_back(struct osl_ucontext *uc, u64 call, u64 back)
{
	uc->bx = call;
	uc->ip = back;
}

/* The stack pointer in glibc's jmp_buf, the argument of longjmp(); or anything. */
static inline u64 frame_jump_sp(const struct arch_regs *regs)
{
	u64 sp, guard;

	if (osl_read(&sp, (void *)(regs->di + 48), sizeof(sp)) ||
	    osl_read(&guard, (void *)(arch_thread_pointer() + 0x30), sizeof(guard)))
		return 0;
	return (sp >> 17 | sp << 47) ^ guard;
}
