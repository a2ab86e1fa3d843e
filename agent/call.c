/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Called by a signal: how a daemon that must not use ptrace gets the attention of an agent that was
 * preloaded.
 *
 * Model: the thread that gets the signal holds the exchange in its handler, while the
 * application's signals wait. Where it is the only thread that is like an injected call: nobody
 * else runs. Then its system call goes on as if nothing had happened: most of them the kernel
 * starts again; a sleep is gone on with, whose end the kernel remembers; a wait that fails with
 * EINTR is made again, when the number of the call is to be seen before it, or the daemon knows it.
 *
 * Rules: who sets a handler of its own for the signal has it, and is not called any more. Only a
 * process of the same user can send it, and is believed only as far as the socket says who it is.
 */
#include <errno.h>

#include "agent/agent.h"

#define MASK_BYTES 8
#define INSN_SYSCALL 2
#define BEFORE 12 /* bytes of text looked at before a system call's end */

static long action(int sig, const struct agent_sigaction *act, struct agent_sigaction *old)
{
	return SYS6(__NR_rt_sigaction, sig, act, old, MASK_BYTES, 0, 0);
}

void call_listen(void)
{
	struct agent_sigaction old,
		act = {
			.handler = (u64)agent_call_entry,
			.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_RESTORER,
			.restorer = (u64)agent_restorer,
			.mask = SIG_HELD,
		};

	if (action(AGENT_CALL_SIGNAL, NULL, &old) == 0 && old.handler <= (u64)SIG_IGN)
		action(AGENT_CALL_SIGNAL, &act, NULL);
}

/* --- the system call it was in ------------------------------------------------------------------
 */

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
		if (pending & 1ULL << (sig - 1) && action(sig, NULL, &act) == 0 &&
		    act.handler > (u64)SIG_IGN)
			ret = act.flags & SA_RESTART ? 1 : 2;
	return ret;
}

/* Between the load of the number and the call there may be one move: its bytes. */
static bool is_move(const u8 *p, u32 len)
{
	if (len < 3)
		return !len || (len == 2 && p[0] == 0x89); /* between registers */
	p += len == 5;					   /* REX */
	return p[0] == 0x8b && p[2] == 0x24;		   /* from the stack */
}

/* The number of the system call that ends at @text[BEFORE], or @known, or -1. */
static int number(const u8 *text, int known)
{
	u32 nr;

	for (u32 gap = 0; gap <= 5 && known < 0; gap++) {
		const u8 *load = text + BEFORE - INSN_SYSCALL - gap - 5;

		memcpy(&nr, load + 1, sizeof(nr));
		if (load[0] == 0xb8 && nr < 1024 && is_move(load + 5, gap))
			known = (int)nr;
	}
	return known;
}

/* Goes on with a sleep, with the application's signals open: what comes in is for it. */
static void finish_sleep(struct osl_ucontext *uc)
{
	u64 mask = uc->sigmask, held = SIG_HELD;

	SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &mask, NULL, MASK_BYTES, 0, 0);
	uc->ax = (u64)agent_restart_syscall();
	SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &held, NULL, MASK_BYTES, 0, 0);
}

static void make_again(struct osl_ucontext *uc, int nr)
{
	switch (nr) {
	case __NR_clock_nanosleep:
		if (!(uc->si & 1 /* TIMER_ABSTIME */)) {
			finish_sleep(uc);
			break;
		}
		goto again;
	case __NR_nanosleep:
	case __NR_poll:
	case __NR_futex:
	case __NR_restart_syscall: /* ours */
		finish_sleep(uc);
		break;
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
	case __NR_read:
	case __NR_readv:
	case __NR_recvfrom:
	case __NR_recvmsg:
	case __NR_recvmmsg:
	case __NR_accept:
	case __NR_accept4:
	case __NR_write:
	case __NR_writev:
	case __NR_sendto:
	case __NR_sendmsg:
	case __NR_sendmmsg:
	again:
		uc->ax = (u64)nr;
		uc->ip -= INSN_SYSCALL;
		break;
	default:
		break;
	}
}

