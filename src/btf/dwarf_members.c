/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Structures and unions, and where their members are.
 *
 * Rules: BTF counts a member's bits from the structure's first one, as a little-endian machine
 * does; DWARF has three ways to say it, the oldest from the far end of the storage unit. In a
 * structure with bitfields a member's place has 24 bits: what is beyond is left out, as is a member
 * of a union that isn't at its beginning.
 */
#include <dwarf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "btf/dwarf_conv.h"
#include "btf/dwo.h"

#define FAR_OFFSET (1u << 24)
#define BITFIELD_MAX 255
#define BASES_DEEP 8
#define HOPS_MAX 16
#define NAME_SIZE 256
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

struct place {
	u64 bit;
	u64 nbits; /* 0: no bitfield */
};

static u64 storage_size(struct die *d)
{
	Dwarf_Word size;
	Dwarf_Die type;
	u64 own;

	if (die_number(d, AT_BYTE_SIZE, &own))
		return own;
	if (!die_ref(d, AT_TYPE, &type) || dwarf_aggregate_size(&type, &size))
		return 0;
	return size;
}

/* C++ has bool b : 8, which C refuses: of a bool there is one bit, and it's a byte to itself. */
static bool is_wide_bool(struct die *d, const struct place *p)
{
	u64 encoding = 0;
	Dwarf_Die type;
	struct die t;

	if (p->nbits != 8 || p->bit % 8 || !die_ref(d, AT_TYPE, &type) || die_read(&type, &t))
		return false;
	return t.tag == DW_TAG_base_type && die_number(&t, AT_ENCODING, &encoding) &&
	       encoding == DW_ATE_boolean;
}

static void find_place(struct die *d, struct place *p)
{
	u64 byte = 0;
	s64 from_end;

	die_member_location(d, &byte);
	p->bit = byte * 8;
	p->nbits = 0;
	if (!die_number(d, AT_BIT_SIZE, &p->nbits))
		return;
	if (die_number(d, AT_DATA_BIT_OFFSET, &p->bit))
		p->bit += byte * 8;
	else if (die_snumber(d, AT_BIT_OFFSET, &from_end))
		p->bit += storage_size(d) * 8 - (u64)from_end - p->nbits;
	if (is_wide_bool(d, p))
		p->nbits = 0;
}

/* A member of the class and not of its objects. */
static bool is_static(struct die *d)
{
	return die_flag(d, AT_EXTERNAL) || die_flag(d, AT_DECLARATION);
}

static bool expressible(const struct dwarf_conv *c, const struct die *parent, bool far,
			const struct place *p)
{
	if (p->bit > UINT32_MAX || p->nbits > BITFIELD_MAX)
		return false;
	if (parent->tag == DW_TAG_union_type && p->bit)
		return false;
	return p->bit < FAR_OFFSET || far;
}

static const char *member_name(struct die *d)
{
	const char *name = die_name(d);

	/* compilers add the class's name to it, behind a sign of theirs */
	return strncmp(name, "_vptr", 5) ? name : "_vptr";
}

static int add_member(struct dwarf_conv *c, const struct die *parent, bool far, const Dwarf_Die *dw)
{
	struct place p;
	struct die d;
	int type, err;

	if (die_read(dw, &d))
		return -EBADMSG;
	if (is_static(&d))
		return 0;
	find_place(&d, &p);
	if (!expressible(c, parent, far, &p))
		return 0;
	if (far)
		p.nbits = 0;
	type = dwarf_ref_sized(c, &d, AT_TYPE);
	if (type < 0)
		return type;
	err = btf__add_field(c->btf, member_name(&d), type, (u32)p.bit, (u32)p.nbits);
	return err == -ENOMEM ? err : 0;
}

/* From a typedef, or the declaration of what has a unit of its own, to the type itself. */
static bool find_definition(Dwarf_Die *type)
{
	struct die d;

	for (int hops = 0; hops < HOPS_MAX; hops++) {
		if (die_read(type, &d))
			return false;
		if (!die_ref(&d, AT_SIGNATURE, type) &&
		    (d.tag != DW_TAG_typedef || !die_ref(&d, AT_TYPE, type)))
			return !die_flag(&d, AT_DECLARATION);
	}
	return false;
}

