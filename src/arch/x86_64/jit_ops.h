/* SPDX-License-Identifier: BSD-2-Clause */
/* Single BPF instructions for the JIT: all but jumps, calls and references. */
#pragma once

#include "core/uapi.h"
#include "jit_emit.h"

extern const u8 jit_reg[11]; /* the CPU's register for each of BPF's */

/* 0, or -EOPNOTSUPP: left to the interpreter. */
int jit_arith(struct emit *e, const struct bpf_insn *in);  /* classes ALU, ALU64 */
int jit_memory(struct emit *e, const struct bpf_insn *in); /* classes LDX, ST, STX */

/* Instructions that follow each other, as one. False when @a and @b are no such pair. */
bool jit_pair(struct emit *e, const struct bpf_insn *a, const struct bpf_insn *b);
