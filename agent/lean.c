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
 * Most hits on a stack are at the place that the one before was at. What was found out and told to
 * the program then is still there, and a count (*agent.changes) says whether it is still true: of
 * all that can't be asked at once it counts the changes. A hit at a call's entry for which it is
 * true, with one program and nothing else to be done, is served by entry.S alone. Of a program that
 * calls functions of the target nothing is remembered.
 *
 * The code of each program is called by entry.S, between the functions that say which: these run on
 * the thread's own stack and need next to nothing of it. Registers that a program leaves behind
 * when it is cut short are in the hit's frame.
 *
 * A program that gives the context's address away or lets others run in its place gets a copy of
 * the registers, as ever (trap.c), and a typed one the words of the call. Sessions, and the
 * statistics of run times, are jump.c's.
 */
#include "agent/instance.h"

#define ASSERT_AT(what, field, at)                                                                 \
	_Static_assert(offsetof(struct what, field) == (at), "entry.S: " #field)
ASSERT_AT(agent_stack, origin, 32256);
ASSERT_AT(agent_stack, code, 32256 + 8);
ASSERT_AT(agent_stack, a, 32256 + 16);
ASSERT_AT(agent_stack, lane, 32256 + 24);
ASSERT_AT(agent_stack, changes, 32256 + 80);
ASSERT_AT(agent_stack, link, 32256 + 88);
ASSERT_AT(agent_stack, at, 32256 + 96);
ASSERT_AT(agent_stack, counter, 32256 + 104);
ASSERT_AT(agent_stack, key, 32256 + 112);
ASSERT_AT(agent_stack, alternate, 32256 + 120);
ASSERT_AT(agent_stack, more, 32256 + 60);
ASSERT_AT(agent_stack, run, 32256 + 160);
ASSERT_AT(agent_stack, frame, 32256 + 160 + 296);
ASSERT_AT(agent_lane, hits, 0);
ASSERT_AT(agent_alternate, at, 8);
ASSERT_AT(agent_alternate, size, 16);
ASSERT_AT(agent_active, key, 0);
ASSERT_AT(agent_active, frame, 8);
ASSERT_AT(agent_active, link, 24);
ASSERT_AT(agent_active, ready, 48);
ASSERT_AT(agent, changes, 56);
ASSERT_AT(agent, life, 136);
ASSERT_AT(osl_life, alive, 0);
ASSERT_AT(osl_life, stats_enabled, 4);
ASSERT_AT(ebpf_run, ctx, 40);
ASSERT_AT(ebpf_run, recover, 88);
ASSERT_AT(ebpf_run, aborted, 152);
ASSERT_AT(ebpf_run, nresv, 156);
ASSERT_AT(ebpf_run, may_goto, 224);
ASSERT_AT(ebpf_run, lock, 232);
ASSERT_AT(ebpf_run, drain.map, 256);
_Static_assert(ARCH_STUB_BACK - ARCH_STUB_HEAD == 4, "entry.S: stub_next");
_Static_assert(RAISED == 8 * 4096 && CALL_BEFORE == 4, "entry.S: raised");
_Static_assert(EBPF_MAX_LOOPS == 0x800000, "entry.S: max_loops");
_Static_assert(ACTIVE_SLOTS == 1024, "entry.S: active_slots");

/* .open and .run stay: they are looked at where there is a frame and a link. */
static __always_inline struct agent_stack *leave(struct agent_active *a)
{
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

/* For entry.S: a hit of this thread may go to @s without further ado. */
static __noinline void make_ready(struct agent_active *a, struct agent_stack *s, u32 open,
				  u64 thread)
{
	store_relaxed(&a->open, open);
	a->run = &s->run;
	s->key = thread | 1;
	s->alternate = a->alternate;
	a->ready = s;
}

/* The stack of the place @a, if nothing is in the way; its lane stays where it is, seen from here.
 */
static __always_inline struct agent_stack *stack_of(struct agent_active *a, struct jump_frame *f,
						    u64 thread)
{
	u32 number = a->stack, open = ACTIVE_OPEN | number << ACTIVE_STACK;
	struct agent_lane *lanes = agent.lanes;
	struct agent_stack *s;

	if (unlikely(!lanes || !number || !alternate_unused(a->alternate, (u64)f, thread) ||
		     !undisturbed()))
		return NULL;
	s = &agent_stacks[number - 1];
	keep_pointer(s);
	if (unlikely(s->lane != &lanes[number - 1]))
		s->lane = &lanes[number - 1];
	if (unlikely(a->ready != s))
		make_ready(a, s, open, thread);
	store_release(&a->frame, (u64)f);
	s->origin = (u64)f;
	f->stack = s;
	return s;
}

/*
 * Is what was found out for the last hit on @s true of this return? What may have changed since has
 * been counted before anybody looks whether it is in use; who does, finds the hit, and its .link.
 */
static __always_inline bool as_before(const struct agent_stack *s, const struct agent_place *p,
				      struct agent_active *a)
{
	store_relaxed(&a->link, s->link);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return s->was == p && s->when == HOOK_STUB && s->changes == load_acquire(agent.changes);
}

static __always_inline struct agent_stack *again(struct agent_stack *s, struct jump_frame *f,
						 struct agent_active *a)
{
	struct ebpf_run *run = &s->run;

	if (unlikely(a->run != run))
		a->run = run;
	if (unlikely(run->ctx != &f->regs)) {
		run->ctx = &f->regs;
		run->recover[0] = (u64)f;
	}
	if (unlikely(run->may_goto != EBPF_MAX_LOOPS))
		run->may_goto = EBPF_MAX_LOOPS;
	arch_count(&s->lane->hits);
	return s;
}

/* --- programs -----------------------------------------------------------------------------------
 */

static __always_inline bool is_lean(const struct ebpf_prog *prog)
{
	return prog->code &&
	       !(prog->image->flags & (EBPF_IMAGE_CTX_ESCAPES | EBPF_IMAGE_TAIL_CALLS |
				       EBPF_IMAGE_TYPED | EBPF_IMAGE_VECTORS));
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
	s->run.recover[0] = (u64)f;
	s->run.cookie = h->cookie;
	s->code = (u64)prog->code;
	s->counter = &s->lane->stat[h->stat];
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

/* For entry.S, and nobody else looks at it any more. */
static __always_inline void go_by(struct jump_frame *f, u64 call)
{
	if (likely(call != RET_UNPAIRED))
		f->regs.ss = call;
}

static void push_return(struct agent_stack *s, struct jump_frame *f, const struct agent_place *p)
{
	u64 call = ret_push(p, &f->regs, 0, &s->spare);

	if (unlikely(!call))
		trap_missed_return(p, 0);
	else if (likely(f->ret != (u64)agent_end_above)) /* else it doesn't go on in the stub */
		go_by(f, call);
}

static void forget(struct agent_stack *s)
{
	s->was = NULL;
	s->at = 0;
}

/* From @h on, what there is more to do than to run one program. */
static __noinline struct agent_stack *go_on(struct agent_stack *s, struct jump_frame *f,
					    const struct agent_hook *h)
{
	const struct agent_hooks *hooks = s->hooks;

	forget(s);
	if (unlikely(!ebpf_run_is_clean(&s->run)))
		clean(&s->run, s->h->stat);
	for (; h < hooks->v + hooks->n; h++) {
		if (h->ret != s->when)
			continue;
		if (begin_hook(s, f, h, s->a))
			return s;
		s->a->vectors = jump_vectors(f);
		agent_call_on((u64)&s->origin, run_other, f);
		s->a->vectors = NULL;
		store_release(&s->a->link, 0);
	}
	if (s->when == HOOK_ENTRY && hooks->nret)
		push_return(s, f, s->p);
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

/* What it calls may never come back: the run is ended by others then, as it is (active.c). */
static __always_inline bool prog_calls(const struct ebpf_prog *prog)
{
	return prog->image->ncallees;
}

/* @more: there may be others behind the first, or the call's return to be seen to. */
static __always_inline struct agent_stack *first(struct agent_stack *s, struct jump_frame *f,
						 const struct agent_place *p,
						 const struct agent_hooks *hooks,
						 enum hook_when when, bool more, u64 changes)
{
	const struct agent_hook *h = hooks->v;

	s->p = p;
	s->hooks = hooks;
	s->when = when;
	s->more = more;
	s->run.func_ip = p->addr;
	if (unlikely(h->ret != when || !begin_hook(s, f, h, s->a)))
		return go_on(s, f, h);
	s->was = more || prog_calls(s->run.prog) ? NULL : p;
	s->at = s->was && when == HOOK_ENTRY ? p->addr : 0;
	s->link = h->link;
	s->changes = changes;
	return s;
}

static __noinline struct agent_stack *entry_anew(struct agent_stack *s, struct jump_frame *f,
						 const struct agent_place *p,
						 struct agent_active *a, u64 changes)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);

	if (unlikely(!hooks || !hooks->lean))
		return otherwise(f, a);
	arch_count(&s->lane->hits);
	if (hooks->nret == hooks->n) {
		s->push_at = p->addr;
		s->push_place = p;
		s->push_changes = changes;
		push_return(s, f, p);
		return leave(a);
	}
	tell(&s->run, false, 0);
	return first(s, f, p, hooks, HOOK_ENTRY, hooks->more, changes);
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
	s->a->vectors = jump_vectors(f);
	agent_call_on((u64)&s->origin, run_sessions, f);
	s->a->vectors = NULL;
	return leave(s->a);
}

static __noinline struct agent_stack *return_anew(struct agent_stack *s, struct jump_frame *f,
						  const struct agent_place *p,
						  struct agent_active *a, u64 changes)
{
	const struct agent_hooks *hooks = load_acquire(&p->hooks);

	store_release(&a->link, 0);
	arch_count(&s->lane->hits);
	forget(s);
	s->p = p;
	if (unlikely(s->notes || !hooks || !hooks->lean))
		return with_sessions(s, f);
	tell(&s->run, true, (s64)f->regs.ax);
	return first(s, f, p, hooks, HOOK_STUB, hooks->n > 1, changes);
}

/* --- for entry.S --------------------------------------------------------------------------------
 */

/* The true return address, for what is behind the stub's call. */
static __always_inline void put_back(struct jump_frame *f, bool paired)
{
	*(u64 *)(f->regs.sp - sizeof(u64)) = f->regs.ip;
	if (likely(paired))
		f->distance = RET_DISTANCE_PAIRED;
}

/* The return to a stub, on @s, where nothing is in the way. */
static __always_inline struct agent_stack *come_back(struct agent_stack *s, struct jump_frame *f,
						     struct agent_active *a, u64 changes)
{
	u64 stub = f->regs.ip;
	bool paired = ret_paired(stub);
	const struct agent_place *p = ret_pop_spare(stub, f->regs.sp, &f->regs.ip, &s->spare);

	s->notes = 0;
	if (unlikely(!p))
		p = ret_pop(stub, &f->regs, &s->notes, &s->spare);
	if (unlikely(!p)) {
		f->ret = (u64)agent_ret_nowhere;
		arch_count(&s->lane->hits);
		return leave(a);
	}
	put_back(f, paired);
	if (unlikely(ret_is_stub(f->regs.ip)))
		f->regs.ip = ret_origin(f->regs.ip);
	if (likely(as_before(s, p, a) && !s->notes)) {
		s->run.retval = (s64)f->regs.ax;
		return again(s, f, a);
	}
	return return_anew(s, f, p, a, changes);
}

/* @a: this thread's place, which it has entered, or NULL. */
__hot struct agent_stack *agent_on_jump(struct jump_frame *f, struct agent_active *a)
{
	bool is_return = ret_is_stub(f->regs.ip);
	const struct agent_place *p;
	struct agent_stack *s;
	u64 changes;

	if (unlikely(!a))
		return otherwise(f, NULL);
	store_release(&a->link, 0);
	changes = load_acquire(agent.changes); /* before all that is remembered */
	p = is_return ? NULL : site_find(f->regs.ip);
	/* restored since: there is only the instruction to be executed */
	if (!is_return && unlikely(!p || load_acquire(&p->state) != SITE_ARMED))
		return leave(a);
	s = stack_of(a, f, arch_thread_self());
	if (unlikely(!s))
		return otherwise(f, a);
	s->checked = changes;
	return is_return ? come_back(s, f, a, changes) : entry_anew(s, f, p, a, changes);
}

static __noinline struct agent_stack *come_back_anew(struct agent_stack *s, struct jump_frame *f,
						     u64 changes)
{
	return come_back(s, f, s->a, changes);
}

/* To the place that the last return on @s was at, as most do. */
static __always_inline struct agent_stack *back_again(struct agent_stack *s, struct jump_frame *f,
						      u64 changes)
{
	u64 stub = f->regs.ip;
	bool paired = ret_paired(stub);
	const struct agent_place *p = ret_pop_spare(stub, f->regs.sp, &f->regs.ip, &s->spare);

	if (unlikely(!p))
		return come_back_anew(s, f, changes);
	put_back(f, paired);
	if (unlikely(!as_before(s, p, s->a) || ret_is_stub(f->regs.ip))) {
		f->regs.ip = ret_origin(f->regs.ip);
		s->notes = 0;
		return return_anew(s, f, p, s->a, changes);
	}
	s->run.retval = (s64)f->regs.ax;
	return again(s, f, s->a);
}

static __noinline struct agent_stack *site_again(struct agent_stack *s, struct jump_frame *f,
						 u64 changes)
{
	const struct agent_place *p = site_find(f->regs.ip);

	if (unlikely(!p || load_acquire(&p->state) != SITE_ARMED))
		return leave(s->a);
	return entry_anew(s, f, p, s->a, changes);
}

/* In a child that nobody knows yet the count is 0. */
__hot struct agent_stack *agent_again_on_jump(struct jump_frame *f, struct agent_stack *s)
{
	u64 changes = load_acquire(agent.changes), call;

	if (unlikely(!changes || changes != s->checked))
		return agent_on_jump(f, s->a);
	s->origin = (u64)f;
	f->stack = s;
	if (ret_is_stub(f->regs.ip))
		return back_again(s, f, changes);
	if (unlikely(f->regs.ip != s->push_at || changes != s->push_changes))
		return site_again(s, f, changes);
	call = ret_push_spare(s->push_place, f->regs.sp, s->key & ~1ull, &s->spare);
	if (unlikely(!call))
		return site_again(s, f, changes);
	go_by(f, call);
	arch_count(&s->lane->hits);
	return leave(s->a);
}

__hot struct agent_stack *agent_next_on_jump(struct jump_frame *f, struct agent_stack *s)
{
	struct agent_active *a = s->a;

	arch_count(&s->lane->stat[s->h->stat]);
	store_release(&a->link, 0);
	if (unlikely(s->more || !ebpf_run_is_clean(&s->run)))
		return go_on(s, f, s->h + 1);
	return leave(a);
}
