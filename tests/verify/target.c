/* SPDX-License-Identifier: BSD-2-Clause */
/* Typed programs: what is known of the arguments, what may be read through them, what is refused.
 */
#include "tests/verify/verify.h"

/* the kernel's fentry and fexit are for its own functions; their rules and words are these */
#define OURS POLICY("the kernel has no such function")
#define ENTRY (TYPE(TRACING), .attach = BPF_TRACE_FENTRY, OURS)
#define EXIT_OF(...) (TYPE(TRACING), .attach = BPF_TRACE_FEXIT, OURS, ##__VA_ARGS__)
#define AT_EXIT (TYPE(TRACING), .attach = BPF_TRACE_FEXIT, OURS)

/* words of the context */
#define W_P 0
#define W_C 8
#define W_N 16
#define W_D 24
#define W_ONE 32
#define W_TWO 40
#define W_BIG 48
#define W_HIDDEN 56
#define W_Q 64
#define W_NONE 72
#define W_LAST 80
#define W_RET 88

#define NODE(d) LDX(BPF_DW, d, 1, W_P)

static const struct vcase cases[] = {
	/* the context */
	OKW("an argument that is a number", ENTRY, LDX(BPF_DW, 2, 1, W_C), RET(0)),
	OKW("a part of one", ENTRY, LDX(BPF_W, 2, 1, W_C), RET(0)),
	OKW("a float is its bits", ENTRY, LDX(BPF_DW, 2, 1, W_D), RET(0)),
	OKW("a structure is its words", ENTRY, LDX(BPF_DW, 2, 1, W_ONE), LDX(BPF_DW, 3, 1, W_TWO),
	    RET(0)),
	OKW("a structure in memory is its address", ENTRY, LDX(BPF_DW, 2, 1, W_BIG),
	    LDX(BPF_DW, 3, 2, 24), RET(0)),
	OKW("a pointer to what isn't known is a number", ENTRY, LDX(BPF_DW, 2, 1, W_HIDDEN),
	    ALU64_IMM(BPF_AND, 2, 7), RET(0)),
	OKW("what is returned, at an exit", AT_EXIT, LDX(BPF_DW, 2, 1, W_RET),
	    LDX(BPF_DW, 3, 1, W_RET + 8), RET(0)),
	OKW("arguments at an exit", AT_EXIT, NODE(2), LDX(BPF_W, 0, 2, 0), RET(0)),
	NOW("typed: what is returned, at an entry", ENTRY, EACCES,
	    "func 'target' doesn't have 12-th argument", LDX(BPF_DW, 2, 1, W_RET), RET(0)),
	NOW("typed: behind what is returned", AT_EXIT, EACCES,
	    "func 'target' doesn't have 14-th argument", LDX(BPF_DW, 2, 1, W_RET + 16), RET(0)),
	NOW("typed: what a void function returns", EXIT_OF(.target = T_TARGET_VOID), EACCES,
	    "func 'nothing' doesn't have 1-th argument", LDX(BPF_DW, 2, 1, 0), RET(0)),
	NOW("typed: the second half of an argument", ENTRY, EACCES,
	    "func 'target' offset 12 is not multiple of 8", LDX(BPF_W, 2, 1, W_C + 4), RET(0)),
	NOW("typed: half of a pointer", ENTRY, EACCES, "func 'target' size 4 must be 8",
	    LDX(BPF_W, 2, 1, W_P), RET(0)),
	NOW("typed: an argument that can't be found", ENTRY, EACCES,
	    "func 'target' arg8 has type STRUCT, of which can't be told where it is",
	    LDX(BPF_DW, 2, 1, W_NONE), RET(0)),
	NOW("typed: one behind it", ENTRY, EACCES,
	    "func 'target' arg9 has type INT, of which can't be told where it is",
	    LDX(BPF_DW, 2, 1, W_LAST), RET(0)),
	NOW("the context written", ENTRY, EACCES, "invalid bpf_context access off=0 size=8",
	    ST(BPF_DW, 1, 0, 0), RET(0)),
	NOW("the registers before the context", ENTRY, EACCES, "invalid bpf_context access off=-8",
	    LDX(BPF_DW, 2, 1, -8), RET(0)),
	NOW("behind the context", ENTRY, EACCES, "invalid bpf_context access off=128",
	    LDX(BPF_DW, 2, 1, 128), RET(0)),
	NOW("typed: nothing is probed",
	    (TYPE(TRACING), .attach = BPF_TRACE_FENTRY, OURS, .target = ~0u), EINVAL,
	    "Tracing programs must provide btf_id", RET(0)),
	NOW("typed: what is probed is no function",
	    (TYPE(TRACING), .attach = BPF_TRACE_FENTRY, OURS, .target = T_LAST), EINVAL,
	    "is not a function", RET(0)),
	NOW("another result than 0", ENTRY, EINVAL, "At program exit the register R0 has", RET(1)),
	OKW("any word, by a helper", AT_EXIT, MOV_IMM(2, 3), MOV_REG(3, 10),
	    ALU64_IMM(BPF_ADD, 3, -8), CALL(BPF_FUNC_get_func_arg), RET(0)),
	OKW("what is returned, by a helper", AT_EXIT, MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8),
	    CALL(BPF_FUNC_get_func_ret), RET(0)),
	OKW("how many words", ENTRY, CALL(BPF_FUNC_get_func_arg_cnt), RET(0)),
	NOW("a word to nowhere", ENTRY, EACCES, "R3 type=scalar expected=fp", MOV_IMM(2, 0),
	    MOV_IMM(3, 8), CALL(BPF_FUNC_get_func_arg), RET(0)),
	NOW("a word of a call, in another program", (OURS), EINVAL,
	    "program of this type cannot use helper bpf_get_func_arg_cnt#185",
	    CALL(BPF_FUNC_get_func_arg_cnt), RET(0)),
	/* members */
	OKW("a member", ENTRY, NODE(2), LDX(BPF_W, 3, 2, 0), RET(0)),
	OKW("with its sign", ENTRY, NODE(2), LDXS(BPF_H, 3, 2, 16), RET(0)),
	OKW("a part of a member", ENTRY, NODE(2), LDX(BPF_B, 3, 2, 1), RET(0)),
	OKW("a pointer, and on", ENTRY, NODE(2), LDX(BPF_DW, 2, 2, 8), LDX(BPF_DW, 2, 2, 8),
	    LDX(BPF_W, 3, 2, 0), RET(0)),
	OKW("into itself", ENTRY, NODE(1), LDX(BPF_DW, 1, 1, 8), LDX(BPF_W, 1, 1, 0), RET(0)),
	OKW("bit-fields, whole", ENTRY, NODE(2), LDX(BPF_W, 3, 2, 20), RET(0)),
	OKW("an element of an array", ENTRY, NODE(2), LDX(BPF_B, 3, 2, 31), RET(0)),
	OKW("several elements of numbers", ENTRY, NODE(2), LDX(BPF_DW, 3, 2, 24), RET(0)),
	OKW("a structure inside", ENTRY, NODE(2), LDX(BPF_DW, 3, 2, 40), LDX(BPF_W, 3, 3, 0),
	    RET(0)),
	OKW("a union's first member", ENTRY, NODE(2), LDX(BPF_DW, 3, 2, 48),
	    ALU64_IMM(BPF_AND, 3, 1), RET(0)),
	OKW("a pointer out of an array", ENTRY, NODE(2), LDX(BPF_DW, 3, 2, 64), LDX(BPF_W, 3, 3, 0),
	    RET(0)),
	OKW("a structure out of an array", ENTRY, NODE(2), LDX(BPF_DW, 3, 2, 96), RET(0)),
	OKW("an array without end", ENTRY, NODE(2), LDX(BPF_W, 3, 2, 4000), RET(0)),
	OKW("const is no obstacle", ENTRY, LDX(BPF_DW, 2, 1, W_Q), LDX(BPF_W, 3, 2, 0), RET(0)),
	OKW("a pointer that was moved", ENTRY, NODE(2), ALU64_IMM(BPF_ADD, 2, 16),
	    LDX(BPF_H, 3, 2, 0), RET(0)),
	OKW("a pointer from the stack", ENTRY, NODE(2), STX(BPF_DW, 10, 2, -8),
	    LDX(BPF_DW, 3, 10, -8), LDX(BPF_W, 3, 3, 0), RET(0)),
	OKW("a null test that isn't needed", ENTRY, NODE(2), JMP_IMM(BPF_JEQ, 2, 0, 1),
	    LDX(BPF_W, 3, 2, 0), RET(0)),
	OKW("after a null test that says it is", ENTRY, NODE(2), JMP_IMM(BPF_JNE, 2, 0, 1),
	    LDX(BPF_W, 3, 2, 0), RET(0)),
	OKW("bytes at a pointer to numbers", ENTRY, NODE(2), LDX(BPF_DW, 3, 2, 120),
	    LDX(BPF_B, 4, 3, 1000), LDX(BPF_DW, 4, 3, -8), RET(0)),
	OKW("and at a number behind it", ENTRY, NODE(2), LDX(BPF_DW, 3, 2, 120),
	    LDX(BPF_DW, 4, 1, W_C), ALU64_IMM(BPF_AND, 4, 255), ALU64_REG(BPF_ADD, 3, 4),
	    LDX(BPF_B, 4, 3, 0), RET(0)),
	NOW("a store at a pointer to numbers", ENTRY, EACCES,
	    "R3 cannot write into rdonly_untrusted_mem", NODE(2), LDX(BPF_DW, 3, 2, 120),
	    ST(BPF_B, 3, 0, 1), RET(0)),
	NOW("such a pointer as memory of a helper", ENTRY, EACCES,
	    "R2 type=rdonly_untrusted_mem expected=fp", NODE(2), LDX(BPF_DW, 2, 2, 120),
	    LDMAP(1, M_ARRAY), CALL(BPF_FUNC_map_lookup_elem), RET(0)),
	OKW("a null test of it", ENTRY, NODE(2), LDX(BPF_DW, 3, 2, 120), JMP_IMM(BPF_JEQ, 3, 0, 1),
	    LDX(BPF_B, 4, 3, 0), RET(0)),
	OKW("a walk along a list", ENTRY, MOV_IMM(6, 0), NODE(7), LDX(BPF_DW, 7, 7, 8),
	    ALU64_IMM(BPF_ADD, 6, 1), JMP_IMM(BPF_JLT, 6, 100, -3), RET(0)),
	OKW("in a function", (TYPE(TRACING), .attach = BPF_TRACE_FENTRY, OURS), NODE(1),
	    CALL_BPF(2), MOV_IMM(0, 0), EXIT(), LDX(BPF_W, 0, 1, 0), EXIT()),
	NOW("a store", ENTRY, EACCES, "only read is supported", NODE(2), ST(BPF_W, 2, 0, 1),
	    RET(0)),
	NOW("an atomic operation", ENTRY, EACCES, "only read is supported", NODE(2), MOV_IMM(3, 1),
	    INSN(BPF_STX | BPF_ATOMIC | BPF_W, 2, 3, 0, BPF_ADD), RET(0)),
	NOW("typed: before it", ENTRY, EACCES, "R2 is ptr_node invalid negative access: off=-8",
	    NODE(2), LDX(BPF_W, 3, 2, -8), RET(0)),
	NOW("typed: behind it, where there is no such array", ENTRY, EACCES,
	    "access beyond struct big at off 32 size 4", LDX(BPF_DW, 2, 1, W_BIG),
	    LDX(BPF_W, 3, 2, 32), RET(0)),
	NOW("typed: at a number", ENTRY, EACCES, "R2 is ptr_node invalid variable offset: off=0",
	    NODE(2), LDX(BPF_DW, 3, 1, W_C), ALU64_IMM(BPF_AND, 3, 7), ALU64_REG(BPF_ADD, 2, 3),
	    LDX(BPF_B, 3, 2, 0), RET(0)),
	NOW("typed: more than a member", ENTRY, EACCES,
	    "access beyond the end of member x (mend:4) in struct node with off 0 size 8", NODE(2),
	    LDX(BPF_DW, 3, 2, 0), RET(0)),
	NOW("typed: a part of a pointer", ENTRY, EACCES,
	    "cannot access ptr member next with moff 8 in struct node with off 8 size 4", NODE(2),
	    LDX(BPF_W, 3, 2, 8), RET(0)),
	NOW("typed: between members", ENTRY, EINVAL, "struct node doesn't have field at offset 4",
	    NODE(2), LDX(BPF_W, 3, 2, 4), RET(0)),
	NOW("typed: a part of bit-fields", ENTRY, EINVAL,
	    "struct node doesn't have field at offset 21", NODE(2), LDX(BPF_B, 3, 2, 21), RET(0)),
	NOW("typed: through a number of the target", ENTRY, EACCES,
	    "R3 invalid mem access 'scalar'", NODE(2), LDX(BPF_DW, 3, 2, 32), LDX(BPF_W, 3, 3, 0),
	    RET(0)),
	NOW("typed: through a pointer to numbers", ENTRY, EACCES, "R2 invalid mem access 'scalar'",
	    LDX(BPF_DW, 2, 1, W_N), LDX(BPF_W, 3, 2, 0), RET(0)),
	NOW("typed: through nothing", ENTRY, EACCES, "R2 invalid mem access 'scalar'",
	    MOV_IMM(2, 0), LDX(BPF_W, 3, 2, 0), RET(0)),
	NOW("a store through a number", ENTRY, EACCES, "R2 invalid mem access 'scalar'",
	    LDX(BPF_DW, 2, 1, W_N), ST(BPF_W, 2, 0, 1), RET(0)),
	NOW("typed: bits of a pointer", ENTRY, EACCES, "bitwise operator", NODE(2),
	    ALU64_IMM(BPF_AND, 2, -8), RET(0)),
	NOW("as memory of a helper", ENTRY, EACCES, "R2 type=ptr_ expected=fp", NODE(2),
	    LDMAP(1, M_ARRAY), CALL(BPF_FUNC_map_lookup_elem), RET(0)),
	NOW("as memory that a helper writes", ENTRY, EACCES, "R1 type=ptr_ expected=fp", NODE(1),
	    MOV_IMM(2, 4), MOV_REG(3, 1), CALL(BPF_FUNC_probe_read_user), RET(0)),
	NOW("typed: one instruction for a pointer and the stack", ENTRY, EINVAL,
	    "same insn cannot be used with different pointers", NODE(2), ST(BPF_DW, 10, -8, 0),
	    JMP_IMM(BPF_JEQ, 2, 0, 2), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8),
	    LDX(BPF_W, 3, 2, 0), RET(0)),
	NOW("a tail call", ENTRY, EINVAL, "program of this type cannot use helper bpf_tail_call#12",
	    LDMAP(2, M_PROGS), MOV_IMM(3, 0), CALL(BPF_FUNC_tail_call), RET(0)),
	NOW("the same in another program", (OURS), EACCES, "R2 invalid mem access 'scalar'",
	    LDX(BPF_DW, 2, 1, 0), LDX(BPF_W, 3, 2, 0), RET(0)),
};

