/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals held back: somebody sent one of ours to a thread that believes to block it.
 *
 * Model: the kernel delivers it, since for the kernel it is open; so it is kept here until the
 * thread would have got it: when it opens its mask, waits with another one, or takes it with
 * sigtimedwait(). As in the kernel one of each kind is kept for a thread and one for the process,
 * and a forked child has none. Room is never given back; when there is none, that of threads that
 * have ended is taken, then there is more of it.
 *
 * What is for the process and has interrupted a thread that would block it is for any other that
 * doesn't: one of them is sent a signal of the same number with our mark (a *nudge*), and takes the
 * true one in its place. So is a thread in sigtimedwait(): the kernel wakes it with that, and
 * behind the call it finds the true one. A nudge may come too early, while the thread is still in
 * our handler on its way to the call. So the last thing that does is to look once more, and what
 * comes in later than that changes where the handler is about to return to.
 *
 * What a thread lets in it queues to itself (sig.c). The kernel takes that and a nudge that is on
 * its way to the thread for one, and it is the nudge that comes. So what it was is noted until
 * something of its kind has come.
 */
#include <errno.h>

#include "agent/agent.h"

#define HELD 64u
#define WAITERS 64u
#define SYSCALL_LEN 2u
#define BIT(sig) (1ULL << ((sig)-1))
#define DISGUISED 0x65766967u
#define LIST 512

/* what give_back() had to hide, or pass_on() */
struct disguise {
	u32 magic;
	s32 code;
};

enum { HELD_FREE, HELD_BUSY, HELD_READY, HELD_QUEUED };

struct held {
	u32 state;
	u32 sig;
	u32 tid; /* 0: of the process */
	u32 pad;
	siginfo_t info;
};

struct waiter {
	u32 tid; /* 0: free */
	u32 pad;
	u64 set;
	const struct arch_patch *patch; /* of the site before the call */
	struct osl_ucontext *uc; /* of the handler that returns to the call; NULL: not that far */
};

struct room {
	struct held v[HELD];
	struct room *next; /* insert-only */
};

static struct room first;
static struct waiter waiters[WAITERS];
static u32 nwaiters;
static u32 any; /* has ever held one */
static u32 nheld;
static u32 nqueued;

#define for_each_held(r, h)                                                                        \
	for (struct room *r = &first; r; r = load_acquire(&r->next))                               \
		for (struct held *h = r->v; h < r->v + HELD; h++)

static bool is_in(const struct held *h, u32 state, u64 set, u32 tid)
{
	return load_acquire(&h->state) == state && BIT(h->sig) & set && h->tid == tid;
}

static bool is_for(const struct held *h, u64 set, u32 tid)
{
	return is_in(h, HELD_READY, set, tid);
}

static struct held *find(u64 set, u32 tid)
{
	for_each_held(r, h) if (is_for(h, set, tid)) return h;
	return NULL;
}

