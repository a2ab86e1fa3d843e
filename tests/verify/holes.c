/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holes that verifiers have had, each as a small program: what was once let through is refused, or
 * does no harm.
 *
 * Model: a refused program would, under the old mistake, go beyond a value of 16 bytes (OUTSIDE:
 * r7 is 0 as the mistaken verifier believed, and 1 or more in truth), or use what it may not. A
 * harmless one is accepted because what it does is defined; both engines run it, and the result
 * must be what the instruction set says.
 */
#include "tests/verify/verify.h"

#include "core/load/verify_proto.h"
#include "core/run/map/map.h"

/* r0 = value, r6 = its first 8 bytes: anything */
#define START LOOKUP4(M_ARRAY), NONNULL, LDX(BPF_DW, 6, 0, 0)
#define OUTSIDE(r) ALU64_IMM(BPF_MUL, r, 64), ALU64_REG(BPF_ADD, 0, r), ST(BPF_DW, 0, 0, 1), RET(0)
#define SUM "math between map_value pointer and register with unbounded min value is not allowed"
#define BIG "R0 max value is outside of the allowed memory range"

static const struct vcase cases[] = {
	/* --- ranges of numbers ---------------------------------------------------------------- */
	NO("2017-16995: a 32-bit move was taken to extend the sign", EACCES, "R9 !read_ok",
	   MOV32_IMM(6, -1), JMP_IMM(BPF_JNE, 6, -1, 2), RET(0), MOV_REG(0, 9), EXIT()),
	NO("2017-17852: 32-bit results were not cut", EACCES, "R0 min value is outside", START,
	   MOV32_IMM(7, -1), ALU32_IMM(BPF_ADD, 7, 1), ALU64_IMM(BPF_RSH, 7, 32),
	   ALU64_IMM(BPF_SUB, 7, 1), OUTSIDE(7)),
	NO("2017-17853: a right shift kept signed bounds", EACCES, "", START, MOV_IMM(7, -8),
	   ALU64_IMM(BPF_RSH, 7, 63), OUTSIDE(7)),
	NO("2017-17854: sums of offsets overflowed", EINVAL, "is not allowed", START,
	   ALU64_IMM(BPF_ADD, 0, 0x1fffffff), ALU64_IMM(BPF_ADD, 0, 0x1fffffff),
	   ALU64_IMM(BPF_ADD, 0, 0x1fffffff), ST(BPF_DW, 0, 0, 1), RET(0)),
	NO("2017-17856: alignment of the stack was not enforced", EACCES,
	   "misaligned stack access off", LDX(BPF_DW, 6, 1, 0), ALU64_IMM(BPF_AND, 6, 1),
	   ALU64_IMM(BPF_ADD, 6, -16), ALU64_REG(BPF_ADD, 6, 10), STX(BPF_DW, 6, 1, 0), RET(0)),
	NO("2017-17857: a variable offset into the stack was not bounded", EACCES,
	   "invalid variable-offset write to stack R6", LDX(BPF_DW, 6, 1, 0),
	   ALU64_IMM(BPF_AND, 6, 1016), ALU64_IMM(BPF_ADD, 6, -1024), ALU64_REG(BPF_ADD, 6, 10),
	   ST(BPF_DW, 6, 0, 1), RET(0)),
	NO("2018-18445: a 32-bit right shift was followed in 64 bits", EACCES,
	   "R0 min value is outside", START, MOV_IMM(7, 2), ALU64_IMM(BPF_LSH, 7, 31),
	   ALU32_IMM(BPF_RSH, 7, 31), ALU64_IMM(BPF_SUB, 7, 2), OUTSIDE(7)),
	NO("2020-8835: a 32-bit comparison bounded the other half", EACCES, BIG, START,
	   LDDW(8, 0x100000001), JMP_REG(BPF_JGT, 6, 8, 10), JMP_IMM(BPF_JLT, 6, 1, 9),
	   JMP32_IMM(BPF_JEQ, 6, 5, 8), MOV_REG(7, 6), ALU64_IMM(BPF_AND, 7, 2),
	   ALU64_IMM(BPF_RSH, 7, 1), OUTSIDE(7), RET(0)),
	NO("2020-27194: 32-bit bounds of an or came from 64-bit ones", EACCES, BIG, START,
	   LDDW(8, 0x600000001), JMP_REG(BPF_JGT, 6, 8, 9), JMP_IMM(BPF_JLT, 6, 1, 8),
	   ALU64_IMM(BPF_OR, 6, 0), MOV32_REG(7, 6), ALU64_IMM(BPF_RSH, 7, 31), OUTSIDE(7), RET(0)),
	NO("2021-3490: 32-bit bounds of an and were left open", EACCES, BIG, START,
	   LDDW(8, 0xfffffffffffffffe), ALU64_REG(BPF_AND, 6, 8), LDDW(8, 0x100000003),
	   ALU64_REG(BPF_AND, 6, 8), MOV32_REG(7, 6), ALU64_IMM(BPF_RSH, 7, 1), OUTSIDE(7)),
	NO("2021-31440: a 64-bit lower bound was taken for the lower half", EACCES, BIG, START,
	   JMP_IMM(BPF_JSLT, 6, 1, 7), JMP32_IMM(BPF_JGT, 6, 1, 6), MOV32_REG(8, 6), MOV_IMM(7, 1),
	   ALU64_REG(BPF_SUB, 7, 8), OUTSIDE(7)),
	NO("2021-45402: a 32-bit move kept signed bounds", EACCES, "R0", START,
	   JMP32_IMM(BPF_JSGT, 6, 0, 5), MOV32_REG(7, 6), ALU64_REG(BPF_ADD, 0, 7),
	   ST(BPF_B, 0, 0, 1), RET(0), RET(0)),
	NO("a word stored as an immediate was taken as negative", EACCES, "R9 !read_ok",
	   ST(BPF_W, 10, -8, -44), LDX(BPF_W, 6, 10, -8), JMP_IMM(BPF_JSLT, 6, 0, 1), MOV_REG(0, 9),
	   RET(0)),
	NO("2024-41003: a register compared with itself", EACCES, "R9 !read_ok", START,
	   JMP_REG(BPF_JLE, 6, 6, 2), RET(0), MOV_REG(0, 9), EXIT()),
	NO("32-bit equality spoke for 64 bits", EINVAL, "makes map_value pointer be out of bounds",
	   START, JMP32_IMM(BPF_JNE, 6, 5, 4), ALU64_REG(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1), RET(0),
	   RET(0)),
	NO("2024-53125: a linked copy learned what 32 bits said", EINVAL, SUM, START, MOV_REG(7, 6),
	   JMP32_IMM(BPF_JGT, 7, 7, 4), ALU64_REG(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1), RET(0),
	   RET(0)),
	NO("a narrow fill kept the number of a wide spill", EINVAL, SUM, START,
	   STX(BPF_DW, 10, 6, -16), LDX(BPF_W, 7, 10, -16), JMP_IMM(BPF_JGT, 7, 7, 4),
	   ALU64_REG(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1), RET(0), RET(0)),

	/* --- kinds of pointers ---------------------------------------------------------------- */
	NO("2022-23222: arithmetic before the null check", EACCES,
	   "R6 pointer arithmetic on map_value_or_null prohibited, null-check it first",
	   LOOKUP4(M_LRU), MOV_REG(6, 0), ALU64_IMM(BPF_ADD, 6, 1), JMP_IMM(BPF_JNE, 0, 0, 2),
	   ALU64_IMM(BPF_MUL, 6, 64), JA(0), RET(0)),
	NO("the same on a sample", EACCES,
	   "R0 pointer arithmetic on ringbuf_mem_or_null prohibited, null-check it first",
	   LDMAP(1, M_RING), MOV_IMM(2, 8), MOV_IMM(3, 0), CALL(BPF_FUNC_ringbuf_reserve),
	   ALU64_IMM(BPF_ADD, 0, 8), RET(0)),
	NO("2021-4204: a sample was released from its middle", EINVAL,
	   "R1 must have zero offset when passed to release func", LDMAP(1, M_RING), MOV_IMM(2, 16),
	   MOV_IMM(3, 0), CALL(BPF_FUNC_ringbuf_reserve), NONNULL, ALU64_IMM(BPF_ADD, 0, 8),
	   MOV_REG(1, 0), MOV_IMM(2, 0), CALL(BPF_FUNC_ringbuf_submit), RET(0)),
	NO("2021-34866: a map of another type", EINVAL,
	   "cannot pass map_type 1 into func bpf_ringbuf_output#130", ST(BPF_DW, 10, -8, 0),
	   LDMAP(1, M_HASH), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8), MOV_IMM(3, 8),
	   MOV_IMM(4, 0), CALL(BPF_FUNC_ringbuf_output), RET(0)),
	NO("2022-0500: memory to read was written", EACCES, "R0 cannot write into rdonly_mem",
	   MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8), MOV_IMM(2, 0), MOV_IMM(3, 9),
	   KFUNC(EKFUNC_ITER_NUM_NEW), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8),
	   KFUNC(EKFUNC_ITER_NUM_NEXT), JMP_IMM(BPF_JEQ, 0, 0, 1), ST(BPF_W, 0, 0, 1),
	   MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8), KFUNC(EKFUNC_ITER_NUM_DESTROY), RET(0)),
	NO("2024-49861: a helper's result went to constants", EACCES, "write into map forbidden",
	   ST(BPF_DW, 10, -8, 0x31), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8), MOV_IMM(2, 8),
	   MOV_IMM(3, 10), LDVALUE(4, M_RODATA, 0), CALL(BPF_FUNC_strtol), RET(0)),
	NO("constants were believed before the map was frozen", EACCES, "R9 !read_ok",
	   LDVALUE(1, M_RDONLY, 0), LDX(BPF_W, 2, 1, 0), JMP_IMM(BPF_JEQ, 2, 0, 1), MOV_REG(0, 9),
	   RET(0)),
	NO("two kinds of pointer met at one instruction", EINVAL,
	   "same insn cannot be used with different pointers", MOV_REG(6, 1), ST(BPF_DW, 10, -8, 0),
	   CALL(BPF_FUNC_get_prandom_u32), MOV_REG(7, 10), ALU64_IMM(BPF_ADD, 7, -8),
	   JMP_IMM(BPF_JEQ, 0, 1, 1), MOV_REG(7, 6), LDX(BPF_DW, 0, 7, 0), RET(0)),

	/* --- stack, dynptrs --------------------------------------------------------------------
	 */
	NO("2023-39191: a variable write over a dynptr", EINVAL, "", RANDOM(7), LOOKUP4(M_ARRAY),
	   NONNULL, MOV_REG(1, 0), MOV_IMM(2, 16), MOV_IMM(3, 0), MOV_REG(4, 10),
	   ALU64_IMM(BPF_ADD, 4, -16), CALL(BPF_FUNC_dynptr_from_mem), ALU64_IMM(BPF_AND, 7, 8),
	   ALU64_IMM(BPF_ADD, 7, -16), ALU64_REG(BPF_ADD, 7, 10), ST(BPF_DW, 7, 0, 1),
	   MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 0), MOV_IMM(3, 8),
	   CALL(BPF_FUNC_dynptr_data), RET(0)),
	NOW("2024-43910: a dynptr argument at an offset", (MAIN_AND({9, T_STATIC})), EACCES,
	    "dereference of modified dynptr_ptr ptr R3 off=8 disallowed", LDMAP(1, M_USERING),
	    LDFUNC(2, 6), MOV_IMM(3, 0), MOV_IMM(4, 0), CALL(BPF_FUNC_user_ringbuf_drain), RET(0),
	    MOV_REG(3, 1), ALU64_IMM(BPF_ADD, 3, 8), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8),
	    MOV_IMM(2, 8), MOV_IMM(4, 0), MOV_IMM(5, 0), CALL(BPF_FUNC_dynptr_read), RET(0)),
	NO("2023-52676: offset and size wrapped round 32 bits", EACCES,
	   "invalid indirect access to stack R1", MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, 0x1ffffff8),
	   MOV_IMM(2, 0x1ffffff8), MOV_IMM(3, 0), CALL(BPF_FUNC_probe_read_user), RET(0)),
	NO("2024-50164: a buffer of varying size left a spilled pointer", EACCES,
	   "R6 invalid mem access 'scalar'", STX(BPF_DW, 10, 1, -8), LDX(BPF_DW, 2, 1, 0),
	   ALU64_IMM(BPF_AND, 2, 7), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8), MOV_IMM(3, 0),
	   CALL(BPF_FUNC_probe_read_user), LDX(BPF_DW, 6, 10, -8), LDX(BPF_DW, 0, 6, 0), EXIT()),
	NO("half a pointer was filled as a whole", EACCES, "invalid size of register fill",
	   STX(BPF_DW, 10, 1, -8), LDX(BPF_W, 6, 10, -8), RET(0)),

	/* --- paths that were taken for explored ------------------------------------------------
	 */
	NO("2023-2163: what a comparison depends on was forgotten", EACCES,
	   "invalid access to map value, value_size=16 off=1024 size=1", RANDOM(6),
	   ALU64_IMM(BPF_AND, 6, 1), LOOKUP4(M_ARRAY), NONNULL, LDX(BPF_DW, 8, 0, 0), MOV_IMM(9, 0),
	   JMP_IMM(BPF_JEQ, 8, 7, 1), MOV_IMM(9, 1024), JMP_REG(BPF_JLE, 6, 9, 1), MOV_REG(6, 9),
	   JMP_IMM(BPF_JEQ, 8, 9, 1), MOV_REG(6, 9), ALU64_REG(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1),
	   RET(0)),
	NO("2023-52920: a spill through another register was forgotten", EACCES,
	   "invalid access to map value", LOOKUP4(M_ARRAY), NONNULL, LDX(BPF_DW, 8, 0, 0),
	   MOV_REG(7, 10), ALU64_IMM(BPF_ADD, 7, -16), MOV_IMM(9, 1), JMP_IMM(BPF_JEQ, 8, 7, 1),
	   MOV_IMM(9, 1024), STX(BPF_DW, 7, 9, 0), JMP_IMM(BPF_JEQ, 8, 9, 0),
	   LDX(BPF_DW, 6, 10, -16), ALU64_REG(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1), RET(0)),
	NO("a spilled number was compared by kind alone", EACCES, "invalid access to map value",
	   LOOKUP4(M_ARRAY), NONNULL, LDX(BPF_DW, 8, 0, 0), ST(BPF_DW, 10, -16, 1),
	   JMP_IMM(BPF_JEQ, 8, 7, 1), ST(BPF_DW, 10, -16, 1024), JMP_IMM(BPF_JEQ, 8, 9, 0),
	   LDX(BPF_DW, 6, 10, -16), ALU64_REG(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1), RET(0)),
	NO("equal numbers on one path, other ones on the other", EINVAL, SUM, RANDOM(9), START,
	   LDX(BPF_DW, 7, 0, 8), JMP_IMM(BPF_JEQ, 9, 0, 1), MOV_REG(7, 6),
	   JMP_IMM(BPF_JGT, 7, 15, 4), ALU64_REG(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1), RET(0),
	   RET(0)),
	NOW("a callback was walked through once", (MAIN_AND({10, T_STATIC})), EACCES, "",
	    ST(BPF_DW, 10, -8, 0), MOV_IMM(1, 100), LDFUNC(2, 7), MOV_REG(3, 10),
	    ALU64_IMM(BPF_ADD, 3, -8), MOV_IMM(4, 0), CALL(BPF_FUNC_loop), RET(0), MOV_REG(6, 2),
	    LOOKUP4(M_ARRAY), NONNULL, LDX(BPF_DW, 1, 6, 0), ALU64_REG(BPF_ADD, 0, 1),
	    ST(BPF_B, 0, 0, 1), ALU64_IMM(BPF_ADD, 1, 1), STX(BPF_DW, 6, 1, 0), RET(0)),
	NO("a value was released on one of two paths", EINVAL,
	   "Unreleased reference id=", RANDOM(6), LDMAP(1, M_RING), MOV_IMM(2, 8), MOV_IMM(3, 0),
	   CALL(BPF_FUNC_ringbuf_reserve), NONNULL, JMP_IMM(BPF_JEQ, 6, 3, 3), MOV_REG(1, 0),
	   MOV_IMM(2, 0), CALL(BPF_FUNC_ringbuf_submit), RET(0)),
	NO("a loop without end that nothing was live in", EINVAL, "infinite loop detected at insn",
	   RANDOM(6), JMP_IMM(BPF_JNE, 6, 3, -1), RET(0)),
};

