/* SPDX-License-Identifier: BSD-2-Clause */
/* Planning: bytes in, kind or refusal out; slots and what they reach. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "arch/arch.h"
#include "arch/x86_64/insn.h"

#define ADDR 0x555555555000ull

static size_t unhex(const char *hex, u8 *out, size_t cap)
{
	size_t n = 0;
	unsigned int b;
	int used;

	while (n < cap && sscanf(hex, " %2x%n", &b, &used) == 1) {
		out[n++] = (u8)b;
		hex += used;
	}
	return n;
}

static int plan(const char *hex, struct arch_patch *p)
{
	u8 code[32];
	size_t n = unhex(hex, code, sizeof(code));

	return arch_patch_plan(code, n, ADDR, p);
}

/* clang-format off */
static const struct {
	const char *hex;
	u8 kind;
} kinds[] = {
	{ "90", ARCH_PATCH_SKIP },
	{ "66 90", ARCH_PATCH_SKIP },
	{ "48 90", ARCH_PATCH_SKIP },
	{ "0f 1f 44 00 00", ARCH_PATCH_SKIP },
	{ "66 2e 0f 1f 84 00 00 00 00 00", ARCH_PATCH_SKIP },
	{ "f3 0f 1e fa", ARCH_PATCH_SKIP },
	{ "f3 0f 1e fb", ARCH_PATCH_SKIP },
	{ "f3 90", ARCH_PATCH_SLOT }, /* pause */
	{ "41 90", ARCH_PATCH_SLOT }, /* xchg %r8,%rax */
	{ "f3 48 0f 1e c8", ARCH_PATCH_SLOT }, /* rdsspq */
	{ "55", ARCH_PATCH_PUSH },
	{ "41 57", ARCH_PATCH_PUSH },
	{ "54", ARCH_PATCH_PUSH },
	{ "6a ff", ARCH_PATCH_PUSH },
	{ "68 01 02 03 04", ARCH_PATCH_PUSH },
	{ "66 50", ARCH_PATCH_SLOT },
	{ "66 68 01 02", ARCH_PATCH_SLOT },
	{ "ff 30", ARCH_PATCH_SLOT }, /* push (%rax) */
	{ "e8 01 02 03 04", ARCH_PATCH_CALL },
	{ "67 e8 01 02 03 04", ARCH_PATCH_CALL },
	{ "f2 e8 01 02 03 04", ARCH_PATCH_CALL },
	{ "66 66 48 e8 01 02 03 04", ARCH_PATCH_CALL },
	{ "eb 05", ARCH_PATCH_JMP },
	{ "f2 e9 01 02 03 04", ARCH_PATCH_JMP },
	{ "d5 00 a1 01 02 03 04 05 06 07 08", ARCH_PATCH_JMP },
	{ "74 05", ARCH_PATCH_JCC },
	{ "3e 74 05", ARCH_PATCH_JCC },
	{ "f2 0f 85 01 02 03 04", ARCH_PATCH_JCC },
	{ "e2 fe", ARCH_PATCH_LOOP },
	{ "67 e3 fe", ARCH_PATCH_LOOP },
	{ "c3", ARCH_PATCH_RET },
	{ "f3 c3", ARCH_PATCH_RET },
	{ "f2 c3", ARCH_PATCH_RET },
	{ "c2 08 00", ARCH_PATCH_RET },
	{ "ff e0", ARCH_PATCH_JMP_IND },
	{ "3e ff e0", ARCH_PATCH_JMP_IND }, /* notrack */
	{ "f2 ff 25 01 02 03 04", ARCH_PATCH_JMP_IND }, /* bnd, as in a PLT */
	{ "ff 24 c5 01 02 03 04", ARCH_PATCH_JMP_IND },
	{ "ff d0", ARCH_PATCH_CALL_IND },
	{ "41 ff 54 24 08", ARCH_PATCH_CALL_IND },
	{ "48 89 e5", ARCH_PATCH_SLOT },
	{ "48 8b 05 01 02 03 04", ARCH_PATCH_SLOT },
	{ "f0 48 ff 05 01 02 03 04", ARCH_PATCH_SLOT },
	{ "64 48 8b 04 25 28 00 00 00", ARCH_PATCH_SLOT },
	{ "f3 48 a5", ARCH_PATCH_SLOT },
	{ "9c", ARCH_PATCH_SLOT },
	{ "9d", ARCH_PATCH_SLOT },
	{ "c9", ARCH_PATCH_SLOT },
	{ "0f a2", ARCH_PATCH_SLOT },
	{ "0f 01 ef", ARCH_PATCH_SLOT }, /* wrpkru */
	{ "0f 01 e8", ARCH_PATCH_SLOT }, /* serialize */
	{ "0f 01 d0", ARCH_PATCH_SLOT }, /* xgetbv */
	{ "0f 01 d5", ARCH_PATCH_SLOT }, /* xend */
	{ "f3 48 0f ae d0", ARCH_PATCH_SLOT }, /* wrfsbase */
	{ "0f c7 f0", ARCH_PATCH_SLOT }, /* rdrand */
	{ "62 f1 fe 48 6f 05 01 02 03 04", ARCH_PATCH_SLOT },
};

