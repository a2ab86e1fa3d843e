/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions: one program that runs at a call's entry and, when it wants to, at the return of the
 * same call, with a word of its own in between.
 *
 * Model: what has to be known from the one to the other is a note: which link, and its word. A
 * call's notes are a list; its return instance (ret.c) has the number of the first, and they are
 * released with it, however the call ends. A link that came after a call's entry has no note of it
 * and isn't run at its return. Notes that were never used are handed out in order, then those on a
 * lock-free list.
 *
 * Rules: a list belongs to whoever took its number out of where it was, atomically, so that nothing
 * is released twice. Who looks at a list that isn't his may see another one's, but comes to an end.
 *
 * All this is private memory: a forked child has its own copy, and needs it. It is there from the
 * first consumer of that kind, for good, and touched as far as calls are nested. Typed programs
 * that run at an exit keep the arguments of the call in a table of its own beside the notes.
 */
#include "agent/agent.h"

#define NOTES 32768u

struct note {
	u64 link;
	u64 cookie;
	u32 index; /* of the link's places */
	u32 next;  /* of the call, or of the free list */
};

static struct note *notes;	      /* the first is not one */
static u64 (*words)[EBPF_IMAGE_ARGS]; /* the same, of typed programs; or NULL */
static u64 free_list;		      /* version << 32 | number; 0: empty */
static u32 fresh = 1;		      /* first one never used */

int session_init(bool typed)
{
	struct note *n = notes ? notes : agent_pages(NOTES * sizeof(*n), "ebpfrt-sessions");
	void *w = words;

	if (!n)
		return -ENOMEM;
	store_release(&notes, n);
	if (!typed || w)
		return 0;
	w = agent_pages(NOTES * sizeof(*words), "ebpfrt-arguments");
	store_release(&words, w);
	return w ? 0 : -ENOMEM;
}

static u32 take_used(void)
{
	u64 head = load_acquire(&free_list), new;

	do {
		if (!(u32)head)
			return 0;
		new = ((head >> 32) + 1) << 32 | load_relaxed(&notes[(u32)head].next);
	} while (!__atomic_compare_exchange_n(&free_list, &head, new, true, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	return (u32)head;
}

static u32 take_fresh(void)
{
	u32 i = load_relaxed(&fresh);

	do {
		if (i == NOTES)
			return 0;
	} while (!__atomic_compare_exchange_n(&fresh, &i, i + 1, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return i;
}

__hot bool session_note(u32 *list, const struct agent_hook *h, u64 cookie)
{
	u32 i = take_used();

	if (!i)
		i = take_fresh();
	if (!i)
		return false;
	notes[i].link = h->link;
	notes[i].index = h->index;
	notes[i].cookie = cookie;
	store_relaxed(&notes[i].next, *list);
	*list = i;
	return true;
}

__hot bool session_find(u32 list, const struct agent_hook *h, u64 *cookie)
{
	for (u32 i = list, n = 0; i && n < NOTES; i = load_relaxed(&notes[i].next), n++) {
		if (notes[i].link != h->link || notes[i].index != h->index)
			continue;
		*cookie = notes[i].cookie;
		return true;
	}
	return false;
}

u64 *session_words(u32 list, const struct agent_hook *h)
{
	u64(*table)[EBPF_IMAGE_ARGS] = load_acquire(&words);

	for (u32 i = list, n = 0; table && i && n < NOTES; i = load_relaxed(&notes[i].next), n++)
		if (notes[i].link == h->link && notes[i].index == h->index)
			return table[i];
	return NULL;
}

static void give(u32 i)
{
	u64 head = load_relaxed(&free_list), new;

	do {
		store_relaxed(&notes[i].next, (u32)head);
		new = ((head >> 32) + 1) << 32 | i;
	} while (!__atomic_compare_exchange_n(&free_list, &head, new, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

__hot void session_forget(u32 list)
{
	for (u32 i = list, next; i; i = next) {
		next = load_relaxed(&notes[i].next);
		give(i);
	}
}
