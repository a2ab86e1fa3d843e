/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a target's memory: process_vm_readv(2), and /proc/PID/mem where that is filtered or
 * refuses (it also reads what the target itself may not).
 */
#include "probe/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>

#include "base/cleanup.h"

static ssize_t read_proc_mem(pid_t pid, u64 addr, void *buf, size_t len)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = pread(fd, buf, len, (off_t)addr);
	return n < 0 ? -errno : n;
}

ssize_t probe_read_memory(pid_t pid, u64 addr, void *buf, size_t len)
{
	struct iovec local = {buf, len}, remote = {(void *)(uintptr_t)addr, len};
	ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	if (n >= 0)
		return n;
	if (errno == ESRCH)
		return -ESRCH;
	return read_proc_mem(pid, addr, buf, len);
}
