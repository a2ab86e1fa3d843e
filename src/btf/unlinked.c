/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The types in an object file: its compiler doesn't know yet how large sections will be, and where
 * variables will lie in them, and leaves zeroes for whoever links or loads it.
 *
 * Model: a section of variables (DATASEC) whose size is 0 gets that of the file's section with its
 * name, and its variables the places that the symbol table gives them. What is outside of the file
 * (.ksyms, .kconfig) gets a size that what is in it fits into.
 *
 * Rules: a copy is changed, never the file. File and types are a stranger's: what doesn't fit is
 * left as it is, and whoever reads the types checks them afterwards; the steps are counted.
 */
#include <gelf.h>
#include <linux/btf.h>
#include <string.h>

#include "base/macros.h"
#include "btf/btf_priv.h"
#include "core/load/btf_kind.h"

#define STEPS_MAX 20000000u /* through symbols, all together */

struct unlinked {
	Elf *elf;
	Elf_Data *symbols;
	size_t symbol_names; /* the section of their names */
	size_t section_names;
	u32 steps;
	/* the types at hand */
	u8 *types;
	u32 types_len;
	const char *strs;
	u32 strs_len;
};

static const char *name_at(const struct unlinked *u, u32 off)
{
	return off < u->strs_len && memchr(u->strs + off, 0, u->strs_len - off) ? u->strs + off
										: "";
}

/* --- the file -------------------------------------------------------------------------------- */

static void find_symbols(struct unlinked *u)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while (!u->symbols && (scn = elf_nextscn(u->elf, scn))) {
		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_SYMTAB)
			continue;
		u->symbols = elf_getdata(scn, NULL);
		u->symbol_names = sh.sh_link;
	}
}

/* Number and size of the section @name. False: it is not in the file. */
static bool find_section(const struct unlinked *u, const char *name, size_t *index, u64 *size)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(u->elf, scn))) {
		const char *n;

		if (!gelf_getshdr(scn, &sh))
			continue;
		n = elf_strptr(u->elf, u->section_names, sh.sh_name);
		if (!n || strcmp(n, name) != 0)
			continue;
		*index = elf_ndxscn(scn);
		*size = sh.sh_size;
		return true;
	}
	return false;
}

static bool find_symbol(struct unlinked *u, const char *name, size_t section, u64 *value)
{
	GElf_Sym sym;

	for (int i = 0; *name && u->symbols && gelf_getsym(u->symbols, i, &sym); i++) {
		const char *n;

		if (++u->steps > STEPS_MAX)
			return false;
		if (sym.st_shndx != section || GELF_ST_TYPE(sym.st_info) == STT_SECTION)
			continue;
		n = elf_strptr(u->elf, u->symbol_names, sym.st_name);
		if (!n || strcmp(n, name) != 0)
			continue;
		*value = sym.st_value;
		return true;
	}
	return false;
}

/* --- its types ------------------------------------------------------------------------------- */

/* The type @id, found by walking: these files have few sections of variables. */
static bool type_at(struct unlinked *u, u32 id, struct btf_type *t)
{
	u32 off = 0;

	for (u32 n = 1; off + sizeof(*t) <= u->types_len && ++u->steps <= STEPS_MAX; n++) {
		s64 tail;

		memcpy(t, u->types + off, sizeof(*t));
		if (n == id)
			return true;
		tail = btf_kind_tail(t->info);
		if (tail < 0 || off + sizeof(*t) + tail > u->types_len)
			return false;
		off += sizeof(*t) + (u32)tail;
	}
	return false;
}

/* Bytes that the variables of a section take, at least. */
static u32 extent(const struct btf_var_secinfo *v, u32 n)
{
	u64 end = 0;

	for (u32 i = 0; i < n; i++)
		end = MAX(end, (u64)v[i].offset + v[i].size);
	return (u32)MIN(end, (u64)UINT32_MAX);
}

static void place_variables(struct unlinked *u, struct btf_var_secinfo *v, u32 n, size_t section)
{
	struct btf_type var;
	u64 value;

	for (u32 i = 0; i < n; i++) {
		if (!v[i].offset && type_at(u, v[i].type, &var) &&
		    find_symbol(u, name_at(u, var.name_off), section, &value) &&
		    value <= UINT32_MAX - v[i].size)
			v[i].offset = (u32)value;
	}
}

/* Of a section of variables, @tail are these. The bytes may lie anywhere. */
static void complete(struct unlinked *u, struct btf_type *t, u8 *tail)
{
	const u32 n = BTF_INFO_VLEN(t->info);
	struct btf_var_secinfo *v = (void *)tail;
	size_t index;
	u64 size = 0;

	if (find_section(u, name_at(u, t->name_off), &index, &size))
		place_variables(u, v, n, index);
	t->size = (u32)MIN(MAX(size, (u64)extent(v, n)), (u64)UINT32_MAX);
}

static void complete_all(struct unlinked *u)
{
	u32 off = 0;

	while (off + sizeof(struct btf_type) <= u->types_len) {
		struct btf_type *t = (void *)(u->types + off);
		s64 tail = btf_kind_tail(t->info);

		if (tail < 0 || off + sizeof(*t) + tail > u->types_len)
			return;
		if (BTF_INFO_KIND(t->info) == BTF_KIND_DATASEC && !t->size)
			complete(u, t, (u8 *)(t + 1));
		off += sizeof(*t) + (u32)tail;
	}
}

bool btf_is_unlinked(Elf *elf)
{
	GElf_Ehdr eh;

	return gelf_getehdr(elf, &eh) && eh.e_type == ET_REL;
}

void btf_complete(Elf *elf, void *data, size_t len)
{
	struct unlinked u = {.elf = elf};
	struct btf_header h;

	if (len < sizeof(h) || elf_getshdrstrndx(elf, &u.section_names))
		return;
	memcpy(&h, data, sizeof(h));
	if (h.magic != BTF_MAGIC || (u64)h.hdr_len + h.type_off + h.type_len > len ||
	    (u64)h.hdr_len + h.str_off + h.str_len > len || (h.hdr_len + h.type_off) % 4)
		return;
	u.types = (u8 *)data + h.hdr_len + h.type_off;
	u.types_len = h.type_len;
	u.strs = (const char *)data + h.hdr_len + h.str_off;
	u.strs_len = h.str_len;
	find_symbols(&u);
	complete_all(&u);
}