VERIFY_THEME(holes)

/* --- accepted, and what it must be at run time -------------------------------------------------
 */

#define N(...) VINSNS(__VA_ARGS__)

static const struct harmless {
	struct vcase c;
	u64 result;
} harmless[] = {
	{{.name = "2021-3444: the remainder by 0 of 32 bits is the number, cut",
	  N(LDDW(0, 0x700000009), LDDW(1, 0x500000000), ALU32_REG(BPF_MOD, 0, 1), EXIT())},
	 9},
	{{.name = "2021-3600: the divisor is cut before it is compared with 0",
	  N(LDDW(0, 0x700000009), LDDW(1, 0x500000000), ALU32_REG(BPF_DIV, 0, 1), EXIT())},
	 0},
	{{.name = "64-bit division by 0",
	  N(MOV_IMM(0, 9), MOV_IMM(1, 0), ALU64_REG(BPF_DIV, 0, 1), EXIT())},
	 0},
	{{.name = "64-bit remainder by 0",
	  N(MOV_IMM(0, 9), MOV_IMM(1, 0), ALU64_REG(BPF_MOD, 0, 1), EXIT())},
	 9},
	{{.name = "the smallest number divided by -1",
	  N(LDDW(0, 0x8000000000000000), MOV_IMM(1, -1), SDIV_REG(0, 1), EXIT())},
	 0x8000000000000000},
	{{.name = "its remainder",
	  N(LDDW(0, 0x8000000000000000), MOV_IMM(1, -1), SMOD_REG(0, 1), EXIT())},
	 0},
	{{.name = "a shift by a register that says 64",
	  N(MOV_IMM(0, 5), MOV_IMM(1, 64), ALU64_REG(BPF_LSH, 0, 1), EXIT())},
	 5},
	{{.name = "a 32-bit result has no upper half",
	  N(LDDW(0, 0xffffffffffffffff), ALU32_IMM(BPF_ADD, 0, 1), EXIT())},
	 0},
	{{.name = "2017-16995 at run time", N(MOV32_IMM(0, -1), EXIT())}, 0xffffffff},
	{{.name = "2024-53125 at run time: a 32-bit copy that is compared",
	  N(LDDW(1, 0x500000003), MOV32_REG(0, 1), JMP_IMM(BPF_JGT, 0, 7, 1), MOV_REG(2, 0),
	    EXIT())},
	 3},
	{{.name = "slots that were never written are 0", N(LDX(BPF_DW, 0, 10, -64), EXIT())}, 0},
	{{.name = "2023-52452: a variable access counts for the depth of the stack",
	  N(LDX(BPF_B, 6, 1, 0), ALU64_IMM(BPF_AND, 6, 0xf8), ALU64_IMM(BPF_ADD, 6, -256),
	    ALU64_REG(BPF_ADD, 6, 10), ST(BPF_DW, 6, 0, 5), LDX(BPF_DW, 0, 6, 0), RET(7))},
	 7},
};

