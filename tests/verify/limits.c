/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits: programs at them and beyond, made here because tables would be long. */
#include "tests/verify/verify.h"

#include <time.h>

#define MAX_PROG 70000
static struct bpf_insn prog[MAX_PROG];
static u32 n;

static void add(u8 code, u8 dst, u8 src, s16 off, s32 imm)
{
	prog[n++] = (struct bpf_insn){
		.code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = off, .imm = imm};
}

static void mov(u8 dst, s32 imm)
{
	add(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm);
}

static void ret(void)
{
	mov(0, 0);
	add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static int judge(char *text, u32 size, u32 level)
{
	struct vcase c = {.insns = prog, .n = n};
	struct ebpf_log log = {.buf = text, .size = size, .level = level};
	struct ebpf_facts facts = {0};
	int r = verify_case(&c, &log, &facts);

	if (!r)
		ebpf_facts_free(&facts);
	return r;
}

#define EXPECT(r, want, text) cr_assert_eq(r, want, "got %d, expected %d: %.200s", r, want, text)

/* one straight line */
Test(verify_limits, straight)
{
	char text[4096] = "";
	int r;

	for (n = 0; n < 65000;)
		mov(0, (s32)n);
	ret();
	r = judge(text, sizeof(text), 4);
	EXPECT(r, 0, text);
	cr_assert(strstr(text, "processed 65002 insns (limit 1000000)"), "%s", text);
}

/* branches that all meet again: pruning makes it linear */
Test(verify_limits, branches_that_meet)
{
	char text[4096] = "";
	int r;

	n = 0;
	mov(0, 0);
	for (u32 i = 0; i < 2000; i++) {
		add(BPF_LDX | BPF_MEM | BPF_DW, 6, 1, 0, 0);
		add(BPF_JMP | BPF_JSET | BPF_K, 6, 0, 1, (s32)(1u << i % 31));
		mov(0, 1);
	}
	ret();
	r = judge(text, sizeof(text), 4);
	EXPECT(r, 0, text);
}

/* branches that never meet: each doubles the paths */
Test(verify_limits, branches_that_do_not_meet)
{
	char text[4096] = "";
	int r;

	n = 0;
	mov(7, 0);
	add(BPF_LDX | BPF_MEM | BPF_DW, 6, 1, 0, 0);
	for (u32 i = 0; i < 30; i++) {
		add(BPF_JMP | BPF_JSET | BPF_K, 6, 0, 1, (s32)(1u << i));
		add(BPF_ALU64 | BPF_ADD | BPF_K, 7, 0, 0, (s32)(1u << i));
	}
	/* the sum is an address: each of its values matters */
	add(BPF_ALU64 | BPF_AND | BPF_K, 7, 0, 0, -8);
	add(BPF_ALU64 | BPF_ADD | BPF_X, 7, 10, 0, 0);
	add(BPF_STX | BPF_MEM | BPF_DW, 7, 6, 0, 0);
	ret();
	r = judge(text, sizeof(text), 4);
	cr_assert(r < 0, "accepted");
}

/* what waits to be looked at is bounded: a branch from each of @branches places to the end */
static void branches_to_the_end(u32 branches)
{
	n = 0;
	for (u32 i = 0; i < branches; i++) {
		add(BPF_LDX | BPF_MEM | BPF_DW, 6, 1, 0, 0);
		add(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, (s16)(2 * (branches - i) - 2), 0);
	}
	ret();
}

Test(verify_limits, pending_branches)
{
	char text[4096] = "";
	int r;

	branches_to_the_end(8192);
	r = judge(text, sizeof(text), 4);
	EXPECT(r, 0, text);
	branches_to_the_end(8193);
	r = judge(text, sizeof(text), 4);
	EXPECT(r, -EFAULT, text);
	cr_assert(strstr(text, "The sequence of 8193 jumps is too complex.\n"), "%s", text);
}

/* What the kernel says to that, where it can be asked. */
Test(verify_limits, pending_branches_in_the_kernel)
{
	static char text[1u << 20];
	struct vcase c = {.insns = prog, .level = 4};
	int r;

	if (!verify_kernel_maps())
		cr_skip_test("no kernel to ask");
	branches_to_the_end(8192);
	c.n = n;
	r = verify_kernel(&c, text, sizeof(text));
	cr_assert_geq(r, 0, "%d %.300s", r, text);
	branches_to_the_end(8193);
	c.n = n;
	r = verify_kernel(&c, text, sizeof(text));
	EXPECT(r, -EFAULT, text);
	cr_assert(strstr(text, "The sequence of 8193 jumps is too complex.\n"), "%s", text);
}

/* a jump further than 16 bits, by the long form */
Test(verify_limits, long_jump)
{
	char text[4096] = "";
	int r;

	n = 0;
	add(BPF_LDX | BPF_MEM | BPF_DW, 6, 1, 0, 0);
	add(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, 1, 0);
	add(BPF_JMP32 | BPF_JA, 0, 0, 0, 40000);
	while (n < 40003)
		mov(0, (s32)n);
	ret();
	r = judge(text, sizeof(text), 4);
	EXPECT(r, 0, text);
}

static void many_subprogs(u32 count)
{
	/* main calls each: count calls, exit, then the functions */
	n = 0;
	for (u32 i = 0; i < count; i++)
		add(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, (s32)(count + 2 + 2 * i - i - 1));
	ret();
	for (u32 i = 0; i < count; i++)
		ret();
}

Test(verify_limits, subprograms)
{
	char text[4096] = "";
	int r;

	many_subprogs(255);
	r = judge(text, sizeof(text), 4);
	EXPECT(r, 0, text);
	many_subprogs(256);
	r = judge(text, sizeof(text), 4);
	EXPECT(r, -E2BIG, text);
	cr_assert(strstr(text, "too many subprograms"), "%s", text);
}

/* a stack as deep as allowed, written and read everywhere */
Test(verify_limits, whole_stack)
{
	char text[4096] = "";
	int r;

	n = 0;
	for (s16 i = -512; i < 0; i += 8)
		add(BPF_ST | BPF_MEM | BPF_DW, 10, 0, i, i);
	for (s16 i = -512; i < 0; i++)
		add(BPF_LDX | BPF_MEM | BPF_B, 0, 10, i, 0);
	ret();
	r = judge(text, sizeof(text), 4);
	EXPECT(r, 0, text);
}

/* nothing is said where no log is asked for, and nothing is written */
Test(verify_limits, no_log)
{
	char text[64] = "untouched";
	int r;

	n = 0;
	add(BPF_LDX | BPF_MEM | BPF_DW, 0, 9, 0, 0);
	ret();
	r = judge(NULL, 0, 0);
	EXPECT(r, -EACCES, text);
	cr_assert_str_eq(text, "untouched");
}
