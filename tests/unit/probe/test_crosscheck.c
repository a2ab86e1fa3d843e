/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second decoder: it agrees about everything that libraries consist of, or does not know it;
 * and what it says otherwise is a refusal with words of its own.
 */
#include <stdio.h>
#include <string.h>

#include <capstone/capstone.h>
#include <criterion/criterion.h>

#include "probe/probe_priv.h"
#include "tests/unit/arch/forms.h"

#define ADDR 0x555555550000
#define ONLY_ONE "only one of two decoders knows the instruction"
#define DISAGREE "two decoders disagree about the instruction"
#define ELSEWHERE "elsewhere it would not be the same instruction"

static struct arch_patch planned(const u8 *code, size_t len)
{
	struct arch_patch p;
	int err = arch_patch_plan(code, len, ADDR, &p);

	cr_assert_eq(err, 0, "%s", arch_patch_refusal(err));
	return p;
}

#define PLANNED(...) planned((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static void says(struct arch_patch p, const char *want)
{
	const char *got = probe_crosscheck(&p);

	cr_expect(want ? got && !strcmp(got, want) : !got, "%02x %02x: %s, not %s", p.insn[0],
		  p.insn[1], got ? got : "nothing", want ? want : "nothing");
}

Test(crosscheck, agrees)
{
	says(PLANNED(0x48, 0x89, 0xe5), NULL);
	says(PLANNED(0x55), NULL);
	says(PLANNED(0xf3, 0x0f, 0x1e, 0xfa), NULL);
	says(PLANNED(0x48, 0x8b, 0x05, 1, 2, 3, 4), NULL);
	says(PLANNED(0x66, 0x81, 0x3d, 1, 2, 3, 4, 5, 6), NULL);
	says(PLANNED(0xe8, 1, 2, 3, 4), NULL);
}

/* An addition of APX */
Test(crosscheck, one_knows_it)
{
	says(PLANNED(0x62, 0xf4, 0x7c, 0x18, 0x01, 0xc8), ONLY_ONE);
}

static u32 capstones_length(const struct arch_patch *p)
{
	u32 len = 0;
	cs_insn *insn;
	csh handle;

	cr_assert_eq(cs_open(CS_ARCH_X86, CS_MODE_64, &handle), 0);
	if (cs_disasm(handle, p->insn, ARCH_MAX_INSN, ADDR, 1, &insn) == 1) {
		len = insn->size;
		cs_free(insn, 1);
	}
	cs_close(&handle);
	return len;
}

/* push with prefixes of which the last is not the one that counts */
Test(crosscheck, lengths_differ)
{
	struct arch_patch p = PLANNED(0x66, 0xf3, 0x68, 0x61, 0xb3);
	u32 len = capstones_length(&p);

	if (len == p.len)
		cr_skip_test("this capstone reads it as we do");
	says(p, len && len <= p.len ? DISAGREE : ONLY_ONE);
	/* and when the plan is for a shorter one */
	p = PLANNED(0x48, 0x8b, 0x05, 1, 2, 3, 4);
	p.len = 3;
	says(p, ONLY_ONE);
	p = PLANNED(0x90);
	p.insn[1] = 0x90;
	p.len = 2;
	says(p, DISAGREE);
}

/* Relative to a 32-bit instruction pointer: what planning refuses is found here, too. */
Test(crosscheck, copies_differ)
{
	struct arch_patch p = PLANNED(0x48, 0x8b, 0x05, 1, 2, 3, 4, 0x90);

	memmove(p.insn + 1, p.insn, 7);
	p.insn[0] = 0x67;
	p.len = 8;
	says(p, ELSEWHERE);
	/* a jump is none that could be copied */
	p = PLANNED(0x74, 0x10);
	p.kind = ARCH_PATCH_SLOT;
	says(p, ELSEWHERE);
}

static void sweep(const char *file, bool all_code)
{
	struct forms forms = {0};
	u32 agreed = 0, alone = 0;

	if (forms_collect(file, &forms))
		cr_skip_test("it isn't here");
	for (size_t i = 0; i < forms.n; i++) {
		struct arch_patch p;
		const char *why;

		if (arch_patch_plan(forms.v[i].bytes, forms.v[i].in.len, ADDR, &p))
			continue;
		why = probe_crosscheck(&p);
		agreed += !why;
		alone += why && !strcmp(why, ONLY_ONE);
		if (all_code)
			cr_expect(!why || !strcmp(why, ONLY_ONE), "%02x %02x %02x: %s",
				  forms.v[i].bytes[0], forms.v[i].bytes[1], forms.v[i].bytes[2],
				  why);
	}
	fprintf(stderr, "%s: %u forms agreed upon, %u capstone doesn't know\n", file, agreed,
		alone);
	cr_expect_gt(agreed, 1000);
	cr_expect_leq(alone * 10, agreed);
	forms_free(&forms);
}

