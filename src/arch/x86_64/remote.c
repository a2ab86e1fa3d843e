/* SPDX-License-Identifier: BSD-2-Clause */
/* See arch_remote.h. x86-64: orig_rax of -1 says "not in a system call", so that the kernel neither
 * rewinds nor rewrites anything on the way back to user space. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "arch/arch.h"
#include "arch_remote.h"

#define CS_64BIT 0x33
#define ERESTARTNOHAND 514 /* to the kernel: again, unless a handler is called; then EINTR */
#define FLAGS_CLEAN 0x202  /* interrupts on, the bit that is always 1 */

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

/* none of these numbers is one of a wait with a mask where 32-bit code calls it */
static const u16 plain_calls[] = {
	SYS_futex,  SYS_clock_nanosleep, SYS_nanosleep, SYS_restart_syscall, SYS_epoll_wait,
	SYS_poll,   SYS_select,		 SYS_read,	SYS_recvfrom,	     SYS_recvmsg,
	SYS_accept, SYS_accept4,	 SYS_wait4,	SYS_pause,
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

static bool is_one_of(const struct remote_regs *r, const u16 *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (r->user.orig_rax == calls[i])
			return true;
	return false;
}

bool remote_waits_plainly(const struct remote_regs *r)
{
	return is_one_of(r, plain_calls, ARRAY_SIZE(plain_calls));
}

bool remote_spurious_eintr(const struct remote_regs *r)
{
	return (s64)r->user.rax == -EINTR && is_one_of(r, eintr_calls, ARRAY_SIZE(eintr_calls));
}

/* `mov $rt_sigtimedwait,%eax`, or a break in its place */
static bool loads_wait(const u8 *insn)
{
	static const u8 number[] = {SYS_rt_sigtimedwait, 0, 0, 0};

	return (insn[0] == 0xb8 || insn[0] == ARCH_BREAK) &&
	       memcmp(insn + 1, number, sizeof(number)) == 0;
}

bool remote_repeats_before(const struct remote_regs *r, const u8 *before)
{
	return r->user.orig_rax == SYS_rt_sigtimedwait && before && loads_wait(before);
}

void remote_repeat_syscall(struct remote_regs *r, const u8 *before)
{
	if (!remote_repeats_before(r, before)) {
		r->user.rax = (u64)-ERESTARTNOHAND;
		return;
	}
	r->user.rip -= REMOTE_SYSCALL_LEN + REMOTE_BEFORE;
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

void remote_call_off(struct remote_regs *r)
{
	r->user.orig_rax = -1;
}

/* What the kernel would do on the way to user space with a system call that was interrupted. */
static void restart(struct remote_regs *r)
{
	s64 ret = (s64)r->user.rax;

	if (!remote_in_syscall(r) || ret > -512 || ret < -516 || ret == -515)
		return;
	r->user.rip -= REMOTE_SYSCALL_LEN;
	r->user.rax =
		ret == -516 /* ERESTART_RESTARTBLOCK */ ? SYS_restart_syscall : r->user.orig_rax;
}

static u8 *emit(u8 *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

static u8 *emit_load32(u8 *p, u8 reg, u32 value)
{
	const u8 op[] = {0x41, 0xb8 | (reg & 7)};

	p = reg < 8 ? emit(p, op + 1, 1) : emit(p, op, 2);
	return emit(p, &value, sizeof(value));
}

/* mov $@value,%@reg of all 64 bits; flags stay */
static u8 *emit_load(u8 *p, u8 reg, u64 value)
{
	const u8 op[] = {0x48 | reg >> 3, 0xb8 | (reg & 7)};

	return emit(emit(p, op, sizeof(op)), &value, sizeof(value));
}

#define EMIT(p, ...) emit(p, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
#define RED_ZONE 128
#define JUMP_LEN 6

static u8 *emit_registers(u8 *p, const struct user_regs_struct *u)
{
	p = emit_load(p, RAX, u->eflags);
	p = EMIT(p, 0x50, 0x9d); /* push %rax; popf */
	p = emit_load(p, RSP, u->rsp);
	p = emit_load(p, RCX, u->rcx);
	p = emit_load(p, RDX, u->rdx);
	p = emit_load(p, RBX, u->rbx);
	p = emit_load(p, RBP, u->rbp);
	p = emit_load(p, RSI, u->rsi);
	p = emit_load(p, RDI, u->rdi);
	p = emit_load(p, R8, u->r8);
	p = emit_load(p, R9, u->r9);
	p = emit_load(p, R10, u->r10);
	p = emit_load(p, R11, u->r11);
	p = emit_load(p, R12, u->r12);
	p = emit_load(p, R13, u->r13);
	p = emit_load(p, R14, u->r14);
	p = emit_load(p, R15, u->r15);
	return emit_load(p, RAX, u->rax);
}

/* data: where to go on, the stack, the mask; aligned, as EFLAGS.AC may be set again by then */
#define TAIL (REMOTE_WAY_BACK - 24)
static const u8 head[] = {0x0f, 0x05, 0xb8, SYS_rt_sigprocmask, 0, 0, 0, 0xbf, SIG_SETMASK,
			  0,	0,    0};

static u8 *emit_drop(u8 *p, const struct remote_extra *extra)
{
	p = emit_load32(p, RAX, SYS_munmap);
	p = emit_load(p, RDI, extra->stack);
	p = emit_load32(p, RSI, extra->stack_size); /* nothing at all is an error */
	p = EMIT(p, 0x0f, 0x05);
	for (int i = 0; i < 2; i++) {
		p = emit_load32(p, RAX, SYS_close);
		p = emit_load32(p, RDI, (u32)extra->fds[i]);
		p = EMIT(p, 0x0f, 0x05);
	}
	return p;
}

void remote_way_back(const struct remote_regs *saved, u64 mask, const struct remote_extra *extra,
		     u64 addr, u8 code[REMOTE_WAY_BACK])
{
	struct remote_regs r = *saved;
	u8 *p = emit(code, head, sizeof(head));
	u32 gap;

	restart(&r);
	p = emit_load(p, RSP, r.user.rsp - RED_ZONE);
	p = emit_load(p, RSI, addr + TAIL + 16);
	p = emit_load32(p, RDX, 0);
	p = emit_load32(p, R10, sizeof(mask));
	p = EMIT(p, 0x0f, 0x05);
	p = emit_drop(p, extra);
	p = emit_registers(p, &r.user);
	gap = (u32)(code + TAIL - (p + JUMP_LEN));
	p = EMIT(p, 0xff, 0x25); /* jmp *gap(%rip) */
	emit(p, &gap, sizeof(gap));
	emit(code + TAIL, &r.user.rip, 8);
	emit(code + TAIL + 8, &extra->stack, 8);
	emit(code + TAIL + 16, &mask, 8);
}

bool remote_is_way_back(const u8 code[REMOTE_WAY_BACK], u64 *stack)
{
	if (memcmp(code, head, sizeof(head)))
		return false;
	memcpy(stack, code + TAIL + 8, 8);
	return true;
}

void remote_set_call(struct remote_regs *r, u64 entry, u64 sp, const u64 args[4])
{
	r->user.rip = entry;
	r->user.rsp = (sp & ~15ULL) - 8; /* as after a call instruction */
	r->user.rbp = 0;
	r->user.rax = 0;
	r->user.orig_rax = -1;
	r->user.rdi = args[0];
	r->user.rsi = args[1];
	r->user.rdx = args[2];
	r->user.rcx = args[3];
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

s64 remote_call_result(const struct remote_regs *r)
{
	return (s64)r->user.rbx;
}

bool remote_has_sent(const struct remote_regs *r, int sig)
{
	return (s64)r->user.rax == 0 && r->user.rdx == (u64)sig;
}

bool remote_within(const struct remote_regs *r, u64 lo, u64 hi)
{
	return r->user.rip >= lo && r->user.rip < hi;
}
