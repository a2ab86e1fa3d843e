/* SPDX-License-Identifier: BSD-2-Clause */
/* Iterators over numbers, called by programs of both engines as bpf_for() calls them; over bits. */
#include <criterion/criterion.h>
#include <sys/mman.h>

#include "arch/arch.h"
#include "osl/osl.h"
#include "tests/support/engine.h"

#define BOTH_ENGINES(jit) for (int jit = 0; jit <= (arch_jit_machine != 0); jit++)
#define KFUNC(id) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, id)
#define ITER MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8)
#define NEW(start, end) ITER, MOV_IMM(2, start), MOV_IMM(3, end), KFUNC(EKFUNC_ITER_NUM_NEW)
#define NEXT ITER, KFUNC(EKFUNC_ITER_NUM_NEXT)
#define DESTROY ITER, KFUNC(EKFUNC_ITER_NUM_DESTROY)

/* the sum of 1000 + n over the numbers, and what new said in the upper half */
static u64 sum(s32 start, s32 end, bool jit)
{
	const struct bpf_insn p[] = {
		NEW(start, end), ALU64_IMM(BPF_LSH, 0, 32), MOV_REG(7, 0), MOV_IMM(6, 0),
		/* next: */
		NEXT, JMP_IMM(BPF_JEQ, 0, 0, 4), INSN(BPF_LDX | BPF_MEMSX | BPF_W, 1, 0, 0, 0),
		ALU64_IMM(BPF_ADD, 6, 1000), ALU64_REG(BPF_ADD, 6, 1), JA(-8),
		NEXT, /* drained stays drained */
		JMP_IMM(BPF_JNE, 0, 0, 8), DESTROY, LDX(BPF_DW, 0, 10, -8),
		JMP_IMM(BPF_JNE, 0, 0, 3), MOV_REG(0, 6), ALU64_REG(BPF_OR, 0, 7), EXIT(),
		MOV_IMM(0, -1), EXIT()};

	return engine_r0(p, ARRAY_SIZE(p), jit, NULL);
}

static u64 said(s32 err, u32 total)
{
	return (u64)(u32)err << 32 | total;
}

Test(iter, numbers)
{
	BOTH_ENGINES(jit)
	{
		cr_expect_eq(sum(0, 10, jit), said(0, 10045));
		cr_expect_eq(sum(-3, 3, jit), said(0, 5997));
		cr_expect_eq(sum(5, 5, jit), said(0, 0));
		cr_expect_eq(sum(INT32_MIN, INT32_MIN + 1, jit) & UINT32_MAX,
			     (u32)INT32_MIN + 1000);
		cr_expect_eq(sum(INT32_MAX - 1, INT32_MAX, jit), said(0, INT32_MAX + 999u));
	}
}

Test(iter, ranges_that_are_none)
{
	BOTH_ENGINES(jit)
	{
		cr_expect_eq(sum(1, 0, jit), said(-EINVAL, 0));
		cr_expect_eq(sum(INT32_MAX, INT32_MIN, jit), said(-EINVAL, 0));
		cr_expect_eq(sum(0, EBPF_MAX_LOOPS + 1, jit), said(-E2BIG, 0));
		cr_expect_eq(sum(INT32_MIN, INT32_MAX, jit), said(-E2BIG, 0));
	}
}

Test(iter, as_many_as_a_loop_may_have)
{
	const struct bpf_insn p[] = {NEW(0, EBPF_MAX_LOOPS),
				     MOV_IMM(6, 0),
				     NEXT,
				     JMP_IMM(BPF_JEQ, 0, 0, 2),
				     ALU64_IMM(BPF_ADD, 6, 1),
				     JA(-6),
				     DESTROY,
				     MOV_REG(0, 6),
				     EXIT()};

	cr_expect_eq(engine_r0(p, ARRAY_SIZE(p), arch_jit_machine != 0, NULL), EBPF_MAX_LOOPS);
}

/* what the verifier says of an int */
Test(iter, the_upper_half_of_an_error_is_zero)
{
	const struct bpf_insn p[] = {NEW(3, 2), MOV_REG(6, 0), DESTROY, MOV_REG(0, 6), EXIT()};

	BOTH_ENGINES(jit)
	cr_expect_eq(engine_r0(p, ARRAY_SIZE(p), jit, NULL), (u32)-EINVAL);
}

/* a loop in a loop, each with its own slot */
Test(iter, nested)
{
	const struct bpf_insn p[] = {MOV_IMM(6, 0), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16),
				     MOV_IMM(2, 0), MOV_IMM(3, 7), KFUNC(EKFUNC_ITER_NUM_NEW),
				     /* outer: */
				     MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16),
				     KFUNC(EKFUNC_ITER_NUM_NEXT), JMP_IMM(BPF_JEQ, 0, 0, 15),
				     NEW(0, 5),
				     /* inner: */
				     NEXT, JMP_IMM(BPF_JEQ, 0, 0, 2), ALU64_IMM(BPF_ADD, 6, 1),
				     JA(-6), DESTROY, JA(-19), MOV_REG(0, 6), EXIT()};

	BOTH_ENGINES(jit)
	cr_expect_eq(engine_r0(p, ARRAY_SIZE(p), jit, NULL), 35);
}

/* --- bits ------------------------------------------------------------------------------------ */

static u64 words[511];

#define BITS MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16)

