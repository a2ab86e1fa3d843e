/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What osl/linux/trap.c needs from the CPU it runs on; cpu_x86_64.c and fault_x86_64.S, or
 * cpu_generic.c where no arch folder exists. Internal to osl/linux.
 *
 * Rules: any context, no allocation; everything whose name starts with osl_fault_ survives a wrong
 * address.
 */
#pragma once

#include "base/macros.h"

long osl_hw_syscall(long nr, long a, long b, long c, long d);

/* Can user space read CPU and node without a call? Costs microseconds; at initialisation only. */
bool osl_hw_has_cpu_node(void);
u32 osl_hw_cpu_node(void); /* node << 12 | cpu */

/* May arch_thread_pointer() be used, as AT_HWCAP2 says (@hwcap2)? */
bool osl_hw_has_thread_pointer(u64 hwcap2);
/* If not: through the TCB's self pointer, which a libc keeps; -EFAULT as u64 when there is none. */
u64 osl_fault_self_pointer(void);

/* rseq.c: distance of the thread's struct rseq from the thread pointer, 0: none was found. */
s64 osl_rseq_find(void);

/* The CPU's counter, or -EFAULT as u64: there is none, or it must not be read. */
u64 osl_fault_cycles(void);

/*
 * Copy bytes up to and including the first NUL, at most @len. Returns the bytes copied or -EFAULT;
 * dst is then undefined.
 */
s64 osl_fault_copy_str(char *dst, const char *src, size_t len);
