/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an ELF file needs beside itself, and where the loader finds it.
 *
 * Model: the dynamic section names libraries (DT_NEEDED) and folders (DT_RPATH, DT_RUNPATH). From a
 * program on, breadth first: each name is looked for once, in the folders of the file that needs
 * it, in LD_LIBRARY_PATH and where the system keeps libraries.
 *
 * Rules: as everywhere in this folder, files are hostile; what is damaged has no needs. The
 * loader's own cache isn't read: folders that only ld.so.conf names are not looked into.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "probe_priv.h"

#define NEEDED_MAX 4096u /* names in one file, and files in all */
#define STRINGS_MAX (16u << 20)

struct strings {
	char *data; /* its last byte is zero */
	u64 len;
};

static const char *string_at(const struct strings *s, u64 at)
{
	return at < s->len ? s->data + at : "";
}

static void end_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

static u64 addr_to_offset(Elf *elf, u64 addr)
{
	size_t n = 0;

	elf_getphdrnum(elf, &n);
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr ph;

		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD && addr >= ph.p_vaddr &&
		    addr - ph.p_vaddr < ph.p_filesz)
			return addr - ph.p_vaddr + ph.p_offset;
	}
	return UINT64_MAX;
}

static Elf_Data *dynamic_section(Elf *elf)
{
	size_t n = 0;

	elf_getphdrnum(elf, &n);
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr ph;

		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_DYNAMIC)
			return elf_getdata_rawchunk(elf, (int64_t)ph.p_offset, ph.p_filesz,
						    ELF_T_DYN);
	}
	return NULL;
}

/* The number of the first entry @tag, or UINT64_MAX. */
static u64 entry(Elf_Data *dynamic, s64 tag)
{
	GElf_Dyn dyn;

	for (int i = 0; gelf_getdyn(dynamic, i, &dyn) && dyn.d_tag != DT_NULL; i++) {
		if (dyn.d_tag == tag)
			return dyn.d_un.d_val;
	}
	return UINT64_MAX;
}

static int read_strings(Elf *elf, int fd, Elf_Data *dynamic, struct strings *out)
{
	u64 addr = entry(dynamic, DT_STRTAB), size = entry(dynamic, DT_STRSZ);
	u64 offset = addr == UINT64_MAX ? addr : addr_to_offset(elf, addr);

	if (offset > INT64_MAX || !size || size > STRINGS_MAX)
		return -ENOENT;
	out->data = calloc(1, size + 1);
	if (!out->data)
		return -ENOMEM;
	if (pread(fd, out->data, size, (off_t)offset) != (ssize_t)size)
		return -ENOENT;
	out->len = size;
	return 0;
}

static int take_names(Elf_Data *dynamic, const struct strings *s, struct probe_needed *out)
{
	GElf_Dyn dyn;

	out->needed = calloc(NEEDED_MAX, sizeof(*out->needed));
	if (!out->needed)
		return -ENOMEM;
	for (int i = 0; gelf_getdyn(dynamic, i, &dyn) && dyn.d_tag != DT_NULL; i++) {
		char **to = dyn.d_tag == DT_SONAME    ? &out->soname
			    : dyn.d_tag == DT_RPATH   ? &out->rpath
			    : dyn.d_tag == DT_RUNPATH ? &out->runpath
						      : NULL;

		if (dyn.d_tag == DT_NEEDED && out->n < NEEDED_MAX)
			to = &out->needed[out->n++];
		if (!to || *to)
			continue;
		*to = strdup(string_at(s, dyn.d_un.d_val));
		if (!*to)
			return -ENOMEM;
	}
	return 0;
}

void probe_needed_free(struct probe_needed *n)
{
	for (u32 i = 0; i < n->n; i++)
		free(n->needed[i]);
	free(n->needed);
	free(n->soname);
	free(n->rpath);
	free(n->runpath);
	*n = (struct probe_needed){0};
}

static int read_names(Elf *elf, int fd, struct probe_needed *out)
{
	Elf_Data *dynamic = dynamic_section(elf);
	struct probe_needed names = {0};
	struct strings strings = {0};
	int err = dynamic ? read_strings(elf, fd, dynamic, &strings) : -ENOENT;

	if (!err)
		err = take_names(dynamic, &strings, &names);
	free(strings.data);
	if (err)
		probe_needed_free(&names);
	else
		*out = names;
	return err;
}

