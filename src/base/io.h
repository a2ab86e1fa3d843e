/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading, writing and waiting to the end, where one system call may do a part of it only.
 * Process context.
 */
#pragma once

#include <errno.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/types.h"

#define IO_HERE UINT64_MAX /* where the descriptor is: pipes and sockets are at no other place */

/* @len bytes from @at on. 0, -errno, or -ENODATA: it ends before. */
static inline int read_full(int fd, void *to, u64 len, u64 at)
{
	for (u64 done = 0; done < len;) {
		char *p = (char *)to + done;
		ssize_t n = at == IO_HERE ? read(fd, p, len - done)
					  : pread(fd, p, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		done += (u64)n;
	}
	return 0;
}

/* The same the other way. 0, -errno, or -EIO: nothing more is taken. */
static inline int write_full(int fd, const void *from, u64 len, u64 at)
{
	for (u64 done = 0; done < len;) {
		const char *p = (const char *)from + done;
		ssize_t n = at == IO_HERE ? write(fd, p, len - done)
					  : pwrite(fd, p, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (u64)n;
	}
	return 0;
}

/* The status that child @pid ends with, or -errno. */
static inline int wait_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return status;
}
