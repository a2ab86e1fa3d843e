/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A DIE with those of its attributes that types are made of, read in one pass (libdw's dwarf_attr()
 * starts from the first for each). What can't be read is as if it weren't there.
 */
#pragma once

#include <elfutils/libdw.h>
#include <stdbool.h>

#include "base/types.h"

enum die_attr {
	AT_NAME,
	AT_BYTE_SIZE,
	AT_BIT_SIZE,
	AT_BIT_OFFSET,
	AT_DATA_BIT_OFFSET,
	AT_MEMBER_LOCATION,
	AT_TYPE,
	AT_ENCODING,
	AT_DECLARATION,
	AT_EXTERNAL,
	AT_ARTIFICIAL,
	AT_COUNT,
	AT_LOWER_BOUND,
	AT_UPPER_BOUND,
	AT_CONST_VALUE,
	AT_SPECIFICATION,
	AT_ABSTRACT_ORIGIN,
	AT_LINKAGE_NAME,
	AT_LOW_PC,
	AT_RANGES,
	AT_LOCATION,
	AT_SIGNATURE,
	AT_IMPORT,
	AT_DISCR,
	AT_LANGUAGE,
	AT_NR,
};

struct die {
	Dwarf_Die dw;
	u32 tag;
	u32 have; /* a bit for each of at[] that is there */
	Dwarf_Attribute at[AT_NR];
};

/* 0, or -EBADMSG when the DIE itself makes no sense. */
int die_read(const Dwarf_Die *dw, struct die *out);

static inline bool die_has(const struct die *d, enum die_attr at)
{
	return d->have & 1u << at;
}

const char *die_string(struct die *d, enum die_attr at); /* "" when it isn't there */
static inline const char *die_name(struct die *d)
{
	return die_string(d, AT_NAME);
}
bool die_number(struct die *d, enum die_attr at, u64 *out);  /* *out is untouched when false */
bool die_snumber(struct die *d, enum die_attr at, s64 *out); /* sign extended */
bool die_flag(struct die *d, enum die_attr at);
bool die_ref(struct die *d, enum die_attr at, Dwarf_Die *out);
/* Where a member is: a number, or an expression that adds one. */
bool die_member_location(struct die *d, u64 *out);
/* The address of a variable that has one for the whole run. */
bool die_address(struct die *d, u64 *out);

/*
 * The DIE's children one by one: for (more = die_child(); more > 0; more = die_next()). 1, 0 at the
 * end, -EBADMSG.
 */
int die_child(const Dwarf_Die *parent, Dwarf_Die *out);
int die_next(Dwarf_Die *die);

#define DIE_DEPTH_MAX 64u

/*
 * Called with each DIE below a root, from the first to the last. @mark is that of what the DIE is
 * in, and may be set for what is in it. 1: look into it; 0: don't; or -errno, which ends the walk.
 */
typedef int (*die_visit)(const Dwarf_Die *die, u32 *mark, void *cookie);
/*
 * With a stack of a fixed depth: what is deeper isn't looked for. 0, -EBADMSG for a tree that can't
 * be walked, or what @visit returned.
 */
int die_walk(const Dwarf_Die *root, die_visit visit, void *cookie);
