/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls that a signal has interrupted of which the application is to notice nothing.
 *
 * Model: it goes on as if nothing had happened. Most of them the kernel starts again; a sleep is
 * gone on with, whose end the kernel remembers; a wait that fails with EINTR is made again, when
 * the number of the call is to be seen before it, or somebody knows it. What has a time and is no
 * sleep waits for what is left of it where the kernel writes that down (select, pselect, ppoll) or
 * its beginning was seen (epoll_pwait), else for all of it once more: nobody has noted when it
 * began, and to look at the clock at each call of a kind would be paid by all of them.
 *
 * A call that a handler of the application has ended stays so, whatever comes in before the thread
 * goes on: the context to which that handler returns is marked, in a register whose value a system
 * call leaves to chance. That is where handlers are called through ours (defer.c); elsewhere, where
 * nobody sees who sets them, what comes in while the handler's return is in the kernel has the wait
 * made again.
 *
 * The kernel forgets the end of a sleep at each return from a handler. So the handler of a signal
 * that is held back is left without one: the registers are put back from the frame by hand. What is
 * the application's then comes in where the sleep is about to go on, and ends it, as it should.
 */
#include <errno.h>

#include "agent/agent.h"

#define MASK_BYTES 8
#define BEFORE ARCH_SYSCALL_TEXT /* bytes of text looked at before a system call's end */
#define USER_SS 0x2b
#define ENDED 0x454e44454e44454eull /* in rcx: by a handler of the application */

/* What the application blocks, or would but for us. */
static u64 blocked(const struct osl_ucontext *uc)
{
	return uc->sigmask | withheld_blocked(arch_thread_pointer(), uc->sigmask);
}

/* A handler of the application is about to run: 1, or 2 when it wants to end the system call. */
static int handler_waits(u64 mask)
{
	struct agent_sigaction act;
	u64 pending = 0;
	int ret = 0;

	if (SYS6(__NR_rt_sigpending, &pending, MASK_BYTES, 0, 0, 0, 0))
		return 0;
	pending &= ~mask;
	for (int sig = 1; sig <= 64 && ret < 2; sig++)
		if (pending & 1ULL << (sig - 1) &&
		    SYS6(__NR_rt_sigaction, sig, NULL, &act, MASK_BYTES, 0, 0) == 0 &&
		    act.handler > (u64)SIG_IGN)
			ret = act.flags & SA_RESTART ? 1 : 2;
	return ret;
}

/* --- which call it was --------------------------------------------------------------------------
 */

/* Those that the kernel would start again for a handler with SA_RESTART. */
static bool is_restarted(int nr)
{
	switch (nr) {
	case __NR_read:
	case __NR_readv:
	case __NR_recvfrom:
	case __NR_recvmsg:
	case __NR_recvmmsg:
	case __NR_accept:
	case __NR_accept4:
	case __NR_connect:
	case __NR_write:
	case __NR_writev:
	case __NR_sendto:
	case __NR_sendmsg:
	case __NR_sendmmsg:
	case __NR_open:
	case __NR_openat:
	case __NR_flock:
	case __NR_fcntl:
	case __NR_wait4:
	case __NR_waitid:
	case __NR_mq_timedsend:
	case __NR_mq_timedreceive:
	case __NR_getrandom:
		return true;
	default:
		return false;
	}
}

/* Those that it lets fail with EINTR, and that can be made again. */
static bool is_wait(int nr)
{
	switch (nr) {
	case __NR_epoll_wait:
	case __NR_epoll_pwait:
	case __NR_epoll_pwait2:
	case __NR_ppoll:
	case __NR_select:
	case __NR_pselect6:
	case __NR_pause:
	case __NR_rt_sigsuspend:
	case __NR_rt_sigtimedwait:
	case __NR_semop:
	case __NR_semtimedop:
	case __NR_msgrcv:
	case __NR_msgsnd:
	case __NR_io_getevents:
	case __NR_io_pgetevents:
	case __NR_io_uring_enter:
	case __NR_clock_nanosleep: /* until a time */
		return true;
	default:
		return false;
	}
}

#define FUTEX_OP 0x7fu
#define FUTEX_WAIT 0
#define FUTEX_WAIT_BITSET 9

static bool is_futex_wait(int nr, const struct osl_ucontext *uc)
{
	u32 op = (u32)uc->si & FUTEX_OP;

	return nr == __NR_futex && (op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET);
}

/* Those whose end the kernel remembers. */
static bool is_sleep(int nr, const struct osl_ucontext *uc)
{
	switch (nr) {
	case __NR_clock_nanosleep:
		return !(uc->si & 1 /* TIMER_ABSTIME */);
	case __NR_futex:
		return is_futex_wait(nr, uc) && uc->r10;
	case __NR_nanosleep:
	case __NR_poll:
	case __NR_restart_syscall: /* ours */
		return true;
	default:
		return false;
	}
}

/* --- what comes of it ---------------------------------------------------------------------------
 */

/* Our handler of faults may not be there yet. */
static bool read_raw(u8 *to, u64 from, u32 len)
{
	long fd = sys_open("/proc/self/mem", O_RDONLY), n;

	if (fd < 0)
		return false;
	n = sys_pread((int)fd, to, len, from);
	sys_close((int)fd);
	return n == (long)len;
}

/* As it was before there were sites. */
static bool read_text(u8 *to, u64 from, u32 len)
{
	if (!read_raw(to, from, len))
		return false;
	for (u32 i = 0; i < len; i++) {
		const struct agent_place *p = site_find(from + i);
		const struct agent_plan *plan = p ? load_acquire(&p->plan) : NULL;

		if (plan)
			memcpy(to + i, plan->patch.insn, MIN((u32)plan->patch.len, len - i));
	}
	return true;
}

