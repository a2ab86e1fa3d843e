/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SIGTRAP: from a break byte to the programs and on to what the instruction would have done.
 *
 * Cases, in order: the stub of a return instance; a site of ours (armed: serve it; dead: the trap
 * was late, start the instruction again); neither: the application's business.
 *
 * The kernel keeps one signal of a kind for a thread: when somebody has sent SIGTRAP to a thread
 * that executes a break before it gets that signal, the break is not told. The thread is behind the
 * break then, in the handler for what was sent, or for something else that was sent and that the
 * kernel delivers first; so it is looked for there, before anything is done with the signal. (The
 * other way round it is what was sent that is lost, and nobody can know.)
 *
 * A hit makes no system call. A hit within a hit of the same thread executes the displaced
 * instruction and counts its consumers as missed.
 */
#include <errno.h>

#include "agent/agent.h"
#include "core/run/typed.h"

#define INVALID_LEN 2 /* of what is behind the breaks in entry.S */
#define RSEQ_SIGNATURE 0x53053053u

/* Frames of signals that come while we serve a hit are below. */
static __always_inline u64 hit_frame(void)
{
	return (u64)__builtin_frame_address(0);
}

/* --- programs -----------------------------------------------------------------------------------
 */

static void account_rest(u32 stat, const struct ebpf_run *run, u64 since)
{
	struct agent_stat *st = agent_stat_at(stat);

	if (st && run->aborted)
		agent_count(&st->aborted);
	if (st && since)
		__atomic_fetch_add(&st->run_time_ns, osl_ktime_ns() - since, __ATOMIC_RELAXED);
}

static __always_inline void account(u32 stat, const struct ebpf_run *run, u64 since)
{
	struct agent_lane *lane = agent_lane_at((u64)run);
	struct agent_stat *st;

	if (likely(lane && stat < AGENT_LANE_STATS)) {
		arch_count(&lane->stat[stat]);
	} else {
		st = agent_stat_at(stat);
		if (st)
			agent_count(&st->hits);
	}
	if (unlikely(run->aborted || since))
		account_rest(stat, run, since);
}

/* What a program is told of a hit besides the registers. */
struct part {
	bool is_return;
	u32 left;
	u64 session_cookie; /* the program may change it */
	const u64 *words;   /* at the exit: the arguments as they were at the entry, or NULL */
	u32 notes;	    /* of sessions, as far as they are this hit's to give back */
};

/* A typed program: its context is the words of the call. */
static __noinline u64 run_typed(const struct ebpf_prog *prog, const struct arch_regs *at,
				const struct part *part, const u64 *vectors, struct ebpf_run *run)
{
	const struct ebpf_image *img = prog->image;
	struct ebpf_typed_ctx ctx;

	ctx.regs = *at;
	if (part->words)
		memcpy(ctx.word, part->words, EBPF_IMAGE_ARGS * sizeof(u64));
	else if (part->is_return)
		memset(ctx.word, 0, EBPF_IMAGE_ARGS * sizeof(u64));
	else
		ebpf_typed_arguments(img, at, vectors, ctx.word);
	if (part->is_return)
		ebpf_typed_result(img, at, vectors, ctx.word);
	else
		memset(ctx.word + EBPF_IMAGE_ARGS, 0, 2 * sizeof(u64));
	return ebpf_prog_run(prog, ctx.word, run);
}

/* What a program writes to the registers is not for the thread. */
static __noinline u64 run_on_copy(const struct ebpf_prog *prog, const struct arch_regs *at,
				  struct ebpf_run *run)
{
	struct arch_regs ctx = *at;

	return ebpf_prog_run(prog, &ctx, run);
}

