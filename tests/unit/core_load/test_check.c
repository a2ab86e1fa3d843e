/* SPDX-License-Identifier: BSD-2-Clause */
/* The structural check: what it refuses, with which errno and words. The encodings are covered by
 * tests/conformance/refused.data; here is what needs a program type, flags or size. */
#include <criterion/criterion.h>

#include "base/macros.h"
#include "tests/support/engine.h"

static char text[512];

static int check(const struct bpf_insn *insns, u32 n, u32 type, u32 flags)
{
	struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};

	text[0] = '\0';
	return ebpf_check_structure_flags(insns, n, type, flags, &log);
}

#define CHECK(p) check(p, ARRAY_SIZE(p), BPF_PROG_TYPE_KPROBE, 0)
#define SAYS(words) cr_assert(strstr(text, words), "log: %s", text)

Test(check, smallest)
{
	const struct bpf_insn p[] = {EXIT()};

	cr_assert_eq(CHECK(p), 0, "%s", text);
}

Test(check, size)
{
	struct bpf_insn *p = calloc(EBPF_MAX_INSNS + 1, sizeof(*p));
	u32 i;

	for (i = 0; i < EBPF_MAX_INSNS; i++)
		p[i] = MOV_IMM(0, 1);
	p[i] = EXIT();
	cr_assert_eq(check(p, 0, BPF_PROG_TYPE_KPROBE, 0), -E2BIG);
	cr_assert_eq(check(p, EBPF_MAX_INSNS + 1, BPF_PROG_TYPE_KPROBE, 0), -E2BIG);
	cr_assert_eq(check(p + 1, EBPF_MAX_INSNS, BPF_PROG_TYPE_KPROBE, 0), 0, "%s", text);
	free(p);
}

Test(check, immediate_shifts_are_the_kernels_unless_asked)
{
	static const u8 ops[] = {BPF_LSH, BPF_RSH, BPF_ARSH};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		const struct bpf_insn wide[] = {ALU64_IMM(ops[i], 0, 64), EXIT()};
		const struct bpf_insn narrow[] = {ALU32_IMM(ops[i], 0, 32), EXIT()};
		const struct bpf_insn fine[] = {ALU64_IMM(ops[i], 0, 63), EXIT()};

		cr_assert_eq(CHECK(wide), -EINVAL);
		SAYS("invalid shift 64");
		cr_assert_eq(CHECK(narrow), -EINVAL);
		SAYS("invalid shift 32");
		cr_assert_eq(CHECK(fine), 0);
		cr_assert_eq(check(wide, 2, 0, EBPF_CHECK_ISA), 0);
	}
}

Test(check, immediate_zero_divisor)
{
	const struct bpf_insn p[] = {ALU64_IMM(BPF_DIV, 0, 0), EXIT()};

	cr_assert_eq(CHECK(p), -EINVAL);
	SAYS("div by zero");
	cr_assert_eq(check(p, 2, 0, EBPF_CHECK_ISA), 0);
}

Test(check, callx_only_where_asked)
{
	const struct bpf_insn p[] = {INSN(BPF_JMP | BPF_CALL | BPF_X, 1, 0, 0, 0), EXIT()};

	cr_assert_eq(CHECK(p), -EINVAL);
	SAYS("unknown opcode 8d");
	cr_assert_eq(check(p, 2, 0, EBPF_CHECK_CALLX), 0);
}

Test(check, frame_pointer_is_eacces)
{
	const struct bpf_insn p[] = {MOV_IMM(10, 0), EXIT()};

	cr_assert_eq(CHECK(p), -EACCES);
	SAYS("frame pointer is read only");
}

Test(check, the_log_shows_the_instruction)
{
	const struct bpf_insn p[] = {MOV_IMM(0, 0), ALU64_REG(BPF_ADD, 0, 11), EXIT()};

	cr_assert_eq(CHECK(p), -EINVAL);
	SAYS("R11 is invalid\n1: (0f) r0 += r11\n");
}

Test(check, jumps_name_both_ends)
{
	const struct bpf_insn p[] = {MOV_IMM(0, 0), MOV_IMM(1, 1), JMP_IMM(BPF_JEQ, 0, 0, 6),
				     EXIT()};

	cr_assert_eq(CHECK(p), -EINVAL);
	SAYS("jump out of range from insn 2 to 9");
}

Test(check, unreachable_names_the_first)
{
	const struct bpf_insn p[] = {MOV_IMM(0, 0), JA(1), MOV_IMM(0, 1), EXIT()};

	cr_assert_eq(CHECK(p), -EINVAL);
	SAYS("unreachable insn 2");
}