static const struct {
	const char *hex, *phrase;
} refused[] = {
	{ "06", "unknown opcode" },
	{ "e8 01 02", "the instruction is cut off by the end of the code" },
	{ "cc", "the instruction is a breakpoint already" },
	{ "66 e8 01 02 03 04", "16-bit branch displacement" },
	{ "66 e9 01 02 03 04", "16-bit branch displacement" },
	{ "66 0f 84 01 02 03 04", "16-bit branch displacement" },
	{ "66 eb 01", "16-bit branch displacement" },
	{ "66 c3", "16-bit branch displacement" },
	{ "66 ff e0", "16-bit branch displacement" },
	{ "cb", "far transfer of control" },
	{ "ca 08 00", "far transfer of control" },
	{ "48 cf", "far transfer of control" },
	{ "ff 18", "far transfer of control" },
	{ "48 ff 28", "far transfer of control" },
	{ "0f 34", "far transfer of control" },
	{ "cd 80", "it is a software interrupt" },
	{ "f1", "it is a software interrupt" },
	{ "0f 0b", "it is an undefined instruction on purpose (a trap)" },
	{ "0f b9 c0", "it is an undefined instruction on purpose (a trap)" },
	{ "f4", "it is a privileged instruction" },
	{ "fa", "it is a privileged instruction" },
	{ "e4 01", "it is a privileged instruction" },
	{ "6c", "it is a privileged instruction" },
	{ "0f 30", "it is a privileged instruction" },
	{ "0f 20 c0", "it is a privileged instruction" },
	{ "0f 01 f8", "it is a privileged instruction" },
	{ "0f 01 10", "it is a privileged instruction" },
	{ "0f 01 c1", "it enters an enclave or a virtual machine" },
	{ "8e d0", "it loads the stack segment, which holds traps back" },
	{ "0f b2 00", "it loads the stack segment, which holds traps back" },
	{ "67 8b 05 01 02 03 04", "its address is relative to a 32-bit instruction pointer" },
	{ "64 ff 10", "it branches through thread-local memory (%fs or %gs)" },
	{ "c7 f8 01 02 03 04", "it begins a transaction, which a probe would abort" },
	{ "f3 0f 01 28", "it manipulates the shadow stack" },
	{ "f3 0f 01 ea", "it manipulates the shadow stack" },
	{ "0f 38 f6 00", "it manipulates the shadow stack" },
	{ "f3 0f 01 ee", "it controls user interrupts" },
	{ "f0 90", "its lock prefix makes it invalid" },
	{ "0f 05", "it is a system call whose number is not a constant just before it" },
};
/* clang-format on */

Test(patch, kinds)
{
	struct arch_patch p;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int err = plan(kinds[i].hex, &p);

		cr_expect(!err && p.kind == kinds[i].kind, "%s: error %d, kind %d, not %d",
			  kinds[i].hex, err, p.kind, kinds[i].kind);
		if (!err && p.kind == ARCH_PATCH_SLOT)
			cr_expect_eq(arch_patch_relocate(&p, ADDR + 0x10000), 0, "%s",
				     kinds[i].hex);
		cr_expect(arch_patch_valid(&p), "%s: not valid", kinds[i].hex);
	}
}