/* Of itself it doesn't: no program may that was checked. */
static __always_inline u64 run_on(const struct ebpf_prog *prog, const struct arch_regs *at,
				  const struct part *part, const u64 *vectors, struct ebpf_run *run)
{
	const u32 may = EBPF_IMAGE_CTX_ESCAPES | EBPF_IMAGE_TAIL_CALLS;

	if (unlikely(prog->image->flags & EBPF_IMAGE_TYPED))
		return run_typed(prog, at, part, vectors, run);
	if (unlikely(prog->image->flags & may || !prog->code))
		return run_on_copy(prog, at, run);
	return ebpf_prog_run(prog, (struct arch_regs *)(uintptr_t)at, run);
}

static u64 run_prog(const struct ebpf_prog *prog, const struct agent_hook *h,
		    const struct agent_place *p, const struct arch_regs *at, struct part *part,
		    struct agent_active *a)
{
	struct ebpf_run run; /* large, and ebpf_prog_run() sets the rest */
	u64 since = READ_ONCE(agent.life->stats_enabled) ? osl_ktime_ns() : 0, result;

	run.kind = part->is_return ? EBPF_RUN_URETPROBE : EBPF_RUN_UPROBE;
	run.env = &agent.env;
	run.cookie = h->cookie;
	run.stat = h->stat;
	run.func_ip = p->addr;
	run.retval = part->is_return ? (s64)at->ax : 0;
	run.left = part->left;
	run.is_return = part->is_return;
	run.session_cookie = part->session_cookie;
	run.vectors = a->vectors;
	run.recover[0] = run.recover[1] = 0; /* until it can be cut short */
	a->run = &run;
	result = run_on(prog, at, part, a->vectors, &run);
	a->run = NULL;
	part->session_cookie = run.session_cookie;
	account(h->stat, &run, since);
	return result;
}

static void count_missed(const struct agent_hook *h)
{
	struct agent_stat *st = agent_stat_at(h->stat);

	if (st)
		agent_count(&st->missed);
}

/*
 * It is to be told what is in vector registers, and the hit began before anybody wanted to know; a
 * call that ended otherwise than by a return has no result there.
 */
static bool lacks_vectors(const struct ebpf_prog *prog, u32 left, const struct agent_active *a)
{
	return prog->image->flags & EBPF_IMAGE_VECTORS && !a->vectors && left <= EBPF_LEFT_RETURNED;
}

/* What it calls may never come back: then who ends the hit (active.c) ends the sessions, too. */
static __noinline u64 run_caller(const struct ebpf_prog *prog, const struct agent_hook *h,
				 const struct agent_place *p, const struct arch_regs *at,
				 struct part *part, struct agent_active *a)
{
	u64 result;

	a->noted = p;
	a->noted_return = part->is_return;
	a->notes = part->notes;
	result = run_prog(prog, h, p, at, part, a);
	a->noted = NULL;
	return result;
}

/*
 * What the program returned; one that has gone wants no more. Who takes a hook away looks at .link
 * afterwards (active_runs): first it, then the program.
 */
static u64 run_hook(const struct agent_hook *h, const struct agent_place *p,
		    const struct arch_regs *at, struct part *part, struct agent_active *a)
{
	const struct ebpf_prog *prog;
	u64 result = 1;

	store_relaxed(&a->link, h->link);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	prog = load_acquire(&h->prog);
	if (prog && unlikely(lacks_vectors(prog, part->left, a)))
		count_missed(h);
	else if (prog && unlikely(prog->image->flags & EBPF_IMAGE_CALLS) && !a->open)
		count_missed(h); /* not in a signal handler */
	else if (prog && unlikely(prog->image->ncallees))
		result = run_caller(prog, h, p, at, part, a);
	else if (prog)
		result = run_prog(prog, h, p, at, part, a);
	store_release(&a->link, 0);
	return result;
}

void trap_run_hook(const struct agent_hook *h, const struct agent_place *p,
		   const struct arch_regs *regs, bool is_return, struct agent_active *a)
{
	struct part part = {.is_return = is_return, .left = is_return ? EBPF_LEFT_RETURNED : 0};

	run_hook(h, p, regs, &part, a);
}

