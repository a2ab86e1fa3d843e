/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals of the application that arrive in a hit by a jump.
 *
 * Model: in a trap nothing of the application's is delivered; in a stub it is. A handler that ran
 * there would see addresses of ours, what it hits would interrupt a program, and when it jumps out
 * the hit would be half done. So the handlers of the application are called through one of ours,
 * which looks where the thread is. On its way to the hit: it is put back to the site, which it has
 * not executed yet. In the hit: the signal is kept, and everything is blocked until the hit is
 * over. Then the thread traps, and the signal comes in as if it had been a moment later. Anywhere
 * else the application's handler is called as the kernel called ours.
 *
 * Those of our signals that somebody sent are held back (heldback.c), as they can't be blocked, in
 * hits by a trap, too; what is left of them when the first handler jumps out comes in where the
 * thread changes its mask next.
 *
 * Ours is called with everything blocked: signals that come at the same time would each take a
 * frame of the stack that the hit is on. What the application's is to block is set before it is
 * called.
 *
 * The application sees the handlers it set: its system calls that set them are emulated (sig.c).
 * Where that can't be (a runtime with system calls of its own) handlers run in the hit, and one
 * that jumps out may lose the program's run; the thread's entry is found to be abandoned
 * (active.c).
 */
#include <errno.h>

#include "agent/agent.h"

#define KEPT 64u
#define HELD_BACK (1ull << 32) /* of jump_frame.deferred, beside the number of what is kept */
#define SCANNED 2048u /* bytes of C frames between an interrupted instruction and its hit's */

#define HANDLERS 8u /* as many may have been called at the same time */

/* of entry.S: where the registers are not saved yet, and how much is on the stack there */
struct jump_step {
	u32 at, depth;
};
extern const struct jump_step agent_jump_steps[] __hidden, agent_jump_steps_end[] __hidden;
extern u8 agent_jump_last_step[] __hidden;
extern u8 agent_ret_step1[] __hidden, agent_ret_step2[] __hidden;
extern u8 __ehdr_start[] __hidden, _end[] __hidden;

static struct agent_sigaction handlers[65];

/* Signals that wait for the end of a hit. */
static struct kept {
	struct jump_frame *f; /* the hit's; NULL: free */
	siginfo_t info;
} kept[KEPT];

/* --- the application's handlers -----------------------------------------------------------------
 */

static bool is_handler(u64 handler)
{
	return handler != (u64)SIG_DFL && handler != (u64)SIG_IGN;
}

struct agent_sigaction defer_known(u64 sig)
{
	return handlers[sig];
}

void defer_wrap(u64 sig, struct agent_sigaction *act)
{
	if (!agent.jumps || !is_handler(act->handler) || act->handler == (u64)agent_signal_entry ||
	    act->handler == (u64)agent_call_entry)
		return;
	handlers[sig] = *act;
	act->handler = (u64)agent_signal_entry;
	act->flags = (act->flags | SA_SIGINFO) & ~(u64)SA_RESETHAND;
	act->mask = ~SIG_OURS;
}

void defer_unwrap(const struct agent_sigaction *was, struct agent_sigaction *act)
{
	if (act->handler != (u64)agent_signal_entry)
		return;
	act->handler = was->handler;
	act->flags = was->flags;
	act->mask = was->mask;
}

/* As the kernel does before it calls a handler that is for one time. */
static void reset(u64 sig)
{
	struct agent_sigaction dfl = {0};

	SYS6(__NR_rt_sigaction, sig, &dfl, NULL, 8, 0, 0);
	if (sys_getpid() == agent.pid)
		handlers[sig] = dfl;
}

/* --- on the way to a hit ------------------------------------------------------------------------
 */

/* Back to the stub of a return instance, as if its call had pushed nothing. */
static bool rewind_return(struct osl_ucontext *uc, u64 stub, u64 sp)
{
	if (!ret_is_stub(stub) || osl_write((void *)(sp - sizeof(stub)), &stub, sizeof(stub)))
		return false;
	uc->ip = stub;
	uc->sp = sp;
	return true;
}

static bool rewind_ret_entry(struct osl_ucontext *uc)
{
	u64 sp = uc->sp + 8, pushed;

	if (uc->ip != (u64)agent_ret_entry)
		sp = uc->sp + (uc->ip == (u64)agent_ret_step1 ? JUMP_RED_ZONE : JUMP_RED_ZONE + 8);
	if (osl_read(&pushed, (void *)(sp - 8), sizeof(pushed)))
		return false;
	return rewind_return(uc, pushed - RET_STUB_CALL, sp);
}

