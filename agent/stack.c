/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stacks that hits run on.
 *
 * Model: a trap comes on the thread's alternate signal stack, or, when it has none, on whatever the
 * thread runs on: 8 KB are common for the one, a coroutine's 4 KB for the other. The kernel's frame
 * has to fit there; what we need is more than that, and a program's wrong pointer is another frame.
 * So a hit is served on a stack of a pool, and what the application has to hold is the frame and a
 * few hundred bytes. On an alternate stack that has room for all of it a hit stays: while the
 * kernel takes that stack to be in use it must not be left, unless another is set meanwhile, which
 * is two system calls.
 *
 * A hit within a hit goes on below it. When all are in use the thread's own stack has to do; where
 * that is known to be too small the programs are missed. Where another one is set SIGTRAP is open
 * only meanwhile: one that somebody sends must not come in on top of the hit's frame, for which an
 * application need not have room, as it gets one at a time.
 *
 * To take one is an atomic operation, and so is to enter a hit (active.c). A hit by a jump does
 * with the one: the stack it took stays with the place it was entered at, and is whose that place
 * is, by and by, until somebody needs a stack and finds the place empty. Each stack has a lane of
 * the statistics, where whoever is on it counts without an atomic operation.
 *
 * A hit by a jump has no frame of the kernel's that says whether the alternate stack is in use. So
 * it is known of each thread where it may be: nowhere at first, since a trap said so, then where a
 * handler has been seen to run on it. Threads of which nothing is known, and those that are there,
 * trap for their hit. Handlers that begin are seen because they are called through ours (defer.c).
 */
#include "agent/agent.h"

#define STACKS AGENT_LANES /* each of NEED, and two frames with the largest state */
#define NEED 12288u	   /* for a hit with its programs at their deepest, beside the frames */
#define HANDLER 1024u	   /* for a handler of ours */

#define DISARMED (1u << 31) /* SS_AUTODISARM: not in use while its handlers run */

/* of the extended state in the frame: what the kernel says of it */
#define STATE_MAGIC 0x46505853u
#define STATE_MAGIC_AT 464
#define STATE_SIZE_AT 468
#define STATE_LEGACY 512u
#define STATE_MAX (1u << 20)
#define FRAME_REST 256u /* red zone, alignment, return address */

struct agent_stack agent_stacks[STACKS];
static u32 lanes_used; /* those above have counted nothing yet */

/* Of a stack; a line for each, as traps write there at every hit. */
static struct note {
	u32 taken; /* 0: free, TAKEN, or OF_PLACE + the place that it stays with */
} __cacheline_aligned notes[STACKS];

#define TAKEN 1u
#define OF_PLACE 2u

#define THREADS 1024u
#define WINDOW 16u

static struct agent_alternate alternates[THREADS];

/* What is called there is on this stack. */
static u64 top_of(s32 i)
{
	return (u64)agent_stacks[i].room + sizeof(agent_stacks[i].room);
}

u64 stack_origin(u64 sp)
{
	s32 i = stack_index(sp);

	return i >= 0 ? load_relaxed(&agent_stacks[i].origin) : sp;
}

static u32 state_word(const struct osl_ucontext *uc, u32 at)
{
	return *(const u32 *)(uc->fpstate + at);
}

/* Bytes that the kernel takes from a stack for a signal, as it did for this one. */
static u64 frame_size(const struct osl_ucontext *uc)
{
	u32 size = STATE_LEGACY;

	if (uc->fpstate && state_word(uc, STATE_MAGIC_AT) == STATE_MAGIC)
		size = MIN(MAX(state_word(uc, STATE_SIZE_AT), STATE_LEGACY), STATE_MAX);
	return uc->fpstate - (u64)uc + size + FRAME_REST;
}

static u32 hash_of(u64 thread)
{
	return hash_quick(thread);
}