/* There may be room when calls have been left that nobody has looked for yet. */
static __hot bool take_note(u32 *notes, const struct agent_hook *h, u64 cookie)
{
	if (likely(session_note(notes, h, cookie)))
		return true;
	ret_reclaim();
	return session_note(notes, h, cookie);
}

/*
 * A typed program that runs at the exit: the arguments are kept until then. As in run_hook(), who
 * takes the hook away looks at .link. False: it is another one.
 */
static bool keep_arguments(const struct agent_hook *h, const struct arch_regs *regs,
			   struct agent_active *a, u32 *notes)
{
	const struct ebpf_prog *prog;
	bool typed;
	u64 *words;

	store_relaxed(&a->link, h->link);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	prog = load_acquire(&h->prog);
	typed = prog && prog->image->flags & EBPF_IMAGE_AT_EXIT;
	if (typed && !lacks_vectors(prog, 0, a) && take_note(notes, h, 0)) {
		words = session_words(*notes, h);
		if (words)
			ebpf_typed_arguments(prog->image, regs, a->vectors, words);
	} else if (typed) {
		count_missed(h);
	}
	store_release(&a->link, 0);
	return typed;
}

/* The entry of a session's call: is its return wanted, too? Then there is a note of it. */
static void begin_session(const struct agent_hook *h, const struct agent_place *p,
			  const struct arch_regs *regs, struct agent_active *a, u32 *notes)
{
	struct part part = {.is_return = false, .notes = *notes};

	if (keep_arguments(h, regs, a, notes))
		return;
	if (run_hook(h, p, regs, &part, a) == 0 && !take_note(notes, h, part.session_cookie))
		count_missed(h);
}

/* The consumers at a call's entry, or at any other instruction; notes of those that want the
 * return, too. */
static __hot u32 run_entry(const struct agent_place *p, const struct arch_regs *regs,
			   struct agent_active *a)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);
	u32 notes = 0;

	if (load_relaxed(&agent.inert))
		return 0;
	for (u32 i = 0; hooks && i < hooks->n; i++) {
		const struct agent_hook *h = &hooks->v[i];
		struct part part = {.is_return = false, .notes = notes};

		if (h->ret == HOOK_SESSION)
			begin_session(h, p, regs, a, &notes);
		else if (h->ret == HOOK_ENTRY)
			run_hook(h, p, regs, &part, a);
	}
	return notes;
}

/* Is @h run at a return, as all of @when are and the sessions that there are @notes of? */
static bool wants_that_return(const struct agent_hook *h, enum hook_when when, u32 notes,
			      struct part *part)
{
	if (h->ret != HOOK_SESSION)
		return h->ret == when;
	if (!session_find(notes, h, &part->session_cookie))
		return false;
	part->words = session_words(notes, h);
	return true;
}

static __hot void run_return(const struct agent_place *p, const struct arch_regs *regs,
			     enum hook_when when, u32 notes, struct agent_active *a)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);

	if (load_relaxed(&agent.inert))
		return;
	for (u32 i = 0; hooks && i < hooks->n; i++) {
		struct part part = {.is_return = true, .left = EBPF_LEFT_RETURNED, .notes = notes};

		if (wants_that_return(&hooks->v[i], when, notes, &part))
			run_hook(&hooks->v[i], p, regs, &part, a);
	}
}

void trap_run_return(const struct agent_place *p, const struct arch_regs *regs, u32 notes,
		     struct agent_active *a)
{
	run_return(p, regs, HOOK_STUB, notes, a);
}

bool trap_calls(const struct agent_place *p)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);

	for (u32 i = 0; hooks && i < hooks->n; i++) {
		const struct ebpf_prog *prog = load_acquire(&hooks->v[i].prog);

		if (prog && prog->image->flags & EBPF_IMAGE_CALLS)
			return true;
	}
	return false;
}

void trap_missed(const struct agent_place *p, enum hook_when when)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);

	for (u32 i = 0; hooks && i < hooks->n; i++)
		if (hooks->v[i].ret == when)
			count_missed(&hooks->v[i]);
}

