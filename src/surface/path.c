/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of libc that take a file's name. Each one leads the name to where it lies (names.c) and
 * makes the plain system call with it; file.c has those few files that don't lie anywhere.
 *
 * Rules: what bpffs refuses and another file system does not is refused here: files that are no
 * pins, names with dots, going of the directory itself. What makes an object of libc's (a FILE, a
 * walk) goes on to libc's own function, found by dlsym at its first call.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

#include "surface/internal.h"

extern const char surface_interposed_paths;
const char surface_interposed_paths = 1;

/* libc's own function of that name. */
#define NEXT(name)                                                                                 \
	({                                                                                         \
		static __typeof__(&name) next;                                                     \
		if (!load_relaxed(&next))                                                          \
			store_relaxed(&next, (__typeof__(&name))dlsym(RTLD_NEXT, #name));          \
		load_relaxed(&next);                                                               \
	})

/* --- what bpffs answers
 * ------------------------------------------------------------------------------------ */

static long exists(int dir, const char *path)
{
	struct stat st;

	return sys_call4(SYS_newfstatat, dir, path, &st, AT_SYMLINK_NOFOLLOW);
}

/* The answer to the making of what bpffs does not make: @refusal, when the place is there. */
static long refused(const struct surface_at *at, int dir, long refusal)
{
	char parent[PATH_MAX];
	size_t n = strlen(at->path);
	long ret = exists(dir, at->path);

	if (ret != -ENOENT || n >= sizeof(parent))
		return ret ? ret : -EEXIST;
	while (n && at->path[n - 1] == '/')
		n--;
	while (n && at->path[n - 1] != '/')
		n--;
	memcpy(parent, at->path, n);
	memcpy(parent + n, ".", 2);
	ret = exists(dir, parent);
	return ret ? ret : refusal;
}

static bool is_regular(int fd)
{
	struct stat st;

	return sys_call4(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISREG(st.st_mode);
}

/* Pins can't be opened, and there are no other files. */
static long open_pin(const struct surface_at *at, int dir, int flags)
{
	long ret;

	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	if (flags & O_CREAT) {
		ret = refused(at, dir, surface_at_dotted(at) ? -EPERM : -EACCES);
		if (ret != -EEXIST || (flags & O_EXCL))
			return ret;
	}
	ret = sys_openat(dir, at->path, flags & ~O_TRUNC, 0600);
	if (ret < 0 || (flags & O_PATH) || !is_regular((int)ret))
		return ret;
	sys_close((int)ret);
	return -EIO;
}

/* --- opening
 * -----------------------------------------------------------------------------------------------
 */

static long open_led(int dir, const char *path, int flags, mode_t mode)
{
	struct surface_at at;

	surface_lead(&at, dir, path);
	if (unlikely(at.ours))
		return open_pin(&at, dir, flags);
	return sys_openat(dir, at.path, flags, (int)mode);
}

static int open_any(int dir, const char *path, int flags, mode_t mode)
{
	return (int)PASS_OR(surface_open(dir, path, flags), open_led(dir, path, flags, mode));
}

static mode_t creation_mode(int flags, va_list ap)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

__export int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = creation_mode(flags, ap);
	va_end(ap);
	return open_any(AT_FDCWD, path, flags, mode);
}

__export int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = creation_mode(flags, ap);
	va_end(ap);
	return open_any(dir, path, flags, mode);
}

__export int open64(const char *path, int flags, ...) __attribute__((alias("open")));
__export int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));

__export int creat(const char *path, mode_t mode)
{
	return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

__export int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));

/* what _FORTIFY_SOURCE makes of open() without a mode */
int __open_2(const char *path, int flags);
__export int __open_2(const char *path, int flags)
{
	return open_any(AT_FDCWD, path, flags, 0);
}
int __open64_2(const char *path, int flags);
__export int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
int __openat_2(int dir, const char *path, int flags);
__export int __openat_2(int dir, const char *path, int flags)
{
	return open_any(dir, path, flags, 0);
}
int __openat64_2(int dir, const char *path, int flags);
__export int __openat64_2(int dir, const char *path, int flags)
	__attribute__((alias("__openat_2")));

