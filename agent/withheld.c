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
 * Rule: a thread changes its own note only; exchange code changes any, while the others are held.
 * A thread that finds no place (it would take a thousand of them that all block our signals) keeps
 * our signals open when we are gone.
 */
#include <errno.h>

#include "agent/agent.h"

#define NOTES 2048u
#define WINDOW 64u

struct note {
	u64 thread;
	u32 tid; /* whose it is, 0: free */
	u32 which;
	u32 wait; /* WAITS | what is blocked in the system call under way */
	u32 pad;
};

#define WAITS (1u << 31)

static struct note notes[NOTES];

static struct note *nth(u64 thread, u32 i)
{
	return &notes[((u32)((thread * 0x9e3779b97f4a7c15ULL) >> 40) + i) % NOTES];
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

static struct note *claim(u64 thread, u32 tid, bool of_the_dead)
{
	for (u32 i = 0; i < WINDOW; i++) {
		struct note *n = nth(thread, i);
		u32 was = load_relaxed(&n->tid);

		if (of_the_dead ? SYS3(__NR_tgkill, agent.pid, was, 0) != -ESRCH : was != 0)
			continue;
		if (__atomic_compare_exchange_n(&n->tid, &was, tid, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			return n;
	}
	return NULL;
}

u64 withheld_blocked(u64 thread)
{
	const struct note *n = find(thread);

	return !n ? 0 : n->wait ? n->wait & ~WAITS : n->which;
}

void withheld_wait(u64 thread, bool begins, u64 mask)
{
	struct note *n = find(thread);

	if (n)
		n->wait = begins ? WAITS | (u32)(mask & SIG_OURS) : 0;
}

u64 withheld_get(u64 thread)
{
	const struct note *n = find(thread);

	return n ? n->which : 0;
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
	store_release(&n->thread, thread);
	return n;
}

static void set(struct note *n, u32 tid, u64 which)
{
	store_relaxed(&n->which, (u32)which);
	n->wait = 0;
	store_release(&n->tid, which ? tid : 0);
}

void withheld_set(u64 thread, u32 tid, u64 which)
{
	struct note *n = which ? find_or_claim(thread, tid) : find(thread);

	if (n)
		set(n, tid, which);
}

void withheld_forked(void)
{
	u64 own = withheld_get(arch_thread_pointer());

	memset(notes, 0, sizeof(notes));
	withheld_set(arch_thread_pointer(), sys_gettid(), own);
}

/* --- the injection ------------------------------------------------------------------------------
 */

void withheld_take(const struct agent_withheld_list *l)
{
	u32 n = READ_ONCE(l->given);

	for (u32 i = 0; i < MIN(n, AGENT_WITHHELD_MAX); i++)
		withheld_set(l->v[i].thread, l->v[i].tid,
			     withheld_get(l->v[i].thread) | (l->v[i].which & SIG_OURS));
}

/* A thread that will still meet the stub of a return instance must not block SIGTRAP, ever. */
void withheld_give_back(struct agent_withheld_list *l)
{
	u32 n = 0;

	for (u32 i = 0; i < NOTES; i++) {
		struct note *note = &notes[i];

		if (note->tid && n < AGENT_WITHHELD_MAX && !ret_pending(note->thread))
			l->v[n++] = (struct agent_withheld){note->thread, note->tid, note->which};
		*note = (struct note){0};
	}
	l->back = n;
}