void trap_missed_return(const struct agent_place *p, u32 notes)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);
	struct part ignored;

	for (u32 i = 0; hooks && i < hooks->n; i++)
		if (wants_that_return(&hooks->v[i], HOOK_STUB, notes, &ignored))
			count_missed(&hooks->v[i]);
}

/* Of a hit that ended in the program of @link: the return is not seen, or the others behind it. */
static bool is_undone(const struct agent_hook *h, u32 notes, bool is_return, bool behind)
{
	struct part ignored;

	if (is_return)
		return behind && wants_that_return(h, HOOK_STUB, notes, &ignored);
	return behind || h->ret == HOOK_STUB ||
	       (h->ret == HOOK_SESSION && session_find(notes, h, &ignored.session_cookie));
}

void trap_undone(const struct agent_place *p, u32 notes, bool is_return, u64 link)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);
	bool behind = false;

	for (u32 i = 0; hooks && i < hooks->n; i++) {
		if (hooks->v[i].link == link)
			behind = true;
		else if (is_undone(&hooks->v[i], notes, is_return, behind))
			count_missed(&hooks->v[i]);
	}
}

static bool asks_left(const struct agent_hook *h)
{
	const struct ebpf_prog *prog = load_acquire(&h->prog);

	return prog && prog->image->flags & EBPF_IMAGE_ASKS_LEFT;
}

static void hook_left(const struct agent_hook *h, const struct agent_place *p,
		      const struct arch_regs *regs, struct part *part, struct agent_active *a)
{
	struct agent_stat *st = agent_stat_at(h->stat);

	if (st)
		agent_count(&st->left);
	if (!regs || !part->left || load_relaxed(&agent.inert) || !asks_left(h))
		return;
	if (a)
		run_hook(h, p, regs, part, a);
	else
		count_missed(h);
}

void trap_left(const struct agent_place *p, u32 notes, const struct arch_regs *regs, u32 how,
	       struct agent_active *a)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);

	for (u32 i = 0; hooks && i < hooks->n; i++) {
		struct part part = {.is_return = true, .left = how};

		if (wants_that_return(&hooks->v[i], HOOK_STUB, notes, &part))
			hook_left(&hooks->v[i], p, regs, &part, a);
	}
}

static bool wants_return(const struct agent_place *p)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);

	return hooks && hooks->nret && !load_relaxed(&agent.inert);
}

/* --- a return -----------------------------------------------------------------------------------
 */

__hot u64 trap_serve_return(u64 addr, struct arch_regs *regs, struct agent_active *a, u64 *back)
{
	u32 notes;
	const struct agent_place *p = ret_pop(addr, regs, &notes, NULL);
	u64 to = regs->ip;

	if (!p)
		return 0;
	regs->ip = ret_origin(to);
	if (back)
		*back = to;
	if (a)
		run_return(p, regs, HOOK_STUB, notes, a);
	else
		trap_missed_return(p, notes);
	session_forget(notes);
	return to;
}

static __hot bool serve_return(u64 addr, struct arch_regs *regs, struct osl_ucontext *uc,
			       bool settled)
{
	bool nested;
	struct agent_active *a = settled ? active_enter(hit_frame(), &nested) : NULL;
	u64 to;

	if (a)
		active_carry(a, osl_ucontext_vectors(uc));
	to = trap_serve_return(addr, regs, a, NULL);
	if (a)
		active_leave(a);
	if (!to)
		return false;
	agent_count(&agent.stats->hits);
	frame_set_ip(uc, to);
	return true;
}

/* --- a site -------------------------------------------------------------------------------------
 */

__hot void trap_serve(const struct agent_place *p, const struct arch_regs *regs,
		      struct agent_active *a)
{
	u32 notes;

	if (!a) {
		trap_missed(p, HOOK_ENTRY);
		trap_missed(p, HOOK_STUB);
		/* as one: nobody knows whether it wanted the return */
		trap_missed(p, HOOK_SESSION);
		return;
	}
	notes = run_entry(p, regs, a);
	if ((notes || wants_return(p)) && !ret_push(p, regs, notes, NULL)) {
		trap_missed_return(p, notes);
		session_forget(notes);
	}
}