typedef FILE *fopen_fn(const char *, const char *);

static FILE *fopen_next(const char *name, const char *path, const char *mode)
{
	fopen_fn *next = (fopen_fn *)dlsym(RTLD_NEXT, name);

	if (!next) {
		errno = ENOSYS;
		return NULL;
	}
	return next(path, mode);
}

static int fopen_flags(const char *mode)
{
	int flags = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;

	if (mode[0] == 'w' || mode[0] == 'a')
		flags |= O_CREAT;
	return flags | (strchr(mode, 'x') ? O_EXCL : 0);
}

static FILE *fopen_any(const char *name, const char *path, const char *mode)
{
	int flags = strchr(mode, 'r') && !strchr(mode, '+') ? O_RDONLY : O_RDWR;
	long fd = surface_open(AT_FDCWD, path, flags | O_CLOEXEC);
	struct surface_at at;
	FILE *f;

	if (likely(fd == SURFACE_PASS)) {
		surface_lead(&at, AT_FDCWD, path);
		if (likely(!at.ours))
			return fopen_next(name, at.path, mode);
		fd = open_pin(&at, AT_FDCWD, fopen_flags(mode) | O_CLOEXEC);
	}
	if (sys_ret(fd) < 0)
		return NULL;
	f = fdopen((int)fd, mode);
	if (!f)
		sys_close((int)fd);
	return f;
}

__export FILE *fopen(const char *path, const char *mode)
{
	return fopen_any("fopen", path, mode);
}

__export FILE *fopen64(const char *path, const char *mode)
{
	return fopen_any("fopen64", path, mode);
}

/* libc opens the file by a name of its own, which can't be diverted */
__export FILE *setmntent(const char *path, const char *mode)
{
	long fd = surface_open_mounts(path, O_RDONLY | O_CLOEXEC);
	FILE *f;

	if (likely(fd < 0))
		return NEXT(setmntent)(path, mode);
	f = fdopen((int)fd, "r");
	if (!f)
		sys_close((int)fd);
	return f;
}

/* --- asking
 * ------------------------------------------------------------------------------------------------
 */

/* faccessat(2) knows no flags; the real ids make no difference to an unprivileged program. */
static long access_plain(int dir, const char *path, int mode, int flags)
{
	struct surface_at at;
	long ret = 0;

	surface_lead(&at, dir, path);
	if (flags)
		ret = sys_call4(SYS_faccessat2, dir, at.path, mode, flags);
	if (flags == 0 || ret == -ENOSYS)
		ret = sys_call3(SYS_faccessat, dir, at.path, mode);
	return ret;
}

__export int faccessat(int dir, const char *path, int mode, int flags)
{
	return (int)PASS_OR(surface_access(dir, path, mode), access_plain(dir, path, mode, flags));
}

__export int access(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, 0);
}

__export int euidaccess(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS);
}

__export int eaccess(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS);
}

static long stat_plain(int dir, const char *path, struct stat *st, int flags)
{
	struct surface_at at;

	surface_lead(&at, dir, path);
	return sys_call4(SYS_newfstatat, dir, at.path, st, flags);
}

static int stat_any(int dir, const char *path, struct stat *st, int flags)
{
	return (int)PASS_OR(surface_stat(dir, path, st), stat_plain(dir, path, st, flags));
}

__export int fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return stat_any(dir, path, st, flags);
}

__export int stat(const char *path, struct stat *st)
{
	return stat_any(AT_FDCWD, path, st, 0);
}

