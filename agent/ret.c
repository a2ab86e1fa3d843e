/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Return probes: the return address on the stack is replaced by the address of a stub, one stub for
 * each call that has not returned yet (a *return instance*).
 *
 * Model: stubs are 8 or 16 bytes, the first of them int3, in pages of the agent's text (entry.S);
 * the return address an instance replaced lies in agent_ret_saved[] at the stub's index, so that
 * one static unwind rule describes all stubs. Indices that were never used are handed out in order,
 * then those on a lock-free list. An instance is released when its stub is reached. A function left
 * by longjmp never gets there: such instances are found when there are no others, by their stack
 * slot not holding the stub's address any more. Where a slot lies tells nothing: coroutines have
 * stacks above and below, and the thread that pushed an instance need not be the one that returns.
 *
 * Unwinders know nothing of stubs (where the agent was injected, not even the rule above), and what
 * they show must be true. So the daemon has sites at their entries, where the thread's return
 * addresses are put back (the instances are *suspended*), and at their exits, where they are
 * replaced again. Between two landing pads of an exception everything is as ever. A frame below
 * the stack pointer of an exit is one that an exception left. When these sites go, all return
 * addresses are put back for good. Which return addresses an unwinder will meet is told by memory:
 * those from the stack pointer on, up to the first page that can't be read. What is changed may lie
 * on the stack of another thread that runs: an instance is *taken* for the time, so that its index
 * is not used again, and its slot exchanged atomically.
 *
 * A function entered by a tail call finds a stub as its return address and takes it as the address
 * to return to: the chain unwinds by itself, one trap each. In a slot only the last of a chain is
 * to be seen, its top; the others are *chained*, and found through agent_ret_saved[].
 *
 * Where sites are jumps the first stubs become calls: then no trap is needed for a return. What the
 * call pushes takes the stub's place on the stack until the thread knows whose return it is; before
 * a signal's handler sees that the stub is put back (defer.c).
 *
 * Who returns so needs no atomic operation to release the instance. Others change one that is LIVE
 * only when its slot holds the stub and they have said that they are about (*visitors*), in this
 * order. The return's call has changed the slot, then the thread has entered its place (active.c),
 * which is an atomic operation, then it looks for visitors: so either it finds them, and releases
 * the instance as they would, or they find what the call pushed, and leave it alone. A stale
 * instance's slot holds neither: it is released before the true address is written there.
 *
 * All this is private memory: a forked child has its own copy, and needs it.
 */
#include <errno.h>

#include "agent/instance.h"

#define NEVER UINT64_MAX /* no stack pointer: not to be resumed */
#define PRUNE_PAUSE 256u /* calls that do not look again, after looking in vain */

#define PAIR 16u		  /* a stub that can be a call, and the call before the next one */
#define STACK_REACH (64ull << 20) /* how far a stack is looked through */

u64 agent_ret_saved[STUBS] __attribute__((aligned(4096)));
struct instance agent_ret_instances[STUBS];
#define instances agent_ret_instances
static u64 free_list;  /* version << 32 | index; 0: empty */
static u32 fresh = 2;  /* first index never used */
static u32 pause_left; /* of PRUNE_PAUSE */
static u32 suspended;  /* how many are */
u32 agent_ret_visitors;
#define visitors agent_ret_visitors

/* From what was seen to @to, unless somebody changed it since. */
static bool change(struct instance *in, u32 seen, enum state to)
{
	u32 word = word_after(seen, to);

	if (to == SUSPENDED) /* before: it is never too small */
		__atomic_fetch_add(&suspended, 1, __ATOMIC_RELAXED);
	if (!__atomic_compare_exchange_n(&in->word, &seen, word, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED)) {
		if (to == SUSPENDED)
			__atomic_fetch_sub(&suspended, 1, __ATOMIC_RELAXED);
		return false;
	}
	if (state_of(seen) == SUSPENDED)
		__atomic_fetch_sub(&suspended, 1, __ATOMIC_RELAXED);
	return true;
}

/* --- indices ------------------------------------------------------------------------------------
 */

static u32 take_notes(u32 i)
{
	if (likely(!load_relaxed(&instances[i].notes)))
		return 0;
	return __atomic_exchange_n(&instances[i].notes, 0, __ATOMIC_ACQ_REL);
}

