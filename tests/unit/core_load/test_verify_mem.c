/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads and stores under the explorer: values of maps, the context, packets, memory that is lent;
 * fixed and variable offsets, rights, constants of frozen maps. Each case is also given to the
 * running kernel, where there is one and it has such a map.
 */
#include "tests/unit/core_load/verify_case.h"

#include "arch_regs.h"

#define OK .err = 0
#define FAIL(e, w) .err = -(e), .words = (w)
#define DONE MOV_IMM(0, 0), EXIT()
/* R0 = value of map @i, not NULL; the program ends when there is none */
#define LOOKUP(i)                                                                                  \
	ST(BPF_DW, 10, -8, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8), MAP(1, i),               \
		CALL(BPF_FUNC_map_lookup_elem), JMP_IMM(BPF_JNE, 0, 0, 1), EXIT()
#define TIMES(reg, max) LDX(BPF_DW, reg, 0, 0), ALU64_IMM(BPF_AND, reg, max)
#define PKT .prog_type = BPF_PROG_TYPE_XDP
#define PACKET LDX(BPF_W, 2, 1, 0), LDX(BPF_W, 3, 1, 4)

#define STR_(x) #x
#define STR(x) STR_(x)

static const struct verify_case cases[] = {
	/* map values */
	{"first and last byte", OK,
	 .insns = {LOOKUP(CASE_HASH), LDX(BPF_B, 1, 0, 0), LDX(BPF_B, 1, 0, 47), DONE}},
	{"one behind", FAIL(EACCES, "invalid access to map value, value_size=48 off=48 size=1"),
	 .insns = {LOOKUP(CASE_HASH), LDX(BPF_B, 1, 0, 48), DONE}},
	{"across the end", FAIL(EACCES, "invalid access to map value, value_size=48 off=44 size=8"),
	 .insns = {LOOKUP(CASE_HASH), LDX(BPF_DW, 1, 0, 44), DONE}},
	{"in front", FAIL(EACCES, "R0 min value is outside of the allowed memory range"),
	 .insns = {LOOKUP(CASE_HASH), LDX(BPF_B, 1, 0, -1), DONE}},
	{"store", OK, .insns = {LOOKUP(CASE_HASH), ST(BPF_DW, 0, 40, 7), DONE}},
	{"store behind", FAIL(EACCES, "invalid access to map value, value_size=48 off=48 size=8"),
	 .insns = {LOOKUP(CASE_HASH), ST(BPF_DW, 0, 48, 7), DONE}},
	{"variable, inside", OK,
	 .insns = {LOOKUP(CASE_HASH), TIMES(1, 0x1f), ALU64_REG(BPF_ADD, 0, 1),
		   LDX(BPF_DW, 1, 0, 8), DONE}},
	{"variable, too far", FAIL(EACCES, "R0 max value is outside of the allowed memory range"),
	 .insns = {LOOKUP(CASE_HASH), TIMES(1, 0x3f), ALU64_REG(BPF_ADD, 0, 1),
		   LDX(BPF_DW, 1, 0, 0), DONE}},
	{"variable, unbounded", FAIL(EACCES, "R0 unbounded memory access, make sure to bounds "),
	 .insns = {LOOKUP(CASE_HASH), LDX(BPF_W, 1, 0, 0), ALU64_REG(BPF_ADD, 0, 1),
		   LDX(BPF_DW, 1, 0, 0), DONE}},
	{"variable, negative",
	 FAIL(EACCES, "R0 min value is negative, either use unsigned index or do a if (index >=0)"),
	 .insns = {LOOKUP(CASE_HASH), TIMES(1, 7), ALU64_IMM(BPF_SUB, 1, 4),
		   ALU64_REG(BPF_ADD, 0, 1), LDX(BPF_DW, 1, 0, 0), DONE}},
	{"bounded by a test", OK,
	 .insns = {LOOKUP(CASE_HASH), LDX(BPF_DW, 1, 0, 0), JMP_IMM(BPF_JGT, 1, 40, 2),
		   ALU64_REG(BPF_ADD, 0, 1), LDX(BPF_DW, 1, 0, 0), DONE}},
	{"one value of an array", OK,
	 .insns = {VALUE_AT(1, CASE_ARRAY, 40), LDX(BPF_DW, 0, 1, 0), EXIT()}},
	{"one value of an array, behind",
	 FAIL(EACCES, "invalid access to map value, value_size=48 off=48 size=8"),
	 .insns = {VALUE_AT(1, CASE_ARRAY, 40), LDX(BPF_DW, 0, 1, 8), EXIT()}},
	{"a pointer stored in a value", OK,
	 .insns = {MOV_REG(6, 10), VALUE_AT(1, CASE_ARRAY, 0), STX(BPF_DW, 1, 6, 0), DONE}},

	/* rights */
	{"read-only, read", OK,
	 .insns = {VALUE_AT(1, CASE_RDONLY, 0), LDX(BPF_DW, 0, 1, 0), EXIT()}},
	{"read-only, written", FAIL(EACCES, "write into map forbidden, value_size=48 off=0 size=8"),
	 .insns = {LOOKUP(CASE_RDONLY), ST(BPF_DW, 0, 0, 7), DONE}},
	{"read-only, by a helper", FAIL(EACCES, "write into map forbidden, value_size=48 off=0"),
	 .insns = {LOOKUP(CASE_RDONLY), MOV_REG(1, 0), MOV_IMM(2, 16),
		   CALL(BPF_FUNC_get_current_comm), DONE}},
	{"write-only, written", OK, .insns = {LOOKUP(CASE_WRONLY), ST(BPF_DW, 0, 0, 7), DONE}},
	{"write-only, read", FAIL(EACCES, "read from map forbidden, value_size=48 off=0 size=8"),
	 .insns = {LOOKUP(CASE_WRONLY), LDX(BPF_DW, 1, 0, 0), DONE}},
	{"fields are not for stores",
	 FAIL(EACCES, "bpf_spin_lock cannot be accessed directly by load/store"), .local = true,
	 .insns = {LOOKUP(CASE_FIELDS), ST(BPF_W, 0, 0, 7), DONE}},
	{"a timer is not, either",
	 FAIL(EACCES, "bpf_timer cannot be accessed directly by load/store"), .local = true,
	 .insns = {LOOKUP(CASE_FIELDS), LDX(BPF_B, 1, 0, 23), DONE}},
	{"what is beside them is", OK, .local = true,
	 .insns = {LOOKUP(CASE_FIELDS), ST(BPF_W, 0, 4, 7), ST(BPF_DW, 0, 24, 7), DONE}},
	{"an offset that may be one", FAIL(EACCES, "bpf_timer cannot be accessed directly"),
	 .local = true,
	 .insns = {LOOKUP(CASE_FIELDS), LDX(BPF_W, 1, 0, 4), ALU64_IMM(BPF_AND, 1, 8),
		   ALU64_REG(BPF_ADD, 0, 1), ST(BPF_B, 0, 8, 7), DONE}},

	/* constants */
	{"a frozen number", OK, .local = true,
	 .insns = {VALUE_AT(1, CASE_CONSTANT, 16), LDX(BPF_W, 1, 1, 0),
		   JMP_IMM(BPF_JEQ, 1, 0x01020304, 1), MOV_REG(0, 9), DONE}},
	{"a byte of it", OK, .local = true,
	 .insns = {VALUE_AT(1, CASE_CONSTANT, 16), LDX(BPF_B, 1, 1, 1), JMP_IMM(BPF_JEQ, 1, 3, 1),
		   MOV_REG(0, 9), DONE}},
	{"not at a variable place", FAIL(EACCES, "R9 !read_ok"), .local = true,
	 .insns = {RANDOM(), ALU64_IMM(BPF_AND, 0, 1), VALUE_AT(1, CASE_CONSTANT, 16),
		   ALU64_REG(BPF_ADD, 1, 0), LDX(BPF_B, 1, 1, 0), JMP_IMM(BPF_JEQ, 1, 4, 1),
		   MOV_REG(0, 9), DONE}},
	{"not when it can be changed", FAIL(EACCES, "R9 !read_ok"),
	 .insns = {VALUE_AT(1, CASE_RDONLY, 0), LDX(BPF_W, 1, 1, 0), JMP_IMM(BPF_JEQ, 1, 0, 1),
		   MOV_REG(0, 9), DONE}},

	/* maps of maps */
	{"inner value", OK, .local = true,
	 .insns = {LOOKUP(CASE_OUTER), MOV_REG(1, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8),
		   CALL(BPF_FUNC_map_lookup_elem), JMP_IMM(BPF_JEQ, 0, 0, 1), LDX(BPF_DW, 1, 0, 40),
		   DONE}},
	{"behind an inner value", FAIL(EACCES, "invalid access to map value, value_size=48 off=48"),
	 .local = true,
	 .insns = {LOOKUP(CASE_OUTER), MOV_REG(1, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8),
		   CALL(BPF_FUNC_map_lookup_elem), JMP_IMM(BPF_JEQ, 0, 0, 1), LDX(BPF_DW, 1, 0, 48),
		   DONE}},
	{"an inner map is no memory", FAIL(EACCES, "R0 invalid mem access 'map_ptr'"),
	 .local = true, .insns = {LOOKUP(CASE_OUTER), LDX(BPF_DW, 1, 0, 0), DONE}},

	/* the context */
	{"a register", OK, .insns = {LDX(BPF_DW, 0, 1, 112), EXIT()}},
	{"the last one", OK, .insns = {LDX(BPF_DW, 0, 1, 160), EXIT()}},
	{"behind the last",
	 FAIL(EACCES, "invalid bpf_context access off=" STR(ARCH_REGS_SIZE) " size=8"),
	 .insns = {LDX(BPF_DW, 0, 1, ARCH_REGS_SIZE), EXIT()}},
	{"misaligned", FAIL(EACCES, "invalid bpf_context access off=4 size=8"),
	 .insns = {LDX(BPF_DW, 0, 1, 4), EXIT()}},
	{"moved", FAIL(EACCES, "dereference of modified ctx ptr R1 off=8 disallowed"),
	 .insns = {ALU64_IMM(BPF_ADD, 1, 8), LDX(BPF_DW, 0, 1, 0), EXIT()}},
	{"at a variable place", FAIL(EACCES, "variable ctx access var_off=(0x0; 0x8) disallowed"),
	 .insns = {LDX(BPF_DW, 2, 1, 0), ALU64_IMM(BPF_AND, 2, 8), ALU64_REG(BPF_ADD, 1, 2),
		   LDX(BPF_DW, 0, 1, 0), EXIT()}},
	{"an atomic", FAIL(EACCES, "BPF_ATOMIC stores into R1 ctx is not allowed"),
	 .insns = {MOV_IMM(2, 0), INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 0, BPF_ADD), DONE}},
	{"context on one way, stack on the other",
	 FAIL(EINVAL, "same insn cannot be used with different pointers"),
	 .insns = {ST(BPF_DW, 10, -8, 0), MOV_REG(6, 1), RANDOM(), JMP_IMM(BPF_JEQ, 0, 0, 2),
		   MOV_REG(6, 10), ALU64_IMM(BPF_ADD, 6, -8), LDX(BPF_DW, 0, 6, 0), EXIT()}},

	/* no pointers */
	{"a number", FAIL(EACCES, "R1 invalid mem access 'scalar'"),
	 .insns = {MOV_IMM(1, 64), LDX(BPF_DW, 0, 1, 0), EXIT()}},
	{"a map", FAIL(EACCES, "R1 invalid mem access 'map_ptr'"), .local = true,
	 .insns = {MAP(1, CASE_HASH), LDX(BPF_DW, 0, 1, 0), EXIT()}},
	{"a function", FAIL(EACCES, "R1 invalid mem access 'func'"),
	 .insns = {FUNC(1, 3), LDX(BPF_DW, 0, 1, 0), EXIT(), MOV_IMM(0, 0), EXIT()}},

	/* packets */
	{"a packet behind its test", OK, PKT,
	 .insns = {PACKET, MOV_REG(4, 2), ALU64_IMM(BPF_ADD, 4, 14), JMP_REG(BPF_JGT, 4, 3, 1),
		   LDX(BPF_B, 0, 2, 13), DONE}},
	{"more than was tested", FAIL(EACCES, "invalid access to packet, off=14 size=1, R2"), PKT,
	 .insns = {PACKET, MOV_REG(4, 2), ALU64_IMM(BPF_ADD, 4, 14), JMP_REG(BPF_JGT, 4, 3, 1),
		   LDX(BPF_B, 0, 2, 14), DONE}},
	{"not tested", FAIL(EACCES, "R2 offset is outside of the packet"), PKT,
	 .insns = {PACKET, LDX(BPF_B, 0, 2, 0), DONE}},
	{"its end is no memory", FAIL(EACCES, "R3 invalid mem access 'pkt_end'"), PKT,
	 .insns = {PACKET, LDX(BPF_B, 0, 3, 0), DONE}},
};

Test(verify_mem, cases)
{
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		case_check(&cases[i]);
}
