/* SPDX-License-Identifier: BSD-2-Clause */
/* Division for the JIT: BPF defines what the CPU traps on. Uses r9, r10 and r11. */
#pragma once

#include "jit_emit.h"

struct jit_div {
	bool wide;   /* 64-bit */
	bool sign;   /* signed */
	bool modulo; /* remainder, not quotient */
	u8 dst;	     /* dividend and result */
};

void jit_div_reg(struct emit *e, const struct jit_div *d, u8 src);
void jit_div_imm(struct emit *e, const struct jit_div *d, s32 imm);
