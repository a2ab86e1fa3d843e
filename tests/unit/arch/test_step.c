/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU as the oracle: each instruction runs natively and through its plan (emulated, or from its
 * slot) from the same random registers, flags, stack and data, and everything must come out alike.
 *
 * Samples with each kind of operand; test_forms does the same with what libraries consist of.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "arch/arch.h"
#include "arch/x86_64/insn.h"
#include "machine.h"
#include "osl/osl_trap.h"

#define AREA MACHINE_AREA
#define CODE_AT 0x4000 /* of the instruction in the code area; everything else is breaks */
#define FLAGS_VARY MACHINE_FLAGS_VARY
#define FLAGS_FIXED MACHINE_FLAGS_FIXED

static bool memory_fails;

int osl_read(void *dst, const void *src, size_t len)
{
	if (memory_fails)
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}

int osl_write(void *dst, const void *src, size_t len)
{
	return osl_read(dst, src, len);
}

int osl_touch(u64 addr, bool write, struct osl_fault *out)
{
	(void)addr, (void)write;
	*out = (struct osl_fault){.trap = 14};
	return memory_fails ? -EFAULT : 0;
}

/* --- running code with given registers --- */

static u8 *code, *slots, *data; /* data is the stack, too */
static unsigned int seed;
static struct machine machine;

static void native(struct arch_regs *regs)
{
	machine.regs = *regs;
	for (int i = 0; i < 256; i++)
		machine.xstate[160 + i] = (u8)(i * 7 + 3);
	machine_run(&machine);
	cr_assert_eq(machine.sig, SIGTRAP);
	*regs = machine.regs;
	regs->flags &= FLAGS_VARY | FLAGS_FIXED;
	regs->flags |= FLAGS_FIXED;
}

static void setup(void)
{
	if (!machine_setup(true))
		cr_skip_test("no writable and executable memory here");
	code = machine_code;
	data = machine_data;
	slots = machine_slots;
	machine_fill_xstate(&machine, 0);
	seed = (unsigned int)getpid();
	cr_log_info("seed %u", seed);
}

TestSuite(step, .init = setup);

static u64 random64(void)
{
	return (u64)rand_r(&seed) << 42 ^ (u64)rand_r(&seed) << 21 ^ (u64)rand_r(&seed);
}

/* A place in the code area that holds a break. */
static u64 random_target(void)
{
	return (u64)code + CODE_AT + 0x100 + (u64)(rand_r(&seed) % 0x1000);
}

static u64 *word(struct arch_regs *regs, u8 reg)
{
	u64 *by_number[16] = {&regs->ax,  &regs->cx,  &regs->dx,  &regs->bx, &regs->sp,	 &regs->bp,
			      &regs->si,  &regs->di,  &regs->r8,  &regs->r9, &regs->r10, &regs->r11,
			      &regs->r12, &regs->r13, &regs->r14, &regs->r15};

	return by_number[reg];
}

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

/* Write the instruction into the code area and plan its probe. */
static struct arch_patch put(const char *hex)
{
	u8 bytes[16];
	size_t n = unhex(hex, bytes, sizeof(bytes));
	struct arch_patch p;
	int err;

	memset(code + CODE_AT, 0xcc, sizeof(bytes));
	memcpy(code + CODE_AT, bytes, n);
	err = arch_patch_plan(bytes, n, (u64)code + CODE_AT, &p);
	cr_assert_eq(err, 0, "%s: %s", hex, arch_patch_refusal(err));
	cr_assert_eq(p.len, n, "%s", hex);
	return p;
}

static struct arch_regs random_regs(void)
{
	struct arch_regs regs;

	for (size_t i = 0; i < sizeof(regs) / 8; i++)
		((u64 *)&regs)[i] = random64();
	regs.sp = (u64)data + AREA / 2;
	regs.ip = (u64)code + CODE_AT;
	regs.flags = FLAGS_FIXED | (random64() & FLAGS_VARY);
	return regs;
}

static void fill_data(void)
{
	for (size_t i = 0; i < AREA; i += 8) {
		u64 v = random_target();

		memcpy(data + i, &v, sizeof(v));
	}
}

static void same(const char *what, const struct arch_regs *a, const struct arch_regs *b)
{
	static const char *const names[] = {"r15", "r14", "r13", "r12", "bp",	 "bx", "r11",
					    "r10", "r9",  "r8",	 "ax",	"cx",	 "dx", "si",
					    "di",  NULL,  "ip",	 NULL,	"flags", "sp", NULL};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i])
			cr_assert_eq(((const u64 *)a)[i], ((const u64 *)b)[i],
				     "%s: %s is %lx, natively %lx (seed %u)", what, names[i],
				     ((const u64 *)a)[i], ((const u64 *)b)[i], seed);
}

