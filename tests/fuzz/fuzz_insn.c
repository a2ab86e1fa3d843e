/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions from strangers. The bytes go through the loader as they are, which must refuse them
 * or make an image, with and without code. Then they are tamed: fields of no meaning are cleared,
 * memory operands point into the frame, jumps go forward, calls go to one function of ours. What
 * results ends, touches nothing else, and is run by interpreter and JIT with equal results, the
 * registers and the frame included.
 *
 * A run of untamed programs would prove nothing: they may write anywhere in this process.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/support/engine.h"

#define MAX_BODY 384u
#define SLOTS 64 /* words of a frame */
#define MAX_PROGRAM (MAX_BODY + 4 * SLOTS + 80)

struct program {
	struct bpf_insn insns[MAX_PROGRAM];
	u32 n;
};

static void put(struct program *p, struct bpf_insn in)
{
	FUZZ_CHECK(p->n < MAX_PROGRAM);
	p->insns[p->n++] = in;
}

/* --- as it is --- */

static void load_raw(const struct bpf_insn *insns, u32 n, u32 flags)
{
	int verdict[2];

	for (u32 jit = 0; jit < 2; jit++) {
		char text[512];
		struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};
		struct ebpf_load load = {.insns = insns, .ninsns = n, .log = &log};

		load.prog_type = BPF_PROG_TYPE_KPROBE;
		load.check_flags = flags;
		load.want_jit = jit;
		verdict[jit] = ebpf_load_build(&load);
		FUZZ_CHECK(verdict[jit] <= 0 && !load.image == !!verdict[jit]);
		FUZZ_CHECK(!verdict[jit] || log.len);
		free(load.image);
	}
	FUZZ_CHECK(verdict[0] == verdict[1]);
}

/* --- tamed --- */

static void tame_alu(struct bpf_insn *in)
{
	static const s32 widths[] = {16, 32, 64, 16};
	static const s16 extend[] = {0, 8, 16, 32};
	u8 op = BPF_OP(in->code);
	bool x = BPF_SRC(in->code) == BPF_X;

	if (op == BPF_END) {
		if (BPF_CLASS(in->code) == BPF_ALU64)
			in->code &= (u8)~BPF_X;
		*in = INSN(in->code, in->dst_reg, 0, 0, widths[in->imm & 3]);
		return;
	}
	if (op > BPF_END)
		op = BPF_XOR;
	if (op == BPF_NEG)
		x = false;
	in->code = (u8)(BPF_CLASS(in->code) | op | (x ? BPF_X : BPF_K));
	if (op == BPF_MOV && x)
		in->off = extend[in->off & (BPF_CLASS(in->code) == BPF_ALU64 ? 3 : 1)];
	else
		in->off = op == BPF_DIV || op == BPF_MOD ? in->off & 1 : 0;
	if (x || op == BPF_NEG)
		in->imm = 0;
	if (!x)
		in->src_reg = 0;
}

static void tame_memory(struct bpf_insn *in)
{
	static const s32 atomics[] = {BPF_ADD,
				      BPF_AND,
				      BPF_OR,
				      BPF_XOR,
				      BPF_XCHG,
				      BPF_CMPXCHG,
				      BPF_ADD | BPF_FETCH,
				      BPF_XOR | BPF_FETCH};
	u8 class = BPF_CLASS(in->code), size = BPF_SIZE(in->code), mode = BPF_MODE(in->code);

	in->off = (s16)(-8 * (1 + (in->off & (SLOTS - 1))));
	if (class == BPF_LDX) {
		mode = mode == BPF_MEMSX && size != BPF_DW ? BPF_MEMSX : BPF_MEM;
		*in = INSN(class | mode | size, in->dst_reg, 10, in->off, 0);
	} else if (class == BPF_ST) {
		*in = INSN(class | BPF_MEM | size, 10, 0, in->off, in->imm);
	} else if (mode == BPF_ATOMIC) {
		size = size == BPF_DW ? BPF_DW : BPF_W;
		*in = INSN(class | mode | size, 10, in->src_reg, in->off, atomics[in->imm & 7]);
	} else {
		*in = INSN(class | BPF_MEM | size, 10, in->src_reg, in->off, 0);
	}
}

