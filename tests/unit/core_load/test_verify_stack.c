/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack under the explorer: bounds, spills and fills, parts of them, places that are not known,
 * bytes that are zero. Each case is also given to the running kernel, where there is one.
 */
#include "tests/unit/core_load/verify_case.h"

#define OK .err = 0
#define FAIL(e, w) .err = -(e), .words = (w)
#define DONE MOV_IMM(0, 0), EXIT()
/* R1 = stack address at [-lo, -lo + mask] */
#define SOMEWHERE(lo, mask)                                                                        \
	RANDOM(), ALU64_IMM(BPF_AND, 0, mask), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -(lo)),       \
		ALU64_REG(BPF_ADD, 1, 0)

static const struct verify_case cases[] = {
	/* bounds */
	{"lowest byte", OK, .insns = {ST(BPF_B, 10, -512, 1), DONE}},
	{"one lower", FAIL(EACCES, "invalid write to stack R10 off=-513 size=1"),
	 .insns = {ST(BPF_B, 10, -513, 1), DONE}},
	{"above the top", FAIL(EACCES, "invalid write to stack R10 off=0 size=8"),
	 .insns = {ST(BPF_DW, 10, 0, 1), DONE}},
	{"across the top", FAIL(EACCES, "misaligned stack access off"),
	 .insns = {ST(BPF_DW, 10, -4, 1), DONE}},
	{"read above", FAIL(EACCES, "invalid read from stack R10 off=8 size=8"),
	 .insns = {LDX(BPF_DW, 0, 10, 8), EXIT()}},
	{"misaligned", FAIL(EACCES, "misaligned stack access off 0+0+-6 size 4"),
	 .insns = {ST(BPF_W, 10, -6, 1), DONE}, .drift = true},

	/* spills of pointers */
	{"a pointer comes back", OK,
	 .insns = {STX(BPF_DW, 10, 1, -8), LDX(BPF_DW, 2, 10, -8), LDX(BPF_DW, 0, 2, 0), EXIT()}},
	{"half a pointer stored", FAIL(EACCES, "invalid size of register spill"),
	 .insns = {STX(BPF_W, 10, 1, -8), DONE}},
	{"half a pointer read", FAIL(EACCES, "invalid size of register fill"),
	 .insns = {STX(BPF_DW, 10, 1, -8), LDX(BPF_W, 2, 10, -8), DONE}},
	{"a byte in a pointer", FAIL(EACCES, "R2 invalid mem access 'scalar'"),
	 .insns = {STX(BPF_DW, 10, 1, -8), ST(BPF_B, 10, -5, 0), LDX(BPF_DW, 2, 10, -8),
		   LDX(BPF_DW, 0, 2, 0), EXIT()}},
	{"own stack's address in the caller's", FAIL(EINVAL, "cannot spill pointers to stack into"),
	 .insns = {MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8), CALL_BPF(1), EXIT(),
		   STX(BPF_DW, 1, 10, 0), DONE}},

	/* spills of numbers */
	{"a range comes back", OK,
	 .insns = {RANDOM(), ALU64_IMM(BPF_AND, 0, 7), STX(BPF_DW, 10, 0, -8),
		   LDX(BPF_DW, 1, 10, -8), JMP_IMM(BPF_JLE, 1, 7, 1), MOV_REG(0, 9), DONE}},
	{"a constant comes back", OK,
	 .insns = {ST(BPF_DW, 10, -8, 5), LDX(BPF_DW, 1, 10, -8), JMP_IMM(BPF_JEQ, 1, 5, 1),
		   MOV_REG(0, 9), DONE}},
	{"the low half comes back", OK,
	 .insns = {RANDOM(), ALU64_IMM(BPF_AND, 0, 7), STX(BPF_W, 10, 0, -8), LDX(BPF_W, 1, 10, -8),
		   JMP_IMM(BPF_JLE, 1, 7, 1), MOV_REG(0, 9), DONE}},
	{"a low byte of eight", OK,
	 .insns = {LDDW(1, 0x1234567887654321), STX(BPF_DW, 10, 1, -8), LDX(BPF_B, 1, 10, -8),
		   JMP_IMM(BPF_JEQ, 1, 0x21, 1), MOV_REG(0, 9), DONE}},
	{"a high byte is not known", FAIL(EACCES, "R9 !read_ok"),
	 .insns = {LDDW(1, 0x1234567887654321), STX(BPF_DW, 10, 1, -8), LDX(BPF_B, 1, 10, -1),
		   JMP_IMM(BPF_JEQ, 1, 0x12, 1), MOV_REG(0, 9), DONE}},
	{"eight bytes of four", FAIL(EACCES, "R9 !read_ok"),
	 .insns = {ST(BPF_DW, 10, -8, -1), ST(BPF_W, 10, -8, 1), LDX(BPF_DW, 1, 10, -8),
		   JMP_IMM(BPF_JEQ, 1, 1, 1), MOV_REG(0, 9), DONE}},
	{"a test tells the spilled copy", OK,
	 .insns = {RANDOM(), STX(BPF_DW, 10, 0, -8), JMP_IMM(BPF_JGT, 0, 7, 3),
		   LDX(BPF_DW, 1, 10, -8), JMP_IMM(BPF_JLE, 1, 7, 1), MOV_REG(0, 9), DONE}},
	{"a narrowed spill is no copy", FAIL(EACCES, "R9 !read_ok"),
	 .insns = {LDX(BPF_DW, 0, 1, 0), STX(BPF_W, 10, 0, -8), JMP_IMM(BPF_JGT, 0, 7, 2),
		   MOV_IMM(0, 0), EXIT(), LDX(BPF_W, 1, 10, -8), JMP_IMM(BPF_JGT, 1, 7, 1),
		   MOV_REG(0, 9), DONE}},
	{"sign-extended from the stack", OK,
	 .insns = {ST(BPF_DW, 10, -8, 0x80), INSN(BPF_LDX | BPF_MEMSX | BPF_B, 1, 10, -8, 0),
		   JMP_IMM(BPF_JEQ, 1, -128, 1), MOV_REG(0, 9), DONE}},

	/* zero */
	{"zero in parts", OK,
	 .insns = {ST(BPF_B, 10, -5, 0), ST(BPF_B, 10, -6, 0), LDX(BPF_H, 1, 10, -6),
		   JMP_IMM(BPF_JEQ, 1, 0, 1), MOV_REG(0, 9), DONE}},
	{"zero beside something", FAIL(EACCES, "R9 !read_ok"),
	 .insns = {ST(BPF_B, 10, -5, 0), ST(BPF_B, 10, -6, 1), LDX(BPF_H, 1, 10, -6),
		   JMP_IMM(BPF_JEQ, 1, 0, 1), MOV_REG(0, 9), DONE}},
	{"never written", OK, .insns = {LDX(BPF_DW, 1, 10, -8), DONE}},

	/* places that are not known */
	{"write somewhere", OK, .insns = {SOMEWHERE(16, 8), ST(BPF_DW, 1, 0, 0), DONE}},
	{"write somewhere too low",
	 FAIL(EACCES,
	      "invalid variable-offset write to stack R1 var_off=(0x0; 0x8) off=-520 size="),
	 .insns = {SOMEWHERE(520, 8), ST(BPF_DW, 1, 0, 0), DONE}},
	{"write somewhere too high",
	 FAIL(EINVAL, "invalid variable-offset write to stack R1 var_off=(0x0; 0x8) off=-8 size=8"),
	 .insns = {SOMEWHERE(8, 8), ST(BPF_DW, 1, 0, 0), DONE}},
	{"a pointer may be gone", FAIL(EACCES, "R2 invalid mem access 'scalar'"),
	 .insns = {MOV_REG(6, 1), STX(BPF_DW, 10, 6, -8), SOMEWHERE(16, 8), ST(BPF_DW, 1, 0, 0),
		   LDX(BPF_DW, 2, 10, -8), LDX(BPF_DW, 0, 2, 0), EXIT()}},
	{"zero stays zero", OK,
	 .insns = {ST(BPF_DW, 10, -8, 0), ST(BPF_DW, 10, -16, 0), SOMEWHERE(16, 8),
		   ST(BPF_DW, 1, 0, 0), LDX(BPF_DW, 1, 10, -8), JMP_IMM(BPF_JEQ, 1, 0, 1),
		   MOV_REG(0, 9), DONE}},
	{"zero may be gone", FAIL(EACCES, "R9 !read_ok"),
	 .insns = {ST(BPF_DW, 10, -8, 0), ST(BPF_DW, 10, -16, 0), SOMEWHERE(16, 8),
		   ST(BPF_DW, 1, 0, 1), LDX(BPF_DW, 1, 10, -8), JMP_IMM(BPF_JEQ, 1, 0, 1),
		   MOV_REG(0, 9), DONE}},
	{"read somewhere", OK,
	 .insns = {ST(BPF_DW, 10, -8, 1), ST(BPF_DW, 10, -16, 2), SOMEWHERE(16, 8),
		   LDX(BPF_DW, 0, 1, 0), EXIT()}},
	{"read zeroes somewhere", OK,
	 .insns = {ST(BPF_B, 10, -1, 0), ST(BPF_B, 10, -2, 0), SOMEWHERE(2, 1), LDX(BPF_B, 1, 1, 0),
		   JMP_IMM(BPF_JEQ, 1, 0, 1), MOV_REG(0, 9), DONE}},
	{"atomic somewhere", FAIL(EACCES, "variable offset stack pointer cannot be passed into"),
	 .insns = {SOMEWHERE(16, 8), MOV_IMM(2, 1),
		   INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 0, BPF_ADD), DONE}},

	/* by functions */
	{"a helper writes", OK,
	 .insns = {MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 16),
		   CALL(BPF_FUNC_get_current_comm), LDX(BPF_DW, 0, 10, -16), EXIT()}},
	{"a pointer under a helper's hands", FAIL(EACCES, "R2 invalid mem access 'scalar'"),
	 .insns = {STX(BPF_DW, 10, 1, -16), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16),
		   MOV_IMM(2, 16), CALL(BPF_FUNC_get_current_comm), LDX(BPF_DW, 2, 10, -16),
		   LDX(BPF_DW, 0, 2, 0), EXIT()}},
	{"an atomic on the stack", OK,
	 .insns = {ST(BPF_DW, 10, -8, 1), MOV_IMM(1, 2),
		   INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 10, 1, -8, BPF_ADD | BPF_FETCH),
		   JMP_IMM(BPF_JEQ, 1, 1, 1), MOV_REG(0, 9), DONE}},
	{"what the atomic left", FAIL(EACCES, "R9 !read_ok"),
	 .insns = {ST(BPF_DW, 10, -8, 1), MOV_IMM(1, 2),
		   INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 10, 1, -8, BPF_ADD), LDX(BPF_DW, 1, 10, -8),
		   JMP_IMM(BPF_JEQ, 1, 3, 1), MOV_REG(0, 9), DONE}},
};

Test(verify_stack, cases)
{
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		case_check(&cases[i]);
}
