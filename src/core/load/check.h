/* SPDX-License-Identifier: BSD-2-Clause */
/* What the structural check learns about a program, for the image builder. Internal to core/load.
 */
#pragma once

#include "core/load/vprog.h"

struct ebpf_layout {
	u32 nsubprogs;
	u32 frames;			   /* of the deepest call chain */
	u32 starts[EBPF_MAX_SUBPROGS + 1]; /* ascending; the last entry is the program's length */
};

/*
 * ebpf_check_structure_flags(), and the layout on success; its nsubprogs is how many were found
 * when it is refused, too, unless there was no room to look.
 */
int ebpf_check_layout(const struct bpf_insn *insns, u32 ninsns, u32 prog_type, u32 flags,
		      struct ebpf_log *log, struct ebpf_layout *out);

/*
 * Bytes of the deepest chain of calls: what each function uses and which calls are reached is in
 * @facts. A callback counts as called where its address is taken. No chain is longer than
 * EBPF_MAX_FRAMES.
 */
u32 ebpf_check_depth(const struct bpf_insn *insns, u32 ninsns, const struct ebpf_facts *facts);

/* Are the fields of this arithmetic or jump instruction empty that must be? 0, or -EINVAL, said. */
int ebpf_check_fields(const struct bpf_insn *in, struct ebpf_log *log);
/* Is the helper that it calls there for programs of this type? 0, or -EINVAL, said. */
int ebpf_check_served(const struct bpf_insn *in, u32 prog_type, struct ebpf_log *log);

/* Make what @facts don't speak of do nothing, and all fields that must be empty be so. */
void ebpf_clean_dead(struct bpf_insn *insns, u32 n, const struct ebpf_facts *facts);

/*
 * Lay out an image: the instructions (already in image form), references and subprograms, no code.
 * *out is malloc'ed. Pure. 0 or -ENOMEM.
 */
struct ebpf_image_parts {
	const struct bpf_insn *insns;
	u32 ninsns;
	const struct ebpf_image_ref *refs;
	u32 nrefs;
	u32 nmaps;
	u32 prog_type;
	u32 flags;
	const struct ebpf_layout *layout;
	u32 stack_depth;    /* bytes of the deepest call chain */
	u32 ctx_size;	    /* bytes of the context that are read or written */
	u64 ctx_read;	    /* as in the image */
	const u64 *helpers; /* as in the image */
	const u64 *zeros;   /* one a subprogram; NULL: every slot of each */
	const struct ebpf_image_timer *timers;
	u32 ntimers;
	const struct ebpf_target_sig *sig; /* of a typed program, or NULL */
	const struct ebpf_callee *callees;
	u32 ncallees;
};
struct ebpf_target_sig;
int ebpf_image_build(const struct ebpf_image_parts *parts, u8 **out, u32 *size);

/* Append @len bytes of code; *image moves. 0 or -ENOMEM. */
struct arch_code;
int ebpf_image_add_code(u8 **image, u32 *size, const u8 *code, const struct arch_code *what);
/* The same with the program as a leaf, behind all else. */
struct arch_leaf;
int ebpf_image_add_leaf(u8 **image, u32 *size, const u8 *code, const struct arch_leaf *what);
