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
 * hits by a trap, too. Those that interrupt a handler of ours outside of hits wait for its end
 * (sig.c).
 *
 * Ours is called with everything blocked: signals that come at the same time would each take a
 * frame of the stack that the hit is on. What the application's is to block is set when it is
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
/* of jump_frame.deferred, beside the number of what is kept */
#define HELD_BACK (1ull << 32)
#define MASKED (1ull << 33) /* .mask is what the thread's mask will be */
/* for the trap that lets in what is kept, and for what is behind it (trap_swallowed()) */
#define LETS_IN (SIG_OURS | 1ull << (SIGILL - 1))
#define SCANNED 2048u /* bytes of C frames between an interrupted instruction and its hit's */

#define PAGE 4096u

/* at the last step, where all but the mark has been pushed, and rbp is not the thread's any more */
#define PUSHED_BP (offsetof(struct jump_frame, regs.bp) - sizeof(u64))
#define HANDLERS 8u /* as many may have been called at the same time */

/* of entry.S: where the registers are not saved yet, and how much is on the stack there */
struct jump_step {
	u32 at, depth;
};
extern const struct jump_step agent_jump_steps[] __hidden, agent_jump_steps_end[] __hidden;
extern u8 agent_jump_last_step[] __hidden;
extern u8 agent_ret_step1[] __hidden, agent_ret_step2[] __hidden, agent_ret_step3[] __hidden;
extern u8 __ehdr_start[] __hidden, _end[] __hidden;

static struct agent_sigaction handlers[65];
static u64 own_restorer; /* of these handlers: a process has one */

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

