/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding and joining the types of a target.
 *
 * Model: joined = built-in kernel types, then every type of every file found, ids shifted
 * (btf__add_btf). Types of the same name may be there several times, as in any BTF; CO-RE takes
 * those that have the member it looks for.
 *
 * Rules: the files are as hostile as the binaries they describe. A section is walked blob by blob
 * with its sizes checked first: a linker that knows nothing of BTF concatenates the sections of its
 * inputs, and a reader that stops at the first sees one translation unit of many.
 */
#include "btf/btf.h"

#include <bpf/btf.h>
#include <fcntl.h>
#include <gelf.h>
#include <linux/btf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "btf/builtin.h"
#include "core/load/syscall.h"

#define BTF_FILE_MAX (256u << 20)

static void free_btf(struct btf **btf)
{
	btf__free(*btf);
}

static void end_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

/* Bytes of the blob at @data, 0 when it isn't one. */
static size_t blob_len(const void *data, size_t left)
{
	struct btf_header h;
	u64 end;

	if (left < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	if (h.magic != BTF_MAGIC || h.version != BTF_VERSION || h.hdr_len < sizeof(h))
		return 0;
	end = MAX((u64)h.type_off + h.type_len, (u64)h.str_off + h.str_len) + h.hdr_len;
	return end <= left ? end : 0;
}

/* Append every blob of @data. 0, or -EINVAL when one can't be read. */
static int add_blobs(struct btf *into, const void *data, size_t len)
{
	const char *p = data, *end = p + len;
	struct ebpf_log log = {0};

	while (p < end) {
		_cleanup_(free_btf) struct btf *one = NULL;
		size_t n = blob_len(p, end - p);
		int err;

		/* libbpf believes what it reads */
		if (!n || ebpf_btf_check((const u8 *)p, n, &log))
			return -EINVAL;
		one = btf__new(p, n);
		if (!one)
			return -EINVAL;
		err = btf__add_btf(into, one);
		if (err < 0)
			return err;
		for (p += n; p < end && !*p; p++)
			; /* alignment between sections */
	}
	return 0;
}

/* The section called @name, or NULL. */
static Elf_Data *find_section(Elf *elf, const char *name)
{
	size_t strndx;
	Elf_Scn *scn = NULL;

	if (elf_getshdrstrndx(elf, &strndx))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		const char *n;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type == SHT_NOBITS)
			continue;
		n = elf_strptr(elf, strndx, sh.sh_name);
		if (n && !strcmp(n, name))
			return elf_rawdata(scn, NULL);
	}
	return NULL;
}

static int read_elf(int fd, struct btf *into)
{
	_cleanup_(end_elf) Elf *elf = NULL;
	Elf_Data *data;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		return -ENOENT;
	data = find_section(elf, ".BTF");
	if (!data || !data->d_buf || !data->d_size)
		return -ENOENT;
	return add_blobs(into, data->d_buf, data->d_size);
}

static int read_raw(int fd, u64 size, struct btf *into)
{
	_cleanup_free_ char *buf = NULL;

	if (size > BTF_FILE_MAX)
		return -EFBIG;
	buf = malloc(size);
	if (!buf)
		return -ENOMEM;
	if (pread(fd, buf, size, 0) != (ssize_t)size)
		return -EIO;
	return add_blobs(into, buf, size);
}

static int read_into(int fd, struct btf *into)
{
	struct stat st;
	char magic[4] = "";

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (pread(fd, magic, 4, 0) == 4 && !memcmp(magic, ELFMAG, 4))
		return read_elf(fd, into);
	return read_raw(fd, st.st_size, into);
}

int btf_builtin(struct btf **out)
{
	_cleanup_free_ void *raw = NULL;
	u32 size;
	int err = btf_builtin_raw(&raw, &size);

	if (err)
		return err;
	*out = btf__new(raw, size);
	return *out ? 0 : -errno;
}

int btf_read_file(const char *path, struct btf **out, char *why, size_t why_size)
{
	_cleanup_(free_btf) struct btf *btf = btf__new_empty();
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err;

	if (!btf)
		return -ENOMEM;
	if (fd < 0) {
		err = -errno;
		snprintf(why, why_size, "cannot open %s: %s", path, strerror(-err));
		return err;
	}
	err = read_into(fd, btf);
	if (err == -ENOENT)
		snprintf(why, why_size, "%s has no BTF", path);
	else if (err)
		snprintf(why, why_size, "%s: its BTF is damaged; make it again with pahole", path);
	if (err)
		return err;
	*out = TAKE_PTR(btf);
	return 0;
}

static int join_file(struct btf *into, const char *path, char *why, size_t why_size)
{
	_cleanup_(free_btf) struct btf *one = NULL;
	int err = btf_read_file(path, &one, why, why_size);

	if (!err)
		err = btf__add_btf(into, one);
	return err < 0 ? err : 0;
}

/* The types of @binary: its own, else those of the detached file beside it. Having none is no
 * error. */
static int join_binary(struct btf *into, const char *binary, int *found, char *why, size_t why_size)
{
	char detached[4096];
	int err;

	err = join_file(into, binary, why, why_size);
	if (err == -ENOENT) {
		if (snprintf(detached, sizeof(detached), "%s.btf", binary) >= (int)sizeof(detached))
			return 0;
		if (access(detached, F_OK))
			return 0;
		err = join_file(into, detached, why, why_size);
	}
	if (!err)
		(*found)++;
	return err == -EACCES ? 0 : err;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			return -errno;
		data += n;
		len -= n;
	}
	return 0;
}

static int to_memfd(const struct btf *btf, int *fd, char *fd_path)
{
	_cleanup_close_ int m = memfd_create("ebpfrt-btf", MFD_CLOEXEC);
	const void *data;
	u32 len;
	int err;

	if (m < 0)
		return -errno;
	data = btf__raw_data(btf, &len);
	if (!data)
		return -ENOMEM;
	err = write_all(m, data, len);
	if (err)
		return err;
	snprintf(fd_path, 64, "/proc/self/fd/%d", m);
	*fd = TAKE_FD(m);
	return 0;
}

int btf_for_object(const char *user_file, const char *const *binaries, int *fd, char *fd_path,
		   int *found, char *why, size_t why_size)
{
	_cleanup_(free_btf) struct btf *all = NULL;
	int n = 0, err;

	err = btf_builtin(&all);
	if (err) {
		snprintf(why, why_size, "cannot describe the built-in types: %s", strerror(-err));
		return err;
	}
	if (user_file) {
		err = join_file(all, user_file, why, why_size);
		n = !err;
	} else {
		for (; !err && binaries && *binaries; binaries++)
			err = join_binary(all, *binaries, &n, why, why_size);
	}
	if (err)
		return err;
	err = to_memfd(all, fd, fd_path);
	if (err) {
		snprintf(why, why_size, "cannot write the joined BTF: %s", strerror(-err));
		return err;
	}
	*found = n;
	return 0;
}
