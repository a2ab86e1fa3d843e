/* SPDX-License-Identifier: BSD-2-Clause */
/* Split DWARF put together and taken apart: see dwo.h. */
#include "btf/dwo.h"

#include <dwarf.h>
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
	/* in our copy: beside a section of that name libdw takes no others for split ones */
	*(char *)name = '_';
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
	f->elf = elf_begin(f->fd, ELF_C_READ_MMAP_PRIVATE, NULL);
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

/* A unit, or several, and what of the other sections is theirs. */
struct row {
	u32 at[NSECTIONS], size[NSECTIONS];
	const u8 *units, *end; /* in INFO or TYPES */
	u32 strings;	       /* where in STR_OFFSETS the first one's offset is */
};

struct rows {
	struct row *v;
	u32 n;
};

struct package {
	struct rows rows; /* one behind the other */
	const struct piece *str_offsets, *str;
};

/* The one that is read: libdw gives the strings away without a word of where it found them. */
static const struct package *current;

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

static const struct piece *whole(const struct file *f, enum section of)
{
	for (u32 i = 0; i < f->n; i++) {
		if (f->pieces[i].of == of)
			return f->pieces + i;
	}
	return NULL;
}

/* A unit's abbreviations are counted from the beginning of its file's; now of all. */
static int patch_unit(u8 *unit, u64 room, u32 abbrevs, u32 *len, u32 *version)
{
	u32 at, offset;
	u16 v;

	if (room < 12)
		return -EBADMSG;
	memcpy(len, unit, sizeof(*len));
	memcpy(&v, unit + 4, sizeof(v));
	if (*len < 8 || *len > room - 4)
		return -EBADMSG;
	*len += 4;
	*version = v;
	at = v < 5 ? 6 : 8;
	memcpy(&offset, unit + at, sizeof(offset));
	offset += abbrevs;
	memcpy(unit + at, &offset, sizeof(offset));
	return 0;
}

static int patch_units(struct row *row)
{
	u32 version = 0, len;

	for (const u8 *unit = row->units; unit < row->end; unit += len) {
		int err = patch_unit((u8 *)unit, (u64)(row->end - unit), row->at[ABBREV], &len,
				     &version);

		if (err)
			return err;
	}
	/* before version 5 there is no header */
	row->strings = version < 5 ? 0 : 8;
	return 0;
}

static int place_row(const struct file *f, struct row *row)
{
	enum section of = row->size[INFO] ? INFO : TYPES;
	const struct piece *all = whole(f, of);

	if (!row->size[of])
		return 0;
	if (!all || row->at[of] > all->n || row->size[of] > all->n - row->at[of])
		return -EBADMSG;
	row->units = all->p + row->at[of];
	row->end = row->units + row->size[of];
	return patch_units(row);
}

static int by_place(const void *one, const void *other)
{
	const struct row *a = one, *b = other;

	return (a->units > b->units) - (a->units < b->units);
}

static int use_all(const struct file *f, int (*fn)(Dwarf *dwarf, void *cookie), void *cookie)
{
	Dwarf *dwarf = dwarf_begin_elf(f->elf, DWARF_C_READ, NULL);
	int err = dwarf ? fn(dwarf, cookie) : -EBADMSG;

	if (dwarf)
		dwarf_end(dwarf);
	return err;
}

static int use_package(const struct file *f, int (*fn)(Dwarf *dwarf, void *cookie), void *cookie)
{
	struct package all = {.str_offsets = whole(f, STR_OFFSETS), .str = whole(f, STR)};
	int err = read_index(&all.rows, &f->cu_index);

	if (!err)
		err = read_index(&all.rows, &f->tu_index);
	for (u32 i = 0; !err && i < all.rows.n; i++)
		err = place_row(f, all.rows.v + i);
	if (!err && all.rows.n) {
		qsort(all.rows.v, all.rows.n, sizeof(*all.rows.v), by_place);
		current = &all;
		err = use_all(f, fn, cookie);
		current = NULL;
	}
	free(all.rows.v);
	return err;
}

/* --- its strings -------------------------------------------------------------------------------
 */

static const struct row *row_at(const struct rows *rows, const u8 *p)
{
	u32 low = 0, high = rows->n;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (rows->v[middle].units <= p)
			low = middle + 1;
		else
			high = middle;
	}
	return low && p < rows->v[low - 1].end ? rows->v + low - 1 : NULL;
}

static bool read_uleb(const u8 *p, const u8 *end, u64 *out)
{
	*out = 0;
	for (u32 shift = 0; p < end && shift < 35; shift += 7) {
		*out |= (u64)(*p & 0x7f) << shift;
		if (!(*p++ & 0x80))
			return true;
	}
	return false;
}

/* The number of the string that an attribute has; false: it has the string otherwise. */
static bool read_number(const Dwarf_Attribute *attr, const u8 *end, u64 *out)
{
	u32 n;

	switch (attr->form) {
	case DW_FORM_strx:
	case DW_FORM_GNU_str_index:
		return read_uleb(attr->valp, end, out);
	case DW_FORM_strx1:
	case DW_FORM_strx2:
	case DW_FORM_strx3:
	case DW_FORM_strx4:
		n = attr->form - DW_FORM_strx1 + 1;
		*out = 0;
		if (n > (u64)(end - attr->valp))
			return false;
		memcpy(out, attr->valp, n);
		return true;
	default:
		return false;
	}
}

/* The @number-th string of the file that a row is of. */
static const char *string_of(const struct package *from, const struct row *row, u64 number)
{
	const struct piece *offsets = from->str_offsets, *str = from->str;
	u64 at = row->strings + number * 4;
	u32 offset;

	if (!offsets || !str || at + 4 > row->size[STR_OFFSETS] ||
	    row->at[STR_OFFSETS] + at + 4 > offsets->n)
		return NULL;
	offset = word(offsets, row->at[STR_OFFSETS] + at);
	if (offset >= str->n || !memchr(str->p + offset, 0, str->n - offset))
		return NULL;
	return (const char *)str->p + offset;
}

const char *dwo_string(Dwarf_Attribute *attr)
{
	const struct row *row = current ? row_at(&current->rows, attr->valp) : NULL;
	u64 number;

	if (!row || !read_number(attr, row->end, &number))
		return dwarf_formstring(attr);
	return string_of(current, row, number);
}

const char *dwo_name(const Dwarf_Die *die)
{
	Dwarf_Attribute attr;

	return dwarf_attr_integrate((Dwarf_Die *)die, DW_AT_name, &attr) ? dwo_string(&attr) : NULL;
}

/* --- either -------------------------------------------------------------------------------------
 */

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