static bool in_ret_entry(u64 ip)
{
	return ip == (u64)agent_ret_entry || ip == (u64)agent_ret_step1 ||
	       ip == (u64)agent_ret_step2;
}

static bool rewind_entry(struct osl_ucontext *uc)
{
	u32 at = (u32)(uc->ip - (u64)agent_jump_entry);
	u64 pushed[2];

	if (uc->ip == (u64)agent_jump_last_step && osl_read(&uc->bp, (void *)(uc->sp + 48), 8))
		return false;
	for (const struct jump_step *s = agent_jump_steps; s < agent_jump_steps_end; s++) {
		if (s->at != at)
			continue;
		if (osl_read(pushed, (void *)(uc->sp + s->depth), sizeof(pushed)))
			return false;
		uc->sp += s->depth + JUMP_PUSHED;
		uc->ip = pushed[0] + pushed[1];
		return !ret_is_stub(uc->ip) || rewind_return(uc, uc->ip, uc->sp);
	}
	return false;
}

static bool rewind_stub(struct osl_ucontext *uc, u64 stub, u32 offset)
{
	u8 head[ARCH_STUB_HEAD];
	u64 site;

	if (osl_read(head, (void *)stub, sizeof(head)) || !arch_jump_site(head, stub, &site))
		return false;
	uc->sp += arch_jump_depth(offset);
	uc->ip = site;
	return true;
}

bool defer_rewind(struct osl_ucontext *uc)
{
	u64 ip = uc->ip, stub = ALIGN_DOWN(ip, ARCH_STUB_SIZE);

	if (ret_is_stub(ip))
		return true;
	if (in_ret_entry(ip))
		return rewind_ret_entry(uc);
	if (ip - (u64)agent_jump_entry <= (u64)agent_jump_last_step - (u64)agent_jump_entry)
		return rewind_entry(uc);
	if (agent_arena_holds(ip, 1))
		return ip - stub < ARCH_STUB_HEAD && rewind_stub(uc, stub, (u32)(ip - stub));
	stub = jump_pad_leads(ip);
	return stub && rewind_stub(uc, stub, 0);
}

/* --- in a hit -----------------------------------------------------------------------------------
 */

static struct jump_frame *frame_at(u64 addr)
{
	u64 mark;

	return osl_read(&mark, (void *)addr, sizeof(mark)) == 0 && mark == addr + JUMP_MARK
		       ? (struct jump_frame *)addr
		       : NULL;
}

/* Where a thread is, or was when a handler of ours was called on top of that. */
struct place {
	u64 ip, sp;
	siginfo_t info;	      /* of that handler */
	struct jump_frame *f; /* that of a hit was found first */
};

/*
 * The nearest frame above: of a hit, or of a signal that a handler of ours was called with, which
 * is gone to. The kernel may call several handlers before the first instruction of any.
 */
static bool go_up(struct place *p)
{
	u64 from = ALIGN_UP(p->sp, 8), restorer = 0;
	struct osl_ucontext uc;

	for (u64 at = from; at < from + SCANNED && !(p->f = frame_at(at)); at += 8) {
		if (osl_read(&restorer, (void *)at, sizeof(restorer)))
			return false;
		if (restorer != (u64)agent_restorer || !agent_works(p->ip) ||
		    osl_read(&p->info, (void *)frame_info(at), sizeof(p->info)) ||
		    osl_read(&uc, (void *)(at + 8), sizeof(uc)) || !frame_is_whole(&uc, at))
			continue;
		p->ip = uc.ip;
		p->sp = uc.sp;
		return true;
	}
	return false;
}

/* The hit that was interrupted: entered, or about to be or just left. */
static struct jump_frame *interrupted(const struct osl_ucontext *uc, struct agent_active **a)
{
	struct place p = {.ip = uc->ip, .sp = uc->sp};

	for (u32 i = 0; i < HANDLERS; i++) {
		bool ours =
			(p.ip >= (u64)__ehdr_start && p.ip < (u64)_end) || stack_index(p.sp) >= 0;

		*a = active_here(p.sp);
		if (*a && (ours || !((*a)->open >> ACTIVE_STACK)))
			return (*a)->open & ACTIVE_EXPOSED ? NULL : frame_at((*a)->frame);
		if (!ours || !go_up(&p) || p.info.si_signo == SIGTRAP)
			break;
	}
	return p.f;
}

