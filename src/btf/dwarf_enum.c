/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Enumerations. A value whose form has a sign has one, the others have none, whatever the
 * enumeration's own type: so compilers write them. Where one doesn't fit into 32 bits the whole
 * enumeration has 64.
 */
#include <dwarf.h>
#include <errno.h>

#include "base/macros.h"
#include "btf/dwarf_conv.h"

static bool has_sign(const Dwarf_Attribute *at)
{
	return at->form == DW_FORM_sdata || at->form == DW_FORM_implicit_const;
}

static u64 value_of(struct die *d)
{
	u64 v = 0;
	s64 s;

	if (!die_has(d, AT_CONST_VALUE))
		return 0;
	if (has_sign(&d->at[AT_CONST_VALUE]) && die_snumber(d, AT_CONST_VALUE, &s))
		return (u64)s;
	die_number(d, AT_CONST_VALUE, &v);
	return v;
}

static bool negative(const struct die *d, u64 v)
{
	return (s64)v < 0 && has_sign(&d->at[AT_CONST_VALUE]);
}

struct range {
	bool negative, wide; /* some value is */
};

static int look(const Dwarf_Die *parent, struct range *r)
{
	Dwarf_Die child;
	struct die d;
	int more;

	for (more = die_child(parent, &child); more > 0; more = die_next(&child)) {
		u64 v;

		if (die_read(&child, &d))
			return -EBADMSG;
		if (d.tag != DW_TAG_enumerator || !die_has(&d, AT_CONST_VALUE))
			continue;
		v = value_of(&d);
		r->negative |= negative(&d, v);
		r->wide |= negative(&d, v) ? (s64)v < INT32_MIN : v > UINT32_MAX;
	}
	return more;
}

static int add_values(struct dwarf_conv *c, const Dwarf_Die *parent, bool wide)
{
	Dwarf_Die child;
	struct die d;
	int more;

	for (more = die_child(parent, &child); more > 0; more = die_next(&child)) {
		int err;
		u64 v;

		if (die_read(&child, &d))
			return -EBADMSG;
		if (d.tag != DW_TAG_enumerator)
			continue;
		v = value_of(&d);
		err = wide ? btf__add_enum64_value(c->btf, die_name(&d), v)
			   : btf__add_enum_value(c->btf, die_name(&d), (s64)v);
		if (err == -ENOMEM)
			return err;
	}
	return more;
}

int dwarf_emit_enum(struct dwarf_conv *c, struct die *d)
{
	struct range r = {0};
	u64 size = 4;
	bool wide;
	int id;

	if (look(&d->dw, &r))
		return -EBADMSG;
	die_number(d, AT_BYTE_SIZE, &size);
	if (!IS_POW2(size) || size > 8)
		size = r.wide ? 8 : 4;
	wide = r.wide || size == 8;
	id = wide ? btf__add_enum64(c->btf, dwarf_type_name(c, d), (u32)size, r.negative)
		  : btf__add_enum(c->btf, dwarf_type_name(c, d), (u32)size);
	return id < 0 ? id : add_values(c, &d->dw, wide);
}
