/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random loads, stores, spills, atomics and calls that touch memory, judged by both phases and by
 * the running kernel. What the kernel takes must be taken. What only we take is rare: a number that
 * we know less of makes an access vary that is fixed for the kernel, which other rules are for;
 * each is printed, to be looked at. EBPFRT_RANDOM_PROGRAMS says how many, EBPFRT_RANDOM_SEED which.
 * Skipped where the kernel's BPF is not to be had.
 *
 * In every program: R6 the context, R7 a map's value, R8 0 or 8, R9 a number, R1-R3 what happens.
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

static const u8 sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};

struct program {
	struct verify_case c;
	u32 n;
};

static void put(struct program *p, struct bpf_insn in)
{
	if (p->n < CASE_INSNS - 4)
		p->c.insns[p->n++] = in;
}

static u8 any_reg(void)
{
	static const u8 regs[] = {0, 1, 2, 3, 6, 7, 8, 9};

	return regs[any(ARRAY_SIZE(regs))];
}

/* mostly the start of one of four slots */
static s16 slot_off(u32 k)
{
	s32 off = -8 * (s32)(1 + any(4));

	if (!any(3))
		off += (s32)((1u << k) * any(8u >> k));
	return (s16)off;
}

static s16 value_off(u32 k)
{
	return (s16)((1u << k) * any(56u >> k));
}

static void put_stack(struct program *p, u32 k)
{
	u32 wide = any(2) ? 3 : k;

	switch (any(4)) {
	case 0:
		put(p, ST(sizes[k], 10, slot_off(k), any(3) ? 0 : (s32)any(300) - 20));
		break;
	case 1:
		put(p, STX(sizes[wide], 10, any_reg(), slot_off(wide)));
		break;
	case 2:
		put(p, INSN(BPF_LDX | BPF_MEMSX | sizes[k % 3], 2, 10, slot_off(k % 3), 0));
		break;
	default:
		put(p, LDX(sizes[wide], (u8)(1 + any(3)), 10, slot_off(wide)));
	}
}

/* the stack or the value at a place that may vary */
static void put_variable(struct program *p, u32 k)
{
	bool stack = any(2);
	s16 off = stack ? 0 : (s16)((s32)any(56) - 4);

	put(p, MOV_REG(3, stack ? 10 : 7));
	if (stack)
		put(p, ALU64_IMM(BPF_ADD, 3, -8 * (s32)(1 + any(4))));
	put(p, ALU64_REG(BPF_ADD, 3, 8));
	if (any(2))
		put(p, ST(sizes[k], 3, off, (s32)any(2)));
	else
		put(p, LDX(sizes[k], 2, 3, off));
}

static void put_value(struct program *p, u32 k)
{
	if (any(2))
		put(p, LDX(sizes[k], 0, 7, value_off(k)));
	else
		put(p, STX(sizes[k], 7, any_reg(), value_off(k)));
}

static void put_call(struct program *p)
{
	put(p, MOV_REG(1, 10));
	put(p, ALU64_IMM(BPF_ADD, 1, -(s32)any(40)));
	put(p, any(2) ? MOV_IMM(2, (s32)any(24)) : MOV_REG(2, 8));
	put(p, MOV_IMM(3, 0));
	put(p, CALL(any(2) ? BPF_FUNC_probe_read_user : BPF_FUNC_probe_read_user_str));
}

static void put_atomic(struct program *p)
{
	u8 size = any(2) ? BPF_DW : BPF_W;

	put(p, INSN(BPF_STX | BPF_ATOMIC | size, any(2) ? 10 : 7, any(2) ? 8 : 9, any(2) ? -8 : -16,
		    any(2) ? BPF_ADD : BPF_ADD | BPF_FETCH));
}

static void put_one(struct program *p)
{
	u32 k = any(4);

	switch (any(10)) {
	case 0:
		put_variable(p, k);
		break;
	case 1:
		put_value(p, k);
		break;
	case 2:
		put_call(p);
		break;
	case 3:
		put_atomic(p);
		break;
	case 4:
		put(p, JMP_IMM(any(2) ? BPF_JGT : BPF_JEQ, any_reg(), (s32)any(20), 1));
		break;
	case 5:
		put(p, LDX(BPF_DW, 2, (u8)(1 + any(3)), (s16)(8 * any(3))));
		break;
	default:
		put_stack(p, k);
	}
}

static void generate(struct program *p)
{
	static const struct bpf_insn begin[] = {
		MOV_REG(6, 1), VALUE_AT(7, CASE_ARRAY, 0), RANDOM(),	  ALU64_IMM(BPF_AND, 0, 8),
		MOV_REG(8, 0), LDX(BPF_DW, 9, 6, 0),	   MOV_IMM(1, 5), MOV_REG(2, 7),
		MOV_REG(3, 10)};

	memset(p, 0, sizeof(*p));
	p->c.name = "random";
	for (u32 i = 0; i < ARRAY_SIZE(begin); i++)
		put(p, begin[i]);
	for (u32 i = 2 + any(12); i; i--)
		put_one(p);
	/* two, so that a jump over one is none into nothing */
	p->c.insns[p->n++] = (struct bpf_insn)MOV_IMM(0, 0);
	p->c.insns[p->n++] = (struct bpf_insn)MOV_IMM(0, 0);
	p->c.insns[p->n++] = (struct bpf_insn)EXIT();
}

static u64 number_of(const char *name, u64 other)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : other;
}

static void tell(u64 seed, const struct verdict *ours, const struct verdict *kernels)
{
	fprintf(stderr, "seed %llu, ours %d:\n%s\nkernel %d:\n%s\n", (unsigned long long)seed,
		ours->err, ours->log, kernels->err, kernels->log);
}

Test(verify_access, beside_the_kernel)
{
	u64 count = number_of("EBPFRT_RANDOM_PROGRAMS", 300);
	u64 seed = number_of("EBPFRT_RANDOM_SEED", 1);
	u32 refused = 0, taken = 0;

	if (!kernel_there())
		cr_skip("no BPF of the kernel's to compare with");
	for (u64 i = 0; i < count; i++) {
		struct verdict ours, kernels;
		struct program p;

		state = (seed + i) * 0x9e3779b97f4a7c15u | 1;
		generate(&p);
		ours = case_ours(&p.c, 1);
		kernels = case_kernel(&p.c, 1);
		refused += ours.err && !kernels.err;
		taken += !ours.err && kernels.err;
		if (!ours.err != !kernels.err)
			tell(seed + i, &ours, &kernels);
		verdict_free(&ours);
		verdict_free(&kernels);
	}
	cr_expect_eq(refused, 0, "%u of %llu only refused by us, from seed %llu", refused,
		     (unsigned long long)count, (unsigned long long)seed);
	cr_expect_leq(taken, 2 + count / 100, "%u of %llu only taken by us, from seed %llu", taken,
		      (unsigned long long)count, (unsigned long long)seed);
}
