/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Function symbols of .symtab and .dynsym in one table, by address and by name.
 *
 * A name may carry a version as the linker writes it: "memcpy@GLIBC_2.2.5" is any version of that
 * name, "memcpy@@GLIBC_2.14" the default one. A bare name means the default version; symbols that
 * only exist in an old version are found by it, too.
 */
#include "probe_priv.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

#define FUNCTIONS_MAX (1u << 23)
#define VERSION_HIDDEN 0x8000

/* --- version names --- */

struct versions {
	Elf_Data *indices; /* .gnu.version: one per dynamic symbol */
	const char **names;
	size_t n;
};

static void versions_free(struct versions *v)
{
	free(v->names);
}

static void add_version(struct versions *v, size_t index, const char *name)
{
	if (index >= v->n) {
		const char **names = reallocarray(v->names, index + 1, sizeof(*names));

		if (!names)
			return;
		memset(names + v->n, 0, (index + 1 - v->n) * sizeof(*names));
		v->names = names;
		v->n = index + 1;
	}
	v->names[index] = name;
}

/* .gnu.version_d is a list of definitions, each with its name in the first of its own list. */
static void read_definitions(struct probe_elf *e, Elf_Scn *scn, const GElf_Shdr *shdr,
			     struct versions *v)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	u64 at = 0;

	for (size_t i = 0; data && i < shdr->sh_info && at < data->d_size; i++) {
		GElf_Verdaux aux;
		GElf_Verdef def;

		if (!gelf_getverdef(data, (int)at, &def) ||
		    !gelf_getverdaux(data, (int)(at + def.vd_aux), &aux))
			return;
		add_version(v, def.vd_ndx & ~VERSION_HIDDEN,
			    elf_strptr(e->elf, shdr->sh_link, aux.vda_name));
		if (!def.vd_next)
			return;
		at += def.vd_next;
	}
}

static void read_versions(struct probe_elf *e, struct versions *v)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(e->elf, scn))) {
		if (!gelf_getshdr(scn, &shdr))
			continue;
		if (shdr.sh_type == SHT_GNU_versym)
			v->indices = elf_getdata(scn, NULL);
		else if (shdr.sh_type == SHT_GNU_verdef)
			read_definitions(e, scn, &shdr, v);
	}
}

static const char *version_of(const struct versions *v, size_t symbol, bool *hidden)
{
	GElf_Versym index;

	if (!v->indices || !gelf_getversym(v->indices, (int)symbol, &index))
		return NULL;
	*hidden = index & VERSION_HIDDEN;
	index &= ~VERSION_HIDDEN;
	return index > 1 && index < v->n ? v->names[index] : NULL;
}

/* --- runtimes that know the return addresses --- */

/*
 * A call of theirs out of code that they generated leaves a return address at a place which they
 * know; who collects garbage or throws looks it up among the addresses of that code, and does not
 * expect to fail. Their own functions are what such code calls. V8 calls those of its users, too:
 * whatever names its classes, defined or not.
 */
static const char *const defined_marks[] = {
	"JNI_CreateJavaVM", /* every Java machine */
	"caml_frametable",  "coreclr_initialize", "mono_jit_init", "JSGlobalContextCreate",
};
static const char *const user_marks[] = {"_ZN2v8", "_ZNK2v8"};
static const char ocaml_mark[] = "__frametable"; /* of each of its modules */

bool probe_marks_returns(const char *name, bool defined)
{
	size_t len = strlen(name), tail = strlen(ocaml_mark);

	for (size_t i = 0; i < ARRAY_SIZE(user_marks); i++)
		if (!strncmp(name, user_marks[i], strlen(user_marks[i])))
			return true;
	for (size_t i = 0; defined && i < ARRAY_SIZE(defined_marks); i++)
		if (!strcmp(name, defined_marks[i]))
			return true;
	return defined && len > tail && !strcmp(name + len - tail, ocaml_mark);
}

/* --- collecting --- */

struct builder {
	struct probe_elf *e;
	size_t cap;
};

