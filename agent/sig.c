/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The application's view of signals.
 *
 * Model: SIGTRAP, SIGSEGV and SIGBUS are handled by the agent and never blocked: a break trap with
 * SIGTRAP blocked is death. SIGFPE and SIGILL are handled, too, because an instruction in a slot
 * may raise them, but blocked they may be. The application's own actions for the five live in
 * agent.app[]; where libc makes the system calls that change masks and actions the daemon asks for
 * sites, at which these calls are emulated: masks lose the first three, actions go to the table.
 * Signals that turn out to be the application's are handed on as the kernel would deliver them.
 *
 * Between the kernel's call of a handler of ours and that of the application's nothing else may be
 * delivered: handlers would be called on top of handlers that have not begun yet, without end when
 * somebody sends signals faster than that. So ours for faults are called with everything blocked,
 * and whoever serves a hit, in which faults must come through, blocks everything when that is done.
 * That for SIGTRAP is called with SIGTRAP blocked once the application has an action for it (before
 * that one that is sent is its death), and opens it for a hit, which is a system call; on an
 * alternate stack that is small, as late as it can (stack.c). Who steps through what comes before
 * that with a debugger has the kernel open it, and reset our action: it is set again. The
 * application's handler is gone to by a sigreturn, which sets its mask with it. What came in
 * meanwhile is given back to the kernel before that, which then delivers it in its order.
 *
 * A child that shares our memory (vfork, posix_spawn) resets handlers of its own; it must neither
 * change the parent's table nor lose the handlers, which its next probe needs: for it the change is
 * ignored, its exec resets everything anyway.
 */
#include <errno.h>
#include <linux/seccomp.h>

#include "agent/agent.h"

#define BIT(sig) (1ULL << ((sig)-1))
#define OURS SIG_OURS
#define HANDLED SIG_HANDLED
#define MASK_BYTES 8
#define FLAGS_KNOWN 0xdc000807u /* the kernel clears the others */

static const int signals[AGENT_SIGNALS] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

static int index_of(u64 sig)
{
	for (int i = 0; i < AGENT_SIGNALS; i++)
		if (signals[i] == (int)sig)
			return i;
	return -1;
}

static long raw_action(int sig, const struct agent_sigaction *act, struct agent_sigaction *old)
{
	return SYS_APP6(__NR_rt_sigaction, sig, act, old, MASK_BYTES, 0, 0);
}

/* No system calls soon: what is to be open in our handlers must be so from the start. */
static bool walls_ahead;
/* SIGTRAP is blocked where its handler begins, as the application has or had an action for it. */
static bool trap_closed;

static bool begins_open(int i)
{
	if (signals[i] != SIGTRAP || walls_ahead)
		return walls_ahead;
	if (agent.app[i].handler != (u64)SIG_DFL)
		store_relaxed(&trap_closed, true);
	return !trap_closed;
}

/* A system call goes on behind it as behind the application's, which may be to ignore it. */
static struct agent_sigaction own_action(int i)
{
	const struct agent_sigaction *app = &agent.app[i];
	bool interrupts = app->handler > (u64)SIG_IGN && !(app->flags & SA_RESTART);
	bool open = begins_open(i), trap = signals[i] == SIGTRAP;

	return (struct agent_sigaction){
		.handler = (u64)(trap ? agent_trap_entry : agent_fault_entry),
		.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTORER | (open ? SA_NODEFER : 0) |
			 (interrupts ? 0 : SA_RESTART),
		.restorer = (u64)agent_restorer,
		.mask = open || trap ? SIG_HELD : ~0ULL,
	};
}

static int install_one(int i)
{
	struct agent_sigaction old, act = own_action(i);
	long ret = raw_action(signals[i], NULL, &old);

	if (ret || old.handler == act.handler)
		return (int)ret;
	agent.app[i] = old;
	act = own_action(i);
	return (int)raw_action(signals[i], &act, NULL);
}

/* Also called later on: whoever has replaced our handler meanwhile becomes the application's. */
int sig_install(void)
{
	int ret = 0;

	for (int i = 0; i < AGENT_SIGNALS && ret == 0; i++)
		ret = install_one(i);
	return ret;
}

static bool is_ours(int i)
{
	struct agent_sigaction now;

	return raw_action(signals[i], NULL, &now) == 0 &&
	       now.handler == (u64)(signals[i] == SIGTRAP ? agent_trap_entry : agent_fault_entry);
}