int probe_needed_read(const char *path, struct probe_needed *out)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_(end_elf) Elf *elf = NULL;
	struct stat st;

	elf_version(EV_CURRENT);
	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode))
		elf = elf_begin(fd, ELF_C_READ, NULL);
	return elf && elf_kind(elf) == ELF_K_ELF ? read_names(elf, fd, out) : -ENOENT;
}

int probe_elf_each_name(struct probe_elf *elf, bool needed,
			int (*fn)(const char *name, void *cookie), void *cookie)
{
	struct probe_needed names = {0};
	int r = read_names(elf->elf, elf->fd, &names);

	if (r)
		return 0;
	if (!needed && names.soname)
		r = fn(names.soname, cookie);
	for (u32 i = 0; needed && !r && i < names.n; i++)
		r = fn(names.needed[i], cookie);
	probe_needed_free(&names);
	return r;
}

/* --- where they are -------------------------------------------------------------------------- */

/* @folder of @file, where $ORIGIN is that of the file. */
static bool is_in(const char *folder, int n, const char *file, const char *name, char *path)
{
	static const char *const origins[] = {"$ORIGIN", "${ORIGIN}"};
	const char *slash = strrchr(file, '/');
	int base = slash ? (int)(slash - file) : 1, skip = 0;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(origins); i++) {
		int len = (int)strlen(origins[i]);

		if (n >= len && !strncmp(folder, origins[i], (size_t)len))
			skip = len;
	}
	if (snprintf(path, PATH_MAX, "%.*s%.*s/%s", skip ? base : 0, slash ? file : ".", n - skip,
		     folder + skip, name) >= PATH_MAX)
		return false;
	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, R_OK);
}

static bool look_in(const char *folders, const char *file, const char *name, char *path)
{
	while (folders && *folders) {
		int n = (int)strcspn(folders, ":");

		if (n && is_in(folders, n, file, name, path))
			return true;
		folders += n;
		folders += *folders == ':';
	}
	return false;
}

static bool look_for(const struct probe_needed *by, const char *file, const char *name, char *path)
{
	static const char usual[] = "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:"
				    "/lib/aarch64-linux-gnu:/usr/lib/aarch64-linux-gnu:"
				    "/usr/local/lib:/usr/lib64:/lib64:/usr/lib:/lib";
	struct stat st;

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return !stat(path, &st) && S_ISREG(st.st_mode);
	}
	return look_in(by->runpath ? NULL : by->rpath, file, name, path) ||
	       look_in(getenv("LD_LIBRARY_PATH"), "", name, path) ||
	       look_in(by->runpath, file, name, path) || look_in(usual, "", name, path);
}

int probe_files_add(struct probe_files *files, const char *path)
{
	char **v;

	for (u32 i = 0; i < files->n; i++) {
		if (!strcmp(files->v[i], path))
			return 0;
	}
	v = realloc(files->v, (files->n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	files->v = v;
	v[files->n] = strdup(path);
	return v[files->n] ? (files->n++, 0) : -ENOMEM;
}

static int add_file(struct probe_files *files, const char *path)
{
	char real[PATH_MAX];

	if (!realpath(path, real) || files->n == NEEDED_MAX)
		return 0;
	return probe_files_add(files, real);
}

static int add_needed(struct probe_files *files, const char *file)
{
	struct probe_needed needed = {0};
	char path[PATH_MAX];
	int err = 0;

	probe_needed_read(file, &needed);
	for (u32 i = 0; !err && i < needed.n; i++) {
		if (look_for(&needed, file, needed.needed[i], path))
			err = add_file(files, path);
	}
	probe_needed_free(&needed);
	return err;
}

void probe_files_free(struct probe_files *files)
{
	for (u32 i = 0; i < files->n; i++)
		free(files->v[i]);
	free(files->v);
	*files = (struct probe_files){0};
}

int probe_files_needed(const char *path, struct probe_files *out)
{
	struct probe_files files = {0};
	int err = add_file(&files, path);

	for (u32 i = 0; !err && i < files.n; i++)
		err = add_needed(&files, files.v[i]);
	if (err)
		probe_files_free(&files);
	else
		*out = files;
	return err;
}
