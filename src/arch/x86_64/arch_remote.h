/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of a stopped thread, as far as calling something in it needs them. Pure: works on
 * the caller's copy; whoever traces the thread reads and writes it. Process context.
 */
#pragma once

#include <sys/user.h>

#include "base/macros.h"

struct remote_regs {
	struct user_regs_struct user; /* as PTRACE_GETREGSET NT_PRSTATUS gives it */
};

/* Does the thread run 64-bit code? */
bool remote_is_64bit(const struct remote_regs *r);
/* Is it inside a system call (interrupted, about to be restarted or to return)? */
bool remote_in_syscall(const struct remote_regs *r);
/*
 * Is it inside one of the system calls in which most threads wait, that have no signal mask for the
 * time of the wait and raise no signal themselves?
 */
bool remote_waits_plainly(const struct remote_regs *r);
/* Where the system call instruction may be that the thread executed last: to be checked. */
u64 remote_last_syscall(const struct remote_regs *r);
/* The bytes of the system call instruction. */
#define REMOTE_SYSCALL "\x0f\x05"
#define REMOTE_SYSCALL_LEN 2

/*
 * A mere stop made the system call fail with EINTR where a thread that is not traced would still
 * wait (signal(7) has the list). True when @r is such a thread.
 */
bool remote_spurious_eintr(const struct remote_regs *r);
/* What remote_repeat_syscall() looks at: so many bytes before the system call's instruction. */
#define REMOTE_BEFORE 5
/*
 * Have it execute the system call again, but for a signal that is handled before it does: that ends
 * the call, as ever, which the kernel sees to. So it can't where the call is one whose beginning the
 * agent must see, as it had no site there when the call began: this is executed from the instruction
 * on that loads its number, when that is right @before it (NULL: not known).
 */
void remote_repeat_syscall(struct remote_regs *r, const u8 *before);
bool remote_repeats_before(const struct remote_regs *r, const u8 *before); /* is it such a call? */

/* Make the thread execute system call @nr by the instruction at @insn. */
void remote_set_syscall(struct remote_regs *r, u64 insn, long nr, const u64 args[6]);
/* It is stopped before a system call, which is not to be executed. */
void remote_call_off(struct remote_regs *r);
/*
 * A system call instruction with the way back behind it: code for address @addr, a multiple of 8,
 * that drops @extra, puts the mask @mask and the registers @saved back and goes on where the thread
 * was, without anybody's help. It writes 8 bytes beyond the red zone of the thread's stack, as a
 * signal would.
 */
#define REMOTE_WAY_BACK 296
struct remote_extra { /* what the thread has for us */
	u64 stack;
	u32 stack_size; /* 0: none */
	int fds[2];	/* -1: none */
};
void remote_way_back(const struct remote_regs *saved, u64 mask, const struct remote_extra *extra,
		     u64 addr, u8 code[REMOTE_WAY_BACK]);
/* Does @code look like one, and if so, which stack does it drop? */
bool remote_is_way_back(const u8 code[REMOTE_WAY_BACK], u64 *stack);

/* Make it call @entry(a, b, c, d) on the stack below @sp. */
void remote_set_call(struct remote_regs *r, u64 entry, u64 sp, const u64 args[4]);
u64 remote_thread_pointer(const struct remote_regs *r);
s64 remote_result(const struct remote_regs *r);
/* Of a call; in a register that system calls leave alone. */
s64 remote_call_result(const struct remote_regs *r);
/* Is it right behind a tgkill() of @sig that has not failed? */
bool remote_has_sent(const struct remote_regs *r, int sig);
bool remote_within(const struct remote_regs *r, u64 lo, u64 hi);
