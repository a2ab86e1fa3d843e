/* SPDX-License-Identifier: BSD-2-Clause */
/* Conditions: which way they go, and what each way says about their operands. */
#include "tests/verify/verify.h"

#define START RANDOM(6), LOOKUP4(M_ARRAY), NONNULL, MOV_REG(1, 6)
#define START64 LOOKUP4(M_ARRAY), NONNULL, LDX(BPF_DW, 1, 0, 0)
#define INDEX ALU64_REG(BPF_ADD, 0, 1), LDX(BPF_B, 0, 0, 0), RET(0)
#define UNBOUNDED "R0 unbounded memory access"
#define BIG "R0 max value is outside of the allowed memory range"
#define NEGATIVE "R0 min value is negative"
#define SUM "math between map_value pointer and register with unbounded min value is not allowed"

/* r1, a 32-bit number, is an index where the condition holds (TAKEN) or does not (ELSE) */
#define TAKEN(text, op, imm) OK(text, START, JMP_IMM(op, 1, imm, 2), RET(0), INDEX)
#define TAKEN_NO(text, says, op, imm)                                                              \
	NO(text, EACCES, says, START, JMP_IMM(op, 1, imm, 2), RET(0), INDEX)
#define ELSE(text, op, imm) OK(text, START, JMP_IMM(op, 1, imm, 4), INDEX, RET(0))
#define ELSE_NO(text, says, op, imm)                                                               \
	NO(text, EACCES, says, START, JMP_IMM(op, 1, imm, 4), INDEX, RET(0))
/* the same for any 64-bit number */
#define TAKEN64(text, op, imm) OK(text, START64, JMP_IMM(op, 1, imm, 2), RET(0), INDEX)
#define TAKEN64_NO(text, errno_, says, op, imm)                                                    \
	NO(text, errno_, says, START64, JMP_IMM(op, 1, imm, 2), RET(0), INDEX)
#define ELSE64_NO(text, errno_, says, op, imm)                                                     \
	NO(text, errno_, says, START64, JMP_IMM(op, 1, imm, 4), INDEX, RET(0))

