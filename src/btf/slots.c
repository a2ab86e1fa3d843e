/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an object's maps lead to from the start: the slots of program arrays are relocations of the
 * section .maps, each by the name of its program, as libbpf reads them.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <string.h>

#include "base/cleanup.h"
#include "btf/btf_priv.h"

static void end_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

static bool is_maps(Elf *elf, size_t strndx, size_t section)
{
	Elf_Scn *scn = elf_getscn(elf, section);
	GElf_Shdr sh;
	const char *name;

	if (!scn || !gelf_getshdr(scn, &sh))
		return false;
	name = elf_strptr(elf, strndx, sh.sh_name);
	return name && !strcmp(name, ".maps");
}

/* The names in one section of relocations. */
static void walk(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh,
		 void (*fn)(const char *name, void *cookie), void *cookie)
{
	Elf_Scn *symtab = elf_getscn(elf, sh->sh_link);
	Elf_Data *syms = symtab ? elf_getdata(symtab, NULL) : NULL, *rels = elf_getdata(scn, NULL);
	GElf_Shdr symsh;
	GElf_Rel rel;
	GElf_Sym sym;

	if (!syms || !rels || !gelf_getshdr(symtab, &symsh))
		return;
	for (int i = 0; gelf_getrel(rels, i, &rel); i++) {
		const char *name;

		if (!gelf_getsym(syms, (int)GELF_R_SYM(rel.r_info), &sym))
			continue;
		name = elf_strptr(elf, symsh.sh_link, sym.st_name);
		if (name && *name)
			fn(name, cookie);
	}
}

void btf_slots(const char *prog_o, void (*fn)(const char *name, void *cookie), void *cookie)
{
	_cleanup_close_ int fd = open(prog_o, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_(end_elf) Elf *elf = NULL;
	Elf_Scn *scn = NULL;
	size_t strndx;

	elf_version(EV_CURRENT);
	elf = fd >= 0 ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
	if (!elf || elf_getshdrstrndx(elf, &strndx))
		return;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_REL &&
		    is_maps(elf, strndx, sh.sh_info))
			walk(elf, scn, &sh, fn, cookie);
	}
}
