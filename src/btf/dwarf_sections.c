/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sections: which variable lies where.
 *
 * Model: what was noted of each variable when it was written is sorted by address and cut at the
 * sections of the ELF file that has the DWARF. It is the last that is done to a BTF: until then
 * numbers of types change, but the order of variables doesn't, for they are never deduplicated.
 *
 * Rules: what overlaps another (a name of the same memory), has no known size or lies in no section
 * is a variable without a place. Files that are yet to be linked have no addresses.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "btf/dwarf_conv.h"

#define VLEN_MAX 0xffffu

struct placed {
	u64 addr;
	u32 id, size;
};

static int by_addr(const void *one, const void *other)
{
	const struct placed *a = one, *b = other;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

/* The variables with their numbers as they are now; how many have a place. */
static u32 place(const struct dwarf_conv *c, struct placed *out)
{
	u32 var = 0, n = 0;

	for (u32 id = 1; id < btf__type_cnt(c->btf); id++) {
		const struct dwarf_var *v = c->vars + var;

		if (!btf_is_var(btf__type_by_id(c->btf, id)))
			continue;
		if (var++ == c->nvars)
			return 0; /* not those that were noted */
		if (v->addr && v->size)
			out[n++] = (struct placed){v->addr, id, v->size};
	}
	qsort(out, n, sizeof(*out), by_addr);
	return var == c->nvars ? n : 0;
}

/* Those of [@p, @p + @n) that lie in the section. */
static int add_section(struct dwarf_conv *c, const char *name, const GElf_Shdr *sh,
		       const struct placed *p, u32 n)
{
	u64 end = sh->sh_addr;
	u32 added = 0;
	int err = 0;

	for (; !err && n && added < VLEN_MAX; p++, n--) {
		if (p->addr < end || p->addr - sh->sh_addr >= sh->sh_size ||
		    p->size > sh->sh_addr + sh->sh_size - p->addr)
			continue;
		if (!added++)
			err = btf__add_datasec(c->btf, name, (u32)sh->sh_size);
		if (err >= 0)
			err = btf__add_datasec_var_info(c->btf, (int)p->id,
							(u32)(p->addr - sh->sh_addr), p->size);
		end = p->addr + p->size;
	}
	return err < 0 ? err : 0;
}

static bool holds_variables(const GElf_Shdr *sh)
{
	return sh->sh_flags & SHF_ALLOC && !(sh->sh_flags & (SHF_EXECINSTR | SHF_TLS)) &&
	       sh->sh_size && sh->sh_size <= INT32_MAX && sh->sh_addr + sh->sh_size > sh->sh_addr;
}

int dwarf_add_sections(struct dwarf_conv *c, Elf *elf)
{
	_cleanup_free_ struct placed *all = calloc(c->nvars + 1, sizeof(*all));
	Elf_Scn *scn = NULL;
	GElf_Ehdr eh;
	size_t strndx;
	u32 n;
	int err = 0;

	if (!all)
		return -ENOMEM;
	if (!c->nvars)
		return 0;
	if (!gelf_getehdr(elf, &eh) || eh.e_type == ET_REL || elf_getshdrstrndx(elf, &strndx))
		return 0;
	n = place(c, all);
	while (!err && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		const char *name = gelf_getshdr(scn, &sh) && holds_variables(&sh)
					   ? elf_strptr(elf, strndx, sh.sh_name)
					   : NULL;

		if (name && *name)
			err = add_section(c, name, &sh, all, n);
	}
	return err == -ENOMEM ? err : 0;
}
