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

#include "btf/dwarf_conv.h"

#define FAR_OFFSET (1u << 24)
#define BITFIELD_MAX 255

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
	err = btf__add_field(c->btf, die_name(&d), type, (u32)p.bit, (u32)p.nbits);
	return err == -ENOMEM ? err : 0;
}

static int add_members(struct dwarf_conv *c, const struct die *parent, bool far)
{
	Dwarf_Die child;
	int more, err = 0;

	for (more = die_child(&parent->dw, &child); !err && more > 0; more = die_next(&child)) {
		if (dwarf_tag(&child) == DW_TAG_member)
			err = add_member(c, parent, far, &child);
	}
	return err ? err : more;
}

static int emit_empty(struct dwarf_conv *c, struct die *d, u32 size)
{
	const char *name = die_name(d);

	return d->tag == DW_TAG_union_type ? btf__add_union(c->btf, name, size)
					   : btf__add_struct(c->btf, name, size);
}

int dwarf_emit_struct(struct dwarf_conv *c, struct die *d)
{
	u64 size = 0;
	int err;

	if (die_flag(d, AT_DECLARATION) || !die_number(d, AT_BYTE_SIZE, &size) || size > INT32_MAX)
		return btf__add_fwd(c->btf, die_name(d),
				    d->tag == DW_TAG_union_type ? BTF_FWD_UNION : BTF_FWD_STRUCT);
	err = emit_empty(c, d, (u32)size);
	if (err < 0)
		return err;
	return add_members(c, d, size >= FAR_OFFSET / 8);
}
