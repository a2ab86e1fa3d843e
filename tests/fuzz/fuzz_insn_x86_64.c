/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine code from strangers: what the decoder takes has a length that fits, what the planner
 * takes can be handed to an agent, can be moved wherever it says it can, and what it does not do
 * leaves the registers alone.
 */
#include <string.h>

#include "arch/arch.h"
#include "arch/x86_64/insn.h"
#include "osl/osl.h"
#include "tests/fuzz/fuzz.h"

#define ADDR 0x555555555000ull

static u64 stack[64];

static void move(struct arch_patch *p, u64 slot)
{
	u64 lo, hi;

	arch_patch_slot_range(p, &lo, &hi);
	FUZZ_CHECK(lo <= hi);
	if (!slot || slot < lo || slot > hi) /* 0 stands for no slot */
		return;
	FUZZ_CHECK(!arch_patch_relocate(p, slot));
	FUZZ_CHECK(p->slot == slot && p->slot_len && p->slot_len <= ARCH_SLOT_SIZE);
	FUZZ_CHECK(arch_patch_valid(p));
}

static void place(const struct arch_patch *plan)
{
	const u64 where[] = {0x10000, ADDR - 0x40000000, ADDR & ~0xfffull, ADDR + 0x7f000000,
			     0x7ffff7ff0000};
	struct arch_patch p;
	u64 lo, hi;

	arch_patch_slot_range(plan, &lo, &hi);
	p = *plan;
	move(&p, lo);
	p = *plan;
	move(&p, hi);
	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		p = *plan;
		move(&p, where[i]);
	}
}

/* Registers that point nowhere but the stack: loads through them fail, which must change nothing.
 */
static void step(const struct arch_patch *p)
{
	struct arch_regs regs, before;
	static bool ready;

	if (!ready) {
		osl_trap_init_self();
		osl_fault_handler_install();
	}
	ready = true;
	memset(&regs, 0, sizeof(regs));
	regs.sp = (u64)(uintptr_t)&stack[32];
	regs.ip = p->addr;
	before = regs;
	if (arch_patch_step(p, &regs))
		FUZZ_CHECK(!memcmp(&regs, &before, sizeof(regs)));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct arch_insn in;
	struct arch_patch p;
	int len = arch_insn_len(data, size), r;

	r = arch_insn_decode(data, size, &in);
	FUZZ_CHECK(r ? len == r : len == in.len);
	FUZZ_CHECK(len < ARCH_MAX_INSN && len <= (int)size);
	r = arch_patch_plan(data, size, ADDR, &p);
	if (r) {
		FUZZ_CHECK(arch_patch_refusal(r));
		return 0;
	}
	FUZZ_CHECK(p.len == len && p.addr == ADDR && !memcmp(p.insn, data, p.len));
	if (arch_patch_needs_slot(&p)) {
		place(&p);
		return 0;
	}
	FUZZ_CHECK(arch_patch_valid(&p));
	step(&p);
	return 0;
}

size_t fuzz_seed(u32 i, u8 out[FUZZ_MAX])
{
	static const char *const all[] = {
		"\x55",
		"\xe8\1\2\3\4",
		"\x0f\x85\1\2\3\4",
		"\x48\x8b\5\1\2\3\4",
		"\xff\x25\1\2\3\4",
		"\xf3\x0f\x1e\xfa",
		"\xc5\xf8\x10\5\1\2\3\4",
		"\x62\xf1\x7c\x48\x10\5\1\2\3\4",
		"\x65\xff\x14\x25\1\2\3\4",
		"\xd5\x10\x8b\5\1\2\3\4",
		"\xe2\xfe",
		"\xc2\x08\1",
		"\x48\x81\x3d\1\2\3\4\5\6\7\x08",
	};

	if (i >= ARRAY_SIZE(all))
		return 0;
	memset(out, 0x90, ARCH_MAX_INSN);
	memcpy(out, all[i], strlen(all[i]));
	return ARCH_MAX_INSN;
}
