/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handlers under way: those of the application that block one of our signals, called for one of
 * these that somebody sent, or for any other.
 *
 * Model: natively such a handler blocks what its action says, until it returns or sets its mask.
 * Ours are never blocked, so what it would block is withheld meanwhile (withheld.c), and what is
 * sent is held back (heldback.c). For that the end of the handler must be seen. It returns to an
 * address of ours where the instructions are by which unwinders and debuggers know a signal frame,
 * in memory that can't be executed: the fault is the end. Then the thread withholds what it did
 * before, and goes on to the true return. Where that memory can be executed, after all, the handler
 * returns, and only what it withholds is not seen to end.
 *
 * Those that had begun before we came return there, too, when what they return to blocks something
 * else (sigframe.c).
 *
 * Who leaves a handler otherwise sets the mask, or keeps it, as natively; the note of its frame is
 * stale then, until another handler has its frame there or there is no room. When the guards go
 * frames get the application's own way back.
 *
 * Where an alternate stack has no room for a fault's frame they block all that they should, for the
 * kernel, too (sig.c), and no end need be seen.
 *
 * Handlers that a fault of the application's calls are left alone: many programs live by them.
 */
#include "agent/agent.h"

#define NOTES 256u

struct note {
	u64 frame; /* 0: free */
	u64 restorer;
	u64 before; /* withheld */
};

static struct note notes[NOTES];

/* nop; mov $rt_sigreturn,%rax; syscall: what is before it belongs to no function */
static const char over[] __attribute__((aligned(16))) = "\x90\x48\xc7\xc0\x0f\0\0\0\x0f\x05";
#define OVER ((u64)over + 1)

static struct note *note_of(u64 frame)
{
	for (u32 i = 0; i < NOTES; i++)
		if (load_acquire(&notes[i].frame) == frame)
			return &notes[i];
	return NULL;
}

static bool change(struct note *n, u64 from, u64 to)
{
	return __atomic_compare_exchange_n(&n->frame, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static bool is_stale(u64 frame)
{
	u64 to;

	return osl_read(&to, (void *)frame, sizeof(to)) || to != OVER;
}

static struct note *claim(u64 frame)
{
	for (u32 i = 0; i < NOTES; i++)
		if (!load_relaxed(&notes[i].frame) && change(&notes[i], 0, frame))
			return &notes[i];
	for (u32 i = 0; i < NOTES; i++) {
		u64 was = load_acquire(&notes[i].frame);

		if (was && is_stale(was) && change(&notes[i], was, frame))
			return &notes[i];
	}
	return NULL;
}

/* Somebody wants to see who comes there: that has to be executed. */
static bool is_probed(u64 restorer)
{
	for (u32 i = 0; i < RESTORER_LEN; i++)
		if (site_find(restorer + i))
			return true;
	return false;
}

/* Nothing of ours may be set up yet, so nothing is read or written here. */
u64 handling_began(u64 frame, u64 restorer, u64 before)
{
	struct note *n = note_of(frame);

	if (load_relaxed(&osl_walled) || is_probed(restorer) || restorer == (u64)agent_restorer)
		return 0;
	for (u32 i = 0; i < NOTES && !n; i++)
		if (!load_relaxed(&notes[i].frame) && change(&notes[i], 0, frame))
			n = &notes[i];
	if (!n)
		return 0;
	n->restorer = restorer;
	n->before = before;
	return OVER;
}

void handling_begin(u64 frame, u64 restorer, u64 blocks, const struct osl_ucontext *uc)
{
	u64 self = arch_thread_pointer(), over_at = OVER;
	u64 before = withheld_get(self, uc->sigmask);
	u64 in = withheld_blocked(self, uc->sigmask) | (blocks & SIG_OURS);
	struct note *n;

	if (in == before || stack_full(frame, uc) || agent.shadow_stack ||
	    load_relaxed(&osl_walled) || sys_getpid() != agent.pid || !site_guarded() ||
	    is_probed(restorer))
		return;
	/* first this: a note without it is stale */
	if (osl_write((void *)frame, &over_at, sizeof(over_at)))
		return;
	n = note_of(frame);
	if (!n)
		n = claim(frame);
	if (!n) {
		osl_write((void *)frame, &restorer, sizeof(restorer));
		return;
	}
	n->restorer = restorer;
	n->before = before;
	withheld_set(self, sys_gettid(), in, uc->sigmask);
}

/* What the kernel does with the frame comes next, undisturbed: what comes in sees nothing of us. */
bool handling_ended(struct osl_ucontext *uc)
{
	const struct osl_ucontext *frame = (const struct osl_ucontext *)uc->sp;
	struct note *n;
	u64 mask;

	if (uc->ip != OVER)
		return false;
	n = note_of(uc->sp - 8);
	withheld_restore(arch_thread_pointer(), n ? n->before : 0);
	if (n)
		store_release(&n->frame, 0);
	if (sig_close()) {
		if (osl_read(&mask, &frame->sigmask, sizeof(mask)) == 0)
			sig_release(mask);
		uc->sigmask = ~0ULL;
	}
	frame_set_ip(uc, (u64)agent_restorer);
	return true;
}

bool handling_before(u64 frame, u64 *which)
{
	const struct note *n = note_of(frame);

	if (!n || is_stale(frame))
		return false;
	*which = n->before;
	return true;
}

void handling_forget(void)
{
	for (u32 i = 0; i < NOTES; i++) {
		struct note *n = &notes[i];

		if (n->frame && !is_stale(n->frame))
			osl_write((void *)n->frame, &n->restorer, sizeof(n->restorer));
		if (n->frame)
			*n = (struct note){0};
	}
}
