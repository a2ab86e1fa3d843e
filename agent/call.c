/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Called by a signal: how a daemon that must not use ptrace gets the attention of an agent that was
 * preloaded.
 *
 * Model: the thread that gets the signal holds the exchange in its handler, while the
 * application's signals wait. Where it is the only thread that is like an injected call: nobody
 * else runs. Then its system call goes on as if nothing had happened (again.c).
 *
 * Rules: who sets a handler of its own for the signal has it, and is not called any more. Only a
 * process of the same user can send it, and is believed only as far as the socket says who it is.
 */
#include <errno.h>

#include "agent/agent.h"

#define MASK_BYTES 8

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

/* Goes on with a sleep, with the application's signals open: what comes in is for it. */
static void finish_sleep(struct osl_ucontext *uc)
{
	u64 mask = uc->sigmask, held = SIG_HELD;

	SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &mask, NULL, MASK_BYTES, 0, 0);
	uc->ax = (u64)agent_restart_syscall();
	SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &held, NULL, MASK_BYTES, 0, 0);
}

static void go_on(struct osl_ucontext *uc, int known)
{
	if (again_after(uc, known))
		finish_sleep(uc);
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

/*
 * As an injected call: what is blocked of our signals is noted while the masks are guarded, and
 * before frames are looked at: a handler that blocks more than what it returns to will end.
 */
static void note_mask(const struct osl_ucontext *uc)
{
	u64 self = arch_thread_pointer();

	withheld_set(self, sys_gettid(), withheld_get(self, 0) | (uc->sigmask & SIG_OURS), 0);
}

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
	if (alone) {
		note_mask(uc);
		crowd_begin(&held);
	}
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
