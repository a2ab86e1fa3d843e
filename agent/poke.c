/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing text.
 *
 * Through /proc/self/mem, which needs no change of protections and works where writable text is
 * forbidden; opened for each group of writes, because a descriptor kept would be the application's
 * to close or reuse. Where it can't be opened the page is made writable for the moment, never
 * losing its execute permission.
 *
 * While nobody else executes anything in this memory, writes are collected, and go out as one for
 * each page, with the bytes between them as they are: at poke_sync(), at poke_end(), and before
 * what was written is needed. Else each goes out by itself, as another thread may be writing, too.
 */
#include <errno.h>

#include "agent/agent.h"

#define COLLECTED 4u /* pages */

struct page {
	u64 lo, hi; /* what is to be written, within one page; equal: nothing */
	u8 bytes[EBPFRT_PAGE_SIZE];
};

static u32 alone, taken; /* by one group at a time */
static struct page pages[COLLECTED];
static u32 next_page;

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

static int write_now(struct agent_poke *p, u64 addr, const u8 *bytes, u32 len)
{
	long n = p->fd >= 0 ? sys_pwrite(p->fd, bytes, len, addr) : -EBADF;

	if (n == len)
		return 0;
	return write_in_place(addr, bytes, len);
}

static int read_now(struct agent_poke *p, u64 addr, u8 *bytes, u32 len)
{
	/* but for memory that can only be executed */
	int ret = osl_read(bytes, (void *)addr, len);

	if (ret == 0 || p->fd < 0)
		return ret;
	return sys_pread(p->fd, bytes, len, addr) == len ? 0 : -EFAULT;
}

/* --- collected writes ---------------------------------------------------------------------------
 */

static u8 *byte_of(struct page *g, u64 addr)
{
	return &g->bytes[addr % EBPFRT_PAGE_SIZE];
}

static void flush(struct agent_poke *p, struct page *g)
{
	int ret = g->lo == g->hi ? 0 : write_now(p, g->lo, byte_of(g, g->lo), (u32)(g->hi - g->lo));

	if (ret)
		p->err = ret;
	g->lo = g->hi = 0;
}

static void flush_all(struct agent_poke *p)
{
	for (u32 i = 0; p->collects && i < COLLECTED; i++)
		flush(p, &pages[i]);
}

static struct page *page_of(struct agent_poke *p, u64 addr)
{
	struct page *g;

	for (u32 i = 0; i < COLLECTED; i++)
		if (pages[i].lo != pages[i].hi &&
		    pages[i].lo / EBPFRT_PAGE_SIZE == addr / EBPFRT_PAGE_SIZE)
			return &pages[i];
	g = &pages[next_page++ % COLLECTED];
	flush(p, g);
	g->lo = g->hi = addr;
	return g;
}

/* The bytes between what is collected and [@addr, @end). */
static int widen(struct agent_poke *p, struct page *g, u64 addr, u64 end)
{
	int ret = 0;

	if (end < g->lo)
		ret = read_now(p, end, byte_of(g, end), (u32)(g->lo - end));
	else if (addr > g->hi)
		ret = read_now(p, g->hi, byte_of(g, g->hi), (u32)(addr - g->hi));
	if (ret)
		return ret;
	g->lo = MIN(g->lo, addr);
	g->hi = MAX(g->hi, end);
	return 0;
}

static int collect(struct agent_poke *p, u64 addr, const u8 *bytes, u32 len)
{
	struct page *g = page_of(p, addr);

	if (widen(p, g, addr, addr + len)) {
		flush(p, g);
		return write_now(p, addr, bytes, len);
	}
	memcpy(byte_of(g, addr), bytes, len);
	return 0;
}

static bool within_page(u64 addr, u32 len)
{
	return addr / EBPFRT_PAGE_SIZE == (addr + len - 1) / EBPFRT_PAGE_SIZE;
}

/* --- what others call ---------------------------------------------------------------------------
 */

int poke_read(struct agent_poke *p, u64 addr, u8 *bytes, u32 len)
{
	for (u32 i = 0; p->collects && i < COLLECTED; i++) {
		struct page *g = &pages[i];

		if (addr >= g->hi || addr + len <= g->lo)
			continue;
		if (addr >= g->lo && addr + len <= g->hi) {
			memcpy(bytes, byte_of(g, addr), len);
			return 0;
		}
		flush(p, g);
	}
	return read_now(p, addr, bytes, len);
}

int poke_write(struct agent_poke *p, u64 addr, const u8 *bytes, u32 len)
{
	if (p->collects && len && within_page(addr, len))
		return collect(p, addr, bytes, len);
	flush_all(p);
	return write_now(p, addr, bytes, len);
}

int poke_fill(struct agent_poke *p, u64 addr, const u8 *bytes, u32 len)
{
	u8 now[ARCH_SLOT_SIZE];

	if (len > sizeof(now) || poke_read(p, addr, now, len))
		return -EFAULT;
	if (memcmp(now, bytes, len) == 0)
		return 0;
	for (u32 i = 0; i < len; i++)
		if (now[i])
			return -EEXIST;
	return poke_write(p, addr, bytes, len);
}

void poke_begin(struct agent_poke *p)
{
	long fd = sys_open("/proc/self/mem", O_RDWR);

	*p = (struct agent_poke){.fd = fd < 0 ? -1 : (int)fd};
	p->collects = alone && __atomic_exchange_n(&taken, 1, __ATOMIC_ACQUIRE) == 0;
}

void poke_end(struct agent_poke *p)
{
	flush_all(p);
	if (p->collects)
		store_release(&taken, 0);
	if (p->fd >= 0)
		sys_close(p->fd);
	*p = (struct agent_poke){.fd = -1};
}

void poke_alone(bool yes)
{
	alone = yes;
}

/*
 * To register costs a process of several threads one of the kernel's grace periods, some 20 ms: not
 * in set-up, where all of them would be held meanwhile.
 */
bool poke_sync(struct agent_poke *p)
{
	long ret = 0;

	flush_all(p);
	if (!alone)
		ret = SYS3(__NR_membarrier, SYS_MEMBARRIER_SYNC_CORE, 0, 0);
	if (ret == -EPERM) {
		SYS3(__NR_membarrier, SYS_MEMBARRIER_REGISTER_SYNC_CORE, 0, 0);
		ret = SYS3(__NR_membarrier, SYS_MEMBARRIER_SYNC_CORE, 0, 0);
	}
	return ret == 0 && p->err == 0;
}
