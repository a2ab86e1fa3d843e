/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions and variables.
 *
 * Model: what has code may be a DIE that says little and points to the one that was inlined
 * (abstract origin) or declared (specification). The parameters are those of the origin, for there
 * they are all; a method's own, for there they have names. A function is called what its symbol is.
 */
#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>

#include "btf/dwarf_conv.h"

#define HOPS_MAX 8

/* The DIE that @at of @d leads to, in place of @d. */
static bool follow(struct die *d, enum die_attr at)
{
	struct die next;
	Dwarf_Die to;

	if (!die_ref(d, at, &to) || die_read(&to, &next))
		return false;
	*d = next;
	return true;
}

/* An attribute of the DIE, or of those that it points to. */
static bool find_attr(struct die *d, enum die_attr at)
{
	for (int i = 0; i < HOPS_MAX && !die_has(d, at); i++) {
		if (!follow(d, AT_ABSTRACT_ORIGIN) && !follow(d, AT_SPECIFICATION))
			return false;
	}
	return die_has(d, at);
}

static const char *symbol_of(const struct die *d)
{
	struct die at = *d;

	if (find_attr(&at, AT_LINKAGE_NAME))
		return die_string(&at, AT_LINKAGE_NAME);
	at = *d;
	return find_attr(&at, AT_NAME) ? die_name(&at) : "";
}

static int type_of(struct dwarf_conv *c, const struct die *d)
{
	struct die at = *d;

	return find_attr(&at, AT_TYPE) ? dwarf_ref_attr(c, &at, AT_TYPE) : 0;
}

static int add_param(struct dwarf_conv *c, const Dwarf_Die *dw)
{
	struct die d, named;
	int type, err;

	if (die_read(dw, &d))
		return -EBADMSG;
	if (d.tag == DW_TAG_unspecified_parameters)
		return btf__add_func_param(c->btf, NULL, 0);
	named = d;
	find_attr(&named, AT_NAME);
	find_attr(&d, AT_TYPE);
	type = dwarf_ref_sized(c, &d, AT_TYPE);
	if (type < 0)
		return type;
	err = btf__add_func_param(c->btf, die_name(&named), type);
	return err == -ENOMEM ? err : 0;
}

static int add_params(struct dwarf_conv *c, const struct die *d)
{
	Dwarf_Die child;
	int more, err = 0;

	for (more = die_child(&d->dw, &child); !err && more > 0; more = die_next(&child)) {
		int tag = dwarf_tag(&child);

		if (tag == DW_TAG_formal_parameter || tag == DW_TAG_unspecified_parameters)
			err = add_param(c, &child);
		if (tag == DW_TAG_unspecified_parameters)
			break;
	}
	return err ? err : more < 0 ? more : 0;
}

int dwarf_emit_proto(struct dwarf_conv *c, struct die *d)
{
	int ret = type_of(c, d), id;
	struct die origin = *d;

	for (int i = 0; i < HOPS_MAX && follow(&origin, AT_ABSTRACT_ORIGIN); i++)
		;
	if (ret < 0)
		return ret;
	id = btf__add_func_proto(c->btf, ret);
	return id < 0 ? id : add_params(c, &origin);
}

int dwarf_emit_func(struct dwarf_conv *c, struct die *d)
{
	int proto = dwarf_ref_part(c, &d->dw, PART_PROTO);
	struct die at = *d;
	bool global = find_attr(&at, AT_EXTERNAL) && die_flag(&at, AT_EXTERNAL);

	if (proto < 0)
		return proto;
	return btf__add_func(c->btf, symbol_of(d), global ? BTF_FUNC_GLOBAL : BTF_FUNC_STATIC,
			     proto);
}

static int remember_var(struct dwarf_conv *c, struct die *d)
{
	struct dwarf_var v = {0};
	struct die typed = *d;
	Dwarf_Word size;
	Dwarf_Die type;

	if (c->nvars == c->vars_cap) {
		u32 cap = c->vars_cap ? c->vars_cap * 2 : 64;
		struct dwarf_var *bigger = reallocarray(c->vars, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		c->vars = bigger;
		c->vars_cap = cap;
	}
	die_address(d, &v.addr);
	if (find_attr(&typed, AT_TYPE) && die_ref(&typed, AT_TYPE, &type) &&
	    !dwarf_aggregate_size(&type, &size) && size <= INT32_MAX)
		v.size = (u32)size;
	c->vars[c->nvars++] = v;
	return 0;
}

int dwarf_emit_var(struct dwarf_conv *c, struct die *d)
{
	struct die at = *d;
	bool global = find_attr(&at, AT_EXTERNAL) && die_flag(&at, AT_EXTERNAL);
	int type = type_of(c, d), id;

	if (type <= 0)
		return type < 0 ? type : -EINVAL;
	id = btf__add_var(c->btf, symbol_of(d), global ? BTF_VAR_GLOBAL_ALLOCATED : BTF_VAR_STATIC,
			  type);
	if (id < 0)
		return id;
	return remember_var(c, d) ? -ENOMEM : id;
}