/* Our handler of faults may not be there yet. */
static bool read_text(u8 *to, u64 from, u32 len)
{
	long fd = sys_open("/proc/self/mem", O_RDONLY), n;

	if (fd < 0)
		return false;
	n = sys_pread((int)fd, to, len, from);
	sys_close((int)fd);
	return n == (long)len;
}

static bool is_syscall(const u8 *p)
{
	return p[0] == 0x0f && p[1] == 0x05;
}

static void go_on(struct osl_ucontext *uc, int known)
{
	u8 text[BEFORE + INSN_SYSCALL];
	int waits;

	if (!read_text(text, uc->ip - BEFORE, sizeof(text)))
		return;
	waits = handler_waits(uc->sigmask);
	if (is_syscall(text + BEFORE - INSN_SYSCALL) && (s64)uc->ax == -EINTR) {
		if (!waits)
			make_again(uc, number(text, known));
	} else if (is_syscall(text + BEFORE) && uc->cx == uc->ip + INSN_SYSCALL && waits == 2) {
		/* the kernel starts it again: not what that handler is there for */
		uc->ax = (u64)-EINTR;
		uc->ip += INSN_SYSCALL;
	}
}

/* --- the call -----------------------------------------------------------------------------------
 */

/* Through a descriptor of the daemon's: no name of ours has to be known here, or visible. */
static void socket_path(char *to, u32 pid, u32 fd)
{
	to = put_number(put_text(to, "/proc/"), pid);
	to = put_number(put_text(to, "/fd/"), fd);
	put_text(to, "/agent");
}

/* A debugger keeps copies of our bytes, and may put them back when we have gone. */
bool agent_is_traced(void)
{
	static const char field[] = "TracerPid:\t0\n";
	char buf[512];
	long fd = sys_open("/proc/self/status", O_RDONLY), n;

	if (fd < 0)
		return true;
	n = sys_read((int)fd, buf, sizeof(buf));
	sys_close((int)fd);
	for (long at = 0; at + (long)sizeof(field) - 1 <= n; at++)
		if (memcmp(buf + at, field, sizeof(field) - 1) == 0)
			return false;
	return true;
}

/* As an injected call: what is blocked of our signals is noted while the masks are guarded. */
static void settle_mask(struct osl_ucontext *uc)
{
	u64 self = arch_thread_pointer(), own = withheld_get(self, 0) | (uc->sigmask & SIG_OURS);

	if (site_guarded()) {
		withheld_set(self, sys_gettid(), own, 0);
		uc->sigmask &= ~SIG_OURS;
	} else if (crowd_settled() || !ret_pending(self)) {
		uc->sigmask |= own;
	}
}

static void come(const siginfo_t *info, struct osl_ucontext *uc)
{
	const struct agent_held self = {arch_thread_pointer(), uc->sp, uc->ip};
	const struct agent_crowd held = {&self, 1, agent_is_traced()};
	bool alone = sys_only_thread();
	char path[64];

	fork_begin();
	start_find_loader();
	socket_path(path, (u32)info->si_pid, (u32)(u64)info->si_ptr);
	if (alone)
		crowd_begin(&held);
	exchange_called(path, alone);
	if (alone) {
		settle_mask(uc);
		crowd_end(NULL);
	}
}

void agent_on_call(int sig, siginfo_t *info, struct osl_ucontext *uc)
{
	int known = -1;

	if (defer_signal(sig, info, uc))
		return;
	if (info->si_code == SI_QUEUE && (u32)info->si_errno == AGENT_CALL_MARK) {
		known = (int)((u64)info->si_ptr >> 32) - 1;
		come(info, uc);
		go_on(uc, known);
		trap_over(info, uc);
		return;
	}
	go_on(uc, known);
}
