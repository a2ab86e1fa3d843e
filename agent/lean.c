/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hit by a jump, the short way.
 *
 * Model: what a hit costs is instructions, and most of them ask for what is seldom the case. Here
 * all of it is asked at once; when the answer is no, nothing is done, and jump.c serves the hit.
 * What a hit holds is what it holds there: its entry (active.c), a stack of the pool and the lane
 * that goes with it, and signals are put off in the same way (defer.c). The thread must have been
 * served before: then its entry knows its stack, and what is known of its alternate one.
 *
 * The code of each program is called by entry.S, between the functions that say which: these run on
 * the thread's own stack and need next to nothing of it. Registers that a program leaves behind
 * when it is cut short are in the hit's frame.
 *
 * A program that gives the context's address away or lets others run in its place gets a copy of
 * the registers, as ever (trap.c). Sessions, and the statistics of run times, are jump.c's.
 */
#include "agent/agent.h"

_Static_assert(offsetof(struct agent_stack, origin) == 32256, "entry.S: stack_origin");
_Static_assert(offsetof(struct agent_stack, code) == 32256 + 8, "entry.S: stack_code");
_Static_assert(offsetof(struct agent_stack, run) == 32256 + 80, "entry.S: stack_run");

/* The thread's own place, if nobody is there; else NULL. */
static __always_inline bool enter(const struct jump_frame *f, u64 thread, struct agent_active **out)
{
	u64 key = thread | 1, empty = 0;
	struct agent_active *a = &agent_active_slots[active_slot(key)];

	keep_pointer(a);
	*out = NULL;
	if (!__atomic_compare_exchange_n(&a->key, &empty, key, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))
		return false;
	store_relaxed(&a->frame, (u64)f);
	*out = a;
	return true;
}

static __always_inline struct agent_stack *leave(struct agent_active *a)
{
	store_relaxed(&a->open, 0);
	store_relaxed(&a->frame, 0);
	store_release(&a->key, 0);
	return NULL;
}

/* The hit is served the other way; @a: what it has entered, or NULL. */
static __noinline struct agent_stack *otherwise(struct jump_frame *f, struct agent_active *a)
{
	if (a)
		leave(a);
	jump_serve(f);
	return NULL;
}

/* The process is known, its daemon alive, and nobody wants to know how long programs run. */
static __always_inline bool undisturbed(void)
{
	const struct agent *self = &agent;
	const struct osl_life *life = self->life;

	keep_pointer(self);
	return *self->mark == FORK_KNOWN && !self->inert && !(life->alive & OSL_LIFE_OWNER_DIED) &&
	       !life->stats_enabled;
}

/* The stack of the place @a, whose lane is counted in: that stays where it is, seen from here. */
static __always_inline struct agent_stack *stack_of(struct agent_active *a, struct jump_frame *f,
						    u64 thread)
{
	struct agent_lane *lanes = agent.lanes;
	u64 number = a->stack;
	struct agent_stack *s;

	if (unlikely(!lanes || !number || !alternate_unused(a->alternate, (u64)f, thread) ||
		     !undisturbed()))
		return NULL;
	s = &agent_stacks[number - 1];
	keep_pointer(s);
	store_relaxed(&a->open, (u32)(ACTIVE_OPEN | number << ACTIVE_STACK));
	s->origin = (u64)f;
	s->a = a;
	s->lane = &lanes[number - 1];
	s->run.recover[0] = (u64)f;
	f->stack = s;
	arch_count(&s->lane->hits);
	return s;
}

/* --- programs -----------------------------------------------------------------------------------
 */

static __always_inline bool is_lean(const struct ebpf_prog *prog)
{
	return prog->code &&
	       !(prog->image->flags & (EBPF_IMAGE_CTX_ESCAPES | EBPF_IMAGE_TAIL_CALLS));
}

/*
 * As in trap.c: who takes a hook away looks at .link afterwards. False: it is not one of those that
 * entry.S can run, and not run yet.
 */
static __always_inline bool begin_hook(struct agent_stack *s, struct jump_frame *f,
				       const struct agent_hook *h, struct agent_active *a)
{
	const struct ebpf_prog *prog;

	store_relaxed(&a->link, h->link);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	prog = load_acquire(&h->prog);
	s->h = h;
	if (unlikely(!prog || !is_lean(prog)))
		return false;
	ebpf_run_begin(&s->run, prog, &f->regs);
	s->run.cookie = h->cookie;
	s->code = (u64)prog->code;
	a->run = &s->run;
	return true;
}

/* A program that gets a copy of the registers; or none, it has gone. */
static void run_other(void *v)
{
	const struct jump_frame *f = v;
	const struct agent_stack *s = f->stack;

	trap_run_hook(s->h, s->p, &f->regs, s->when != HOOK_ENTRY, s->a);
}