bool sig_installed(void)
{
	return is_ours(index_of(SIGSEGV)) && is_ours(index_of(SIGBUS));
}

void sig_give_back(void)
{
	for (int i = 0; i < AGENT_SIGNALS; i++)
		if (is_ours(i))
			raw_action(signals[i], &agent.app[i], NULL);
}

/* What the application's handlers would block of our signals, by signal. */
static u32 handler_withheld[65];
/* Handlers are called through ours: who sets or asks for them is seen. */
static bool handlers_seen;

static void wrap(u64 sig, struct agent_sigaction *act)
{
	if (agent.jumps || (handlers_seen && !load_relaxed(&osl_walled)))
		defer_wrap(sig, act, handler_withheld[sig]);
}

/*
 * Handlers that were set before we came block our signals while they run: no longer. Where they are
 * seen, and where jumps are to stand, they are called through ours.
 */
void sig_open_masks(void)
{
	struct agent_sigaction act, was;

	for (int sig = 1; sig <= 64; sig++) {
		if (index_of((u64)sig) >= 0 || raw_action(sig, NULL, &act) || act.handler <= 1)
			continue;
		was = act;
		handler_withheld[sig] |= (u32)(act.mask & OURS);
		act.mask &= ~OURS;
		wrap((u64)sig, &act);
		if (memcmp(&was, &act, sizeof(was)))
			raw_action(sig, &act, NULL);
	}
}

void sig_see_handlers(void)
{
	if (handlers_seen && !agent.jumps)
		return;
	handlers_seen = true;
	sig_open_masks();
}

void sig_close_masks(void)
{
	struct agent_sigaction act;

	for (int sig = 1; sig <= 64; sig++) {
		if (index_of((u64)sig) < 0 && raw_action(sig, NULL, &act) == 0 && act.handler > 1) {
			struct agent_sigaction was = defer_known((u64)sig);

			defer_unwrap(&was, &act);
			act.mask |= handler_withheld[sig];
			raw_action(sig, &act, NULL);
		}
		handler_withheld[sig] = 0;
	}
	handlers_seen = false;
}

/*
 * No handler of the application can be called through ours where that makes system calls; then
 * nothing may be a jump, either.
 */
static void unwrap_handlers(void)
{
	struct agent_sigaction act, was;

	if (agent.jumps && !jump_give_up())
		return;
	for (int sig = 1; sig <= 64; sig++) {
		if (index_of((u64)sig) >= 0 || raw_action(sig, NULL, &act) ||
		    act.handler != (u64)agent_signal_entry)
			continue;
		was = defer_known((u64)sig);
		defer_unwrap(&was, &act);
		act.mask &= ~OURS;
		raw_action(sig, &act, NULL);
	}
}

void sig_unblock(void)
{
	u64 mask = OURS;

	SYS6(__NR_rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, MASK_BYTES, 0, 0);
}

/* --- in a handler of ours -----------------------------------------------------------------------
 */

void sig_open(void)
{
	u64 mask = SIG_HELD;

	SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &mask, NULL, MASK_BYTES, 0, 0);
}

bool sig_close(void)
{
	u64 mask = ~0ULL;

	return SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &mask, NULL, MASK_BYTES, 0, 0) == 0;
}

/* A debugger has stepped where SIGTRAP was blocked: the kernel has opened it, and taken our action.
 */
static __noinline void stepped(void)
{
	int i = index_of(SIGTRAP);
	struct agent_sigaction act;

	if (raw_action(SIGTRAP, NULL, &act) || act.handler != (u64)SIG_DFL)
		return;
	act = own_action(i);
	raw_action(SIGTRAP, &act, NULL);
}

void sig_open_trap(void)
{
	u64 mask = BIT(SIGTRAP), old = mask;

	if (likely(!load_relaxed(&trap_closed)))
		return;
	SYS6(__NR_rt_sigprocmask, SIG_UNBLOCK, &mask, &old, MASK_BYTES, 0, 0);
	if (unlikely(!(old & mask)))
		stepped();
}

u64 sig_open_beside(void)
{
	u64 mask = SIG_HELD, old = mask;

	SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &mask, &old, MASK_BYTES, 0, 0);
	if (unlikely(load_relaxed(&trap_closed) && !(old & BIT(SIGTRAP))))
		stepped();
	return old;
}

void sig_close_beside(u64 mask)
{
	SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &mask, NULL, MASK_BYTES, 0, 0);
}

