/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads that may fault and go on: what is there is loaded, what isn't is 0, by every register, of
 * every size, on both engines; nothing else changes.
 */
#include <criterion/criterion.h>
#include <unistd.h>

#include "arch/arch.h"
#include "core/load/vprog.h"
#include "tests/support/engine.h"

#define BOTH_ENGINES(jit) for (int jit = 0; jit <= (arch_jit_machine != 0); jit++)
#define REGS 10u

static struct engine engine;
static u8 *page; /* the one behind it can't be read */

static bool fix(struct arch_regs *regs)
{
	return ebpf_prog_fixup(&engine.prog, regs);
}

static void init(void)
{
	osl_trap_init_self();
	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_fault_hook(fix);
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(page, MAP_FAILED);
	cr_assert_eq(mprotect(page + 4096, 4096, PROT_NONE), 0);
	for (u32 i = 0; i < 4096; i++)
		page[i] = (u8)(i * 37 + 0x81);
}

TestSuite(jit_probe, .init = init);

/* @p is what was verified: the loads in it that the proof calls contained. */
static u64 run(const struct bpf_insn *p, u32 n, bool jit, u32 *aborted)
{
	struct ebpf_run r = {.kind = EBPF_RUN_TEST};
	u16 insn[64] = {0};
	struct ebpf_facts facts = {.insn = insn};
	u64 r0;

	for (u32 i = 0; i < n; i++)
		insn[i] = BPF_CLASS(p[i].code) == BPF_LDX ? EBPF_FACT_PROBES : 0;
	engine = (struct engine){.load.facts = &facts};
	cr_assert_eq(engine_load(&engine, p, n, jit), 0, "%s", engine.text);
	r0 = engine_run(&engine, NULL, &r);
	*aborted = r.aborted;
	engine_close(&engine);
	return r0;
}

/* Every register has a number of its own; a load; then @result of them: that one, or ~0: the sum of
 * those that had nothing to do with it. */
static u64 load(u8 code, u32 dst, u32 src, u64 addr, s16 off, u32 result, bool jit)
{
	struct bpf_insn p[64];
	const struct bpf_insn at[2] = {LDDW(src, addr)};
	u32 n = 0, aborted;
	u64 r0;

	for (u32 i = 0; i < REGS; i++)
		p[n++] = MOV_IMM(i, 1 << i);
	p[n++] = at[0];
	p[n++] = at[1];
	p[n++] = INSN(code, dst, src, off, 0);
	if (result != ~0u && result != 0)
		p[n++] = MOV_REG(0, result);
	if (result == ~0u) {
		if (dst == 0 || src == 0)
			p[n++] = MOV_IMM(0, 0);
		for (u32 i = 1; i < REGS; i++)
			if (i != dst && i != src)
				p[n++] = ALU64_REG(BPF_ADD, 0, i);
	}
	p[n++] = EXIT();
	r0 = run(p, n, jit, &aborted);
	cr_expect(!aborted);
	return r0;
}

static u64 value_at(const u8 *at, u32 size, bool sign)
{
	u64 v = 0;

	memcpy(&v, at, size);
	return sign ? (u64)((s64)(v << (64 - 8 * size)) >> (64 - 8 * size)) : v;
}

static const u8 sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};

/* What load() says of the others. */
static u64 others(u32 dst, u32 src)
{
	u64 sum = (1 << REGS) - 1;

	return sum & ~(1ull << dst) & ~(1ull << src);
}

static void check(u32 dst, u32 src, u32 k, bool sign, bool jit)
{
	const u32 size = 1u << k;
	const u8 code = (u8)(BPF_LDX | (sign ? BPF_MEMSX : BPF_MEM) | sizes[k]);
	const u64 wrong[] = {0,
			     8,
			     (u64)page + 4096,
			     (u64)page + 8192 - 4,
			     1ull << 63,
			     0xffff800000000000ull,
			     ~0ull,
			     0x8000000000001000ull};
	const u64 there = (u64)page + 100;

	cr_expect_eq(load(code, dst, src, there - 7, 7, dst, jit), value_at(page + 100, size, sign),
		     "r%u = [r%u], %u bytes%s, jit %d", dst, src, size, sign ? ", signed" : "",
		     jit);
	cr_expect_eq(load(code, dst, src, there, 0, ~0u, jit), others(dst, src));
	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		cr_expect_eq(load(code, dst, src, wrong[i], 0, dst, jit), 0,
			     "r%u = [r%u] at %#llx, %u bytes, jit %d", dst, src,
			     (unsigned long long)wrong[i], size, jit);
		cr_expect_eq(load(code, dst, src, wrong[i], 0, ~0u, jit), others(dst, src));
	}
}

Test(jit_probe, every_load_by_every_register)
{
	BOTH_ENGINES(jit)
	for (u32 dst = 0; dst < REGS; dst++)
		for (u32 src = 0; src < REGS; src++)
			for (u32 k = 0; k < 4; k++)
				for (u32 sign = 0; sign < (k < 3 ? 2u : 1u); sign++)
					check(dst, src, k, sign, jit);
}

/* Partly there is not there. */
Test(jit_probe, across_the_end)
{
	BOTH_ENGINES(jit)
	for (u32 k = 1; k < 4; k++)
		for (u32 before = 1; before < 1u << k; before++)
			cr_expect_eq(load((u8)(BPF_LDX | BPF_MEM | sizes[k]), 3, 4,
					  (u64)page + 4096 - before, 0, 3, jit),
				     0);
}

/* One after the other, with a jump among them, and a fault in each: the program goes on. */
Test(jit_probe, goes_on)
{
	const struct bpf_insn p[] = {
		MOV_IMM(6, 0),
		MOV_IMM(0, 0),
		LDDW(7, page + 4096),
		LDX(BPF_DW, 1, 7, 0),
		ALU64_REG(BPF_ADD, 0, 1),
		LDX(BPF_W, 2, 7, -4),
		ALU64_REG(BPF_ADD, 0, 2),
		LDX(BPF_H, 7, 7, 2),
		ALU64_REG(BPF_ADD, 0, 7),
		ALU64_IMM(BPF_ADD, 6, 1),
		JMP_IMM(BPF_JLT, 6, 50, -10),
		EXIT(),
	};
	u32 last, aborted;

	memcpy(&last, page + 4092, sizeof(last));
	BOTH_ENGINES(jit)
	{
		cr_expect_eq(run(p, ARRAY_SIZE(p), jit, &aborted), 50ull * last, "jit %d", jit);
		cr_expect(!aborted);
	}
}