static void clean(struct ebpf_run *run, u32 stat)
{
	struct agent_stat *st = agent_stat_at(stat);

	if (ebpf_run_clean(run) && st)
		agent_count(&st->aborted);
}

/* From @h on, what there is more to do than to run one program. */
static __noinline struct agent_stack *go_on(struct agent_stack *s, struct jump_frame *f,
					    const struct agent_hook *h)
{
	const struct agent_hooks *hooks = s->hooks;

	if (unlikely(!ebpf_run_is_clean(&s->run)))
		clean(&s->run, s->h->stat);
	for (; h < hooks->v + hooks->n; h++) {
		if (h->ret != s->when)
			continue;
		if (begin_hook(s, f, h, s->a))
			return s;
		agent_call_on((u64)&s->origin, run_other, f);
		store_release(&s->a->link, 0);
	}
	if (s->when == HOOK_ENTRY && hooks->nret && !ret_push(s->p, &f->regs, 0, &s->spare))
		trap_missed_return(s->p, 0);
	return leave(s->a);
}

/* --- a hit --------------------------------------------------------------------------------------
 */

/* What a program is told besides the registers. */
static __always_inline void tell(struct ebpf_run *run, bool is_return, s64 retval)
{
	run->kind = is_return ? EBPF_RUN_URETPROBE : EBPF_RUN_UPROBE;
	run->retval = retval;
	run->left = is_return ? EBPF_LEFT_RETURNED : 0;
	run->is_return = is_return;
}

/* @more: there may be others behind the first, or the call's return to be seen to. */
static __always_inline struct agent_stack *
first(struct agent_stack *s, struct jump_frame *f, const struct agent_place *p,
      const struct agent_hooks *hooks, enum hook_when when, bool more, struct agent_active *a)
{
	const struct agent_hook *h = hooks->v;

	s->p = p;
	s->hooks = hooks;
	s->when = when;
	s->more = more;
	s->run.func_ip = p->addr;
	if (likely(h->ret == when && begin_hook(s, f, h, a)))
		return s;
	return go_on(s, f, h);
}

static void run_sessions(void *v)
{
	struct jump_frame *f = v;
	const struct agent_stack *s = f->stack;

	trap_run_return(s->p, &f->regs, s->notes, s->a);
	session_forget(s->notes);
}

static __noinline struct agent_stack *with_sessions(struct agent_stack *s, struct jump_frame *f)
{
	agent_call_on((u64)&s->origin, run_sessions, f);
	return leave(s->a);
}

/* --- for entry.S --------------------------------------------------------------------------------
 */

__hot struct agent_stack *agent_on_jump_back(struct jump_frame *f)
{
	u64 thread = arch_thread_pointer();
	struct agent_active *a;
	struct agent_stack *s = likely(enter(f, thread, &a)) ? stack_of(a, f, thread) : NULL;
	const struct agent_hooks *hooks;
	const struct agent_place *p;

	if (unlikely(!s))
		return otherwise(f, a);
	p = ret_pop(f->regs.ip, &f->regs, &s->notes, &s->spare);
	f->ret = p ? f->regs.ip : (u64)agent_ret_nowhere;
	if (unlikely(!p))
		return leave(a);
	f->regs.ip = ret_origin(f->regs.ip);
	s->p = p;
	hooks = load_acquire(&p->hooks);
	if (unlikely(s->notes || !hooks || !hooks->lean))
		return with_sessions(s, f);
	tell(&s->run, true, (s64)f->regs.ax);
	return first(s, f, p, hooks, HOOK_STUB, hooks->n > 1, a);
}

__hot struct agent_stack *agent_on_jump(struct jump_frame *f)
{
	const struct agent_place *p = site_find(f->regs.ip);
	u64 thread = arch_thread_pointer();
	const struct agent_hooks *hooks;
	struct agent_active *a;
	struct agent_stack *s;

	/* restored since: there is only the instruction to be executed */
	if (unlikely(!p || load_acquire(&p->state) != SITE_ARMED))
		return NULL;
	if (unlikely(!enter(f, thread, &a)))
		return otherwise(f, NULL);
	hooks = load_acquire(&p->hooks);
	s = likely(hooks && hooks->lean) ? stack_of(a, f, thread) : NULL;
	if (unlikely(!s))
		return otherwise(f, a);
	tell(&s->run, false, 0);
	return first(s, f, p, hooks, HOOK_ENTRY, hooks->more, a);
}

__hot struct agent_stack *agent_next_on_jump(struct jump_frame *f)
{
	struct agent_stack *s = f->stack;
	struct agent_active *a = s->a;

	a->run = NULL;
	arch_count(&s->lane->stat[s->h->stat]);
	store_release(&a->link, 0);
	if (unlikely(s->more || !ebpf_run_is_clean(&s->run)))
		return go_on(s, f, s->h + 1);
	return leave(a);
}
