/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which type a DIE stands for, its number, and writing those that aren't structures or functions.
 */
#include <dwarf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "btf/dwarf_conv.h"

#define HOPS_MAX 64	     /* through DIEs that add nothing to the type they refer to */
#define QUEUE_MAX (1u << 30) /* BTF's ids are smaller */

static u64 key_of(const Dwarf_Die *die, u32 part)
{
	return (u64)(uintptr_t)die->addr | (u64)part << 56;
}

/* a part without a DIE has the same number in every unit */
static struct idmap *map_of(struct dwarf_conv *c, const Dwarf_Die *die)
{
	return die->addr && die->cu == c->cu ? &c->local : &c->shared;
}

static int enqueue(struct dwarf_conv *c, const Dwarf_Die *die, u32 part)
{
	if (c->nqueue == c->queue_cap) {
		u32 cap = c->queue_cap ? c->queue_cap * 2 : 256;
		struct dwarf_item *bigger;

		if (cap > QUEUE_MAX)
			return -ENOMEM;
		bigger = reallocarray(c->queue, cap, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		c->queue = bigger;
		c->queue_cap = cap;
	}
	c->queue[c->nqueue++] = (struct dwarf_item){*die, part};
	return 0;
}

static bool is_definition(u32 tag)
{
	return tag == DW_TAG_structure_type || tag == DW_TAG_class_type ||
	       tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type;
}

/* The key under which another unit has described the type, 0 where there is none. */
static u64 shared_key(struct dwarf_conv *c, const Dwarf_Die *die, u32 part)
{
	struct die d;

	if (part != PART_DIE || !c->scoped || c->local_now || !die->addr)
		return 0;
	if (die_read(die, &d) || !is_definition(d.tag))
		return 0;
	return dwarf_fingerprint(c, &d);
}

int dwarf_ref_part(struct dwarf_conv *c, const Dwarf_Die *die, u32 part)
{
	struct idmap *map = map_of(c, die);
	u64 key = key_of(die, part), odr;
	u32 id = idmap_get(map, key);
	int err;

	if (id)
		return (int)id;
	odr = shared_key(c, die, part);
	id = odr ? idmap_get(&c->odr, odr) : 0;
	err = idmap_put(map, key, id ? id : c->next_id);
	if (err || id)
		return err ? err : (int)id;
	err = enqueue(c, die, part);
	if (!err && odr)
		err = idmap_put(&c->odr, odr, c->next_id);
	return err ? err : (int)c->next_id++;
}

static int ref_none(struct dwarf_conv *c, u32 part)
{
	return dwarf_ref_part(c, &(Dwarf_Die){0}, part);
}

/* Adds nothing that BTF could say: the type is the one it refers to. */
static bool transparent(u32 tag)
{
	switch (tag) {
	case DW_TAG_atomic_type:
	case DW_TAG_packed_type:
	case DW_TAG_shared_type:
	case DW_TAG_immutable_type:
	case DW_TAG_subrange_type:
		return true;
	default:
		return false;
	}
}

static bool is_nullptr(struct die *d)
{
	return strstr(die_name(d), "nullptr") != NULL;
}

int dwarf_ref_die(struct dwarf_conv *c, const Dwarf_Die *die)
{
	Dwarf_Die at = *die;
	struct die d;

	for (int hops = 0; hops < HOPS_MAX; hops++) {
		u32 tag = (u32)dwarf_tag(&at);

		if (tag == DW_TAG_unspecified_type)
			return !die_read(&at, &d) && is_nullptr(&d)
				       ? dwarf_ref_part(c, &at, PART_DIE)
				       : 0;
		if (!transparent(tag)) {
			/* the declaration that stands for a type in a unit of its own */
			if (!is_definition(tag) || die_read(&at, &d) ||
			    !die_ref(&d, AT_SIGNATURE, &at))
				return dwarf_ref_part(c, &at, PART_DIE);
			continue;
		}
		if (die_read(&at, &d) || !die_ref(&d, AT_TYPE, &at))
			return 0;
	}
	return 0;
}

int dwarf_ref_attr(struct dwarf_conv *c, struct die *d, enum die_attr at)
{
	Dwarf_Die type;

	return die_ref(d, at, &type) ? dwarf_ref_die(c, &type) : 0;
}

int dwarf_ref_sized(struct dwarf_conv *c, struct die *d, enum die_attr at)
{
	int id = dwarf_ref_attr(c, d, at);

	return id ? id : ref_none(c, PART_EMPTY);
}

/* --- writing -------------------------------------------------------------------------------------
 */

/* Of its size and without members: for what BTF has no words for. ("complex double") */
static int emit_blob(struct dwarf_conv *c, struct die *d)
{
	Dwarf_Word size = 0;
	char name[64];

	if (dwarf_aggregate_size(&d->dw, &size) || size > INT32_MAX)
		size = 0;
	snprintf(name, sizeof(name), "%s", die_name(d));
	for (char *p = name; *p; p++)
		*p = *p == ' ' ? '_' : *p;
	return btf__add_struct(c->btf, name, (u32)size);
}

static bool int_size(u64 size)
{
	return IS_POW2(size) && size <= 16;
}

static bool float_size(u64 size)
{
	return size == 2 || size == 4 || size == 8 || size == 12 || size == 16;
}

static int emit_base(struct dwarf_conv *c, struct die *d)
{
	u64 size = 0, encoding = 0;
	const char *name = die_name(d);
	int flags = 0;

	die_number(d, AT_BYTE_SIZE, &size);
	die_number(d, AT_ENCODING, &encoding);
	if (!*name)
		return emit_blob(c, d);
	switch (encoding) {
	case DW_ATE_float:
		return float_size(size) ? btf__add_float(c->btf, name, size) : emit_blob(c, d);
	case DW_ATE_boolean:
		flags = BTF_INT_BOOL;
		break;
	case DW_ATE_signed:
	case DW_ATE_signed_char:
		flags = BTF_INT_SIGNED;
		break;
	case DW_ATE_unsigned:
	case DW_ATE_unsigned_char:
	case DW_ATE_UTF:
	case DW_ATE_address:
		break;
	default:
		return emit_blob(c, d);
	}
	return int_size(size) ? btf__add_int(c->btf, name, size, flags) : emit_blob(c, d);
}

/* Elements of one dimension; 0 where it has no end, or one that is found out as the program runs */
static u32 dimension(struct die *range)
{
	s64 upper, lower = 0;
	u64 n = 0;

	if (!die_number(range, AT_COUNT, &n) && die_snumber(range, AT_UPPER_BOUND, &upper)) {
		u64 plain = 0;

		/* an unsigned bound comes in a form that can be read as a negative number */
		if (upper < 0 && die_number(range, AT_UPPER_BOUND, &plain))
			upper = (s64)plain;
		die_snumber(range, AT_LOWER_BOUND, &lower);
		n = (u64)upper - (u64)lower + 1;
	}
	return n > UINT32_MAX ? 0 : (u32)n;
}

/* The @which-th dimension, and how many there are from it on. */
static int find_dimension(struct die *d, u32 which, u32 *nelems, u32 *rest)
{
	Dwarf_Die child;
	struct die range;
	u32 n = 0;
	int more;

	*nelems = *rest = 0;
	for (more = die_child(&d->dw, &child); more > 0; more = die_next(&child)) {
		u32 tag = (u32)dwarf_tag(&child);

		if (tag != DW_TAG_subrange_type && tag != DW_TAG_enumeration_type)
			continue;
		if (n == which && !die_read(&child, &range))
			*nelems = dimension(&range);
		n++;
	}
	*rest = n > which ? n - which : 0;
	return more < 0 ? more : 0;
}

static int emit_array(struct dwarf_conv *c, struct die *d, u32 which)
{
	int index = ref_none(c, PART_INDEX), element, err;
	u32 nelems, rest;

	err = find_dimension(d, which, &nelems, &rest);
	if (err)
		return err;
	if (rest > 1 && which < PART_DIM_LAST)
		element = dwarf_ref_part(c, &d->dw, which + 1);
	else
		element = dwarf_ref_sized(c, d, AT_TYPE);
	if (index < 0 || element < 0)
		return -ENOMEM;
	return btf__add_array(c->btf, index, element, nelems);
}

/* A pointer to a member: an offset, or what it takes to call a function */
static int emit_member_pointer(struct dwarf_conv *c, struct die *d)
{
	Dwarf_Die to;
	bool function = die_ref(d, AT_TYPE, &to) && dwarf_tag(&to) == DW_TAG_subroutine_type;

	return function ? btf__add_struct(c->btf, NULL, 16)
			: btf__add_int(c->btf, "long int", 8, BTF_INT_SIGNED);
}

static int emit_typedef(struct dwarf_conv *c, struct die *d, int to)
{
	const char *name = dwarf_type_name(c, d);

	return *name ? btf__add_typedef(c->btf, name, to) : btf__add_const(c->btf, to);
}

static int emit_reference(struct dwarf_conv *c, struct die *d)
{
	int to = dwarf_ref_attr(c, d, AT_TYPE);

	if (to < 0)
		return to;
	switch (d->tag) {
	case DW_TAG_const_type:
		return btf__add_const(c->btf, to);
	case DW_TAG_volatile_type:
		return btf__add_volatile(c->btf, to);
	case DW_TAG_restrict_type:
		return btf__add_restrict(c->btf, to);
	case DW_TAG_typedef:
	case DW_TAG_template_alias:
		return emit_typedef(c, d, to);
	default:
		return btf__add_ptr(c->btf, to);
	}
}

static int emit_die(struct dwarf_conv *c, struct die *d)
{
	switch (d->tag) {
	case DW_TAG_base_type:
		return emit_base(c, d);
	case DW_TAG_pointer_type:
	case DW_TAG_reference_type:
	case DW_TAG_rvalue_reference_type:
	case DW_TAG_unspecified_type: /* of nullptr */
	case DW_TAG_const_type:
	case DW_TAG_volatile_type:
	case DW_TAG_restrict_type:
	case DW_TAG_typedef:
	case DW_TAG_template_alias:
		return emit_reference(c, d);
	case DW_TAG_ptr_to_member_type:
		return emit_member_pointer(c, d);
	case DW_TAG_array_type:
		return emit_array(c, d, 0);
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_interface_type:
	case DW_TAG_union_type:
		return dwarf_emit_struct(c, d);
	case DW_TAG_enumeration_type:
		return dwarf_emit_enum(c, d);
	case DW_TAG_subroutine_type:
		return dwarf_emit_proto(c, d);
	case DW_TAG_subprogram:
		return dwarf_emit_func(c, d);
	case DW_TAG_variable:
		return dwarf_emit_var(c, d);
	default:
		return emit_blob(c, d);
	}
}

static int emit(struct dwarf_conv *c, const struct dwarf_item *item)
{
	struct die d;

	if (item->part == PART_INDEX)
		return btf__add_int(c->btf, "__ARRAY_SIZE_TYPE__", 4, 0);
	if (item->part == PART_EMPTY)
		return btf__add_struct(c->btf, NULL, 0);
	if (die_read(&item->die, &d))
		return -EBADMSG;
	if (item->part == PART_PROTO)
		return dwarf_emit_proto(c, &d);
	if (item->part == PART_VARIANTS)
		return dwarf_emit_variants(c, &d);
	if (item->part == PART_DISCR)
		return dwarf_emit_discr(c, &d);
	return item->part ? emit_array(c, &d, item->part) : emit_die(c, &d);
}

/* Exactly one type is written for each item, whatever happens: the next one's number is known. */
static int write_item(struct dwarf_conv *c, const struct dwarf_item *item)
{
	u32 before = btf__type_cnt(c->btf), after;
	int err = emit(c, item);

	after = btf__type_cnt(c->btf);
	if (err == -ENOMEM || err == -EBADMSG)
		return err;
	if (after == before && btf__add_struct(c->btf, NULL, 0) < 0)
		return -ENOMEM;
	return 0;
}

int dwarf_drain(struct dwarf_conv *c)
{
	while (c->done < c->nqueue) {
		struct dwarf_item item = c->queue[c->done];
		int err = write_item(c, &item);

		if (err)
			return err;
		c->done++;
	}
	c->done = c->nqueue = 0;
	return 0;
}
