/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A CPU without an arch folder: no agent is built, programs run on the interpreter in processes of
 * our own, so libc is at hand. Fallible copies are the kernel's, by process_vm_readv(2) on
 * ourselves: slow, right, and without a fault handler.
 */
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "osl/linux/cpu.h"
#include "osl/osl_trap.h"

long osl_hw_syscall(long nr, long a, long b, long c, long d)
{
	return arch_syscall6(nr, a, b, c, d, 0, 0);
}

bool osl_hw_has_cpu_node(void)
{
	return false;
}

u32 osl_hw_cpu_node(void)
{
	return 0;
}

bool osl_hw_has_thread_pointer(u64 hwcap2)
{
	return false;
}

u64 osl_fault_self_pointer(void)
{
	return 0;
}

u64 osl_fault_cycles(void)
{
	return (u64)-EFAULT;
}

s64 osl_fault_cpu(void)
{
	return -EFAULT;
}

static int copy(void *dst, const void *src, size_t len)
{
	struct iovec to = {dst, len}, from = {(void *)src, len};

	if (!len)
		return 0;
	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

int osl_read(void *dst, const void *src, size_t len)
{
	return copy(dst, src, len);
}

int osl_write(void *dst, const void *src, size_t len)
{
	return copy(dst, src, len);
}

int osl_zero(void *dst, size_t len)
{
	static const char zero[256];

	for (size_t n; len; len -= n, dst = (char *)dst + n) {
		n = MIN(len, sizeof(zero));
		if (copy(dst, zero, n))
			return -EFAULT;
	}
	return 0;
}

int osl_exchange(u64 *at, u64 old, u64 new)
{
	u64 now;

	if (copy(&now, at, sizeof(now)))
		return -EFAULT;
	return !__atomic_compare_exchange_n(at, &old, new, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED);
}

s64 osl_fault_copy_str(char *dst, const char *src, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c;

		if (copy(&c, src + i, 1) || copy(dst + i, &c, 1))
			return -EFAULT;
		if (!c)
			return i + 1;
	}
	return len;
}

int osl_touch(u64 addr, bool write, struct osl_fault *out)
{
	*out = (struct osl_fault){0};
	return 0;
}

void osl_fault_tell(struct arch_regs *regs, const struct osl_fault *what)
{
}

bool osl_fault_fixup(struct arch_regs *regs)
{
	return false;
}