static u64 run(const struct vcase *c, bool jit)
{
	static u64 ctx[32];

	return engine_r0(c->insns, c->n, jit, ctx);
}

Test(verify, harmless)
{
	char text[4096];

	for (u32 i = 0; i < ARRAY_SIZE(harmless); i++) {
		const struct harmless *h = &harmless[i];
		struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};
		struct ebpf_facts facts = {0};
		int r = verify_case(&h->c, &log, &facts);

		cr_assert_eq(r, 0, "%s: %d %s", h->c.name, r, text);
		ebpf_facts_free(&facts);
		for (u32 jit = 0; jit < 2; jit++)
			cr_expect_eq(run(&h->c, jit), h->result, "%s: %llx (%s)", h->c.name,
				     (unsigned long long)run(&h->c, jit),
				     jit ? "jit" : "interpreter");
	}
}

/* 2023-52452: the depth that is handed on covers the deepest place a variable offset may reach. */
Test(verify, depth_of_variable_access)
{
	const struct vcase *c = &harmless[ARRAY_SIZE(harmless) - 1].c;
	struct ebpf_log log = {0};
	struct ebpf_facts facts = {0};

	cr_assert_eq(verify_case(c, &log, &facts), 0);
	cr_expect_geq(facts.stack_depth, 256);
	ebpf_facts_free(&facts);
}

/* 2024-26883, 2024-26885: sizes of maps that overflow when they are rounded up. */
Test(verify, sizes_of_maps)
{
	static const u32 kinds[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_ARRAY,
				    BPF_MAP_TYPE_STACK_TRACE};

	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct ebpf_map_meta m = {.type = kinds[i],
					  .key_size = 4,
					  .value_size = 8,
					  .max_entries = 0x80000001u,
					  .nr_cpus = 4};

		if (ebpf_map_check(&m) == 0)
			cr_expect_gt(ebpf_map_shm_size(&m), 0x80000001ull * 8, "kind %u", kinds[i]);
	}
}
