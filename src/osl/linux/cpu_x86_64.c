/* SPDX-License-Identifier: BSD-2-Clause */
/* x86-64: what the CPU and this kernel let user space read without a system call. Any context. */
#include <asm/unistd.h>

#include "arch/arch.h"
#include "osl/linux/cpu.h"
#include "osl/osl_trap.h"

#define HWCAP2_FSGSBASE 2u
#define CPUID7_ECX_RDPID (1u << 22)

extern const char osl_fault_begin[] __hidden;
extern const char osl_fault_touch[] __hidden;
extern const char osl_fault_touch_end[] __hidden;
extern const char osl_fault_end[] __hidden;
extern const char osl_fault_return[] __hidden;

long osl_hw_syscall(long nr, long a, long b, long c, long d)
{
	return arch_syscall6(nr, a, b, c, d, 0, 0);
}

static void cpuid(u32 leaf, u32 *eax, u32 *ecx)
{
	u32 ebx, edx;

	*eax = leaf;
	*ecx = 0;
	__asm__ volatile("cpuid" : "+a"(*eax), "=b"(ebx), "+c"(*ecx), "=d"(edx));
}

/*
 * The instruction returns IA32_TSC_AUX, which Linux fills and other kernels that run Linux programs
 * may not: it is believed only when it agrees with the system call. Migration between the two reads
 * makes them differ, hence the attempts.
 */
static bool cpu_node_agrees(void)
{
	u32 cpu = 0, node = 0;

	for (int i = 0; i < 8; i++) {
		if (osl_hw_syscall(__NR_getcpu, (long)&cpu, (long)&node, 0, 0))
			return false;
		if (osl_hw_cpu_node() == (node << 12 | cpu))
			return true;
	}
	return false;
}

bool osl_hw_has_cpu_node(void)
{
	u32 eax, ecx;

	cpuid(0, &eax, &ecx);
	if (eax < 7)
		return false;
	cpuid(7, &eax, &ecx);
	return (ecx & CPUID7_ECX_RDPID) && cpu_node_agrees();
}

bool osl_hw_has_thread_pointer(u64 hwcap2)
{
	return hwcap2 & HWCAP2_FSGSBASE;
}

void osl_fault_tell(struct arch_regs *regs, const struct osl_fault *what)
{
	if (regs->ip < (u64)osl_fault_touch || regs->ip >= (u64)osl_fault_touch_end)
		return;
	regs->cx = (u32)what->sig | (u64)what->code << 32;
	regs->r8 = what->addr;
	regs->r9 = what->trap | (u64)what->err << 32;
}

bool osl_fault_fixup(struct arch_regs *regs)
{
	if (regs->ip < (u64)osl_fault_begin || regs->ip >= (u64)osl_fault_end)
		return false;
	regs->ip = (u64)osl_fault_return;
	return true;
}
