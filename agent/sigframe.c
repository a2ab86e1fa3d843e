/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks that a return from a signal handler will set.
 *
 * Model: the kernel's frame of a handler under way holds the mask the thread had before, and
 * nothing tells when it becomes the thread's again. A thread that blocks our signals and is in a
 * handler when we come would block them for real after that, and the next break trap would be its
 * death. So the stacks of the threads, which are held, are looked through: from the stack pointer
 * on, and from where a frame says the thread was before, if that is another stack. In the frames
 * found our signals are taken out of the mask; what they were is noted. When the guards go, all of
 * it is put back, and frames that were made meanwhile get what the thread is known to block; but
 * not those that return into a hit, which may trap or fault for us. Where the thread will block
 * something else from then on, the return is one to be seen (handling.c).
 *
 * A frame is known by what it ends in, the restorer's system call, and by what the kernel writes
 * into each. Memory is read and written through a file and never in place: what looks like a frame
 * may hold any address, and there may be no handler of ours for faults yet.
 */
#include "agent/agent.h"

#define STACK_REACH (1u << 20) /* of each stack this is looked through */
#define STACKS_MAX 4u
#define WINDOW 8192u
#define NOTES 512u

#define FLAGS_MAX 7u /* of those in use */
#define FP_DISTANCE (64u << 10)

struct note {
	u64 uc;
	u64 which; /* of our signals */
};

/* exchange code runs one thread at a time */
static struct note notes[NOTES];
static u32 nnotes;
static u8 window[WINDOW];

struct walk {
	int mem;
	u64 from[STACKS_MAX]; /* stack pointers */
	u32 nfrom;
	u64 thread; /* its pointer */
	u64 left;   /* the frame whose handler has ended, 0: none; its mask comes next */
	u64 which;  /* of the thread, as far as it is known */
	u64 inner;  /* of what returns to the next frame */
	bool ends_seen;
	void (*visit)(struct walk *w, u64 at, const struct osl_ucontext *uc);
};

static bool returns_from_signal(struct walk *w, u64 code)
{
	u8 now[ARCH_SIGRETURN_LEN];

	return sys_pread(w->mem, now, sizeof(now), code) == sizeof(now) && arch_is_sigreturn(now);
}

/* It is in the restorer: the address of that has been taken off the stack. */
static bool is_leaving(struct walk *w, u64 ip)
{
	u8 code[2 * ARCH_SIGRETURN_LEN - 1];
	u64 from = ip - (ARCH_SIGRETURN_LEN - 1);
	long n = sys_pread(w->mem, code, sizeof(code), from);

	if (n < 0) { /* nothing is mapped before */
		from = ALIGN_DOWN(ip, EBPFRT_PAGE_SIZE);
		n = sys_pread(w->mem, code, sizeof(code), from);
	}
	for (u64 i = 0; from + i <= ip && (long)i + ARCH_SIGRETURN_LEN <= n; i++)
		if (arch_is_sigreturn(code + i))
			return true;
	return false;
}

static bool is_frame(struct walk *w, u64 at, const u8 *bytes)
{
	const struct osl_ucontext *uc = (const void *)(bytes + 8);
	u64 restorer;

	memcpy(&restorer, bytes, sizeof(restorer));
	return uc->cs == USER_CS && uc->flags <= FLAGS_MAX && !uc->link &&
	       (!uc->fpstate || uc->fpstate - at < FP_DISTANCE) && returns_from_signal(w, restorer);
}

static bool looked_at(const struct walk *w, u64 sp)
{
	for (u32 i = 0; i < w->nfrom; i++)
		if (sp - w->from[i] < STACK_REACH)
			return true;
	return false;
}

static void look_at(struct walk *w, u64 at, const u8 *bytes)
{
	const struct osl_ucontext *uc = (const void *)(bytes + 8);

	if (!is_frame(w, at, bytes))
		return;
	if (w->nfrom < STACKS_MAX && !looked_at(w, stack_origin(uc->sp)))
		w->from[w->nfrom++] = stack_origin(uc->sp);
	w->visit(w, at, uc);
}

/*
 * A thread's control block is no stack: one that begins below it ends there, as those do that the
 * C library makes. Behind it are other threads' stacks, or libraries.
 */