/* Loads from anywhere are told to who makes the code; what is sure to be there is not of them. */
Test(verify, contained_loads)
{
	const struct vcase c =
		OKW("contained", ENTRY, NODE(2), ST(BPF_DW, 10, -8, 0), LDX(BPF_DW, 3, 10, -8),
		    LDX(BPF_DW, 3, 2, 8), LDX(BPF_W, 4, 3, 0), RET(0));
	const u8 want[] = {0, 0, 0, EBPF_FACT_PROBES, EBPF_FACT_PROBES, 0, 0};
	struct ebpf_log silent = {0};
	struct ebpf_facts facts = {0};

	cr_assert_eq(verify_case(&c, &silent, &facts), 0);
	for (u32 i = 0; i < c.n; i++)
		cr_expect_eq(facts.insn[i] & EBPF_FACT_PROBES, want[i], "instruction %u", i);
	cr_expect_eq(facts.ctx_read, 1);
	ebpf_facts_free(&facts);
}

Test(verify, target)
{
	verify_theme("target", cases, ARRAY_SIZE(cases));
}

Test(verify_states, target)
{
	verify_theme_states("target", cases, ARRAY_SIZE(cases));
}

Test(verify_checker, target)
{
	verify_theme_checker("target", cases, ARRAY_SIZE(cases));
}
