/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DWARF made into BTF: what the parts of a conversion share.
 *
 * Model: a type of the BTF is asked for by what it is made from (a DIE and which part of it), gets
 * the next number at once, and is written when its turn in the queue comes. So a type may be named
 * before it is written, references may go in circles, and nothing recurses. A DIE of the unit that
 * is being read is remembered until that unit is done, one of another unit (a partial unit, a type
 * unit, the supplementary file) for longer; what is converted twice all the same, libbpf's
 * deduplication makes one.
 *
 * Rules: a type that can't be expressed becomes a structure of its size or a forward declaration;
 * -EBADMSG is for a tree of DIEs that can't be walked, -ENOMEM for no memory; nothing else fails.
 */
#pragma once

#include <bpf/btf.h>
#include <elfutils/libdwfl.h>

#include "btf/dwarf_attr.h"
#include "btf/dwarf_map.h"

enum dwarf_part {
	PART_DIE, /* what the DIE itself stands for; of an array, its first dimension */
	PART_DIM, /* + i: an array's i-th further dimension */
	PART_DIM_LAST = 63,
	PART_PROTO,    /* a function's prototype */
	PART_VARIANTS, /* what may be in place of each other, with what says which it is */
	PART_DISCR,    /* the latter */
	PART_INDEX,    /* no DIE: the type of array indices */
	PART_EMPTY,    /* no DIE: where BTF wants a type and there is none */
};

struct dwarf_item {
	Dwarf_Die die;
	u32 part;
};

/* A variable whose address is known: the BTF has no sections before all types have their numbers.
 */
struct dwarf_var {
	u64 addr;
	u32 size; /* 0: not known */
};

struct dwarf_scopes {
	struct idmap of; /* one more than the index, by a type's DIE; and which units are known */
	struct dwarf_scope *v;
	u32 n, cap;
};

struct dwarf_conv {
	struct btf *btf;
	struct dwarf_item *queue;
	u32 nqueue, queue_cap, done; /* [done, nqueue) are yet to be written */
	u32 next_id;
	struct idmap local, shared;
	Dwarf_CU *cu;	  /* the unit that is read */
	bool scoped;	  /* its language has namespaces */
	bool bare_names;  /* templates may be called without their arguments */
	bool local_now;	  /* inside of a function */
	struct idmap odr; /* of what there is one of in a program, by its fingerprint */
	struct dwarf_scopes local_scopes, shared_scopes;
	char *name; /* that was made last */
	size_t name_len;
	u32 name_depth;		/* of template arguments in it */
	struct dwarf_var *vars; /* one for each VAR, in their order */
	u32 nvars, vars_cap;
	u32 nfuncs;
};

/* dwarf_types.c: ids, or -ENOMEM. 0 is void. */
int dwarf_ref_die(struct dwarf_conv *c, const Dwarf_Die *die);
int dwarf_ref_attr(struct dwarf_conv *c, struct die *d, enum die_attr at);
int dwarf_ref_part(struct dwarf_conv *c, const Dwarf_Die *die, u32 part);
/* The same, never void. */
int dwarf_ref_sized(struct dwarf_conv *c, struct die *d, enum die_attr at);
/* Write everything that was asked for. */
int dwarf_drain(struct dwarf_conv *c);

/* dwarf_name.c: a type's full name, good until the next one is asked for. */
const char *dwarf_type_name(struct dwarf_conv *c, const struct die *d);
/* Add to the name that is being made: text, a type's full name, a template's arguments.
 * -ENAMETOOLONG when there is no room for more. */
int dwarf_append(struct dwarf_conv *c, const char *text);
int dwarf_append_name(struct dwarf_conv *c, const struct die *d);
int dwarf_append_args(struct dwarf_conv *c, const Dwarf_Die *of); /* dwarf_template.c */
/* The same for what is the same type wherever it is described; 0: it may be another. */
u64 dwarf_fingerprint(struct dwarf_conv *c, const struct die *d);
void dwarf_scopes_clear(struct dwarf_scopes *s);
void dwarf_scopes_free(struct dwarf_scopes *s);

/* dwarf_variant.c: enumerations with something in them. */
int dwarf_add_variants(struct dwarf_conv *c, const Dwarf_Die *part);
int dwarf_emit_variants(struct dwarf_conv *c, struct die *d);
int dwarf_emit_discr(struct dwarf_conv *c, struct die *d);

/* dwarf_members.c: a structure or union, with what is in it. */
int dwarf_emit_struct(struct dwarf_conv *c, struct die *d);

/* dwarf_enum.c */
int dwarf_emit_enum(struct dwarf_conv *c, struct die *d);

/* dwarf_func.c: functions, their prototypes, and variables. */
int dwarf_emit_func(struct dwarf_conv *c, struct die *d);
int dwarf_emit_proto(struct dwarf_conv *c, struct die *d);
int dwarf_emit_var(struct dwarf_conv *c, struct die *d);

/* dwarf_sections.c: where the variables are, when all types have their last numbers. */
int dwarf_add_sections(struct dwarf_conv *c, Elf *elf);

/* dwarf_alias.c: the other names of functions, by the module's symbols. */
int dwarf_add_aliases(struct dwarf_conv *c, Dwfl_Module *mod);

/* dwarf_pages.c: the file's own, as far as they have been read. */
void dwarf_give_pages_back(Elf *elf);

/*
 * dwarf_unpack.c: a copy of the file @fd, without a name, in which what types are made of isn't
 * compressed. -1: it is small, isn't compressed, or can't be copied, and is to be read as it is.
 */
int dwarf_unpack(int fd);

/* dwarf_unit.c: everything in one unit that is to be in the BTF. */
int dwarf_convert_unit(struct dwarf_conv *c, const Dwarf_Die *unit);

/* tidy.c: what the deduplication can't bear: references in circles, chains without end. */
int btf_tidy(struct btf *btf);
