/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A named type as one looks at it to compare it with another of its name: what is in it, where, of
 * which type, in words.
 *
 * Model: members of anonymous structures and unions stand among those of the structure they are in,
 * with the way to them before their names (u.x, list->next, a[].b); other types are named, not
 * looked into: those that change are told for themselves.
 */
#pragma once

#include "base/types.h"

struct btf;

enum btf_shape_kind {
	SHAPE_NONE,
	SHAPE_STRUCT,
	SHAPE_UNION,
	SHAPE_ENUM,
	SHAPE_TYPEDEF,
	SHAPE_NUMBER,
	SHAPE_VAR,
	SHAPE_FUNC,
};

struct btf_row {
	char *name;
	u64 at;	    /* in bits; of an enumerator, its value */
	u64 size;   /* in bytes */
	char *type; /* "int [4]", "int : 3"; NULL for an enumerator */
};

struct btf_shape {
	enum btf_shape_kind kind;
	const char *name; /* the BTF's */
	bool declared;	  /* only that */
	bool is_signed;	  /* an enumeration */
	u64 size;
	char *type; /* of what has one: typedef, var, func, number */
	struct btf_row *rows;
	u32 n, cap;
	u32 steps; /* that were made to find them */
};

/* A kind's word: "struct". */
const char *btf_shape_word(enum btf_shape_kind kind);
/* What @id would be; SHAPE_NONE: it has no name or is none of these. */
enum btf_shape_kind btf_shape_kind(const struct btf *btf, u32 id);
/* 0 or -ENOMEM. To be freed in any case. */
int btf_shape_make(const struct btf *btf, u32 id, struct btf_shape *out);
void btf_shape_free(struct btf_shape *s);
/* Of everything but its kind and name; 0: it is only declared. */
u64 btf_shape_hash(const struct btf_shape *s);

/*
 * Call @fn with each named type that isn't the same in @a and @b: what it is there, NULL where it
 * isn't. By kind, then by name. What several types of one name are is compared one by one. 0,
 * -ENOMEM, or what @fn returned.
 */
int btf_diff(const struct btf *a, const struct btf *b,
	     int (*fn)(const struct btf_shape *from, const struct btf_shape *to, void *cookie),
	     void *cookie);