/* Execute the displaced instruction, here or in its slot. */
static void execute(const struct agent_plan *plan, struct arch_regs *regs, siginfo_t *info,
		    struct osl_ucontext *uc, bool *raise)
{
	if (plan->patch.kind == ARCH_PATCH_SLOT) {
		frame_set_ip(uc, plan->patch.slot);
		return;
	}
	if (arch_patch_step(&plan->patch, regs) == 0)
		osl_regs_to_ucontext(regs, uc);
	else
		*raise = fault_raise(&plan->patch, regs, info, uc);
}

/* The loader says that its list of modules is complete again: the daemon wants to look. */
static void modules_changed(void)
{
	struct {
		s32 version;
		void *map;
		u64 brk;
		s32 state;
	} debug;

	if (!agent.dl_debug || osl_read(&debug, (void *)agent.dl_debug, sizeof(debug)))
		return;
	if (debug.state == 0 /* RT_CONSISTENT */ && !load_relaxed(&agent.inert))
		exchange_from_trap(AGENT_MODULES);
}

/* What the unwinder that was entered with @regs does to the calls it passes. */
static u32 unwinds_how(u32 flags, const struct arch_regs *regs)
{
	u64 stop;

	if (flags & AGENT_SITE_ENDS)
		return EBPF_LEFT_THREAD_END;
	if (!(flags & (AGENT_SITE_THROWS | AGENT_SITE_AGAIN)))
		return EBPF_LEFT_RETURNED;
	if (flags & AGENT_SITE_AGAIN && !frame_unwind_stop(regs, &stop) && stop)
		return EBPF_LEFT_THREAD_END;
	return EBPF_LEFT_EXCEPTION;
}

/* The entry or an exit of an unwinder, or a jump that is its end. */
static void serve_unwinder(u32 flags, const struct arch_regs *regs, const struct osl_ucontext *uc,
			   bool settled)
{
	bool nested;
	struct ret_stack at = {
		.sp = uc->sp,
		.alternate = uc->stack_sp,
		.alternate_size = uc->stack_size,
		.how = unwinds_how(flags, regs),
		.regs = regs,
		.active = settled ? active_enter(hit_frame(), &nested) : NULL,
	};

	if (flags & AGENT_SITE_JUMP)
		ret_jump(&at, frame_jump_sp(regs));
	else if (flags & AGENT_SITE_RESUME)
		ret_resume(&at);
	else
		ret_suspend(&at, !(flags & AGENT_SITE_SUSPEND));
	if (at.active)
		active_leave(at.active);
}

/* A return of a function whose return addresses stay as they are: as if it had been executed. */
static void serve_returning(const struct agent_plan *plan, const struct arch_regs *regs,
			    struct osl_ucontext *uc, bool settled)
{
	const struct agent_place *func = site_find(plan->func);
	struct arch_regs after = *regs;
	struct agent_active *a;
	bool nested;

	if (!func || osl_read(&after.ip, (void *)regs->sp, sizeof(u64)))
		return;
	after.sp += sizeof(u64);
	a = settled ? active_enter(hit_frame(), &nested) : NULL;
	if (!a) {
		trap_missed(func, HOOK_RETURN);
		return;
	}
	run_return(func, &after, HOOK_RETURN, 0, a);
	active_leave(a);
}

static void serve_consumers(const struct agent_place *p, struct arch_regs *regs,
			    struct osl_ucontext *uc, bool settled)
{
	bool nested;
	struct agent_active *a = settled ? active_enter(hit_frame(), &nested) : NULL;

	if (a)
		active_carry(a, osl_ucontext_vectors(uc));
	trap_serve(p, regs, a);
	if (a)
		active_leave(a);
}

