/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conversions kept for the next time: $XDG_CACHE_HOME/ebpfrt/btf/BUILD-ID.VERSION.
 *
 * Model: a file is a head with a checksum, then raw BTF. It comes into its place by rename(2), so
 * it is all there or not there. The version is that of the conversion: a better one makes its own.
 *
 * Rules: the folder and the file have to be the user's own, and nobody else's to write; what
 * doesn't add up is taken away and made again. No cache is no error. What is written there for the
 * time of a conversion only has no name, and takes no more than half of the room that is left.
 */
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/macros.h"
#include "btf/btf_priv.h"

#define CONVERSION 6 /* one more whenever the same DWARF makes other BTF */
#define ID_MAX 64
#define CACHE_FILE_MAX (1u << 30)

struct head {
	char magic[8];
	u64 len;
	u64 hash;
};
static const char magic[8] = "ebpfbtf";

static void end_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

/* Lower-case hex digits. */
static int build_id(const char *binary, char hex[2 * ID_MAX + 1])
{
	_cleanup_close_ int fd = open(binary, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_(end_elf) Elf *elf = NULL;
	const void *id;
	ssize_t n;

	if (fd < 0)
		return -ENOENT;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	n = elf ? dwelf_elf_gnu_build_id(elf, &id) : 0;
	if (n < 8 || n > ID_MAX)
		return -ENOENT;
	for (ssize_t i = 0; i < n; i++)
		sprintf(hex + 2 * i, "%02x", ((const u8 *)id)[i]);
	return 0;
}

static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* The folder, open; made where it isn't there. */
static int open_folder(bool make)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	const char *const parts[] = {base && *base == '/' ? "" : "/.cache", "/ebpfrt", "/btf"};
	char path[4000];
	struct stat st;
	size_t n;
	int fd;

	if (!base || *base != '/')
		base = home;
	if (!base || *base != '/' || strlen(base) > sizeof(path) - 32)
		return -ENOENT;
	n = (size_t)sprintf(path, "%s", base);
	for (u32 i = 0; i < ARRAY_SIZE(parts); i++) {
		n += (size_t)sprintf(path + n, "%s", parts[i]);
		if (make)
			mkdir(path, 0700);
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) || !is_ours(&st))) {
		close(fd);
		return -EPERM;
	}
	return fd < 0 ? -errno : fd;
}

static int file_name(const char *binary, char name[2 * ID_MAX + 16])
{
	char hex[2 * ID_MAX + 1];
	int err = build_id(binary, hex);

	if (!err)
		sprintf(name, "%s.%d", hex, CONVERSION);
	return err;
}

static int read_checked(int fd, struct btf **out)
{
	_cleanup_free_ char *data = NULL;
	struct head head;
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !is_ours(&st))
		return -EPERM;
	if (st.st_size < (off_t)sizeof(head) || st.st_size > CACHE_FILE_MAX ||
	    pread(fd, &head, sizeof(head), 0) != sizeof(head))
		return -EBADMSG;
	if (memcmp(head.magic, magic, sizeof(magic)) || head.len != st.st_size - sizeof(head))
		return -EBADMSG;
	data = malloc(head.len + 1);
	if (!data)
		return -ENOMEM;
	if (pread(fd, data, head.len, sizeof(head)) != (ssize_t)head.len ||
	    hash_bytes(data, (u32)head.len, CONVERSION) != head.hash)
		return -EBADMSG;
	return btf_read_memory(data, head.len, out) ? -EBADMSG : 0;
}

int btf_cache_get(const char *binary, struct btf **out)
{
	_cleanup_close_ int dir = -1, fd = -1;
	char name[2 * ID_MAX + 16];
	int err;

	if (file_name(binary, name))
		return -ENOENT;
	dir = open_folder(false);
	if (dir < 0)
		return -ENOENT;
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -ENOENT;
	err = read_checked(fd, out);
	if (err == -EBADMSG)
		unlinkat(dir, name, 0);
	return err ? -ENOENT : 0;
}

static int write_file(int fd, const void *data, size_t len)
{
	struct head head = {.len = len, .hash = hash_bytes(data, (u32)len, CONVERSION)};
	int err;

	memcpy(head.magic, magic, sizeof(magic));
	err = write_full(fd, &head, sizeof(head), IO_HERE);
	return err ? err : write_full(fd, data, len, IO_HERE);
}

void btf_cache_put(const char *binary, const void *data, size_t len)
{
	_cleanup_close_ int dir = -1, fd = -1;
	char name[2 * ID_MAX + 16], temporary[2 * ID_MAX + 48];

	if (len > CACHE_FILE_MAX - sizeof(struct head) || file_name(binary, name))
		return;
	dir = open_folder(true);
	if (dir < 0)
		return;
	snprintf(temporary, sizeof(temporary), ".%s.%d", name, (int)getpid());
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	if (write_file(fd, data, len) || renameat(dir, temporary, dir, name))
		unlinkat(dir, temporary, 0);
}

/* On a disk: what is kept in memory all the same isn't worth writing. */
static bool has_room(int dir, u64 size)
{
	struct statfs fs;

	if (fstatfs(dir, &fs) || fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
		return false;
	return size <= (u64)fs.f_bavail * (u64)(fs.f_frsize ? fs.f_frsize : fs.f_bsize) / 2;
}

int btf_cache_scratch(u64 size)
{
	_cleanup_close_ int dir = open_folder(true);
	char name[32];
	int fd;

	if (dir < 0 || !has_room(dir, size))
		return -1;
	fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* not all file systems have such files */
	snprintf(name, sizeof(name), ".unpacked.%d", (int)getpid());
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		unlinkat(dir, name, 0);
	return fd;
}