static bool change(u32 *state, u32 from, u32 to)
{
	return __atomic_compare_exchange_n(state, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static void set_free(struct held *h)
{
	store_release(&h->state, HELD_FREE);
	__atomic_fetch_sub(&nheld, 1, __ATOMIC_RELAXED);
}

static void forget(struct held *h)
{
	if (change(&h->state, HELD_READY, HELD_BUSY))
		set_free(h);
}

static struct held *claim_free(void)
{
	for_each_held(r, h) if (load_relaxed(&h->state) == HELD_FREE &&
				change(&h->state, HELD_FREE, HELD_BUSY)) return h;
	return NULL;
}

static bool of_the_dead(const struct held *h)
{
	return load_acquire(&h->state) == HELD_READY && h->tid &&
	       SYS3(__NR_tgkill, agent.pid, h->tid, 0) == -ESRCH;
}

/* In the kernel, too, they would be gone with their thread. */
static void free_dead(void)
{
	for_each_held(r, h) if (of_the_dead(h)) forget(h);
}

static bool more_room(void)
{
	struct room *more = agent_pages(sizeof(*more), "ebpfrt-table"), *last = &first, *none;

	if (!more)
		return false;
	do {
		while (load_acquire(&last->next))
			last = load_acquire(&last->next);
		none = NULL;
	} while (!__atomic_compare_exchange_n(&last->next, &none, more, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

static struct held *claim(void)
{
	struct held *h = claim_free();

	if (!h)
		free_dead();
	while (!h && !(h = claim_free()) && more_room())
		;
	return h;
}

static void put(u32 tid, const siginfo_t *info)
{
	struct held *h;

	store_relaxed(&any, 1);
	if (find(BIT(info->si_signo), tid))
		return;
	h = claim();
	if (h) {
		h->sig = (u32)info->si_signo;
		h->tid = tid;
		h->info = *info;
		__atomic_fetch_add(&nheld, 1, __ATOMIC_RELAXED);
		store_release(&h->state, HELD_READY);
	} else {
		agent_count(&agent.stats->signals_lost);
	}
	/* who waits says so before it looks here; we look there afterwards */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool take(u64 set, u32 tid, siginfo_t *out)
{
	struct held *h;

	while ((h = find(set, tid))) {
		if (!change(&h->state, HELD_READY, HELD_BUSY))
			continue;
		*out = h->info;
		set_free(h);
		return true;
	}
	return false;
}

static struct disguise disguise_of(const siginfo_t *info)
{
	struct disguise was;

	memcpy(&was, (const u8 *)info + AGENT_MARK_AT, sizeof(was));
	if (info->si_code != SI_QUEUE)
		was.magic = 0;
	return was;
}

static bool is_nudge(const siginfo_t *info)
{
	return disguise_of(info).magic == AGENT_NUDGE;
}

/* --- queued to oneself --------------------------------------------------------------------------
 */

static struct held *find_queued(u32 sig)
{
	u32 self;

	if (likely(!load_relaxed(&nqueued)))
		return NULL;
	self = sys_gettid();
	for_each_held(r, h) if (is_in(h, HELD_QUEUED, BIT(sig), self)) return h;
	return NULL;
}

void heldback_queued(const siginfo_t *info)
{
	struct held *h;

	if (!(BIT(info->si_signo) & SIG_OURS) || find_queued((u32)info->si_signo) || !(h = claim()))
		return;
	h->sig = (u32)info->si_signo;
	h->tid = sys_gettid();
	h->info = *info;
	__atomic_fetch_add(&nqueued, 1, __ATOMIC_RELAXED);
	store_release(&h->state, HELD_QUEUED);
}

static bool is_same(const siginfo_t *a, const siginfo_t *b)
{
	return a->si_code == b->si_code && a->si_pid == b->si_pid && a->si_uid == b->si_uid &&
	       (a->si_code != SI_QUEUE || a->si_ptr == b->si_ptr);
}

/* One that was there before, and for which the kernel has taken it, leaves it to be let in. */
bool heldback_came(siginfo_t *info)
{
	struct held *h = find_queued((u32)info->si_signo);
	bool came;

	if (!h)
		return false;
	came = is_nudge(info) || is_same(info, &h->info);
	__atomic_fetch_sub(&nqueued, 1, __ATOMIC_RELAXED);
	if (came) {
		*info = h->info;
		store_release(&h->state, HELD_FREE);
	} else {
		store_relaxed(&any, 1);
		__atomic_fetch_add(&nheld, 1, __ATOMIC_RELAXED);
		store_release(&h->state, HELD_READY);
	}
	return came;
}

/* Those that came when nobody looked any more. */
void heldback_begin(void)
{
	for_each_held(r, h) if (h->state == HELD_QUEUED) h->state = HELD_FREE;
	nqueued = 0;
}

/* ------------------------------------------------------------------------------------------------
 */

bool heldback_any(void)
{
	return unlikely(load_relaxed(&nheld));
}

bool heldback_take(u64 set, siginfo_t *out)
{
	u32 tid;

	if (likely(!load_relaxed(&any)))
		return false;
	tid = sys_gettid();
	return take(set, tid, out) || take(set, 0, out);
}

u64 heldback_pending(void)
{
	u32 tid;
	u64 set = 0;

	if (!load_relaxed(&any))
		return 0;
	tid = sys_gettid();
	for_each_held(r, h) if (is_for(h, ~0ULL, tid) || is_for(h, ~0ULL, 0)) set |= BIT(h->sig);
	return set;
}

void heldback_forget(u64 set)
{
	if (!load_relaxed(&any))
		return;
	for_each_held(r, h) if (load_acquire(&h->state) == HELD_READY && BIT(h->sig) & set)
		forget(h);
}

void heldback_forked(void)
{
	for_each_held(r, h) h->state = HELD_FREE;
	memset(waiters, 0, sizeof(waiters));
	nwaiters = 0;
	any = nheld = nqueued = 0;
}

/*
 * What a thread or process says it got from kill() it can only send itself; of what was queued it
 * may say whatever is true. So for another thread it is one that was queued, and what it was is
 * behind what the kernel and the application know of it: a handler of ours tells (below).
 */
static void disguise(siginfo_t *info, u32 magic)
{
	struct disguise was = {magic, info->si_code};

	memcpy((u8 *)info + AGENT_MARK_AT, &was, sizeof(was));
	info->si_code = SI_QUEUE;
}

bool heldback_reveal(siginfo_t *info)
{
	struct disguise was = disguise_of(info);

	if (heldback_came(info))
		return true;
	if (was.magic == AGENT_NUDGE)
		return take(BIT(info->si_signo), 0, info);
	if (was.magic == DISGUISED) {
		info->si_code = was.code;
		memset((u8 *)info + AGENT_MARK_AT, 0, sizeof(was));
	}
	return true;
}

static long queue(const struct held *h, const siginfo_t *info)
{
	return h->tid ? SYS6(__NR_rt_tgsigqueueinfo, agent.pid, h->tid, h->sig, info, 0, 0)
		      : SYS3(__NR_rt_sigqueueinfo, agent.pid, h->sig, info);
}

/* To whom it was sent. */
static void give_back(struct held *h)
{
	if (queue(h, &h->info) != -EPERM)
		return;
	disguise(&h->info, DISGUISED);
	queue(h, &h->info);
}

/* To the kernel, whose the masks are again; blocked here, this thread is to get none of them. */
void heldback_give_back(void)
{
	u64 mask = SIG_OURS;

	if (!any)
		return;
	SYS6(__NR_rt_sigprocmask, SIG_BLOCK, &mask, NULL, 8, 0, 0);
	for_each_held(r, h)
	{
		if (h->state != HELD_READY)
			continue;
		give_back(h);
		set_free(h);
	}
	any = 0;
}

/* --- sigtimedwait -------------------------------------------------------------------------------
 */

static struct waiter *waiter_of(u32 tid)
{
	for (u32 i = 0; i < WAITERS; i++)
		if (load_acquire(&waiters[i].tid) == tid)
			return &waiters[i];
	return NULL;
}

/* What sigtimedwait() returns when it gets this. */
static s64 waited(const siginfo_t *info, u64 to)
{
	return to && osl_write((void *)to, info, sizeof(*info)) ? -EFAULT : info->si_signo;
}

bool heldback_before_wait(struct arch_regs *regs, const struct arch_patch *patch, bool watched)
{
	struct waiter *w;
	siginfo_t info;
	u64 set;

	if (regs->r10 != 8 || osl_read(&set, (void *)regs->di, sizeof(set)) || !(set & SIG_OURS))
		return false;
	w = watched ? waiter_of(0) : NULL;
	if (w && change(&w->tid, 0, sys_gettid())) {
		__atomic_fetch_add(&nwaiters, 1, __ATOMIC_RELAXED);
		w->patch = patch;
		w->uc = NULL;
		store_release(&w->set, set & SIG_OURS);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!heldback_take(set & SIG_OURS, &info))
		return false;
	regs->ax = (u64)waited(&info, regs->si);
	heldback_behind_wait(NULL);
	return true;
}

/* A nudge is all that it got: true, there is the true one now, or nothing, as that is taken. */
static bool was_nudged(struct arch_regs *regs)
{
	siginfo_t info;

	if (regs->ax - 1 >= 64 || !(BIT(regs->ax) & SIG_OURS))
		return false;
	if (regs->si && (osl_read(&info, (void *)regs->si, sizeof(info)) || !is_nudge(&info)))
		return false;
	if (take(BIT(regs->ax), 0, &info))
		waited(&info, regs->si);
	else if (regs->si)
		regs->ax = (u64)-EINTR;
	return true;
}

bool heldback_behind_wait(struct arch_regs *regs)
{
	struct waiter *w = waiter_of(sys_gettid());

	if (!w)
		return false;
	store_relaxed(&w->set, 0);
	store_release(&w->tid, 0);
	__atomic_fetch_sub(&nwaiters, 1, __ATOMIC_RELAXED);
	return regs && was_nudged(regs);
}

static bool wake(u32 tid, u32 sig)
{
	siginfo_t info = {.si_signo = (s32)sig, .si_code = SI_QUEUE, .si_pid = (s32)agent.pid};

	disguise(&info, AGENT_NUDGE);
	return SYS6(__NR_rt_tgsigqueueinfo, agent.pid, tid, sig, &info, 0, 0) == 0;
}

static bool nudge(u32 sig)
{
	for (u32 i = 0; i < WAITERS; i++) {
		u32 tid = load_acquire(&waiters[i].tid);

		if (!tid || !(load_acquire(&waiters[i].set) & BIT(sig)))
			continue;
		return wake(tid, sig);
	}
	return false;
}

/* The site is at the call, which is executed in the slot, or at the load of its number. */
static bool is_before_call(const struct arch_patch *p, u64 ip)
{
	if (p->len == SYSCALL_LEN)
		return ip == p->slot;
	return ip == p->addr + p->len || (p->slot && ip - p->slot < p->slot_len);
}

/* @uc leads into sigtimedwait(), which is over now if one of @set is there. */
static void end_wait(struct waiter *w, struct osl_ucontext *uc, u64 set)
{
	const struct arch_patch *p = w->patch;
	siginfo_t info;

	if (!is_before_call(p, frame_ip(uc)) || !heldback_take(set, &info))
		return;
	heldback_behind_wait(NULL);
	uc->ax = (u64)waited(&info, uc->si);
	frame_set_ip(uc, p->addr + p->len + (p->len == SYSCALL_LEN ? 0 : SYSCALL_LEN));
}

static struct waiter *own_waiter(void)
{
	return unlikely(load_relaxed(&nwaiters)) ? waiter_of(sys_gettid()) : NULL;
}

void heldback_enter(void)
{
	struct waiter *w = own_waiter();

	if (w)
		store_relaxed(&w->uc, NULL);
}

void heldback_leave(struct osl_ucontext *uc)
{
	struct waiter *w = own_waiter();

	if (!w || !is_before_call(w->patch, frame_ip(uc)))
		return;
	store_release(&w->uc, uc);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	end_wait(w, uc, load_acquire(&w->set));
}

/* --- what is for another thread -----------------------------------------------------------------
 */

static u32 number_in(const char *name)
{
	u32 n = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		n = n * 10 + (u32)(*name - '0');
	return n;
}

/* Of a list of threads: has one been woken? */
static bool wake_one(const char *list, long len, u32 sig, u32 self)
{
	for (const char *at = list; at < list + len; at += ((const struct sys_dirent *)at)->len) {
		u32 tid = number_in(((const struct sys_dirent *)at)->name);

		if (tid && tid != self && !(withheld_of(tid) & BIT(sig)) && wake(tid, sig))
			return true;
	}
	return false;
}

static void pass_on(u32 sig, u32 self)
{
	char list[LIST] __attribute__((aligned(8)));
	long fd, len;

	if (nudge(sig) || load_relaxed(&osl_walled))
		return;
	fd = sys_open("/proc/self/task", O_RDONLY);
	if (fd < 0)
		return;
	while ((len = SYS3(__NR_getdents64, fd, list, sizeof(list))) > 0)
		if (wake_one(list, len, sig, self))
			break;
	sys_close((int)fd);
}

/* A thread that would have got it gets it, whomever it was sent to. */
static u32 for_whom(const siginfo_t *info, const struct osl_ucontext *uc, u32 self)
{
	u64 blocked = withheld_blocked(arch_thread_pointer(), uc->sigmask);

	return info->si_code == SI_TKILL || !(blocked & BIT(info->si_signo)) ? self : 0;
}

void heldback_put(const siginfo_t *info, struct osl_ucontext *uc)
{
	u32 self = sys_gettid(), to = for_whom(info, uc, self);
	struct waiter *w = waiter_of(self);
	siginfo_t it = *info;

	/* what that is for is there, and is looked for when this thread lets it in */
	if (heldback_came(&it) || !is_nudge(info))
		put(to = for_whom(&it, uc, self), &it);
	if (!w || !(load_acquire(&w->set) & BIT(info->si_signo))) {
		if (!to)
			pass_on((u32)info->si_signo, self);
		return;
	}
	end_wait(w, is_before_call(w->patch, frame_ip(uc)) || !w->uc ? uc : w->uc,
		 BIT(info->si_signo));
}