__export int lstat(const char *path, struct stat *st)
{
	return stat_any(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

/* the same under the names of large files and of programs built before glibc 2.33 */
struct stat64;
__export int stat64(const char *path, struct stat64 *st)
{
	return stat(path, (struct stat *)st);
}
__export int lstat64(const char *path, struct stat64 *st)
{
	return lstat(path, (struct stat *)st);
}
__export int fstatat64(int dir, const char *path, struct stat64 *st, int flags)
{
	return fstatat(dir, path, (struct stat *)st, flags);
}
int __xstat(int version, const char *path, struct stat *st);
__export int __xstat(int version, const char *path, struct stat *st)
{
	return stat(path, st);
}
int __lxstat(int version, const char *path, struct stat *st);
__export int __lxstat(int version, const char *path, struct stat *st)
{
	return lstat(path, st);
}
int __fxstatat(int version, int dir, const char *path, struct stat *st, int flags);
__export int __fxstatat(int version, int dir, const char *path, struct stat *st, int flags)
{
	return fstatat(dir, path, st, flags);
}
int __xstat64(int version, const char *path, struct stat *st);
__export int __xstat64(int version, const char *path, struct stat *st)
	__attribute__((alias("__xstat")));
int __lxstat64(int version, const char *path, struct stat *st);
__export int __lxstat64(int version, const char *path, struct stat *st)
	__attribute__((alias("__lxstat")));
int __fxstatat64(int version, int dir, const char *path, struct stat *st, int flags);
__export int __fxstatat64(int version, int dir, const char *path, struct stat *st, int flags)
	__attribute__((alias("__fxstatat")));

/* What ls and find ask. A file that lies nowhere has no times. */
static void fill_statx(struct statx *stx, const struct stat *st)
{
	*stx = (struct statx){.stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID |
					  STATX_GID | STATX_SIZE | STATX_INO,
			      .stx_ino = st->st_ino,
			      .stx_blksize = (u32)st->st_blksize,
			      .stx_nlink = (u32)st->st_nlink,
			      .stx_uid = st->st_uid,
			      .stx_gid = st->st_gid,
			      .stx_mode = (u16)st->st_mode};
}

static long statx_plain(int dir, const char *path, int flags, unsigned int mask, struct statx *stx)
{
	struct surface_at at;

	surface_lead(&at, dir, path);
	return sys_call5(SYS_statx, dir, at.path, flags, mask, stx);
}

__export int statx(int dir, const char *path, int flags, unsigned int mask, struct statx *stx)
{
	struct stat st;
	long ret = surface_stat(dir, path, &st);

	if (ret == 0 && !user_ok((u64)stx, sizeof(*stx)))
		ret = -EFAULT;
	else if (ret == 0)
		fill_statx(stx, &st);
	return (int)PASS_OR(ret, statx_plain(dir, path, flags, mask, stx));
}

/* Tools look there whether it is the file system that pins are made in. */
__export int statfs(const char *path, struct statfs *st)
{
	struct surface_at at;
	long ret = sys_call2(SYS_statfs, surface_lead(&at, AT_FDCWD, path), st);

	if (ret == 0 && at.ours)
		surface_magic(st);
	return (int)sys_ret(ret);
}

__export int fstatfs(int fd, struct statfs *st)
{
	long ret = sys_call2(SYS_fstatfs, fd, st);

	if (ret == 0 && surface_fd_below(fd))
		surface_magic(st);
	return (int)sys_ret(ret);
}

struct statfs64;
__export int statfs64(const char *path, struct statfs64 *st)
{
	return statfs(path, (struct statfs *)st);
}

__export int fstatfs64(int fd, struct statfs64 *st)
{
	return fstatfs(fd, (struct statfs *)st);
}

__export int statvfs(const char *path, struct statvfs *st)
{
	struct surface_at at;

	return NEXT(statvfs)(surface_lead(&at, AT_FDCWD, path), st);
}

__export int statvfs64(const char *path, struct statvfs64 *st)
{
	struct surface_at at;

	return NEXT(statvfs64)(surface_lead(&at, AT_FDCWD, path), st);
}

/* ls -l asks for lists of access rights */
__export ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
	struct surface_at at;

	return sys_ret(
		sys_call4(SYS_getxattr, surface_lead(&at, AT_FDCWD, path), name, value, size));
}

__export ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
	struct surface_at at;

	return sys_ret(
		sys_call4(SYS_lgetxattr, surface_lead(&at, AT_FDCWD, path), name, value, size));
}