static int append(struct builder *b, const struct probe_function *f)
{
	struct probe_elf *e = b->e;

	if (e->nfunctions >= FUNCTIONS_MAX)
		return -E2BIG;
	if (e->nfunctions == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 1024;
		struct probe_function *v = reallocarray(e->functions, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		e->functions = v;
		b->cap = cap;
	}
	e->functions[e->nfunctions++] = *f;
	return 0;
}

static bool is_function(const struct probe_elf *e, const GElf_Sym *sym)
{
	unsigned int type = GELF_ST_TYPE(sym->st_info);
	const struct probe_segment *s;

	if ((type != STT_FUNC && type != STT_GNU_IFUNC) || sym->st_shndx == SHN_UNDEF)
		return false;
	s = probe_elf_segment(e, sym->st_value);
	return s && s->exec;
}

static int add_symbol(struct builder *b, const GElf_Sym *sym, const char *name, const char *version,
		      bool hidden)
{
	struct probe_function f = {.name = name,
				   .version = version,
				   .addr = sym->st_value,
				   .ifunc = GELF_ST_TYPE(sym->st_info) == STT_GNU_IFUNC,
				   .local = GELF_ST_BIND(sym->st_info) == STB_LOCAL,
				   .hidden_version = version && hidden};
	const struct probe_segment *s = probe_elf_segment(b->e, f.addr);
	int err;

	f.size = MIN(sym->st_size, s->size - (f.addr - s->addr));
	if (f.hidden_version && asprintf(&f.full, "%s@%s", name, version) < 0)
		return -ENOMEM;
	err = append(b, &f);
	if (err)
		free(f.full);
	return err;
}

static int collect(struct builder *b, Elf_Scn *scn, const GElf_Shdr *shdr,
		   const struct versions *versions)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t n = data && shdr->sh_entsize == sizeof(Elf64_Sym) ? data->d_size / sizeof(Elf64_Sym)
								 : 0;

	for (size_t i = 1; i < n && i < INT32_MAX; i++) {
		const char *name, *version = NULL;
		bool hidden = false;
		GElf_Sym sym;
		int err;

		if (!gelf_getsym(data, (int)i, &sym))
			continue;
		name = elf_strptr(b->e->elf, shdr->sh_link, sym.st_name);
		if (!name || !*name)
			continue;
		if (!b->e->knows_returns)
			b->e->knows_returns = probe_marks_returns(name, sym.st_shndx != SHN_UNDEF);
		if (!is_function(b->e, &sym))
			continue;
		if (versions)
			version = version_of(versions, i, &hidden);
		err = add_symbol(b, &sym, name, version, hidden);
		if (err)
			return err;
	}
	return 0;
}

/* --- ordering --- */

/* Of the same place and name, default versions come first and symbols without one last. */
static int by_address(const void *a, const void *b)
{
	const struct probe_function *x = a, *y = b;
	int order;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	order = strcmp(x->name, y->name);
	if (order)
		return order;
	return (!x->version * 2 + x->hidden_version) - (!y->version * 2 + y->hidden_version);
}

/* .symtab writes name@version and name@@version out where .dynsym has the version apart. */
static bool same_name(const struct probe_function *a, const struct probe_function *b)
{
	size_t n = strlen(a->name);

	if (b->version && (!a->version || strcmp(a->version, b->version)))
		return false;
	return !strncmp(a->name, b->name, n) && (!b->name[n] || (a->version && b->name[n] == '@'));
}

static void drop_duplicates(struct probe_elf *e)
{
	size_t kept = 0;

	for (size_t i = 0; i < e->nfunctions; i++) {
		struct probe_function *f = &e->functions[i];
		struct probe_function *last = kept ? &e->functions[kept - 1] : NULL;

		if (last && last->addr == f->addr && same_name(last, f)) {
			last->size = MAX(last->size, f->size);
			last->local &= f->local;
			free(f->full);
			continue;
		}
		e->functions[kept++] = *f;
	}
	e->nfunctions = kept;
}

/* Functions of size 0 (assembly) last until the next symbol or the end of the segment. */
static u64 end_of(const struct probe_elf *e, size_t i)
{
	const struct probe_function *f = &e->functions[i];
	const struct probe_segment *s = probe_elf_segment(e, f->addr);
	size_t next = i + 1;

	if (f->size)
		return f->addr + f->size;
	while (next < e->nfunctions && e->functions[next].addr == f->addr)
		next++;
	return MIN(next < e->nfunctions ? e->functions[next].addr : ~0ull, s->addr + s->size);
}

