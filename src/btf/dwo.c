/* SPDX-License-Identifier: BSD-2-Clause */
/* Split DWARF put together and taken apart: see dwo.h. */
#include "btf/dwo.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/types.h"

#define IMAGE_MAX (2ull << 30)
#define COLUMNS_MAX 16u

/* What types are made of. The numbers are those of a package's columns. */
enum section { INFO = 1, TYPES = 2, ABBREV = 3, STR_OFFSETS = 6, STR = 7, NSECTIONS = 8 };

static const char *const names[NSECTIONS] = {[INFO] = ".debug_info.dwo",
					     [TYPES] = ".debug_types.dwo",
					     [ABBREV] = ".debug_abbrev.dwo",
					     [STR_OFFSETS] = ".debug_str_offsets.dwo",
					     [STR] = ".debug_str.dwo"};

struct piece {
	enum section of;
	const u8 *p;
	u64 n;
};

struct file {
	Elf *elf;
	int fd;
	struct piece *pieces;
	u32 n, cap;
	struct piece cu_index, tu_index;
};

static void close_file(struct file *f)
{
	if (f->elf)
		elf_end(f->elf);
	if (f->fd >= 0)
		close(f->fd);
	free(f->pieces);
}

static int add_piece(struct file *f, struct piece one)
{
	if (f->n == f->cap) {
		u32 cap = f->cap ? f->cap * 2 : 16;
		struct piece *bigger = reallocarray(f->pieces, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		f->pieces = bigger;
		f->cap = cap;
	}
	f->pieces[f->n++] = one;
	return 0;
}

static enum section section_called(const char *name)
{
	for (u32 i = 0; i < NSECTIONS; i++) {
		if (names[i] && !strcmp(names[i], name))
			return (enum section)i;
	}
	return 0;
}

static int take_section(struct file *f, Elf_Scn *scn, const char *name)
{
	struct piece one = {.of = section_called(name)};
	bool cus = !strcmp(name, ".debug_cu_index"), tus = !strcmp(name, ".debug_tu_index");
	Elf_Data *data;
	GElf_Shdr sh;

	if (!one.of && !cus && !tus)
		return 0;
	if (!gelf_getshdr(scn, &sh) || sh.sh_type == SHT_NOBITS)
		return 0;
	if (sh.sh_flags & SHF_COMPRESSED && elf_compress(scn, 0, 0) < 0)
		return -EBADMSG;
	data = sh.sh_flags & SHF_COMPRESSED ? elf_getdata(scn, NULL) : elf_rawdata(scn, NULL);
	if (!data || !data->d_buf)
		return 0;
	one.p = data->d_buf;
	one.n = data->d_size;
	if (one.of)
		return add_piece(f, one);
	*(cus ? &f->cu_index : &f->tu_index) = one;
	return 0;
}

static int read_sections(struct file *f)
{
	Elf_Scn *scn = NULL;
	size_t strndx;
	int err = 0;

	if (elf_kind(f->elf) != ELF_K_ELF || elf_getshdrstrndx(f->elf, &strndx))
		return -EBADMSG;
	while (!err && (scn = elf_nextscn(f->elf, scn))) {
		GElf_Shdr sh;
		const char *name =
			gelf_getshdr(scn, &sh) ? elf_strptr(f->elf, strndx, sh.sh_name) : NULL;

		err = name ? take_section(f, scn, name) : 0;
	}
	return err;
}

static int open_file(struct file *f, const char *path)
{
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0)
		return -ENOENT;
	elf_version(EV_CURRENT);
	f->elf = elf_begin(f->fd, ELF_C_READ_MMAP, NULL);
	return f->elf ? read_sections(f) : -EBADMSG;
}

/* --- an ELF file in memory ----------------------------------------------------------------------
 */

struct image {
	char *p;
	u64 n;
	Elf64_Shdr *sh; /* where the next header goes */
	Elf64_Word name;
};

/* All pieces of a kind, one behind the other. */
static u64 put_pieces(struct image *out, const struct piece *pieces, u32 n, enum section of)
{
	u64 was = out->n;

	for (u32 i = 0; i < n; i++) {
		if (pieces[i].of != of)
			continue;
		memcpy(out->p + out->n, pieces[i].p, pieces[i].n);
		out->n += pieces[i].n;
	}
	return out->n - was;
}

