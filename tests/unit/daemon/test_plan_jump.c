/* SPDX-License-Identifier: BSD-2-Clause */
/* Where jumps lead: to their stub when they can, else to a pad that nobody else has. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <criterion/criterion.h>

#include "daemon/plan_jump.h"

#define LIB 0x7f0000000000ull
#define EXE 0x555500000000ull

static struct plan_pads pads;
static struct probe_mapping v[4];
static const struct probe_maps maps = {.v = v, .n = 4};

static void mapping(u32 i, u64 start, u64 size, const char *path)
{
	v[i] = (struct probe_mapping){.start = start, .end = start + size, .path = (char *)path};
}

static void setup(void)
{
	mapping(0, EXE, 0x10000, "/bin/program");
	mapping(1, LIB - 0x40000000, 0, ""); /* for those that want more */
	mapping(2, LIB, 0x200000, "/lib/libc.so");
	mapping(3, 0x7ffe00000000, 0x21000, "[stack]");
}

static void teardown(void)
{
	plan_pads_free(&pads);
}

TestSuite(plan_jump, .init = setup, .fini = teardown);

/* What is there already: that of another instruction which happens to lead to @to. */
static void note(u64 to)
{
	struct arch_patch p = {.addr = to - 0x1000000, .len = 5};
	struct arch_jump j = {.to = to, .stub = to + 0x10000};

	plan_pads_note(&pads, &p, &j, 1);
}

/* The jump of the instruction of @len bytes at @addr, followed by @behind. */
static bool jump(u64 addr, u8 len, u32 behind, u64 stub, u64 exe_end, struct arch_jump *j)
{
	static const u8 insns[6][5] = {{0},
				       {0x55},
				       {0x41, 0x54},
				       {0x48, 0x89, 0xe5},
				       {0x48, 0x83, 0xec, 8},
				       {0xb8, 1, 2, 3, 4}};
	u8 text[9];
	struct arch_patch p;

	memcpy(text, insns[len], len);
	memcpy(text + len, &behind, sizeof(behind));
	cr_assert_eq(arch_patch_plan(text, sizeof(text), addr, &p), 0);
	*j = (struct arch_jump){.stub = stub};
	return plan_jump(&pads, &maps, exe_end, &p, text, sizeof(text), j);
}

/* Where the jump at @addr leads to when a debugger has its break instruction in byte @k of it. */
static u64 with_break(u64 addr, u64 to, u32 k)
{
	u32 rel = (u32)(to - addr - ARCH_JUMP_LEN);

	memset((u8 *)&rel + k - 1, 0xcc, 1);
	return addr + ARCH_JUMP_LEN + (u64)(s64)(s32)rel;
}

Test(plan_jump, a_long_instruction_leads_to_its_stub)
{
	struct arch_jump j;

	cr_assert(jump(LIB, 5, 0, LIB - 0x10000000, 0, &j));
	cr_assert_eq(j.to, j.stub);
	cr_assert_eq(pads.n, 0);
}

Test(plan_jump, so_does_a_short_one_that_happens_to)
{
	struct arch_jump j;

	/* four bytes: the upper one is dictated, 0xf0 for -256 MiB */
	cr_assert(jump(LIB + 0x1000, 4, 0xf0, LIB + 0x1005 - 0x0fffff00, 0, &j));
	cr_assert_eq(j.to, j.stub);
}

Test(plan_jump, else_to_a_pad_where_the_bytes_say)
{
	struct arch_jump j;

	cr_assert(jump(LIB, 1, 0xe0000010, LIB - 0x10000, 0, &j));
	cr_assert_eq(j.to, LIB + 5 - 0x20000000 + 0x10);
	cr_assert_eq(pads.n, 1);
}

Test(plan_jump, two_that_lead_to_the_same_bytes_are_one)
{
	struct arch_jump j;

	cr_assert(jump(LIB + 0x100, 1, 0xe0000000, LIB - 0x10000, 0, &j));
	cr_assert_not(jump(LIB + 0x103, 1, 0xe0000000, LIB - 0x10000, 0, &j));
	cr_assert(jump(LIB + 0x105, 1, 0xe0000000, LIB - 0x10000, 0, &j));
	cr_assert_eq(pads.n, 1, "on the same page");
}

/* 0xe0000000 and so on: pages far from each other, each with a pad at its own offset. */
Test(plan_jump, pages_share_memory)
{
	struct arch_jump j;
	u32 sheet;

	for (u32 i = 0; i < 16; i++) {
		cr_assert(jump(LIB + 16 * i, 1, 0xe0000000 + (i << 20), LIB - 0x10000, 0, &j));
		sheet = plan_pads_sheet(&pads, j.to);
		cr_assert_eq(sheet, 1);
	}
	cr_assert_eq(pads.n, 16);
	cr_assert_eq(pads.nsheets, 1);
	/* the same offset in its page as the first one has */
	cr_assert(jump(LIB + 0x1000, 1, 0xe2000000 - 0x1000, LIB - 0x10000, 0, &j));
	cr_assert_eq(j.to % EBPFRT_PAGE_SIZE, 5);
	cr_assert_eq(plan_pads_sheet(&pads, j.to), 2, "another sheet");
	cr_assert_eq(plan_pads_sheet(&pads, LIB), 0, "no pad at all");
}

