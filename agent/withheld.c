/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals withheld: what a thread believes to block, and would block but for us.
 *
 * Model: while there are sites that guard the masks, a thread never blocks our signals. Those that
 * it asked to block are noted here, under its thread pointer, so that it sees the mask it set; the
 * injection gets them when the guards have gone, and blocks them for real. A forked child has its
 * parent's thread pointer and inherits the note. A thread that ended leaves its note to whoever
 * needs the place.
 *
 * A thread that was just born has no note. C libraries make it while all signals are blocked, which
 * but for us it would inherit, and which for the kernel it has, without ours: by that mask it is
 * known, until it sets one. Who sets just this mask himself gets a note that nothing is withheld.
 *
 * Rule: a thread changes its own note only; exchange code changes any, while the others are held.
 * A thread that finds no place (it would take a thousand of them that all block our signals) keeps
 * our signals open when we are gone.
 */
#include <errno.h>

#include "agent/agent.h"

#define BIT(sig) (1ULL << ((sig)-1))
#define LIBC_SIGNALS (BIT(32) | BIT(33) | BIT(34))
#define NOTES 2048u
#define WINDOW 64u
#define NS_PER_MS 1000000ull

struct note {
	u64 thread;
	u32 tid; /* whose it is, 0: free */
	u32 which;
	u32 wait; /* WAITS | what is blocked in the system call under way */
	s32 nr;	  /* of what it has called at .sp, whose number is in no text */
	u64 sp;
	u64 limit; /* of the one that began at .limit_sp, as its register has it */
	u64 limit_sp;
	u64 since; /* when it began, in ns; 0: that is not known */
};

#define WAITS (1u << 31)

static struct note notes[NOTES];

/* Pages that nobody has written stay nobody's. */
static void wipe(struct note *n)
{
	if (n->thread || n->tid || n->which || n->wait)
		*n = (struct note){0};
}

static struct note *nth(u64 thread, u32 i)
{
	return &notes[(hash_quick(thread) + i) % NOTES];
}

static struct note *find(u64 thread)
{
	for (u32 i = 0; i < WINDOW; i++) {
		struct note *n = nth(thread, i);

		if (load_acquire(&n->tid) && load_relaxed(&n->thread) == thread)
			return n;
	}
	return NULL;
}

