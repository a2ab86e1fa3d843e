/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What loads and stores share with the arguments of functions: memory that is touched, the stack,
 * and the objects that live in it. Internal to
 * core/load/verify_{mem,stack,dynptr,helper,kfunc,ref}.c.
 */
#pragma once

#include "core/load/verify.h"

struct verify_access {
	u32 regno;   /* the pointer */
	s32 off;     /* with the pointer's fixed offset */
	u32 size;    /* bytes */
	bool write;  /* else read */
	bool helper; /* by a function: it may read and write in any order */
	bool zero;   /* a size of 0 will do */
};

/* A function writes all of it and reads none: noted here, done after all arguments were checked. */
struct verify_raw {
	bool on;
	u32 regno; /* 0: nothing was noted */
	u32 size;
};

/* --- memory (verify_mem.c) ------------------------------------------------------------------- */

/* A constant 0, where a pointer could be. */
bool verify_is_null(const struct ebpf_vreg *reg);
/* The variable part of an offset as "(0x0; 0xff)", or the number it is; @buf of 48 bytes. */
const char *verify_tnum_text(const struct ebpf_scalar *val, char *buf);
/* Size, type and names of the map a VT_MAP, VT_MAP_VALUE or VT_MAP_KEY is of. */
const struct ebpf_map_meta *verify_map_meta(const struct verify *v, const struct ebpf_vreg *reg);
/* The pointer is as it was given: offset 0, or (@fixed_ok) moved by a constant. */
int verify_unmoved(struct verify *v, const struct ebpf_vreg *reg, u32 regno, bool fixed_ok);
int verify_aligned(struct verify *v, const struct ebpf_vreg *reg, s32 off, u32 size, bool strict);
/* The memory argument @regno of a function, @size bytes. @raw may be NULL. */
int verify_mem_arg(struct verify *v, u32 regno, u32 size, bool write, bool zero,
		   struct verify_raw *raw);
/* One store of @size bytes of unknown contents at @off, as by an instruction. */
int verify_store_unknown(struct verify *v, u32 regno, s32 off, u32 size);
/* Of a structure that isn't the program's, @name to people, members are read, at known places. */
int verify_member_only(struct verify *v, const struct verify_access *a, const char *name);
/* A load through a pointer into the target, into @dst (~0: nowhere). */
int verify_target_load(struct verify *v, const struct verify_access *a, u32 dst, bool sext);
int verify_map_region(struct verify *v, const struct verify_access *a);

/* --- stack (verify_stack.c) ------------------------------------------------------------------ */

static inline u32 verify_slot_of(s32 off)
{
	return (u32)(-off - 1) / 8;
}

/* Within the stack, which grows to hold it. */
int verify_stack_bounds(struct verify *v, const struct verify_access *a);
/* @dst of the current frame gets what is there; ~0: nobody does. */
int verify_stack_read(struct verify *v, const struct verify_access *a, u32 dst);
/* @value of the current frame is stored, NULL: something. @regno: its register, ~0: none. */
int verify_stack_write(struct verify *v, const struct verify_access *a, struct ebpf_vreg *value,
		       u32 regno);
/* A function reads and may write it. */
int verify_stack_arg(struct verify *v, const struct verify_access *a, struct verify_raw *raw);

/* --- dynptrs and iterators in the stack (verify_dynptr.c) ------------------------------------- */

/* The slot is about to be overwritten: a dynptr there ends; refused when it must be released. */
int verify_dynptr_destroy(struct verify *v, struct ebpf_vframe *f, u32 slot);
/* Argument @regno as the row's kind and flags say (verify_proto.h). @ref: of a clone, else 0. */
int verify_dynptr_arg(struct verify *v, u32 regno, u32 arg, u32 kind, u32 ref);
/* The dynptr that @regno names: its first slot's value, or the register's own. Never NULL after
 * verify_dynptr_arg(). */
const struct ebpf_vreg *verify_dynptr_of(struct verify *v, u32 regno);
/* Is there one that must be released? For arguments that release. */
bool verify_dynptr_owned(struct verify *v, u32 regno);
/* It is released: the slots, its clones, and every slice of them end. */
int verify_dynptr_release(struct verify *v, u32 regno);

/* Argument @regno is an iterator of the kind @arg (EARG_ITER_*): to be made, made before, to end.
 */
int verify_iter_new(struct verify *v, u32 regno, u32 arg);
int verify_iter_arg(struct verify *v, u32 regno, u32 arg);
int verify_iter_destroy(struct verify *v, u32 regno, u32 arg);

/* --- what is held (verify_ref.c) ------------------------------------------------------------- */

/* How many of @kind (enum ebpf_vref_kind) are held. */
u32 verify_held(const struct verify *v, u32 kind);
/* The innermost section of @kind ends. 0, or -ENOENT (nothing said). */
int verify_section_leave(struct verify *v, u32 kind);
/* Argument @regno points exactly to the map value's field of @kind, a struct @name. */
int verify_field_arg(struct verify *v, u32 regno, u32 kind, const char *name);
int verify_lock_arg(struct verify *v, u32 regno, bool lock);
