/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jumps in place of breaks: where they may lead, and stubs that do what the displaced instruction
 * does. The CPU is the oracle: a function runs with and without a jump at its first instruction.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <criterion/criterion.h>

#include "arch/arch.h"

#define AREA 0x10000
#define STUB 0x4000

static u8 *code;
static u64 *entry;
static unsigned int seed;

u64 calls_of_test;

/* What stubs call: it counts, and leaves everything as it was, but says where they go on. */
__asm__(".text\nentry_of_test:\n push %rax\n pushfq\n mov calls_of_test@GOTPCREL(%rip), %rax\n"
	" incq (%rax)\n popfq\n mov 8(%rsp), %rax\n lea 4(%rax), %rax\n mov %rax, -8(%rsp)\n"
	" pop %rax\n ret\n");
extern u8 entry_of_test[] __attribute__((visibility("hidden")));

static void setup(void)
{
	int prot = PROT_READ | PROT_WRITE | PROT_EXEC;

	code = mmap(NULL, AREA, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		cr_skip_test("no writable and executable memory here");
	memset(code, 0xcc, AREA);
	entry = (u64 *)(code + STUB);
	*entry = (u64)entry_of_test;
	seed = (unsigned int)time(NULL);
	cr_log_info("seed %u", seed);
}

TestSuite(jump, .init = setup);

static void patch_of(const u8 *text, size_t len, u64 addr, struct arch_patch *p)
{
	cr_assert_eq(arch_patch_plan(text, len, addr, p), 0);
	if (arch_patch_needs_slot(p))
		cr_assert_eq(arch_patch_relocate(p, (u64)code + AREA / 2), 0);
}

/* --- where they may lead --- */

Test(jump, no_byte_behind_the_instruction_changes)
{
	static const struct {
		u8 len;
		u8 text[16];
	} insns[] = {{1, {0x55}},
		     {2, {0x41, 0x54}},
		     {3, {0x48, 0x89, 0xe5}},
		     {4, {0x48, 0x83, 0xec, 8}},
		     {5, {0xb8, 1, 2, 3, 4}},
		     {7, {0x48, 0x81, 0xec, 1, 2, 3, 4}}};

	for (int n = 0; n < 20000; n++) {
		u8 text[16], jump[ARCH_JUMP_LEN];
		u32 k = (u32)rand_r(&seed) % ARRAY_SIZE(insns);
		u64 addr = 0x7f0000000000 + (u64)rand_r(&seed), lo, hi, to;
		struct arch_patch p;

		for (u32 i = 0; i < sizeof(text); i++)
			text[i] = (u8)rand_r(&seed);
		memcpy(text, insns[k].text, insns[k].len);
		patch_of(text, sizeof(text), addr, &p);
		cr_assert(arch_jump_range(&p, text, sizeof(text), &lo, &hi));
		cr_assert_leq(lo, hi);
		to = lo + (hi > lo ? (u64)rand_r(&seed) % (hi - lo + 1) : 0);
		arch_jump_bytes(addr, to, jump);
		cr_assert_eq(jump[0], 0xe9);
		for (u32 i = p.len; i < ARCH_JUMP_LEN; i++)
			cr_assert_eq(jump[i], text[i], "length %u byte %u", p.len, i);
		cr_assert_eq(addr + 5 + (u64)(s64) * (s32 *)(jump + 1), to);
	}
}

Test(jump, there_is_none_where_the_bytes_end_or_the_kind_has_no_stub)
{
	static const u8 push[] = {0x55, 1, 2, 3, 4}, call[] = {0xff, 0xd0, 0x90, 0x90, 0x90};
	struct arch_patch p;
	u64 lo, hi;

	patch_of(push, 5, 0x7f0000000000, &p);
	cr_assert_not(arch_jump_range(&p, push, 4, &lo, &hi));
	patch_of(call, 5, 0x7f0000000000, &p); /* call *%rax */
	cr_assert_not(arch_jump_range(&p, call, 5, &lo, &hi));
}

Test(jump, none_leads_below_the_first_or_above_the_last_address)
{
	static const u8 below[] = {0x55, 0, 0, 0, 0x80}, above[] = {0x55, 0xff, 0xff, 0xff, 0x7f};
	struct arch_patch p;
	u64 lo, hi;

	patch_of(below, 5, 0x400000, &p);
	cr_assert_not(arch_jump_range(&p, below, 5, &lo, &hi));
	patch_of(above, 5, 0x7fffffffe000, &p);
	cr_assert_not(arch_jump_range(&p, above, 5, &lo, &hi));
}

/* --- stubs --- */

struct function {
	const char *name;
	u8 len; /* of all */
	u8 text[40];
	u8 follow; /* bytes that the stub executes, too */
};

/* Each takes a number in rdi and returns one; the first instruction is the site. */
static const struct function functions[] = {
	{"push", 4, {0x57, 0x58, 0xc3, 0x90}, 4}, /* push %rdi; pop %rax; ret */
	{"push rex", 6, {0x40, 0x57, 0x58, 0xc3, 0x90, 0x90}, 3},
	{"push imm", 4, {0x6a, 0x7f, 0x58, 0xc3}, 3},	     /* push $127; pop %rax; ret */
	{"nop", 6, {0x90, 0x48, 0x8d, 0x47, 0x11, 0xc3}, 4}, /* nop; lea 17(%rdi),%rax; ret */
	{"endbr64", 9, {0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x8d, 0x47, 5, 0xc3}, 4},
	{"nop5", 10, {0x0f, 0x1f, 0x44, 0, 0, 0x48, 0x8d, 0x47, 9, 0xc3}},
	{"mov", 4, {0x48, 0x89, 0xf8, 0xc3}, 2},	  /* mov %rdi,%rax; ret */
	{"rip", 8, {0x48, 0x8d, 0x05, 1, 0, 0, 0, 0xc3}}, /* lea 1(%rip),%rax; ret */
	{"sub rsp", 9, {0x48, 0x83, 0xec, 8, 0x48, 0x83, 0xc4, 8, 0xc3}, 4},
	{"ret", 5, {0xc3, 0x90, 0x90, 0x90, 0x90}},
	{"jmp", 8, {0xeb, 3, 0xcc, 0xcc, 0xcc, 0x6a, 3, 0x58}},	      /* jmp +3; push 3; pop %rax */
	{"jne", 9, {0x75, 4, 0x31, 0xc0, 0xc3, 0xcc, 0x6a, 1, 0x58}}, /* flags of the caller */
	{"jb", 9, {0x72, 4, 0x31, 0xc0, 0xc3, 0xcc, 0x6a, 1, 0x58}},
	{"jo", 9, {0x70, 4, 0x31, 0xc0, 0xc3, 0xcc, 0x6a, 1, 0x58}},
	/* call +1; ret; pop %rax; push %rax; ret: the return address pushed */
	{"call", 9, {0xe8, 1, 0, 0, 0, 0xc3, 0x58, 0x50, 0xc3}},
	/* push %rdi; mov %rdi,%rax; pop %rdi; ret */
	{"push mov", 6, {0x57, 0x48, 0x89, 0xf8, 0x5f, 0xc3}, 4},
	/* push %rdi; lea 0x1234(%rdi),%rax; pop %rdi; ret */
	{"push lea", 10, {0x57, 0x48, 0x8d, 0x87, 0x34, 0x12, 0, 0, 0x5f, 0xc3}, 7},
	/* push %rdi; cmp %rsi,%rdi; setc %al; pop %rdi; ret: one that is not known to be plain */
	{"push setc", 9, {0x57, 0x48, 0x39, 0xf7, 0x0f, 0x92, 0xc0, 0x5f, 0xc3}, 0},
	{"push rip", 10, {0x57, 0x48, 0x8d, 0x05, 1, 0, 0, 0, 0x5f, 0xc3}, 0},
	{"push jmp", 9, {0x57, 0x48, 0x89, 0xf8, 0xeb, 1, 0xcc, 0x5f, 0xc3}, 0},
	{"push lock", 11, {0x57, 0x5f, 0x57, 0xf0, 0x83, 0x0c, 0x24, 0, 0x58, 0xc3, 0x90}, 0},
	{"setc", 8, {0x0f, 0x92, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3, 0x90}, 3},
};

/* The function at @at, with all flags that add makes of @a and @b, and its result. */
static u64 call_with_flags(const void *at, u64 a, u8 x, u8 y)
{
	u64 ax = 0x5a5a;

	__asm__ volatile(
		"lea -256(%%rsp), %%rsp\n add %[y], %[x]\n call *%[at]\n lea 256(%%rsp), %%rsp"
		: "+a"(ax), [x] "+q"(x), "+D"(a)
		: [y] "q"(y), [at] "r"(at)
		: "cc", "memory", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11");
	return ax;
}

static void run(const struct function *f)
{
	u8 *at = code + 0x100;
	struct arch_patch p;
	struct arch_jump j;
	u64 want[32], calls = 0;
	u32 follow;

	memset(at, 0xcc, 64);
	memcpy(at, f->text, f->len);
	at[f->len] = 0xc3;
	for (u32 i = 0; i < ARRAY_SIZE(want); i++)
		want[i] = call_with_flags(at, i * 77, (u8)(i * 37), (u8)(i * 91));
	patch_of(at, 32, (u64)at, &p);
	follow = arch_jump_follows(&p, at, 32);
	cr_assert_eq(follow, f->follow, "%s: %u bytes follow", f->name, follow);
	cr_assert_eq(arch_jump_stub(&p, at, follow, (u64)entry + ARCH_STUB_SIZE, (u64)entry, &j), 0,
		     "%s", f->name);
	cr_assert(arch_jump_valid(&p, &j), "%s", f->name);
	memset(at + p.len, 0xcc, follow); /* the stub executes them */
	memcpy((void *)j.stub, j.bytes, j.stub_len);
	memset((u8 *)j.stub + j.stub_len, 0xcc, ARCH_STUB_SIZE - j.stub_len);
	calls_of_test = 0;
	for (u32 i = 0; i < ARRAY_SIZE(want); i++) {
		u64 got = call_with_flags((void *)j.stub, i * 77, (u8)(i * 37), (u8)(i * 91));

		cr_assert_eq(got, want[i], "%s: %u: got %#lx, want %#lx", f->name, i,
			     (unsigned long)got, (unsigned long)want[i]);
		calls++;
	}
	cr_assert_eq(calls_of_test, calls, "%s", f->name);
}

Test(jump, stubs_do_what_the_instructions_do)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		run(&functions[i]);
}

/* Who meets a break within goes on in the stub as behind the first instruction. */
Test(jump, the_way_on_from_within)
{
	/* push %rdi; mov %rdi,%rax; pop %rdi; ret */
	static const u8 text[] = {0x57, 0x48, 0x89, 0xf8, 0x5f, 0xc3};
	u8 *at = code + 0x100;
	struct arch_patch p;
	struct arch_jump j;
	u64 got;

	memset(at, 0xcc, 64);
	memcpy(at, text, sizeof(text));
	patch_of(at, 32, (u64)at, &p);
	cr_assert_eq(arch_jump_stub(&p, at, arch_jump_follows(&p, at, 32),
				    (u64)entry + ARCH_STUB_SIZE, (u64)entry, &j),
		     0);
	memcpy((void *)j.stub, j.bytes, j.stub_len);
	for (u32 i = 0; i < ARCH_JUMP_LEN; i++)
		cr_assert_eq(arch_jump_was(&p, &j, i), text[i], "%u", i);
	__asm__ volatile("lea -256(%%rsp), %%rsp\n push $0\n lea 0f(%%rip), %%rcx\n"
			 "mov %%rcx, (%%rsp)\n push %%rdi\n jmp *%[to]\n 0:\n"
			 "lea 256(%%rsp), %%rsp"
			 : "=&a"(got)
			 : [to] "r"(arch_jump_inner(&p, &j, 1)), "D"(77ul)
			 : "cc", "memory", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11");
	cr_assert_eq(got, 77);
}

Test(jump, over_several_only_with_breaks_within)
{
	static const u8 text[] = {0x57, 0x48, 0x89, 0xf8, 0x5f, 0xc3};
	struct arch_patch p;
	struct arch_jump j, bad;

	patch_of(text, sizeof(text), 0x7f0000000000, &p);
	cr_assert_eq(arch_jump_stub(&p, text, 4, 0x7f0010000000, 0x7f0010000040, &j), 0);
	j.to = 0x7f0000000005 - 0x33000000 - 0x34;
	j.own = ARCH_JUMP_LEN;
	j.inner = 1 << 1;
	cr_assert(arch_jump_valid(&p, &j));
	bad = j;
	bad.inner |= 1 << 2;
	cr_assert_not(arch_jump_valid(&p, &bad), "no break is there");
	bad = j;
	bad.inner = 0;
	cr_assert_not(arch_jump_valid(&p, &bad), "who is there would be within");
	bad = j;
	bad.own = ARCH_JUMP_LEN + 1;
	cr_assert_not(arch_jump_valid(&p, &bad));
	bad = j;
	bad.follow = 3;
	cr_assert_not(arch_jump_valid(&p, &bad), "the stub doesn't execute all of it");
}

Test(jump, branches_into_a_place)
{
	/* xor %eax,%eax; 2: inc %edi; jne 2b; ret */
	static const u8 loop[] = {0x31, 0xc0, 0xff, 0xc7, 0x75, 0xfc, 0xc3};

	cr_assert(arch_branches_into(loop, sizeof(loop), 0, 5));
	cr_assert_not(arch_branches_into(loop, sizeof(loop), 2, 5), "to its begin");
	cr_assert_not(arch_branches_into(loop, 4, 0, 5), "there is no branch");
	cr_assert(arch_branches_into((const u8[]){0x31, 0xc0, 0x06}, 3, 0, 5), "what is that?");
}

Test(jump, the_site_is_told_from_the_head_of_a_stub)
{
	static const u8 text[] = {0x55, 0x48, 0x89, 0xe5, 0xc3};
	struct arch_patch p;
	struct arch_jump j;
	u64 site = 0;

	patch_of(text, sizeof(text), (u64)code, &p);
	cr_assert_eq(arch_jump_stub(&p, text, 0, (u64)entry + ARCH_STUB_SIZE, (u64)entry, &j), 0);
	cr_assert(arch_jump_site(j.bytes, j.stub, &site));
	cr_assert_eq(site, (u64)code);
	for (u32 i = 0; i < ARCH_STUB_HEAD; i++) {
		u8 head[ARCH_STUB_HEAD];

		memcpy(head, j.bytes, sizeof(head));
		head[i] ^= 0x40;
		cr_assert(!arch_jump_site(head, j.stub, &site) || site != (u64)code || i >= 12,
			  "byte %u", i);
	}
	cr_assert_eq(arch_jump_depth(0), 0);
	cr_assert_eq(arch_jump_depth(5), 128);
	cr_assert_eq(arch_jump_depth(10), 136);
}

Test(jump, out_of_reach_is_refused)
{
	static const u8 text[] = {0x55, 0x48, 0x89, 0xe5, 0xc3};
	struct arch_patch p;
	struct arch_jump j;

	patch_of(text, sizeof(text), 0x7f0000000000, &p);
	cr_assert_eq(arch_jump_stub(&p, text, 0, 0x7f0090000000, 0x7f0090000040, &j), -ERANGE);
	cr_assert_eq(arch_jump_stub(&p, text, 0, 0x7f0010000000, 0x7eff00000000, &j), -ERANGE);
	cr_assert_eq(arch_jump_stub(&p, text, 0, 0x7f0010000000, 0x7f0010000040, &j), 0);
	cr_assert(arch_jump_valid(&p, &j));
	j.to = 0x7f0090000000;
	cr_assert_not(arch_jump_valid(&p, &j), "the site does not reach it");
	j.to = 0x7eff90000000;
	j.stub = 0x7f0020000000;
	cr_assert_not(arch_jump_valid(&p, &j), "the pad does not reach the stub");
}
