/* SPDX-License-Identifier: BSD-2-Clause */
/* See remote.h. x86-64: orig_rax of -1 says "not in a system call", so that the kernel neither
 * rewinds nor rewrites anything on the way back to user space. */
#include <errno.h>
#include <sys/syscall.h>

#include "remote.h"

#define CS_64BIT 0x33
#define FLAGS_CLEAN 0x202 /* interrupts on, the bit that is always 1 */

/* system calls that a stop makes fail with EINTR, and that can be made again */
static const u16 eintr_calls[] = {
	SYS_epoll_wait,
	SYS_epoll_pwait,
	441 /* epoll_pwait2 */,
	SYS_semop,
	SYS_semtimedop,
	SYS_rt_sigtimedwait,
	SYS_io_getevents,
	333 /* io_pgetevents */,
	426 /* io_uring_enter */,
	SYS_read,
	SYS_readv,
	SYS_recvfrom,
	SYS_recvmsg,
	SYS_recvmmsg,
	SYS_accept,
	SYS_accept4,
	SYS_write,
	SYS_writev,
	SYS_sendto,
	SYS_sendmsg,
	SYS_sendmmsg,
};

bool remote_is_64bit(const struct remote_regs *r)
{
	return r->user.cs == CS_64BIT;
}

bool remote_in_syscall(const struct remote_regs *r)
{
	return (s64)r->user.orig_rax >= 0;
}

u64 remote_last_syscall(const struct remote_regs *r)
{
	return r->user.rip - REMOTE_SYSCALL_LEN;
}

bool remote_spurious_eintr(const struct remote_regs *r)
{
	if (!remote_in_syscall(r) || (s64)r->user.rax != -EINTR)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(eintr_calls); i++)
		if (r->user.orig_rax == eintr_calls[i])
			return true;
	return false;
}

void remote_repeat_syscall(struct remote_regs *r)
{
	r->user.rip -= REMOTE_SYSCALL_LEN;
	r->user.rax = r->user.orig_rax;
	r->user.orig_rax = -1;
}

void remote_set_syscall(struct remote_regs *r, u64 insn, long nr, const u64 args[6])
{
	r->user.rip = insn;
	r->user.rax = (u64)nr;
	r->user.orig_rax = -1;
	r->user.rdi = args[0];
	r->user.rsi = args[1];
	r->user.rdx = args[2];
	r->user.r10 = args[3];
	r->user.r8 = args[4];
	r->user.r9 = args[5];
	r->user.eflags = FLAGS_CLEAN;
}

void remote_set_call(struct remote_regs *r, u64 entry, u64 sp, u64 a, u64 b, u64 c)
{
	r->user.rip = entry;
	r->user.rsp = (sp & ~15ULL) - 8; /* as after a call instruction */
	r->user.rbp = 0;
	r->user.rax = 0;
	r->user.orig_rax = -1;
	r->user.rdi = a;
	r->user.rsi = b;
	r->user.rdx = c;
	r->user.eflags = FLAGS_CLEAN;
}

u64 remote_thread_pointer(const struct remote_regs *r)
{
	return r->user.fs_base;
}

s64 remote_result(const struct remote_regs *r)
{
	return (s64)r->user.rax;
}

bool remote_at_break(const struct remote_regs *r, u64 lo, u64 hi)
{
	return r->user.rip > lo && r->user.rip <= hi;
}
