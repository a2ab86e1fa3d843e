/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for rings: epoll, poll and select on descriptors of ring buffers and perf events.
 *
 * Model: these descriptors can't be waited on themselves; the daemon has an eventfd for each ring,
 * which stands in for it, edge-triggered, with the program's own epoll data. Level-triggering is
 * made here: before a wait blocks, the rings registered with this epoll instance are looked over
 * (ring.c), and those with something to read are reported at once.
 *
 * Rules: registrations are few and live in a list under the table lock; a waiting thread works on
 * counted copies. No lock is held while waiting, and the thread is not "inside" then.
 */
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>

#include "surface/internal.h"

struct reg {
	struct reg *next;
	int epfd;
	struct surface_obj *obj;
	struct epoll_event ev; /* as the program gave it */
};

static struct reg *regs;
static u32 nregs;

/* The waits of libc are cancellation points. */
static long blocking(long nr, long a, long b, long c, long d, long e, long f)
{
	int type;
	long r;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	r = sys_call6(nr, a, b, c, d, e, f);
	pthread_setcanceltype(type, NULL);
	return r;
}

/* --- the stand-in
 * --------------------------------------------------------------------------------- */

static int map_ring(struct surface_obj *o, int fd)
{
	u64 size = 2 * EBPFRT_PAGE_SIZE + o->meta.max_entries;
	void *p;

	if (o->ring || o->kind != MSG_OBJ_MAP)
		return 0; /* a perf event has its ring from mmap() */
	if (o->size < size)
		return -EPROTO;
	p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (sys_is_err(p))
		return (int)(long)p;
	o->ring_size = size;
	o->ring_writable = true;
	store_release(&o->ring, (u8 *)p);
	return 0;
}

static int event_fd(struct surface_obj *o)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg req = {.type = MSG_EVENTFD};
	int err;

	if (o->event_fd >= 0)
		return o->event_fd;
	err = surface_request(&req, &o->ident, sizeof(o->ident), NULL, 0, &reply);
	if (err < 0)
		return err;
	if (reply.nfds < 1)
		return -EPROTO;
	o->event_fd = surface_private_fd(TAKE_FD(reply.fds[0]));
	sys_fcntl(o->event_fd, F_SETFL, O_RDWR | O_NONBLOCK);
	return o->event_fd;
}

/* --- registrations
 * ---------------------------------------------------------------------------------- */

static struct reg **find_reg(int epfd, const struct surface_obj *o)
{
	struct reg **at = &regs;

	while (*at && ((*at)->epfd != epfd || (*at)->obj != o))
		at = &(*at)->next;
	return at;
}

static void remove_reg(struct reg **at)
{
	struct reg *r = *at;

	*at = r->next;
	free(r);
	store_relaxed(&nregs, nregs - 1);
}

static int set_reg(int epfd, struct surface_obj *o, const struct epoll_event *ev)
{
	struct reg **at, *r;

	surface_lock();
	at = find_reg(epfd, o);
	r = *at;
	if (!r) {
		r = calloc(1, sizeof(*r));
		if (r) {
			*r = (struct reg){.next = regs, .epfd = epfd, .obj = o};
			regs = r;
			store_relaxed(&nregs, nregs + 1);
		}
	}
	if (r)
		r->ev = *ev;
	surface_unlock();
	return r ? 0 : -ENOMEM;
}

static void clear_reg(int epfd, struct surface_obj *o)
{
	struct reg **at;

	surface_lock();
	at = find_reg(epfd, o);
	if (*at)
		remove_reg(at);
	surface_unlock();
}

/* The object goes: as the kernel does, its registrations go with it. */
void surface_wait_forget(struct surface_obj *o)
{
	surface_lock();
	for (struct reg **at = &regs; *at;) {
		if ((*at)->obj != o) {
			at = &(*at)->next;
			continue;
		}
		if (o->event_fd >= 0)
			sys_call4(SYS_epoll_ctl, (*at)->epfd, EPOLL_CTL_DEL, o->event_fd, NULL);
		remove_reg(at);
	}
	surface_unlock();
}

void surface_wait_forget_epfd(int epfd)
{
	if (load_relaxed(&nregs) == 0)
		return;
	surface_lock();
	for (struct reg **at = &regs; *at;) {
		if ((*at)->epfd == epfd)
			remove_reg(at);
		else
			at = &(*at)->next;
	}
	surface_unlock();
}