static bool requeue(const siginfo_t *info)
{
	siginfo_t was = *info;

	heldback_queued(info);
	if (SYS6(__NR_rt_tgsigqueueinfo, sys_getpid(), sys_gettid(), info->si_signo, info, 0, 0) ==
	    0)
		return true;
	heldback_came(&was);
	return false;
}

void sig_wait_for(const siginfo_t *info, struct osl_ucontext *uc)
{
	if (requeue(info))
		uc->sigmask |= HANDLED;
	else
		heldback_put(info, uc);
}

/* One of what is held back that is open with @mask, but none of @but. */
static bool take_open(siginfo_t *info, u64 mask, u64 but)
{
	siginfo_t held;
	u64 blocked;

	if (!heldback_any())
		return false;
	blocked = (mask & ~OURS) | withheld_blocked(arch_thread_pointer(), mask);
	if (!heldback_take(HANDLED & ~blocked & ~but, &held))
		return false;
	*info = held;
	return true;
}

bool sig_held(siginfo_t *info, u64 mask)
{
	return take_open(info, mask, 0);
}

/* The kernel takes two of a kind for one: what has come in meanwhile is first (sig_chain()). */
void sig_release(u64 mask)
{
	siginfo_t held;
	u64 pending;

	for (int n = 0; n < 2 * AGENT_SIGNALS && heldback_any(); n++) {
		pending = 0;
		SYS6(__NR_rt_sigpending, &pending, MASK_BYTES, 0, 0, 0, 0);
		if (!take_open(&held, mask, pending))
			break;
		if (!requeue(&held))
			agent_count(&agent.stats->signals_lost);
	}
}

/* --- handing on ---------------------------------------------------------------------------------
 */

/* What the kernel takes for the address of a frame: that of the restorer, before the context. */
#define FRAME_OF(uc) ((u64)(uc)-8)
#define RED_ZONE 128
#define FP_AREA 512	/* its first part; what is behind it is described in there */
#define FP_SIZE_AT 468	/* extended_size, when */
#define FP_MAGIC_AT 464 /* this says so */
#define FP_MAGIC 0x46505853u

static bool on_alternate(const struct osl_ucontext *uc, u64 sp)
{
	return sp - uc->stack_sp < uc->stack_size;
}

static u64 fp_size(const struct osl_ucontext *uc)
{
	const u8 *fp = (const u8 *)uc->fpstate;
	u32 magic, size;

	memcpy(&magic, fp + FP_MAGIC_AT, 4);
	memcpy(&size, fp + FP_SIZE_AT, 4);
	return magic == FP_MAGIC && size < 65536 ? size : FP_AREA;
}

/* The frame, on the stack where the application wants it: below what it uses there. */
static struct osl_ucontext *move_frame(struct osl_ucontext *uc, siginfo_t **info)
{
	u64 size = FRAME_UC_SIZE, to = uc->sp - RED_ZONE, fp;
	struct osl_ucontext copy = *uc;

	if (uc->fpstate) {
		fp = fp_size(uc);
		to = ALIGN_DOWN(to - fp, 64);
		if (osl_write((void *)to, (void *)uc->fpstate, fp))
			return NULL;
		copy.fpstate = to;
	}
	to = ALIGN_DOWN(to - (8 + size + sizeof(**info)), 16) - 8;
	if (osl_write((void *)(to + 8 + size), *info, sizeof(**info)) ||
	    osl_write((void *)(to + 8), &copy, sizeof(copy)))
		return NULL;
	*info = (siginfo_t *)(to + 8 + size);
	return (struct osl_ucontext *)(to + 8);
}

/* Where no system call may be made: a fault whose signal is blocked is death, whatever its action.
 */
static void die_within_walls(int sig, struct osl_ucontext *uc, bool again)
{
	uc->sigmask |= BIT(sig);
	if (!again)
		frame_set_ip(uc, (u64)agent_deaths + (u64)index_of((u64)sig) * AGENT_DEATH_LEN);
	else if (sig == SIGTRAP)
		frame_set_ip(uc, frame_ip(uc) - ARCH_BREAK_LEN);
}

/* The default action, which for all of them is death; where the thread was, not in here. */
static void die(int sig, siginfo_t *info, struct osl_ucontext *uc, bool again)
{
	struct agent_sigaction dfl = {0};
	u64 mask = BIT(sig);

	if (load_relaxed(&osl_walled)) {
		die_within_walls(sig, uc, again);
		return;
	}
	raw_action(sig, &dfl, NULL);
	uc->sigmask &= ~mask;
	if (!again) {
		SYS_APP6(__NR_rt_sigprocmask, SIG_BLOCK, &mask, NULL, MASK_BYTES, 0, 0);
		SYS_APP6(__NR_rt_tgsigqueueinfo, sys_getpid(), sys_gettid(), sig, info, 0, 0);
		return;
	}
	if (sig == SIGTRAP)
		frame_set_ip(uc, frame_ip(uc) - ARCH_BREAK_LEN);
}

