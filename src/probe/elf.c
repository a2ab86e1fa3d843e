/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ELF file as the loader sees it: segments, never sections, say which bytes are where.
 *
 * The file may be anything. libelf checks its tables against the file's size; what it hands out is
 * checked again here before it is used as an index or a length. Files are read, not mapped, so that
 * one that shrinks meanwhile gives an error and not a SIGBUS.
 */
#include "probe_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"

#define SEGMENTS_MAX 4096

int probe_why(char why[PROBE_WHY_MAX], const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(why, PROBE_WHY_MAX, fmt, ap);
	va_end(ap);
	return n;
}

void probe_elf_free(struct probe_elf **elf)
{
	struct probe_elf *e = *elf;

	if (!e)
		return;
	for (size_t i = 0; i < e->nfunctions; i++)
		free(e->functions[i].full);
	free(e->functions);
	free(e->by_name);
	free(e->segments);
	free(e->path);
	if (e->cfi)
		dwarf_cfi_end(e->cfi);
	if (e->elf)
		elf_end(e->elf);
	cleanup_close(&e->fd);
	free(e);
	*elf = NULL;
}

bool probe_elf_is_fixed(struct probe_elf *elf)
{
	GElf_Ehdr ehdr;

	return elf->elf && gelf_getehdr(elf->elf, &ehdr) && ehdr.e_type == ET_EXEC;
}

static int check_header(struct probe_elf *e, char why[PROBE_WHY_MAX])
{
	GElf_Ehdr ehdr;

	if (!e->elf || elf_kind(e->elf) != ELF_K_ELF || !gelf_getehdr(e->elf, &ehdr)) {
		probe_why(why, "%s is not an ELF file, or a damaged one", e->path);
		return -ENOEXEC;
	}
	if (gelf_getclass(e->elf) != ELFCLASS64 || ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    (arch_elf_machine && ehdr.e_machine != arch_elf_machine)) {
		probe_why(why, "%s is for another machine (ELF class %d, machine %d)", e->path,
			  ehdr.e_ident[EI_CLASS], ehdr.e_machine);
		return -ENOEXEC;
	}
	if (ehdr.e_type != ET_EXEC && ehdr.e_type != ET_DYN) {
		probe_why(why, "%s is neither an executable nor a shared library (ELF type %d)",
			  e->path, ehdr.e_type);
		return -ENOEXEC;
	}
	return 0;
}

static bool segment_sane(const struct probe_elf *e, const GElf_Phdr *ph)
{
	return ph->p_offset <= e->file_size && ph->p_filesz <= e->file_size - ph->p_offset &&
	       ph->p_vaddr <= UINT64_MAX - ph->p_filesz;
}

static int load_segments(struct probe_elf *e, char why[PROBE_WHY_MAX])
{
	size_t n = 0;

	if (elf_getphdrnum(e->elf, &n) || !n || n > SEGMENTS_MAX) {
		probe_why(why, "%s has no loadable segments", e->path);
		return -ENOEXEC;
	}
	e->segments = calloc(n, sizeof(*e->segments));
	if (!e->segments)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(e->elf, (int)i, &ph) || ph.p_type != PT_LOAD || !ph.p_filesz)
			continue;
		if (!segment_sane(e, &ph)) {
			probe_why(why, "%s is truncated: a segment lies beyond its end", e->path);
			return -ENOEXEC;
		}
		e->segments[e->nsegments++] = (struct probe_segment){
			ph.p_vaddr, ph.p_offset, ph.p_filesz, !!(ph.p_flags & PF_X)};
	}
	if (!e->nsegments)
		probe_why(why, "%s has no loadable segments", e->path);
	return e->nsegments ? 0 : -ENOEXEC;
}

static int open_regular(const char *path, int *fd, u64 *size, char why[PROBE_WHY_MAX])
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0 || fstat(*fd, &st)) {
		int err = -errno;

		probe_why(why, "cannot open %s: %s", path, strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode)) {
		probe_why(why, "%s is not a regular file", path);
		return -EINVAL;
	}
	*size = (u64)st.st_size;
	return 0;
}

static int load(struct probe_elf *e, char why[PROBE_WHY_MAX])
{
	int err;

	elf_version(EV_CURRENT);
	e->elf = elf_begin(e->fd, ELF_C_READ, NULL);
	err = check_header(e, why);
	if (!err)
		err = load_segments(e, why);
	if (!err) {
		err = probe_elf_load_symbols(e);
		if (err)
			probe_why(why, "cannot read the symbols of %s: %s", e->path,
				  strerror(-err));
	}
	return err;
}

