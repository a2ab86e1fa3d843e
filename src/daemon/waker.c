/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pages every producer maps, and the thread behind them.
 *
 * bells: producers mark a slot and bump a futex; the waker thread sleeps on it and writes the
 * eventfd of each marked slot, which is what readers wait for. A producer can write anything there:
 * the worst is a spurious wake-up.
 *
 * life: `alive` holds the waker thread's tid and is the pending entry of its robust list. When the
 * thread ends, by whatever death of the daemon, the kernel marks the word FUTEX_OWNER_DIED
 * (handle_futex_death() in kernel/futex/core.c): no other process has to watch us.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/daemon.h"

struct waker {
	pthread_t thread;
	pthread_mutex_t lock; /* of fds */
	int fds[OSL_BELLS];   /* -1: free */
	bool stop;
	struct osl_bells *bells;
	u32 *alive;
	struct robust_list_head robust;
};

#define LOOK_NS 50000000 /* for rings that nobody announces */

static long futex(u32 *word, int op, u32 val, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, val, timeout, NULL, 0);
}

static void ring_one(struct waker *w, u32 bell)
{
	u64 one = 1;

	pthread_mutex_lock(&w->lock);
	if (w->fds[bell] >= 0 && write(w->fds[bell], &one, sizeof(one)) < 0)
		log_line("doorbell %u: %s", bell, strerror(errno));
	pthread_mutex_unlock(&w->lock);
}

static bool serve(struct waker *w)
{
	bool any = false;

	for (u32 i = 0; i < OSL_BELLS / 64; i++) {
		u64 bits = __atomic_exchange_n(&w->bells->pending[i], 0, __ATOMIC_SEQ_CST);

		for (; bits; bits &= bits - 1) {
			ring_one(w, i * 64 + __builtin_ctzll(bits));
			any = true;
		}
	}
	return any;
}

static bool none_pending(const struct waker *w)
{
	for (u32 i = 0; i < OSL_BELLS / 64; i++)
		if (__atomic_load_n(&w->bells->pending[i], __ATOMIC_SEQ_CST))
			return false;
	return true;
}

/* Announce the sleep first, then look once more: a producer that saw us awake has its mark seen. */
static void doze(struct waker *w)
{
	static const struct timespec look = {0, LOOK_NS};
	u32 seq = __atomic_load_n(&w->bells->seq, __ATOMIC_SEQ_CST);
	bool mute = __atomic_load_n(&w->bells->mute, __ATOMIC_SEQ_CST);

	__atomic_store_n(&w->bells->asleep, 1, __ATOMIC_SEQ_CST);
	if (none_pending(w) && !load_acquire(&w->stop))
		futex(&w->bells->seq, FUTEX_WAIT, seq, mute ? &look : NULL);
	__atomic_store_n(&w->bells->asleep, 0, __ATOMIC_SEQ_CST);
}

static void become_life(struct waker *w)
{
	static struct robust_list self;

	self.next = &self;
	w->robust.list.next = &w->robust.list;
	w->robust.futex_offset = 0;
	w->robust.list_op_pending = (struct robust_list *)w->alive;
	store_release(w->alive, (u32)gettid());
	syscall(SYS_set_robust_list, &w->robust, sizeof(w->robust));
}

static void *waker_main(void *arg)
{
	struct waker *w = arg;

	become_life(w);
	while (!load_acquire(&w->stop))
		if (!serve(w))
			doze(w);
	return NULL;
}

static int page_new(const char *name, u64 size, bool seal, int *fd, void **out)
{
	_cleanup_close_ int new = osl_shm_create(name, size);
	int err;

	if (new < 0)
		return new;
	err = osl_shm_map(new, 0, size, true, out);
	if (!err)
		err = osl_shm_seal(new, OSL_SEAL_SIZE | (seal ? OSL_SEAL_FUTURE_WRITE : 0));
	if (!err)
		*fd = TAKE_FD(new);
	return err;
}

static int pages(struct daemon *d)
{
	int err = page_new("ebpfrt-bells", ALIGN_UP(sizeof(struct osl_bells), EBPFRT_PAGE_SIZE),
			   false, &d->bells_fd, (void **)&d->bells);

	if (!err)
		err = page_new("ebpfrt-life", ALIGN_UP(sizeof(struct osl_life), EBPFRT_PAGE_SIZE),
			       true, &d->life_fd, (void **)&d->life);
	if (!err)
		d->loop.rounds = &d->life->rounds;
	if (!err && getrandom(&d->life->generation, sizeof(u64), 0) != sizeof(u64))
		err = -errno;
	/* a number that nobody has yet owns nothing, whatever somebody scribbled into a lock */
	if (!err)
		memset(d->life->dead, 1, sizeof(d->life->dead));
	return err;
}

int waker_start(struct daemon *d)
{
	struct waker *w = calloc(1, sizeof(*w));
	sigset_t all, old;
	int err;

	if (!w)
		return -ENOMEM;
	err = pages(d);
	if (err) {
		free(w);
		return err;
	}
	pthread_mutex_init(&w->lock, NULL);
	for (u32 i = 0; i < OSL_BELLS; i++)
		w->fds[i] = -1;
	w->bells = d->bells;
	w->alive = &d->life->alive;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&w->thread, NULL, waker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		free(w);
		return err;
	}
	d->waker = w;
	/* nobody may see a daemon whose life word is still empty */
	while (!load_acquire(w->alive))
		sched_yield();
	return 0;
}

void waker_stop(struct daemon *d)
{
	struct waker *w = d->waker;

	if (!w)
		return;
	store_release(&w->stop, true);
	__atomic_fetch_add(&w->bells->seq, 1, __ATOMIC_SEQ_CST);
	futex(&w->bells->seq, FUTEX_WAKE, 1, NULL);
	pthread_join(w->thread, NULL);
	for (u32 i = 0; i < OSL_BELLS; i++)
		if (w->fds[i] >= 0)
			close(w->fds[i]);
	free(w);
	d->waker = NULL;
}

int waker_bell_new(struct daemon *d, int *fd)
{
	struct waker *w = d->waker;

	for (u32 i = 1; i < OSL_BELLS; i++) {
		int new;

		if (w->fds[i] >= 0)
			continue;
		new = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (new < 0)
			return -errno;
		pthread_mutex_lock(&w->lock);
		w->fds[i] = new;
		pthread_mutex_unlock(&w->lock);
		if (fd)
			*fd = new;
		return i;
	}
	return -ENOSPC;
}

void waker_bell_free(struct daemon *d, u32 bell)
{
	struct waker *w = d->waker;

	if (!w || !bell || bell >= OSL_BELLS || w->fds[bell] < 0)
		return;
	pthread_mutex_lock(&w->lock);
	close(w->fds[bell]);
	w->fds[bell] = -1;
	pthread_mutex_unlock(&w->lock);
}

int waker_bell_fd(struct daemon *d, u32 bell)
{
	return bell && bell < OSL_BELLS ? d->waker->fds[bell] : -1;
}

u32 participant_new(struct daemon *d)
{
	for (u32 i = 0; i < OSL_MAX_PARTICIPANTS; i++) {
		u32 who = d->next_participant++ % OSL_MAX_PARTICIPANTS;

		if (!who || d->participants[who])
			continue;
		d->participants[who] = 1;
		store_release(&d->life->dead[who], 0);
		return who;
	}
	return 0;
}

void participant_dead(struct daemon *d, u32 who)
{
	if (!who || who >= OSL_MAX_PARTICIPANTS)
		return;
	d->participants[who] = 0;
	store_release(&d->life->dead[who], 1);
}