/* The registers of a handler that begins: what it has interrupted, but for these. */
static void begin_handler(struct osl_ucontext *to, u64 handler, int sig, siginfo_t *info,
			  const struct osl_ucontext *uc)
{
	*to = *uc;
	if (uc->stack_flags & FRAME_AUTODISARM) { /* it is so already */
		to->stack_sp = to->stack_size = 0;
		to->stack_flags = FRAME_DISABLE;
	}
	to->ip = handler;
	to->sp = FRAME_OF(uc);
	to->di = (u64)sig;
	to->si = (u64)info;
	to->dx = (u64)uc;
	to->ax = 0;
	to->eflags &= ~(u64)(FLAGS_RESUME | FLAGS_TRAP | FLAGS_DIRECTION);
	to->cs = USER_CS;
	to->fpstate = 0; /* as the kernel has set it for our own */
}

static bool is_fault(int sig, const siginfo_t *info)
{
	return info->si_code > 0 && index_of((u64)sig) >= 0;
}

/* What a handler blocks beside what is blocked already. */
static u64 blocks(int sig, const struct agent_sigaction *act)
{
	return act->mask | (act->flags & SA_NODEFER ? 0 : BIT(sig));
}

/*
 * What the kernel is to block while it runs. Where no other frame has room any more nothing that is
 * sent may come in that would not without us; nor could a break or a fault be served.
 */
static u64 mask_for(int sig, const struct agent_sigaction *act, const siginfo_t *info,
		    struct osl_ucontext *uc)
{
	u64 mask = again_handled(sig, uc) | blocks(sig, act);

	if (is_fault(sig, info) || load_relaxed(&osl_walled) || !stack_full(FRAME_OF(uc), uc))
		return mask & ~OURS;
	return mask | withheld_blocked(arch_thread_pointer(), uc->sigmask);
}

/* At once with the mask: a handler that has not begun is never interrupted. */
void sig_enter(int sig, const struct agent_sigaction *act, siginfo_t *info, struct osl_ucontext *uc)
{
	u64 mask = mask_for(sig, act, info, uc);
	struct osl_ucontext to;

	stack_note(uc, FRAME_OF(uc), false);
	if (agent.shadow_stack) { /* it has no token for that */
		SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &mask, NULL, MASK_BYTES, 0, 0);
		agent_hand_on(FRAME_OF(uc), act->handler, (u64)sig, info, uc);
	}
	begin_handler(&to, act->handler, sig, info, uc);
	to.sigmask = mask;
	agent_sigreturn(&to);
}

/*
 * The kernel has made a frame for our handler, which is what it would have made for the
 * application's; where that one wants another stack, it gets a copy. So it is as if we had never
 * been there: unwinders find the way, and the way back is the application's own.
 */
void sig_call(int sig, const struct agent_sigaction *act, siginfo_t *info, struct osl_ucontext *uc)
{
	u64 restorer = act->flags & SA_RESTORER ? act->restorer : (u64)agent_restorer;
	struct osl_ucontext *there = uc;

	if (!(act->flags & SA_ONSTACK) && on_alternate(uc, (u64)uc) && !on_alternate(uc, uc->sp))
		there = move_frame(uc, &info);
	if (!there || osl_write((void *)FRAME_OF(there), &restorer, 8)) {
		die(SIGSEGV, info, uc, true); /* as the kernel does where there is no room */
		return;
	}
	uc = there;
	if ((u64)info != (u64)uc + FRAME_UC_SIZE) { /* one that we made up: our stack goes */
		memcpy((void *)((u64)uc + FRAME_UC_SIZE), info, sizeof(*info));
		info = (siginfo_t *)((u64)uc + FRAME_UC_SIZE);
	}
	if (!is_fault(sig, info) && index_of((u64)sig) >= 0)
		handling_begin(FRAME_OF(uc), restorer, blocks(sig, act), uc);
	sig_enter(sig, act, info, uc);
}