static const struct vcase cases[] = {
	/* unsigned */
	TAKEN("x < 16", BPF_JLT, 16),
	TAKEN_NO("x < 17", BIG, BPF_JLT, 17),
	TAKEN("x <= 15", BPF_JLE, 15),
	TAKEN_NO("x <= 16", BIG, BPF_JLE, 16),
	TAKEN("x == 15", BPF_JEQ, 15),
	NO("x == 16", EACCES, "invalid access to map value, value_size=16 off=16 size=1", START,
	   JMP_IMM(BPF_JEQ, 1, 16, 2), RET(0), INDEX),
	ELSE("not x > 15", BPF_JGT, 15),
	ELSE_NO("not x > 16", BIG, BPF_JGT, 16),
	ELSE("not x >= 16", BPF_JGE, 16),
	ELSE("not x != 3", BPF_JNE, 3),
	TAKEN_NO("x > 3 bounds nothing above", UNBOUNDED, BPF_JGT, 3),
	TAKEN_NO("x != 3 bounds nothing", UNBOUNDED, BPF_JNE, 3),
	ELSE_NO("not x == 3 bounds nothing", UNBOUNDED, BPF_JEQ, 3),
	ELSE("no bit of ~15", BPF_JSET, ~15),
	TAKEN_NO("a bit of 15", UNBOUNDED, BPF_JSET, 15),
	/* signed */
	TAKEN("x s< 16, x not negative", BPF_JSLT, 16),
	TAKEN("x s<= 15, x not negative", BPF_JSLE, 15),
	TAKEN64_NO("x s< 16, any x", EINVAL, SUM, BPF_JSLT, 16),
	TAKEN64("unsigned x < 16, any x", BPF_JLT, 16),
	TAKEN64_NO("x s> -1 has no upper bound", EACCES, UNBOUNDED, BPF_JSGT, -1),
	ELSE64_NO("not x s> 15 has no lower bound", EINVAL, SUM, BPF_JSGT, 15),
	OK("both signed bounds", START64, JMP_IMM(BPF_JSLT, 1, 0, 5), JMP_IMM(BPF_JSGT, 1, 15, 4),
	   INDEX, RET(0)),
	NO("from -1 on", EACCES, NEGATIVE, START64, JMP_IMM(BPF_JSLT, 1, -1, 5),
	   JMP_IMM(BPF_JSGT, 1, 15, 4), INDEX, RET(0)),
	OK("0 excluded at the lower end", START64, JMP_IMM(BPF_JSLT, 1, 0, 7),
	   JMP_IMM(BPF_JSGT, 1, 16, 6), JMP_IMM(BPF_JEQ, 1, 0, 5), ALU64_IMM(BPF_ADD, 1, -1), INDEX,
	   RET(0)),
	/* 32 bits */
	OK("w < 16 of a 32-bit number", START, JMP32_IMM(BPF_JLT, 1, 16, 2), RET(0), INDEX),
	NO("w < 16 of a 64-bit number", EINVAL, SUM, START64, JMP32_IMM(BPF_JLT, 1, 16, 2), RET(0),
	   INDEX),
	OK("w < 16, then its lower half", START64, JMP32_IMM(BPF_JLT, 1, 16, 2), RET(0),
	   MOV32_REG(1, 1), INDEX),
	OK("w s< 16 and w s>= 0", START, JMP32_IMM(BPF_JSLT, 1, 16, 2), RET(0),
	   JMP32_IMM(BPF_JSGE, 1, 0, 2), RET(0), MOV32_REG(1, 1), INDEX),
	NO("w s< 16 alone", EACCES, UNBOUNDED, START, JMP32_IMM(BPF_JSLT, 1, 16, 2), RET(0),
	   MOV32_REG(1, 1), INDEX),
	OK("w == 7", START64, MOV32_REG(1, 1), JMP32_IMM(BPF_JEQ, 1, 7, 2), RET(0), INDEX),
	OK("w & ~15 none", START64, MOV32_REG(1, 1), JMP32_IMM(BPF_JSET, 1, ~15, 4), INDEX, RET(0)),
	/* two registers */
	OK("below a register that is bounded", START, MOV_REG(2, 0), LDX(BPF_B, 2, 0, 0),
	   ALU64_IMM(BPF_AND, 2, 15), JMP_REG(BPF_JLE, 1, 2, 2), RET(0), INDEX),
	OK("equal to a bounded one", START, LDX(BPF_B, 2, 0, 0), ALU64_IMM(BPF_AND, 2, 15),
	   JMP_REG(BPF_JEQ, 1, 2, 2), RET(0), INDEX),
	NO("above a bounded one", EACCES, UNBOUNDED, START, LDX(BPF_B, 2, 0, 0),
	   ALU64_IMM(BPF_AND, 2, 15), JMP_REG(BPF_JGT, 1, 2, 2), RET(0), INDEX),
	OK("the other operand learns, too", START, LDX(BPF_DW, 2, 0, 0), ALU64_IMM(BPF_AND, 1, 15),
	   JMP_REG(BPF_JGT, 1, 2, 2), RET(0), MOV_REG(1, 2), INDEX),
	/* ways that can't be gone: what lies there is not looked at */
	OK("5 > 3", MOV_IMM(1, 5), JMP_IMM(BPF_JGT, 1, 3, 1), MOV_REG(0, 9), RET(0)),
	OK("not 5 < 3", MOV_IMM(1, 5), JMP_IMM(BPF_JLT, 1, 3, 1), JA(1), MOV_REG(0, 9), RET(0)),
	OK("-1 s< 0", MOV_IMM(1, -1), JMP_IMM(BPF_JSLT, 1, 0, 1), MOV_REG(0, 9), RET(0)),
	OK("-1 > 0 unsigned", MOV_IMM(1, -1), JMP_IMM(BPF_JGT, 1, 0, 1), MOV_REG(0, 9), RET(0)),
	OK("32-bit -1 s< 0", MOV32_IMM(1, -1), JMP32_IMM(BPF_JSLT, 1, 0, 1), MOV_REG(0, 9), RET(0)),
	OK("64-bit 0xffffffff s> 0", MOV32_IMM(1, -1), JMP_IMM(BPF_JSGT, 1, 0, 1), MOV_REG(0, 9),
	   RET(0)),
	OK("6 & 2", MOV_IMM(1, 6), JMP_IMM(BPF_JSET, 1, 2, 1), MOV_REG(0, 9), RET(0)),
	OK("not 6 & 1", MOV_IMM(1, 6), JMP_IMM(BPF_JSET, 1, 1, 1), JA(1), MOV_REG(0, 9), RET(0)),
	OK("x & 15 is at most 15", RANDOM(1), ALU64_IMM(BPF_AND, 1, 15), JMP_IMM(BPF_JLE, 1, 15, 1),
	   MOV_REG(0, 9), RET(0)),
	OK("x | 1 is not 0", RANDOM(1), ALU64_IMM(BPF_OR, 1, 1), JMP_IMM(BPF_JNE, 1, 0, 1),
	   MOV_REG(0, 9), RET(0)),
	OK("x | 8 has that bit", RANDOM(1), ALU64_IMM(BPF_OR, 1, 8), JMP_IMM(BPF_JSET, 1, 8, 1),
	   MOV_REG(0, 9), RET(0)),
	OK("what was asked is known", RANDOM(1), JMP_IMM(BPF_JGT, 1, 7, 1), JA(2),
	   JMP_IMM(BPF_JGT, 1, 6, 1), MOV_REG(0, 9), RET(0)),
	OK("a number < 5 is not > 9", RANDOM(1), JMP_IMM(BPF_JLT, 1, 5, 2), MOV_IMM(0, 0), EXIT(),
	   JMP_IMM(BPF_JGT, 1, 9, 1), JA(1), MOV_REG(0, 9), RET(0)),
	OK("the same register", RANDOM(1), JMP_REG(BPF_JEQ, 1, 1, 0), RET(0)),
	NO("the stack pointer might be 0", EACCES, "R9 !read_ok", JMP_IMM(BPF_JNE, 10, 0, 1),
	   MOV_REG(0, 9), RET(0)),
	NO("a way that can be gone", EACCES, "R9 !read_ok", RANDOM(1), JMP_IMM(BPF_JGT, 1, 3, 1),
	   MOV_REG(0, 9), RET(0)),
	NO("the other", EACCES, "R9 !read_ok", RANDOM(1), JMP_IMM(BPF_JGT, 1, 3, 1), JA(1),
	   MOV_REG(0, 9), RET(0)),
	/* form */
	NO("condition on a register never written", EACCES, "R8 !read_ok",
	   JMP_IMM(BPF_JEQ, 8, 0, 0), RET(0)),
	NO("with a register never written", EACCES, "R8 !read_ok", MOV_IMM(1, 0),
	   JMP_REG(BPF_JEQ, 1, 8, 0), RET(0)),
	NO("immediate form with a source", EINVAL, "BPF_JMP/JMP32 uses reserved fields",
	   INSN(BPF_JMP | BPF_JEQ | BPF_K, 1, 2, 0, 0), RET(0)),
	NO("register form with an immediate", EINVAL, "BPF_JMP/JMP32 uses reserved fields",
	   INSN(BPF_JMP | BPF_JEQ | BPF_X, 1, 10, 0, 4), RET(0)),
	NO("opcode 0xf0", EINVAL, "unknown opcode", INSN(BPF_JMP | 0xf0, 1, 0, 0, 0), RET(0)),
	OK("32-bit unconditional jump", JMP_IMM(BPF_JEQ, 10, 0, 1), JA32(1), JA32(0), RET(0)),
};

VERIFY_THEME(jumps)
