/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A large debug file whose sections are compressed, as one in which they are not.
 *
 * Model: libdw makes the whole of each compressed section anew in memory, and keeps it: of a
 * library with gigabytes of debug information that is the most of all that a conversion takes. So
 * what types are made of is written out, a piece at a time, to a file without a name in the folder
 * of conversions; libelf maps that instead, and pages that have been read are given back. All else
 * lies in the copy where it lies in the file; sections that types don't need are left out.
 *
 * Rules: the file is a stranger's, and so is every number in it. What doesn't fit, has another kind
 * of compression, or finds no room, is no error: libdw reads the file itself.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/macros.h"
#include "btf/btf_priv.h"
#include "btf/dwarf_conv.h"

#define WORTH_IT (32ull << 20) /* bytes in memory; below, libdw may have them */
#define UNPACKED_MAX (16ull << 30)
#define SECTIONS_MAX 4096u
#define NAMES_MAX (1u << 20)
#define CHUNK (256u << 10)

/* What says nothing of types; of some binaries that is half. */
static const char *const needless[] = {
	".debug_aranges",      ".debug_frame",	      ".debug_line",	 ".debug_loc",
	".debug_loclists",     ".debug_macinfo",      ".debug_macro",	 ".debug_names",
	".debug_pubnames",     ".debug_pubtypes",     ".debug_rnglists", ".debug_ranges",
	".debug_gnu_pubnames", ".debug_gnu_pubtypes", ".gdb_index",
};

struct unpack {
	int in, out;
	u64 in_size;
	u64 end;    /* of what has been written */
	u64 copied; /* sections may lie over each other, and are not copied for ever */
	Elf64_Ehdr eh;
	Elf64_Shdr *sh;
	char *names;
	u64 names_len;
	u8 *from, *to; /* a piece of each */
};

static void free_unpack(struct unpack *u)
{
	free(u->sh);
	free(u->names);
	free(u->from);
	free(u->to);
	if (u->out >= 0)
		close(u->out);
}

static bool read_in(const struct unpack *u, void *to, u64 len, u64 at)
{
	return at <= u->in_size && len <= u->in_size - at && !read_full(u->in, to, len, at);
}

static bool write_out(const struct unpack *u, const void *from, u64 len, u64 at)
{
	return !write_full(u->out, from, len, at);
}

/* --- what is in the file ---------------------------------------------------------------------- */

static bool is_readable(const Elf64_Ehdr *eh)
{
	return !memcmp(eh->e_ident, ELFMAG, SELFMAG) && eh->e_ident[EI_CLASS] == ELFCLASS64 &&
	       eh->e_ident[EI_DATA] == ELFDATA2LSB && eh->e_type != ET_REL && eh->e_shnum &&
	       eh->e_shnum <= SECTIONS_MAX && eh->e_shentsize == sizeof(Elf64_Shdr) &&
	       eh->e_shstrndx < eh->e_shnum &&
	       (!eh->e_phnum || eh->e_phentsize == sizeof(Elf64_Phdr));
}

static bool read_names(struct unpack *u)
{
	const Elf64_Shdr *names = &u->sh[u->eh.e_shstrndx];

	if (names->sh_size > NAMES_MAX || names->sh_flags & SHF_COMPRESSED)
		return false;
	u->names_len = names->sh_size;
	u->names = calloc(1, u->names_len + 1);
	return u->names && read_in(u, u->names, u->names_len, names->sh_offset);
}

static bool read_headers(struct unpack *u)
{
	struct stat st;

	if (fstat(u->in, &st) || !S_ISREG(st.st_mode))
		return false;
	u->in_size = (u64)st.st_size;
	if (!read_in(u, &u->eh, sizeof(u->eh), 0) || !is_readable(&u->eh))
		return false;
	u->sh = calloc(u->eh.e_shnum, sizeof(*u->sh));
	return u->sh && read_in(u, u->sh, u->eh.e_shnum * sizeof(*u->sh), u->eh.e_shoff) &&
	       read_names(u);
}

static bool is_packed(const Elf64_Shdr *sh)
{
	return sh->sh_type != SHT_NOBITS && sh->sh_flags & SHF_COMPRESSED;
}

static bool is_wanted(const struct unpack *u, const Elf64_Shdr *sh)
{
	const char *name = sh->sh_name < u->names_len ? u->names + sh->sh_name : "";

	for (u32 i = 0; i < ARRAY_SIZE(needless); i++) {
		if (!strcmp(name, needless[i]))
			return false;
	}
	return true;
}