void sig_chain(int sig, siginfo_t *info, struct osl_ucontext *uc, bool again)
{
	int i = index_of(sig);
	struct agent_sigaction act = agent.app[i];
	bool sent = info->si_code <= 0;

	if (sent && !heldback_reveal(info)) {
		again_held_back(uc);
		return;
	}
	if (sent && defer_sent(info, uc))
		return;
	/* where nothing is withheld any more a mask is what it looks like */
	if (sent && withheld_blocked(arch_thread_pointer(), uc->sigmask) & BIT(sig) &&
	    site_guarded()) {
		heldback_put(info, uc);
		again_held_back(uc);
		return;
	}
	if (sent && !load_relaxed(&osl_walled))
		sig_release(uc->sigmask);
	/* a fault can't be ignored, a signal somebody sent can */
	if (act.handler == (u64)SIG_IGN && sent)
		return;
	if (act.handler == (u64)SIG_IGN || act.handler == (u64)SIG_DFL) {
		if (sent || !callee_faulted(uc))
			die(sig, info, uc, again);
	} else {
		if (act.flags & SA_RESETHAND)
			store_relaxed(&agent.app[i].handler, (u64)SIG_DFL);
		sig_call(sig, &act, info, uc);
	}
}

/* --- emulated system calls ----------------------------------------------------------------------
 */

static long emulate_mask(const struct arch_regs *regs, struct osl_ucontext *uc)
{
	u64 self = arch_thread_pointer(), real = uc->sigmask & OURS, set, old, new;

	old = new = uc->sigmask | withheld_get(self, uc->sigmask);
	if (regs->r10 != MASK_BYTES)
		return -EINVAL;
	if (regs->si) {
		if (osl_read(&set, (void *)regs->si, MASK_BYTES))
			return -EFAULT;
		switch ((int)regs->di) {
		case SIG_BLOCK:
			new |= set;
			break;
		case SIG_UNBLOCK:
			new &= ~set;
			break;
		case SIG_SETMASK:
			new = set;
			break;
		default:
			return -EINVAL;
		}
	}
	/* of ours it has only what it ends with (mask_for()) */
	uc->sigmask = new & ~((OURS & ~real) | BIT(SIGKILL) | BIT(SIGSTOP));
	if (new != old && sys_getpid() == agent.pid)
		withheld_set(self, sys_gettid(), new &OURS & ~real, uc->sigmask);
	if (regs->dx && osl_write((void *)regs->dx, &old, MASK_BYTES))
		return -EFAULT;
	return 0;
}

static void set_own_action(int i, const struct agent_sigaction *app)
{
	struct agent_sigaction act;

	agent.app[i] = *app;
	if (app->handler == (u64)SIG_IGN)
		heldback_forget(BIT(signals[i]));
	act = own_action(i);
	if (is_ours(i))
		raw_action(signals[i], &act, NULL);
}

static long emulate_own_action(int i, const struct arch_regs *regs)
{
	struct agent_sigaction old = agent.app[i], act;

	if (regs->si) {
		if (osl_read(&act, (void *)regs->si, sizeof(act)))
			return -EFAULT;
		act.flags &= FLAGS_KNOWN;
		act.mask &= ~(BIT(SIGKILL) | BIT(SIGSTOP));
		if (sys_getpid() == agent.pid)
			set_own_action(i, &act);
	}
	if (regs->dx && osl_write((void *)regs->dx, &old, sizeof(old)))
		return -EFAULT;
	return 0;
}

/*
 * The mask that the kernel has is without our signals, and the handler is ours; what the
 * application sees is its own.
 */
static long emulate_masked_action(u64 sig, struct agent_sigaction *act, u64 to)
{
	struct agent_sigaction old;
	struct agent_sigaction handler = defer_known(sig);
	u32 *withheld = &handler_withheld[sig], was = *withheld;
	bool own = act && sys_getpid() == agent.pid;
	long ret;

	if (own)
		*withheld = (u32)(act->mask & OURS);
	if (act)
		act->mask &= ~OURS;
	if (own)
		wrap(sig, act);
	ret = raw_action((int)sig, act, &old);
	defer_unwrap(&handler, &old);
	old.mask |= was;
	return ret ? ret : to && osl_write((void *)to, &old, sizeof(old)) ? -EFAULT : 0;
}

