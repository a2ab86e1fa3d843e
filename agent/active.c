/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which threads are in a hit.
 *
 * Model: a table keyed by thread pointer, open addressing in a fixed window. A thread writes only
 * its own entry, so nothing is contended but cache lines. While no entry lies elsewhere than at the
 * start of its window, which is counted, only that one is looked at. A second hit is *nested* when
 * its frame lies just below the frame of the first on the same stack: the thread pointer alone
 * would not do for threads that were cloned without one. Threads that find the window full are
 * counted instead, so that active_quiet() never lies.
 *
 * A hit by a jump is *open*: signals arrive in it. What their handlers hit is not nested, and has
 * an entry of its own. Should a handler leave by longjmp, and the entry with it (defer.c sees
 * to it that it doesn't): the hit's frame begins with a mark, and once that is overwritten the
 * entry is nobody's. Nor is that of a thread which has ended in a call of a program's (callee.c)
 * without a word: who needs a stack, and each exchange, asks the kernel for such threads.
 */
#include <errno.h>

#include "agent/agent.h"

#define ACTIVE_WINDOW 32u
#define KEY_NONE 2		/* of no thread */
#define ACTIVE_REACH (1u << 20) /* nested frames are nearer than this */

#define slots agent_active_slots
struct agent_active agent_active_slots[ACTIVE_SLOTS];
static u32 displaced;		     /* entries that are not where their window starts */
static struct agent_active overflow; /* .key counts the threads that found no place; its .run and
					.link are anybody's and never looked at */

/* How far above @frame that of @a is; as far as can be when it is not what @frame is within. */
static u64 distance(const struct agent_active *a, u64 frame)
{
	u64 outer = load_relaxed(&a->frame), on = load_relaxed(&a->open) >> ACTIVE_STACK;
	s32 stack = stack_index(frame);

	if (on && (s32)on - 1 == stack)
		return ACTIVE_REACH - 1; /* all of that stack is this hit's */
	return stack_index(outer) == stack ? outer - frame : ACTIVE_REACH;
}

/* The innermost of them: the nearest frame above @frame. */
static struct agent_active *find(u64 key, u64 frame)
{
	u32 start = active_slot(key);
	u32 window = load_relaxed(&displaced) ? ACTIVE_WINDOW : 1; /* its own it counted itself */
	struct agent_active *found = NULL;
	u64 nearest = ACTIVE_REACH;

	for (u32 i = 0; i < window; i++) {
		struct agent_active *a = &slots[(start + i) % ACTIVE_SLOTS];
		u64 far = distance(a, frame);

		if (load_relaxed(&a->key) == key && far < nearest) {
			nearest = far;
			found = a;
		}
	}
	return found;
}

static u64 own_key(void)
{
	return arch_thread_pointer() | 1;
}

bool active_index(const struct agent_active *a, u32 *index)
{
	if (a == &overflow)
		return false;
	*index = (u32)(a - slots);
	return true;
}

/* As if somebody else were in there for a moment. */
bool active_unbind(u32 index, s32 stack)
{
	struct agent_active *a = &slots[index % ACTIVE_SLOTS];
	u64 empty = 0;
	bool had;

	if (!__atomic_compare_exchange_n(&a->key, &empty, KEY_NONE, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))
		return false;
	had = a->stack == (u32)stack + 1;
	if (had) {
		a->stack = 0;
		a->ready = NULL;
	}
	store_release(&a->key, 0);
	return had;
}

struct agent_active *active_here(u64 frame)
{
	return find(own_key(), frame);
}

/* An open hit that was left for good: its frame has been used for something else. */
static bool abandoned(const struct agent_active *a)
{
	u64 frame = load_relaxed(&a->frame), mark;

	return load_relaxed(&a->open) && frame &&
	       (osl_read(&mark, (void *)frame, sizeof(mark)) || mark != frame + JUMP_MARK);
}

static void release(struct agent_active *a, u64 key)
{
	a->calling = 0;
	a->run = NULL;
	a->ready = NULL;
	a->vectors = NULL;
	store_relaxed(&a->link, 0);
	if (unlikely(a != &slots[active_slot(key)]))
		__atomic_fetch_sub(&displaced, 1, __ATOMIC_RELAXED);
	store_relaxed(&a->open, 0);
	store_relaxed(&a->frame, 0);
	store_release(&a->key, 0);
}

/*
 * A call of a function that has not come back and is not waited for: when it does, its hit is over
 * (callee.c), and the program was cut short.
 */
static bool revoke_call(struct agent_active *a, u64 calling)
{
	struct agent_stat *st = agent_stat_at(a->call_stat);

	if (!calling || !__atomic_compare_exchange_n(&a->calling, &calling, 0, false,
						     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	if (st)
		agent_count(&st->aborted);
	if (a->noted) {
		trap_undone(a->noted, a->notes, a->noted_return, a->link);
		session_forget(a->notes);
		a->noted = NULL;
	}
	if (stack_index((u64)a->lent) >= 0) /* else it was on a stack that has gone on */
		ebpf_run_finish(a->lent);
	return true;
}

static bool revoke(struct agent_active *a)
{
	return revoke_call(a, load_acquire(&a->calling));
}

bool active_at_home(const struct agent_active *a)
{
	return a == &slots[active_slot(own_key())];
}

/* It was left for good, by longjmp or the end of its thread: its frame is below what the thread is
 * at now, which is never so within the call, or overwritten. */
static bool left_call(const struct agent_active *a, u64 frame)
{
	return abandoned(a) || (frame >= a->frame && frame - a->frame < ACTIVE_REACH);
}

struct agent_active *active_caller(u64 thread)
{
	struct agent_active *a = &slots[active_slot(thread | 1)];

	return load_relaxed(&a->key) == (thread | 1) && load_acquire(&a->calling) ? a : NULL;
}

bool active_calling(u64 thread, u64 frame)
{
	struct agent_active *a;

	while ((a = active_caller(thread))) {
		if (!left_call(a, frame))
			return true;
		if (revoke(a))
			release(a, thread | 1);
	}
	return false;
}

/* The kernel says whether the thread is there, in whichever process of this memory. */
static bool has_ended(const struct agent_active *a)
{
	u32 tid = load_relaxed(&a->call_tid);

	return tid && SYS3(__NR_tkill, tid, 0, 0) == -ESRCH;
}

void active_bury(bool with_stack)
{
	/* asking could be the process's end; a child's thread is another than its parent's */
	if (load_relaxed(&osl_walled) || !agent.mark || load_acquire(agent.mark) == FORK_NEW)
		return;
	for (u32 i = 0; i < ACTIVE_SLOTS; i++) {
		struct agent_active *a = &slots[i];
		u64 key = load_acquire(&a->key), calling = load_acquire(&a->calling);

		if (calling && (a->stack || !with_stack) && has_ended(a) && revoke_call(a, calling))
			release(a, key);
	}
}

static struct agent_active *enter(u64 key, u64 frame)
{
	u32 start = active_slot(key);

	for (u32 i = 0; i < ACTIVE_WINDOW; i++) {
		struct agent_active *a = &slots[(start + i) % ACTIVE_SLOTS];
		u64 empty = 0;

		if (load_relaxed(&a->key))
			continue;
		if (__atomic_compare_exchange_n(&a->key, &empty, key, false, __ATOMIC_SEQ_CST,
						__ATOMIC_RELAXED)) {
			a->run = NULL;
			a->ready = NULL;
			store_relaxed(&a->open, 0);
			store_release(&a->frame, frame);
			if (unlikely(i))
				__atomic_fetch_add(&displaced, 1, __ATOMIC_RELAXED);
			return a;
		}
	}
	__atomic_fetch_add(&overflow.key, 1, __ATOMIC_SEQ_CST);
	return &overflow;
}

__hot struct agent_active *active_enter(u64 frame, bool *nested)
{
	u64 key = own_key();
	const struct agent_active *outer = find(key, frame);

	*nested = (outer && !load_relaxed(&outer->open)) || active_calling(key & ~1ull, frame);
	return *nested ? NULL : enter(key, frame);
}

__hot struct agent_active *active_enter_open(const struct jump_frame *f, u64 thread)
{
	struct agent_active *a = enter(thread | 1, (u64)f);

	store_release(&a->open, ACTIVE_OPEN);
	return a;
}

/* Who shares a place shares nothing else. */
void active_carry(struct agent_active *a, const u64 *vectors)
{
	if (a != &overflow)
		a->vectors = vectors;
}

void active_moves(struct agent_active *a, s32 stack)
{
	if (a != &overflow && stack >= 0)
		store_release(&a->open, ACTIVE_OPEN | (u32)(stack + 1) << ACTIVE_STACK);
}

__hot void active_leave(struct agent_active *a)
{
	if (a == &overflow)
		__atomic_fetch_sub(&overflow.key, 1, __ATOMIC_RELEASE);
	else
		release(a, load_relaxed(&a->key));
}

bool active_quiet(const struct agent_active *self)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (u32 i = 0; i < ACTIVE_SLOTS; i++) {
		u64 key = load_acquire(&slots[i].key);

		if (!key || &slots[i] == self)
			continue;
		if (!revoke(&slots[i]) && !abandoned(&slots[i]))
			return false;
		release(&slots[i], key);
	}
	return load_acquire(&overflow.key) == 0;
}

bool active_runs(u64 link)
{
	for (u32 i = 0; i < ACTIVE_SLOTS; i++)
		if (load_acquire(&slots[i].link) == link && !abandoned(&slots[i])) {
			u64 key = load_relaxed(&slots[i].key);

			if (!revoke(&slots[i]))
				return true;
			release(&slots[i], key);
		}
	return load_acquire(&overflow.key) != 0;
}

bool active_thread(u64 thread)
{
	for (u32 i = 0; i < ACTIVE_SLOTS; i++)
		if (load_acquire(&slots[i].key) == (thread | 1) && !abandoned(&slots[i]))
			return true;
	return load_acquire(&overflow.key) != 0;
}

/* But not the hits this thread is in: a handler that interrupted one may have forked. */
void active_reset(void)
{
	u64 key = own_key();

	displaced = 0;
	stack_reset();
	overflow.key = 0;
	for (u32 i = 0; i < ACTIVE_SLOTS; i++) {
		struct agent_active *a = &slots[i];

		if (a->key != key)
			*a = (struct agent_active){0};
		else if (i != active_slot(key))
			displaced++;
		if (a->key)
			a->call_tid = sys_gettid();
		if (!(a->open >> ACTIVE_STACK))
			a->stack = 0;
		else
			stack_keep(a->open >> ACTIVE_STACK, a->stack, i);
		a->ready = NULL;
	}
}