static struct kept *keep(struct jump_frame *f)
{
	for (u32 i = 0; i < KEPT; i++) {
		struct jump_frame *none = NULL;

		if (!load_relaxed(&kept[i].f) &&
		    __atomic_compare_exchange_n(&kept[i].f, &none, f, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return &kept[i];
	}
	return NULL;
}

/* False: that can't be, the handler has to run now. */
static bool postpone(struct jump_frame *f, const siginfo_t *info, struct osl_ucontext *uc)
{
	struct kept *k = keep(f);

	if (!k)
		return false;
	k->info = *info;
	f->mask = uc->sigmask;
	uc->sigmask = ~SIG_OURS;
	store_release(&f->deferred, (f->deferred & HELD_BACK) | (1 + (u64)(k - kept)));
	return true;
}

/* As the kernel would call ours. */
static struct agent_sigaction action_of(int sig)
{
	struct agent_sigaction act = handlers[sig];

	if (!is_handler(act.handler) && sig == AGENT_CALL_SIGNAL)
		return (struct agent_sigaction){(u64)agent_call_entry, SA_ONSTACK, 0, SIG_HELD};
	act.handler = (u64)agent_signal_entry;
	act.mask = ~SIG_OURS;
	return act;
}

static void let_in_kept(struct jump_frame *f, struct osl_ucontext *uc)
{
	struct kept *k = &kept[((u32)f->deferred - 1) % KEPT];
	siginfo_t info = k->info;
	struct agent_sigaction act = action_of(info.si_signo);

	store_relaxed(&f->deferred, f->deferred & HELD_BACK);
	store_release(&k->f, NULL);
	uc->sigmask = f->mask;
	sig_call(info.si_signo, &act, &info, uc);
}

void defer_let_in(struct osl_ucontext *uc)
{
	struct jump_frame *f = (struct jump_frame *)uc->si;
	siginfo_t info;

	if ((u32)f->deferred) {
		let_in_kept(f, uc);
		return;
	}
	if (sig_held(&info, uc->sigmask))
		sig_chain(info.si_signo, &info, uc, false);
	else
		store_relaxed(&f->deferred, 0);
}

/* The handler may not come back: then nobody must take the frame for a hit's. */
static void expose(struct jump_frame *f, struct agent_active *a)
{
	if (a)
		store_release(&a->open, a->open | ACTIVE_EXPOSED);
	else
		store_release(&f->mark, 0);
}

bool defer_signal(int sig, const siginfo_t *info, struct osl_ucontext *uc)
{
	struct agent_active *a;
	struct jump_frame *f = defer_rewind(uc) ? NULL : interrupted(uc, &a);

	if (f && postpone(f, info, uc))
		return true;
	if (f)
		expose(f, a);
	return false;
}

/* Is it in a handler of ours for SIGTRAP that has not looked yet for what was held back? */
static bool in_trap(const struct osl_ucontext *uc)
{
	struct place p = {.ip = uc->ip, .sp = uc->sp};

	for (u32 i = 0; i < HANDLERS && agent_works(p.ip) && go_up(&p); i++)
		if (p.info.si_signo == SIGTRAP)
			return p.info.si_errno != TRAP_OVER;
	return stack_index(p.sp) >= 0;
}

bool defer_ours(const siginfo_t *info, struct osl_ucontext *uc)
{
	struct agent_active *a;
	struct jump_frame *f;

	if (load_relaxed(&osl_walled) || defer_rewind(uc))
		return false;
	f = interrupted(uc, &a);
	if (!f && !(a ? !a->open : in_trap(uc)))
		return false;
	heldback_put(info, uc);
	if (f)
		store_relaxed(&f->deferred, f->deferred | HELD_BACK);
	return true;
}

static void set_mask(int sig, const struct agent_sigaction *h, const struct osl_ucontext *uc)
{
	u64 mask = uc->sigmask | h->mask;

	if (!(h->flags & SA_NODEFER))
		mask |= 1ull << (sig - 1);
	mask &= ~SIG_OURS;
	SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask), 0, 0);
}

/* The application's handler to be called, or 0. */
u64 agent_on_signal(int sig, siginfo_t *info, struct osl_ucontext *uc)
{
	struct agent_sigaction h = handlers[sig];

	if (defer_signal(sig, info, uc))
		return 0;
	if (h.flags & SA_RESETHAND)
		reset((u64)sig);
	if (!is_handler(h.handler))
		return 0;
	stack_note(uc, (u64)__builtin_frame_address(0), false);
	set_mask(sig, &h, uc);
	return h.handler;
}
