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

/* Adds one to what no other thread writes; signal handlers of this one may do the same. */
static inline void arch_count(u64 *counter)
{
	__asm__ volatile("incq %0" : "+m"(*counter));
}

static inline void arch_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}
