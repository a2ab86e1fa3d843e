/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of a function: libraries have several for one, and types know one of them, which may be
 * in the table of symbols of a separate debug file only.
 */
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "btf/btf_priv.h"

struct names {
	u64 addr;
	btf_name_fn fn;
	void *cookie;
	int found;
};

static void end_dwfl(Dwfl **dwfl)
{
	dwfl_end(*dwfl);
}

static int names_in(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr start, void *cookie)
{
	struct names *n = cookie;
	GElf_Addr bias, addr;
	GElf_Sym sym;
	int count;

	if (!dwfl_module_getelf(mod, &bias))
		return DWARF_CB_OK;
	count = dwfl_module_getsymtab(mod);
	for (int i = 1; i < count && !n->found; i++) {
		name = dwfl_module_getsym_info(mod, i, &sym, &addr, NULL, NULL, NULL);
		if (name && addr - bias == n->addr && GELF_ST_TYPE(sym.st_info) == STT_FUNC)
			n->found = n->fn(name, n->cookie);
	}
	return n->found ? DWARF_CB_ABORT : DWARF_CB_OK;
}

int btf_function_names(const char *binary, const char *debuginfo_dir, u64 addr, btf_name_fn fn,
		       void *cookie)
{
	struct names n = {.addr = addr, .fn = fn, .cookie = cookie};
	_cleanup_free_ char *dirs = NULL;
	char *path;
	const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
		.section_address = dwfl_offline_section_address,
		.debuginfo_path = &path,
	};
	_cleanup_(end_dwfl) Dwfl *dwfl = NULL;

	if (asprintf(&dirs, "+%s%s:.debug:/usr/lib/debug", debuginfo_dir ? debuginfo_dir : "",
		     debuginfo_dir ? ":" : "") < 0)
		return -ENOMEM;
	path = dirs;
	dwfl = dwfl_begin(&callbacks);
	if (!dwfl || !dwfl_report_offline(dwfl, binary, binary, -1))
		return -ENOENT;
	dwfl_report_end(dwfl, NULL, NULL);
	dwfl_getmodules(dwfl, names_in, &n, 0);
	return n.found;
}