/* Natively and by arch_patch_step() from @regs. */
static void compare(const char *what, const struct arch_patch *p, struct arch_regs regs)
{
	static u8 before[AREA], after[AREA];
	struct arch_regs emulated = regs;

	cr_assert(arch_patch_valid(p), "%s", what);
	memcpy(before, data, AREA);
	native(&regs);
	memcpy(after, data, AREA);
	memcpy(data, before, AREA);
	emulated.ip = p->addr + 1;
	cr_assert_eq(arch_patch_step(p, &emulated), 0, "%s", what);
	same(what, &emulated, &regs);
	cr_assert_eq(memcmp(data, after, AREA), 0, "%s: memory differs", what);
}

static void compare_often(const char *hex)
{
	for (int i = 0; i < 50; i++) {
		struct arch_patch p = put(hex);

		fill_data();
		compare(hex, &p, random_regs());
	}
}

/* --- emulated kinds --- */

Test(step, nops)
{
	static const char *const nops[] = {"90",	  "66 90",
					   "48 90",	  "0f 1f 44 00 00",
					   "f3 0f 1e fa", "66 2e 0f 1f 84 00 00 00 00 00",
					   "0f 1f c0"};

	for (size_t i = 0; i < ARRAY_SIZE(nops); i++)
		compare_often(nops[i]);
}

Test(step, push)
{
	char hex[16];

	for (int reg = 0; reg < 8; reg++) {
		snprintf(hex, sizeof(hex), "%02x", 0x50 + reg);
		compare_often(hex);
		snprintf(hex, sizeof(hex), "41 %02x", 0x50 + reg);
		compare_often(hex);
	}
	compare_often("6a 7f");
	compare_often("6a 80");
	compare_often("68 78 56 34 12");
	compare_often("68 78 56 34 f2");
}

Test(step, call_and_jmp)
{
	compare_often("e8 00 01 00 00");
	compare_often("e8 00 ff ff ff");
	compare_often("67 e8 00 01 00 00");
	compare_often("66 66 48 e8 00 01 00 00");
	compare_often("eb 10");
	compare_often("eb 80");
	compare_often("e9 00 02 00 00");
	compare_often("f2 e9 00 02 00 00");
}

/* Every condition with every combination of the flags it may look at. */
Test(step, jcc)
{
	static const u64 bits[] = {0x1, 0x4, 0x10, 0x40, 0x80, 0x800};
	char hex[32];

	for (int cc = 0; cc < 16; cc++) {
		for (int form = 0; form < 2; form++) {
			struct arch_patch p;

			snprintf(hex, sizeof(hex), form ? "0f %02x 40 00 00 00" : "%02x 40",
				 (form ? 0x80 : 0x70) + cc);
			p = put(hex);
			for (int mix = 0; mix < 64; mix++) {
				struct arch_regs regs = random_regs();

				regs.flags = FLAGS_FIXED;
				for (int b = 0; b < 6; b++)
					regs.flags |= mix >> b & 1 ? bits[b] : 0;
				compare(hex, &p, regs);
			}
		}
	}
}

Test(step, loops)
{
	static const u64 counts[] = {0, 1, 2, 0x100000000, 0x100000001, 0xffffffff00000000, ~0ull};
	char hex[16];

	for (int op = 0xe0; op <= 0xe3; op++) {
		for (int half = 0; half < 2; half++) {
			struct arch_patch p;

			snprintf(hex, sizeof(hex), "%s%02x 20", half ? "67 " : "", op);
			p = put(hex);
			for (size_t i = 0; i < 4 * ARRAY_SIZE(counts); i++) {
				struct arch_regs regs = random_regs();

				regs.cx = counts[i / 4];
				compare(hex, &p, regs);
			}
		}
	}
}

Test(step, ret)
{
	compare_often("c3");
	compare_often("f3 c3");
	compare_often("f2 c3");
	compare_often("c2 10 00");
	compare_often("c2 00 80");
}

/* Where the displacement is in the sample: the only place for it is right behind ModRM. */
static void aim_at_data(char *hex, size_t cap, const char *sample)
{
	u8 bytes[16];
	size_t n = unhex(sample, bytes, sizeof(bytes)), used = 0;
	struct arch_insn in;
	s32 disp;

	cr_assert_eq(arch_insn_decode(bytes, n, &in), 0, "%s", sample);
	if (in.rip_relative) {
		disp = (s32)(data + 0x1000 - (code + CODE_AT + n));
		memcpy(bytes + in.disp_off, &disp, sizeof(disp));
	}
	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(hex + used, cap - used, "%02x ", bytes[i]);
}

