/* SPDX-License-Identifier: BSD-2-Clause */
/* Values that are known to be equal: numbers that learn together, pointers that are NULL together.
 */
#include "tests/verify/verify.h"

/* r0 = value of 16 bytes, r6 = any 64-bit number */
#define START LOOKUP4(M_ARRAY), NONNULL, LDX(BPF_DW, 6, 0, 0)
#define INDEX(r) ALU64_REG(BPF_ADD, 0, r), LDX(BPF_B, 0, 0, 0), RET(0)

static const struct vcase cases[] = {
	OK("a copy learns", START, MOV_REG(1, 6), JMP_IMM(BPF_JGT, 6, 15, 4), INDEX(1), RET(0)),
	OK("the original learns", START, MOV_REG(1, 6), JMP_IMM(BPF_JGT, 1, 15, 4), INDEX(6),
	   RET(0)),
	OK("a copy of a copy learns", START, MOV_REG(1, 6), MOV_REG(2, 1),
	   JMP_IMM(BPF_JGT, 2, 15, 4), INDEX(6), RET(0)),
	NO("a copy that was changed does not", EINVAL, "", START, MOV_REG(1, 6),
	   ALU64_IMM(BPF_XOR, 1, 1), JMP_IMM(BPF_JGT, 6, 7, 4), INDEX(1), RET(0)),
	NO("the original that was changed does not", EINVAL, "", START, MOV_REG(1, 6),
	   ALU64_IMM(BPF_AND, 1, -2), JMP_IMM(BPF_JGT, 1, 7, 4), INDEX(6), RET(0)),
	OK("a copy plus a constant learns", START, MOV_REG(1, 6), ALU64_IMM(BPF_ADD, 1, 4),
	   JMP_IMM(BPF_JGT, 6, 11, 4), INDEX(1), RET(0)),
	OK("the original of a sum learns", START, MOV_REG(1, 6), ALU64_IMM(BPF_ADD, 1, 4),
	   JMP_IMM(BPF_JGT, 1, 19, 5), JMP_IMM(BPF_JLT, 1, 4, 4), INDEX(6), RET(0)),
	NO("that sum may have wrapped", EACCES, "", START, MOV_REG(1, 6), ALU64_IMM(BPF_ADD, 1, 4),
	   JMP_IMM(BPF_JGT, 1, 19, 4), INDEX(6), RET(0)),
	NO("one too far in the sum", EACCES, "R0 max value is outside of the allowed memory range",
	   START, MOV_REG(1, 6), ALU64_IMM(BPF_ADD, 1, 4), JMP_IMM(BPF_JGT, 6, 12, 4), INDEX(1),
	   RET(0)),
	NO("the 32-bit copy of a 64-bit number isn't equal to it", EINVAL, "", START,
	   MOV32_REG(1, 6), JMP_IMM(BPF_JGT, 1, 15, 4), INDEX(6), RET(0)),
	OK("the 32-bit copy of a 32-bit number is", RANDOM(7), START, MOV32_REG(1, 7),
	   JMP_IMM(BPF_JGT, 1, 15, 4), INDEX(7), RET(0)),
	NO("a 32-bit sum links nothing", EACCES, "", START, MOV_REG(1, 6), ALU32_IMM(BPF_ADD, 1, 4),
	   JMP_IMM(BPF_JGT, 6, 11, 4), ALU64_IMM(BPF_SUB, 1, 4), ALU64_REG(BPF_ADD, 0, 1),
	   LDX(BPF_B, 0, 0, 12), RET(0)),
	OK("through the stack", START, STX(BPF_DW, 10, 6, -16), JMP_IMM(BPF_JGT, 6, 15, 5),
	   LDX(BPF_DW, 1, 10, -16), INDEX(1), RET(0)),
	NO("a narrow spill of a wide number", EINVAL, "", START, STX(BPF_W, 10, 6, -16),
	   LDX(BPF_W, 1, 10, -16), JMP_IMM(BPF_JGT, 1, 15, 4), INDEX(6), RET(0)),
	OK("equality links the ranges", START, LDX(BPF_DW, 7, 0, 8), JMP_IMM(BPF_JGT, 7, 15, 7),
	   JMP_REG(BPF_JNE, 6, 7, 4), INDEX(6), RET(0), RET(0)),
	NO("byte-swapped there and back, nothing is linked", EINVAL, "", START, MOV_REG(1, 6),
	   BSWAP(1, 64), JMP_IMM(BPF_JGT, 6, 15, 5), BSWAP(1, 64), INDEX(1), RET(0)),
	OK("sign-extended what was positive", START, ALU64_IMM(BPF_AND, 6, 0x7f), MOVSX(1, 6, 8),
	   JMP_IMM(BPF_JGT, 1, 15, 4), INDEX(1), RET(0)),
	NO("sign-extended what was not", EINVAL, "", START, MOVSX(1, 6, 8),
	   JMP_IMM(BPF_JGT, 1, 15, 4), INDEX(6), RET(0)),
	/* pointers */
	OK("three copies are checked as one", LOOKUP4(M_LRU), MOV_REG(6, 0), MOV_REG(7, 6),
	   JMP_IMM(BPF_JEQ, 7, 0, 2), ST(BPF_DW, 0, 0, 1), ST(BPF_DW, 6, 0, 1), RET(0)),
	NO("two lookups aren't one", EACCES, "R0 invalid mem access 'map_value_or_null'",
	   LOOKUP4(M_LRU), MOV_REG(6, 0), LOOKUP4(M_LRU), JMP_IMM(BPF_JEQ, 6, 0, 1),
	   ST(BPF_DW, 0, 0, 1), RET(0)),
	NO("one of two paths forgot to check", EACCES, "R6 invalid mem access 'map_value_or_null'",
	   RANDOM(8), LOOKUP4(M_LRU), MOV_REG(6, 0), JMP_IMM(BPF_JEQ, 8, 1, 1),
	   JMP_IMM(BPF_JEQ, 6, 0, 1), ST(BPF_DW, 6, 0, 1), RET(0)),
	NO("paths that meet: one is linked, one isn't", EACCES,
	   "R7 invalid mem access 'map_value_or_null'", RANDOM(8), LOOKUP4(M_LRU), MOV_REG(6, 0),
	   LOOKUP4(M_LRU), MOV_REG(7, 0), JMP_IMM(BPF_JEQ, 8, 1, 1), MOV_REG(7, 6),
	   JMP_IMM(BPF_JEQ, 6, 0, 1), ST(BPF_DW, 7, 0, 1), RET(0)),
	NO("numbers that meet: one is linked, one isn't", EINVAL, "", RANDOM(8), START,
	   LDX(BPF_DW, 7, 0, 8), JMP_IMM(BPF_JEQ, 8, 1, 1), MOV_REG(7, 6),
	   JMP_IMM(BPF_JGT, 6, 15, 4), INDEX(7), RET(0)),
};

VERIFY_THEME(links)