/* 1000 + n summed over the bits of @n words at @at, after what new said in the upper half */
static u64 bits(const void *at, u32 n, bool jit)
{
	const struct bpf_insn p[] = {
		LDDW(2, (u64)(uintptr_t)at), MOV_IMM(3, (s32)n), BITS, KFUNC(EKFUNC_ITER_BITS_NEW),
		ALU64_IMM(BPF_LSH, 0, 32), MOV_REG(7, 0), MOV_IMM(6, 0),
		/* next: */
		BITS, KFUNC(EKFUNC_ITER_BITS_NEXT), JMP_IMM(BPF_JEQ, 0, 0, 4), LDX(BPF_W, 1, 0, 0),
		ALU64_IMM(BPF_ADD, 6, 1000), ALU64_REG(BPF_ADD, 6, 1), JA(-8),
		/* drained stays drained */
		BITS, KFUNC(EKFUNC_ITER_BITS_NEXT), JMP_IMM(BPF_JNE, 0, 0, 6), BITS,
		KFUNC(EKFUNC_ITER_BITS_DESTROY), MOV_REG(0, 6), ALU64_REG(BPF_OR, 0, 7), EXIT(),
		MOV_IMM(0, -1), EXIT()};

	return engine_r0(p, ARRAY_SIZE(p), jit, NULL);
}

Test(iter, bits_of_one_word)
{
	BOTH_ENGINES(jit)
	{
		words[0] = 0;
		cr_expect_eq(bits(words, 1, jit), said(0, 0));
		words[0] = 1;
		cr_expect_eq(bits(words, 1, jit), said(0, 1000));
		words[0] = 1ull << 63;
		cr_expect_eq(bits(words, 1, jit), said(0, 1063));
		words[0] = ~0ull;
		cr_expect_eq(bits(words, 1, jit), said(0, 64 * 1000 + 63 * 32));
		words[0] = 0x8000000100000010;
		cr_expect_eq(bits(words, 1, jit), said(0, 3000 + 4 + 32 + 63));
	}
}

Test(iter, bits_of_many_words)
{
	memset(words, 0, sizeof(words));
	words[0] = 1ull << 63;
	words[1] = 1;
	words[2] = 6;
	words[510] = 1ull << 63;
	BOTH_ENGINES(jit)
	{
		cr_expect_eq(bits(words, 2, jit), said(0, 2000 + 63 + 64));
		cr_expect_eq(bits(words, 3, jit), said(0, 4000 + 63 + 64 + 129 + 130));
		cr_expect_eq(bits(words, 511, jit), said(0, 5000 + 63 + 64 + 129 + 130 + 32703));
		cr_expect_eq(bits((u8 *)words + 1, 2, jit), said(0, 4000 + 55 + 56 + 121 + 122));
	}
}

Test(iter, bits_that_are_not_there)
{
	u8 *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_trap_init_self();
	cr_assert_neq(page, MAP_FAILED);
	cr_assert_eq(mprotect(page + 4096, 4096, PROT_NONE), 0);
	BOTH_ENGINES(jit)
	{
		cr_expect_eq(bits(NULL, 1, jit), said(-EINVAL, 0));
		cr_expect_eq(bits(words, 0, jit), said(-EINVAL, 0));
		cr_expect_eq(bits(words, 512, jit), said(-E2BIG, 0));
		cr_expect_eq(bits(words, 0x04000001, jit), said(-E2BIG, 0));
		cr_expect_eq(bits((void *)-4095l, 1, jit), said(-EFAULT, 0));
		cr_expect_eq(bits((void *)-4095l, 4, jit), said(-EFAULT, 0));
		cr_expect_eq(bits(page + 4088, 1, jit), said(0, 0));
		cr_expect_eq(bits(page + 4089, 1, jit), said(-EFAULT, 0));
		cr_expect_eq(bits(page + 4088, 2, jit), said(-EFAULT, 0));
	}
}

/* Words that are gone when their turn comes end the loop. */
Test(iter, bits_that_go_away)
{
	u8 *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct {
		u64 state[2];
	} it;
	struct ebpf_run run = {0};
	ebpf_helper_fn new = ebpf_kfunc_get(EKFUNC_ITER_BITS_NEW),
		       next = ebpf_kfunc_get(EKFUNC_ITER_BITS_NEXT);
	u64 at = (u64)(uintptr_t)&it;

	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_trap_init_self();
	cr_assert_neq(page, MAP_FAILED);
	page[4095] = 0x80;
	page[4096] = 1;
	cr_assert_eq(new (at, (u64)(uintptr_t)page + 4088, 2, 0, 0, &run), 0);
	cr_assert_eq(*(s32 *)(uintptr_t)next(at, 0, 0, 0, 0, &run), 63);
	cr_assert_eq(mprotect(page + 4096, 4096, PROT_NONE), 0);
	cr_expect_eq(next(at, 0, 0, 0, 0, &run), 0);
	cr_expect_eq(next(at, 0, 0, 0, 0, &run), 0);
}

Test(iter, sections_do_nothing)
{
	const struct bpf_insn p[] = {KFUNC(EKFUNC_RCU_READ_LOCK), KFUNC(EKFUNC_RCU_READ_UNLOCK),
				     MOV_IMM(0, 5), EXIT()};

	BOTH_ENGINES(jit)
	cr_expect_eq(engine_r0(p, ARRAY_SIZE(p), jit, NULL), 5);
}

Test(iter, others_are_refused)
{
	static const s32 none[] = {0, -1, EKFUNC_MAX, EKFUNC_PREEMPT_DISABLE, INT32_MAX, INT32_MIN};

	for (u32 i = 0; i < ARRAY_SIZE(none); i++) {
		const struct bpf_insn p[] = {KFUNC(none[i]), MOV_IMM(0, 0), EXIT()};
		struct engine e = {0};

		cr_expect_eq(engine_load(&e, p, ARRAY_SIZE(p), true), -EINVAL);
		cr_expect(strstr(e.text, "does not exist in user space"), "%s", e.text);
	}
}