Test(check, loops_are_programs)
{
	const struct bpf_insn p[] = {MOV_IMM(0, 9), ALU64_IMM(BPF_SUB, 0, 1),
				     JMP_IMM(BPF_JNE, 0, 0, -2), EXIT()};

	cr_assert_eq(CHECK(p), 0, "%s", text);
}

Test(check, callbacks_are_functions)
{
	const struct bpf_insn p[] = {LDDW_KIND(2, BPF_PSEUDO_FUNC, 2), MOV_IMM(0, 0), EXIT(),
				     MOV_IMM(0, 1), EXIT()};
	const struct bpf_insn itself[] = {LDDW_KIND(2, BPF_PSEUDO_FUNC, (u32)-1), MOV_IMM(0, 0),
					  EXIT()};

	cr_assert_eq(CHECK(p), -EINVAL, "the function begins in the middle of the main program");
	cr_assert_eq(CHECK(itself), -EINVAL);
	SAYS("callback");
}

Test(check, too_many_functions)
{
	struct bpf_insn *p = calloc(3 * EBPF_MAX_SUBPROGS, sizeof(*p));
	u32 i, n = EBPF_MAX_SUBPROGS;

	for (i = 0; i < n; i++)
		p[i] = CALL_BPF((s32)(n + 1 + 2 * i - (i + 1)));
	p[n] = EXIT();
	for (i = 0; i < n - 1; i++) {
		p[n + 1 + 2 * i] = MOV_IMM(0, 0);
		p[n + 2 + 2 * i] = EXIT();
	}
	cr_assert_eq(check(p, 3 * n - 1, BPF_PROG_TYPE_KPROBE, 0), -EINVAL);
	p[n - 1] = MOV_IMM(0, 0);
	cr_assert_eq(check(p, 3 * n - 1, BPF_PROG_TYPE_KPROBE, 0), 0, "%s", text);
	free(p);
}

/* A check that accepts must not be surprised by anything: random bytes, and programs with one bit
 * turned. */
/* Neither what a function calls nor what it gives others to call may lead back to it. */
Test(check, functions_do_not_call_each_other_for_ever)
{
	const struct bpf_insn itself[] = {CALL_BPF(1), EXIT(), CALL_BPF(-1), EXIT()};
	const struct bpf_insn each_other[] = {CALL_BPF(1), EXIT(),	 CALL_BPF(1),
					      EXIT(),	   CALL_BPF(-3), EXIT()};
	const struct bpf_insn callback[] = {CALL_BPF(1),   EXIT(), LDDW_KIND(2, BPF_PSEUDO_FUNC, 3),
					    MOV_IMM(0, 0), EXIT(), CALL_BPF(-5),
					    EXIT()};

	for (u32 flags = 0; flags <= EBPF_CHECK_PATHS; flags += EBPF_CHECK_PATHS) {
		cr_assert_eq(check(itself, 4, BPF_PROG_TYPE_KPROBE, flags), -E2BIG);
		SAYS("the call stack");
		cr_assert_eq(check(each_other, 6, BPF_PROG_TYPE_KPROBE, flags), -E2BIG);
		cr_assert_eq(check(callback, ARRAY_SIZE(callback), BPF_PROG_TYPE_KPROBE, flags),
			     -E2BIG, "%s", text);
	}
}

/* Main, and in a row each calls the next: as many as there are frames, and one more. */
Test(check, as_many_calls_as_frames)
{
	struct bpf_insn p[2 * (EBPF_MAX_FRAMES + 1)];

	for (u32 n = EBPF_MAX_FRAMES; n <= EBPF_MAX_FRAMES + 1; n++) {
		for (u32 i = 0; i < n; i++) {
			p[2 * i] = (struct bpf_insn)CALL_BPF(1);
			p[2 * i + 1] = (struct bpf_insn)EXIT();
		}
		p[2 * n - 2] = (struct bpf_insn)MOV_IMM(0, 0);
		cr_assert_eq(check(p, 2 * n, BPF_PROG_TYPE_KPROBE, EBPF_CHECK_PATHS),
			     n > EBPF_MAX_FRAMES ? -E2BIG : 0, "%u: %s", n, text);
	}
}

Test(check, random_bytes_do_not_hurt)
{
	struct bpf_insn p[16];
	u32 seed = (u32)getpid(), accepted = 0, i, k;

	cr_log_info("seed %u", seed);
	srand(seed);
	for (i = 0; i < 20000; i++) {
		for (k = 0; k < sizeof(p); k++)
			((u8 *)p)[k] = (u8)(rand() >> 7) & (k % 8 < 2 ? 0xff : 3);
		p[15] = EXIT();
		accepted += !check(p, 16, BPF_PROG_TYPE_KPROBE, 0);
	}
	cr_assert_lt(accepted, 20000);
}
