/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program as a leaf (arch.h: arch_jit_leaf()): what is around the code of its instructions.
 *
 * Model: stubs call it as they call the agent: on the stack are the return address, the distance
 * from there to the site, the red zone. In its first part rax, rcx and the flags are kept below the
 * stack pointer, which stays where it is, and all that may be in the way is asked; when something
 * is, it is as if the stub had called the agent. From the *commit* on there is a frame, and the hit
 * counts. What the program reads of the registers is stored there, and no more; of those that it
 * changes, the values to come back to.
 *
 *	rsp:	the program's stack, 8 bytes that are nobody's | registers it reads |
 *		others that it changes | rdx (of the claim), flags, rcx, rax | return address
 */
#pragma once

#include "arch/arch.h"
#include "core/run/image.h"
#include "jit_emit.h"

struct jit_leaf {
	u32 depth;    /* bytes below the return address */
	u32 stack;    /* of them, the program's */
	s32 ctx;      /* from rsp to where its context would begin */
	u64 read;     /* words of that, as bits, that it reads */
	u32 saves;    /* registers to come back to, as bits, but rax and rcx */
	s32 save[16]; /* from rsp, where */
	/* offsets in the code */
	u32 commit, cut, ret, cold;
	u32 otherwise, claim;
};

/* False: the program can't be one. Lookups are the caller's to look at. */
bool jit_leaf_plan(struct jit_leaf *l, const struct ebpf_image *img, bool bmi2);
/* What is before its instructions, behind them, and behind all of its code. */
void jit_leaf_enter(struct emit *e, struct jit_leaf *l);
void jit_leaf_exit(struct emit *e, struct jit_leaf *l);
void jit_leaf_cold(struct emit *e, struct jit_leaf *l);
/* mov @dst, reference number @ref */
void jit_leaf_ref(struct emit *e, u8 dst, u32 ref);
