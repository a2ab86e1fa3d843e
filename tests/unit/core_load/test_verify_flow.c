/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The explorer's core: arithmetic, conditions, loops, calls, what is remembered. Each case is also
 * given to the running kernel, where there is one that lets us: same verdict, same words.
 */
#include "tests/unit/core_load/verify_case.h"

#define OK .err = 0
#define FAIL(e, w) .err = -(e), .words = (w)

static const struct verify_case cases[] = {
	{"constant", OK, .insns = {MOV_IMM(0, 0), EXIT()}},
	{"R0 not set", FAIL(EACCES, "R0 !read_ok"), .insns = {EXIT()}},
	{"read of a register never written", FAIL(EACCES, "R2 !read_ok"),
	 .insns = {MOV_REG(0, 2), EXIT()}},
	{"unreachable", FAIL(EINVAL, "unreachable insn 1"),
	 .insns = {JA(1), MOV_IMM(0, 0), MOV_IMM(0, 0), EXIT()}},
	{"jump out of range", FAIL(EINVAL, "jump out of range from insn 0 to 5"),
	 .insns = {JA(4), EXIT()}},
	{"caller-saved registers are gone after a call", FAIL(EACCES, "R1 !read_ok"),
	 .insns = {RANDOM(), MOV_REG(0, 1), EXIT()}},
	{"dead branch is not walked", OK,
	 .insns = {MOV_IMM(1, 5), JMP_IMM(BPF_JEQ, 1, 5, 1), MOV_REG(0, 9), MOV_IMM(0, 0), EXIT()}},
	{"branch by range", OK,
	 .insns = {RANDOM(), ALU64_IMM(BPF_AND, 0, 7), JMP_IMM(BPF_JLT, 0, 8, 1), MOV_REG(0, 9),
		   MOV_IMM(0, 0), EXIT()}},
	{"no branch by range", FAIL(EACCES, "R9 !read_ok"),
	 .insns = {RANDOM(), ALU64_IMM(BPF_AND, 0, 7), JMP_IMM(BPF_JLT, 0, 7, 1), MOV_REG(0, 9),
		   MOV_IMM(0, 0), EXIT()}},

	/* pointers */
	{"pointer times number", FAIL(EACCES, "R1 pointer arithmetic with *= operator prohibited"),
	 .insns = {MOV_REG(1, 10), ALU64_IMM(BPF_MUL, 1, 2), MOV_IMM(0, 0), EXIT()}},
	{"pointer and number", FAIL(EACCES, "R1 bitwise operator &= on pointer prohibited"),
	 .insns = {MOV_REG(1, 10), ALU64_IMM(BPF_AND, 1, 2), MOV_IMM(0, 0), EXIT()}},
	{"pointer plus pointer", FAIL(EACCES, "R1 pointer += pointer prohibited"),
	 .insns = {MOV_REG(1, 10), ALU64_REG(BPF_ADD, 1, 10), MOV_IMM(0, 0), EXIT()}},
	{"pointer minus pointer", OK,
	 .insns = {MOV_REG(1, 10), ALU64_REG(BPF_SUB, 1, 10), MOV_IMM(0, 0), EXIT()}},
	{"number minus pointer", FAIL(EACCES, "R2 tried to subtract pointer from scalar"),
	 .insns = {MOV_IMM(2, 1), ALU64_REG(BPF_SUB, 2, 1), MOV_IMM(0, 0), EXIT()}},
	{"32 bits of a pointer", FAIL(EACCES, "R1 32-bit pointer arithmetic prohibited"),
	 .insns = {ALU32_IMM(BPF_ADD, 1, 1), MOV_IMM(0, 0), EXIT()}},
	{"stack minus", FAIL(EACCES, "R1 subtraction from stack pointer prohibited"),
	 .insns = {MOV_REG(1, 10), ALU64_IMM(BPF_SUB, 1, 8), MOV_IMM(0, 0), EXIT()}},
	{"far offset", FAIL(EINVAL, "math between fp pointer and 1073741824 is not allowed"),
	 .insns = {MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, 1 << 30), MOV_IMM(0, 0), EXIT()}},
	{"unknown offset",
	 FAIL(EINVAL, "math between fp pointer and register with unbounded min value is not"),
	 .insns = {LDX(BPF_DW, 2, 1, 0), MOV_REG(1, 10), ALU64_REG(BPF_ADD, 1, 2), MOV_IMM(0, 0),
		   EXIT()}},
	{"map pointer plus", FAIL(EACCES, "R1 pointer arithmetic on map_ptr prohibited"),
	 .insns = {MAP(1, 0), ALU64_IMM(BPF_ADD, 1, 8), MOV_IMM(0, 0), EXIT()}},

	/* null tests */
	{"use before test", FAIL(EACCES, "R0 invalid mem access 'map_value_or_null'"),
	 .insns = {ST(BPF_DW, 10, -8, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8), MAP(1, 0),
		   CALL(BPF_FUNC_map_lookup_elem), LDX(BPF_DW, 0, 0, 0), EXIT()}},
	{"arithmetic before test",
	 FAIL(EACCES, "R0 pointer arithmetic on map_value_or_null prohibited, null-check it first"),
	 .insns = {ST(BPF_DW, 10, -8, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8), MAP(1, 0),
		   CALL(BPF_FUNC_map_lookup_elem), ALU64_IMM(BPF_ADD, 0, 8), MOV_IMM(0, 0),
		   EXIT()}},
	{"test tells all copies", OK,
	 .insns = {ST(BPF_DW, 10, -8, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8), MAP(1, 0),
		   CALL(BPF_FUNC_map_lookup_elem), MOV_REG(6, 0), STX(BPF_DW, 10, 0, -16),
		   JMP_IMM(BPF_JEQ, 0, 0, 4), LDX(BPF_DW, 1, 6, 0), LDX(BPF_DW, 2, 10, -16),
		   LDX(BPF_DW, 1, 2, 40), MOV_IMM(0, 0), MOV_IMM(0, 0), EXIT()}},
	{"the other way", FAIL(EACCES, "R6 invalid mem access 'scalar'"),
	 .insns = {ST(BPF_DW, 10, -8, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8), MAP(1, 0),
		   CALL(BPF_FUNC_map_lookup_elem), MOV_REG(6, 0), JMP_IMM(BPF_JNE, 0, 0, 1),
		   LDX(BPF_DW, 1, 6, 0), MOV_IMM(0, 0), EXIT()}},

	/* links */
	{"a copy learns", OK,
	 .insns = {RANDOM(), MOV_REG(6, 0), JMP_IMM(BPF_JGT, 0, 8, 4), ALU64_IMM(BPF_LSH, 6, 3),
		   MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -72), ALU64_REG(BPF_ADD, 1, 6),
		   MOV_IMM(0, 0), EXIT()}},
	{"a copy and a constant learn", OK,
	 .insns = {ST(BPF_DW, 10, -8, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8), MAP(1, 0),
		   CALL(BPF_FUNC_map_lookup_elem), JMP_IMM(BPF_JEQ, 0, 0, 8), MOV_REG(7, 0),
		   LDX(BPF_DW, 1, 7, 0), MOV_REG(2, 1), ALU64_IMM(BPF_ADD, 2, 4),
		   JMP_IMM(BPF_JGT, 1, 40, 3), ALU64_REG(BPF_ADD, 7, 2), LDX(BPF_B, 0, 7, 0),
		   MOV_IMM(0, 0), MOV_IMM(0, 0), EXIT()}},

	/* loops */
	{"bounded", OK,
	 .insns = {MOV_IMM(1, 0), ALU64_IMM(BPF_ADD, 1, 1), JMP_IMM(BPF_JLT, 1, 100, -2),
		   MOV_IMM(0, 0), EXIT()}},
	{
		"never ends",
		FAIL(EINVAL, "infinite loop detected at insn"),
		.insns = {MOV_IMM(0, 0), JA(-1)},
	},
	{"never ends, by a condition", FAIL(EINVAL, "infinite loop detected at insn 1"),
	 .insns = {MOV_IMM(1, 0), JMP_IMM(BPF_JEQ, 1, 0, -1), MOV_IMM(0, 0), EXIT()}},
	{"too long", FAIL(E2BIG, "BPF program is too large. Processed 1000001 insn"),
	 .insns = {MOV_IMM(1, 0), ALU64_IMM(BPF_ADD, 1, 1), JMP_IMM(BPF_JLT, 1, 0x7fffffff, -2),
		   MOV_IMM(0, 0), EXIT()}},
	{"many ways meet", OK,
	 .insns = {MOV_IMM(6, 0),
#define FORK RANDOM(), JMP_IMM(BPF_JEQ, 0, 0, 1), MOV_IMM(6, 1)
		   FORK,	  FORK, FORK, FORK, FORK, FORK, FORK, FORK, FORK,	   FORK,
		   FORK,	  FORK, FORK, FORK, FORK, FORK, FORK, FORK, MOV_IMM(0, 0), EXIT()}},
	{"may_goto", OK,
	 .insns = {MOV_IMM(1, 0), ALU64_IMM(BPF_ADD, 1, 1), MAY_GOTO(1), JA(-3), MOV_IMM(0, 0),
		   EXIT()}},

	/* calls */
	{"call", OK, .insns = {MOV_IMM(1, 4), CALL_BPF(1), EXIT(), MOV_REG(0, 1), EXIT()}},
	{"result of a call is known", OK,
	 .insns = {MOV_IMM(1, 4), CALL_BPF(3), JMP_IMM(BPF_JEQ, 0, 4, 1), MOV_REG(0, 9), EXIT(),
		   MOV_REG(0, 1), EXIT()}},
	{"stack of the callee", FAIL(EINVAL, "cannot return stack pointer to the caller"),
	 .insns = {CALL_BPF(1), EXIT(), MOV_REG(0, 10), EXIT()}},
	{"caller's registers are not the callee's", FAIL(EACCES, "R6 !read_ok"),
	 .insns = {MOV_IMM(6, 4), CALL_BPF(1), EXIT(), MOV_REG(0, 6), EXIT()}},
	{"recursion", FAIL(E2BIG, "the call stack of 9 frames is too deep"),
	 .insns = {CALL_BPF(1), EXIT(), CALL_BPF(-1), EXIT()}},
	{"callback", OK,
	 .insns = {MOV_IMM(1, 10), FUNC(2, 6), MOV_IMM(3, 0), MOV_IMM(4, 0), CALL(BPF_FUNC_loop),
		   MOV_IMM(0, 0), EXIT(), MOV_IMM(0, 0), EXIT()}},
	{"callback's return",
	 FAIL(EINVAL, "At callback return the register R0 has smin=2 smax=2 "
		      "should have been in [0, 1]"),
	 .insns = {MOV_IMM(1, 10), FUNC(2, 6), MOV_IMM(3, 0), MOV_IMM(4, 0), CALL(BPF_FUNC_loop),
		   MOV_IMM(0, 0), EXIT(), MOV_IMM(0, 2), EXIT()}},
};

Test(verify_flow, cases)
{
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		case_check(&cases[i]);
}

Test(verify_flow, paths_meet)
{
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct verdict v;

		if (strcmp(cases[i].name, "many ways meet") != 0)
			continue;
		v = case_ours(&cases[i], 1);
		cr_assert_lt(v.processed, 1000, "%u", v.processed);
		cr_assert_gt(v.states, 0);
		verdict_free(&v);
	}
}