/* Point the registers of a memory operand into the data area, then compare. */
static void compare_indirect(const char *sample)
{
	struct arch_patch p;
	char hex[64];

	aim_at_data(hex, sizeof(hex), sample);
	p = put(hex);
	for (int i = 0; i < 50; i++) {
		struct arch_regs regs = random_regs();

		fill_data();
		if (p.op.is_reg)
			*word(&regs, p.op.reg) = random_target();
		if (p.op.index != ARCH_NO_REG)
			*word(&regs, p.op.index) = (u64)(rand_r(&seed) % 0x100) * 8;
		if (p.op.base != ARCH_NO_REG && p.op.base != 4)
			*word(&regs, p.op.base) = (u64)data + 0x1000 +
						  (u64)(rand_r(&seed) % 0x100) * 8 +
						  (p.op.addr32 ? 0x1234500000000 : 0);
		compare(hex, &p, regs);
	}
}

Test(step, indirect)
{
	static const char *const forms[] = {
		"ff e0",
		"41 ff e4",
		"3e ff e1",
		"f2 ff d2",
		"41 ff d7",
		"ff d5",
		"ff 20",
		"41 ff 24 24",
		"ff 65 00",
		"41 ff 65 08",
		"ff a0 00 02 00 00",
		"ff 24 24",
		"ff 64 24 10",
		"ff 54 24 08",
		"ff 14 24",
		"ff 24 c8",
		"42 ff 24 e0",
		"43 ff 64 ac 08",
		"41 ff 54 4d 10",
		"67 ff 20",
		"67 41 ff 52 08",
		"ff 15 00 00 00 00",
		"ff 25 00 00 00 00",
		"3e ff 20",
		"48 ff 60 08",
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		compare_indirect(forms[i]);
}

Test(step, indirect_through_an_absolute_address)
{
	u32 at = (u32)(u64)data + 0x800;
	char hex[64];

	snprintf(hex, sizeof(hex), "ff 14 25 %02x %02x %02x %02x", at & 0xff, at >> 8 & 0xff,
		 at >> 16 & 0xff, at >> 24);
	compare_indirect(hex);
	snprintf(hex, sizeof(hex), "ff 24 cd %02x %02x %02x %02x", at & 0xff, at >> 8 & 0xff,
		 at >> 16 & 0xff, at >> 24);
	compare_indirect(hex);
}

Test(step, a_fault_changes_nothing)
{
	static const char *const forms[] = {"50",	"6a 01", "e8 00 00 00 00", "c3",
					    "c2 08 00", "ff 20", "ff 10",	   "ff d0"};

	memory_fails = true;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct arch_patch p = put(forms[i]);
		struct arch_regs regs = random_regs(), before = regs;

		cr_expect_eq(arch_patch_step(&p, &regs), -EFAULT, "%s", forms[i]);
		cr_expect_eq(memcmp(&regs, &before, sizeof(regs)), 0, "%s", forms[i]);
	}
}

/* --- slots --- */

#define NEEDS_BMI2 1
#define NEEDS_AVX2 2
#define NEEDS_AVX512 3

