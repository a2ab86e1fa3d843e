/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing text.
 *
 * Through /proc/self/mem, which needs no change of protections and works where writable text is
 * forbidden; opened for each group of writes, because a descriptor kept would be the application's
 * to close or reuse. Where it can't be opened the page is made writable for the moment, never
 * losing its execute permission.
 */
#include <errno.h>

#include "agent/agent.h"

void poke_begin(struct agent_poke *p)
{
	long fd = sys_open("/proc/self/mem", O_RDWR);

	p->fd = fd < 0 ? -1 : (int)fd;
}

void poke_end(struct agent_poke *p)
{
	if (p->fd >= 0)
		sys_close(p->fd);
	p->fd = -1;
}

static int write_in_place(u64 addr, const u8 *bytes, u32 len)
{
	u64 first = ALIGN_DOWN(addr, EBPFRT_PAGE_SIZE);
	u64 size = ALIGN_UP(addr + len, EBPFRT_PAGE_SIZE) - first;
	long ret = sys_mprotect(first, size, PROT_READ | PROT_WRITE | PROT_EXEC);

	if (ret)
		return (int)ret;
	ret = osl_write((void *)addr, bytes, len);
	sys_mprotect(first, size, PROT_READ | PROT_EXEC);
	return (int)ret;
}

int poke_read(struct agent_poke *p, u64 addr, u8 *bytes, u32 len)
{
	if (p->fd < 0)
		return osl_read(bytes, (void *)addr, len);
	return sys_pread(p->fd, bytes, len, addr) == len ? 0 : -EFAULT;
}

int poke_write(struct agent_poke *p, u64 addr, const u8 *bytes, u32 len)
{
	long n = p->fd >= 0 ? sys_pwrite(p->fd, bytes, len, addr) : -EBADF;

	if (n == len)
		return 0;
	return write_in_place(addr, bytes, len);
}

void poke_sync(void)
{
	if (SYS3(__NR_membarrier, SYS_MEMBARRIER_SYNC_CORE, 0, 0) != -EPERM)
		return;
	SYS3(__NR_membarrier, SYS_MEMBARRIER_REGISTER_SYNC_CORE, 0, 0);
	SYS3(__NR_membarrier, SYS_MEMBARRIER_SYNC_CORE, 0, 0);
}
