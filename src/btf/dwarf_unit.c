/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One unit: what in it is asked for. Every named type at the outermost level or inside of a
 * function, every function that has code, every variable that has an address.
 *
 * Rules: what is too deep to be walked to isn't looked for (types there are still found by those
 * that refer to them).
 */
#include <dwarf.h>
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "btf/dwarf_conv.h"
#include "btf/dwo.h"

static bool has_code(struct die *d)
{
	return !die_flag(d, AT_DECLARATION) && (die_has(d, AT_LOW_PC) || die_has(d, AT_RANGES));
}

static bool is_named_function(struct die *d)
{
	return has_code(d) && (die_has(d, AT_NAME) || die_has(d, AT_LINKAGE_NAME) ||
			       die_has(d, AT_ABSTRACT_ORIGIN) || die_has(d, AT_SPECIFICATION));
}

static int want(struct dwarf_conv *c, const Dwarf_Die *dw)
{
	int id = dwarf_ref_part(c, dw, PART_DIE);

	return id < 0 ? id : 0;
}

static int want_function(struct dwarf_conv *c, const Dwarf_Die *dw)
{
	struct die d;

	if (die_read(dw, &d))
		return -EBADMSG;
	return is_named_function(&d) ? want(c, dw) : 0;
}

static int want_variable(struct dwarf_conv *c, const Dwarf_Die *dw, bool in_function)
{
	struct die d;
	u64 addr;

	if (in_function)
		return 0;
	if (die_read(dw, &d))
		return -EBADMSG;
	return die_address(&d, &addr) ? want(c, dw) : 0;
}

static int want_type(struct dwarf_conv *c, const Dwarf_Die *dw, bool in_function)
{
	int id;

	c->local_now = in_function;
	id = dwarf_ref_die(c, dw);
	c->local_now = false;
	return id < 0 ? id : 0;
}

/* What @dw itself adds; whether to look into it. The mark says that it is inside of a function. */
static int visit(const Dwarf_Die *dw, u32 *in_function, void *cookie)
{
	struct dwarf_conv *c = cookie;
	int tag = dwarf_tag((Dwarf_Die *)dw), err;

	switch (tag) {
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_interface_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
		err = want_type(c, dw, *in_function);
		return err ? err : c->scoped;
	case DW_TAG_typedef:
	case DW_TAG_base_type:
		return want_type(c, dw, *in_function);
	case DW_TAG_subprogram:
		*in_function = true;
		err = want_function(c, dw);
		return err ? err : 1;
	case DW_TAG_variable:
		return want_variable(c, dw, *in_function);
	case DW_TAG_lexical_block:
	case DW_TAG_namespace:
	case DW_TAG_module:
		return 1;
	default:
		return tag == DW_TAG_invalid ? -EBADMSG : 0;
	}
}

static bool has_namespaces(const Dwarf_Die *unit)
{
	struct die d;
	u64 language;

	if (die_read(unit, &d) || !die_number(&d, AT_LANGUAGE, &language))
		return true;
	switch (language) {
	case DW_LANG_C:
	case DW_LANG_C89:
	case DW_LANG_C99:
	case DW_LANG_C11:
	case 0x2c: /* DW_LANG_C17 */
	case DW_LANG_Mips_Assembler:
		return false;
	default:
		return true;
	}
}

/* Rust's has full names, and arguments in the DIEs all the same. */
static bool is_clangs(const Dwarf_Die *unit)
{
	Dwarf_Attribute attr;
	const char *producer = NULL;

	if (dwarf_attr((Dwarf_Die *)unit, DW_AT_producer, &attr))
		producer = dwo_string(&attr);
	return producer && strstr(producer, "clang") && !strstr(producer, "rustc");
}

int dwarf_convert_unit(struct dwarf_conv *c, const Dwarf_Die *unit)
{
	int tag = dwarf_tag((Dwarf_Die *)unit), err;

	/* what several units refer to is worth remembering */
	c->cu = tag == DW_TAG_compile_unit ? unit->cu : NULL;
	c->scoped = has_namespaces(unit);
	c->bare_names = c->scoped && is_clangs(unit);
	idmap_clear(&c->local);
	dwarf_scopes_clear(&c->local_scopes);
	err = die_walk(unit, visit, c);
	return err ? err : dwarf_drain(c);
}
