/* SPDX-License-Identifier: BSD-2-Clause */
/* Without an arch folder there is no raw system call: process-context code goes through libc, the
 * agent is not built. */
#pragma once

#include <errno.h>

static inline long arch_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	(void)nr, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
	return -ENOSYS;
}

static inline u64 arch_thread_pointer(void)
{
	return 0;
}

static inline void arch_relax(void)
{
}
