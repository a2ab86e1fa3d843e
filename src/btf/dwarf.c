/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file's DWARF, unit by unit, into one deduplicated BTF.
 *
 * Model: libdwfl opens the file and finds what belongs to it: its separate debug file by build-id
 * or debuglink, from a debuginfod server where the environment names one, the supplementary file of
 * dwz, the .dwo files of split DWARF. Each unit is converted by itself; the BTF is deduplicated
 * when it has doubled since it last was, so what is held is never much more than what is kept; nor
 * is the file, as far as it has been read.
 *
 * Rules: types that were remembered across units are forgotten when their numbers change.
 */
#include "btf/dwarf.h"

#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "btf/dwarf_conv.h"
#include "btf/dwo.h"

#define DEDUP_FIRST 1000000u /* types */
#define READ_AT_ONCE (64ull << 20)

struct source {
	const char *path;
	const struct dwarf_opts *opts;
	struct dwarf_conv conv;
	u32 dedup_at;
	u64 given_back; /* up to this unit */
	u32 nunits, nsplit_missing;
	Elf *elf; /* that has the DWARF */
	Elf *alt; /* of its supplementary file */
	Dwfl_Module *mod;
	char *why;
	size_t why_size;
	int err;
};

static void end_dwfl(Dwfl **dwfl)
{
	if (*dwfl)
		dwfl_end(*dwfl);
}

static int fail(struct source *s, int err, const char *what)
{
	snprintf(s->why, s->why_size, "%s: %s", s->path, what);
	return err;
}

/* Are its section headers beyond its end? A copy that was cut off has nothing else to show. */
static bool ends_early(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	Elf64_Ehdr eh;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || pread(fd, &eh, sizeof(eh), 0) < EI_NIDENT ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG))
		return false;
	if (st.st_size < (off_t)sizeof(eh))
		return true;
	return eh.e_ident[EI_CLASS] == ELFCLASS64 && eh.e_shoff &&
	       (eh.e_shoff > (u64)st.st_size ||
		(u64)st.st_size - eh.e_shoff < (u64)eh.e_shnum * eh.e_shentsize);
}

/* There is nothing in it that types could be made of. */
static int fail_empty(struct source *s)
{
	if (ends_early(s->path))
		return fail(s, -EBADMSG,
			    "the file ends before its section headers do; take it from its package "
			    "again");
	return fail(s, -ENOENT,
		    "there is no debug information for it; install its -dbgsym package or "
		    "compile it with -g");
}

/* What libelf can't make anything of. */
static int fail_open(struct source *s)
{
	int err = dwfl_errno();

	if (ends_early(s->path))
		return fail_empty(s);
	snprintf(s->why, s->why_size, "%s: it can't be read as an ELF file, nor as BTF (%s)",
		 s->path, err ? dwfl_errmsg(err) : "no more is known");
	return -ENOENT;
}

static int fail_unit(struct source *s, int err)
{
	if (err == -ENOMEM)
		return fail(s, err, "out of memory while its debug information was converted");
	return fail(s, err,
		    "its debug information is damaged; take the file from its package again");
}

/* The numbers of types change: what is remembered across units is forgotten. */
static int dedup(struct source *s)
{
	struct dwarf_conv *c = &s->conv;
	int err = btf_tidy(c->btf);

	if (!err)
		err = btf__dedup(c->btf, NULL);
	if (err)
		return fail(s, err, "its types can't be deduplicated");
	idmap_clear(&c->shared);
	idmap_clear(&c->odr);
	c->next_id = btf__type_cnt(c->btf);
	s->dedup_at = MAX(DEDUP_FIRST, c->next_id * 2);
	return 0;
}

static int convert_unit(struct source *s, const Dwarf_Die *unit)
{
	int err = dwarf_convert_unit(&s->conv, unit);

	if (err)
		return fail_unit(s, err);
	s->nunits++;
	return btf__type_cnt(s->conv.btf) > s->dedup_at ? dedup(s) : 0;
}

/* What is before it has been read. */
static void pass_unit(struct source *s, Dwarf_Die *unit)
{
	u64 at = dwarf_dieoffset(unit);

	if (at - s->given_back < READ_AT_ONCE)
		return;
	dwarf_give_pages_back(s->elf);
	dwarf_give_pages_back(s->alt);
	s->given_back = at;
}

static void show_progress(struct source *s, Dwarf_Die *unit, u64 total)
{
	if (s->opts->progress && total)
		s->opts->progress((u32)MIN(dwarf_dieoffset(unit) * 100 / total, 99ul),
				  s->opts->cookie);
}

