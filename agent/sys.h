/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls the agent makes, raw: result or -errno. None of them is made while a program
 * runs; they belong to exchanges, to the emulation of a system call, and to going inert.
 */
#pragma once

#include <errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/stat.h>
#include <linux/un.h>
#include <asm/unistd.h>

#include "arch/arch.h"
#include "osl/osl_trap.h"

/* For the application, which made it itself, or at its end. */
#define SYS_APP6(nr, a, b, c, d, e, f)                                                             \
	arch_syscall6((nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* Ours: none within walls. */
#define SYS6(nr, a, b, c, d, e, f)                                                                 \
	(unlikely(load_relaxed(&osl_walled)) ? -EPERM : SYS_APP6(nr, a, b, c, d, e, f))
#define SYS3(nr, a, b, c) SYS6(nr, a, b, c, 0, 0, 0)

#define SYS_AF_UNIX 1
#define SYS_SOCK_SEQPACKET 5
#define SYS_SOCK_CLOEXEC 02000000
#define SYS_SOL_SOCKET 1
#define SYS_SCM_RIGHTS 1
#define SYS_SO_PEERCRED 17
#define SYS_SO_SNDTIMEO 21
#define SYS_MSG_NOSIGNAL 0x4000
#define SYS_MSG_CMSG_CLOEXEC 0x40000000
#define SYS_MSG_TRUNC 0x20
#define SYS_MSG_CTRUNC 0x8
#define SYS_MADV_DONTNEED 4
#define SYS_MADV_WIPEONFORK 18
#define SYS_MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#define SYS_PR_SET_VMA 0x53564d41
#define SYS_MEMBARRIER_SYNC_CORE (1 << 5)
#define SYS_MEMBARRIER_REGISTER_SYNC_CORE (1 << 6)

struct sys_iov {
	void *base;
	u64 len;
};

struct sys_msghdr {
	void *name;
	u32 namelen;
	struct sys_iov *iov;
	u64 iovlen;
	void *control;
	u64 controllen;
	u32 flags;
};

struct sys_cmsg {
	u64 len;
	s32 level, type;
	s32 fd[];
};

struct sys_timespec {
	s64 sec, nsec;
};

struct sys_pollfd {
	s32 fd;
	s16 events, revents;
};

static inline long sys_open(const char *path, int flags)
{
	return SYS6(__NR_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0, 0, 0);
}

static inline long sys_close(int fd)
{
	return SYS3(__NR_close, fd, 0, 0);
}

static inline long sys_read(int fd, void *buf, u64 len)
{
	return SYS3(__NR_read, fd, buf, len);
}

static inline long sys_pread(int fd, void *buf, u64 len, u64 at)
{
	return SYS6(__NR_pread64, fd, buf, len, at, 0, 0);
}

static inline long sys_pwrite(int fd, const void *buf, u64 len, u64 at)
{
	return SYS6(__NR_pwrite64, fd, buf, len, at, 0, 0);
}

static inline bool sys_is_err(long ret)
{
	return (unsigned long)ret > -4096UL;
}

static inline long sys_mmap(u64 addr, u64 len, int prot, int flags, int fd, u64 off)
{
	return SYS6(__NR_mmap, addr, len, prot, flags, fd, off);
}

static inline long sys_munmap(const void *addr, u64 len)
{
	return SYS3(__NR_munmap, addr, len, 0);
}

static inline long sys_mprotect(u64 addr, u64 len, int prot)
{
	return SYS3(__NR_mprotect, addr, len, prot);
}

/* Names @len bytes at @addr in /proc/PID/maps; kernels without the feature refuse, which is fine.
 */
static inline void sys_name_memory(const void *addr, u64 len, const char *name)
{
	SYS6(__NR_prctl, SYS_PR_SET_VMA, 0, addr, len, name, 0);
}

static inline u32 sys_gettid(void)
{
	long tid = SYS3(__NR_gettid, 0, 0, 0);

	return tid > 0 ? (u32)tid : osl_tid();
}

/* Does the process have one thread? The directory's links are two and one for each. */
static inline bool sys_only_thread(void)
{
	struct statx st;

	return SYS6(__NR_statx, AT_FDCWD, "/proc/self/task", 0, STATX_NLINK, &st, 0) == 0 &&
	       st.stx_nlink == 3;
}

/* as getdents64 writes it */
struct sys_dirent {
	u64 ino, off;
	u16 len;
	u8 type;
	char name[];
};

static inline u64 sys_now_ms(void)
{
	struct sys_timespec ts = {0};

	SYS3(__NR_clock_gettime, 1, &ts, 0);
	return (u64)ts.sec * 1000 + (u64)ts.nsec / 1000000;
}