static long emulate_action(const struct arch_regs *regs)
{
	struct agent_sigaction act;
	int i = index_of(regs->di);

	if (regs->r10 != MASK_BYTES)
		return -EINVAL;
	if (i >= 0)
		return emulate_own_action(i, regs);
	if (regs->si && osl_read(&act, (void *)regs->si, sizeof(act)))
		return -EFAULT;
	if (regs->di - 1 >= 64)
		return -EINVAL;
	return emulate_masked_action(regs->di, regs->si ? &act : NULL, regs->dx);
}

/* Ours that are held back are pending, too. */
static long emulate_pending(const struct arch_regs *regs)
{
	u64 set = 0;
	long ret;

	if (regs->si > MASK_BYTES)
		return -EINVAL;
	ret = SYS_APP6(__NR_rt_sigpending, &set, MASK_BYTES, 0, 0, 0, 0);
	set |= heldback_pending();
	return ret ? ret : osl_write((void *)regs->di, &set, regs->si) ? -EFAULT : 0;
}

static bool behind_wait(struct arch_regs *regs)
{
	u64 self = arch_thread_pointer();

	withheld_wait(self, false, 0);
	return heldback_behind_wait(regs) | waitmask_behind(regs) |
	       withheld_unlimit(self, &regs->r10);
}

bool sig_guard_wait(const struct agent_plan *plan, struct arch_regs *regs)
{
	u64 nr, mask;

	if (!arch_syscall_end(&plan->patch, regs, &nr))
		return behind_wait(regs);
	if (nr == __NR_epoll_pwait && !agent_plan_any_call(plan))
		withheld_limit(arch_thread_pointer(), regs->sp, regs->r10);
	if (agent_plan_any_call(plan))
		withheld_calls(arch_thread_pointer(), regs->sp, nr);
	else if (waitmask_of(nr, regs, &mask))
		withheld_wait(arch_thread_pointer(), true, mask);
	return waitmask_before(nr, regs);
}

static void open_handlers(void)
{
	struct agent_sigaction act;

	walls_ahead = true;
	for (int i = 0; i < AGENT_SIGNALS; i++) {
		act = own_action(i);
		if (is_ours(i))
			raw_action(signals[i], &act, NULL);
	}
}

/*
 * Is the process about to filter its system calls, or to forbid the CPU's counter? A call that will
 * fail is taken for one that won't. A child that shares our memory does that for itself, and leaves
 * it.
 */
static void watch_filters(u64 nr, const struct arch_regs *regs)
{
	bool strict, filter;

	if (likely(nr != __NR_prctl && nr != __NR_seccomp))
		return;
	if (nr == __NR_prctl) {
		if (regs->di == PR_SET_TSC && regs->si == PR_TSC_SIGSEGV)
			osl_clock_calm(false);
		strict = regs->di == PR_SET_SECCOMP && regs->si == SECCOMP_MODE_STRICT;
		filter = regs->di == PR_SET_SECCOMP && regs->dx;
	} else {
		strict = regs->di == SECCOMP_SET_MODE_STRICT;
		filter = regs->di == SECCOMP_SET_MODE_FILTER && regs->dx;
	}
	if ((strict || filter) &&
	    (load_acquire(agent.mark) != FORK_KNOWN || sys_getpid() == agent.pid)) {
		unwrap_handlers();
		open_handlers();
		osl_wall();
	}
}

bool sig_emulate(const struct agent_plan *plan, struct arch_regs *regs, struct osl_ucontext *uc)
{
	u64 nr, mask = ~0ULL, end = arch_syscall_end(&plan->patch, regs, &nr);

	if (!end)
		return false;
	watch_filters(nr, regs);
	if (exec_guard(nr, end, regs))
		return true;
	if (exec_trace_me(nr, regs))
		; /* it is done */
	else if (nr == __NR_rt_sigprocmask)
		regs->ax = (u64)emulate_mask(regs, uc);
	else if (nr == __NR_rt_sigaction)
		regs->ax = (u64)emulate_action(regs);
	else if (nr == __NR_rt_sigpending)
		regs->ax = (u64)emulate_pending(regs);
	else if (nr == __NR_rt_sigtimedwait &&
		 heldback_before_wait(regs, &plan->patch, !agent_plan_any_call(plan)))
		; /* it is done */
	else if (heldback_any() && !agent_plan_any_call(plan) && waitmask_of(nr, regs, &mask) &&
		 heldback_pending() & OURS & ~mask)
		regs->ax = (u64)-EINTR; /* for sig_held() */
	else
		return false;
	withheld_wait(arch_thread_pointer(), mask != ~0ULL, mask);
	regs->ip = end;
	regs->cx = end;
	regs->r11 = regs->flags;
	return true;
}
