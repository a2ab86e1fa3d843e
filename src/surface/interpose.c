/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of libc that the surface takes the place of. Each one asks the file that knows, and
 * makes the plain system call when that says SURFACE_PASS: arguments, result and errno are then
 * exactly the kernel's.
 *
 * Rules: a process that never touches bpf pays one load and a branch per call. Names
 * of files are in path.c.
 * Nothing else of this library may be exported: see libebpfrt-surface.map.
 */
#include <linux/close_range.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "surface/internal.h"

/* Referred to by whoever needs this file linked: nobody calls its functions by our names. */
extern const char surface_interposed, surface_interposed_paths;
const char surface_interposed = 1;
static const char *const paths __attribute__((used)) = &surface_interposed_paths;

/* --- syscall
 * ---------------------------------------------------------------------------------------- */

struct args {
	long a[6];
};

static long (*answers)(int cmd, void *attr, u32 size);

void surface_answer(long (*answer)(int cmd, void *attr, u32 size))
{
	answers = answer;
}

static long divert(long nr, const long a[6])
{
	long ret = SURFACE_PASS;

	if (nr == SYS_bpf && answers)
		return answers((int)a[0], (void *)a[1], (u32)a[2]);
	if (nr == SYS_bpf)
		return surface_bpf((int)a[0], (u64)a[1], (u32)a[2]);
	if (nr == SYS_perf_event_open)
		ret = surface_perf_event_open((u64)a[0], (s32)a[1], (s32)a[2], (int)a[3],
					      (u64)a[4]);
	return ret == SURFACE_PASS ? sys_call6(nr, a[0], a[1], a[2], a[3], a[4], a[5]) : ret;
}

/*
 * Six arguments are read whatever the call takes: the registers and the stack slots exist, though
 * a sanitizer may think that they belong to the caller's variables.
 */
__attribute__((no_sanitize_address)) __export long syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (likely(nr != SYS_bpf && nr != SYS_perf_event_open))
		return sys_ret(sys_call6(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
	return sys_ret(divert(nr, a));
}

__export int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	long arg;

	va_start(ap, request);
	arg = va_arg(ap, long);
	va_end(ap);
	if (likely(surface_idle()))
		return (int)sys_ret(sys_call3(SYS_ioctl, fd, request, arg));
	return (int)PASS_OR(surface_ioctl(fd, (u32)request, (u64)arg),
			    sys_call3(SYS_ioctl, fd, request, arg));
}

/* --- memory
 * ------------------------------------------------------------------------------------------- */

__export void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	if (likely(surface_idle() || fd < 0 || (flags & MAP_ANONYMOUS)))
		return (void *)sys_ret((long)sys_mmap(addr, len, prot, flags, fd, off));
	return (void *)PASS_OR(surface_mmap(addr, len, prot, flags, fd, off),
			       sys_mmap(addr, len, prot, flags, fd, off));
}

__export void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off)
	__attribute__((alias("mmap")));

/* --- descriptors
 * ---------------------------------------------------------------------------------------- */

static int close_watched(int fd)
{
	struct surface_obj *o;
	int ret;

	if (surface_fd_is_private(fd) && surface_conn_is_ours())
		return -EBADF; /* the program never opened it */
	o = surface_obj_closing(fd);
	if (!o)
		surface_wait_forget_epfd(fd);
	ret = sys_close(fd);
	if (o)
		surface_obj_closed(o);
	return ret;
}

__export int close(int fd)
{
	if (likely(surface_idle()))
		return (int)sys_ret(sys_close(fd));
	return (int)sys_ret(close_watched(fd));
}

static int dup_watched(int from, int to, int flags)
{
	struct surface_obj *o = NULL;
	int ret;

	if (from == to)
		return (int)sys_call3(SYS_dup3, from, to, flags);
	if (surface_fd_is_private(to) && surface_conn_is_ours())
		surface_fd_make_room(to);
	o = surface_obj_closing(to);
	if (!o)
		surface_wait_forget_epfd(to);
	ret = (int)sys_call3(SYS_dup3, from, to, flags);
	if (o)
		surface_obj_closed(o);
	return ret;
}

__export int dup3(int from, int to, int flags)
{
	if (likely(surface_idle()))
		return (int)sys_ret(sys_call3(SYS_dup3, from, to, flags));
	return (int)sys_ret(dup_watched(from, to, flags));
}

__export int dup2(int from, int to)
{
	if (from == to) /* dup3 refuses this; dup2 only asks whether it is open */
		return sys_ret(sys_fcntl(from, F_GETFD, 0)) < 0 ? -1 : to;
	return dup3(from, to, 0);
}