Test(patch, refusals_in_words)
{
	struct arch_patch p = {.kind = 77};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		int err = plan(refused[i].hex, &p);

		cr_expect_lt(err, 0, "%s is not refused", refused[i].hex);
		cr_expect_str_eq(arch_patch_refusal(err), refused[i].phrase, "%s", refused[i].hex);
	}
	cr_expect_eq(p.kind, 77, "a refusal changes nothing");
}

Test(patch, direct_targets)
{
	struct arch_patch p;

	cr_assert_eq(plan("eb fe", &p), 0);
	cr_expect_eq(p.target, ADDR);
	cr_assert_eq(plan("e8 00 00 00 80", &p), 0);
	cr_expect_eq(p.target, ADDR + 5 - 0x80000000ull);
	cr_assert_eq(plan("0f 8f ff ff ff 7f", &p), 0);
	cr_expect_eq(p.target, ADDR + 6 + 0x7fffffff);
	cr_expect_eq(p.cond, 0xf);
	cr_assert_eq(plan("d5 00 a1 01 02 03 04 05 06 00 00", &p), 0);
	cr_expect_eq(p.target, 0x060504030201ull);
}

Test(patch, operands)
{
	struct arch_patch p;

	cr_assert_eq(plan("43 ff 64 ac f8", &p), 0); /* jmp *-8(%r12,%r13,4) */
	cr_expect(p.op.base == 12 && p.op.index == 13 && p.op.scale == 4 && p.op.disp == -8);
	cr_assert_eq(plan("ff 14 25 00 10 00 00", &p), 0); /* call *0x1000 */
	cr_expect(p.op.base == ARCH_NO_REG && p.op.index == ARCH_NO_REG && p.op.disp == 0x1000);
	cr_assert_eq(plan("ff 24 24", &p), 0); /* jmp *(%rsp) */
	cr_expect(p.op.base == 4 && p.op.index == ARCH_NO_REG);
	cr_assert_eq(plan("ff 15 f0 ff ff ff", &p), 0); /* call *-16(%rip) */
	cr_expect(p.op.base == ARCH_NO_REG && (u64)p.op.disp == ADDR + 6 - 16);
	cr_assert_eq(plan("67 41 ff 65 00", &p), 0); /* jmp *(%r13d) */
	cr_expect(p.op.base == 13 && p.op.addr32 == 1);
}

Test(patch, system_calls)
{
	static const u8 site[] = {0xb8, 14, 0, 0, 0, 0x0f, 0x05};
	static const u8 wide[] = {0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05};
	static const u8 far[] = {0xb8, 14, 0, 0,    0,	  0x41, 0xb8, 8,
				 0,    0,  0, 0x4d, 0x89, 0xc2, 0x0f, 0x05};
	static const u8 again[] = {0xb8, 1, 0, 0, 0, 0xb8, 14, 0, 0, 0, 0x0f, 0x05};
	struct arch_patch p;
	u32 nr, len;

	cr_expect_eq(arch_syscall_site(site, sizeof(site), &nr, &len), 5);
	cr_expect(nr == 14 && len == 2);
	cr_expect_eq(arch_syscall_site(wide, sizeof(wide), &nr, &len), 7);
	cr_expect_eq(nr, 15);
	/* mov $0xe,%eax; mov $8,%r8d; mov %r8,%r10; syscall: r8 is another register, eax isn't */
	cr_expect_eq(arch_syscall_site(far, sizeof(far), &nr, &len), 14);
	cr_expect_eq(nr, 14);
	cr_expect_eq(arch_syscall_site(again, sizeof(again), &nr, &len), -ENOENT);
	cr_expect_eq(arch_syscall_site(site, sizeof(site) - 1, &nr, &len), -ENOENT);
	cr_expect_eq(arch_syscall_site(site + 5, 2, &nr, &len), -ENOENT);
	cr_expect_eq(arch_patch_plan_syscall(site + 5, 2, ADDR, 14, &p), 0);
	cr_expect(arch_patch_needs_slot(&p) && p.len == 2);
	cr_expect_str_eq(arch_patch_refusal(arch_patch_plan_syscall(site + 5, 2, ADDR, 15, &p)),
			 "it returns from a signal handler");
	cr_expect_lt(arch_patch_plan_syscall(site, 5, ADDR, 14, &p), 0);
}