static u64 end_of_stack(const struct walk *w, u64 from)
{
	u64 self;

	if (w->thread - from < STACK_REACH &&
	    sys_pread(w->mem, &self, sizeof(self), w->thread) == sizeof(self) && self == w->thread)
		return w->thread;
	return from + STACK_REACH;
}

/* Contexts are aligned, and the address of the restorer is right before each. */
static void look_through(struct walk *w, u64 from)
{
	const u64 least = 8 + sizeof(struct osl_ucontext);
	u64 at = ALIGN_UP(from, 16), end = end_of_stack(w, at);
	long n;

	do {
		n = sys_pread(w->mem, window, MIN(WINDOW, end - at + 8), at - 8);
		for (u64 off = 0; n > 0 && off + least <= (u64)n; off += 16, at += 16)
			look_at(w, at, window + off);
	} while (n == WINDOW && at < end);
}

/* Frames on a stack of ours return into a hit: what matters is where that came from. */
static void look_through_all(struct walk *w, const struct agent_held *h)
{
	w->from[0] = stack_origin(h->sp);
	w->nfrom = 1;
	w->thread = h->thread;
	w->left = is_leaving(w, h->ip) ? h->sp : 0;
	w->inner = w->which = withheld_get(h->thread, 0) & SIG_OURS;
	for (u32 i = 0; i < w->nfrom; i++)
		look_through(w, w->from[i]);
}

static void each_frame(struct walk *w, const struct agent_held *who, u32 n)
{
	w->mem = (int)sys_open("/proc/self/mem", O_RDWR);
	if (w->mem < 0)
		return;
	for (u32 i = 0; i < n; i++)
		look_through_all(w, &who[i]);
	sys_close(w->mem);
}

static void set_mask(struct walk *w, u64 at, u64 mask)
{
	sys_pwrite(w->mem, &mask, sizeof(mask), at + offsetof(struct osl_ucontext, sigmask));
}

static struct note *note_of(u64 at)
{
	for (u32 i = 0; i < nnotes; i++)
		if (notes[i].uc == at)
			return &notes[i];
	return NULL;
}

/*
 * What is withheld ends with the handler that is under way, or begins again; frames that look like
 * one and are none may come between. Of a handler that has returned nobody sees the end any more.
 */
static void see_end(struct walk *w, u64 at, const struct osl_ucontext *uc)
{
	u64 before = uc->sigmask & SIG_OURS, to = 0;

	if (at == w->left) {
		withheld_restore(w->thread, before);
		w->which = before;
	} else if (w->ends_seen && (before != w->inner || before != w->which))
		to = handling_began(at - 8, ((const u64 *)uc)[-1], before);
	if (to)
		sys_pwrite(w->mem, &to, sizeof(to), at - 8);
	w->inner = before;
}

static void open_frame(struct walk *w, u64 at, const struct osl_ucontext *uc)
{
	see_end(w, at, uc);
	if (!note_of(at) && nnotes < NOTES)
		notes[nnotes++] = (struct note){at, uc->sigmask & SIG_OURS};
	if (uc->sigmask & SIG_OURS)
		set_mask(w, at, uc->sigmask & ~SIG_OURS);
}

void sigframe_open(const struct agent_held *who, u32 n)
{
	struct walk w = {.visit = open_frame, .ends_seen = !exchange_shadow_stack()};

	nnotes = 0;
	each_frame(&w, who, n);
}

static bool returns_to_hit(const struct osl_ucontext *uc)
{
	return stack_index(uc->sp) >= 0 || agent_prog_contains(uc->ip) || agent_works(uc->ip);
}

static void close_frame(struct walk *w, u64 at, const struct osl_ucontext *uc)
{
	const struct note *note = note_of(at);
	u64 which = note ? note->which : w->which;

	handling_before(at - 8, &which);
	if (which & ~uc->sigmask && !returns_to_hit(uc))
		set_mask(w, at, uc->sigmask | which);
}

void sigframe_close(const struct agent_held *who, u32 n)
{
	struct walk w = {.visit = close_frame};

	each_frame(&w, who, n);
	nnotes = 0;
}
