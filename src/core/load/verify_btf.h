/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program's own BTF, read with care: what its functions take, where the fields of a map's value
 * lie that only helpers may touch.
 *
 * Model: bytes somebody sent (they passed ebpf_btf_check(), on which nothing here relies). An index
 * of the types is made once; a type is read by its number into a small copy. Chains are followed a
 * bounded number of steps; a size that is not known is an error. Explorer and checker use the same
 * reader.
 */
#pragma once

#include "core/load/verify_proto.h"
#include "core/load/vprog.h"

struct ebpf_btf {
	const u8 *data;
	const char *strs;
	u32 strs_len;
	u32 end;   /* of the types, from data */
	u32 *offs; /* malloc'ed: of type 1 .. ntypes, from data; [0] is not used */
	u32 ntypes;
};

struct ebpf_btf_type {
	u32 kind, vlen;
	const char *name; /* never NULL */
	u32 ref;	  /* type it refers to, or bytes it has */
	u32 tail;	  /* offset of what follows, from data */
};

struct ebpf_btf_param { /* of a function; a member or a variable of a section is one, too */
	const char *name;
	u32 type;
	u32 off;	/* bytes; members and variables */
	u32 bit, width; /* members: offset and, of a bit-field, width in bits */
};

/* 0, -EINVAL (not a BTF), -ENOMEM. Then ebpf_btf_close(). */
int ebpf_btf_open(struct ebpf_btf *b, const struct ebpf_vbtf *in);
void ebpf_btf_close(struct ebpf_btf *b);
/* Type @id; 0 is void (kind 0). False: there is none. */
bool ebpf_btf_type(const struct ebpf_btf *b, u32 id, struct ebpf_btf_type *t);
/* The same behind typedefs, const and the like; *@id becomes its number. */
bool ebpf_btf_skip(const struct ebpf_btf *b, u32 *id, struct ebpf_btf_type *t);
/* Number @i of what follows a FUNC_PROTO, STRUCT, UNION or DATASEC. */
bool ebpf_btf_param(const struct ebpf_btf *b, const struct ebpf_btf_type *t, u32 i,
		    struct ebpf_btf_param *out);
/* Of an ARRAY: what its elements are, and how many. */
void ebpf_btf_array(const struct ebpf_btf *b, const struct ebpf_btf_type *t, u32 *elem, u32 *n);
/* A number with a sign? */
bool ebpf_btf_is_signed(const struct ebpf_btf *b, const struct ebpf_btf_type *t);
/* Printable text of a name somebody sent. */
void ebpf_btf_clean_name(char *out, size_t size, const char *name);
/* "STRUCT", as the kernel's messages name a kind. */
const char *ebpf_btf_kind_name(u32 kind);
/* Bytes of type @id; -EINVAL: not known. */
s64 ebpf_btf_size(const struct ebpf_btf *b, u32 id);

/* Declaration tags of type @id itself that begin with @prefix: how many, and the rest of the last.
 */
u32 ebpf_btf_tags(const struct ebpf_btf *b, u32 id, const char *prefix, const char **rest);

/* --- functions ------------------------------------------------------------------------------- */

struct ebpf_sig { /* what a global function takes */
	char name[64];
	bool global;
	bool int_result; /* it returns an integer or enum */
	u32 nargs;
	struct {
		u32 is;	  /* as of a helper (verify_proto.h): EARG_SCALAR, CTX, DYNPTR, MEM */
		u32 size; /* EARG_MEM */
	} arg[5];
	/* the first that err is about is an object of the kernel's and not NULL: its number from 1
	 */
	u32 kernel_arg;
	int err;       /* 0, or why the arguments can't be told: the kernel's errno and words */
	char why[200]; /* with \n */
};

/*
 * The function whose FUNC is type @func. 0 and *sig (of a global one the arguments; sig->err may
 * tell that it can't be one); -EINVAL when @func is no FUNC.
 */
int ebpf_btf_sig(const struct ebpf_btf *b, u32 func, u32 prog_type, struct ebpf_sig *sig);
/*
 * The same of all @n functions of a program but main; zeroes if it has no types. 0, -ENOMEM, or
 * -EINVAL: they are not these functions' types.
 */
int ebpf_btf_sigs(const struct ebpf_vprog *prog, u32 n, struct ebpf_sig *sigs);

/* --- map values ------------------------------------------------------------------------------ */

/*
 * Fields of type @value, @size bytes, that only helpers may touch: into @fields (EBPF_MAX_FIELDS),
 * ascending. Their number; -EINVAL (types that make no sense), -E2BIG, -EEXIST (two locks or
 * timers).
 */
int ebpf_btf_fields(const struct ebpf_btf *b, u32 value, u32 size, struct ebpf_field *fields);