__export ssize_t listxattr(const char *path, char *list, size_t size)
{
	struct surface_at at;

	return sys_ret(sys_call3(SYS_listxattr, surface_lead(&at, AT_FDCWD, path), list, size));
}

__export ssize_t llistxattr(const char *path, char *list, size_t size)
{
	struct surface_at at;

	return sys_ret(sys_call3(SYS_llistxattr, surface_lead(&at, AT_FDCWD, path), list, size));
}

__export int inotify_add_watch(int fd, const char *path, u32 mask)
{
	struct surface_at at;

	return (int)sys_ret(
		sys_call3(SYS_inotify_add_watch, fd, surface_lead(&at, AT_FDCWD, path), mask));
}

/* --- changing
 * ---------------------------------------------------------------------------------------------- */

__export int mkdirat(int dir, const char *path, mode_t mode)
{
	struct surface_at at;

	surface_lead(&at, dir, path);
	if (unlikely(at.ours) && surface_at_dotted(&at))
		return (int)sys_ret(refused(&at, dir, -EPERM));
	return (int)sys_ret(sys_call3(SYS_mkdirat, dir, at.path, mode));
}

__export int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

static long unlink_led(int dir, const char *path, int flags)
{
	struct surface_at at;
	long ret;

	surface_lead(&at, dir, path);
	if (unlikely(at.ours) && surface_at_root(&at))
		return flags & AT_REMOVEDIR ? -EBUSY : -EISDIR;
	ret = sys_call3(SYS_unlinkat, dir, at.path, flags);
	if (unlikely(at.ours) && ret == 0 && !(flags & AT_REMOVEDIR))
		surface_names_gone();
	return ret;
}

__export int unlinkat(int dir, const char *path, int flags)
{
	return (int)sys_ret(unlink_led(dir, path, flags));
}

__export int unlink(const char *path)
{
	return (int)sys_ret(unlink_led(AT_FDCWD, path, 0));
}

__export int rmdir(const char *path)
{
	return (int)sys_ret(unlink_led(AT_FDCWD, path, AT_REMOVEDIR));
}

__export int remove(const char *path)
{
	long ret = unlink_led(AT_FDCWD, path, 0);

	if (ret == -EISDIR)
		ret = unlink_led(AT_FDCWD, path, AT_REMOVEDIR);
	return (int)sys_ret(ret);
}

/* Between two names of which one may be ours: what bpffs says before it looks; else 0. */
static long pair_refused(const struct surface_at *from, const struct surface_at *to, int dir)
{
	if (likely(!from->ours && !to->ours))
		return 0;
	if (from->ours != to->ours)
		return -EXDEV;
	return surface_at_dotted(to) ? refused(to, dir, -EPERM) : 0;
}

__export int renameat2(int from_dir, const char *from, int to_dir, const char *to,
		       unsigned int flags)
{
	struct surface_at old, new;
	long ret;

	surface_lead(&old, from_dir, from);
	surface_lead(&new, to_dir, to);
	ret = pair_refused(&old, &new, to_dir);
	if (!ret && (surface_at_root(&old) || surface_at_root(&new)))
		ret = -EBUSY;
	if (!ret)
		ret = sys_call5(SYS_renameat2, from_dir, old.path, to_dir, new.path, flags);
	if (!ret && new.ours)
		surface_names_gone();
	return (int)sys_ret(ret);
}

__export int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return renameat2(from_dir, from, to_dir, to, 0);
}

__export int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