static struct note *claim(u64 thread, u32 tid, bool anothers)
{
	for (u32 i = 0; i < WINDOW; i++) {
		struct note *n = nth(thread, i);
		u32 was = load_relaxed(&n->tid);

		if (anothers ? SYS3(__NR_tgkill, agent.pid, was, 0) != -ESRCH : was != 0)
			continue;
		if (__atomic_compare_exchange_n(&n->tid, &was, tid, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			return n;
	}
	return NULL;
}

/* All but ours; musl leaves open those that it uses itself, as well. */
static bool looks_newborn(u64 mask)
{
	u64 others = ~(SIG_OURS | BIT(SIGKILL) | BIT(SIGSTOP));

	return !(mask & SIG_OURS) && ((mask | LIBC_SIGNALS) & others) == others &&
	       ((mask & LIBC_SIGNALS) == LIBC_SIGNALS || !(mask & LIBC_SIGNALS));
}

static bool of_the_dead(const struct note *n)
{
	u32 tid = load_relaxed(&n->tid);

	return tid != sys_gettid() && SYS3(__NR_tgkill, agent.pid, tid, 0) == -ESRCH;
}

/* This thread's note; NULL and what goes without one. */
static const struct note *own(u64 thread, u64 mask, u64 *without)
{
	bool newborn = looks_newborn(mask);
	const struct note *n = find(thread);

	*without = newborn ? SIG_OURS : 0;
	return n && newborn && of_the_dead(n) ? NULL : n;
}

u64 withheld_blocked(u64 thread, u64 mask)
{
	u64 without;
	const struct note *n = own(thread, mask, &without);

	return !n ? without : n->wait ? n->wait & ~WAITS : n->which;
}

u64 withheld_of(u32 tid)
{
	for (u32 i = 0; i < NOTES; i++) {
		const struct note *n = &notes[i];

		if (load_acquire(&n->tid) == tid)
			return n->wait ? n->wait & ~WAITS : n->which;
	}
	return 0;
}

void withheld_wait(u64 thread, bool begins, u64 mask)
{
	struct note *n = find(thread);

	if (n)
		n->wait = begins ? WAITS | (u32)(mask & SIG_OURS) : 0;
}

void withheld_limit(u64 thread, u64 sp, u64 ms)
{
	struct note *n = find(thread);

	if (!n)
		return;
	n->limit = ms;
	n->limit_sp = sp;
	n->since = osl_ktime_ns();
}

bool withheld_left(u64 thread, u64 sp, u64 *ms)
{
	struct note *n = find(thread);
	u64 limit_ns, gone;

	if (!n || !n->since || n->limit_sp != sp || (s32)n->limit < 0)
		return false;
	limit_ns = (u64)(u32)n->limit * NS_PER_MS;
	gone = osl_ktime_ns() - n->since;
	*ms = gone < limit_ns ? (limit_ns - gone + NS_PER_MS - 1) / NS_PER_MS : 0;
	return true;
}

bool withheld_unlimit(u64 thread, u64 *ms)
{
	struct note *n = find(thread);

	if (!n || !n->since)
		return false;
	*ms = n->limit;
	n->since = 0;
	return true;
}

void withheld_calls(u64 thread, u64 sp, u64 nr)
{
	struct note *n = find(thread);

	if (!n)
		return;
	n->nr = nr < 1024 ? (s32)nr : -1;
	n->sp = sp;
}

/* What handlers call that interrupt it they call elsewhere. */
int withheld_called(u64 thread, u64 sp)
{
	const struct note *n = find(thread);

	return n && n->sp == sp ? n->nr : -1;
}

u64 withheld_get(u64 thread, u64 mask)
{
	u64 without;
	const struct note *n = own(thread, mask, &without);

	return n ? n->which : without;
}

static struct note *find_or_claim(u64 thread, u32 tid)
{
	struct note *n = find(thread);

	if (n)
		return n;
	n = claim(thread, tid, false);
	if (!n)
		n = claim(thread, tid, true);
	if (!n)
		return NULL;
	n->which = n->wait = 0;
	n->sp = n->since = 0;
	store_release(&n->thread, thread);
	return n;
}

static void set(struct note *n, u32 tid, u64 which)
{
	store_relaxed(&n->which, (u32)which);
	n->wait = 0;
	store_release(&n->tid, tid);
}

void withheld_set(u64 thread, u32 tid, u64 which, u64 mask)
{
	bool needed = which || looks_newborn(mask);
	struct note *n = needed ? find_or_claim(thread, tid) : find(thread);

	if (n)
		set(n, needed ? tid : 0, which);
	/* who holds something back for others looks here afterwards; this thread looks there next */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void withheld_restore(u64 thread, u64 which)
{
	struct note *n = find(thread);

	if (!n)
		return;
	store_relaxed(&n->which, (u32)(which & SIG_OURS));
	n->wait = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void withheld_forked(void)
{
	u64 which = withheld_get(arch_thread_pointer(), 0);

	for (u32 i = 0; i < NOTES; i++)
		wipe(&notes[i]);
	withheld_set(arch_thread_pointer(), sys_gettid(), which, 0);
}

/* --- the injection ------------------------------------------------------------------------------
 */

/* What it blocks is what a handler of ours does, which opens it by itself or at its end. */
static bool in_handler(const struct agent_withheld_list *l, u64 thread)
{
	for (u32 i = 0; i < MIN(READ_ONCE(l->held), AGENT_WITHHELD_MAX); i++)
		if (l->who[i].thread == thread)
			return agent_handles(l->who[i].ip);
	return false;
}

void withheld_take(const struct agent_withheld_list *l)
{
	u32 n = READ_ONCE(l->given);

	for (u32 i = 0; i < MIN(n, AGENT_WITHHELD_MAX); i++)
		if (!in_handler(l, l->v[i].thread))
			withheld_set(l->v[i].thread, l->v[i].tid,
				     withheld_get(l->v[i].thread, 0) | (l->v[i].which & SIG_OURS),
				     0);
}

/* A thread that will still meet the stub of a return instance must not block SIGTRAP, ever; nor
 * what comes when it is in a hit. */
void withheld_give_back(struct agent_withheld_list *l, bool settled)
{
	u32 n = 0;

	for (u32 i = 0; i < NOTES; i++) {
		struct note *note = &notes[i];

		if (l && note->tid && note->which && n < AGENT_WITHHELD_MAX &&
		    (settled || !crowd_needs_traps(note->thread)))
			l->v[n++] = (struct agent_withheld){note->thread, note->tid, note->which};
		wipe(note);
	}
	if (l)
		l->back = n;
}
