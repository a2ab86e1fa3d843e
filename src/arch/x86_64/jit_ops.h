/* SPDX-License-Identifier: BSD-2-Clause */
/* Single BPF instructions for the JIT: all but jumps, calls and references. */
#pragma once

#include "core/uapi.h"
#include "jit_emit.h"

extern const u8 jit_reg[11]; /* the CPU's register for each of BPF's */

/* 0, or -EOPNOTSUPP: left to the interpreter. */
int jit_arith(struct emit *e, const struct bpf_insn *in);  /* classes ALU, ALU64 */
int jit_memory(struct emit *e, const struct bpf_insn *in); /* classes LDX, ST, STX */

/*
 * The first of the @n instructions from @in on, which follow each other, as less than what they are
 * alone. Returns how many that were, 0 when there is nothing to be made of them. More than
 * JIT_TOGETHER is not looked at.
 */
#define JIT_TOGETHER 5u
u32 jit_together(struct emit *e, const struct bpf_insn *in, u32 n);