/* On the page that a break point leads to no other page's pad may show through. */
Test(plan_jump, no_sheet_has_anything_where_jumps_lead_astray)
{
	u64 astray = with_break(LIB, LIB + 5 - 0x20000000 + 0x909090, 4);
	u64 other = LIB - 0x10000000 + astray % EBPFRT_PAGE_SIZE;
	struct arch_jump j;

	cr_assert(jump(LIB, 1, 0xe0909090, LIB - 0x10000, 0, &j));
	/* a pad at the same offset of another page, and one on the page itself */
	cr_assert(jump(LIB + 0x40, 1, (u32)(other - LIB - 0x45), LIB - 0x10000, 0, &j));
	cr_assert_eq(j.to, other);
	cr_assert(jump(LIB + 0x80, 1, (u32)(astray + 64 - LIB - 0x85), LIB - 0x10000, 0, &j));
	cr_assert_eq(j.to, astray + 64);
	cr_assert_neq(plan_pads_sheet(&pads, astray), 0);
	cr_assert_neq(plan_pads_sheet(&pads, astray), plan_pads_sheet(&pads, other));
	/* nor does one come there later */
	cr_assert(jump(LIB + 0xc0, 1, (u32)(other + 0x100000 - LIB - 0xc5), LIB - 0x10000, 0, &j));
	cr_assert_neq(plan_pads_sheet(&pads, astray), plan_pads_sheet(&pads, j.to));
}

Test(plan_jump, a_closed_page_gets_nothing)
{
	struct arch_patch p = {.addr = LIB + 0x100000, .len = 5};
	u64 to = LIB + 5 - 0x20000000;
	struct arch_jump j = {.to = to, .stub = LIB - 0x20000};

	plan_pads_note(&pads, &p, &j, 0);
	cr_assert_eq(plan_pads_sheet(&pads, to), 0);
	cr_assert_not(jump(LIB + 16, 1, 0xe0000000, LIB - 0x10000, 0, &j));
	cr_assert(jump(LIB + 16, 1, 0xe0001000, LIB - 0x10000, 0, &j), "the next page");
	plan_pads_note(&pads, &p, &(struct arch_jump){.to = to + 0x2000, .stub = 1}, 9999);
	cr_assert_eq(plan_pads_sheet(&pads, to + 0x2000), 0, "no such sheet");
}

Test(plan_jump, what_was_there_before_is_left_alone)
{
	struct arch_jump j;

	note(LIB + 5 - 0x20000000);
	cr_assert_not(jump(LIB, 1, 0xe0000000, LIB - 0x10000, 0, &j));
	cr_assert(jump(LIB, 2, 0xe00000, LIB - 0x10000, 0, &j), "one byte to choose");
	cr_assert_geq(j.to, LIB + 5 - 0x20000000 + 5);
}

Test(plan_jump, none_over_what_is_mapped)
{
	struct arch_jump j;

	cr_assert_not(jump(LIB, 1, 0x1000, LIB - 0x10000, 0, &j));
}

Test(plan_jump, none_across_the_end_of_a_page)
{
	struct arch_jump j;

	cr_assert_not(jump(LIB, 1, 0xdffffffc - 5, LIB - 0x10000, 0, &j));
}

Test(plan_jump, none_where_the_heap_will_be)
{
	struct arch_jump j;

	cr_assert_not(jump(EXE + 0x1000, 1, 0x10000000, EXE - 0x10000, EXE + 0x10000, &j));
	cr_assert(jump(EXE + 0x1000, 1, 0x50000000, EXE - 0x10000, EXE + 0x10000, &j));
	cr_assert(jump(EXE + 0x1000, 1, 0xf0000000, EXE - 0x10000, EXE + 0x10000, &j));
}

Test(plan_jump, none_that_a_break_point_leads_to_code)
{
	u64 astray = LIB + 5 - 0x34000000;
	struct arch_jump j;

	mapping(1, astray, 0x1000000, "/lib/other.so");
	cr_assert(jump(LIB, 4, 0xe0, LIB - 0x10000, 0, &j), "to data");
	plan_pads_free(&pads);
	v[1].prot = PROT_EXEC;
	cr_assert_not(jump(LIB, 4, 0xe0, LIB - 0x10000, 0, &j), "any choice leads there");
	cr_assert(jump(LIB, 5, 0xe0, LIB - 0x10000, 0, &j), "all bytes are its own");
	v[1].end = v[1].start + 0x800000;
	cr_assert(jump(LIB, 4, 0xe0, LIB - 0x10000, 0, &j), "half of them don't");
	cr_assert_geq(with_break(LIB, j.to, 4), v[1].end);
}