static void put_header(struct image *out, u32 type, u64 offset, u64 size)
{
	*out->sh++ = (Elf64_Shdr){.sh_name = out->name,
				  .sh_type = type,
				  .sh_offset = offset,
				  .sh_size = size,
				  .sh_addralign = 1};
}

static void put_names(struct image *out)
{
	u64 at = out->n;
	char *p = out->p + at;

	*p++ = 0;
	for (u32 i = 0; i < NSECTIONS; i++) {
		if (names[i])
			p = stpcpy(p, names[i]) + 1;
	}
	p = stpcpy(p, ".shstrtab") + 1;
	out->n = (u64)(p - out->p);
	put_header(out, SHT_STRTAB, at, out->n - at);
}

static void put_all(struct image *out, const struct piece *pieces, u32 n)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)out->p;

	*eh = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1},
		.e_type = ET_REL,
		.e_machine = EM_X86_64,
		.e_version = 1,
		.e_shoff = sizeof(*eh),
		.e_ehsize = sizeof(*eh),
		.e_shentsize = sizeof(Elf64_Shdr)};
	out->sh = (Elf64_Shdr *)(eh + 1);
	out->n = sizeof(*eh) + (NSECTIONS + 2) * sizeof(Elf64_Shdr);
	put_header(out, SHT_NULL, 0, 0);
	out->name = 1;
	for (u32 i = 0; i < NSECTIONS; i++) {
		u64 at = out->n, size = put_pieces(out, pieces, n, i);

		if (size)
			put_header(out, SHT_PROGBITS, at, size);
		out->name += names[i] ? (Elf64_Word)strlen(names[i]) + 1 : 0;
	}
	put_names(out);
	eh->e_shnum = (Elf64_Half)(out->sh - (Elf64_Shdr *)(eh + 1));
	eh->e_shstrndx = eh->e_shnum - 1;
}

static int use_image(struct image *image, int (*fn)(Dwarf *dwarf, void *cookie), void *cookie)
{
	Elf *elf = elf_memory(image->p, image->n);
	Dwarf *dwarf = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
	int err = dwarf ? fn(dwarf, cookie) : -EBADMSG;

	if (dwarf)
		dwarf_end(dwarf);
	if (elf)
		elf_end(elf);
	return err;
}

static int use_pieces(const struct piece *pieces, u32 n, int (*fn)(Dwarf *dwarf, void *cookie),
		      void *cookie)
{
	_cleanup_free_ char *memory = NULL;
	u64 size = 4096;
	struct image image = {0};

	for (u32 i = 0; i < n; i++) {
		size += pieces[i].n;
		if (size > IMAGE_MAX)
			return -EBADMSG;
	}
	memory = calloc(1, size);
	if (!memory)
		return -ENOMEM;
	image.p = memory;
	put_all(&image, pieces, n);
	return use_image(&image, fn, cookie);
}

/* --- a package ----------------------------------------------------------------------------------
 */

struct row {
	u32 at[NSECTIONS], size[NSECTIONS];
};

struct rows {
	struct row *v;
	u32 n;
};

static u32 word(const struct piece *p, u64 at)
{
	u32 v;

	memcpy(&v, p->p + at, sizeof(v));
	return v;
}

