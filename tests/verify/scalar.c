/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers: what is known of them after each operator decides what they may index.
 *
 * Rules: INDEX ends every program: r0 is a value of 16 bytes, a byte is read at r0 + r1. With r1 in
 * [0, 15] it is accepted, else refused for the reason that the case names.
 */
#include "tests/verify/verify.h"

#define BIG "R0 max value is outside of the allowed memory range"
#define UNBOUNDED "R0 unbounded memory access, make sure to bounds check any such access"
#define NEGATIVE "R0 min value is negative, either use unsigned index or do a if (index >=0) check."
#define POINTER_SUM                                                                                \
	"math between map_value pointer and register with unbounded min value is not allowed"

/* r0 = value, r1 = r6 */
#define START RANDOM(6), LOOKUP4(M_ARRAY), NONNULL, MOV_REG(1, 6)
#define INDEX ALU64_REG(BPF_ADD, 0, 1), LDX(BPF_B, 0, 0, 0), RET(0)
#define IN(text, ...) OK(text, START, __VA_ARGS__, INDEX)
#define OUT(text, says, ...) NO(text, EACCES, says, START, __VA_ARGS__, INDEX)
#define OUT_SUM(text, ...) NO(text, EINVAL, POINTER_SUM, START, __VA_ARGS__, INDEX)