/* Take over @fd. @path is what messages call the file. */
static int open_fd(int fd, u64 size, const char *path, struct probe_elf **out,
		   char why[PROBE_WHY_MAX])
{
	struct probe_elf *e = calloc(1, sizeof(*e));
	int err;

	if (!e) {
		cleanup_close(&fd);
		return -ENOMEM;
	}
	e->fd = fd;
	e->file_size = size;
	e->path = strdup(path);
	err = e->path ? load(e, why) : -ENOMEM;
	if (err)
		probe_elf_free(&e);
	else
		*out = e;
	return err;
}

int probe_elf_open(const char *path, struct probe_elf **out, char why[PROBE_WHY_MAX])
{
	_cleanup_close_ int fd = -1;
	u64 size;
	int err = open_regular(path, &fd, &size, why);

	return err ? err : open_fd(TAKE_FD(fd), size, path, out, why);
}

/* --- the file behind a mapping --- */

static bool same_file(int fd, const struct osl_ident *file)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_ino == file->ino && st.st_dev == file->dev;
}

/*
 * /proc/PID/map_files opens even a deleted file, but the kernel keeps it for the privileged; the
 * path under the target's root serves everyone, as long as it still names the same file.
 */
int probe_elf_open_mapping(pid_t pid, const struct probe_mapping *m, struct probe_elf **out,
			   char why[PROBE_WHY_MAX])
{
	_cleanup_close_ int fd = -1;
	char path[4400];
	u64 size;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", pid, (unsigned long)m->start,
		 (unsigned long)m->end);
	err = open_regular(path, &fd, &size, why);
	if (err) {
		snprintf(path, sizeof(path), "/proc/%d/root%s", pid, m->path);
		err = open_regular(path, &fd, &size, why);
		if (!err && !same_file(fd, &m->file))
			err = -ESTALE;
	}
	if (err) {
		probe_why(why,
			  "the file %s that process %d has mapped was replaced or deleted; "
			  "restart the process to probe it",
			  m->path, pid);
		return err;
	}
	return open_fd(TAKE_FD(fd), size, m->path, out, why);
}

/* --- segments and sections --- */

const struct probe_segment *probe_elf_segment(const struct probe_elf *elf, u64 addr)
{
	for (size_t i = 0; i < elf->nsegments; i++)
		if (addr >= elf->segments[i].addr &&
		    addr - elf->segments[i].addr < elf->segments[i].size)
			return &elf->segments[i];
	return NULL;
}

/* Of the segments that hold @offset (neighbours share pages, not bytes) an executable one first. */
const struct probe_segment *probe_elf_segment_at(const struct probe_elf *elf, u64 offset)
{
	const struct probe_segment *found = NULL;

	for (size_t i = 0; i < elf->nsegments; i++) {
		const struct probe_segment *s = &elf->segments[i];

		if (offset < s->offset || offset - s->offset >= s->size)
			continue;
		if (s->exec)
			return s;
		found = s;
	}
	return found;
}

u64 probe_elf_offset_to_addr(struct probe_elf *elf, u64 offset)
{
	const struct probe_segment *s = probe_elf_segment_at(elf, offset);

	return s ? s->addr + (offset - s->offset) : ~0ull;
}

int probe_elf_pread(const struct probe_elf *elf, u64 offset, void *buf, size_t len)
{
	if (offset > elf->file_size || len > elf->file_size - offset)
		return -ENODATA;
	return read_full(elf->fd, buf, len, offset);
}

Elf_Scn *probe_elf_section(const struct probe_elf *elf, const char *name, GElf_Shdr *shdr)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf->elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf->elf, scn))) {
		const char *s;

		if (!gelf_getshdr(scn, shdr))
			continue;
		s = elf_strptr(elf->elf, names, shdr->sh_name);
		if (s && !strcmp(s, name))
			return scn;
	}
	return NULL;
}

bool probe_elf_is_go(struct probe_elf *elf)
{
	GElf_Shdr shdr;

	return probe_elf_section(elf, ".go.buildinfo", &shdr) ||
	       probe_elf_section(elf, ".note.go.buildid", &shdr) ||
	       probe_elf_section(elf, ".gopclntab", &shdr);
}

bool probe_elf_knows_returns(struct probe_elf *elf)
{
	return elf->knows_returns || probe_elf_is_go(elf);
}