/* The stand-in becomes readable, whatever the program waits for. */
static u32 stand_in_events(const struct surface_obj *o, u32 events)
{
	u32 wants = surface_ring_wants(o);

	if (wants == EPOLLIN)
		return events;
	return (events & ~(u32)(EPOLLIN | EPOLLOUT)) | (events & wants ? EPOLLIN : 0);
}

static long ctl_ring(int epfd, int op, int fd, struct epoll_event *ev, struct surface_obj *o)
{
	struct epoll_event edge;
	int stand_in, err;
	long ret;

	if (op != EPOLL_CTL_DEL && !user_ok((u64)ev, sizeof(*ev)))
		return -EFAULT;
	err = map_ring(o, fd);
	stand_in = err ? err : event_fd(o);
	if (stand_in < 0)
		return stand_in;
	if (op == EPOLL_CTL_DEL) {
		clear_reg(epfd, o);
		return sys_call4(SYS_epoll_ctl, epfd, op, stand_in, NULL);
	}
	edge = *ev;
	edge.events = stand_in_events(o, ev->events) | EPOLLET;
	ret = sys_call4(SYS_epoll_ctl, epfd, op, stand_in, &edge);
	return ret < 0 ? ret : set_reg(epfd, o, ev);
}

long surface_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	_cleanup_obj_ struct surface_obj *o = surface_obj_known(fd);
	int saved = errno;
	long ret;

	if (!o || !surface_is_ring(o))
		return SURFACE_PASS;
	surface_enter();
	ret = ctl_ring(epfd, op, fd, ev, o);
	surface_leave();
	errno = saved;
	return ret;
}

/* --- epoll_wait
 * -------------------------------------------------------------------------------------- */

static u32 collect(int epfd, struct reg **out)
{
	struct reg *copy;
	u32 n = 0;

	if (load_relaxed(&nregs) == 0)
		return 0;
	surface_lock();
	copy = calloc(nregs + 1, sizeof(*copy));
	for (struct reg *r = regs; copy && r; r = r->next)
		if (r->epfd == epfd) {
			__atomic_add_fetch(&r->obj->refs, 1, __ATOMIC_RELAXED);
			copy[n++] = *r;
		}
	surface_unlock();
	*out = copy;
	return n;
}

static void release(struct reg *copy, u32 n)
{
	for (u32 i = 0; i < n; i++)
		surface_obj_put(copy[i].obj);
	free(copy);
}

static bool reported(const struct epoll_event *evs, long n, const struct epoll_event *ev, u32 what)
{
	for (long i = 0; i < n; i++)
		if (evs[i].data.u64 == ev->data.u64 && (evs[i].events & what))
			return true;
	return false;
}

/* What a stand-in said, in the words the program waits for. */
static void translate(const struct reg *copy, u32 n, struct epoll_event *evs, long have)
{
	for (u32 i = 0; i < n; i++) {
		if (surface_ring_wants(copy[i].obj) == EPOLLIN)
			continue;
		for (long k = 0; k < have; k++)
			if (evs[k].data.u64 == copy[i].ev.data.u64 && evs[k].events & EPOLLIN)
				evs[k].events = (evs[k].events & ~(u32)EPOLLIN) | EPOLLOUT;
	}
}

/* Look the rings over; those with something to read join @evs, of which @have are filled. */
static long add_ready(struct reg *copy, u32 n, struct epoll_event *evs, long have, int room)
{
	for (u32 i = 0; i < n; i++) {
		const struct epoll_event *ev = &copy[i].ev;
		bool ready = surface_ring_ready(copy[i].obj);
		u32 what = surface_ring_wants(copy[i].obj);

		if (!ready || !(ev->events & what) || (ev->events & (EPOLLET | EPOLLONESHOT)))
			continue;
		if (have < room && !reported(evs, have, ev, what))
			evs[have++] = (struct epoll_event){.events = what, .data = ev->data};
	}
	return have;
}