static const struct vcase cases[] = {
	/* not bounded at all */
	OUT("a random number is no index", UNBOUNDED, MOV_REG(1, 6)),
	OUT("its upper half cleared neither", UNBOUNDED, MOV32_REG(1, 6)),
	/* constants */
	IN("the last byte", MOV_IMM(1, 15)),
	NO("one too far", EACCES, "invalid access to map value, value_size=16 off=16 size=1", START,
	   MOV_IMM(1, 16), INDEX),
	NO("one before", EACCES, "R0 min value is outside of the allowed memory range", START,
	   MOV_IMM(1, -1), INDEX),
	IN("sum of constants", MOV_IMM(1, 20), ALU64_IMM(BPF_ADD, 1, -5)),
	IN("difference of constants", MOV_IMM(1, 20), ALU64_IMM(BPF_SUB, 1, 5)),
	IN("product", MOV_IMM(1, 5), ALU64_IMM(BPF_MUL, 1, 3)),
	IN("quotient of constants isn't followed, its remainder by mask is", MOV_IMM(1, 100),
	   ALU64_IMM(BPF_DIV, 1, 7), ALU64_IMM(BPF_AND, 1, 15)),
	IN("or", MOV_IMM(1, 8), ALU64_IMM(BPF_OR, 1, 7)),
	IN("xor", MOV_IMM(1, 0xff), ALU64_IMM(BPF_XOR, 1, 0xf0)),
	IN("left shift", MOV_IMM(1, 3), ALU64_IMM(BPF_LSH, 1, 2)),
	IN("right shift", MOV_IMM(1, 0xf0), ALU64_IMM(BPF_RSH, 1, 4)),
	IN("arithmetic right shift", MOV_IMM(1, 0xf0), ALU64_IMM(BPF_ARSH, 1, 4)),
	IN("negation twice", MOV_IMM(1, 9), NEG(1), NEG(1)),
	NO("negation once", EACCES, "R0 min value is outside of the allowed memory range", START,
	   MOV_IMM(1, 9), NEG(1), INDEX),
	IN("a 64-bit constant", LDDW(1, 0x100000000f), LDDW(2, 0x1000000000),
	   ALU64_REG(BPF_SUB, 1, 2)),
	IN("32-bit move cuts it", LDDW(1, 0x100000000f), MOV32_REG(1, 1)),
	/* masks */
	IN("masked", ALU64_IMM(BPF_AND, 1, 15)),
	IN("masked in 32 bits", ALU32_IMM(BPF_AND, 1, 15)),
	OUT("mask one too wide", BIG, ALU64_IMM(BPF_AND, 1, 16)),
	OUT("mask of -1", UNBOUNDED, ALU64_IMM(BPF_AND, 1, -1)),
	IN("masked by a register", MOV_IMM(2, 7), ALU64_REG(BPF_AND, 1, 2)),
	IN("mask, shift up within", ALU64_IMM(BPF_AND, 1, 3), ALU64_IMM(BPF_LSH, 1, 2)),
	OUT("mask, shift up beyond", BIG, ALU64_IMM(BPF_AND, 1, 3), ALU64_IMM(BPF_LSH, 1, 3)),
	IN("shifted down far enough", LDX(BPF_DW, 1, 0, 0), ALU64_IMM(BPF_RSH, 1, 60)),
	OUT("a bit less, of 64", BIG, LDX(BPF_DW, 1, 0, 0), ALU64_IMM(BPF_RSH, 1, 59)),
	IN("32 bits shifted down", ALU32_IMM(BPF_RSH, 1, 28)),
	OUT("arithmetic shift keeps the sign", NEGATIVE, LDX(BPF_DW, 1, 0, 0),
	    ALU64_IMM(BPF_ARSH, 1, 60)),
	IN("mask or a constant within", ALU64_IMM(BPF_AND, 1, 7), ALU64_IMM(BPF_OR, 1, 8)),
	OUT("mask or a constant beyond", "R0 min value is outside of the allowed memory range",
	    ALU64_IMM(BPF_AND, 1, 7), ALU64_IMM(BPF_OR, 1, 16)),
	IN("mask xor a constant", ALU64_IMM(BPF_AND, 1, 7), ALU64_IMM(BPF_XOR, 1, 15)),
	IN("mask plus a constant", ALU64_IMM(BPF_AND, 1, 7), ALU64_IMM(BPF_ADD, 1, 8)),
	OUT("mask plus one too much", BIG, ALU64_IMM(BPF_AND, 1, 7), ALU64_IMM(BPF_ADD, 1, 9)),
	IN("mask times a constant", ALU64_IMM(BPF_AND, 1, 3), ALU64_IMM(BPF_MUL, 1, 5)),
	OUT("mask times more", BIG, ALU64_IMM(BPF_AND, 1, 3), ALU64_IMM(BPF_MUL, 1, 6)),
	IN("constant minus mask", MOV_IMM(2, 15), ALU64_IMM(BPF_AND, 1, 15),
	   ALU64_REG(BPF_SUB, 2, 1), MOV_REG(1, 2)),
	OUT("constant minus mask, below 0", "R0 min value is negative", MOV_IMM(2, 14),
	    ALU64_IMM(BPF_AND, 1, 15), ALU64_REG(BPF_SUB, 2, 1), MOV_REG(1, 2)),
	IN("sum of two masks", MOV_REG(2, 1), ALU64_IMM(BPF_AND, 1, 8), ALU64_IMM(BPF_AND, 2, 7),
	   ALU64_REG(BPF_ADD, 1, 2)),
	IN("x - x isn't known to be 0, a mask is", ALU64_REG(BPF_SUB, 1, 1),
	   ALU64_IMM(BPF_AND, 1, 1)),
	IN("x ^ x isn't known to be 0 for a number, a mask is", ALU64_REG(BPF_XOR, 1, 1),
	   ALU64_IMM(BPF_AND, 1, 1)),
	OUT("negated mask", "R0 min value is negative", ALU64_IMM(BPF_AND, 1, 15), NEG(1)),
	/* division, remainder */
	NOW("a quotient is too large", (POLICY("kernels before 6.20 know nothing of a quotient")),
	    EACCES, UNBOUNDED, START, ALU64_IMM(BPF_DIV, 1, 2), INDEX),
	NO("division by 0", EINVAL, "div by zero", START, ALU64_IMM(BPF_DIV, 1, 0), INDEX),
	NO("remainder by 0", EINVAL, "div by zero", START, ALU64_IMM(BPF_MOD, 1, 0), INDEX),
	NO("32-bit division by 0", EINVAL, "div by zero", START, ALU32_IMM(BPF_DIV, 1, 0), INDEX),
	IN("division by a register that may be 0", ALU64_REG(BPF_DIV, 1, 6),
	   ALU64_IMM(BPF_AND, 1, 15)),
	IN("signed division", SDIV_IMM(1, 3), ALU64_IMM(BPF_AND, 1, 15)),
	IN("signed remainder", SMOD_IMM(1, 3), ALU64_IMM(BPF_AND, 1, 15)),
	NO("signed division by 0", EINVAL, "div by zero", START, SDIV_IMM(1, 0), INDEX),
	NO("division of offset 2", EINVAL, "BPF_ALU uses reserved fields", START,
	   INSN(BPF_ALU64 | BPF_DIV | BPF_K, 1, 0, 2, 3), INDEX),
	/* shifts by too much */
	NO("shift by 64", EINVAL, "invalid shift 64", START, ALU64_IMM(BPF_LSH, 1, 64), INDEX),
	NO("shift by -1", EINVAL, "invalid shift -1", START, ALU64_IMM(BPF_RSH, 1, -1), INDEX),
	NO("32-bit shift by 32", EINVAL, "invalid shift 32", START, ALU32_IMM(BPF_LSH, 1, 32),
	   INDEX),
	IN("shift by a register", MOV_IMM(2, 60), ALU64_REG(BPF_RSH, 1, 2)),
	OUT_SUM("shift by an unknown number", LDX(BPF_DW, 1, 0, 0), MOV_REG(2, 6),
		ALU64_REG(BPF_RSH, 1, 2)),
	/* 32 bits */
	IN("32-bit add wraps to a small number", MOV_IMM(1, -1), ALU32_IMM(BPF_ADD, 1, 9)),
	NO("64-bit add of the same", EINVAL,
	   "math between map_value pointer and 4294967304 is not allowed", START,
	   LDDW(1, 0xffffffff), ALU64_IMM(BPF_ADD, 1, 9), INDEX),
	IN("32-bit move of -1, shifted", MOV32_IMM(1, -1), ALU64_IMM(BPF_RSH, 1, 28)),
	IN("a register that is masked as 64 bits, copied as 32", ALU64_IMM(BPF_AND, 1, 15),
	   MOV32_REG(1, 1)),
	OUT_SUM("upper half unknown after a 64-bit or", LDX(BPF_DW, 2, 0, 0),
		ALU32_IMM(BPF_AND, 1, 15), ALU64_REG(BPF_OR, 1, 2)),
	IN("32-bit negation", MOV_IMM(1, -9), NEG32(1)),
	IN("32-bit arithmetic shift of a positive number", MOV32_IMM(1, 0x70000000),
	   ALU32_IMM(BPF_ARSH, 1, 28)),
	NO("32-bit arithmetic shift of a negative number", EINVAL,
	   "math between map_value pointer and 4294967288 is not allowed", START,
	   MOV32_IMM(1, -0x7fffffff - 1), ALU32_IMM(BPF_ARSH, 1, 28), INDEX),
	/* sign extension */
	IN("movsx of a mask", ALU64_IMM(BPF_AND, 1, 15), MOVSX(1, 1, 8)),
	OUT("movsx of a byte", NEGATIVE, MOVSX(1, 1, 8)),
	OUT("movsx of 7 bits stays positive", BIG, ALU64_IMM(BPF_AND, 1, 0x7f), MOVSX(1, 1, 8)),
	OUT("movsx of 8 bits does not", "R0 min value is negative", ALU64_IMM(BPF_AND, 1, 0xff),
	    MOVSX(1, 1, 8)),
	IN("movsx of a constant", MOV_IMM(1, 0x1ff), MOVSX(1, 1, 8), NEG(1)),
	IN("movsx from 32 bits", LDDW(1, 0xfffffffffffffff1), MOVSX(1, 1, 32), NEG(1)),
	IN("32-bit movsx then shifted", MOVSX32(1, 1, 8), ALU32_IMM(BPF_RSH, 1, 28)),
	NO("movsx of 24 bits", EINVAL, "BPF_MOV uses reserved fields", START, MOVSX(1, 1, 24),
	   INDEX),
	NO("movsx32 of 32 bits", EINVAL, "BPF_MOV uses reserved fields", START, MOVSX32(1, 1, 32),
	   INDEX),
	IN("sign-extending load of the key's bytes, masked", LDXS(BPF_B, 1, 0, 3),
	   ALU64_IMM(BPF_AND, 1, 15)),
	OUT("sign-extending load", "R0 min value is negative", LDXS(BPF_B, 1, 0, 3)),
	OUT("a byte load", BIG, LDX(BPF_B, 1, 0, 3)),
	IN("a byte load, shifted", LDX(BPF_B, 1, 0, 3), ALU64_IMM(BPF_RSH, 1, 4)),
	OUT("a half load", BIG, LDX(BPF_H, 1, 0, 2)),
	OUT("a word load", UNBOUNDED, LDX(BPF_W, 1, 0, 4)),
	/* byte order */
	IN("16 bits to big endian, shifted", TO_BE(1, 16), ALU64_IMM(BPF_RSH, 1, 12)),
	IN("16 bits to little endian, shifted", TO_LE(1, 16), ALU64_IMM(BPF_RSH, 1, 12)),
	IN("bswap, masked", BSWAP(1, 32), ALU64_IMM(BPF_AND, 1, 15)),
	NO("bswap of 24 bits", EINVAL, "BPF_END uses reserved fields", START, BSWAP(1, 24), INDEX),
	/* overflow */
	NO("a signed number, scaled", EINVAL,
	   "math between map_value pointer and register with unbounded min value is not allowed",
	   LOOKUP4(M_ARRAY), NONNULL, LDX(BPF_W, 1, 0, 0), ALU64_IMM(BPF_LSH, 1, 32),
	   ALU64_IMM(BPF_ARSH, 1, 32), ALU64_IMM(BPF_LSH, 1, 2), ALU64_REG(BPF_ADD, 0, 1),
	   LDX(BPF_B, 0, 0, 0), RET(0)),
	NO("a signed number", EINVAL, "value -2147483648 makes map_value pointer be out of bounds",
	   LOOKUP4(M_ARRAY), NONNULL, LDXS(BPF_W, 1, 0, 0), ALU64_REG(BPF_ADD, 0, 1),
	   LDX(BPF_B, 0, 0, 0), RET(0)),
	NO("a sum that may overflow", EINVAL,
	   "value -9223372036854775807 makes map_value pointer be out of bounds", START,
	   LDX(BPF_DW, 1, 0, 0), ALU64_IMM(BPF_AND, 1, -16), ALU64_IMM(BPF_ADD, 1, 1), INDEX),
	OUT("multiplied beyond 64 bits", UNBOUNDED, MOV32_REG(1, 6), LDDW(2, 0x200000000),
	    ALU64_REG(BPF_MUL, 1, 2), ALU64_IMM(BPF_RSH, 1, 1)),
	OUT("shifted out at the top and back", BIG, ALU64_IMM(BPF_LSH, 1, 56),
	    ALU64_IMM(BPF_RSH, 1, 56)),
	IN("bits that a shift pushes out", ALU64_IMM(BPF_LSH, 1, 60), ALU64_IMM(BPF_RSH, 1, 60)),
	/* not numbers */
	NO("register never written", EACCES, "R8 !read_ok", START, MOV_REG(1, 8), INDEX),
	NO("operand never written", EACCES, "R8 !read_ok", START, ALU64_REG(BPF_ADD, 1, 8), INDEX),
	NO("target never written", EACCES, "R8 !read_ok", START, ALU64_IMM(BPF_ADD, 8, 1), INDEX),
	NO("the frame pointer is read-only", EACCES, "frame pointer is read only", MOV_IMM(10, 1),
	   RET(0)),
	NO("register 11", EINVAL, "R11 is invalid", MOV_IMM(11, 1), RET(0)),
	NO("register 15 as source", EINVAL, "R15 is invalid", MOV_REG(0, 15), RET(0)),
	NO("unknown operator", EINVAL, "unknown opcode f7", START,
	   INSN(BPF_ALU64 | 0xf0, 1, 0, 0, 0), INDEX),
	NO("immediate form with a source register", EINVAL, "BPF_ALU uses reserved fields", START,
	   INSN(BPF_ALU64 | BPF_ADD | BPF_K, 1, 2, 0, 0), INDEX),
	NO("register form with an immediate", EINVAL, "BPF_ALU uses reserved fields", START,
	   INSN(BPF_ALU64 | BPF_ADD | BPF_X, 1, 6, 0, 1), INDEX),
	NO("negation with a source", EINVAL, "BPF_NEG uses reserved fields", START,
	   INSN(BPF_ALU64 | BPF_NEG, 1, 6, 0, 0), INDEX),
};

VERIFY_THEME(scalars)