/* --- slots --- */

Test(patch, slot_ends_in_a_jump_back)
{
	static const u8 near[] = {0x48, 0x89, 0xe5, 0xe9, 0xfb, 0xff, 0xfe, 0xff};
	static const u8 far[] = {0x48, 0x89, 0xe5, 0xff, 0x25, 7,    0,	   0,	 0,    0,    0, 0,
				 0,    0,    0,	   0,	 0x03, 0x50, 0x55, 0x55, 0x55, 0x55, 0, 0};
	struct arch_patch p;
	u64 lo, hi;

	cr_assert_eq(plan("48 89 e5", &p), 0);
	arch_patch_slot_range(&p, &lo, &hi);
	cr_expect(lo == 0 && hi > 0x7fffffff0000ull, "goes anywhere");
	cr_assert_eq(arch_patch_relocate(&p, ADDR + 0x10000), 0);
	cr_expect_eq(p.slot, ADDR + 0x10000);
	cr_expect_eq(p.slot_len, sizeof(near));
	cr_expect_arr_eq(p.slot_bytes, near, sizeof(near));
	cr_assert_eq(arch_patch_relocate(&p, 0x10000), 0);
	cr_expect_eq(p.slot_len, sizeof(far));
	cr_expect_arr_eq(p.slot_bytes, far, sizeof(far));
}

/* A program that has alignment checked (EFLAGS.AC) comes back as well. */
Test(patch, far_jump_reads_an_aligned_address)
{
	static const char *const samples[] = {"48 89 e5",
					      "89 e5",
					      "90 90",
					      "48 8d 64 24 08",
					      "48 81 ec 88 00 00 00",
					      "48 c7 44 24 08 01 00 00 00"};
	struct arch_patch p;
	u64 to;
	s32 disp;

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		for (u64 slot = 0x10000; slot < 0x10008; slot++) {
			const u8 *jump = p.slot_bytes;

			cr_assert_eq(plan(samples[i], &p), 0);
			if (!arch_patch_needs_slot(&p))
				continue;
			jump = p.slot_bytes + p.len;
			cr_assert_eq(arch_patch_relocate(&p, slot), 0);
			cr_assert(jump[0] == 0xff && jump[1] == 0x25, "%s", samples[i]);
			memcpy(&disp, jump + 2, sizeof(disp));
			cr_expect_eq((slot + p.len + 6 + (u64)disp) % 8, 0, "%s", samples[i]);
			cr_assert(p.len + 6 + disp + 8 == p.slot_len, "%s", samples[i]);
			memcpy(&to, jump + 6 + disp, sizeof(to));
			cr_expect_eq(to, p.addr + p.len, "%s", samples[i]);
		}
}

/* The ends of the range reach, one further does not. */
Test(patch, slot_range_is_exact)
{
	static const char *const samples[] = {"48 8b 05 10 00 00 00", "80 3d 00 00 00 80 07",
					      "66 0f 6f 05 ff ff ff 7f", "c5 fe 6f 05 00 01 00 00"};
	struct arch_patch p;
	u64 lo, hi;

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		cr_assert_eq(plan(samples[i], &p), 0);
		arch_patch_slot_range(&p, &lo, &hi);
		cr_expect_eq(arch_patch_relocate(&p, lo), 0, "%s: lo", samples[i]);
		cr_expect_eq(arch_patch_relocate(&p, hi), 0, "%s: hi", samples[i]);
		p.slot = 1;
		cr_expect_eq(arch_patch_relocate(&p, lo - 1), -ERANGE, "%s: lo - 1", samples[i]);
		cr_expect_eq(arch_patch_relocate(&p, hi + 1), -ERANGE, "%s: hi + 1", samples[i]);
		cr_expect_eq(p.slot, 1, "a failure changes nothing");
	}
}

