/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random programs, judged by the explorer and by the running kernel. What the kernel takes must be
 * taken. What only we take is rare: our numbers know more of 32-bit shifts, of tests that can't
 * come true and of many links; each is printed, to be looked at. EBPFRT_RANDOM_PROGRAMS says how
 * many, EBPFRT_RANDOM_SEED which. Skipped where the kernel's BPF is not to be had.
 */
#include <time.h>

#include "tests/unit/core_load/verify_case.h"

static u64 state;

static u32 any(u32 n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (u32)(state >> 33) % n;
}

static s32 any_imm(void)
{
	static const s32 some[] = {0, 1, -1, 7, 8, 16, 63, 255, 4096, INT32_MAX, INT32_MIN};

	return any(4) ? some[any(ARRAY_SIZE(some))] : (s32)any(100);
}

struct program {
	struct verify_case c;
	u32 n, len;
};

static void put(struct program *p, struct bpf_insn in)
{
	p->c.insns[p->n++] = in;
}

/* mostly numbers: R0, R6-R9; the stack is R10, the context R1 until the first call */
static u32 number_reg(void)
{
	static const u8 regs[] = {0, 6, 7, 8, 9};

	return regs[any(ARRAY_SIZE(regs))];
}

static void put_alu(struct program *p)
{
	/* what our domain knows no more of than the kernel's */
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_OR,  BPF_AND, BPF_LSH,
				 BPF_RSH, BPF_XOR, BPF_MOV, BPF_ARSH};
	u8 op = ops[any(ARRAY_SIZE(ops))], class = any(3) ? BPF_ALU64 : BPF_ALU;
	bool shift = op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH;
	s32 imm = shift ? (s32)any(32) : any_imm();

	if (any(2))
		put(p, INSN(class | op | BPF_X, number_reg(), number_reg(), 0, 0));
	else
		put(p, INSN(class | op, number_reg(), 0, 0, imm));
}

static void put_cond(struct program *p)
{
	static const u8 ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,	 BPF_JLT, BPF_JLE,
				 BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};
	u8 op = ops[any(ARRAY_SIZE(ops))], class = any(3) ? BPF_JMP : BPF_JMP32;
	u32 dst = number_reg(), src = number_reg();
	s16 off = any(8) ? (s16)(1 + any(4)) : (s16) - (s32)(1 + any(6));

	if ((s32)p->n + off < 3 || p->n + (u32)(s32)off + 1 >= p->len)
		off = 0;
	if (any(2) && dst != src) /* of a number and itself we know more */
		put(p, INSN(class | op | BPF_X, dst, src, off, 0));
	else
		put(p, INSN(class | op, dst, 0, off, any_imm()));
}

static void put_stack(struct program *p)
{
	static const u8 sizes[] = {BPF_DW, BPF_DW, BPF_W, BPF_H, BPF_B};
	static const u8 bytes[] = {8, 8, 4, 2, 1};
	u32 k = any(ARRAY_SIZE(sizes));
	s16 off = (s16) - (s32)(bytes[k] * (1 + any(32 / bytes[k])));

	if (any(3) == 0)
		put(p, INSN(BPF_ST | BPF_MEM | sizes[k], 10, 0, off, any_imm()));
	else if (any(2))
		put(p, STX(sizes[k], 10, number_reg(), off));
	else
		put(p, LDX(sizes[k], number_reg(), 10, off));
}

/* an access that depends on what is known of a number */
static void put_access(struct program *p)
{
	u32 r = number_reg();

	if (p->n + 6 >= p->len)
		return;
	if (any(2))
		put(p, ALU64_IMM(BPF_AND, r, (s32)any(64)));
	put(p, MOV_REG(2, 10));
	put(p, ALU64_IMM(BPF_ADD, 2, -(s32)(8 + any(64))));
	put(p, ALU64_REG(BPF_ADD, 2, r));
	put(p, any(2) ? ST(BPF_B, 2, 0, 1) : LDX(BPF_B, number_reg(), 2, 0));
}

static void put_one(struct program *p)
{
	u32 what = any(16);

	if (what < 7)
		put_alu(p);
	else if (what < 11)
		put_cond(p);
	else if (what < 14)
		put_stack(p);
	else if (what < 15)
		put_access(p);
	else
		put(p, RANDOM());
}

static void generate(struct program *p)
{
	static const u8 regs[] = {6, 7, 8, 9};

	memset(p, 0, sizeof(*p));
	p->len = 12 + any(CASE_INSNS - 16);
	put(p, RANDOM());
	for (u32 i = 0; i < ARRAY_SIZE(regs); i++)
		put(p, any(2) ? MOV_REG(regs[i], 0) : MOV_IMM(regs[i], any_imm()));
	while (p->n + 2 < p->len)
		put_one(p);
	put(p, MOV_IMM(0, 0));
	put(p, EXIT());
}

static u64 number_of(const char *name, u64 other)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : other;
}

static void tell(const struct program *p, const struct verdict *a, const struct verdict *b)
{
	char text[128];

	for (u32 i = 0; i < p->n; i++) {
		ebpf_disasm(&p->c.insns[i], text, sizeof(text));
		fprintf(stderr, "%3u: %s\n", i, text);
	}
	fprintf(stderr, "ours %d:\n%s\nkernel %d:\n%s\n", a->err,
		a->log + (strlen(a->log) > 2000 ? strlen(a->log) - 2000 : 0), b->err,
		b->log + (strlen(b->log) > 2000 ? strlen(b->log) - 2000 : 0));
}

Test(verify_random, beside_the_kernel)
{
	u64 count = number_of("EBPFRT_RANDOM_PROGRAMS", 200);
	u64 seed = number_of("EBPFRT_RANDOM_SEED", 1);
	u32 refused = 0, taken = 0;

	if (!kernel_there())
		cr_skip("no BPF of the kernel's to compare with");
	for (u64 i = 0; i < count; i++) {
		struct verdict ours, kernels;
		struct program p;

		state = (seed + i) * 0x9e3779b97f4a7c15u | 1;
		generate(&p);
		ours = case_ours(&p.c, 4);
		kernels = case_kernel(&p.c, 4);
		if (!ours.err != !kernels.err) {
			refused += ours.err != 0;
			taken += ours.err == 0;
			fprintf(stderr, "seed %llu\n", (unsigned long long)(seed + i));
			tell(&p, &ours, &kernels);
		}
		verdict_free(&ours);
		verdict_free(&kernels);
	}
	cr_expect_eq(refused, 0, "%u of %llu only refused by us, from seed %llu", refused,
		     (unsigned long long)count, (unsigned long long)seed);
	cr_expect_leq(taken, 2 + count / 100, "%u of %llu only taken by us, from seed %llu", taken,
		      (unsigned long long)count, (unsigned long long)seed);
}
