/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rust's enumerations, and what is like them: variants in place of each other, and a number
 * somewhere that says which one it is.
 *
 * Model: enum E { A(u8), B } is struct E { union { struct { u32 __discr; }; struct A A; struct B B;
 * }; }, for a union's members begin where it does and the number needn't.
 */
#include <dwarf.h>
#include <errno.h>

#include "base/macros.h"
#include "btf/dwarf_conv.h"

/* Bytes from the beginning to the end of a member, 0 where that can't be told. */
static u64 end_of(struct die *member)
{
	Dwarf_Word size;
	Dwarf_Die type;
	u64 at = 0;

	die_member_location(member, &at);
	if (!die_ref(member, AT_TYPE, &type) || dwarf_aggregate_size(&type, &size))
		return 0;
	return at + size;
}

int dwarf_add_variants(struct dwarf_conv *c, const Dwarf_Die *part)
{
	int id = dwarf_ref_part(c, part, PART_VARIANTS), err;

	if (id < 0)
		return id;
	err = btf__add_field(c->btf, NULL, id, 0, 0);
	return err == -ENOMEM ? err : 0;
}

/* What is to be done with each member of each variant. */
typedef int (*variant_fn)(struct dwarf_conv *c, struct die *member, void *cookie);

static int each_member(struct dwarf_conv *c, const Dwarf_Die *variant, variant_fn fn, void *cookie)
{
	Dwarf_Die child;
	struct die d;
	int more, err = 0;

	for (more = die_child(variant, &child); !err && more > 0; more = die_next(&child)) {
		if (dwarf_tag(&child) != DW_TAG_member)
			continue;
		err = die_read(&child, &d);
		if (!err)
			err = fn(c, &d, cookie);
	}
	return err ? err : more;
}

static int each_variant(struct dwarf_conv *c, const Dwarf_Die *part, variant_fn fn, void *cookie)
{
	Dwarf_Die child;
	int more, err = 0;

	for (more = die_child(part, &child); !err && more > 0; more = die_next(&child)) {
		if (dwarf_tag(&child) == DW_TAG_variant)
			err = each_member(c, &child, fn, cookie);
	}
	return err ? err : more;
}

static int find_end(struct dwarf_conv *c, struct die *member, void *cookie)
{
	u64 *end = cookie;

	*end = MAX(*end, end_of(member));
	return 0;
}

static int add_variant(struct dwarf_conv *c, struct die *member, void *cookie)
{
	u64 at = 0;
	int type, err;

	if (die_member_location(member, &at) && at)
		return 0; /* no place for it in a union */
	type = dwarf_ref_sized(c, member, AT_TYPE);
	if (type < 0)
		return type;
	err = btf__add_field(c->btf, die_name(member), type, 0, 0);
	return err == -ENOMEM ? err : 0;
}

int dwarf_emit_variants(struct dwarf_conv *c, struct die *d)
{
	struct die discr;
	Dwarf_Die to;
	u64 end = 0;
	bool has_discr = die_ref(d, AT_DISCR, &to) && !die_read(&to, &discr);
	int err, id;

	if (has_discr)
		end = end_of(&discr);
	err = each_variant(c, &d->dw, find_end, &end);
	if (err)
		return err;
	err = btf__add_union(c->btf, NULL, end > INT32_MAX ? 0 : (u32)end);
	if (err >= 0 && has_discr) {
		id = dwarf_ref_part(c, &to, PART_DISCR);
		err = id < 0 ? id : btf__add_field(c->btf, NULL, id, 0, 0);
	}
	return err < 0 ? err : each_variant(c, &d->dw, add_variant, NULL);
}

int dwarf_emit_discr(struct dwarf_conv *c, struct die *d)
{
	int type = dwarf_ref_sized(c, d, AT_TYPE), err;
	u64 at = 0, end = end_of(d);

	if (type < 0)
		return type;
	die_member_location(d, &at);
	err = btf__add_struct(c->btf, NULL, end > INT32_MAX ? 0 : (u32)end);
	if (err >= 0 && at <= UINT32_MAX / 8)
		err = btf__add_field(c->btf, "__discr", type, (u32)at * 8, 0);
	return err;
}