static void serve_site(const struct agent_place *p, struct arch_regs *regs, siginfo_t *info,
		       struct osl_ucontext *uc, bool settled, bool *raise)
{
	const struct agent_plan *plan = load_acquire(&p->plan);
	bool guards = plan->flags & (AGENT_SITE_SIGMASK | AGENT_SITE_SIGACTION);
	bool served = guards && load_relaxed(&p->hooks);

	agent_count(&agent.stats->hits);
	/* a probe of what is guarded, of execve() say: what is emulated doesn't come by below */
	if (served)
		serve_consumers(p, regs, uc, settled);
	if (guards && sig_emulate(plan, regs, uc)) {
		/* the other threads may have ended since */
		if (unlikely(load_relaxed(&agent.inert)))
			site_restore_all(false);
		osl_regs_to_ucontext(regs, uc);
		return;
	}
	if (plan->flags & AGENT_SITE_SIGMASK && sig_guard_wait(plan, regs))
		osl_regs_to_ucontext(regs, uc);
	if (plan->flags & AGENT_SITE_MODULES)
		modules_changed();
	if (!served)
		serve_consumers(p, regs, uc, settled);
	if (plan->flags & AGENT_SITE_RETURN)
		serve_returning(plan, regs, uc, settled);
	if (plan->flags & (AGENT_SITE_UNWIND | AGENT_SITE_RESUME | AGENT_SITE_JUMP))
		serve_unwinder(plan->flags, regs, uc, settled);
	if (plan->flags & (AGENT_SITE_THROWS | AGENT_SITE_ENDS) && callee_unwinds(p, regs, uc))
		return;
	execute(plan, regs, info, uc, raise);
}

/*
 * A place that is not armed. Late traps start the instruction again; so they do when somebody else
 * left a copy of our byte there (a debugger that removed its own break point), which is served for
 * as long as the rest of the instruction is still the one we know,
 * or of the jump that another thread is about to take away.
 */
static bool serve_dead(const struct agent_place *p, struct arch_regs *regs, siginfo_t *info,
		       struct osl_ucontext *uc, bool *raise)
{
	const struct agent_plan *plan = load_acquire(&p->plan);
	const struct arch_patch *patch = &plan->patch;
	u8 text[ARCH_MAX_INSN];

	if (osl_read(text, (void *)p->addr, patch->len))
		return false;
	if (text[0] == ARCH_BREAK && memcmp(text + 1, patch->insn + 1, patch->len - 1) &&
	    !jump_tail_is(plan, text))
		return false;
	/* what could not be lowered is met again and again */
	if (text[0] == ARCH_BREAK || load_relaxed(&p->jumped))
		execute(plan, regs, info, uc, raise);
	else
		frame_set_ip(uc, p->addr);
	return true;
}

struct hit {
	u64 addr;
	struct arch_regs regs;
	siginfo_t *info;
	struct osl_ucontext *uc;
	bool cramped; /* no stack for programs */
	bool raise;   /* there is a signal in @info for the application, which gets it from its own
			 stack */
	bool served;
};

static bool serve(struct hit *h)
{
	u64 addr = h->addr;
	struct arch_regs *regs = &h->regs;
	siginfo_t *info = h->info;
	struct osl_ucontext *uc = h->uc;
	const struct agent_place *p = NULL;
	bool is_return = ret_is_stub(addr), settled;

	if (!is_return)
		p = site_find(addr);
	if (!is_return && (!p || !load_acquire(&p->plan) || load_acquire(&p->state) == SITE_GONE))
		return false;
	settled = !h->cramped && fork_check();
	if (unlikely(agent_daemon_dead()) && !load_acquire(&agent.inert))
		agent_go_inert(false);
	if (is_return)
		return serve_return(addr, regs, uc, settled);
	regs->ip = addr;
	if (load_acquire(&p->state) != SITE_ARMED)
		return serve_dead(p, regs, info, uc, &h->raise);
	serve_site(p, regs, info, uc, settled, &h->raise);
	return true;
}

