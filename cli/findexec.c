/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at a program before it is started: where it is, and whether the loader will honour
 * LD_PRELOAD in it. Silent failure there (a setuid or static program just runs untraced) is the
 * worst of answers.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/commands.h"

static int try_file(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || access(path, X_OK))
		return -EACCES;
	return 0;
}

int exec_find(const char *name, char *path, size_t size)
{
	const char *dirs = getenv("PATH");
	int result = -ENOENT;

	if (strchr(name, '/')) {
		snprintf(path, size, "%s", name);
		return try_file(path);
	}
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; *name; dirs++) {
		int n = (int)strcspn(dirs, ":"), err;

		/* an empty entry is the current directory */
		if ((size_t)snprintf(path, size, "%.*s%s%s", n, dirs, n ? "/" : "./", name) <
		    size) {
			err = try_file(path);
			if (!err)
				return 0;
			/* a directory we may not search holds nothing for us */
			if (err == -EACCES && !access(path, F_OK))
				result = err;
		}
		dirs += n;
		if (!*dirs)
			break;
	}
	return result;
}

/* The interpreter of a script, following a chain of at most 4. */
static int real_program(char *path, size_t size)
{
	for (int i = 0; i < 4; i++) {
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
		char line[PATH_MAX] = "", *p;
		ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

		if (n < 2 || line[0] != '#' || line[1] != '!')
			return fd < 0 ? -errno : 0;
		line[n] = 0;
		line[strcspn(line, "\n")] = 0;
		p = line + 2 + strspn(line + 2, " \t");
		p[strcspn(p, " \t")] = 0;
		snprintf(path, size, "%s", p);
	}
	return 0;
}

/* 1: has an interpreter, 0: is static, -errno: not an ELF file we know. */
static int is_dynamic(int fd)
{
	Elf64_Ehdr eh;

	if (pread(fd, &eh, sizeof(eh), 0) != sizeof(eh) || memcmp(eh.e_ident, ELFMAG, SELFMAG))
		return -ENOEXEC;
	if (eh.e_ident[EI_CLASS] != ELFCLASS64)
		return -EOPNOTSUPP;
	for (u32 i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) != sizeof(ph))
			return -ENOEXEC;
		if (ph.p_type == PT_INTERP)
			return 1;
	}
	return 0;
}

int exec_check_preload(const char *path, const char *advice, char *why, size_t why_size)
{
	char real[PATH_MAX];
	_cleanup_close_ int fd = -1;
	struct stat st;
	int dynamic;

	snprintf(real, sizeof(real), "%s", path);
	real_program(real, sizeof(real));
	fd = open(real, O_RDONLY | O_CLOEXEC);
	/* executable but not readable: nothing can be said, let it try */
	if (fd < 0 || fstat(fd, &st))
		return 0;
	if (((st.st_mode & S_ISUID) && st.st_uid != geteuid()) ||
	    ((st.st_mode & S_ISGID) && st.st_gid != getegid())) {
		snprintf(why, why_size,
			 "%s is set%s: it changes its user and ignores LD_PRELOAD; run a copy "
			 "without "
			 "that bit",
			 real, st.st_mode & S_ISUID ? "uid" : "gid");
		return -EPERM;
	}
	dynamic = is_dynamic(fd);
	if (dynamic == 0) {
		snprintf(why, why_size, "%s is statically linked and ignores LD_PRELOAD; %s", real,
			 advice);
		return -EOPNOTSUPP;
	}
	if (dynamic == -EOPNOTSUPP) {
		snprintf(why, why_size, "%s is a 32-bit program; ebpfrt probes 64-bit ones", real);
		return -EOPNOTSUPP;
	}
	return 0;
}
