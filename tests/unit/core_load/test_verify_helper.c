/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of helpers under the explorer: which may be called, what each kind of argument must be,
 * what is known of the result. Each case is also given to the running kernel, where there is one
 * and it has such a map.
 */
#include "core/load/verify_proto.h"
#include "tests/unit/core_load/verify_case.h"

#define OK .err = 0
#define FAIL(e, w) .err = -(e), .words = (w)
#define OURS .local = true
#define DONE MOV_IMM(0, 0), EXIT()
#define STACK(reg, off) MOV_REG(reg, 10), ALU64_IMM(BPF_ADD, reg, off)
#define KEY ST(BPF_DW, 10, -8, 0), STACK(2, -8)
#define KFUNC(id) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, id)

static const struct verify_case cases[] = {
	/* which */
	{"no such helper", FAIL(EINVAL, "invalid func unknown#4711"),
	 .insns = {CALL(4711), EXIT()}},
	{"not for this type",
	 FAIL(EINVAL, "program of this type cannot use helper bpf_redirect#23"),
	 .insns = {CALL(BPF_FUNC_redirect), EXIT()}},
	{"may sleep", FAIL(EINVAL, "helper call might sleep in a non-sleepable prog"),
	 .insns = {STACK(1, -8), MOV_IMM(2, 8), MOV_IMM(3, 0), CALL(BPF_FUNC_copy_from_user),
		   DONE}},
	{"too few arguments", FAIL(EACCES, "R2 !read_ok"),
	 .insns = {MAP(1, CASE_HASH), CALL(BPF_FUNC_map_lookup_elem), DONE}},

	/* maps, keys, values */
	{"update", OK,
	 .insns = {KEY, STACK(3, -56), MAP(1, CASE_HASH), MOV_IMM(4, 0),
		   CALL(BPF_FUNC_map_update_elem), DONE}},
	{"a number for a map", FAIL(EACCES, "R1 type=scalar expected=map_ptr"),
	 .insns = {MOV_IMM(1, 1), KEY, CALL(BPF_FUNC_map_lookup_elem), DONE}},
	{"a map for a key",
	 FAIL(EACCES, "R2 type=map_ptr expected=fp, pkt, pkt_meta, map_key, map_"),
	 .insns = {MAP(1, CASE_HASH), MAP(2, CASE_HASH), CALL(BPF_FUNC_map_lookup_elem), DONE}},
	{"a key above the stack", FAIL(EINVAL, "stack R2 off=-4 size=8"), .drift = true,
	 .insns = {STACK(2, -4), MAP(1, CASE_HASH), CALL(BPF_FUNC_map_lookup_elem), DONE}},
	{"a value that is too short", FAIL(EINVAL, "stack R3 off=-40 size=48"), .drift = true,
	 .insns = {KEY, STACK(3, -40), MAP(1, CASE_HASH), MOV_IMM(4, 0),
		   CALL(BPF_FUNC_map_update_elem), DONE}},
	{"update of a read-only map", FAIL(EACCES, "write into map forbidden"),
	 .insns = {KEY, STACK(3, -56), MAP(1, CASE_RDONLY), MOV_IMM(4, 0),
		   CALL(BPF_FUNC_map_update_elem), DONE}},
	{"lookup in a ring buffer", FAIL(EACCES, "invalid zero-sized read"),
	 .insns = {KEY, MAP(1, CASE_RINGBUF), CALL(BPF_FUNC_map_lookup_elem), DONE}},
	{"lookup in a program array",
	 FAIL(EINVAL, "cannot pass map_type 3 into func bpf_map_lookup_elem#1"),
	 .insns = {KEY, MAP(1, CASE_PROGS), CALL(BPF_FUNC_map_lookup_elem), DONE}},
	{"a sample from a hash",
	 FAIL(EINVAL, "cannot pass map_type 1 into func bpf_ringbuf_reserve#"),
	 .insns = {MAP(1, CASE_HASH), MOV_IMM(2, 8), MOV_IMM(3, 0), CALL(BPF_FUNC_ringbuf_reserve),
		   DONE}},
	{"push and pop", OK,
	 .insns = {KEY, MAP(1, CASE_QUEUE), MOV_IMM(3, 0), CALL(BPF_FUNC_map_push_elem),
		   MAP(1, CASE_QUEUE), STACK(2, -16), CALL(BPF_FUNC_map_pop_elem), DONE}},
	{"a bloom filter is asked", OK,
	 .insns = {KEY, MAP(1, CASE_BLOOM), CALL(BPF_FUNC_map_peek_elem), DONE}},
	{"a stack trace", OK,
	 .insns = {MAP(2, CASE_STACKS), MOV_IMM(3, 256), CALL(BPF_FUNC_get_stackid), DONE}},
	{"a stack trace of no context", FAIL(EACCES, "R1 type=fp expected=ctx"),
	 .insns = {MOV_REG(1, 10), MAP(2, CASE_STACKS), MOV_IMM(3, 256), CALL(BPF_FUNC_get_stackid),
		   DONE}},
	{"a moved context", FAIL(EACCES, "dereference of modified ctx ptr R1 off=8 disallowed"),
	 .insns = {ALU64_IMM(BPF_ADD, 1, 8), MAP(2, CASE_STACKS), MOV_IMM(3, 256),
		   CALL(BPF_FUNC_get_stackid), DONE}},

	/* memory and lengths */
	{"length and memory", OK,
	 .insns = {STACK(1, -16), MOV_IMM(2, 16), MOV_IMM(3, 0), CALL(BPF_FUNC_probe_read_user),
		   DONE}},
	{"length beyond memory", FAIL(EINVAL, "stack R1 off=-16 size=17"), .drift = true,
	 .insns = {STACK(1, -16), MOV_IMM(2, 17), MOV_IMM(3, 0), CALL(BPF_FUNC_probe_read_user),
		   DONE}},
	{"no length", OK,
	 .insns = {STACK(1, -16), MOV_IMM(2, 0), MOV_IMM(3, 0), CALL(BPF_FUNC_probe_read_user),
		   DONE}},
	{"no length where there must be one", FAIL(EACCES, "R2 invalid zero-sized read: u64=[0,0]"),
	 .insns = {STACK(1, -16), MOV_IMM(2, 0), CALL(BPF_FUNC_get_current_comm), DONE}},
	{"masked length", OK,
	 .insns = {RANDOM(), MOV_REG(2, 0), ALU64_IMM(BPF_AND, 2, 15), STACK(1, -16), MOV_IMM(3, 0),
		   CALL(BPF_FUNC_probe_read_user), DONE}},
	{"masked length, too long", FAIL(EINVAL, "stack R1 off=-16 size=31"), .drift = true,
	 .insns = {RANDOM(), MOV_REG(2, 0), ALU64_IMM(BPF_AND, 2, 31), STACK(1, -16), MOV_IMM(3, 0),
		   CALL(BPF_FUNC_probe_read_user), DONE}},
	{"any length", FAIL(EACCES, "R2 unbounded memory access, use 'var &= const' or 'if (var <"),
	 .insns = {RANDOM(), ALU32_REG(BPF_MOV, 2, 0), STACK(1, -16), MOV_IMM(3, 0),
		   CALL(BPF_FUNC_probe_read_user), DONE}},
	{"negative length",
	 FAIL(EACCES, "R2 min value is negative, either use unsigned or 'var &="),
	 .insns = {MOV_IMM(2, -1), STACK(1, -16), MOV_IMM(3, 0), CALL(BPF_FUNC_probe_read_user),
		   DONE}},
	{"the context as memory", FAIL(EACCES, "R1 type=ctx expected=fp, pkt, pkt_meta, map_key"),
	 .insns = {MOV_IMM(2, 8), MOV_IMM(3, 0), CALL(BPF_FUNC_probe_read_user), DONE}},
	{"a number as memory", FAIL(EACCES, "R1 type=scalar expected=fp, pkt, pkt_meta, map_key"),
	 .insns = {MOV_IMM(1, 0), MOV_IMM(2, 8), MOV_IMM(3, 0), CALL(BPF_FUNC_probe_read_user),
		   DONE}},
	{"a map value as memory", OK,
	 .insns = {VALUE_AT(1, CASE_ARRAY, 40), MOV_IMM(2, 8), MOV_IMM(3, 0),
		   CALL(BPF_FUNC_probe_read_user), DONE}},
	{"a number's place", OK,
	 .insns = {ST(BPF_DW, 10, -16, '7'), STACK(1, -16), MOV_IMM(2, 8), MOV_IMM(3, 0),
		   STACK(4, -8), CALL(BPF_FUNC_strtol), LDX(BPF_DW, 0, 10, -8), EXIT()}},
	{"a number's place, misaligned", FAIL(EACCES, "misaligned stack access off 0+-12+0 size 8"),
	 .insns = {ST(BPF_DW, 10, -24, '7'), STACK(1, -24), MOV_IMM(2, 8), MOV_IMM(3, 0),
		   STACK(4, -12), CALL(BPF_FUNC_strtol), DONE}},

	/* results */
	{"length of a string", OK,
	 .insns = {STACK(1, -16), MOV_IMM(2, 16), MOV_IMM(3, 0), CALL(BPF_FUNC_probe_read_user_str),
		   JMP_IMM(BPF_JSGT, 0, 16, 2), DONE, MOV_REG(0, 9), EXIT()}},
	{"length of a string, less", FAIL(EACCES, "R9 !read_ok"),
	 .insns = {STACK(1, -16), MOV_IMM(2, 16), MOV_IMM(3, 0), CALL(BPF_FUNC_probe_read_user_str),
		   JMP_IMM(BPF_JSGT, 0, 15, 2), DONE, MOV_REG(0, 9), EXIT()}},
	{"a processor's number", OK,
	 .insns = {CALL(BPF_FUNC_get_smp_processor_id), JMP_IMM(BPF_JLT, 0, 8192, 1), MOV_REG(0, 9),
		   DONE}},
	{"nothing is returned", FAIL(EACCES, "R0 !read_ok"),
	 .insns = {MAP(2, CASE_PROGS), MOV_IMM(3, 0), CALL(BPF_FUNC_tail_call), EXIT()}},

	/* strings that are constant */
	{"compare", OK, OURS,
	 .insns = {ST(BPF_DW, 10, -8, 0), STACK(1, -8), MOV_IMM(2, 8),
		   VALUE_AT(3, CASE_CONSTANT, 0), CALL(BPF_FUNC_strncmp), DONE}},
	{"compare with what can change", FAIL(EACCES, "R3 does not point to a readonly map'"),
	 .insns = {ST(BPF_DW, 10, -8, 0), STACK(1, -8), MOV_IMM(2, 8), VALUE_AT(3, CASE_ARRAY, 0),
		   CALL(BPF_FUNC_strncmp), DONE}},
	{"a string that doesn't end", FAIL(EINVAL, "string is not zero-terminated"), OURS,
	 .insns = {ST(BPF_DW, 10, -8, 0), STACK(1, -8), MOV_IMM(2, 8),
		   VALUE_AT(3, CASE_CONSTANT, 30), CALL(BPF_FUNC_strncmp), DONE}},
	{"print", OK, OURS,
	 .insns = {ST(BPF_DW, 10, -16, 0), ST(BPF_DW, 10, -8, 0), STACK(1, -32), MOV_IMM(2, 16),
		   VALUE_AT(3, CASE_CONSTANT, 24), STACK(4, -16), MOV_IMM(5, 16),
		   CALL(BPF_FUNC_snprintf), DONE}},
	{"print with too few", FAIL(EINVAL, "Invalid format string"), OURS,
	 .insns = {ST(BPF_DW, 10, -8, 0), STACK(1, -32), MOV_IMM(2, 16),
		   VALUE_AT(3, CASE_CONSTANT, 24), STACK(4, -8), MOV_IMM(5, 8),
		   CALL(BPF_FUNC_snprintf), DONE}},

	/* callbacks */
	{"each element", OK,
	 .insns = {MAP(1, CASE_HASH), FUNC(2, 6), MOV_IMM(3, 0), MOV_IMM(4, 0),
		   CALL(BPF_FUNC_for_each_map_elem), DONE, LDX(BPF_DW, 1, 2, 0),
		   ST(BPF_DW, 3, 40, 1), DONE}},
	{"a key is not written", FAIL(EACCES, "write to change key R2 not allowed"),
	 .insns = {MAP(1, CASE_HASH), FUNC(2, 6), MOV_IMM(3, 0), MOV_IMM(4, 0),
		   CALL(BPF_FUNC_for_each_map_elem), DONE, ST(BPF_DW, 2, 0, 1), DONE}},
	{"behind a key", FAIL(EACCES, "invalid access to map key, key_size=8 off=8 size=8"),
	 .insns = {MAP(1, CASE_HASH), FUNC(2, 6), MOV_IMM(3, 0), MOV_IMM(4, 0),
		   CALL(BPF_FUNC_for_each_map_elem), DONE, LDX(BPF_DW, 0, 2, 8), DONE}},
	{"each of a queue", FAIL(524, "callback function not allowed for map"),
	 .insns = {MAP(1, CASE_QUEUE), FUNC(2, 6), MOV_IMM(3, 0), MOV_IMM(4, 0),
		   CALL(BPF_FUNC_for_each_map_elem), DONE, DONE}},
	{"a number for a callback", FAIL(EACCES, "R2 type=scalar expected=func"),
	 .insns = {MOV_IMM(1, 4), MOV_IMM(2, 4), MOV_IMM(3, 0), MOV_IMM(4, 0), CALL(BPF_FUNC_loop),
		   DONE}},
	{"what is passed is the stack", FAIL(EACCES, "R3 type=ctx expected=fp"),
	 .insns = {MOV_REG(3, 1), MOV_IMM(1, 4), FUNC(2, 5), MOV_IMM(4, 0), CALL(BPF_FUNC_loop),
		   DONE, DONE}},
	{"a callback writes its caller's stack", FAIL(EACCES, "R9 !read_ok"),
	 .insns = {ST(BPF_DW, 10, -8, 0), MOV_IMM(1, 4), FUNC(2, 10), STACK(3, -8), MOV_IMM(4, 0),
		   CALL(BPF_FUNC_loop), LDX(BPF_DW, 1, 10, -8), JMP_IMM(BPF_JEQ, 1, 0, 1),
		   MOV_REG(0, 9), DONE, ST(BPF_DW, 2, 0, 1), DONE}},
	{"samples from user space", OK,
	 .insns = {MAP(1, CASE_USER_RINGBUF), FUNC(2, 6), MOV_IMM(3, 0), MOV_IMM(4, 0),
		   CALL(BPF_FUNC_user_ringbuf_drain), DONE, MOV_IMM(2, 0), MOV_IMM(3, 8),
		   CALL(BPF_FUNC_dynptr_data), JMP_IMM(BPF_JEQ, 0, 0, 1), LDX(BPF_DW, 1, 0, 0),
		   DONE}},
	{"such a sample is not discarded", FAIL(EINVAL, "cannot release unowned const bpf_dynptr"),
	 .insns = {MAP(1, CASE_USER_RINGBUF), FUNC(2, 6), MOV_IMM(3, 0), MOV_IMM(4, 0),
		   CALL(BPF_FUNC_user_ringbuf_drain), DONE, MOV_IMM(2, 0),
		   CALL(BPF_FUNC_ringbuf_discard_dynptr), DONE}},

	/* kernel functions that aren't here */
	{"an unknown kernel function", FAIL(EINVAL, "kernel function with BTF id 4711"), OURS,
	 .insns = {KFUNC(4711), DONE}},
};

Test(verify_helper, cases)
{
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		case_check(&cases[i]);
}

/* A program that isn't under the GPL. */
Test(verify_helper, licence)
{
	static const struct bpf_insn insns[] = {MOV_IMM(1, 0), CALL(BPF_FUNC_get_func_ip), EXIT()};
	char buf[4096];
	struct ebpf_log log = {.buf = buf, .size = sizeof(buf), .level = 1};
	struct ebpf_vprog prog = {
		.insns = insns, .ninsns = ARRAY_SIZE(insns), .prog_type = BPF_PROG_TYPE_KPROBE};
	struct ebpf_proof proof = {0};
	struct ebpf_facts facts = {0};

	cr_assert_eq(ebpf_explore(&prog, &log, &proof, &facts), -EINVAL);
	ebpf_log_end(&log);
	cr_assert(
		strstr(buf, "cannot call GPL-restricted function from non-GPL compatible program"),
		"%s", buf);
	ebpf_proof_free(&proof);
	ebpf_facts_free(&facts);
}