/* The length of .debug_info: what the progress is measured against. */
static u64 info_size(Dwarf *dwarf)
{
	Elf *elf = dwarf_getelf(dwarf);
	u64 largest = 0;
	size_t names;
	Elf_Scn *scn = NULL;

	if (elf_getshdrstrndx(elf, &names))
		return 0;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		const char *name =
			gelf_getshdr(scn, &sh) ? elf_strptr(elf, names, sh.sh_name) : NULL;

		if (name && !strcmp(name, ".debug_info"))
			largest = MAX(largest, (u64)sh.sh_size);
	}
	return largest;
}

/* What dwz has moved to a file that is shared with others has to be there: half of the types are.
 */
static int check_alt(struct source *s, Dwarf *dwarf)
{
	const char *name;
	const void *id;

	if (dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &id) <= 0 || dwarf_getalt(dwarf))
		return 0;
	snprintf(s->why, s->why_size,
		 "%s: a part of its debug information is in %s, which isn't there; install the "
		 "package it is from",
		 s->path, name);
	return -ENOENT;
}

/* --- split: most of a unit is in another file ---------------------------------------------------
 */

/* All units of a .dwo file, which is no longer there when they are converted. */
static int convert_apart(Dwarf *dwarf, void *cookie)
{
	struct source *s = cookie;
	Dwarf_CU *cu = NULL;
	Dwarf_Half version;
	Dwarf_Die unit;
	uint8_t kind;
	int err = 0, got = 0;

	while (!err && !(got = dwarf_get_units(dwarf, cu, &cu, &version, &kind, &unit, NULL)))
		err = convert_unit(s, &unit);
	/* what comes next may have the same addresses */
	idmap_clear(&s->conv.shared);
	dwarf_scopes_clear(&s->conv.shared_scopes);
	return err ? err : got < 0 ? fail_unit(s, -EBADMSG) : 0;
}

static const char *text_of(const Dwarf_Die *unit, u32 name, u32 older_name)
{
	Dwarf_Attribute attr;
	const char *text = NULL;

	if (dwarf_attr((Dwarf_Die *)unit, name, &attr) ||
	    (older_name && dwarf_attr((Dwarf_Die *)unit, older_name, &attr)))
		text = dwo_string(&attr);
	return text ? text : "";
}

static int convert_at(struct source *s, const char *dir, int dir_len, const char *name)
{
	char path[4096];

	if (!*name || snprintf(path, sizeof(path), "%.*s%s%s", dir_len, dir,
			       dir_len && *name != '/' ? "/" : "", name) >= (int)sizeof(path))
		return -ENOENT;
	return dwo_read(path, convert_apart, s);
}

/* The .dwo file of a unit: where it was compiled, or beside the binary. */
static int convert_dwo(struct source *s, const Dwarf_Die *unit)
{
	const char *name = text_of(unit, DW_AT_dwo_name, DW_AT_GNU_dwo_name);
	const char *dir = text_of(unit, DW_AT_comp_dir, 0), *slash = strrchr(s->path, '/');
	const char *base = strrchr(name, '/');
	int err = convert_at(s, dir, *name == '/' ? 0 : (int)strlen(dir), name);

	if (err != -ENOENT)
		return err;
	return convert_at(s, s->path, slash ? (int)(slash - s->path) + 1 : 0,
			  base ? base + 1 : name);
}

static int convert_skeleton(struct source *s, const Dwarf_Die *unit, Dwarf_Die *split)
{
	int err;

	if (split->addr && dwo_is_whole(dwarf_cu_getdwarf(split->cu)))
		return convert_unit(s, split);
	err = convert_dwo(s, unit);
	if (err == -EBADMSG)
		return fail_unit(s, err);
	if (err != -ENOENT)
		return err;
	s->nsplit_missing++;
	s->nunits++;
	return 0;
}

/* The .dwo files that aren't there may be in a package beside the binary. */
static int convert_package(struct source *s)
{
	char path[4096];
	int err = -ENOENT;

	if (snprintf(path, sizeof(path), "%s.dwp", s->path) < (int)sizeof(path))
		err = dwo_read(path, convert_apart, s);
	if (err == -ENOENT)
		return 0;
	s->nsplit_missing = 0;
	return err == -EBADMSG ? fail_unit(s, err) : err;
}

static int convert_dwarf(struct source *s, Dwarf *dwarf)
{
	u64 total = info_size(dwarf);
	Dwarf_CU *cu = NULL;
	int got = check_alt(s, dwarf);

	if (got)
		return got;
	for (;;) {
		Dwarf_Die unit, split;
		Dwarf_Half version;
		uint8_t kind;
		int err;

		got = dwarf_get_units(dwarf, cu, &cu, &version, &kind, &unit, &split);
		if (got)
			break;
		err = kind == DW_UT_skeleton ? convert_skeleton(s, &unit, &split)
					     : convert_unit(s, &unit);
		if (err)
			return err;
		pass_unit(s, &unit);
		show_progress(s, &unit, total);
	}
	if (got < 0)
		return fail_unit(s, -EBADMSG);
	return s->nsplit_missing ? convert_package(s) : 0;
}

