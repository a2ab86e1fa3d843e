/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sheets: the memory of a target's pads.
 *
 * Model: a memfd of the daemon's, which writes the pads; the target maps pages of it, the same one
 * at many addresses, to read and execute. A sheet is as long as no other process than the target
 * has it: when the target has forked, what there is is closed, and both begin anew. Only what is a
 * break becomes a pad, and a pad is never changed: a thread may be on its way over it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/target.h"
#include "daemon/plan_jump.h"

#define SIZE ((u64)PLAN_SHEETS * EBPFRT_PAGE_SIZE)

static int create(struct target *t)
{
	_cleanup_close_ int fd = memfd_create("ebpfrt-slots", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p;
	int err;

	if (fd < 0 || ftruncate(fd, SIZE))
		return -errno;
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	/* nobody else writes there: it is code that others execute */
	err = osl_shm_seal(fd, OSL_SEAL_SIZE | OSL_SEAL_FUTURE_WRITE);
	if (err) {
		munmap(p, SIZE);
		return err;
	}
	t->sheets = p;
	t->sheets_fd = TAKE_FD(fd);
	t->nsheets = 0;
	return 0;
}

void sheets_close(struct target *t)
{
	if (t->sheets)
		munmap(t->sheets, SIZE);
	if (t->sheets_fd >= 0)
		close(t->sheets_fd);
	t->sheets = NULL;
	t->sheets_fd = -1;
	for (u32 i = 0; i < t->nsites; i++)
		t->sites[i].sheet = 0;
}

/* Memory first: without it a store would be the end of the daemon. */
static bool have_sheet(struct target *t, u32 i)
{
	if (i >= PLAN_SHEETS || (!t->sheets && create(t)))
		return false;
	for (; t->nsheets <= i; t->nsheets++) {
		u64 at = (u64)t->nsheets * EBPFRT_PAGE_SIZE;

		if (fallocate(t->sheets_fd, 0, (off_t)at, EBPFRT_PAGE_SIZE))
			return false;
		memset(t->sheets + at, ARCH_BREAK, EBPFRT_PAGE_SIZE);
	}
	return true;
}

bool sheets_put(struct target *t, u32 sheet, const struct arch_jump *j)
{
	u8 bytes[ARCH_JUMP_LEN], *at;

	if (!sheet || j->to % EBPFRT_PAGE_SIZE > EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN ||
	    !have_sheet(t, sheet - 1))
		return false;
	at = t->sheets + (u64)(sheet - 1) * EBPFRT_PAGE_SIZE + j->to % EBPFRT_PAGE_SIZE;
	arch_jump_bytes(j->to, j->stub, bytes);
	if (memcmp(at, bytes, sizeof(bytes)) == 0)
		return true;
	for (u32 i = 0; i < ARCH_JUMP_LEN; i++)
		if (at[i] != ARCH_BREAK)
			return false;
	memcpy(at, bytes, sizeof(bytes));
	return true;
}
