/* SPDX-License-Identifier: BSD-2-Clause */
/* Raw system calls and the thread pointer. The only place that names the syscall instruction. */
#pragma once

static inline long arch_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* Of the ABI's TCB: its first word points to itself on every libc we know; 0 before it is set up.
 */
static inline u64 arch_thread_pointer(void)
{
	u64 fs;

	__asm__ volatile("rdfsbase %0" : "=r"(fs));
	return fs;
}

/*
 * The same by the word it leads to, which is much faster. Where there is none the load faults: who
 * calls this has a handler that asks arch_thread_self_failed().
 */
#define ARCH_SELF_LOAD_LEN 9
static inline u64 arch_thread_self(void)
{
	u64 self;

	__asm__ volatile("movq %%fs:0, %0" : "=a"(self));
	return self;
}

/* @regs faulted at that: they go on behind it. */
static inline bool arch_thread_self_failed(struct arch_regs *regs)
{
	static const u8 load[ARCH_SELF_LOAD_LEN] = {0x64, 0x48, 0x8b, 0x04, 0x25};
	const u8 *at = (const u8 *)(uintptr_t)regs->ip;

	for (u32 i = 0; i < sizeof(load); i++)
		if (at[i] != load[i])
			return false;
	regs->ax = arch_thread_pointer();
	regs->ip += sizeof(load);
	return true;
}

/* Adds one to what no other thread writes; signal handlers of this one may do the same. */
static inline void arch_count(u64 *counter)
{
	__asm__ volatile("incq %0" : "+m"(*counter));
}

static inline void arch_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}
