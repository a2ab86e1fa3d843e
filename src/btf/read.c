/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading BTF: a raw file, or the .BTF section of an ELF file.
 *
 * Rules: the files are as hostile as the binaries they describe. A section is walked blob by blob
 * with its sizes checked first: a linker that knows nothing of BTF concatenates the sections of its
 * inputs, and a reader that stops at the first sees one translation unit of many. What several have
 * in common is there once in the end.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <linux/btf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "btf/btf_priv.h"
#include "core/load/syscall.h"

#define BTF_FILE_MAX (1u << 30)

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

static int read_blob(const char *p, size_t n, struct btf **out)
{
	struct ebpf_log log = {0};
	struct btf_header h;

	if (n < sizeof(h))
		return -EINVAL;
	memcpy(&h, p, sizeof(h));
	/* libbpf believes what it reads, and leaves out what is before the types when it writes */
	if (h.type_off || ebpf_btf_check_form((const u8 *)p, (u32)n, &log))
		return -EINVAL;
	*out = btf__new(p, (u32)n);
	return *out ? 0 : -EINVAL;
}

static int add_blob(struct btf *into, const char *p, size_t n)
{
	_cleanup_btf_ struct btf *one = NULL;
	int err = read_blob(p, n, &one);

	if (!err)
		err = btf__add_btf(into, one);
	return err < 0 ? err : 0;
}

/* Append every blob of @data; how many, or -EINVAL when one can't be read. */
static int add_blobs(struct btf *into, const void *data, size_t len)
{
	const char *p = data, *end = p + len;
	int blobs = 0;

	while (p < end) {
		size_t n = blob_len(p, end - p);
		int err = add_blob(into, p, n);

		if (err)
			return err;
		blobs++;
		for (p += n; p < end && !*p; p++)
			; /* alignment between sections */
	}
	return blobs;
}

int btf_read_made(int fd, struct btf **out,
		  void (*keep)(const void *data, size_t len, void *cookie), void *cookie)
{
	struct stat st;
	void *data;
	int err;

	if (fstat(fd, &st))
		return -errno;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	err = btf_read_memory(data, (size_t)st.st_size, out);
	if (!err && keep)
		keep(data, (size_t)st.st_size, cookie);
	munmap(data, (size_t)st.st_size);
	return err;
}

/* In place of *btf, when that works out; what is there twice does no harm. */
static void dedup(struct btf **btf)
{
	struct btf *less;

	if (btf_deduplicate(*btf, &less))
		return;
	btf__free(*btf);
	*btf = less;
}

int btf_read_memory(const void *data, size_t len, struct btf **out)
{
	_cleanup_btf_ struct btf *all = NULL;
	int blobs;

	if (len > BTF_FILE_MAX)
		return -EFBIG;
	if (!len)
		return -EINVAL;
	if (blob_len(data, len) == len)
		return read_blob(data, len, out);
	all = btf__new_empty();
	if (!all)
		return -ENOMEM;
	blobs = add_blobs(all, data, len);
	if (blobs < 0)
		return blobs;
	if (blobs > 1)
		dedup(&all);
	*out = TAKE_PTR(all);
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

/* What is only compiled: completed in a copy. */
static int read_unlinked(Elf *elf, const Elf_Data *data, struct btf **out)
{
	_cleanup_free_ void *copy = data->d_size <= BTF_FILE_MAX ? malloc(data->d_size) : NULL;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, data->d_buf, data->d_size);
	btf_complete(elf, copy, data->d_size);
	return btf_read_memory(copy, data->d_size, out);
}

static int read_elf(int fd, struct btf **out)
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
	if (btf_is_unlinked(elf))
		return read_unlinked(elf, data, out);
	return btf_read_memory(data->d_buf, data->d_size, out);
}

static int read_raw(int fd, u64 size, struct btf **out)
{
	_cleanup_free_ char *buf = NULL;

	if (size > BTF_FILE_MAX)
		return -EFBIG;
	buf = malloc(size ? size : 1);
	if (!buf)
		return -ENOMEM;
	if (pread(fd, buf, size, 0) != (ssize_t)size)
		return -EIO;
	return btf_read_memory(buf, size, out);
}

int btf_read_fd(int fd, struct btf **out)
{
	struct stat st;
	char magic[4] = "";

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (pread(fd, magic, 4, 0) == 4 && !memcmp(magic, ELFMAG, 4))
		return read_elf(fd, out);
	return read_raw(fd, (u64)st.st_size, out);
}

int btf_read_file(const char *path, struct btf **out, char *why, size_t why_size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err;

	if (fd < 0) {
		err = -errno;
		snprintf(why, why_size, "cannot open %s: %s", path, strerror(-err));
		return err;
	}
	err = btf_read_fd(fd, out);
	if (err == -ENOENT)
		snprintf(why, why_size, "%s has no BTF", path);
	else if (err == -ENOMEM)
		snprintf(why, why_size, "%s: out of memory", path);
	else if (err)
		snprintf(why, why_size,
			 "%s: its BTF is damaged; make it again with `ebpfrt btf gen`", path);
	return err;
}
