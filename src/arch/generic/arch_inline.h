/* SPDX-License-Identifier: BSD-2-Clause */
/* Without an arch folder a system call goes through libc; that is enough, since the agent, which
 * has none, is not built. */
#pragma once

long arch_libc_syscall(long nr, long a, long b, long c, long d, long e, long f);

static inline long arch_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	return arch_libc_syscall(nr, a, b, c, d, e, f);
}

static inline u64 arch_thread_pointer(void)
{
	return 0;
}

static inline u64 arch_thread_self(void)
{
	return 0;
}

static inline bool arch_thread_self_failed(struct arch_regs *regs)
{
	(void)regs;
	return false;
}

static inline void arch_count(u64 *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static inline void arch_relax(void)
{
}
