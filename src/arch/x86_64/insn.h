/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An x86-64 instruction taken apart as far as patching needs it: where it ends, where its
 * displacement and immediate are, and enough of the opcode to tell what it does to control flow.
 * Pure and freestanding; internal to arch/x86_64 and its tests.
 */
#pragma once

#include "base/types.h"

enum insn_encoding {
	INSN_LEGACY,
	INSN_REX2, /* APX: legacy opcodes with five-bit registers */
	INSN_VEX,
	INSN_EVEX,
	INSN_XOP,
};

/* legacy prefixes seen, as bits */
#define INSN_P_OPSIZE 0x01   /* 66 */
#define INSN_P_ADDRSIZE 0x02 /* 67 */
#define INSN_P_LOCK 0x04     /* f0 */
#define INSN_P_REPNE 0x08    /* f2 */
#define INSN_P_REP 0x10	     /* f3 */

#define INSN_REX_B 0x1
#define INSN_REX_X 0x2
#define INSN_REX_R 0x4
#define INSN_REX_W 0x8

struct arch_insn {
	u8 len;
	u8 encoding; /* enum insn_encoding */
	u8 map;	     /* legacy: 0 one byte, 1 0f, 2 0f 38, 3 0f 3a; otherwise the map field */
	u8 opcode;
	u8 prefixes; /* INSN_P_*; for VEX and EVEX what their pp field stands for */
	u8 seg;	     /* last segment override (26 2e 36 3e 64 65), 0: none */
	u8 rex;	     /* INSN_REX_*, whichever prefix gave them */
	u8 high;     /* fifth register bits (REX2, EVEX map 4): INSN_REX_{B,X,R} */
	bool has_modrm, has_sib, rip_relative;
	u8 modrm, sib;
	u8 disp_off, disp_len;
	u8 imm_off, imm_len; /* all immediate bytes together */
	s32 disp;
	s64 imm; /* the first immediate, sign-extended */
};

/* 0, -EINVAL when it does not decode, -ENODATA when @code ends within the instruction. */
int arch_insn_decode(const u8 *code, size_t len, struct arch_insn *out);

static inline u8 insn_mod(const struct arch_insn *in)
{
	return in->modrm >> 6;
}

static inline u8 insn_reg(const struct arch_insn *in)
{
	return in->modrm >> 3 & 7;
}

static inline u8 insn_rm(const struct arch_insn *in)
{
	return in->modrm & 7;
}
