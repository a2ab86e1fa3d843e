/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of several names: DWARF has one of them (__libc_malloc), people probe another (malloc).
 *
 * Model: symbols that are at one address are names of one function. Where the types have a function
 * of one of these names, those of the others that can be seen from outside become functions of the
 * same prototype.
 *
 * Rule: names of one address that are known to have different prototypes (identical code that a
 * linker has folded) say nothing about the others, nor does a name that several functions of
 * different prototypes have (static ones).
 */
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/macros.h"
#include "btf/dwarf_conv.h"

#define AMBIGUOUS UINT32_MAX
#define NAME_LEN 512

struct symbol {
	u64 addr;
	const char *name; /* the file's: with a version, maybe */
	u32 len;
	bool global;
};

struct symbols {
	struct symbol *v;
	u32 n;
	/* of functions, by a hash of their names; and which names are those of several */
	struct idmap protos, several;
};

static int by_addr(const void *one, const void *other)
{
	const struct symbol *a = one, *b = other;
	int order;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	order = memcmp(a->name, b->name, a->len);
	/* of a name that is there twice the one that can be seen comes first */
	return order ? order : (int)b->global - (int)a->global;
}

static int read_symbols(struct symbols *s, Dwfl_Module *mod)
{
	int n = dwfl_module_getsymtab(mod);

	if (n <= 0)
		return 0;
	s->v = calloc((size_t)n, sizeof(*s->v));
	if (!s->v)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		GElf_Sym sym;
		GElf_Addr addr;
		GElf_Word shndx;
		const char *name = dwfl_module_getsym_info(mod, i, &sym, &addr, &shndx, NULL, NULL);

		if (!name || !*name || GELF_ST_TYPE(sym.st_info) != STT_FUNC ||
		    sym.st_shndx == SHN_UNDEF)
			continue;
		s->v[s->n++] = (struct symbol){addr, name, (u32)strcspn(name, "@"),
					       GELF_ST_BIND(sym.st_info) != STB_LOCAL};
	}
	qsort(s->v, s->n, sizeof(*s->v), by_addr);
	return 0;
}

static u64 hash_of(const char *name, u32 len)
{
	return hash_bytes(name, len, 1) | 1;
}

static int note_function(struct symbols *s, const struct btf *btf, const struct btf_type *t)
{
	const char *name = btf__name_by_offset(btf, t->name_off);
	u64 key = hash_of(name, (u32)strlen(name));
	u32 has = idmap_get(&s->protos, key);

	if (has == t->type)
		return 0;
	if (!has)
		return idmap_put(&s->protos, key, t->type);
	return idmap_get(&s->several, key) ? 0 : idmap_put(&s->several, key, 1);
}

static int note_functions(struct symbols *s, const struct btf *btf)
{
	int err = 0;

	for (u32 id = 1; !err && id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);

		if (btf_is_func(t))
			err = note_function(s, btf, t);
	}
	return err;
}

static u32 proto_of(const struct symbols *s, const struct symbol *sym)
{
	u64 key = hash_of(sym->name, sym->len);

	return idmap_get(&s->several, key) ? AMBIGUOUS : idmap_get(&s->protos, key);
}

/* The prototype that the names of one address have in common, 0: none, or several. */
static u32 common_proto(const struct symbols *s, const struct symbol *v, u32 n)
{
	u32 common = 0;

	for (u32 i = 0; i < n; i++) {
		u32 proto = proto_of(s, v + i);

		if (proto == AMBIGUOUS || (common && proto && proto != common))
			return 0;
		common = proto ? proto : common;
	}
	return common;
}

static int add_names(struct symbols *s, struct btf *btf, const struct symbol *v, u32 n)
{
	u32 proto = common_proto(s, v, n);
	char name[NAME_LEN];
	int err = 0;

	for (u32 i = 0; proto && err >= 0 && i < n; i++) {
		if (!v[i].global || proto_of(s, v + i) || v[i].len >= sizeof(name))
			continue;
		memcpy(name, v[i].name, v[i].len);
		name[v[i].len] = 0;
		err = btf__add_func(btf, name, BTF_FUNC_GLOBAL, (int)proto);
		if (err >= 0)
			err = idmap_put(&s->protos, hash_of(name, v[i].len), proto);
	}
	return err < 0 ? err : 0;
}

int dwarf_add_aliases(struct dwarf_conv *c, Dwfl_Module *mod)
{
	struct symbols s = {0};
	int err = read_symbols(&s, mod);
	u32 end;

	if (!err)
		err = note_functions(&s, c->btf);
	for (u32 i = 0; !err && i < s.n; i = end) {
		for (end = i + 1; end < s.n && s.v[end].addr == s.v[i].addr;)
			end++;
		if (end > i + 1)
			err = add_names(&s, c->btf, s.v + i, end - i);
	}
	free(s.v);
	idmap_free(&s.protos);
	idmap_free(&s.several);
	return err == -ENOMEM ? err : 0;
}
