/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One unit: what in it is asked for. Every named type at the outermost level or inside of a
 * function, every function that has code, every variable that has an address.
 *
 * Rules: the tree is walked with a stack of a fixed depth; what is deeper isn't looked for (types
 * there are still found by those that refer to them).
 */
#include <dwarf.h>
#include <errno.h>

#include "base/macros.h"
#include "btf/dwarf_conv.h"

#define DEPTH_MAX 64u

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

/* What @dw itself adds, and whether to look into it. */
static int visit(struct dwarf_conv *c, const Dwarf_Die *dw, bool *function, bool *enter)
{
	int tag = dwarf_tag((Dwarf_Die *)dw);

	*enter = false;
	switch (tag) {
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_interface_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_typedef:
	case DW_TAG_base_type:
		*enter = c->scoped && tag != DW_TAG_typedef && tag != DW_TAG_base_type;
		return want_type(c, dw, *function);
	case DW_TAG_subprogram:
		*enter = *function = true;
		return want_function(c, dw);
	case DW_TAG_variable:
		return want_variable(c, dw, *function);
	case DW_TAG_lexical_block:
	case DW_TAG_namespace:
	case DW_TAG_module:
		*enter = true;
		return 0;
	default:
		return tag == DW_TAG_invalid ? -EBADMSG : 0;
	}
}

struct level {
	Dwarf_Die die;
	int more;
	bool function; /* these are inside of one */
};

static int walk(struct dwarf_conv *c, const Dwarf_Die *root)
{
	struct level stack[DEPTH_MAX];
	u32 depth = 0;

	stack[0].more = die_child(root, &stack[0].die);
	stack[0].function = false;
	for (;;) {
		struct level *at = &stack[depth];
		bool function = at->function, enter;
		int err;

		if (at->more < 0)
			return at->more;
		if (!at->more) {
			if (!depth)
				return 0;
			at = &stack[--depth];
			at->more = die_next(&at->die);
			continue;
		}
		err = visit(c, &at->die, &function, &enter);
		if (err)
			return err;
		if (enter && depth + 1 < DEPTH_MAX) {
			stack[++depth].function = function;
			stack[depth].more = die_child(&at->die, &stack[depth].die);
		} else {
			at->more = die_next(&at->die);
		}
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

int dwarf_convert_unit(struct dwarf_conv *c, const Dwarf_Die *unit)
{
	int tag = dwarf_tag((Dwarf_Die *)unit), err;

	/* what several units refer to is worth remembering */
	c->cu = tag == DW_TAG_compile_unit ? unit->cu : NULL;
	c->scoped = has_namespaces(unit);
	idmap_clear(&c->local);
	dwarf_scopes_clear(&c->local_scopes);
	err = walk(c, unit);
	return err ? err : dwarf_drain(c);
}