static void settle_reach(struct probe_elf *e)
{
	u64 reach = 0;

	for (size_t i = 0; i < e->nfunctions; i++) {
		reach = MAX(reach, end_of(e, i));
		e->functions[i].reach = reach;
	}
}

static int by_name(const void *a, const void *b, void *elf)
{
	const struct probe_elf *e = elf;
	const struct probe_function *x = &e->functions[*(const u32 *)a];
	const struct probe_function *y = &e->functions[*(const u32 *)b];
	int order = strcmp(x->name, y->name);

	return order ? order : x->addr < y->addr ? -1 : x->addr > y->addr;
}

static int index_names(struct probe_elf *e)
{
	e->by_name = calloc(MAX(e->nfunctions, (size_t)1), sizeof(*e->by_name));
	if (!e->by_name)
		return -ENOMEM;
	for (size_t i = 0; i < e->nfunctions; i++)
		e->by_name[i] = (u32)i;
	qsort_r(e->by_name, e->nfunctions, sizeof(*e->by_name), by_name, e);
	return 0;
}

int probe_elf_load_symbols(struct probe_elf *elf)
{
	_cleanup_(versions_free) struct versions versions = {0};
	struct builder b = {elf, 0};
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	read_versions(elf, &versions);
	while ((scn = elf_nextscn(elf->elf, scn))) {
		int err = 0;

		if (!gelf_getshdr(scn, &shdr))
			continue;
		if (shdr.sh_type == SHT_SYMTAB)
			err = collect(&b, scn, &shdr, NULL);
		else if (shdr.sh_type == SHT_DYNSYM)
			err = collect(&b, scn, &shdr, &versions);
		if (err)
			return err;
	}
	if (elf->nfunctions)
		qsort(elf->functions, elf->nfunctions, sizeof(*elf->functions), by_address);
	drop_duplicates(elf);
	settle_reach(elf);
	return index_names(elf);
}

/* --- looking up --- */

const char *probe_function_name(const struct probe_function *f)
{
	return f->full ? f->full : f->name;
}

static void describe(const struct probe_elf *e, const struct probe_function *f,
		     struct probe_symbol *out)
{
	const struct probe_segment *s = probe_elf_segment(e, f->addr);

	*out = (struct probe_symbol){.name = probe_function_name(f),
				     .addr = f->addr,
				     .offset = s->offset + (f->addr - s->addr),
				     .size = f->size,
				     .ifunc = f->ifunc};
}

