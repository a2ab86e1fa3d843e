/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where threads keep what the kernel tells them about their CPU.
 *
 * Model: a libc registers one struct rseq (rseq(2)) for each thread, at the same distance from the
 * thread pointer in all of them, and the kernel stores the CPU's number there whenever the thread
 * comes back from it, into a signal handler, too. A load instead of a call; but nobody without a
 * libc is told the distance. So every place near the thread pointer that could be it is shown to
 * the kernel, with a request to unregister it that has a wrong signature: EPERM says that it is the
 * one, and it stays registered.
 *
 * Rules: a thousand system calls at most, a tenth of a millisecond, at the start of a process.
 * Memory is not looked at: there may be no handler yet that would survive a fault. What is not
 * found is asked for otherwise.
 */
#include <asm/unistd.h>
#include <errno.h>

#include "osl/linux/cpu.h"
#include "osl/osl_trap.h"

#define RSEQ_ALIGN 32u
#define RSEQ_UNREGISTER 1
#define WRONG_SIGNATURE 0x0badc0deL
#define BELOW 0x4000u /* bytes around the thread pointer that are looked at: TLS blocks below, */
#define ABOVE 0x1000u /* the libc's thread descriptor above */

static bool is_registered(u64 addr)
{
	/* what a libc registers, by the version of the ABI it was built for */
	static const u8 sizes[] = {32, 64};

	for (u32 i = 0; i < sizeof(sizes); i++)
		if (osl_hw_syscall(__NR_rseq, (long)addr, sizes[i], RSEQ_UNREGISTER,
				   WRONG_SIGNATURE) == -EPERM)
			return true;
	return false;
}

static s64 search(u64 tp, u64 from, u64 to)
{
	for (u64 at = ALIGN_UP(from, (u64)RSEQ_ALIGN); at < to; at += RSEQ_ALIGN)
		if (is_registered(at))
			return (s64)(at - tp);
	return 0;
}

s64 osl_rseq_find(void)
{
	u64 not_it[2 * RSEQ_ALIGN / sizeof(u64)];
	u64 tp = osl_thread_pointer();
	s64 off;

	/* who filters system calls may answer EPERM to all of them */
	if (tp < BELOW || is_registered(ALIGN_UP((u64)(uintptr_t)not_it, (u64)RSEQ_ALIGN)))
		return 0;
	off = search(tp, tp, tp + ABOVE);
	return off ? off : search(tp, tp - BELOW, tp);
}
