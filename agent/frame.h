/* SPDX-License-Identifier: BSD-2-Clause */
/* What the handlers of the agent get: the kernel's siginfo and signal frame. */
#pragma once

#include <asm/siginfo.h>
#include <asm/signal.h>

#include "osl/linux/ucontext.h"

static inline void frame_set_ip(struct osl_ucontext *uc, u64 ip)
{
	uc->ip = ip;
}

static inline u64 frame_ip(const struct osl_ucontext *uc)
{
	return uc->ip;
}

#define FLAGS_RESUME 0x10000 /* set by every fault */
#define TRAP_PROTECTION 13
#define TRAP_PAGE 14
#define PAGE_WRITE 2
#define PAGE_USER 4

/* What the CPU says of an access to @addr that failed. False: no address that could be mapped. */
static inline bool frame_set_fault(struct osl_ucontext *uc, u64 addr, bool write)
{
	uc->eflags |= FLAGS_RESUME;
	if (addr + (1ull << 47) >= 1ull << 48) {
		uc->trapno = TRAP_PROTECTION;
		uc->err = 0;
		return false;
	}
	uc->trapno = TRAP_PAGE;
	uc->err = PAGE_USER | (write ? PAGE_WRITE : 0);
	uc->cr2 = addr;
	return true;
}