/* Append the rows of an index: which part of each section a unit has. */
static int read_index(struct rows *rows, const struct piece *index)
{
	u32 columns, units, slots, version;
	struct row *bigger;
	u64 ids;

	if (!index->p)
		return 0;
	if (index->n < 16)
		return -EBADMSG;
	version = word(index, 0) & 0xffff;
	columns = word(index, 4);
	units = word(index, 8);
	slots = word(index, 12);
	ids = 16 + 12ull * slots;
	if ((version != 2 && version != 5) || columns > COLUMNS_MAX || units > 1u << 24 ||
	    ids + 4ull * columns + 8ull * columns * units > index->n)
		return -EBADMSG;
	bigger = reallocarray(rows->v, (size_t)rows->n + units + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	rows->v = bigger;
	for (u32 i = 0; i < units; i++) {
		struct row *row = rows->v + rows->n++;

		*row = (struct row){0};
		for (u32 c = 0; c < columns; c++) {
			u32 of = word(index, ids + 4ull * c);
			u64 at = ids + 4ull * columns + 4ull * ((u64)i * columns + c);

			if (of >= STR)
				continue;
			row->at[of] = word(index, at);
			row->size[of] = word(index, at + 4ull * columns * units);
		}
	}
	return 0;
}

static int by_file(const void *one, const void *other)
{
	const struct row *a = one, *b = other;

	if (a->at[ABBREV] != b->at[ABBREV])
		return a->at[ABBREV] < b->at[ABBREV] ? -1 : 1;
	return (a->at[STR_OFFSETS] > b->at[STR_OFFSETS]) -
	       (a->at[STR_OFFSETS] < b->at[STR_OFFSETS]);
}

static const struct piece *whole(const struct file *f, enum section of)
{
	for (u32 i = 0; i < f->n; i++) {
		if (f->pieces[i].of == of)
			return f->pieces + i;
	}
	return NULL;
}

static int add_part(struct file *part, const struct file *f, const struct row *row, enum section of)
{
	const struct piece *all = whole(f, of);

	if (!row->size[of])
		return 0;
	if (!all || row->at[of] > all->n || row->size[of] > all->n - row->at[of])
		return -EBADMSG;
	return add_piece(part, (struct piece){of, all->p + row->at[of], row->size[of]});
}

/* The units of one of the files that were packed: their abbreviations and strings are the same. */
static int use_rows(const struct file *f, const struct row *rows, u32 n,
		    int (*fn)(Dwarf *dwarf, void *cookie), void *cookie)
{
	_cleanup_(close_file) struct file part = {.fd = -1};
	const struct piece *str = whole(f, STR);
	int err = add_part(&part, f, rows, ABBREV);

	if (!err)
		err = add_part(&part, f, rows, STR_OFFSETS);
	if (!err && str)
		err = add_piece(&part, *str);
	for (u32 i = 0; !err && i < n; i++) {
		err = add_part(&part, f, rows + i, INFO);
		if (!err)
			err = add_part(&part, f, rows + i, TYPES);
	}
	return err ? err : use_pieces(part.pieces, part.n, fn, cookie);
}

static int use_package(const struct file *f, int (*fn)(Dwarf *dwarf, void *cookie), void *cookie)
{
	struct rows rows = {0};
	int err = read_index(&rows, &f->cu_index);
	u32 end;

	if (!err)
		err = read_index(&rows, &f->tu_index);
	if (!err && rows.n)
		qsort(rows.v, rows.n, sizeof(*rows.v), by_file);
	for (u32 i = 0; !err && i < rows.n; i = end) {
		for (end = i + 1; end < rows.n && !by_file(rows.v + i, rows.v + end);)
			end++;
		err = use_rows(f, rows.v + i, end - i, fn, cookie);
	}
	free(rows.v);
	return err;
}

int dwo_read(const char *path, int (*fn)(Dwarf *dwarf, void *cookie), void *cookie)
{
	_cleanup_(close_file) struct file f = {.fd = -1};
	int err = open_file(&f, path);

	if (err)
		return err;
	if (f.cu_index.p || f.tu_index.p)
		return use_package(&f, fn, cookie);
	return f.n ? use_pieces(f.pieces, f.n, fn, cookie) : -EBADMSG;
}

bool dwo_is_whole(Dwarf *dwarf)
{
	Elf *elf = dwarf_getelf(dwarf);
	u32 n[NSECTIONS] = {0};
	Elf_Scn *scn = NULL;
	size_t strndx;

	if (!elf || elf_getshdrstrndx(elf, &strndx))
		return true;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		const char *name =
			gelf_getshdr(scn, &sh) ? elf_strptr(elf, strndx, sh.sh_name) : NULL;

		if (name)
			n[section_called(name)]++;
	}
	return n[INFO] <= 1 && n[TYPES] <= 1;
}