Test(crosscheck, forms_of_libc)
{
	sweep(forms_libraries[0], true);
}

Test(crosscheck, forms_of_libcrypto)
{
	sweep(forms_libraries[1], false); /* with data among the code */
}

Test(crosscheck, forms_of_libstdcxx)
{
	sweep(forms_libraries[2], true);
}

/* --- the stack pointer --- */

#define LEAVES(...) probe_leaves_stack((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

Test(crosscheck, stack_pointer_is_left_alone)
{
	cr_expect(LEAVES(0xf3, 0x0f, 0x1e, 0xfa)); /* endbr64 */
	cr_expect(LEAVES(0x90));
	cr_expect(LEAVES(0x66, 0x0f, 0x1f, 0x44, 0, 0)); /* nopw */
	cr_expect(LEAVES(0x48, 0x89, 0xe0));		 /* mov %rsp,%rax */
	cr_expect(LEAVES(0x48, 0x89, 0x44, 0x24, 0xf8)); /* mov %rax,-8(%rsp) */
	cr_expect(LEAVES(0x48, 0x8d, 0x44, 0x24, 8));	 /* lea 8(%rsp),%rax */
	cr_expect(LEAVES(0x74, 5, 0x31, 0xc0));		 /* je; xor %eax,%eax */
}

Test(crosscheck, stack_pointer_may_move)
{
	cr_expect_not(LEAVES(0x53));				   /* push %rbx */
	cr_expect_not(LEAVES(0x90, 0x53));			   /* nop; push %rbx */
	cr_expect_not(LEAVES(0x6a, 1));				   /* push $1 */
	cr_expect_not(LEAVES(0xff, 0x30));			   /* push (%rax) */
	cr_expect_not(LEAVES(0x5b));				   /* pop %rbx */
	cr_expect_not(LEAVES(0x8f, 0x00));			   /* pop (%rax) */
	cr_expect_not(LEAVES(0x9c));				   /* pushf */
	cr_expect_not(LEAVES(0x9d));				   /* popf */
	cr_expect_not(LEAVES(0x48, 0x83, 0xec, 8));		   /* sub $8,%rsp */
	cr_expect_not(LEAVES(0x83, 0xc4, 8));			   /* add $8,%esp */
	cr_expect_not(LEAVES(0x66, 0x83, 0xc4, 8));		   /* add $8,%sp */
	cr_expect_not(LEAVES(0x40, 0x80, 0xc4, 8));		   /* add $8,%spl */
	cr_expect_not(LEAVES(0x48, 0x83, 0xe4, 0xf0));		   /* and $-16,%rsp */
	cr_expect_not(LEAVES(0x48, 0x8d, 0x64, 0x24, 8));	   /* lea 8(%rsp),%rsp */
	cr_expect_not(LEAVES(0x48, 0x89, 0xec));		   /* mov %rbp,%rsp */
	cr_expect_not(LEAVES(0x48, 0x8b, 0xe5));		   /* the same */
	cr_expect_not(LEAVES(0x48, 0x94));			   /* xchg %rax,%rsp */
	cr_expect_not(LEAVES(0x48, 0x87, 0xe0));		   /* the same */
	cr_expect_not(LEAVES(0x48, 0xff, 0xc4));		   /* inc %rsp */
	cr_expect_not(LEAVES(0x48, 0xc1, 0xe4, 4));		   /* shl $4,%rsp */
	cr_expect_not(LEAVES(0x48, 0x0f, 0x44, 0xe0));		   /* cmove %rax,%rsp */
	cr_expect_not(LEAVES(0x48, 0x0f, 0xc1, 0xc4));		   /* xadd %rax,%rsp */
	cr_expect_not(LEAVES(0x48, 0x0f, 0xb1, 0xc4));		   /* cmpxchg %rax,%rsp */
	cr_expect_not(LEAVES(0x48, 0x0f, 0xcc));		   /* bswap %rsp */
	cr_expect_not(LEAVES(0xc9));				   /* leave */
	cr_expect_not(LEAVES(0xc8, 8, 0, 0));			   /* enter */
	cr_expect_not(LEAVES(0xc3));				   /* ret */
	cr_expect_not(LEAVES(0xe8, 0, 0, 0, 0));		   /* call */
	cr_expect_not(LEAVES(0xff, 0xd0));			   /* call *%rax */
	cr_expect_not(LEAVES(0xcc));				   /* int3 */
	cr_expect_not(LEAVES(0x0f, 0x05));			   /* syscall */
	cr_expect_not(LEAVES(0x06));				   /* nothing */
	cr_expect_not(LEAVES(0x90, 0x48, 0x89));		   /* cut off */
	cr_expect_not(LEAVES(0x62, 0xf4, 0x7c, 0x18, 0x01, 0xc8)); /* not known to both */
}