/* @left: instructions of the body behind this one; @fn: distance to our function */
static void tame_jump(struct bpf_insn *in, u32 left, s32 fn)
{
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);
	bool x = BPF_SRC(in->code) == BPF_X;
	s16 to = (s16)((u32)(in->off & 0x7fff) % (left + 1));

	if (op == BPF_CALL)
		*in = CALL_BPF(fn);
	else if (op == BPF_EXIT)
		*in = JA((s16)left);
	else if (op == BPF_JA || op > BPF_JSLE)
		*in = class == BPF_JMP ? JA(to) : INSN(BPF_JMP32 | BPF_JA, 0, 0, 0, to);
	else
		*in = INSN(in->code, in->dst_reg, x ? in->src_reg : 0, to, x ? 0 : in->imm);
}

static void tame_one(struct bpf_insn *in, u32 left, s32 fn)
{
	u8 class = BPF_CLASS(in->code);

	in->dst_reg %= 10;
	in->src_reg %= 10;
	if (class == BPF_ALU || class == BPF_ALU64)
		tame_alu(in);
	else if (class == BPF_JMP || class == BPF_JMP32)
		tame_jump(in, left, fn);
	else if (class != BPF_LD)
		tame_memory(in);
	else if (left)
		*in = INSN(BPF_LD | BPF_IMM | BPF_DW, in->dst_reg, 0, 0, in->imm);
	else
		*in = MOV_IMM(in->dst_reg, in->imm);
}

static bool is_jump(const struct bpf_insn *in)
{
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);

	return (class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT;
}

/* A jump into the second half of a lddw goes behind it. */
static void mend_jumps(struct bpf_insn *body, u32 n, const bool *second)
{
	for (u32 i = 0; i < n; i++) {
		bool wide = body[i].code == (BPF_JMP32 | BPF_JA);
		u32 to;

		if (second[i] || !is_jump(&body[i]))
			continue;
		to = i + 1 + (wide ? (u32)body[i].imm : (u32)body[i].off);
		if (to < n && second[to] && wide)
			body[i].imm++;
		else if (to < n && second[to])
			body[i].off++;
	}
}