/* Decoded again at the slot, the copy points to the same place. */
Test(patch, slot_keeps_the_address)
{
	static const char *const samples[] = {
		"48 8d 05 10 00 00 00",		 "66 81 3d 10 00 00 00 34 12",
		"c7 05 10 00 00 00 01 02 03 04", "66 0f 3a 0f 05 10 00 00 00 08",
		"c4 e3 7d 39 05 10 00 00 00 01", "62 f3 7d 48 3e 0d 10 00 00 00 04",
		"f0 0f b1 0d 10 00 00 00"};
	struct arch_insn before, after;
	struct arch_patch p;
	u64 slot = ADDR - 0x7000123;

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		cr_assert_eq(plan(samples[i], &p), 0);
		cr_assert_eq(arch_patch_relocate(&p, slot), 0);
		cr_assert_eq(arch_insn_decode(p.insn, p.len, &before), 0);
		cr_assert_eq(arch_insn_decode(p.slot_bytes, p.len, &after), 0);
		cr_expect_eq(before.len, after.len);
		cr_expect_eq(ADDR + p.len + (u64)(s64)before.disp,
			     slot + p.len + (u64)(s64)after.disp, "%s", samples[i]);
		cr_expect_eq(before.imm, after.imm);
	}
}

/* --- the agent's check --- */

Test(patch, nonsense_is_not_valid)
{
	struct arch_patch good, p;

	cr_assert_eq(plan("48 89 e5", &good), 0);
	cr_expect(!arch_patch_valid(&good), "no slot yet");
	cr_assert_eq(arch_patch_relocate(&good, ADDR + 0x1000), 0);
	cr_expect(arch_patch_valid(&good));
	p = good, p.kind = ARCH_PATCH_KINDS;
	cr_expect(!arch_patch_valid(&p));
	p = good, p.kind = ARCH_PATCH_NONE;
	cr_expect(!arch_patch_valid(&p));
	p = good, p.len = 0;
	cr_expect(!arch_patch_valid(&p));
	p = good, p.len = 16;
	cr_expect(!arch_patch_valid(&p));
	p = good, p.slot_len = 200;
	cr_expect(!arch_patch_valid(&p));
	p = good, p.addr = ~0ull;
	cr_expect(!arch_patch_valid(&p));
	p = good, p.kind = ARCH_PATCH_LOOP, p.cond = 0xe4;
	cr_expect(!arch_patch_valid(&p));
	p = good, p.kind = ARCH_PATCH_JMP_IND, p.op.base = 16;
	cr_expect(!arch_patch_valid(&p));
	p = good, p.kind = ARCH_PATCH_JMP_IND, p.op.scale = 3;
	cr_expect(!arch_patch_valid(&p));
	p = good, p.kind = ARCH_PATCH_JMP_IND, p.op.seg = 4;
	cr_expect(!arch_patch_valid(&p));
}

Test(patch, native_returns)
{
	static const u8 ret[] = {0xc2, 0x10, 0}, call[] = {0xe8, 0, 0, 0, 0}, nop[] = {0x90};
	struct arch_patch p;

	cr_assert_eq(arch_patch_plan(ret, sizeof(ret), 0x1000, &p), 0);
	cr_assert(arch_patch_native(&p) && arch_patch_needs_slot(&p));
	cr_assert_eq(arch_patch_relocate(&p, 0x2000), 0);
	cr_expect(arch_patch_valid(&p) && !memcmp(p.slot_bytes, ret, sizeof(ret)));
	cr_assert_eq(arch_patch_plan(call, sizeof(call), 0x1000, &p), 0);
	cr_expect(!arch_patch_native(&p));
	cr_assert_eq(arch_patch_plan(nop, sizeof(nop), 0x1000, &p), 0);
	cr_expect(arch_patch_native(&p) && !arch_patch_needs_slot(&p));
}