__export int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	struct surface_at old, new;
	long ret;

	surface_lead(&old, from_dir, from);
	surface_lead(&new, to_dir, to);
	ret = pair_refused(&old, &new, to_dir);
	if (!ret)
		ret = sys_call5(SYS_linkat, from_dir, old.path, to_dir, new.path, flags);
	return (int)sys_ret(ret);
}

__export int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

__export int symlinkat(const char *target, int dir, const char *path)
{
	struct surface_at at;

	surface_lead(&at, dir, path);
	if (unlikely(at.ours) && surface_at_dotted(&at))
		return (int)sys_ret(refused(&at, dir, -EPERM));
	return (int)sys_ret(sys_call3(SYS_symlinkat, target, dir, at.path));
}

__export int symlink(const char *target, const char *path)
{
	return symlinkat(target, AT_FDCWD, path);
}

__export int mknodat(int dir, const char *path, mode_t mode, dev_t dev)
{
	bool file = S_ISREG(mode) || !(mode & S_IFMT);
	struct surface_at at;

	surface_lead(&at, dir, path);
	if (unlikely(at.ours))
		return (int)sys_ret(refused(&at, dir, file ? -EACCES : -EPERM));
	return (int)sys_ret(sys_call4(SYS_mknodat, dir, at.path, mode, dev));
}

__export int mknod(const char *path, mode_t mode, dev_t dev)
{
	return mknodat(AT_FDCWD, path, mode, dev);
}

__export int mkfifoat(int dir, const char *path, mode_t mode)
{
	return mknodat(dir, path, (mode & ~(mode_t)S_IFMT) | S_IFIFO, 0);
}

__export int mkfifo(const char *path, mode_t mode)
{
	return mkfifoat(AT_FDCWD, path, mode);
}

__export int chmod(const char *path, mode_t mode)
{
	struct surface_at at;

	return (int)sys_ret(
		sys_call3(SYS_fchmodat, AT_FDCWD, surface_lead(&at, AT_FDCWD, path), mode));
}

__export int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	struct surface_at at;

	return NEXT(fchmodat)(dir, surface_lead(&at, dir, path), mode, flags);
}

__export int fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
	struct surface_at at;

	surface_lead(&at, dir, path);
	return (int)sys_ret(sys_call5(SYS_fchownat, dir, at.path, uid, gid, flags));
}

__export int chown(const char *path, uid_t uid, gid_t gid)
{
	return fchownat(AT_FDCWD, path, uid, gid, 0);
}