/* clang-format off */
static const struct slot_sample {
	const char *hex; /* a displacement of zeros where the operand is ip-relative */
	u8 needs;
} slot_samples[] = {
	{ "48 89 e5" }, { "48 83 ec 18" }, { "c9" }, { "9c" }, { "5b" }, { "66 50" },
	{ "f3 90" }, { "41 90" }, { "48 8d 44 24 08" },
	{ "64 48 8b 04 25 00 00 00 00" },
	{ "48 8b 05 00 00 00 00" }, { "4c 8b 3d 00 00 00 00" }, { "49 8b 05 00 00 00 00" },
	{ "48 8d 0d 00 00 00 00" }, { "66 8b 15 00 00 00 00" }, { "8a 1d 00 00 00 00" },
	{ "80 3d 00 00 00 00 07" }, { "66 81 3d 00 00 00 00 34 12" },
	{ "81 05 00 00 00 00 01 02 03 04" }, { "48 83 2d 00 00 00 00 05" },
	{ "48 c7 05 00 00 00 00 01 02 03 04" }, { "66 c7 05 00 00 00 00 01 02" },
	{ "f6 05 00 00 00 00 10" }, { "66 f7 05 00 00 00 00 10 20" },
	{ "48 69 05 00 00 00 00 01 02 03 04" }, { "66 6b 05 00 00 00 00 07" },
	{ "f0 48 ff 05 00 00 00 00" }, { "f0 48 0f b1 0d 00 00 00 00" },
	{ "c1 25 00 00 00 00 03" }, { "0f ba 2d 00 00 00 00 05" },
	{ "48 0f a4 05 00 00 00 00 09" }, { "ff 35 00 00 00 00" }, { "8f 05 00 00 00 00" },
	{ "48 0f b6 05 00 00 00 00" }, { "0f 95 05 00 00 00 00" },
	{ "66 0f 6f 05 00 00 00 00" }, { "66 0f 7f 0d 00 00 00 00" },
	{ "66 0f 70 05 00 00 00 00 1b" }, { "66 0f 3a 0f 05 00 00 00 00 05" },
	{ "66 0f 38 00 05 00 00 00 00" }, { "f2 0f 10 05 00 00 00 00" },
	{ "66 0f c4 05 00 00 00 00 02" }, { "0f 5a 05 00 00 00 00" },
	{ "c4 e3 fb f0 05 00 00 00 00 0d", NEEDS_BMI2 }, /* rorx */
	{ "c4 e2 fb f7 05 00 00 00 00", NEEDS_BMI2 },	 /* shrx */
	{ "c5 fa 6f 05 00 00 00 00", NEEDS_AVX2 },
	{ "c5 f9 70 05 00 00 00 00 1b", NEEDS_AVX2 },
	{ "c5 fe 7f 05 00 00 00 00", NEEDS_AVX2 },
	{ "c4 e3 7d 39 05 00 00 00 00 01", NEEDS_AVX2 },
	{ "c4 e3 79 0f 05 00 00 00 00 04", NEEDS_AVX2 },
	{ "62 f1 fe 48 7f 05 00 00 00 00", NEEDS_AVX512 },
	{ "62 f1 7c 48 58 05 00 00 00 00", NEEDS_AVX512 },
	{ "62 f3 fd 48 03 05 00 00 00 00 03", NEEDS_AVX512 },
};
/* clang-format on */

static bool cpu_has(u8 needs)
{
	switch (needs) {
	case NEEDS_BMI2:
		return __builtin_cpu_supports("bmi2");
	case NEEDS_AVX2:
		return __builtin_cpu_supports("avx2");
	case NEEDS_AVX512:
		return __builtin_cpu_supports("avx512f");
	default:
		return true;
	}
}

static void compare_slot(const char *sample)
{
	static u8 before[AREA], after[AREA], xmm[16][16];
	struct arch_regs regs = random_regs(), from_slot;
	struct arch_patch p;
	char hex[64];

	aim_at_data(hex, sizeof(hex), sample);
	p = put(hex);
	cr_assert(arch_patch_needs_slot(&p), "%s", sample);
	cr_assert_eq(arch_patch_relocate(&p, (u64)slots + (u64)(rand_r(&seed) % 0x8000)), 0);
	cr_assert(arch_patch_valid(&p), "%s", sample);
	memset(slots, 0xcc, AREA);
	memcpy((u8 *)p.slot, p.slot_bytes, p.slot_len);
	regs.bp = regs.sp + 64;
	from_slot = regs;
	for (size_t i = 0; i < AREA; i++)
		data[i] = (u8)rand_r(&seed);
	memcpy(before, data, AREA);
	native(&regs);
	memcpy(after, data, AREA);
	memcpy(xmm, machine.xstate + 160, sizeof(xmm));
	memcpy(data, before, AREA);
	cr_assert_eq(arch_patch_step(&p, &from_slot), 0);
	native(&from_slot);
	same(sample, &from_slot, &regs);
	cr_assert_eq(memcmp(data, after, AREA), 0, "%s: memory differs", sample);
	cr_assert_eq(memcmp(machine.xstate + 160, xmm, sizeof(xmm)), 0, "%s: xmm differs", sample);
}

Test(step, slots_as_native)
{
	for (size_t i = 0; i < ARRAY_SIZE(slot_samples); i++)
		for (int k = 0; k < 10 && cpu_has(slot_samples[i].needs); k++)
			compare_slot(slot_samples[i].hex);
}

/* From a slot that a near jump does not reach. */
Test(step, far_slot)
{
	u8 *far = mmap((void *)0x7e0000000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct arch_regs regs = random_regs(), from_slot = regs;
	struct arch_patch p = put("48 89 e5");

	cr_assert_neq(far, MAP_FAILED);
	cr_assert_eq(arch_patch_relocate(&p, (u64)far), 0);
	memcpy(far, p.slot_bytes, p.slot_len);
	native(&regs);
	cr_assert_eq(arch_patch_step(&p, &from_slot), 0);
	native(&from_slot);
	same("far slot", &from_slot, &regs);
}