/* First place in by_name whose name is not less than @name. */
static size_t lower_bound(const struct probe_elf *e, const char *name)
{
	size_t lo = 0, hi = e->nfunctions;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(e->functions[e->by_name[mid]].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* How well does @f answer for @version (NULL: any)? 0: not at all. */
static int rank(const struct probe_function *f, const char *version, bool only_default)
{
	if (version && (!f->version || strcmp(f->version, version)))
		return 0;
	if (only_default && f->hidden_version)
		return 0;
	return f->local ? 1 : f->hidden_version ? 2 : 3;
}

/* The best function called @name; *ties counts equally good ones at other addresses. */
static const struct probe_function *best(const struct probe_elf *e, const char *name,
					 const char *version, bool only_default, u32 *ties)
{
	const struct probe_function *found = NULL;
	int found_rank = 0;

	for (size_t i = lower_bound(e, name); i < e->nfunctions; i++) {
		const struct probe_function *f = &e->functions[e->by_name[i]];
		int r = rank(f, version, only_default);

		if (strcmp(f->name, name))
			break;
		if (r > found_rank) {
			found = f;
			found_rank = r;
			*ties = 0;
		} else if (r && r == found_rank && f->addr != found->addr) {
			++*ties;
		}
	}
	return found;
}

/* Split name@version and name@@version; *version is NULL without one. */
static char *split_version(const char *name, const char **version, bool *only_default)
{
	const char *at = strchr(name, '@');

	*version = NULL;
	*only_default = false;
	if (!at || at == name)
		return strdup(name);
	*only_default = at[1] == '@';
	*version = at + 1 + *only_default;
	return strndup(name, (size_t)(at - name));
}

static int not_found(struct probe_elf *e, const char *name, char why[PROBE_WHY_MAX])
{
	probe_why(why, "no function '%.80s' in %.100s", name, e->path);
	if (!e->nfunctions)
		strcat(why, " (it has no symbols at all: probe it by file offset)");
	else
		probe_near_misses(e, name, why);
	return -ENOENT;
}

int probe_elf_symbol(struct probe_elf *elf, const char *name, struct probe_symbol *out,
		     char why[PROBE_WHY_MAX])
{
	const struct probe_function *f;
	_cleanup_free_ char *base = NULL;
	const char *version;
	bool only_default;
	u32 ties = 0;

	f = best(elf, name, NULL, false, &ties); /* .symtab may hold the '@' in the name itself */
	if (!f) {
		base = split_version(name, &version, &only_default);
		if (!base)
			return -ENOMEM;
		f = best(elf, base, version, only_default, &ties);
	}
	if (!f)
		return not_found(elf, name, why);
	if (ties && f->local) {
		probe_why(why,
			  "there are %u functions '%.80s' in %.100s: probe one of them by its file "
			  "offset",
			  ties + 1, name, elf->path);
		return -ENOTUNIQ;
	}
	describe(elf, f, out);
	return 0;
}

/* Index behind the last function that starts at or below @addr. */
static size_t upper_bound(const struct probe_elf *e, u64 addr)
{
	size_t lo = 0, hi = e->nfunctions;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (e->functions[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t probe_functions_at(const struct probe_elf *elf, u64 addr, const struct probe_function **v)
{
	size_t end = upper_bound(elf, addr), n = 0;

	while (n < end && elf->functions[end - n - 1].addr == addr)
		n++;
	*v = elf->functions + end - n;
	return n;
}

int probe_elf_symbol_at(struct probe_elf *elf, u64 offset, struct probe_symbol *out)
{
	u64 addr = probe_elf_offset_to_addr(elf, offset);
	const struct probe_function *found = NULL;

	if (addr == ~0ull)
		return -ENOENT;
	for (size_t i = upper_bound(elf, addr); i-- && elf->functions[i].reach > addr;) {
		const struct probe_function *f = &elf->functions[i];

		if (found && f->addr != found->addr)
			break;
		if (end_of(elf, i) > addr && (!found || found->local > f->local))
			found = f;
	}
	if (!found)
		return -ENOENT;
	describe(elf, found, out);
	return 0;
}

int probe_elf_each(struct probe_elf *elf, int (*fn)(const struct probe_symbol *sym, void *cookie),
		   void *cookie)
{
	for (size_t i = 0; i < elf->nfunctions; i++) {
		struct probe_symbol sym;
		int err;

		describe(elf, &elf->functions[i], &sym);
		err = fn(&sym, cookie);
		if (err)
			return err;
	}
	return 0;
}

/* --- data symbols: few are asked for, so the tables are searched each time --- */

static int find_data(struct probe_elf *e, Elf_Scn *scn, const GElf_Shdr *shdr, const char *name,
		     u64 *addr)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t n = data && shdr->sh_entsize == sizeof(Elf64_Sym) ? data->d_size / sizeof(Elf64_Sym)
								 : 0;

	for (size_t i = 1; i < n && i < INT32_MAX; i++) {
		const char *s;
		GElf_Sym sym;

		if (!gelf_getsym(data, (int)i, &sym) || sym.st_shndx == SHN_UNDEF)
			continue;
		s = elf_strptr(e->elf, shdr->sh_link, sym.st_name);
		if (!s || strcmp(s, name))
			continue;
		*addr = sym.st_value;
		return 0;
	}
	return -ENOENT;
}

int probe_elf_data_symbol(struct probe_elf *elf, const char *name, u64 *addr)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(elf->elf, scn))) {
		if (!gelf_getshdr(scn, &shdr) ||
		    (shdr.sh_type != SHT_SYMTAB && shdr.sh_type != SHT_DYNSYM))
			continue;
		if (!find_data(elf, scn, &shdr, name, addr))
			return 0;
	}
	return -ENOENT;
}