__export int lchown(const char *path, uid_t uid, gid_t gid)
{
	return fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

__export int utimensat(int dir, const char *path, const struct timespec times[2], int flags)
{
	struct surface_at at;

	return NEXT(utimensat)(dir, surface_lead(&at, dir, path), times, flags);
}

__export int truncate(const char *path, off_t size)
{
	struct surface_at at;

	return (int)sys_ret(sys_call2(SYS_truncate, surface_lead(&at, AT_FDCWD, path), size));
}

__export int truncate64(const char *path, off64_t size) __attribute__((alias("truncate")));

__export int utimes(const char *path, const struct timeval times[2])
{
	struct surface_at at;

	return NEXT(utimes)(surface_lead(&at, AT_FDCWD, path), times);
}

__export int utime(const char *path, const struct utimbuf *times)
{
	struct surface_at at;

	return NEXT(utime)(surface_lead(&at, AT_FDCWD, path), times);
}

/* --- where one is
 * ------------------------------------------------------------------------------------------ */

__export int chdir(const char *path)
{
	struct surface_at at;

	return (int)sys_ret(sys_call1(SYS_chdir, surface_lead(&at, AT_FDCWD, path)));
}

__export int fchdir(int fd)
{
	long ret = sys_call1(SYS_fchdir, fd);

	surface_names_moved();
	return (int)sys_ret(ret);
}

/* @text, which is malloc'ed or NULL, to the caller's @buf of @size; both as getcwd() has them. */
static char *hand_out(char *text, char *buf, size_t size)
{
	size_t n = text ? strlen(text) + 1 : 0;

	if (!text || (!buf && !size))
		return text;
	if (size < n) {
		errno = ERANGE;
		free(text);
		return NULL;
	}
	if (!buf) {
		buf = realloc(text, size);
		return buf ? buf : text;
	}
	memcpy(buf, text, n);
	free(text);
	return buf;
}

/* The same path, malloc'ed, as it is shown. Takes @real over. */
static char *shown(char *real)
{
	char path[PATH_MAX];

	if (!real || strlen(real) >= sizeof(path))
		return real;
	strcpy(path, real);
	surface_shown(path);
	free(real);
	return strdup(path);
}

__export char *getcwd(char *buf, size_t size)
{
	if (likely(!surface_names_used()))
		return NEXT(getcwd)(buf, size);
	if (buf && !size) {
		errno = EINVAL;
		return NULL;
	}
	return hand_out(shown(NEXT(getcwd)(NULL, 0)), buf, size);
}

char *__getcwd_chk(char *buf, size_t size, size_t room);
__export char *__getcwd_chk(char *buf, size_t size, size_t room)
{
	return size > room ? NEXT(__getcwd_chk)(buf, size, room) : getcwd(buf, size);
}

__export char *get_current_dir_name(void)
{
	return surface_names_used() ? getcwd(NULL, 0) : NEXT(get_current_dir_name)();
}

__export char *realpath(const char *path, char *out)
{
	struct surface_at at;
	char *real;

	surface_lead(&at, AT_FDCWD, path);
	if (likely(!at.ours && !surface_names_used()))
		return NEXT(realpath)(at.path, out);
	real = shown(NEXT(realpath)(at.path, NULL));
	return out ? hand_out(real, out, PATH_MAX) : real;
}

char *__realpath_chk(const char *path, char *out, size_t room);
__export char *__realpath_chk(const char *path, char *out, size_t room)
{
	return room < PATH_MAX ? NEXT(__realpath_chk)(path, out, room) : realpath(path, out);
}

__export char *canonicalize_file_name(const char *path)
{
	return realpath(path, NULL);
}

static long readlink_led(int dir, const char *path, char *buf, size_t size)
{
	char text[PATH_MAX];
	struct surface_at at;
	long n;

	surface_lead(&at, dir, path);
	if (likely(!surface_names_used()))
		return sys_call4(SYS_readlinkat, dir, at.path, buf, size);
	n = sys_call4(SYS_readlinkat, dir, at.path, text, sizeof(text) - 1);
	if (n < 0 || !size)
		return n < 0 ? n : -EINVAL;
	text[n] = '\0';
	n = (long)MIN(surface_shown(text), size);
	return user_write((u64)buf, text, (size_t)n) ? -EFAULT : n;
}

__export ssize_t readlinkat(int dir, const char *path, char *buf, size_t size)
{
	return PASS_OR(surface_readlink(path, buf, size), readlink_led(dir, path, buf, size));
}

__export ssize_t readlink(const char *path, char *buf, size_t size)
{
	return readlinkat(AT_FDCWD, path, buf, size);
}

ssize_t __readlink_chk(const char *path, char *buf, size_t size, size_t room);
__export ssize_t __readlink_chk(const char *path, char *buf, size_t size, size_t room)
{
	return size > room ? NEXT(__readlink_chk)(path, buf, size, room)
			   : readlink(path, buf, size);
}

ssize_t __readlinkat_chk(int dir, const char *path, char *buf, size_t size, size_t room);
__export ssize_t __readlinkat_chk(int dir, const char *path, char *buf, size_t size, size_t room)
{
	return size > room ? NEXT(__readlinkat_chk)(dir, path, buf, size, room)
			   : readlinkat(dir, path, buf, size);
}

/* --- walking
 * -----------------------------------------------------------------------------------------------
 */

__export DIR *opendir(const char *path)
{
	struct surface_at at;

	return NEXT(opendir)(surface_lead(&at, AT_FDCWD, path));
}

__export int scandir(const char *path, struct dirent ***list, int (*pick)(const struct dirent *),
		     int (*order)(const struct dirent **, const struct dirent **))
{
	struct surface_at at;

	return NEXT(scandir)(surface_lead(&at, AT_FDCWD, path), list, pick, order);
}

__export int scandir64(const char *path, struct dirent64 ***list,
		       int (*pick)(const struct dirent64 *),
		       int (*order)(const struct dirent64 **, const struct dirent64 **))
{
	struct surface_at at;

	return NEXT(scandir64)(surface_lead(&at, AT_FDCWD, path), list, pick, order);
}

/* The walk of this thread, whose names are led back; walks may be nested. */
static __thread struct walk {
	__nftw_func_t nftw;
	__ftw_func_t ftw;
} walk __attribute__((tls_model("initial-exec")));

static int walked(const char *path, const struct stat *st, int type, struct FTW *at)
{
	size_t n = strlen(path);
	char name[PATH_MAX];
	struct FTW there = *at;
	struct walk now = walk;
	int ret;

	if (n >= sizeof(name))
		return now.nftw ? now.nftw(path, st, type, at) : now.ftw(path, st, type);
	memcpy(name, path, n + 1);
	there.base -= (int)(n - surface_shown(name));
	ret = now.nftw ? now.nftw(name, st, type, &there) : now.ftw(name, st, type);
	walk = now;
	return ret;
}

static int walked_ftw(const char *path, const struct stat *st, int type)
{
	return walked(path, st, type, &(struct FTW){0});
}

__export int nftw(const char *path, __nftw_func_t fn, int depth, int flags)
{
	struct walk before = walk;
	struct surface_at at;
	int ret;

	surface_lead(&at, AT_FDCWD, path);
	if (likely(!at.ours))
		return NEXT(nftw)(at.path, fn, depth, flags);
	walk = (struct walk){.nftw = fn};
	ret = NEXT(nftw)(at.path, walked, depth, flags);
	walk = before;
	return ret;
}

__export int ftw(const char *path, __ftw_func_t fn, int depth)
{
	struct walk before = walk;
	struct surface_at at;
	int ret;

	surface_lead(&at, AT_FDCWD, path);
	if (likely(!at.ours))
		return NEXT(ftw)(at.path, fn, depth);
	walk = (struct walk){.ftw = fn};
	ret = NEXT(ftw)(at.path, walked_ftw, depth);
	walk = before;
	return ret;
}

/* the same structures on 64-bit machines */
__export int nftw64(const char *path, __nftw64_func_t fn, int depth, int flags)
{
	return nftw(path, (__nftw_func_t)(void *)fn, depth, flags);
}

__export int ftw64(const char *path, __ftw64_func_t fn, int depth)
{
	return ftw(path, (__ftw_func_t)(void *)fn, depth);
}

static void *glob_open(const char *path)
{
	return opendir(path);
}

static struct dirent *glob_read(void *dir)
{
	return readdir(dir);
}

static void glob_close(void *dir)
{
	closedir(dir);
}

/* libc's walk can be told what to call in place of its own functions. */
__export int glob(const char *pattern, int flags, int (*fail)(const char *, int), glob_t *out)
{
	static const char root[] = "/sys/fs/bpf";

	if (likely(strncmp(pattern, root, sizeof(root) - 1) != 0 || (flags & GLOB_ALTDIRFUNC)))
		return NEXT(glob)(pattern, flags, fail, out);
	out->gl_opendir = glob_open;
	out->gl_readdir = glob_read;
	out->gl_closedir = glob_close;
	out->gl_stat = stat;
	out->gl_lstat = lstat;
	return NEXT(glob)(pattern, flags | GLOB_ALTDIRFUNC, fail, out);
}

__export int glob64(const char *pattern, int flags, int (*fail)(const char *, int), glob64_t *out)
{
	return glob(pattern, flags, fail, (glob_t *)out);
}