static void tame(struct bpf_insn *body, u32 n, u32 behind)
{
	bool second[MAX_BODY] = {false};

	for (u32 i = 0; i < n; i++) {
		tame_one(&body[i], n - i - 1, (s32)(n + behind - i - 1));
		if (body[i].code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		i++;
		second[i] = true;
		body[i] = INSN(0, 0, 0, 0, body[i].imm);
	}
	mend_jumps(body, n, second);
}

static void put_start(struct program *p, u64 salt)
{
	for (u8 r = 0; r <= 9; r++) {
		const struct bpf_insn two[] = {LDDW(r, salt * (2 * r + 1))};

		put(p, two[0]);
		put(p, two[1]);
	}
	for (u32 i = 1; i <= SLOTS; i++)
		put(p, ST(BPF_DW, 10, (s16)(-8 * (s32)i), (s32)(salt >> (i & 31))));
}

/* r0 = a mix of all there is */
static void put_end(struct program *p)
{
	for (u8 r = 1; r <= 9; r++) {
		put(p, ALU64_IMM(BPF_MUL, 0, 31));
		put(p, ALU64_REG(BPF_XOR, 0, r));
	}
	for (u32 i = 1; i <= SLOTS; i++) {
		put(p, LDX(BPF_DW, 1, 10, (s16)(-8 * (s32)i)));
		put(p, ALU64_IMM(BPF_MUL, 0, 31));
		put(p, ALU64_REG(BPF_ADD, 0, 1));
	}
	put(p, EXIT());
}

/* Uses its frame and r6..r9, and leaves r1..r5 alone: their values after a call are nobody's. */
static void put_function(struct program *p)
{
	put(p, STX(BPF_DW, 10, 1, -8));
	put(p, MOV_REG(6, 2));
	put(p, LDX(BPF_DW, 0, 10, -8));
	put(p, ALU64_REG(BPF_SUB, 0, 6));
	for (u8 r = 7; r <= 9; r++)
		put(p, MOV_IMM(r, -r));
	put(p, EXIT());
}

static void compare(const struct program *p)
{
	_cleanup_engine_ struct engine interp = {0}, jit = {0};
	struct ebpf_run a = {.kind = EBPF_RUN_TEST}, b = {.kind = EBPF_RUN_TEST};
	u64 r0, ctx[2] = {0};

	interp.load.check_flags = jit.load.check_flags = EBPF_CHECK_ISA;
	FUZZ_CHECK(!engine_load(&interp, p->insns, p->n, false));
	FUZZ_CHECK(!engine_load(&jit, p->insns, p->n, true));
	r0 = engine_run(&interp, ctx, &a);
	FUZZ_CHECK(!a.aborted);
	FUZZ_CHECK(r0 == engine_run(&jit, ctx, &b) && !b.aborted);
}

static void run_tamed(const struct bpf_insn *insns, u32 n, u64 salt)
{
	struct program p = {.n = 0};
	u32 body, end;

	put_start(&p, salt);
	body = p.n;
	for (u32 i = 0; i < n; i++)
		put(&p, insns[i]);
	end = p.n;
	put_end(&p);
	tame(p.insns + body, n, p.n - end);
	put_function(&p);
	compare(&p);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	u32 flags = (u32)fuzz_take(&in, 1) & 7;
	u64 salt = fuzz_take(&in, 7);
	u32 n = MIN((u32)(in.left / sizeof(struct bpf_insn)), MAX_BODY);
	struct bpf_insn insns[MAX_BODY];

	if (!n)
		return 0;
	memcpy(insns, in.p, n * sizeof(*insns));
	load_raw(insns, n, flags);
	run_tamed(insns, n, salt);
	return 0;
}

static const struct bpf_insn seed_alu[] = {
	LDDW(0, 0x123456789abcdef0),
	INSN(BPF_ALU64 | BPF_DIV | BPF_X, 0, 3, 1, 0),
	INSN(BPF_ALU | BPF_END | BPF_TO_BE, 2, 0, 0, 32),
	INSN(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 16, 0),
	INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 10, 4, -8, BPF_ADD | BPF_FETCH),
	EXIT(),
};
static const struct bpf_insn seed_flow[] = {
	JMP_IMM(BPF_JSGT, 1, 7, 2),
	LDX(BPF_W, 2, 10, -4),
	JA(1),
	CALL_BPF(2),
	INSN(BPF_JMP32 | BPF_JA, 0, 0, 0, 0),
	EXIT(),
	MOV_IMM(0, 1),
	EXIT(),
};
static const struct bpf_insn seed_calls[] = {
	MOV_IMM(1, 5), INSN(BPF_JMP | BPF_CALL | BPF_X, 1, 0, 0, 0),
	CALL(14),      LDDW_KIND(2, BPF_PSEUDO_FUNC, 3),
	CALL_BPF(1),   EXIT(),
	MOV_IMM(0, 0), EXIT(),
};

size_t fuzz_seed(u32 i, u8 out[FUZZ_MAX])
{
	static const struct {
		const struct bpf_insn *insns;
		size_t size;
	} all[] = {{seed_alu, sizeof(seed_alu)},
		   {seed_flow, sizeof(seed_flow)},
		   {seed_calls, sizeof(seed_calls)}};

	if (i >= ARRAY_SIZE(all))
		return 0;
	memcpy(out, "\7fuzzing", 8);
	memcpy(out + 8, all[i].insns, all[i].size);
	return 8 + all[i].size;
}