/* How large its compressed sections become: @all, as libdw would have them, and those @kept. */
static bool measure(struct unpack *u, u64 *all, u64 *kept)
{
	*all = *kept = 0;
	for (u32 i = 0; i < u->eh.e_shnum; i++) {
		Elf64_Chdr ch;

		if (!is_packed(&u->sh[i]))
			continue;
		if (u->sh[i].sh_size < sizeof(ch) ||
		    !read_in(u, &ch, sizeof(ch), u->sh[i].sh_offset) ||
		    ch.ch_type != ELFCOMPRESS_ZLIB || ch.ch_size > UNPACKED_MAX)
			return false;
		*all += ch.ch_size;
		if (is_wanted(u, &u->sh[i]))
			*kept += ch.ch_size;
	}
	return *kept <= UNPACKED_MAX;
}

/* --- the copy --------------------------------------------------------------------------------- */

static bool copy_range(struct unpack *u, u64 at, u64 len)
{
	if (len > u->in_size || u->copied > u->in_size)
		return false;
	u->copied += len;
	while (len) {
		u64 n = MIN(len, (u64)CHUNK);

		if (!read_in(u, u->from, n, at) || !write_out(u, u->from, n, at))
			return false;
		at += n;
		len -= n;
	}
	return true;
}

/* A piece of the section into u->to. 0 at its end, as zlib sees it. */
static int inflate_some(struct unpack *u, z_stream *z, u64 *at, u64 end)
{
	int got = Z_OK;

	z->next_out = u->to;
	z->avail_out = CHUNK;
	while (got == Z_OK && z->avail_out) {
		u64 n = MIN(end - *at, (u64)CHUNK);

		if (!z->avail_in) {
			if (!n || !read_in(u, u->from, n, *at))
				return -EBADMSG;
			z->next_in = u->from;
			z->avail_in = (uInt)n;
			*at += n;
		}
		got = inflate(z, Z_NO_FLUSH);
	}
	if (got != Z_OK && got != Z_STREAM_END)
		return -EBADMSG;
	return got == Z_OK;
}

static bool inflate_section(struct unpack *u, const Elf64_Shdr *sh, z_stream *z, u64 size)
{
	u64 at = sh->sh_offset + sizeof(Elf64_Chdr), end = sh->sh_offset + sh->sh_size, done = 0;
	int more = 1;

	while (more > 0) {
		u64 n;

		more = inflate_some(u, z, &at, end);
		n = CHUNK - z->avail_out;
		if (more < 0 || n > size - done || !write_out(u, u->to, n, u->end + done))
			return false;
		done += n;
	}
	return done == size;
}

static bool unpack_section(struct unpack *u, Elf64_Shdr *sh)
{
	z_stream z = {0};
	Elf64_Chdr ch;
	bool ok;

	if (!read_in(u, &ch, sizeof(ch), sh->sh_offset) || inflateInit(&z) != Z_OK)
		return false;
	u->end = ALIGN_UP(u->end, 16);
	ok = inflate_section(u, sh, &z, ch.ch_size);
	inflateEnd(&z);
	sh->sh_flags &= ~(Elf64_Xword)SHF_COMPRESSED;
	sh->sh_offset = u->end;
	sh->sh_size = ch.ch_size;
	sh->sh_addralign = 1;
	u->end += ch.ch_size;
	return ok;
}

static bool copy_section(struct unpack *u, Elf64_Shdr *sh)
{
	if (!is_packed(sh))
		return sh->sh_type == SHT_NOBITS || sh->sh_type == SHT_NULL ||
		       copy_range(u, sh->sh_offset, sh->sh_size);
	if (is_wanted(u, sh))
		return unpack_section(u, sh);
	sh->sh_flags &= ~(Elf64_Xword)SHF_COMPRESSED;
	sh->sh_type = SHT_NOBITS;
	return true;
}

static bool copy_all(struct unpack *u)
{
	u->end = u->in_size;
	for (u32 i = 0; i < u->eh.e_shnum; i++) {
		if (!copy_section(u, &u->sh[i]))
			return false;
	}
	if (!copy_range(u, u->eh.e_phoff, (u64)u->eh.e_phnum * sizeof(Elf64_Phdr)))
		return false;
	u->eh.e_shoff = ALIGN_UP(u->end, 16);
	return write_out(u, u->sh, u->eh.e_shnum * sizeof(*u->sh), u->eh.e_shoff) &&
	       write_out(u, &u->eh, sizeof(u->eh), 0);
}

/* A limit to the size of files is no reason to die of. */
static bool copy_within_limits(struct unpack *u)
{
	void (*was)(int) = signal(SIGXFSZ, SIG_IGN);
	bool ok = copy_all(u);

	signal(SIGXFSZ, was);
	return ok;
}

int dwarf_unpack(int fd)
{
	_cleanup_(free_unpack) struct unpack u = {.in = fd, .out = -1};
	u64 all, kept;

	if (!read_headers(&u) || !measure(&u, &all, &kept) || all < WORTH_IT)
		return -1;
	u.from = malloc(CHUNK);
	u.to = malloc(CHUNK);
	u.out = u.from && u.to ? btf_cache_scratch(u.in_size + kept) : -1;
	if (u.out < 0 || !copy_within_limits(&u))
		return -1;
	return TAKE_FD(u.out);
}
