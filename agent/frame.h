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