/* Of an instance that is FREE already. */
static void give(u32 i)
{
	u64 head = load_relaxed(&free_list), new;

	session_forget(take_notes(i));
	do {
		store_relaxed(&instances[i].next, (u32)head);
		new = ((head >> 32) + 1) << 32 | i;
	} while (!__atomic_compare_exchange_n(&free_list, &head, new, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

static u32 take_used(void)
{
	u64 head = load_acquire(&free_list), new;

	do {
		if (!(u32)head)
			return 0;
		new = ((head >> 32) + 1) << 32 | load_relaxed(&instances[(u32)head].next);
	} while (!__atomic_compare_exchange_n(&free_list, &head, new, true, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	return (u32)head;
}

/* Is what lies there no stub? */
static bool is_reserved(u32 i)
{
	return i % STUBS_PER_PAGE == 0 || (i % 2 && can_call(i));
}

static u32 take_fresh(void)
{
	u32 i = load_relaxed(&fresh), next;

	do {
		if (i > agent.ret_limit)
			return 0;
		for (next = i + 1; is_reserved(next); next++)
			;
	} while (!__atomic_compare_exchange_n(&fresh, &i, next, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return i;
}

static u32 take(void)
{
	u32 i = take_used();

	return i ? i : take_fresh();
}

void ret_init(u32 limit)
{
	if (!agent.ret_limit) /* a later set-up finds them in use */
		agent.ret_limit = MIN(limit, STUBS - 1);
}

/* The indices that are or were in use are below. */
static u32 end_of_used(void)
{
	return MIN(load_relaxed(&fresh), STUBS);
}

/* --- one instance -------------------------------------------------------------------------------
 */

static bool slot_holds(const struct instance *in, u64 value)
{
	u64 now;

	return osl_read(&now, (void *)in->slot, 8) == 0 && now == value;
}

/* Where the calls of the chain at @ip came from in the end: what programs see as ip. */
u64 ret_origin(u64 ip)
{
	for (u32 depth = 0; depth < STUBS && ret_is_stub(ip); depth++)
		ip = agent_ret_saved[index_of(ip)];
	return ip;
}

/* what is said of a call when it is over */
typedef void (*over_fn)(u32 i, u32 how, const struct ret_stack *at);

/* The calls of the chain whose top is @i. */
static void tell_chain(u32 i, over_fn over, const struct ret_stack *at)
{
	u64 ra = stub_of(i);
	u32 how = instances[i].how;

	for (u32 depth = 0; depth < STUBS && ret_is_stub(ra); depth++) {
		over(index_of(ra), how, at);
		ra = agent_ret_saved[index_of(ra)];
	}
}

/* @i, which is FREE by now, was the top of a chain whose calls will not be seen to return. */
static void end_chain(u32 i, over_fn over, const struct ret_stack *at)
{
	u64 below = agent_ret_saved[i];

	tell_chain(i, over, at);
	give(i);
	for (u32 depth = 0; depth < STUBS && ret_is_stub(below); depth++) {
		u32 word;

		i = index_of(below);
		below = agent_ret_saved[i];
		word = load_acquire(&instances[i].word);
		if (state_of(word) != CHAINED || !change(&instances[i], word, FREE))
			return;
		give(i);
	}
}

static void tell_left(u32 i, u32 how, const struct ret_stack *at)
{
	const struct instance *in = &instances[i];
	struct arch_regs regs;

	if (!at) {
		trap_left(in->place, load_relaxed(&in->notes), NULL, how, NULL);
		return;
	}
	regs = *at->regs;
	regs.ip = ret_origin(agent_ret_saved[i]);
	regs.sp = in->slot + sizeof(u64);
	regs.ax = 0;
	trap_left(in->place, load_relaxed(&in->notes), &regs, how, at->active);
}

static void count_missed(u32 i, u32 how, const struct ret_stack *at)
{
	trap_missed_return(instances[i].place, load_relaxed(&instances[i].notes));
}

/* A misaligned one is not worth a locked bus. */
static bool exchange(const struct instance *in, u64 old, u64 new)
{
	if (in->slot % sizeof(u64) == 0)
		return osl_exchange((u64 *)in->slot, old, new) == 0;
	return slot_holds(in, old) && osl_write((void *)in->slot, &new, 8) == 0;
}

/* @i, which was taken, goes to @state; false when its call has returned meanwhile. */
static bool settle(u32 i, enum state state)
{
	struct instance *in = &instances[i];
	u32 word = load_acquire(&in->word);

	if (state_of(word) == TAKEN && change(in, word, state))
		return true;
	change(in, load_acquire(&in->word), FREE);
	give(i);
	return false;
}

/* --- calls and returns --------------------------------------------------------------------------
 */

/* Its call has returned just now: to the stub, which is a call itself, that has pushed this. */
static bool is_returning(u32 i, u64 now)
{
	return now == stub_of(i) + RET_STUB_CALL;
}

/* Is it certain that nobody returns to the top @i any more? */
static bool is_stale(u32 i, enum state state)
{
	u64 now;

	if (state != LIVE && state != SUSPENDED)
		return false;
	/* read once: the thread may be about to exchange one for the other */
	if (osl_read(&now, (void *)instances[i].slot, 8))
		return true;
	if (is_returning(i, now))
		return false;
	return now != stub_of(i) && (state == LIVE || now != ret_origin(stub_of(i)));
}

static void told_before(u32 i, u32 how, const struct ret_stack *at)
{
}

/* Of a call whose return address was put back for good it was said then. */
static over_fn news_of(const struct instance *in, enum state state)
{
	return state == SUSPENDED && in->unwound == NEVER ? told_before : tell_left;
}

/* Release instances whose call can't return any more. */
static u32 prune(void)
{
	u32 n = 0;

	for (u32 i = 1; i < end_of_used(); i++) {
		u32 word = load_acquire(&instances[i].word);

		if (!is_stale(i, state_of(word)) || !change(&instances[i], word, FREE))
			continue;
		end_chain(i, news_of(&instances[i], state_of(word)), NULL);
		n++;
	}
	return n;
}

/* To look at all of them takes time: not at every call, when it was in vain. */
void ret_reclaim(void)
{
	u32 left = load_relaxed(&pause_left);

	if (left)
		store_relaxed(&pause_left, left - 1);
	else if (!prune())
		store_relaxed(&pause_left, PRUNE_PAUSE);
}

static u32 take_stale(void)
{
	ret_reclaim();
	return take();
}

/*
 * @ra is what an instance is going to replace: when that is a stub, its instance is no longer the
 * top. Before, as what is not in its slot may be found stale.
 */
static void chain(u64 ra)
{
	struct instance *in;
	enum state state;
	u32 word;

	if (!ret_is_stub(ra))
		return;
	in = &instances[index_of(ra)];
	do {
		arch_relax();
		word = load_acquire(&in->word);
		state = state_of(word);
		if (state == FREE || state == CHAINED || state == POPPED)
			return;
	} while (state == TAKEN || !change(in, word, CHAINED));
}

/* The call is over. False: who has taken the instance gives it back. */
static __hot bool release(u32 i)
{
	struct instance *in = &instances[i];
	enum state state;
	u32 word;

	do {
		word = load_acquire(&in->word);
		state = state_of(word);
		if (state == FREE || state == POPPED)
			return false;
	} while (!change(in, word, state == TAKEN ? POPPED : FREE));
	return state != TAKEN;
}

/* From where one call after the other takes its index, so that none waits for another thread. */
static __hot u32 take_spare(u32 *spare)
{
	u32 i = spare ? *spare : 0;

	if (!i)
		return take();
	*spare = 0;
	return i;
}

static __hot void give_spare(u32 i, u32 *spare)
{
	if (spare && !*spare)
		*spare = i;
	else
		give(i);
}

static __hot bool push(u32 i, const struct agent_place *p, u64 slot, u64 ra, u32 notes, bool paired)
{
	struct instance *in = &instances[i];
	u64 stub = stub_of(i);

	agent_ret_saved[i] = ra;
	in->slot = slot;
	in->thread = arch_thread_pointer();
	in->place = p;
	in->next = paired;
	chain(ra);
	if (osl_write((void *)slot, &stub, 8))
		return false;
	if (notes)
		store_release(&in->notes, notes);
	/* until now it was this thread's alone, and FREE: nobody changes those */
	store_release(&in->word, word_after(load_relaxed(&in->word), LIVE));
	return true;
}

/* Everything was put back while this thread was at it. */
__noinline void ret_take_back(u32 i)
{
	struct instance *in = &instances[i];
	u64 ra = ret_origin(stub_of(i));
	u32 word = load_acquire(&in->word);

	if (state_of(word) == LIVE && exchange(in, stub_of(i), ra) && change(in, word, FREE))
		end_chain(i, count_missed, NULL);
}

__hot u64 ret_push(const struct agent_place *p, const struct arch_regs *regs, u32 notes, u32 *spare)
{
	u64 ra;
	u32 i;

	if (osl_read(&ra, (void *)regs->sp, 8))
		return 0;
	i = take_spare(spare);
	if (!i)
		i = take_stale();
	if (!i)
		return 0;
	if (!push(i, p, regs->sp, ra, notes, spare && can_call(i))) {
		give_spare(i, spare);
		return 0;
	}
	if (unlikely(load_acquire(&agent.inert)))
		ret_take_back(i);
	return spare ? ret_pair(i) : RET_UNPAIRED;
}

__hot const struct agent_place *ret_pop(u64 addr, struct arch_regs *regs, u32 *notes, u32 *spare)
{
	u32 i = index_of(addr);
	const struct agent_place *p = instances[i].place;

	if (addr != stub_of(i) || is_reserved(i) || !p)
		return NULL;
	regs->ip = agent_ret_saved[i];
	*notes = take_notes(i);
	if (release(i))
		give_spare(i, spare);
	return p;
}

bool ret_is_break(u64 addr)
{
	return ret_is_stub(addr) && addr % STUB_SIZE == 0 && !is_reserved(index_of(addr));
}

/* A word at @at from the thread's stack pointer, which goes on there; @more: then that is so much
 * higher. */
static void go_to(struct osl_ucontext *uc, s64 at, s64 more)
{
	u64 to;

	if (osl_read(&to, (void *)(uc->sp + (u64)at), sizeof(to)))
		return;
	uc->ip = to;
	uc->sp += (u64)more;
}

void ret_leave_stub(struct osl_ucontext *uc)
{
	if (ret_is_stub(uc->ip) && can_call(index_of(uc->ip))) {
		if (uc->ip % PAIR == RET_STUB_CALL)
			go_to(uc, -8, 0);
		else if (uc->ip % PAIR == PAIR - CALL_BEFORE)
			go_to(uc, AGENT_STUB_NEXT, -8);
	}
	if (uc->ip == (u64)agent_ret_home) {
		uc->ip = (u64)agent_ret_home2;
		uc->sp += JUMP_RED_ZONE - 8;
	}
	if (uc->ip == (u64)agent_ret_home2)
		go_to(uc, 0, 8);
}

bool ret_any(void)
{
	for (u32 i = 1; i < end_of_used(); i++)
		if (state_of(load_acquire(&instances[i].word)) != FREE &&
		    slot_holds(&instances[i], stub_of(i)))
			return true;
	return false;
}

bool ret_pending(u64 thread)
{
	for (u32 i = 1; i < end_of_used(); i++) {
		const struct instance *in = &instances[i];
		enum state state = state_of(load_acquire(&in->word));

		if ((state == LIVE || (state == SUSPENDED && in->unwound == NEVER)) &&
		    in->thread == thread && !is_stale(i, state))
			return true;
	}
	return false;
}

void ret_count_left(void)
{
	prune();
}

/* --- stubs that are calls -----------------------------------------------------------------------
 */

static bool raised;
static u32 rewriting; /* a lock: who doesn't get it leaves them as they are */
static u8 stub_page[EBPFRT_PAGE_SIZE];

/*
 * A stub begins with @first; behind that it is the call, or what it was made as. What is behind the
 * call stays as it is: threads come there.
 */
static void stub_bytes(u64 stub, u8 first, bool call, u8 out[STUB_SIZE])
{
	static const u8 made[RET_STUB_CALL] = {ARCH_BREAK, ARCH_UNDEFINED, ARCH_UNDEFINED};

	memcpy(out, made, sizeof(made));
	if (call)
		arch_jump_bytes(stub, (u64)agent_ret_entry, out);
	out[0] = first;
}

static bool write_page(struct agent_poke *poke, u64 page, u8 first, bool call)
{
	if (poke_read(poke, page, stub_page, sizeof(stub_page)))
		return false;
	for (u32 i = 1; i < STUBS_PER_PAGE; i++)
		if (!is_reserved(i))
			stub_bytes(page + (u64)i * STUB_SIZE, first, call,
				   stub_page + i * STUB_SIZE);
	return poke_write(poke, page, stub_page, sizeof(stub_page)) == 0;
}

static bool write_all(struct agent_poke *poke, u8 first, bool call)
{
	u64 begin = (u64)agent_ret_stubs;
	bool done = true;

	for (u64 page = begin; page < begin + RAISED; page += EBPFRT_PAGE_SIZE)
		done = write_page(poke, page, first, call) && done;
	return done;
}

/* First what follows the break, where nobody is. */
void ret_raise(struct agent_poke *poke)
{
	if (raised || __atomic_exchange_n(&rewriting, 1, __ATOMIC_ACQUIRE))
		return;
	raised = write_all(poke, ARCH_BREAK, true) && poke_sync(poke);
	if (raised) {
		write_all(poke, ARCH_CALL, true);
		poke_sync(poke);
	}
	store_release(&rewriting, 0);
}

/* A thread is before a call or behind it: what follows the break is nobody's when all know of it.
 */
void ret_lower(struct agent_poke *poke)
{
	if (!raised || __atomic_exchange_n(&rewriting, 1, __ATOMIC_ACQUIRE))
		return;
	raised = !write_all(poke, ARCH_BREAK, true) || !poke_sync(poke);
	if (!raised) {
		write_all(poke, ARCH_BREAK, false);
		poke_sync(poke);
	}
	store_release(&rewriting, 0);
}

/*
 * Those who were about are not in the child; another thread of the parent may have been at the
 * stubs, of which either kind works.
 */
void ret_forked(void)
{
	bool calls = false;

	store_relaxed(&visitors, 0);
	for (u64 page = (u64)agent_ret_stubs; page < (u64)agent_ret_stubs + RAISED;
	     page += EBPFRT_PAGE_SIZE)
		calls |= *(const u8 *)(page + STUB_SIZE) == ARCH_CALL;
	raised = calls;
	store_release(&rewriting, 0);
}

/* --- unwinders ----------------------------------------------------------------------------------
 */

static bool on_alternate(const struct ret_stack *at, u64 sp)
{
	return sp - at->alternate < at->alternate_size;
}

static bool suspend(u32 i, u32 word, u64 sp, u32 how)
{
	struct instance *in = &instances[i];
	u64 ra = ret_origin(stub_of(i));
	bool done;

	if (!change(in, word, TAKEN))
		return false;
	done = exchange(in, stub_of(i), ra);
	if (done) {
		in->unwound = sp;
		in->how = how;
		in->thread = arch_thread_pointer();
	}
	return settle(i, done ? SUSPENDED : LIVE) && done;
}

/* The memory from the stack pointer on, as far as it has been looked through. */
struct stretch {
	u64 sp, end;
	bool whole;
};

static bool stretch_has(struct stretch *s, u64 slot)
{
	u64 word;

	while (slot - s->sp < STACK_REACH && slot >= s->end && !s->whole) {
		s->whole = osl_read(&word, (void *)s->end, sizeof(word));
		s->end += s->whole ? 0 : EBPFRT_PAGE_SIZE;
	}
	return slot >= s->sp && slot < s->end;
}

static void visit_begin(void)
{
	__atomic_fetch_add(&visitors, 1, __ATOMIC_SEQ_CST);
}

static void visit_end(void)
{
	__atomic_fetch_sub(&visitors, 1, __ATOMIC_RELEASE);
}

static struct stretch stretch_from(u64 sp)
{
	return (struct stretch){.sp = sp, .end = sp & ~(EBPFRT_PAGE_SIZE - 1ull)};
}

/*
 * The handler of a signal may have a stack of its own, where the kernel's frame says that this is
 * the one, and where the thread was: the highest such frame.
 */
static u64 interrupted_sp(const struct ret_stack *at)
{
	u64 end = at->alternate + at->alternate_size - sizeof(struct osl_ucontext), sp = 0;
	struct osl_ucontext uc;

	for (u64 p = at->sp & ~7ull; on_alternate(at, p) && p < end; p += 8) {
		if (osl_read(&uc.stack_sp, (char *)p + offsetof(struct osl_ucontext, stack_sp),
			     8) ||
		    uc.stack_sp != at->alternate || osl_read(&uc, (void *)p, sizeof(uc)))
			continue;
		if (uc.stack_size == at->alternate_size && !on_alternate(at, uc.sp))
			sp = uc.sp;
	}
	return sp;
}

static bool end_suspended(u32 i)
{
	u32 word = load_acquire(&instances[i].word);

	return state_of(word) == SUSPENDED && change(&instances[i], word, FREE);
}

void ret_suspend(const struct ret_stack *at, bool for_good)
{
	u64 interrupted = on_alternate(at, at->sp) ? interrupted_sp(at) : 0;
	struct stretch here = stretch_from(at->sp), there = stretch_from(interrupted);

	there.whole = !interrupted;
	/* what is left of an unwinder that was itself left, by a jump */
	ret_resume(at);
	visit_begin();
	for (u32 i = 1; i < end_of_used(); i++) {
		struct instance *in = &instances[i];
		u32 word = load_acquire(&in->word);
		u64 sp = at->sp;

		if (state_of(word) != LIVE || !slot_holds(in, stub_of(i)))
			continue;
		if (!stretch_has(&here, in->slot)) {
			if (!stretch_has(&there, in->slot))
				continue;
			sp = interrupted;
		}
		if (suspend(i, word, sp, at->how) && for_good && end_suspended(i))
			end_chain(i, count_missed, NULL);
	}
	visit_end();
}

/*
 * A thread may be on its way from the stub to the handler, and looks like one that still has to
 * return. So the instances stay until their slots hold something else.
 */
void ret_put_back_all(void)
{
	visit_begin();
	for (u32 i = 1; i < end_of_used(); i++) {
		struct instance *in = &instances[i];
		u32 word = load_acquire(&in->word);

		if (state_of(word) == FREE || !slot_holds(in, stub_of(i)))
			continue;
		if (state_of(word) !=
		    LIVE) /* in the middle of a hit, which will see that we are inert */
			exchange(in, stub_of(i), ret_origin(stub_of(i)));
		else if (suspend(i, word, NEVER, EBPF_LEFT_RETURNED))
			tell_chain(i, count_missed, NULL);
	}
	visit_end();
}

/* An exception may leave the handler of a signal, and so its stack: then addresses say nothing. */
static bool same_stack(const struct instance *in, const struct ret_stack *at)
{
	return on_alternate(at, in->unwound) == on_alternate(at, at->sp);
}

/* Has the exception gone past the call of @in? */
static bool is_past(const struct instance *in, const struct ret_stack *at)
{
	if (!same_stack(in, at))
		return on_alternate(at, in->unwound);
	return in->slot >= in->unwound && in->slot < at->sp;
}

static bool replace_again(u32 i, u64 ra)
{
	const struct instance *in = &instances[i];

	if (load_acquire(&agent.inert) || !exchange(in, ra, stub_of(i)))
		return false;
	return !load_acquire(&agent.inert) || !exchange(in, stub_of(i), ra);
}

/* Is @i suspended by this thread, and the unwinder done with it? */
static bool is_due(u32 i, const struct ret_stack *at)
{
	const struct instance *in = &instances[i];

	return state_of(load_acquire(&in->word)) == SUSPENDED &&
	       in->thread == arch_thread_pointer() && in->unwound != NEVER &&
	       (in->unwound <= at->sp || !same_stack(in, at));
}

static void resume(u32 i, const struct ret_stack *at)
{
	struct instance *in = &instances[i];
	u32 word = load_acquire(&in->word);
	u64 ra = ret_origin(stub_of(i));

	if (state_of(word) != SUSPENDED || !change(in, word, TAKEN))
		return;
	if ((!is_past(in, at) && replace_again(i, ra)) ||
	    slot_holds(in, stub_of(i) + RET_STUB_CALL))
		settle(i, LIVE);
	else if (settle(i, FREE))
		end_chain(i, tell_left, at);
}

#define PASSED 64u

/* The innermost calls that the exception has gone past, in order; how many. */
static u32 find_passed(const struct ret_stack *at, u32 *v)
{
	u32 n = 0, k;

	for (u32 i = 1; i < end_of_used(); i++) {
		if (!is_due(i, at) || !is_past(&instances[i], at))
			continue;
		if (n == PASSED && instances[v[n - 1]].slot <= instances[i].slot)
			continue;
		for (k = n < PASSED ? n++ : n - 1;
		     k && instances[v[k - 1]].slot > instances[i].slot; k--)
			v[k] = v[k - 1];
		v[k] = i;
	}
	return n;
}

void ret_resume(const struct ret_stack *at)
{
	u32 passed[PASSED], n;

	if (!load_acquire(&suspended))
		return;
	do {
		n = find_passed(at, passed);
		for (u32 i = 0; i < n; i++)
			resume(passed[i], at);
	} while (n == PASSED);
	for (u32 i = 1; i < end_of_used(); i++)
		if (is_due(i, at))
			resume(i, at);
}

void ret_jump(const struct ret_stack *at, u64 sp)
{
	struct stretch here = stretch_from(at->sp);
	struct ret_stack to = *at;

	to.sp = sp;
	if (load_acquire(&suspended) && sp > at->sp && stretch_has(&here, sp))
		ret_resume(&to);
}
