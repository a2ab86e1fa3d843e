/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libbpf makes of an object's CO-RE relocations against given types, without anything being
 * loaded.
 *
 * Model: a child opens and loads the object, as a command that attaches it would, with its bpf(2)
 * answered by nobody: every call works and does nothing. What libbpf says of each relocation goes
 * to memory that is shared with it, under libbpf's own words for what is relocated.
 *
 * Rule: the object may be anybody's. Whatever happens to the child, the parent reads a bounded
 * table.
 */
#pragma once

#include "base/macros.h"
#include "base/types.h"

struct btf;

#define RELOCS_MAX 8192u

struct reloc {
	char prog[64];
	u32 n;		 /* its number there */
	char kind[24];	 /* byte_off, field_exists, enumval_value, ... */
	char field[256]; /* struct data.c */
	char value[40];	 /* what the instruction has then; "": it is made invalid */
	bool done, ambiguous;
};

struct relocs {
	u32 n, dropped;
	int err; /* of libbpf: the last one in the table is then where it stopped */
	char said[256];
	struct reloc v[RELOCS_MAX];
};

/*
 * Relocate @object against @types (with the built-in ones; their names are made C's). *out is the
 * caller's (relocs_free). 0, or -errno after a message.
 */
int relocs_try(const char *object, struct btf *types, struct relocs **out);
void relocs_free(struct relocs **r);