long surface_epoll_wait(int epfd, struct epoll_event *evs, int room, int timeout, const void *mask,
			size_t mask_size)
{
	struct reg *copy = NULL;
	int saved = errno;
	long ready, ret;
	u32 n;

	surface_enter();
	n = collect(epfd, &copy);
	ready = n && room > 0 ? add_ready(copy, n, evs, 0, room) : 0;
	surface_leave();
	ret = blocking(SYS_epoll_pwait, epfd, (long)evs, room, ready ? 0 : timeout, (long)mask,
		       (long)mask_size);
	surface_enter();
	translate(copy, n, evs, ret);
	if (n && room > 0 && (ret > 0 || (ret == 0 && (ready || timeout))))
		ret = add_ready(copy, n, evs, ret, room);
	release(copy, n);
	surface_leave();
	errno = saved;
	return ret;
}

/* --- poll
 * ---------------------------------------------------------------------------------------------- */

struct polled {
	struct pollfd *user; /* the program's */
	struct pollfd *real; /* with stand-ins */
	struct surface_obj **objs;
	unsigned long n;
	bool any;
};

static void polled_deinit(struct polled *p)
{
	for (unsigned long i = 0; p->objs && i < p->n; i++)
		if (p->objs[i])
			surface_obj_put(p->objs[i]);
	free(p->objs);
	free(p->real);
}

static int polled_init(struct polled *p)
{
	p->real = calloc(p->n + 1, sizeof(*p->real));
	p->objs = calloc(p->n + 1, sizeof(*p->objs));
	if (!p->real || !p->objs)
		return -ENOMEM;
	for (unsigned long i = 0; i < p->n; i++) {
		struct surface_obj *o =
			p->user[i].fd >= 0 ? surface_obj_known(p->user[i].fd) : NULL;

		p->real[i] = p->user[i];
		if (o && surface_is_ring(o) && map_ring(o, p->user[i].fd) == 0 &&
		    event_fd(o) >= 0) {
			p->real[i].fd = o->event_fd;
			p->real[i].events = (short)stand_in_events(o, p->user[i].events);
			p->objs[i] = o;
			p->any = true;
		} else if (o) {
			surface_obj_put(o);
		}
	}
	return 0;
}

/* Old wake-ups are taken off the stand-ins before the rings are looked at, so none is lost. */
static long rings_ready(struct polled *p)
{
	long ready = 0;
	u64 unused;

	for (unsigned long i = 0; i < p->n; i++) {
		if (!p->objs[i])
			continue;
		sys_call3(SYS_read, p->objs[i]->event_fd, &unused, sizeof(unused));
		ready += (p->user[i].events & surface_ring_wants(p->objs[i])) &&
			 surface_ring_ready(p->objs[i]);
	}
	return ready;
}

static long poll_result(struct polled *p)
{
	long n = 0;

	for (unsigned long i = 0; i < p->n; i++) {
		p->user[i].revents = p->real[i].revents;
		if (p->objs[i]) {
			bool edge = p->real[i].revents && !p->objs[i]->ring_writable;
			bool ready = edge || surface_ring_ready(p->objs[i]);

			p->user[i].revents =
				ready ? p->user[i].events & (short)surface_ring_wants(p->objs[i])
				      : 0;
		}
		n += p->user[i].revents != 0;
	}
	return n;
}

static u64 ns_of(const struct timespec *ts)
{
	return (u64)ts->tv_sec * 1000000000 + (u64)ts->tv_nsec;
}

static long poll_rings(struct polled *p, const struct timespec *timeout, const void *mask,
		       size_t mask_size)
{
	u64 start = osl_now_ns(), limit = timeout ? ns_of(timeout) : 0, spent = 0;
	struct timespec left = {0};
	long ready, ret, n;

	for (;;) {
		surface_enter();
		ready = rings_ready(p);
		surface_leave();
		if (timeout && !ready) {
			left.tv_sec = (time_t)((limit - spent) / 1000000000);
			left.tv_nsec = (long)((limit - spent) % 1000000000);
		}
		ret = blocking(SYS_ppoll, (long)p->real, (long)p->n,
			       ready	 ? (long)&(struct timespec){0}
			       : timeout ? (long)&left
					 : 0,
			       (long)mask, (long)mask_size, 0);
		if (ret < 0)
			return ret;
		surface_enter();
		n = poll_result(p);
		surface_leave();
		spent = osl_now_ns() - start;
		if (n || (timeout && spent >= limit))
			return n;
	}
}

