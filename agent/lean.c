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
 * A program that gives the context's address away or lets others run in its place gets a copy of
 * the registers, as ever (trap.c). Sessions, and the statistics of run times, are jump.c's.
 */
#include "agent/agent.h"

/* What a hit has for itself. */
struct lean {
	struct agent_active *a;
	struct agent_stack *stack;
	struct agent_lane *lane;
	const struct agent_place *p;
	struct arch_regs *regs;
};

/* The thread's own place, if nobody is there. */
static __always_inline struct agent_active *enter(const struct jump_frame *f, u64 thread)
{
	u64 key = thread | 1, empty = 0;
	struct agent_active *a = &agent_active_slots[active_slot(key)];

	if (!__atomic_compare_exchange_n(&a->key, &empty, key, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))
		return NULL;
	store_relaxed(&a->frame, (u64)f);
	return a;
}

static __always_inline void leave(struct agent_active *a)
{
	store_relaxed(&a->open, 0);
	store_relaxed(&a->frame, 0);
	store_release(&a->key, 0);
}

static __always_inline bool undisturbed(const struct agent_active *a, u64 sp, u64 thread)
{
	return a->stack && alternate_unused(a->alternate, sp, thread) &&
	       load_acquire(agent.mark) == FORK_KNOWN && !load_relaxed(&agent.inert) &&
	       !agent_daemon_dead() && !READ_ONCE(agent.life->stats_enabled);
}

/* --- programs -----------------------------------------------------------------------------------
 */

static __always_inline bool is_lean(const struct ebpf_prog *prog, const struct agent_hook *h)
{
	return prog->code && h->stat < AGENT_LANE_STATS &&
	       !(prog->image->flags & (EBPF_IMAGE_CTX_ESCAPES | EBPF_IMAGE_TAIL_CALLS));
}

static __noinline void clean(struct ebpf_run *run, u32 stat)
{
	struct agent_stat *st = agent_stat_at(stat);

	if (ebpf_run_clean(run) && st)
		agent_count(&st->aborted);
}

static __always_inline void run(const struct lean *l, const struct agent_hook *h,
				const struct ebpf_prog *prog)
{
	struct ebpf_run *run = &l->stack->run;

	ebpf_run_begin(run, prog, l->regs);
	run->kind = EBPF_RUN_UPROBE;
	run->cookie = h->cookie;
	run->func_ip = l->p->addr;
	l->a->run = run;
	arch_call_on((u64)&l->stack->origin, (u64)prog->code, l->regs, run, run->recover);
	l->a->run = NULL;
	arch_count(&l->lane->stat[h->stat]);
	if (unlikely(!ebpf_run_is_clean(run)))
		clean(run, h->stat);
}

struct other {
	const struct lean *l;
	const struct agent_hook *h;
};

static void run_other(void *v)
{
	const struct other *o = v;

	trap_run_hook(o->h, o->l->p, o->l->regs, o->l->a);
}

/* As in trap.c: who takes a hook away looks at .link afterwards. */
static __always_inline void run_hook(const struct lean *l, const struct agent_hook *h)
{
	const struct ebpf_prog *prog;

	store_relaxed(&l->a->link, h->link);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	prog = load_acquire(&h->prog);
	if (likely(prog && is_lean(prog, h)))
		run(l, h, prog);
	else if (prog)
		agent_call_on((u64)&l->stack->origin, run_other, &(struct other){l, h});
	store_release(&l->a->link, 0);
}

/* --- the hit ------------------------------------------------------------------------------------
 */

static __always_inline void serve(const struct lean *l, const struct agent_hooks *hooks)
{
	const struct agent_hook *end = hooks->v + hooks->n;

	arch_count(&l->lane->hits);
	for (const struct agent_hook *h = hooks->v; h < end; h++)
		if (h->ret == HOOK_ENTRY)
			run_hook(l, h);
	if (hooks->nret && !ret_push(l->p, l->regs, 0))
		trap_missed_return(l->p, 0);
}

/* The lanes stay where they are once they are seen from within a hit. */
static __always_inline bool serve_lean(const struct agent_place *p, struct jump_frame *f,
				       u64 thread, struct agent_active *a)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);
	struct agent_lane *lanes = load_acquire(&agent.lanes);
	struct lean l = {.a = a, .p = p, .regs = &f->regs};
	u32 stack = a->stack;

	if (unlikely(!hooks || hooks->nsessions || !lanes || !undisturbed(a, (u64)f, thread)))
		return false;
	l.stack = &agent_stacks[stack - 1];
	l.lane = &lanes[stack - 1];
	store_release(&a->open, ACTIVE_OPEN | stack << ACTIVE_STACK);
	store_relaxed(&l.stack->origin, (u64)f);
	serve(&l, hooks);
	return true;
}

__hot bool lean_hit(const struct agent_place *p, struct jump_frame *f, u64 thread)
{
	struct agent_active *a = enter(f, thread);
	bool served;

	if (unlikely(!a))
		return false;
	served = serve_lean(p, f, thread, a);
	leave(a);
	return served;
}
