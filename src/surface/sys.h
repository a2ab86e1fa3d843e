/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel, without libc in between: the surface replaces libc's functions in its process, so it
 * reaches the real ones by system call. Nothing here touches errno or is interposed; all return the
 * kernel's result, -errno included.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include "arch/arch.h"
#include "arch_inline.h"
#include "osl/osl.h"

#define sys_call6(nr, a, b, c, d, e, f)                                                            \
	arch_syscall6((nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define sys_call5(nr, a, b, c, d, e) sys_call6(nr, a, b, c, d, e, 0)
#define sys_call4(nr, a, b, c, d) sys_call6(nr, a, b, c, d, 0, 0)
#define sys_call3(nr, a, b, c) sys_call6(nr, a, b, c, 0, 0, 0)
#define sys_call2(nr, a, b) sys_call6(nr, a, b, 0, 0, 0, 0)
#define sys_call1(nr, a) sys_call6(nr, a, 0, 0, 0, 0, 0)
#define sys_call0(nr) sys_call6(nr, 0, 0, 0, 0, 0, 0)

/* The libc convention: -1 and errno. */
static inline long sys_ret(long r)
{
	if (unlikely((unsigned long)r >= -4095UL)) {
		errno = (int)-r;
		return -1;
	}
	return r;
}

static inline int sys_close(int fd)
{
	return (int)sys_call1(SYS_close, fd);
}

static inline int sys_openat(int dir, const char *path, int flags, int mode)
{
	return (int)sys_call4(SYS_openat, dir, path, flags, mode);
}

static inline int sys_fcntl(int fd, int cmd, long arg)
{
	return (int)sys_call3(SYS_fcntl, fd, cmd, arg);
}

static inline void *sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return (void *)sys_call6(SYS_mmap, addr, len, prot, flags, fd, off);
}

static inline bool sys_is_err(const void *p)
{
	return (unsigned long)p >= -4095UL;
}

static inline void sys_munmap(void *p, size_t len)
{
	sys_call2(SYS_munmap, p, len);
}

static inline int sys_getpid(void)
{
	return (int)sys_call0(SYS_getpid);
}

/* Identity of an open file; -EBADF. The buffer is the kernel's struct stat, which is libc's here.
 */
static inline int sys_ident(int fd, struct osl_ident *out)
{
	struct stat st;
	long r;

#ifdef SYS_fstat
	r = sys_call2(SYS_fstat, fd, &st);
#else
	r = sys_call4(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH);
#endif
	if (r < 0)
		return (int)r;
	out->dev = st.st_dev;
	out->ino = st.st_ino;
	return 0;
}

static inline bool ident_eq(const struct osl_ident *a, const struct osl_ident *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}