void stack_lanes(void)
{
	u64 used = load_relaxed(&lanes_used), n = load_relaxed(&agent.stats->lanes);

	while (n < used && !__atomic_compare_exchange_n(&agent.stats->lanes, &n, used, false,
							__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

/* Whoever is on stack @i may count. */
static void use_lane(u32 i)
{
	u32 n = load_relaxed(&lanes_used);

	while (n <= i && !__atomic_compare_exchange_n(&lanes_used, &n, i + 1, false,
						      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	if (agent.stats)
		stack_lanes();
}

static s32 take_free(void)
{
	for (u32 i = 0; i < STACKS; i++) {
		u32 free = 0;

		if (!load_relaxed(&notes[i].taken) &&
		    __atomic_compare_exchange_n(&notes[i].taken, &free, TAKEN, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return (s32)i;
	}
	return -1;
}

/* One that stays with a place where nobody is. */
static s32 take_idle(void)
{
	for (u32 i = 0; i < STACKS; i++) {
		u32 of = load_relaxed(&notes[i].taken);

		if (of < OF_PLACE || !active_unbind(of - OF_PLACE, (s32)i))
			continue;
		store_release(&notes[i].taken, TAKEN);
		return (s32)i;
	}
	return -1;
}

static s32 take(void)
{
	s32 i = take_free();

	if (i < 0)
		i = take_idle();
	if (unlikely(i < 0)) {
		active_bury(true);
		i = take_idle();
	}
	if (unlikely(i >= (s32)load_relaxed(&lanes_used)))
		use_lane((u32)i);
	return i;
}

/* The one of the place @a, where we are. */
static s32 take_with(struct agent_active *a)
{
	u32 index;
	s32 i;

	if (likely(a->stack))
		return (s32)a->stack - 1;
	i = take();
	if (i >= 0 && active_index(a, &index)) {
		ebpf_run_prepare(&agent_stacks[i].run);
		agent_stacks[i].run.env = &agent.env;
		agent_stacks[i].run.recover[1] = (u64)agent_jump_cut;
		agent_stacks[i].was = NULL;
		agent_stacks[i].at = agent_stacks[i].push_at = agent_stacks[i].checked = 0;
		agent_stacks[i].a = a;
		a->stack = (u32)i + 1;
		store_release(&notes[i].taken, OF_PLACE + index);
	}
	return i;
}

static long set_alternate(u64 sp, u64 size)
{
	struct {
		u64 sp;
		u32 flags, pad;
		u64 size;
	} to = {sp, 0, 0, size};

	return SYS6(__NR_sigaltstack, &to, NULL, 0, 0, 0, 0);
}

struct beside {
	void (*fn)(void *hit);
	void *hit;
	u64 stack;
	bool called;
};

/* Not from the stack that is to be replaced, says the kernel. */
static void beside(void *p)
{
	struct beside *b = p;
	u64 mask;

	b->called = set_alternate(b->stack, sizeof(agent_stacks[0].room)) == 0;
	if (!b->called)
		return;
	mask = sig_open_beside();
	b->fn(b->hit);
	sig_close_beside(mask);
}

static bool call_beside_alternate(s32 i, void (*fn)(void *hit), void *hit,
				  const struct osl_ucontext *uc)
{
	struct beside b = {fn, hit, (u64)agent_stacks[i].room, false};

	agent_call_on(top_of(i), beside, &b);
	if (b.called)
		set_alternate(uc->stack_sp, uc->stack_size);
	return b.called;
}

/* --- which is in use ----------------------------------------------------------------------------
 */

static bool alternate_in_use(u64 sp, const struct osl_ucontext *uc)
{
	return sp - uc->stack_sp < uc->stack_size && !(uc->stack_flags & DISARMED);
}

/* The place of this thread, which is made; NULL: there is none. */
static struct agent_alternate *alternate_of(u64 thread)
{
	u64 key = alternate_key(thread);
	u32 start = hash_of(thread);

	for (u32 i = 0; i < WINDOW; i++) {
		struct agent_alternate *a = &alternates[(start + i) % THREADS];
		u64 empty = 0;

		if ((load_relaxed(&a->key) & ~(u64)ALTERNATE_KNOWN) == key ||
		    (!load_relaxed(&a->key) &&
		     __atomic_compare_exchange_n(&a->key, &empty, key, false, __ATOMIC_RELAXED,
						 __ATOMIC_RELAXED)))
			return a;
	}
	return NULL;
}

void stack_note(const struct osl_ucontext *uc, u64 sp, bool trapped)
{
	bool in_use = alternate_in_use(sp, uc);
	struct agent_alternate *a = in_use || trapped ? alternate_of(arch_thread_pointer()) : NULL;

	if (!a)
		return;
	a->at = uc->stack_sp;
	a->size = in_use ? uc->stack_size : 0;
	store_release(&a->key, alternate_key(arch_thread_pointer()) | ALTERNATE_KNOWN);
}

const struct agent_alternate *stack_alternate(u64 thread)
{
	return alternate_of(thread);
}

/* From @here on there is no room for a hit on the alternate stack that is in use. */
static __always_inline bool is_cramped(u64 here, const struct osl_ucontext *uc)
{
	return alternate_in_use(here, uc) && here - uc->stack_sp < frame_size(uc) + NEED;
}

bool stack_cramped(const struct osl_ucontext *uc)
{
	u64 here = (u64)__builtin_frame_address(0);

	return stack_index(here) < 0 && is_cramped(here, uc);
}

bool stack_full(u64 sp, const struct osl_ucontext *uc)
{
	u64 room = sp - uc->stack_sp;

	return room < uc->stack_size && room < frame_size(uc) + HANDLER;
}

__hot bool stack_call(void (*fn)(void *hit), void *hit, const struct osl_ucontext *uc)
{
	u64 here = (u64)__builtin_frame_address(0);
	bool in_use = alternate_in_use(here, uc);
	bool called = true;
	s32 i;

	if (stack_index(here) >= 0 || (in_use && !is_cramped(here, uc))) {
		fn(hit);
		return true;
	}
	i = take();
	if (i < 0 && in_use)
		return false;
	if (i >= 0) {
		store_relaxed(&agent_stacks[i].origin, here);
		agent_stacks[i].frame = 0;
	}
	if (i < 0)
		fn(hit);
	else if (in_use)
		called = call_beside_alternate(i, fn, hit, uc);
	else
		agent_call_on(top_of(i), fn, hit);
	if (i >= 0)
		store_release(&notes[i].taken, 0);
	return called;
}

__hot void stack_call_open(void (*fn)(void *hit), void *hit, struct agent_active *a)
{
	s32 i = take_with(a);

	if (i < 0) {
		fn(hit);
		return;
	}
	active_moves(a, i);
	store_relaxed(&agent_stacks[i].origin, (u64)__builtin_frame_address(0));
	agent_stacks[i].frame = a->frame;
	agent_call_on(top_of(i), fn, hit);
	if (unlikely(a->stack != (u32)i + 1))
		store_release(&notes[i].taken, 0);
}

/* In a forked child: nobody else is in a hit. */
void stack_reset(void)
{
	s32 own = stack_index((u64)__builtin_frame_address(0));

	for (u32 i = 0; i < STACKS; i++)
		notes[i].taken = (s32)i == own ? TAKEN : 0;
}

/* It stays with its place, as it did in the parent, or goes back at the end of the hit. */
void stack_keep(u32 number, u32 of_place, u32 place)
{
	if (number <= STACKS)
		notes[number - 1].taken = number == of_place ? OF_PLACE + place : TAKEN;
}
