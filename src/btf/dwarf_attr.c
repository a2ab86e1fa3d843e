/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a DIE. Rules: only libdw's checked readers touch the bytes; a form that an attribute
 * shouldn't have reads as "not there".
 */
#include "btf/dwarf_attr.h"

#include <dwarf.h>
#include <errno.h>

#include "btf/dwo.h"

#define NOT_OURS 0xff

/* by DW_AT code, one more than the index; 0: not ours */
static const u8 slot_of[] = {
	[DW_AT_name] = AT_NAME + 1,
	[DW_AT_byte_size] = AT_BYTE_SIZE + 1,
	[DW_AT_bit_size] = AT_BIT_SIZE + 1,
	[DW_AT_bit_offset] = AT_BIT_OFFSET + 1,
	[DW_AT_data_bit_offset] = AT_DATA_BIT_OFFSET + 1,
	[DW_AT_data_member_location] = AT_MEMBER_LOCATION + 1,
	[DW_AT_type] = AT_TYPE + 1,
	[DW_AT_encoding] = AT_ENCODING + 1,
	[DW_AT_declaration] = AT_DECLARATION + 1,
	[DW_AT_external] = AT_EXTERNAL + 1,
	[DW_AT_artificial] = AT_ARTIFICIAL + 1,
	[DW_AT_count] = AT_COUNT + 1,
	[DW_AT_lower_bound] = AT_LOWER_BOUND + 1,
	[DW_AT_upper_bound] = AT_UPPER_BOUND + 1,
	[DW_AT_const_value] = AT_CONST_VALUE + 1,
	[DW_AT_specification] = AT_SPECIFICATION + 1,
	[DW_AT_abstract_origin] = AT_ABSTRACT_ORIGIN + 1,
	[DW_AT_linkage_name] = AT_LINKAGE_NAME + 1,
	[DW_AT_low_pc] = AT_LOW_PC + 1,
	[DW_AT_ranges] = AT_RANGES + 1,
	[DW_AT_location] = AT_LOCATION + 1,
	[DW_AT_signature] = AT_SIGNATURE + 1,
	[DW_AT_import] = AT_IMPORT + 1,
	[DW_AT_discr] = AT_DISCR + 1,
	[DW_AT_language] = AT_LANGUAGE + 1,
};

static u32 slot_for(u32 code)
{
	if (code == DW_AT_MIPS_linkage_name)
		return AT_LINKAGE_NAME;
	if (code >= sizeof(slot_of) || !slot_of[code])
		return NOT_OURS;
	return slot_of[code] - 1;
}

static int keep(Dwarf_Attribute *at, void *cookie)
{
	struct die *d = cookie;
	u32 slot = slot_for(at->code);

	if (slot != NOT_OURS) {
		d->at[slot] = *at;
		d->have |= 1u << slot;
	}
	return DWARF_CB_OK;
}

int die_read(const Dwarf_Die *dw, struct die *out)
{
	int tag;

	out->dw = *dw;
	out->have = 0;
	tag = dwarf_tag(&out->dw);
	if (tag == DW_TAG_invalid || dwarf_getattrs(&out->dw, keep, out, 0) != 1)
		return -EBADMSG;
	out->tag = (u32)tag;
	return 0;
}

const char *die_string(struct die *d, enum die_attr at)
{
	const char *s = die_has(d, at) ? dwo_string(&d->at[at]) : NULL;

	return s ? s : "";
}

bool die_number(struct die *d, enum die_attr at, u64 *out)
{
	Dwarf_Word v;

	if (!die_has(d, at) || dwarf_formudata(&d->at[at], &v))
		return false;
	*out = v;
	return true;
}

bool die_snumber(struct die *d, enum die_attr at, s64 *out)
{
	Dwarf_Sword v;

	if (!die_has(d, at) || dwarf_formsdata(&d->at[at], &v))
		return false;
	*out = v;
	return true;
}

bool die_flag(struct die *d, enum die_attr at)
{
	bool set;

	return die_has(d, at) && !dwarf_formflag(&d->at[at], &set) && set;
}

bool die_ref(struct die *d, enum die_attr at, Dwarf_Die *out)
{
	Dwarf_Die found;

	if (!die_has(d, at) || !dwarf_formref_die(&d->at[at], &found))
		return false;
	*out = found;
	return true;
}

/* The one operation of an expression, or NULL. */
static Dwarf_Op *one_op(struct die *d, enum die_attr at)
{
	Dwarf_Op *ops;
	size_t n;

	if (!die_has(d, at) || dwarf_getlocation(&d->at[at], &ops, &n) || n != 1)
		return NULL;
	return ops;
}

bool die_member_location(struct die *d, u64 *out)
{
	Dwarf_Op *op;

	if (die_number(d, AT_MEMBER_LOCATION, out))
		return true;
	op = one_op(d, AT_MEMBER_LOCATION);
	if (!op || (op->atom != DW_OP_plus_uconst && op->atom != DW_OP_constu))
		return false;
	*out = op->number;
	return true;
}

bool die_address(struct die *d, u64 *out)
{
	Dwarf_Op *op = one_op(d, AT_LOCATION);
	Dwarf_Attribute indexed;
	Dwarf_Addr addr;

	if (!op)
		return false;
	if (op->atom == DW_OP_addr) {
		*out = op->number;
		return true;
	}
	if (op->atom != DW_OP_addrx && op->atom != DW_OP_GNU_addr_index)
		return false;
	/* an index into a table of addresses, in the skeleton's file: which may not be known */
	*out = 0;
	if (!dwarf_getlocation_attr(&d->at[AT_LOCATION], op, &indexed) &&
	    !dwarf_formaddr(&indexed, &addr))
		*out = addr;
	return true;
}

int die_child(const Dwarf_Die *parent, Dwarf_Die *out)
{
	int got = dwarf_child((Dwarf_Die *)parent, out);

	return got < 0 ? -EBADMSG : !got;
}

int die_next(Dwarf_Die *die)
{
	int got = dwarf_siblingof(die, die);

	return got < 0 ? -EBADMSG : !got;
}

struct level {
	Dwarf_Die die;
	int more;
	u32 mark; /* of what these are in */
};

int die_walk(const Dwarf_Die *root, die_visit visit, void *cookie)
{
	struct level stack[DIE_DEPTH_MAX], *at = stack;

	at->more = die_child(root, &at->die);
	at->mark = 0;
	for (;;) {
		u32 mark = at->mark;
		int enter = at->more > 0 ? visit(&at->die, &mark, cookie) : 0;

		if (at->more < 0 || enter < 0)
			return at->more < 0 ? at->more : enter;
		if (enter && at + 1 < stack + DIE_DEPTH_MAX) {
			at[1].more = die_child(&at->die, &at[1].die);
			(++at)->mark = mark;
			continue;
		}
		if (!at->more && at == stack)
			return 0;
		if (!at->more)
			at--;
		at->more = die_next(&at->die);
	}
}
