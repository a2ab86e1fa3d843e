/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One call of a helper or kernel function: what its arguments were, so far as its result and its
 * effects depend on them. Internal to core/load/verify_{args,helper,kfunc}.c.
 */
#pragma once

#include "core/load/verify_mem.h"
#include "core/load/verify_proto.h"

struct verify_call {
	const struct ebpf_proto *proto;
	u32 id;			 /* of the helper or kfunc */
	struct ebpf_vreg map;	 /* of the map argument, or what names its map; VT_NONE: none */
	struct ebpf_vreg dynptr; /* the dynptr argument that was there before */
	struct verify_raw raw;
	u32 release;	 /* register whose reference ends, 0: none */
	u32 ref_id;	 /* reference of the last argument that has one */
	u32 subprog;	 /* EARG_FUNC */
	u64 mem_size;	 /* EARG_ALLOC_SIZE, EARG_CONST: the constant */
	u64 max_size;	 /* the largest length */
	bool has_dynptr; /* .dynptr is one */
};

/* Argument @i (0 .. 4) of the call is what the row says. */
int verify_arg(struct verify *v, struct verify_call *call, u32 i);
/* Memory @regno - 1 of the length in @regno. */
int verify_size_arg(struct verify *v, struct verify_call *call, u32 regno, bool write, bool zero);
/* Is it of a kind that functions take at any offset? */
bool verify_moves_freely(const struct ebpf_vreg *reg);
/* An argument's offset is one that functions take. */
int verify_arg_offset(struct verify *v, const struct ebpf_vreg *reg, u32 regno, bool release);
/* The result, in R0; the registers were clobbered before. */
int verify_result(struct verify *v, const struct verify_call *call);