/*
 * A break trap that is nobody's, where no break byte was executed: the kernel has moved a thread
 * out of a restartable sequence before it told us, or a debugger passes on the trap of its own
 * break point, from which it has moved the thread back. The thread goes on where it is. Bytes of
 * ours are never met here: their places are known for good.
 */
static bool serve_moved(u64 addr)
{
	u32 signature;
	u8 byte;

	if (osl_read(&byte, (void *)addr, 1) || byte == ARCH_BREAK)
		return false;
	if (osl_read(&signature, (void *)(addr - 3), 4) == 0 && signature == RSEQ_SIGNATURE)
		return true;
	return agent.app[0].handler <= (u64)SIG_IGN; /* SIGTRAP's */
}

/*
 * A debugger that passes on what has stopped its own steps: nobody else causes that, but a program
 * that sets the trap flag itself. It would be the death of a program without a handler.
 */
static bool is_debuggers(const siginfo_t *info, const struct osl_ucontext *uc)
{
	bool step = info->si_code == TRAP_TRACE && !(uc->eflags & FLAGS_TRAP);

	return (step || info->si_code == TRAP_HWBKPT) && agent.app[0].handler <= (u64)SIG_IGN;
}

static __hot void on_hit(void *p)
{
	struct hit *h = p;

	h->served = serve(h) || serve_moved(h->addr);
}

/* What comes in from here on finds no hit any more (defer.c). */
__hot void trap_over(siginfo_t *info, struct osl_ucontext *uc)
{
	store_relaxed(&info->si_errno, TRAP_OVER);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (likely(!heldback_any()))
		return;
	if (sig_close())
		sig_release(uc->sigmask);
	else if (sig_held(info, uc->sigmask))
		sig_chain(info->si_signo, info, uc, false);
}

/* The signal in @info is the application's; what was held back comes in when its handler begins. */
static void raise_after(siginfo_t *info, struct osl_ucontext *uc, bool again)
{
	if (sig_close())
		sig_release(uc->sigmask);
	sig_chain(info->si_signo, info, uc, again);
}

static __hot bool take_hit(u64 addr, siginfo_t *info, struct osl_ucontext *uc)
{
	struct hit h = {.addr = addr, .info = info, .uc = uc};

	osl_regs_from_ucontext(&h.regs, uc);
	heldback_enter();
	if (!stack_call(on_hit, &h, uc)) {
		h.cramped = true;
		on_hit(&h);
	}
	heldback_leave(uc);
	if (h.raise)
		raise_after(info, uc, false);
	else if (h.served)
		trap_over(info, uc);
	return h.served;
}

bool trap_at(siginfo_t *info, struct osl_ucontext *uc)
{
	return take_hit(frame_ip(uc), info, uc);
}

static bool is_own_break(u64 at)
{
	return at == (u64)agent_trap_self_break || at == (u64)agent_let_in ||
	       at == (u64)agent_exec_back;
}

/* A hit by a jump that has to be one by a trap, or what has been kept off it (jump.c, defer.c). */
static bool serve_own(struct osl_ucontext *uc)
{
	u64 at = frame_ip(uc) - ARCH_BREAK_LEN;

	if (at == (u64)agent_trap_self_break) {
		stack_note(uc, uc->sp, true);
		uc->ip += INVALID_LEN;
		uc->ax = stack_call((void (*)(void *))uc->di, (void *)uc->si, uc);
	} else if (at == (u64)agent_let_in) {
		uc->ip += INVALID_LEN;
		defer_let_in(uc);
	} else if (at == (u64)agent_exec_back) {
		exec_failed(uc);
	} else {
		return false;
	}
	return true;
}

/*
 * At @at is a site: has its break been executed, and not been told? Nobody comes to within an
 * instruction otherwise; behind a short one it is to be found out.
 */
