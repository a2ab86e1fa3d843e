/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The caller's memory, for commands that go to the daemon: copied by process_vm_readv(2) on
 * ourselves, so that a wrong pointer is -EFAULT, as from the kernel, and not a crash. Where a
 * sandbox forbids that call, a plain copy is made.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "surface/internal.h"

#define USER_LOWEST 0x10000UL
#define USER_HIGHEST 0x7fffffffffffUL

static bool no_vm;

bool user_ok(u64 p, size_t len)
{
	return len == 0 || (p >= USER_LOWEST && p <= USER_HIGHEST && len <= USER_HIGHEST - p);
}

static int vm_copy(long nr, void *local, u64 remote, size_t len)
{
	struct iovec l = {local, len}, r = {(void *)remote, len};
	long n;

	if (!user_ok(remote, len))
		return -EFAULT;
	if (len == 0)
		return 0;
	n = load_relaxed(&no_vm) ? -ENOSYS : sys_call6(nr, sys_getpid(), &l, 1, &r, 1, 0);
	if (n == -ENOSYS || n == -EPERM || n == -ESRCH) {
		store_relaxed(&no_vm, true);
		if (nr == SYS_process_vm_readv)
			memcpy(local, (void *)remote, len);
		else
			memcpy((void *)remote, local, len);
		return 0;
	}
	return n == (long)len ? 0 : -EFAULT;
}

int user_read(void *dst, u64 src, size_t len)
{
	return vm_copy(SYS_process_vm_readv, dst, src, len);
}

int user_write(u64 dst, const void *src, size_t len)
{
	return vm_copy(SYS_process_vm_writev, (void *)src, dst, len);
}

int user_str(u64 src, size_t max, char **out)
{
	_cleanup_free_ char *s = malloc(max);
	size_t got = 0;

	if (!s)
		return -ENOMEM;
	while (got < max) {
		size_t page = EBPFRT_PAGE_SIZE - (src + got) % EBPFRT_PAGE_SIZE;
		size_t n = MIN(page, max - got);

		if (user_read(s + got, src + got, n) < 0)
			return -EFAULT;
		if (memchr(s + got, '\0', n)) {
			*out = TAKE_PTR(s);
			return 0;
		}
		got += n;
	}
	return -ENAMETOOLONG;
}

/*
 * The daemon has another working directory, another root perhaps, and another idea of /proc/self:
 * a file is looked up here, as the kernel would look it up for the caller.
 */
static bool names(const char *path, long fd)
{
	struct stat a, b;

	return sys_call4(SYS_newfstatat, (int)fd, "", &a, AT_EMPTY_PATH) == 0 &&
	       sys_call4(SYS_newfstatat, AT_FDCWD, path, &b, 0) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int user_path(u64 src, char **out)
{
	_cleanup_free_ char *given = NULL, *found = calloc(1, PATH_MAX);
	char link[40];
	int err = user_str(src, PATH_MAX, &given);
	long fd, n;

	if (err || !found)
		return err ? err : -ENOMEM;
	fd = sys_openat(AT_FDCWD, given, O_PATH | O_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	snprintf(link, sizeof(link), "/proc/self/fd/%ld", fd);
	n = sys_call4(SYS_readlinkat, AT_FDCWD, link, found, PATH_MAX - 1);
	/* in another mount namespace (/proc/PID/root/...) its name there is none here */
	err = n > 0 && !names(found, fd);
	sys_close((int)fd);
	if (n <= 0)
		return n < 0 ? (int)n : -ENOENT;
	*out = err ? TAKE_PTR(given) : TAKE_PTR(found);
	return 0;
}
