/* SPDX-License-Identifier: BSD-2-Clause */
/* Where jumps lead: to their stub when they can, else to a pad that nobody else has. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <criterion/criterion.h>

#include "daemon/plan_jump.h"

#define LIB 0x7f0000000000ull
#define EXE 0x555500000000ull

static struct plan_pads pads;
static struct probe_mapping v[3];
static const struct probe_maps maps = {.v = v, .n = 3};

static void mapping(u32 i, u64 start, u64 size, const char *path)
{
	v[i] = (struct probe_mapping){.start = start, .end = start + size, .path = (char *)path};
}

static void setup(void)
{
	mapping(0, EXE, 0x10000, "/bin/program");
	mapping(1, LIB, 0x200000, "/lib/libc.so");
	mapping(2, 0x7ffe00000000, 0x21000, "[stack]");
}

static void teardown(void)
{
	plan_pads_free(&pads);
}

TestSuite(plan_jump, .init = setup, .fini = teardown);

/* The jump of the instruction of @len bytes at @addr, followed by @behind. */
static bool jump(u64 addr, u8 len, u32 behind, u64 stub, u64 exe_end, struct arch_jump *j)
{
	static const u8 insns[6][5] = {
		{0}, {0x55}, {0x41, 0x54}, {0x48, 0x89, 0xe5}, {0x48, 0x83, 0xec, 8}, {0xb8, 1, 2, 3, 4}};
	u8 text[9];
	struct arch_patch p;

	memcpy(text, insns[len], len);
	memcpy(text + len, &behind, sizeof(behind));
	cr_assert_eq(arch_patch_plan(text, sizeof(text), addr, &p), 0);
	*j = (struct arch_jump){.stub = stub};
	return plan_jump(&pads, &maps, exe_end, &p, text, sizeof(text), j);
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

Test(plan_jump, what_was_there_before_is_left_alone)
{
	struct arch_jump j;

	plan_pads_note(&pads, LIB + 5 - 0x20000000);
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

Test(plan_jump, many_never_share_a_byte)
{
	static u64 taken[4000];
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
			cr_assert(taken[k] >= j.to + ARCH_JUMP_LEN || j.to >= taken[k] + ARCH_JUMP_LEN);
		taken[n++] = j.to;
	}
	cr_log_info("%u taken, %u refused, %u pages", n, refused, pads.n);
	cr_assert_gt(n, 100);
}
