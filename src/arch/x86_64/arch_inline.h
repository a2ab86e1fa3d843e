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

/* Whoever is put back to where it returns has lost all registers but the stack pointer. */
static inline __attribute__((always_inline)) u64 arch_call_on(u64 top, u64 fn, void *ctx, void *run,
							      u64 *recover)
{
	u64 ret = fn;

	__asm__ volatile("push %%rbp\n\t"
			 "lea 1f(%%rip), %%rbx\n\t"
			 "mov %%rsp, (%%rcx)\n\t"
			 "mov %%rbx, 8(%%rcx)\n\t"
			 "mov %%rsp, %%rbx\n\t"
			 "mov %%rdx, %%rsp\n\t"
			 "call *%%rax\n\t"
			 "mov %%rbx, %%rsp\n"
			 "1:\n\t"
			 "pop %%rbp"
			 : "+a"(ret), "+d"(top), "+c"(recover), "+D"(ctx), "+S"(run)
			 :
			 : "rbx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc",
			   "memory");
	return ret;
}

static inline void arch_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}