/* Where the application takes the thread to be; the number of its call where only we know it. */
static u64 origin(const struct osl_ucontext *uc, int *known)
{
	const struct agent_place *p = agent_arena_holds(uc->ip, 1) ? site_of_slot(uc->ip) : NULL;
	const struct agent_plan *plan = p ? load_acquire(&p->plan) : NULL;
	u64 into = plan ? uc->ip - plan->patch.slot : 0;

	if (!plan || plan->patch.len != ARCH_SYSCALL_LEN || into > ARCH_SYSCALL_LEN)
		return uc->ip;
	if (*known < 0 && into && agent_plan_any_call(plan))
		*known = withheld_called(arch_thread_pointer(), uc->sp);
	return p->addr + into;
}

/* What can be said of the time that is left is in its register, until it has ended. */
static void shorten(struct osl_ucontext *uc, int nr)
{
	u64 ms;

	if (nr == __NR_epoll_pwait && withheld_left(arch_thread_pointer(), uc->sp, &ms))
		uc->r10 = ms;
}

/* It has failed with EINTR: true: it is a sleep to go on with. */
static bool make_again(struct osl_ucontext *uc, int nr)
{
	int waits;

	if (is_sleep(nr, uc))
		return true;
	waits = handler_waits(blocked(uc));
	if (is_restarted(nr) || is_futex_wait(nr, uc) ? waits < 2 : is_wait(nr) && !waits) {
		uc->ax = (u64)nr;
		uc->ip -= ARCH_SYSCALL_LEN;
		shorten(uc, nr);
	}
	return false;
}

static bool just_failed(const struct osl_ucontext *uc)
{
	return unlikely((s64)uc->ax == -EINTR) && uc->cx != ENDED;
}

bool again_after(struct osl_ucontext *uc, int known)
{
	u8 text[BEFORE + ARCH_SYSCALL_LEN];
	u64 at;

	if ((s64)uc->ax == -EINTR && !just_failed(uc))
		return false;
	at = origin(uc, &known);
	if (!read_text(text, at - BEFORE, sizeof(text)))
		return false;
	if (arch_is_syscall(text + BEFORE - ARCH_SYSCALL_LEN) && (s64)uc->ax == -EINTR)
		return make_again(uc, known >= 0 ? known : arch_syscall_number(text));
	if (arch_is_syscall(text + BEFORE) && uc->cx == uc->ip + ARCH_SYSCALL_LEN &&
	    uc->ax != __NR_restart_syscall && handler_waits(blocked(uc)) == 2) {
		/* the kernel starts it again: not what that handler is there for */
		uc->ax = (u64)-EINTR;
		uc->ip += ARCH_SYSCALL_LEN;
	}
	return false;
}

/* --- the application's handler ------------------------------------------------------------------
 */

/* Is @at behind a wait? Then there is a site, too. */
static bool is_behind_wait(u64 at)
{
	const struct agent_place *p = site_find(at);
	const struct agent_plan *plan = p ? load_acquire(&p->plan) : NULL;

	return plan && plan->flags & AGENT_SITE_SIGMASK && !agent_plan_any_call(plan);
}

/* The number of the wait that has ended at @at, or -1. */
static int wait_number(u64 at)
{
	u8 text[BEFORE];

	if (!is_behind_wait(at) || !read_text(text, at - BEFORE, BEFORE) ||
	    !arch_is_syscall(text + BEFORE - ARCH_SYSCALL_LEN))
		return -1;
	return arch_syscall_number(text);
}

u64 again_handled(int sig, struct osl_ucontext *uc)
{
	struct arch_regs regs;
	int nr = -1;
	u64 mask, at;

	if (likely(!just_failed(uc)) || load_relaxed(&osl_walled))
		return uc->sigmask;
	at = origin(uc, &nr);
	if (nr < 0)
		nr = wait_number(at);
	uc->cx = ENDED;
	osl_regs_from_ucontext(&regs, uc);
	if (nr < 0 || !waitmask_ended((u64)nr, &regs, &mask) || mask & 1ULL << (sig - 1))
		return uc->sigmask;
	return mask;
}

/* --- without a return from the handler ----------------------------------------------------------
 */

struct again_to {
	u64 ip, cs, flags, sp, ss; /* what iretq takes */
};
_Noreturn void agent_again(const struct osl_ucontext *uc, const struct again_to *to) __hidden;

/* What the kernel has a part in that can't be done here: the way back is its own. */
static bool can_leave(const struct osl_ucontext *uc)
{
	return !agent.shadow_stack && !(uc->stack_flags & FRAME_AUTODISARM) && uc->fpstate;
}

static void leave(const struct osl_ucontext *uc)
{
	struct again_to to = {uc->ip, uc->cs, uc->eflags, uc->sp, USER_SS};

	if (!can_leave(uc))
		return;
	SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &uc->sigmask, NULL, MASK_BYTES, 0, 0);
	agent_again(uc, &to);
}

void again_held_back(struct osl_ucontext *uc)
{
	u64 ip = uc->ip;

	if (load_relaxed(&osl_walled))
		return;
	if (again_after(uc, -1) && can_leave(uc)) {
		uc->ax = __NR_restart_syscall;
		uc->ip -= ARCH_SYSCALL_LEN;
		leave(uc);
	}
	/*
	 * It is about to go on. Of those that come in while this leaves, each one returns: did they
	 * leave, too, they would lie on each other for as long as more come. The sleep ends with
	 * EINTR then.
	 */
	if (uc->ip == ip && uc->ax == __NR_restart_syscall && !agent_contains(ip))
		leave(uc);
}