/* Nothing in it: it takes no place where it is a base, and the next member may be there, too. */
static bool is_empty(Dwarf_Die type, int depth)
{
	Dwarf_Die child, base;
	struct die d;
	int more;

	if (!find_definition(&type))
		return false;
	for (more = die_child(&type, &child); more > 0; more = die_next(&child)) {
		int tag = dwarf_tag(&child);

		if (tag != DW_TAG_member && tag != DW_TAG_inheritance)
			continue;
		if (die_read(&child, &d))
			return false;
		if (tag == DW_TAG_member && !is_static(&d))
			return false;
		if (tag == DW_TAG_inheritance &&
		    (!depth || !die_ref(&d, AT_TYPE, &base) || !is_empty(base, depth - 1)))
			return false;
	}
	return !more;
}

/* "ns::Base<int>" is base Base. */
static void base_name(Dwarf_Die type, char *out, size_t size)
{
	const char *name = find_definition(&type) ? dwo_name(&type) : NULL;

	snprintf(out, size, "%.*s", (int)strspn(name ? name : "", NAME_CHARS), name ? name : "");
	if (!*out)
		snprintf(out, size, "base");
}

/* Is a member, or a base before @self, called that? */
static bool is_taken(const Dwarf_Die *parent, const Dwarf_Die *self, const char *name)
{
	Dwarf_Die child, type;
	struct die d;
	int more;
	bool before = true;

	for (more = die_child(parent, &child); more > 0; more = die_next(&child)) {
		char other[NAME_SIZE] = "";

		before &= child.addr != self->addr;
		if (die_read(&child, &d))
			return false;
		if (d.tag == DW_TAG_member)
			snprintf(other, sizeof(other), "%s", die_name(&d));
		if (d.tag == DW_TAG_inheritance && before && die_ref(&d, AT_TYPE, &type))
			base_name(type, other, sizeof(other));
		if (!strcmp(other, name))
			return true;
	}
	return false;
}

/* A class's base is a member of its name. Where a virtual one is, only the object knows. */
static int add_base(struct dwarf_conv *c, const struct die *parent, const Dwarf_Die *dw)
{
	char name[NAME_SIZE + 24];
	Dwarf_Die type;
	struct die d;
	u64 byte;
	int id, err;

	if (die_read(dw, &d))
		return -EBADMSG;
	if (!die_ref(&d, AT_TYPE, &type) || !die_member_location(&d, &byte) ||
	    byte > UINT32_MAX / 8 || parent->tag == DW_TAG_union_type || is_empty(type, BASES_DEEP))
		return 0;
	base_name(type, name, NAME_SIZE);
	if (is_taken(&parent->dw, dw, name))
		sprintf(name + strlen(name), "_at_%llu", (unsigned long long)byte);
	id = dwarf_ref_sized(c, &d, AT_TYPE);
	if (id < 0)
		return id;
	err = btf__add_field(c->btf, name, id, (u32)byte * 8, 0);
	return err == -ENOMEM ? err : 0;
}

static int add_members(struct dwarf_conv *c, const struct die *parent, bool far)
{
	Dwarf_Die child;
	int more, err = 0;

	for (more = die_child(&parent->dw, &child); !err && more > 0; more = die_next(&child)) {
		switch (dwarf_tag(&child)) {
		case DW_TAG_member:
			err = add_member(c, parent, far, &child);
			break;
		case DW_TAG_inheritance:
			err = add_base(c, parent, &child);
			break;
		case DW_TAG_variant_part:
			err = dwarf_add_variants(c, &child);
			break;
		}
	}
	return err ? err : more;
}

static int emit_empty(struct dwarf_conv *c, struct die *d, u32 size)
{
	const char *name = dwarf_type_name(c, d);

	return d->tag == DW_TAG_union_type ? btf__add_union(c->btf, name, size)
					   : btf__add_struct(c->btf, name, size);
}

int dwarf_emit_struct(struct dwarf_conv *c, struct die *d)
{
	u64 size = 0;
	int err;

	if (die_flag(d, AT_DECLARATION) || !die_number(d, AT_BYTE_SIZE, &size) || size > INT32_MAX)
		return btf__add_fwd(c->btf, dwarf_type_name(c, d),
				    d->tag == DW_TAG_union_type ? BTF_FWD_UNION : BTF_FWD_STRUCT);
	err = emit_empty(c, d, (u32)size);
	if (err < 0)
		return err;
	return add_members(c, d, size >= FAR_OFFSET / 8);
}