/* Close a range, but not the connection, which lies somewhere in it. */
static int close_around(u32 first, u32 last, int flags)
{
	int keep = surface_poll_fd();
	long ret = 0;

	if (keep < 0 || (u32)keep < first || (u32)keep > last) {
		ret = sys_call3(SYS_close_range, first, last, flags);
	} else {
		if ((u32)keep > first)
			ret = sys_call3(SYS_close_range, first, keep - 1, flags);
		if (!ret && (u32)keep < last)
			ret = sys_call3(SYS_close_range, keep + 1, last, flags);
	}
	if (!ret && !(flags & CLOSE_RANGE_CLOEXEC))
		surface_obj_resync();
	return (int)ret;
}

__export int close_range(unsigned int first, unsigned int last, int flags)
{
	if (likely(surface_idle() || !surface_conn_is_ours()))
		return (int)sys_ret(sys_call3(SYS_close_range, first, last, flags));
	return (int)sys_ret(close_around(first, last, flags));
}

__export void closefrom(int low)
{
	int saved = errno;

	if (close_range((unsigned int)MAX(low, 0), ~0U, 0) < 0)
		for (int fd = MAX(low, 0); fd < 65536; fd++)
			close(fd);
	errno = saved;
}

/* --- waiting
 * ------------------------------------------------------------------------------------------- */

__export int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	if (likely(surface_idle()))
		return (int)sys_ret(sys_call4(SYS_epoll_ctl, epfd, op, fd, ev));
	return (int)PASS_OR(surface_epoll_ctl(epfd, op, fd, ev),
			    sys_call4(SYS_epoll_ctl, epfd, op, fd, ev));
}

__export int epoll_pwait(int epfd, struct epoll_event *evs, int n, int timeout,
			 const sigset_t *mask)
{
	return (int)sys_ret(surface_epoll_wait(epfd, evs, n, timeout, mask, 8));
}

__export int epoll_wait(int epfd, struct epoll_event *evs, int n, int timeout)
{
	return (int)sys_ret(surface_epoll_wait(epfd, evs, n, timeout, NULL, 8));
}

__export int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		   const sigset_t *mask)
{
	return (int)sys_ret(surface_ppoll(fds, n, timeout, mask, 8));
}

__export int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec ts = {.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};

	return ppoll(fds, n, timeout < 0 ? NULL : &ts, NULL);
}

static int select_any(int n, fd_set *sets[3], const struct timespec *timeout, const sigset_t *mask)
{
	return (int)sys_ret(surface_select(n, sets[0], sets[1], sets[2], timeout, mask, 8));
}

__export int pselect(int n, fd_set *read, fd_set *write, fd_set *except,
		     const struct timespec *timeout, const sigset_t *mask)
{
	return select_any(n, (fd_set *[]){read, write, except}, timeout, mask);
}

/* Linux says in @timeout how much of it is left, and programs rely on it. */
__export int select(int n, fd_set *read, fd_set *write, fd_set *except, struct timeval *timeout)
{
	struct timespec ts = {0};
	u64 start = osl_now_ns(), limit, spent;
	int ret;

	if (!timeout)
		return select_any(n, (fd_set *[]){read, write, except}, NULL, NULL);
	if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
		return (int)sys_ret(-EINVAL);
	ts.tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000;
	ts.tv_nsec = timeout->tv_usec % 1000000 * 1000;
	limit = (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
	ret = select_any(n, (fd_set *[]){read, write, except}, &ts, NULL);
	spent = MIN(osl_now_ns() - start, limit);
	timeout->tv_sec = (time_t)((limit - spent) / 1000000000);
	timeout->tv_usec = (suseconds_t)((limit - spent) % 1000000000 / 1000);
	return ret;
}

/* --- limits
 * -------------------------------------------------------------------------------------------- */

/* Programs raise the limit of locked memory for the kernel's maps and give up when they may not;
 * here nothing is locked, so that failure is not one. */
static long limit(int pid, int resource, const struct rlimit *new, struct rlimit *old)
{
	long ret = sys_call4(SYS_prlimit64, pid, resource, new, old);

	if (ret == -EPERM && new &&resource == RLIMIT_MEMLOCK && pid == 0)
		ret = old ? sys_call4(SYS_prlimit64, 0, resource, NULL, old) : 0;
	return ret;
}

/* libc declares these with an enum for @resource in C++ mode only; the ABI is int. */
__export int setrlimit(__rlimit_resource_t resource, const struct rlimit *new)
{
	return (int)sys_ret(limit(0, (int)resource, new, NULL));
}

struct rlimit64;
__export int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *new)
{
	return (int)sys_ret(limit(0, (int)resource, (const struct rlimit *)new, NULL));
}

__export int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *new,
		     struct rlimit *old)
{
	return (int)sys_ret(limit(pid, (int)resource, new, old));
}

__export int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *new,
		       struct rlimit64 *old)
{
	return (int)sys_ret(
		limit(pid, (int)resource, (const struct rlimit *)new, (struct rlimit *)old));
}