long surface_ppoll(struct pollfd *fds, unsigned long n, const struct timespec *timeout,
		   const void *mask, size_t mask_size)
{
	struct polled p = {.user = fds, .n = n};
	struct timespec copy;
	int saved = errno;
	long ret;

	surface_enter();
	ret = surface_obj_count() && n && n < 65536 && user_ok((u64)fds, n * sizeof(*fds))
		      ? polled_init(&p)
		      : 0;
	surface_leave();
	if (!ret && p.any) {
		ret = poll_rings(&p, timeout, mask, mask_size);
	} else if (!ret) {
		copy = timeout ? *timeout : (struct timespec){0}; /* libc's does not write it */
		ret = blocking(SYS_ppoll, (long)fds, (long)n, timeout ? (long)&copy : 0, (long)mask,
			       (long)mask_size, 0);
	}
	surface_enter();
	polled_deinit(&p);
	surface_leave();
	errno = saved;
	return ret;
}

/* --- select
 * -------------------------------------------------------------------------------------------- */

struct selected {
	int n;
	fd_set *sets[3]; /* read, write, except: the program's; NULL: none */
	struct pollfd *fds;
	unsigned long nfds;
};

static const short asked[3] = {POLLIN, POLLOUT, POLLPRI};
static const short answered[3] = {POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR,
				  POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR, POLLPRI};

/* Sets may be larger than fd_set: programs allocate what @n needs. */
static bool in_set(const fd_set *set, int fd)
{
	const unsigned long *words = (const unsigned long *)set;

	return set && (words[fd / 64] >> (fd % 64) & 1);
}

static bool names_ring(int fd)
{
	_cleanup_obj_ struct surface_obj *o = surface_obj_known(fd);

	return o && surface_is_ring(o);
}

/* The sets as an array for poll(). True when one of ours is among them. */
static bool gather(struct selected *s)
{
	bool any = false;

	s->fds = calloc((size_t)s->n + 1, sizeof(*s->fds));
	for (int fd = 0; s->fds && fd < s->n; fd++) {
		short events = 0;

		for (int i = 0; i < 3; i++)
			events |= in_set(s->sets[i], fd) ? asked[i] : 0;
		if (!events)
			continue;
		s->fds[s->nfds++] = (struct pollfd){.fd = fd, .events = events};
		any |= names_ring(fd);
	}
	return any;
}

static long scatter(struct selected *s)
{
	size_t bytes = ((size_t)s->n + 63) / 64 * 8;
	long n = 0;

	for (unsigned long k = 0; k < s->nfds; k++)
		if (s->fds[k].revents & POLLNVAL)
			return -EBADF;
	for (int i = 0; i < 3; i++)
		if (s->sets[i])
			memset(s->sets[i], 0, bytes);
	for (unsigned long k = 0; k < s->nfds; k++) {
		const struct pollfd *p = &s->fds[k];

		for (int i = 0; i < 3; i++) {
			if (!(p->events & asked[i]) || !(p->revents & answered[i]))
				continue;
			((unsigned long *)s->sets[i])[p->fd / 64] |= 1ul << (p->fd % 64);
			n++;
		}
	}
	return n;
}

static bool sets_ok(const struct selected *s)
{
	bool ok = s->n > 0 && s->n <= 65536;

	for (int i = 0; i < 3; i++)
		ok = ok && (!s->sets[i] || user_ok((u64)s->sets[i], ((size_t)s->n + 63) / 64 * 8));
	return ok;
}

static bool has_rings(struct selected *s)
{
	bool any;

	if (surface_idle() || !surface_obj_count() || !sets_ok(s))
		return false;
	surface_enter();
	any = gather(s);
	surface_leave();
	return any;
}

long surface_select(int n, fd_set *read, fd_set *write, fd_set *except,
		    const struct timespec *timeout, const void *mask, size_t mask_size)
{
	struct selected s = {.n = n, .sets = {read, write, except}};
	struct timespec copy = timeout ? *timeout : (struct timespec){0};
	const void *const packed[] = {mask, (const void *)mask_size};
	int saved = errno;
	long ret;

	if (has_rings(&s)) {
		ret = surface_ppoll(s.fds, s.nfds, timeout, mask, mask_size);
		if (ret >= 0)
			ret = scatter(&s);
	} else {
		ret = blocking(SYS_pselect6, n, (long)read, (long)write, (long)except,
			       timeout ? (long)&copy : 0, (long)packed);
	}
	surface_enter();
	free(s.fds);
	surface_leave();
	errno = saved;
	return ret;
}