Test(plan_jump, none_that_a_break_point_leads_to_another)
{
	struct arch_jump j;

	/* behind it are nops, and the first byte of a loopne */
	note(LIB + 5 - 0x34000000 + 0x909090);
	cr_assert_not(jump(LIB, 1, 0xe0909090, LIB - 0x10000, 0, &j));
	cr_assert(jump(LIB, 1, 0xe0909190, LIB - 0x10000, 0, &j));
	cr_assert_not(jump(LIB + 0x100, 1, 0xcc909090, LIB - 0x10000, 0, &j),
		      "nor is one put where that leads");
	/* in the middle of a mov of five bytes nobody sets one */
	note(LIB + 0x305 - 0x34000000 + 0x9090b8);
	cr_assert(jump(LIB + 0x300, 1, 0x909090b8, LIB - 0x10000, 0, &j));
}

/* push; mov, whose bytes lead into the library: a break where the mov begins, anything else. */
Test(plan_jump, over_what_follows)
{
	static const u8 text[] = {0x55, 0xba, 1, 0, 0, 0, 0x48, 0x89, 0xe5, 0xc3};
	struct arch_jump j = {.stub = LIB - 0x10000000}, none = j;
	u8 bytes[ARCH_JUMP_LEN];
	struct arch_patch p;

	cr_assert_eq(arch_patch_plan(text, sizeof(text), LIB + 0x100, &p), 0);
	cr_assert_not(plan_jump(&pads, &maps, 0, &p, text, sizeof(text), &j), "a pun");
	cr_assert_not(plan_jump_over(&pads, &maps, 0, &p, text, sizeof(text), &none),
		      "none that the stub doesn't execute");
	j.follow = 5;
	cr_assert(plan_jump_over(&pads, &maps, 0, &p, text, sizeof(text), &j));
	arch_jump_bytes(p.addr, j.to, bytes);
	cr_assert_eq(bytes[1], ARCH_BREAK);
	cr_assert_eq(j.own, ARCH_JUMP_LEN);
	cr_assert_eq(j.inner, 1 << 1);
	cr_assert(probe_maps_is_free(&maps, j.to, ARCH_JUMP_LEN));
	cr_assert_neq(plan_pads_sheet(&pads, j.to), 0);
}

/* In the first 2 GiB: bytes that stay lead above the program, where breaks would lead below it. */
Test(plan_jump, over_some_of_what_follows)
{
	static const u8 text[] = {0x41, 0x57, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54, 0x55, 0xc3};
	struct arch_jump j = {.stub = 0x4000000, .follow = 4};
	u8 bytes[ARCH_JUMP_LEN];
	struct arch_patch p;

	mapping(0, 0x400000, 0x10000, "/bin/program");
	cr_assert_eq(arch_patch_plan(text, sizeof(text), 0x401000, &p), 0);
	/* where the pun would lead */
	mapping(1, 0x41965000, 0x2000, "");
	cr_assert_not(plan_jump(&pads, &maps, 0, &p, text, sizeof(text), &j));
	cr_assert(plan_jump_over(&pads, &maps, 0, &p, text, sizeof(text), &j));
	arch_jump_bytes(p.addr, j.to, bytes);
	cr_assert_eq(bytes[2], ARCH_BREAK);
	cr_assert_eq(bytes[4], 0x41, "of the third instruction nothing changes");
	cr_assert_eq(j.own, 4);
	cr_assert_eq(j.inner, 1 << 2);
	cr_assert(!(j.to >> 31));
}

Test(plan_jump, many_never_share_a_byte)
{
	static u64 taken[4000], astray[4000];
	u32 nastray = 0;
	unsigned int seed = (unsigned int)time(NULL);
	u32 n = 0, refused = 0;

	cr_log_info("seed %u", seed);
	for (u32 i = 0; i < ARRAY_SIZE(taken); i++) {
		u8 len = (u8)(1 + rand_r(&seed) % 4);
		struct arch_jump j;

		if (!jump(LIB + 64 * i, len, (u32)rand_r(&seed) % 64 << 26, LIB - 0x10000, 0, &j)) {
			refused++;
			continue;
		}
		for (u32 k = 0; k < n; k++)
			cr_assert(taken[k] >= j.to + ARCH_JUMP_LEN ||
				  j.to >= taken[k] + ARCH_JUMP_LEN);
		taken[n++] = j.to;
		/* right behind it there is a boundary in any case */
		if (with_break(LIB + 64 * i, j.to, len) != j.to)
			astray[nastray++] = with_break(LIB + 64 * i, j.to, len);
	}
	for (u32 i = 0; i < nastray; i++)
		for (u32 k = 0; k < n; k++)
			cr_assert_geq(astray[i] - taken[k], ARCH_JUMP_LEN);
	/* nor any byte of a sheet */
	for (u32 i = 0; i < n; i++)
		for (u32 k = 0; k < i; k++)
			cr_assert(!plan_pads_sheet(&pads, taken[i]) ||
				  plan_pads_sheet(&pads, taken[i]) !=
					  plan_pads_sheet(&pads, taken[k]) ||
				  labs((long)(taken[i] % EBPFRT_PAGE_SIZE) -
				       (long)(taken[k] % EBPFRT_PAGE_SIZE)) >= ARCH_JUMP_LEN);
	cr_log_info("%u taken, %u refused, %u pages, %u sheets", n, refused, pads.n, pads.nsheets);
	cr_assert_gt(n, 100);
}