static int convert_module(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr start,
			  void *cookie)
{
	struct source *s = cookie;
	Dwarf_Addr bias;
	Dwarf *dwarf = dwfl_module_getdwarf(mod, &bias);

	if (!dwarf)
		return DWARF_CB_OK;
	s->elf = dwarf_getelf(dwarf);
	s->alt = dwarf_getalt(dwarf) ? dwarf_getelf(dwarf_getalt(dwarf)) : NULL;
	s->mod = mod;
	dwarf_give_pages_back(s->elf);
	s->err = convert_dwarf(s, dwarf);
	return s->err ? DWARF_CB_ABORT : DWARF_CB_OK;
}

static int finish(struct source *s)
{
	int err = dedup(s);

	if (!err && s->mod)
		err = dwarf_add_aliases(&s->conv, s->mod);
	if (!err && s->elf)
		err = dwarf_add_sections(&s->conv, s->elf);
	return err == -ENOMEM ? fail_unit(s, err) : err;
}

static int convert_all(struct source *s, Dwfl *dwfl)
{
	if (dwfl_getmodules(dwfl, convert_module, s, 0) < 0 && !s->err)
		return fail_unit(s, -EBADMSG);
	if (s->err)
		return s->err;
	if (!s->nunits)
		return fail_empty(s);
	if (s->nunits == s->nsplit_missing)
		return fail(s, -ENOENT,
			    "its debug information is in .dwo files that aren't there, nor is a "
			    "package of them (.dwp) beside it");
	return finish(s);
}

static void free_source(struct source *s)
{
	btf__free(s->conv.btf);
	free(s->conv.queue);
	free(s->conv.vars);
	idmap_free(&s->conv.local);
	idmap_free(&s->conv.shared);
	idmap_free(&s->conv.odr);
	dwarf_scopes_free(&s->conv.local_scopes);
	dwarf_scopes_free(&s->conv.shared_scopes);
	free(s->conv.name);
}

/* As libdwfl finds it: the debug file, or the supplementary one. */
static int find_debug_file(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr base,
			   const char *file, const char *link, GElf_Word crc, char **found)
{
	int fd = dwfl_standard_find_debuginfo(mod, data, name, base, file, link, crc, found);
	int unpacked = fd < 0 ? -1 : dwarf_unpack(fd);

	if (unpacked < 0)
		return fd;
	close(fd);
	return unpacked;
}

static Dwfl_Module *report_file(Dwfl *dwfl, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int unpacked = fd < 0 ? -1 : dwarf_unpack(fd);
	/* takes the descriptor, when all is well */
	Dwfl_Module *mod = dwfl_report_offline(dwfl, path, path, unpacked);

	if (!mod && unpacked >= 0)
		close(unpacked);
	return mod;
}

static int open_and_convert(struct source *s)
{
	_cleanup_free_ char *dirs = NULL;
	const char *dir = s->opts->debuginfo_dir;
	char *path;
	Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = find_debug_file,
		.section_address = dwfl_offline_section_address,
		.debuginfo_path = &path,
	};
	_cleanup_(end_dwfl) Dwfl *dwfl = NULL;

	/* "+": with a look at the checksum that the link has */
	if (asprintf(&dirs, "+%s%s:.debug:/usr/lib/debug", dir ? dir : "", dir ? ":" : "") < 0)
		return -ENOMEM;
	path = dirs;
	dwfl = dwfl_begin(&callbacks);
	if (!dwfl || !report_file(dwfl, s->path))
		return fail_open(s);
	dwfl_report_end(dwfl, NULL, NULL);
	return convert_all(s, dwfl);
}

int btf_from_dwarf(const char *path, const struct dwarf_opts *opts, struct btf **out, char *why,
		   size_t why_size)
{
	_cleanup_(free_source) struct source s = {.path = path,
						  .opts = opts,
						  .conv = {.next_id = 1},
						  .dedup_at = DEDUP_FIRST,
						  .why = why,
						  .why_size = why_size};
	int err;

	s.conv.btf = btf__new_empty();
	if (!s.conv.btf)
		return -ENOMEM;
	err = open_and_convert(&s);
	if (opts->progress)
		opts->progress(100, opts->cookie);
	if (!err)
		*out = TAKE_PTR(s.conv.btf);
	return err;
}