static bool untold_site(u64 at, const struct osl_ucontext *uc)
{
	const struct agent_place *p = site_find(at);
	const struct agent_plan *plan = p ? load_acquire(&p->plan) : NULL;
	struct arch_regs regs;
	u8 byte;

	if (!plan || load_acquire(&p->state) == SITE_GONE)
		return false;
	if (plan->patch.len > ARCH_BREAK_LEN)
		return true;
	osl_regs_from_ucontext(&regs, uc);
	return load_acquire(&p->state) == SITE_ARMED && !osl_read(&byte, (void *)at, 1) &&
	       byte == ARCH_BREAK && !arch_patch_done(&plan->patch, &regs);
}

/*
 * One of those inside a jump over several instructions, which stands there now. Who has executed
 * the last of these in the stub goes on right behind it, too.
 */
static bool untold_inner(u64 at, const struct osl_ucontext *uc)
{
	struct arch_regs regs;
	u8 byte;

	if (!jump_inner(at) || osl_read(&byte, (void *)at, 1) || byte != ARCH_BREAK)
		return false;
	osl_regs_from_ucontext(&regs, uc);
	return !jump_inner_done(at, &regs);
}

/* The address of the break right behind which the thread is, and which has not been told; or 0. */
static u64 untold(const struct osl_ucontext *uc)
{
	u64 at = frame_ip(uc) - ARCH_BREAK_LEN;

	if (is_own_break(at))
		return at;
	if (uc->trapno != TRAP_BREAK || !agent.ready)
		return 0;
	return ret_is_break(at) || untold_inner(at, uc) || untold_site(at, uc) ? at : 0;
}

static __noinline void tell(u64 at, siginfo_t *info, struct osl_ucontext *uc)
{
	heldback_put(info, uc);
	info->si_signo = SIGTRAP; /* as it would have been */
	info->si_code = SI_KERNEL;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (likely(!stack_cramped(uc)))
		sig_open();
	if (!serve_own(uc)) {
		if (take_hit(at, info, uc))
			return;
		frame_set_ip(uc, at);
	}
	trap_over(info, uc);
}

bool trap_untold(siginfo_t *info, struct osl_ucontext *uc)
{
	u64 at = untold(uc);

	if (likely(!at))
		return false;
	tell(at, info, uc);
	return true;
}

static void on_sent(siginfo_t *info, struct osl_ucontext *uc)
{
	if (trap_untold(info, uc))
		return;
	sig_close();
	if (agent.stats)
		agent_count(&agent.stats->foreign);
	sig_chain(SIGTRAP, info, uc, false);
}

/* A thread that was behind the site of a jump over several instructions, or comes there. */
static bool go_on_inside(struct osl_ucontext *uc, u64 at)
{
	u64 to = jump_inner(at);

	if (to)
		frame_set_ip(uc, to);
	return to;
}

bool trap_swallowed(const struct osl_ucontext *uc)
{
	u64 at = frame_ip(uc) - ARCH_BREAK_LEN;

	return ret_is_stub(at) || is_own_break(at);
}

__hot void agent_on_trap(int sig, siginfo_t *info, struct osl_ucontext *uc)
{
	u64 at = frame_ip(uc) - ARCH_BREAK_LEN;

	if (info->si_code <= 0) {
		on_sent(info, uc);
		return;
	}
	if (likely(!stack_cramped(uc)))
		sig_open_trap();
	if (info->si_code == SI_KERNEL && serve_own(uc)) {
		trap_over(info, uc);
		return;
	}
	if (info->si_code == SI_KERNEL && unlikely(go_on_inside(uc, at))) {
		trap_over(info, uc);
		return;
	}
	if (info->si_code == SI_KERNEL && unlikely(jump_is_pad(at)) && jump_astray(uc, at) &&
	    trap_at(info, uc))
		return;
	if (info->si_code == SI_KERNEL && agent.ready && take_hit(at, info, uc))
		return;
	if (is_debuggers(info, uc)) {
		trap_over(info, uc);
		return;
	}
	if (agent.stats)
		agent_count(&agent.stats->foreign);
	raise_after(info, uc, info->si_code == SI_KERNEL);
}
