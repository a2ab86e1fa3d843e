/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux, process context: shared memory is a memfd, a seal is a seal, identity is an inode.
 *
 * Rules: every descriptor is CLOEXEC; nothing here has a name another user could open.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

int osl_shm_create(const char *name, u64 size)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	if (size > INT64_MAX)
		return -EFBIG;
	if (ftruncate(fd, (off_t)size))
		return -errno;
	do {
		/* reserve it now: a store into a map must not raise SIGBUS in somebody's process */
		r = size ? fallocate(fd, 0, 0, (off_t)size) : 0;
	} while (r && errno == EINTR);
	return r ? -errno : TAKE_FD(fd);
}

int osl_shm_map(int fd, u64 offset, u64 size, bool write, void **out)
{
	void *p = mmap(NULL, size, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, fd,
		       (off_t)offset);

	if (p == MAP_FAILED)
		return -errno;
	*out = p;
	return 0;
}

void osl_shm_unmap(void *p, u64 size)
{
	if (p)
		munmap(p, size);
}

int osl_shm_seal(int fd, u32 seals)
{
	int bits = 0;

	if (seals & OSL_SEAL_SIZE)
		bits |= F_SEAL_SHRINK | F_SEAL_GROW;
	if (seals & OSL_SEAL_WRITE)
		bits |= F_SEAL_WRITE;
	if (seals & OSL_SEAL_FUTURE_WRITE)
		bits |= F_SEAL_FUTURE_WRITE;
	return fcntl(fd, F_ADD_SEALS, bits) ? -errno : 0;
}

int osl_shm_seals(int fd)
{
	int bits = fcntl(fd, F_GET_SEALS), seals = 0;

	if (bits < 0)
		return -errno;
	if ((bits & F_SEAL_SHRINK) && (bits & F_SEAL_GROW))
		seals |= OSL_SEAL_SIZE;
	if (bits & F_SEAL_WRITE)
		seals |= OSL_SEAL_WRITE;
	if (bits & F_SEAL_FUTURE_WRITE)
		seals |= OSL_SEAL_FUTURE_WRITE;
	return seals;
}

int osl_image_create(const char *name, const void *data, u64 len)
{
	_cleanup_close_ int fd = osl_shm_create(name, len);
	int r;

	if (fd < 0)
		return fd;
	r = write_full(fd, data, len, 0);
	if (!r)
		r = osl_shm_seal(fd, OSL_SEAL_SIZE | OSL_SEAL_WRITE);
	return r ? r : TAKE_FD(fd);
}

int osl_image_map(int fd, u64 size, void **out)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*out = p;
	return 0;
}

s64 osl_shm_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -errno : st.st_size;
}

int osl_ident(int fd, struct osl_ident *out)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*out = (struct osl_ident){.dev = st.st_dev, .ino = st.st_ino};
	return 0;
}

/* "0-3,8,10-11" is seven CPUs. 0 when the text is not such a list. */
static u32 count_cpus(const char *s)
{
	u32 total = 0;

	for (;;) {
		unsigned int from, to;
		int len = 0;

		if (sscanf(s, "%u%n", &from, &len) != 1)
			return 0;
		s += len;
		to = from;
		if (*s == '-') {
			if (sscanf(s, "-%u%n", &to, &len) != 1 || to < from)
				return 0;
			s += len;
		}
		total += to - from + 1;
		if (*s++ != ',')
			return total;
	}
}

u32 osl_nr_cpus(void)
{
	static u32 cached;
	_cleanup_fclose_ FILE *f = NULL;
	char line[256];
	u32 n = load_relaxed(&cached);

	if (n)
		return n;
	f = fopen("/sys/devices/system/cpu/possible", "re");
	if (f && fgets(line, sizeof(line), f))
		n = count_cpus(line);
	if (!n)
		n = (u32)MAX(sysconf(_SC_NPROCESSORS_CONF), 1L);
	store_relaxed(&cached, n);
	return n;
}

u64 osl_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

/* The id of a version 2 cgroup is its directory's inode. 0: not in one that can be seen. */
static u64 cgroup_id(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/cgroup", "re");
	char line[4096], path[4200];
	struct stat st;

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3))
			continue;
		line[strcspn(line, "\n")] = 0;
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s", line + 3);
		return stat(path, &st) ? 0 : st.st_ino;
	}
	return 0;
}

void osl_self_fill(struct osl_self *out)
{
	*out = (struct osl_self){
		.tgid = (u32)getpid(),
		.uid = getuid(),
		.gid = getgid(),
		.cgroup_id = cgroup_id(),
		.vdso = getauxval(AT_SYSINFO_EHDR),
	};
}

int osl_trap_init_self(void)
{
	struct osl_self self;

	osl_self_fill(&self);
	osl_trap_init(&self);
	return 0;
}