void defer_wrap(u64 sig, struct agent_sigaction *act, u64 withheld)
{
	if (!is_handler(act->handler) || act->handler == (u64)agent_signal_entry ||
	    act->handler == (u64)agent_call_entry)
		return;
	handlers[sig] = *act;
	handlers[sig].mask |= withheld;
	own_restorer = act->restorer;
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

/* What agent_ret_entry has the stack pointer below the caller's at @ip; 0: that is elsewhere. */
static u64 ret_entry_depth(u64 ip)
{
	if (ip == (u64)agent_ret_entry)
		return 8;
	if (ip == (u64)agent_ret_step1)
		return JUMP_RED_ZONE;
	if (ip == (u64)agent_ret_step2)
		return JUMP_RED_ZONE + 8;
	return ip == (u64)agent_ret_step3 ? JUMP_RED_ZONE + 16 : 0;
}

static bool rewind_ret_entry(struct osl_ucontext *uc)
{
	u64 sp = uc->sp + ret_entry_depth(uc->ip), pushed;

	if (osl_read(&pushed, (void *)(sp - 8), sizeof(pushed)))
		return false;
	return rewind_return(uc, pushed - RET_STUB_CALL, sp);
}

static bool rewind_entry(struct osl_ucontext *uc)
{
	u32 at = (u32)(uc->ip - (u64)agent_jump_entry);
	u64 pushed[2];

	if (uc->ip == (u64)agent_jump_last_step &&
	    osl_read(&uc->bp, (void *)(uc->sp + PUSHED_BP), sizeof(uc->bp)))
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
	u64 ip, stub;

	if (leaf_settle(uc))
		return true;
	ip = uc->ip;
	stub = ALIGN_DOWN(ip, ARCH_STUB_SIZE);
	if (ret_is_stub(ip))
		return true;
	if (ret_entry_depth(ip))
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

/*
 * Where what can be read from @from on ends, within @len bytes. Faults of ours may be blocked, so
 * the kernel is asked: it reads a mask before it finds that there is nothing to be done with it.
 */
static u64 readable(u64 from, u64 len)
{
	u64 at = from;

	while (at < from + len &&
	       SYS6(__NR_rt_sigprocmask, -1, at, NULL, sizeof(u64), 0, 0) != -EFAULT)
		at = ALIGN_DOWN(at, (u64)PAGE) + PAGE;
	return MIN(at, from + len);
}

static struct jump_frame *frame_at(u64 addr)
{
	struct jump_frame *f = (struct jump_frame *)addr;

	return READ_ONCE(f->mark) == addr + JUMP_MARK ? f : NULL;
}

/* Where a thread is, or was when a handler of ours was called on top of that. */
struct place {
	u64 ip, sp;
	siginfo_t info;	      /* of that handler */
	struct jump_frame *f; /* that of a hit was found first */
};

/* Right before the way back from a handler the restorer's address has been taken off the stack. */
static u64 top_of(const struct place *p)
{
	bool leaves = p->ip - (u64)agent_restorer < RESTORER_LEN;

	return ALIGN_UP(p->sp, 8) - (leaves ? 8 : 0);
}

/*
 * The nearest frame above: of a hit, or of a signal that a handler of ours was called with, which
 * is gone to. The kernel may call several handlers before the first instruction of any.
 */
static bool go_up(struct place *p)
{
	const u64 whole = FRAME_UC_SIZE + 8 + sizeof(p->info);
	u64 from = top_of(p), end = readable(from, SCANNED + whole), restorer;
	const struct osl_ucontext *uc;

	for (u64 at = from; at < from + SCANNED && at < end && !(p->f = frame_at(at)); at += 8) {
		restorer = READ_ONCE(*(u64 *)at);
		uc = (const struct osl_ucontext *)(at + 8);
		if ((restorer != (u64)agent_restorer && restorer != own_restorer) ||
		    !agent_works(p->ip) || end - at < whole || !frame_is_whole(uc, at))
			continue;
		memcpy(&p->info, (void *)frame_info(at), sizeof(p->info));
		p->ip = uc->ip;
		p->sp = uc->sp;
		return true;
	}
	return false;
}

static struct jump_frame *open_frame(const struct agent_active *a)
{
	u64 frame = load_relaxed(&a->frame);

	return readable(frame, sizeof(u64)) != frame ? frame_at(frame) : NULL;
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
			return (*a)->open & ACTIVE_EXPOSED ? NULL : open_frame(*a);
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

/* Besides its own, the hit is to block @mask. */
static void mask_hit(struct jump_frame *f, struct osl_ucontext *uc, u64 mask)
{
	if (!(f->deferred & MASKED))
		f->mask = uc->sigmask;
	f->deferred |= MASKED;
	uc->sigmask |= mask;
}

/* False: that can't be, the handler has to run now. */
static bool postpone(struct jump_frame *f, const siginfo_t *info, struct osl_ucontext *uc)
{
	struct kept *k = keep(f);

	if (!k)
		return false;
	k->info = *info;
	mask_hit(f, uc, ~LETS_IN);
	store_release(&f->deferred, f->deferred | (1 + (u64)(k - kept)));
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
	sig_call(info.si_signo, &act, &info, uc);
}

void defer_let_in(struct osl_ucontext *uc)
{
	struct jump_frame *f = (struct jump_frame *)uc->si;
	bool closed = sig_close();
	siginfo_t info;

	if (f->deferred & MASKED)
		uc->sigmask = f->mask;
	if (closed)
		sig_release(uc->sigmask);
	if ((u32)f->deferred) {
		let_in_kept(f, uc);
		return;
	}
	store_relaxed(&f->deferred, f->deferred & HELD_BACK);
	if (!closed && sig_held(&info, uc->sigmask))
		sig_chain(info.si_signo, &info, uc, false);
	else
		store_relaxed(&f->deferred, 0);
}

/* The handler may not come back: then nobody must take the frame for a hit's. */
static void expose(struct jump_frame *f, struct agent_active *a)
{
	if (a) {
		a->ready = NULL; /* .open is this hit's alone */
		store_release(&a->open, a->open | ACTIVE_EXPOSED);
	} else {
		store_release(&f->mark, 0);
	}
}

bool defer_signal(int sig, const siginfo_t *info, struct osl_ucontext *uc)
{
	struct agent_active *a;
	struct jump_frame *f;

	ret_leave_stub(uc);
	f = defer_rewind(uc) ? NULL : interrupted(uc, &a);
	if (f && postpone(f, info, uc))
		return true;
	if (f)
		expose(f, a);
	else
		uc->ip = site_behind(uc->ip);
	return false;
}

enum whereabouts { IN_APPLICATION, IN_HIT, IN_HANDLER };

/* Is it a signal whose handler may serve a hit, or hold an exchange? */
static bool serves(const siginfo_t *info)
{
	if (info->si_signo == AGENT_CALL_SIGNAL)
		return info->si_code == SI_QUEUE && (u32)info->si_errno == AGENT_CALL_MARK;
	return info->si_code > 0 && SIG_HANDLED & 1ull << (info->si_signo - 1);
}

/*
 * In a hit: the innermost handler of ours that serves one has not looked yet for what was held
 * back. Only what begins as ours do is one of them, and ends by a return or in another handler.
 */
static enum whereabouts whereabouts(const struct osl_ucontext *uc)
{
	struct place p = {.ip = uc->ip, .sp = uc->sp};
	enum whereabouts in = IN_APPLICATION;

	for (u32 i = 0; i < HANDLERS && agent_works(p.ip) && go_up(&p); i++) {
		if (serves(&p.info))
			return p.info.si_errno == TRAP_OVER ? IN_HANDLER : IN_HIT;
		in = IN_HANDLER;
	}
	return stack_index(p.sp) >= 0 ? IN_HIT : in;
}

static bool in_handler_code(const struct osl_ucontext *uc)
{
	u64 ours = SIG_HANDLED | 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1);

	return !~(uc->sigmask | ours) && agent_handles(uc->ip);
}

/* What is not to come in, where a handler of ours is: that of what was sent begins without a fault.
 */
static u64 disturbing(const struct osl_ucontext *uc)
{
	const siginfo_t *info = (const siginfo_t *)frame_info(uc->sp);
	bool sent = uc->ip == (u64)agent_trap_entry && !serves(info);

	return SIG_HANDLED & ~(sent ? 0 : SIG_FAULTS);
}

/*
 * Nothing but faults has to come through in a hit, and the trap that lets in what is put off behind
 * one by a jump: the kernel may keep the others. A handler that has begun on top of it goes on
 * undisturbed: it would be called again before its first instruction, as often as somebody sends.
 */
static void hold_back(const siginfo_t *info, struct osl_ucontext *uc, struct jump_frame *f,
		      bool in_trap)
{
	heldback_put(info, uc);
	if (in_handler_code(uc))
		uc->sigmask |= disturbing(uc);
	else if (f)
		mask_hit(f, uc, SIG_HANDLED & ~LETS_IN);
	else if (in_trap)
		uc->sigmask |= SIG_HANDLED & ~SIG_FAULTS;
	if (f)
		store_relaxed(&f->deferred, f->deferred | HELD_BACK);
}

bool defer_sent(const siginfo_t *info, struct osl_ucontext *uc)
{
	enum whereabouts in = IN_APPLICATION;
	struct agent_active *a;
	struct jump_frame *f;

	ret_leave_stub(uc);
	if (load_relaxed(&osl_walled) || defer_rewind(uc))
		return false;
	f = interrupted(uc, &a);
	if (f || (a && !a->open))
		in = IN_HIT;
	else if (!a)
		in = whereabouts(uc);
	if (in == IN_HIT)
		hold_back(info, uc, f, a != NULL);
	else if (in == IN_HANDLER && in_handler_code(uc))
		sig_wait_for(info, uc);
	else
		return false;
	return true;
}

void agent_on_signal(int sig, siginfo_t *info, struct osl_ucontext *uc)
{
	struct agent_sigaction h = handlers[sig];

	if (defer_signal(sig, info, uc))
		return;
	if (h.flags & SA_RESETHAND)
		reset((u64)sig);
	if (!is_handler(h.handler))
		return;
	if (h.mask & SIG_OURS && sig_close())
		handling_begin((u64)uc - sizeof(u64), h.restorer, h.mask, uc);
	sig_enter(sig, &h, info, uc);
}
