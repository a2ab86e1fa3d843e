/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JIT against the interpreter: every operation on every pair of registers, and random programs,
 * with and without BMI2 and jumps placed in lines; the random programs also against the kernel,
 * where it may be asked. The seed is printed; EBPFRT_SEED repeats a run.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "arch/arch.h"
#include "arch/x86_64/insn.h"
#include "arch/x86_64/jit_emit.h"
#include "base/macros.h"
#include "tests/support/engine.h"

#define BODY 60
#define SLOTS 8 /* words of stack the programs play with */
#define MAX_PROG 512

struct program {
	struct bpf_insn insns[MAX_PROG];
	u32 n;
};

static u64 state;

static u64 rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static u32 below(u32 n)
{
	return (u32)(rnd() >> 11) % n;
}

static void seed(void)
{
	const char *env = getenv("EBPFRT_SEED");
	u64 s = env ? strtoull(env, NULL, 0) : (u64)getpid() * 2654435761u + osl_now_ns();

	state = s | 1;
	fprintf(stderr, "# EBPFRT_SEED=%llu\n", (unsigned long long)s);
}

/* values at which carries, signs and widths change */
static u64 value(void)
{
	static const u64 edge[] = {0,
				   1,
				   2,
				   0x7f,
				   0x80,
				   0xff,
				   0x7fff,
				   0x8000,
				   0x7fffffff,
				   0x80000000,
				   0xffffffff,
				   0x100000000,
				   ~0ULL,
				   ~1ULL,
				   0x8000000000000000,
				   0x7fffffffffffffff};

	switch (below(3)) {
	case 0:
		return edge[below(ARRAY_SIZE(edge))];
	case 1:
		return rnd() >> below(64);
	default:
		return rnd();
	}
}

static void put(struct program *p, struct bpf_insn in)
{
	cr_assert_lt(p->n, MAX_PROG);
	p->insns[p->n++] = in;
}

static void put_lddw(struct program *p, u8 reg, u64 v)
{
	const struct bpf_insn two[] = {LDDW(reg, v)};

	put(p, two[0]);
	put(p, two[1]);
}

/* r0 = a mix of all registers; low 32 bits only, which is what the kernel reports */
static void put_end(struct program *p)
{
	u8 reg;
	s16 i;

	for (reg = 1; reg <= 9; reg++) {
		put(p, ALU64_IMM(BPF_MUL, 0, 31));
		put(p, ALU64_REG(BPF_XOR, 0, reg));
	}
	for (i = 1; i <= SLOTS; i++) {
		put(p, LDX(BPF_DW, 1, 10, (s16)(-8 * i)));
		put(p, ALU64_IMM(BPF_MUL, 0, 31));
		put(p, ALU64_REG(BPF_ADD, 0, 1));
	}
	put(p, MOV_REG(1, 0));
	put(p, ALU64_IMM(BPF_RSH, 1, 32));
	put(p, ALU32_REG(BPF_XOR, 0, 1));
	put(p, EXIT());
}

static void put_start(struct program *p)
{
	u8 reg;
	s16 i;

	for (reg = 0; reg <= 9; reg++)
		put_lddw(p, reg, value());
	for (i = 1; i <= SLOTS; i++)
		put(p, ST(BPF_DW, 10, (s16)(-8 * i), (s32)value()));
}

static void put_alu(struct program *p)
{
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,  BPF_AND, BPF_LSH,
				 BPF_RSH, BPF_NEG, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH};
	u8 class = below(2) ? BPF_ALU64 : BPF_ALU, op = ops[below(ARRAY_SIZE(ops))];
	bool x = below(2) && op != BPF_NEG, divides = op == BPF_DIV || op == BPF_MOD;
	struct bpf_insn in = INSN(class | op | (x ? BPF_X : BPF_K), below(10), 0, 0, 0);

	if (x)
		in.src_reg = below(10) & 15;
	else if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
		in.imm = (s32)below(class == BPF_ALU64 ? 64 : 32);
	else if (op != BPF_NEG)
		in.imm = (s32)value();
	if (divides) {
		in.off = (s16)below(2);
		if (!x && !in.imm)
			in.imm = 3;
	}
	if (op == BPF_MOV && x)
		in.off = (s16)(below(3) * 8);
	put(p, in);
}

static void put_end_swap(struct program *p)
{
	static const u8 codes[] = {BPF_ALU | BPF_END | BPF_TO_LE, BPF_ALU | BPF_END | BPF_TO_BE,
				   BPF_ALU64 | BPF_END};

	put(p, INSN(codes[below(3)], below(10), 0, 0, 16 << below(3)));
}

static void put_memory(struct program *p)
{
	static const u8 sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
	u32 k = below(4);
	s16 off = (s16)(-(s32)((1 + below(SLOTS * 8 >> k)) << k));

	switch (below(4)) {
	case 0:
		put(p, LDX(sizes[k], below(10), 10, off));
		break;
	case 1:
		put(p, k == 3 ? LDX(sizes[k], below(10), 10, off)
			      : INSN(BPF_LDX | BPF_MEMSX | sizes[k], below(10), 10, off, 0));
		break;
	case 2:
		put(p, ST(sizes[k], 10, off, (s32)value()));
		break;
	default:
		put(p, STX(sizes[k], 10, below(10), off));
	}
}

/*
 * Kernels (6.18 is one) forget, as they go back to see what a number's value depends on, that an
 * atomic operation that fetches is a load: of two paths that come to it they may walk one and take
 * the other for the same, and remove what only that one leads to. The result is wrong, and not
 * ours.
 */
static bool without_fetch;

static void put_atomic(struct program *p)
{
	const u32 nplain = 4;
	static const s32 ops[] = {BPF_ADD,
				  BPF_AND,
				  BPF_OR,
				  BPF_XOR,
				  BPF_ADD | BPF_FETCH,
				  BPF_AND | BPF_FETCH,
				  BPF_OR | BPF_FETCH,
				  BPF_XOR | BPF_FETCH,
				  BPF_XCHG,
				  BPF_CMPXCHG};
	bool wide = below(2);
	s16 off = (s16)(-(s32)(wide ? 8 * (1 + below(SLOTS)) : 4 * (1 + below(2 * SLOTS))));

	put(p, INSN(BPF_STX | BPF_ATOMIC | (wide ? BPF_DW : BPF_W), 10, below(10), off,
		    ops[below(without_fetch ? nplain : ARRAY_SIZE(ops))]));
}

/* forward only, over instructions that follow in the body or its end */
static void put_jump(struct program *p)
{
	static const u8 ops[] = {BPF_JEQ,  BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT,
				 BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};
	u8 class = below(2) ? BPF_JMP : BPF_JMP32;
	bool x = below(2);

	put(p, INSN(class | ops[below(ARRAY_SIZE(ops))] | (x ? BPF_X : BPF_K), below(10),
		    x ? below(10) : 0, 1 + below(4), x ? 0 : (s32)value()));
}

/* r1..r5 are the callee's to destroy */
static void put_call(struct program *p)
{
	u8 reg;

	put(p, CALL_BPF(0));
	for (reg = 1; reg <= 5; reg++)
		put(p, MOV_IMM(reg, (s32)value()));
}

static void put_body(struct program *p, bool calls)
{
	u32 i, end = p->n + BODY;

	while (p->n < end) {
		switch (below(12)) {
		case 0:
		case 1:
			put_memory(p);
			break;
		case 2:
			put_atomic(p);
			break;
		case 3:
			put_jump(p);
			break;
		case 4:
			put_end_swap(p);
			break;
		case 5:
			if (calls)
				put_call(p);
			break;
		default:
			put_alu(p);
		}
	}
	/* the last jumps may reach over the end of the body */
	for (i = 0; i < 5; i++)
		put(p, MOV_IMM(below(10), (s32)value()));
}

/* A function with its own stack, which destroys every register. */
static void put_function(struct program *p)
{
	u32 start = p->n, i;
	u8 reg;

	for (reg = 0; reg <= 9; reg++)
		if (reg < 1 || reg > 5)
			put_lddw(p, reg, value());
	for (i = 1; i <= SLOTS; i++)
		put(p, ST(BPF_DW, 10, (s16)(-8 * (s32)i), (s32)value()));
	put_body(p, false);
	put_end(p);
	for (i = 0; i < start; i++)
		if (p->insns[i].code == (BPF_JMP | BPF_CALL))
			p->insns[i].imm = (s32)(start - i - 1);
}

static bool calls_function(const struct program *p)
{
	u32 i;

	for (i = 0; i < p->n; i++)
		if (p->insns[i].code == (BPF_JMP | BPF_CALL))
			return true;
	return false;
}

static void make(struct program *p)
{
	p->n = 0;
	put_start(p);
	put_body(p, true);
	put_end(p);
	if (calls_function(p))
		put_function(p);
}

static void dump(const struct program *p)
{
	char text[128];
	u32 i;

	for (i = 0; i < p->n;) {
		u32 at = i;

		i += (u32)ebpf_disasm(&p->insns[i], text, sizeof(text));
		fprintf(stderr, "%3u: %s\n", at, text);
	}
}

static void compare(const struct program *p)
{
	u64 want, got;

	want = engine_r0(p->insns, p->n, false, NULL);
	x86_jit_avoid_bmi2 = x86_jit_avoid_lines = false;
	got = engine_r0(p->insns, p->n, true, NULL);
	if (got == want) {
		x86_jit_avoid_bmi2 = x86_jit_avoid_lines = true;
		got = engine_r0(p->insns, p->n, true, NULL);
	}
	if (got != want)
		dump(p);
	cr_assert_eq(got, want, "interpreter %llx, JIT %llx", (unsigned long long)want,
		     (unsigned long long)got);
	cr_assert_neq(want, 0xbad10adbad10adULL, "refused");
}

Test(jit, random_programs)
{
	struct program *p = calloc(1, sizeof(*p));
	u32 i;

	seed();
	for (i = 0; i < 1500; i++) {
		make(p);
		compare(p);
	}
	free(p);
}

static void one_alu(struct program *p, u8 code, u8 dst, u8 src, s16 off)
{
	u8 reg;

	p->n = 0;
	for (reg = 0; reg <= 9; reg++)
		put_lddw(p, reg, value());
	put(p, INSN(code, dst, src, off, 0));
	for (reg = 1; reg <= 9; reg++) {
		put(p, ALU64_IMM(BPF_MUL, 0, 31));
		put(p, ALU64_REG(BPF_XOR, 0, reg));
	}
	put(p, EXIT());
	compare(p);
}

Test(jit, every_pair_of_registers)
{
	static const u8 ops[] = {BPF_DIV, BPF_MOD, BPF_LSH, BPF_RSH, BPF_ARSH, BPF_MUL};
	struct program *p = calloc(1, sizeof(*p));
	u32 i, pair;

	seed();
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		for (pair = 0; pair < 100; pair++) {
			u8 dst = (u8)(pair / 10), src = (u8)(pair % 10);
			bool divides = ops[i] == BPF_DIV || ops[i] == BPF_MOD;

			one_alu(p, BPF_ALU64 | ops[i] | BPF_X, dst, src, 0);
			one_alu(p, BPF_ALU | ops[i] | BPF_X, dst, src, 0);
			if (!divides)
				continue;
			one_alu(p, BPF_ALU64 | ops[i] | BPF_X, dst, src, 1);
			one_alu(p, BPF_ALU | ops[i] | BPF_X, dst, src, 1);
		}
	free(p);
}

/*
 * A remainder as compilers without an instruction for it write it: a = n; a /= s; a *= s; then
 * r = n; r -= a, or n -= a. Of any registers, also such as make it something else; with somebody
 * who jumps into its middle, and with an answer that is asked for.
 */
static void one_remainder(struct program *p, u8 class, const u8 *reg, u32 into, u64 divisor)
{
	u8 a = reg[0], n = reg[1], s = reg[2], r = reg[3];

	p->n = 0;
	for (u8 i = 0; i <= 9; i++)
		put_lddw(p, i, value());
	put_lddw(p, s, divisor);
	if (into)
		put(p, JMP_IMM(BPF_JSGT, n, 0, (s16)into));
	put(p, INSN(class | BPF_MOV | BPF_X, a, n, 0, 0));
	put(p, INSN(class | BPF_DIV | BPF_X, a, s, 0, 0));
	put(p, INSN(class | BPF_MUL | BPF_X, a, s, 0, 0));
	if (r != n)
		put(p, INSN(class | BPF_MOV | BPF_X, r, n, 0, 0));
	put(p, INSN(class | BPF_SUB | BPF_X, r, a, 0, 0));
	put(p, JMP_IMM(BPF_JNE, r, 0, 1));
	put(p, ALU64_IMM(BPF_ADD, r, 77));
	for (u8 i = 1; i <= 9; i++) {
		put(p, ALU64_IMM(BPF_MUL, 0, 31));
		put(p, ALU64_REG(BPF_XOR, 0, i));
	}
	put(p, EXIT());
	compare(p);
}

Test(jit, remainders_in_pieces)
{
	struct program *p = calloc(1, sizeof(*p));
	u8 reg[4];

	seed();
	for (u32 i = 0; i < 3000; i++) {
		static const u64 few[] = {0, 1, 2, 1ULL << 32, -1ULL};
		u32 d = below(8);

		for (u32 k = 0; k < ARRAY_SIZE(reg); k++)
			reg[k] = (u8)below(10);
		one_remainder(p, below(2) ? BPF_ALU64 : BPF_ALU, reg, below(3) ? 0 : 1 + below(3),
			      d < ARRAY_SIZE(few) ? few[d] : value() >> below(64));
	}
	free(p);
}

/* Division by a constant is a multiplication: the constants and dividends at which it goes wrong
 * when it is wrong. */
Test(jit, division_by_constants)
{
	static const u32 divisors[] = {
		3,     5,     6,       7,	   9,	       10,	   11,	      12,
		25,    60,    100,     125,	   641,	       1000,	   3600,      10000,
		65535, 65537, 1000000, 0x7fffffff, 0x80000001, 0xfffffffe, 0xffffffff};
	struct program *p = calloc(1, sizeof(*p));
	u32 i, k;

	seed();
	for (i = 0; i < ARRAY_SIZE(divisors) + 100; i++) {
		u32 d = i < ARRAY_SIZE(divisors) ? divisors[i] : (u32)value() | 1;

		for (k = 0; k < 6; k++) {
			u64 n = k < 2 ? (u64)d * (rnd() >> below(40)) - k : value();
			u8 dst = (u8)below(10);

			p->n = 0;
			put_lddw(p, 0, rnd());
			put_lddw(p, 3, rnd());
			put_lddw(p, dst, n);
			put(p, INSN((below(2) ? BPF_ALU64 : BPF_ALU) |
					    (below(2) ? BPF_DIV : BPF_MOD) | BPF_K,
				    dst, 0, 0, (s32)d));
			put(p, ALU64_IMM(BPF_MUL, 0, 31));
			put(p, ALU64_REG(BPF_ADD, 0, 3));
			put(p, ALU64_IMM(BPF_MUL, 0, 31));
			put(p, ALU64_REG(BPF_ADD, 0, dst));
			put(p, EXIT());
			compare(p);
		}
	}
	free(p);
}

/* --- against the kernel ------------------------------------------------------------------------
 */

static int bpf_call(int cmd, union bpf_attr *attr)
{
	return (int)syscall(__NR_bpf, cmd, attr, sizeof(*attr));
}

static int kernel_load(const struct program *p, char *log, u32 size)
{
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (u64)(uintptr_t)p->insns,
		.insn_cnt = p->n,
		.license = (u64)(uintptr_t) "Dual BSD/GPL",
		.log_buf = (u64)(uintptr_t)log,
		.log_size = size,
		.log_level = 1,
	};

	return bpf_call(BPF_PROG_LOAD, &attr);
}

static int kernel_r0(int fd, u32 *r0)
{
	u8 packet[64] = {0};
	union bpf_attr attr = {.test = {.prog_fd = (u32)fd,
					.data_in = (u64)(uintptr_t)packet,
					.data_size_in = sizeof(packet)}};

	if (bpf_call(BPF_PROG_TEST_RUN, &attr))
		return -errno;
	*r0 = attr.test.retval;
	return 0;
}

Test(jit, random_programs_agree_with_the_kernel)
{
	struct program *p = calloc(1, sizeof(*p));
	char *log = calloc(1, 1 << 20);
	u32 i, r0, ran = 0;

	seed();
	without_fetch = true;
	for (i = 0; i < 150; i++) {
		_cleanup_close_ int fd = -1;

		make(p);
		fd = kernel_load(p, log, 1 << 20);
		if (fd < 0 && !ran && (errno == EPERM || errno == ENOSYS))
			cr_skip_test("the kernel's BPF is not for us here");
		if (fd < 0) {
			/* it may give up on a program's complexity, or know fewer instructions */
			cr_log_info("kernel: %s",
				    log + (strlen(log) > 200 ? strlen(log) - 200 : 0));
			continue;
		}
		if (kernel_r0(fd, &r0))
			continue;
		ran++;
		if (r0 != (u32)engine_r0(p->insns, p->n, true, NULL))
			dump(p);
		cr_assert_eq(r0, (u32)engine_r0(p->insns, p->n, true, NULL));
	}
	cr_log_info("%u of %u programs ran in the kernel", ran, i);
	cr_assert_gt(ran, i / 2, "the kernel refused most programs: %s", log);
	free(log);
	free(p);
}

/* --- the code itself ---------------------------------------------------------------------------
 */

Test(jit, code_has_no_address_in_it)
{
	const struct bpf_insn p[] = {CALL(5), MOV_IMM(0, 0), EXIT()};
	struct engine a __attribute__((cleanup(engine_close))) = {0};
	struct engine b __attribute__((cleanup(engine_close))) = {0};

	cr_assert_eq(engine_load(&a, p, 3, true), 0);
	cr_assert_eq(engine_load(&b, p, 3, true), 0);
	cr_assert_neq(a.base, b.base);
	cr_assert_eq(a.load.image_size, b.load.image_size);
	cr_assert_arr_eq(a.load.image, b.load.image, a.load.image_size);
}

static bool is_conditional(const struct arch_insn *in)
{
	return (in->map == 0 && in->opcode >> 4 == 7) || (in->map == 1 && in->opcode >> 4 == 8);
}

static bool compares(const struct arch_insn *in)
{
	return in->map == 0 && (in->opcode == 0x81 || in->opcode == 0x83 || in->opcode == 0x85);
}

static void jumps_are_in_lines(const u8 *code, u32 len)
{
	struct arch_insn in, last = {0};
	const u32 line = 32;
	u32 jumps = 0;

	for (u32 at = 0; at < len; at += in.len, last = in) {
		u32 start = compares(&last) ? at - last.len : at;

		cr_assert_eq(arch_insn_decode(code + at, len - at, &in), 0, "at %#x", at);
		if (!is_conditional(&in))
			continue;
		jumps++;
		cr_assert_eq(start / line, (at + in.len) / line, "a jump at %#x", at);
	}
	cr_assert_gt(jumps, 0);
}

Test(jit, jumps_in_lines)
{
	struct engine e __attribute__((cleanup(engine_close))) = {0};
	struct program *p = calloc(1, sizeof(*p));
	const struct ebpf_image *img;

	if (!arch_jit_machine)
		return;
	for (u32 shift = 0; shift < 32; shift++) {
		p->n = 0;
		put_lddw(p, 0, 0x123456789abcdefULL);
		for (u32 i = 0; i < shift; i++)
			put(p, ALU64_IMM(BPF_XOR, 0, i % 2 ? 1 : 0x1000));
		for (u32 i = 0; i < 75; i++) {
			put(p, ALU64_IMM(BPF_ADD, 0, i));
			put(p, JMP_IMM(i % 2 ? BPF_JEQ : BPF_JGT, 0, (s32)(i * i * i), 1));
			put(p, ALU64_IMM(BPF_OR, 0, 0x4000));
			put(p, ALU64_IMM(BPF_SUB, 0, 3));
			put(p, JMP_IMM(BPF_JNE, 0, 0, 1));
			put(p, ALU64_IMM(BPF_OR, 0, 0x1000));
		}
		put(p, EXIT());
		compare(p);
		x86_jit_avoid_lines = false;
		cr_assert_eq(engine_load(&e, p->insns, p->n, true), 0);
		img = (const void *)e.load.image;
		jumps_are_in_lines((const u8 *)img + img->code, img->code_size - 1);
		engine_close(&e);
	}
	free(p);
}

/* What a jump that begins a line takes along is not what somebody jumps behind. */
Test(jit, jumps_to_jumps)
{
	struct program *p = calloc(1, sizeof(*p));

	for (u32 shift = 0; shift < 64; shift++) {
		p->n = 0;
		put(p, MOV_IMM(0, 1));
		put(p, MOV_IMM(2, 0));
		for (u32 i = 0; i < shift; i++)
			put(p, MOV_REG(i % 2 ? 8 : 3, 2));
		put(p, JMP_IMM(BPF_JEQ, 2, 1, 3)); /* else the last is dead */
		put(p, JMP_IMM(BPF_JEQ, 2, 0, 1));
		put(p, ALU64_IMM(BPF_ADD, 0, 0x101010));
		put(p, JMP_IMM(BPF_JA, 0, 0, 1));
		put(p, ALU64_IMM(BPF_XOR, 0, 2));
		put(p, EXIT());
		compare(p);
	}
	free(p);
}

/*
 * A conditional jump over a jump, or farther, of every kind; and of each such that somebody jumps
 * to, too.
 */
static void over_jump(struct program *p, u8 code, u64 a, u64 b, u32 into)
{
	bool x = BPF_SRC(code) == BPF_X;

	p->n = 0;
	put_lddw(p, 1, a);
	put_lddw(p, 2, b);
	put(p, MOV_IMM(0, 0));
	put(p, MOV_IMM(3, 3));
	put(p, ALU64_IMM(BPF_MUL, 0, 5)); /* a loop: three times */
	put(p, ALU64_IMM(BPF_SUB, 3, 1));
	put(p, into ? JMP_IMM(BPF_JEQ, 3, 1, (s16)(into - 1)) : MOV_REG(4, 4));
	put(p, INSN(code, 1, x ? 2 : 0, into == 3 && below(2) ? 2 : 1, x ? 0 : (s32)b));
	put(p, JA(2));
	put(p, ALU64_IMM(BPF_ADD, 0, 1));
	put(p, JMP_IMM(BPF_JEQ, 3, 0, 1));
	put(p, JMP_IMM(BPF_JNE, 3, 0, -8));
	put(p, ALU64_IMM(BPF_ADD, 0, 2));
	put(p, JMP_IMM(BPF_JEQ, 3, 0, 1)); /* another, back */
	put(p, JA(-11));
	put(p, EXIT());
	compare(p);
}

Test(jit, jumps_over_jumps, .timeout = 30)
{
	static const u8 ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,	 BPF_JLT, BPF_JLE,
				 BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};
	struct program *p = calloc(1, sizeof(*p));

	seed();
	for (u32 i = 0; i < ARRAY_SIZE(ops) * 4; i++)
		for (u32 k = 0; k < 12; k++) {
			u64 a = value(), b = k % 3 ? value() : a;
			u8 code = ops[i / 4] | (i & 1 ? BPF_JMP : BPF_JMP32) |
				  (i & 2 ? BPF_X : BPF_K);

			over_jump(p, code, a, b, k % 4 == 3 ? 1 + below(3) : 0);
		}
	free(p);
}

static const struct ebpf_map_meta *one_map(void *cookie, s32 fd, bool is_index)
{
	static const struct ebpf_map_meta meta = {
		.id = 1, .type = BPF_MAP_TYPE_ARRAY, .value_size = 64, .max_entries = 1};

	return &meta;
}

static u64 run_on_words(const struct program *p, bool jit, u64 *words)
{
	struct engine e __attribute__((cleanup(engine_close))) = {0};
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};

	e.load.map_by_fd = one_map;
	cr_assert_eq(engine_load(&e, p->insns, p->n, jit), 0, "%s", e.text);
	for (u32 i = 0; i < e.prog.image->nrefs; i++)
		e.refs[i] = (u64)(uintptr_t)words + ebpf_image_refs(e.prog.image)[i].off;
	return engine_run(&e, NULL, &run);
}

static void put_word(struct program *p, u8 reg, s32 off)
{
	put(p, INSN(BPF_LD | BPF_IMM | BPF_DW, reg, BPF_PSEUDO_MAP_VALUE, 0, 3));
	put(p, INSN(0, 0, 0, 0, off));
}

/* @body is what else happens in the loop: nothing, or something that wants registers of its own */
static void loop_over_words(struct program *p, const struct bpf_insn *body)
{
	p->n = 0;
	put(p, MOV_IMM(6, 5));
	put(p, MOV_IMM(7, 0));
	put_word(p, 8, 8);
	put_word(p, 2, 0); /* the loop begins: the first reference in it */
	put(p, LDX(BPF_DW, 3, 2, 0));
	put(p, ALU64_REG(BPF_ADD, 7, 3));
	if (body)
		put(p, *body);
	put_word(p, 4, 16);
	put(p, LDX(BPF_DW, 3, 4, 0));
	put(p, ALU64_REG(BPF_XOR, 7, 3));
	put(p, STX(BPF_DW, 8, 7, 0));
	put_word(p, 2, 0);
	put(p, STX(BPF_DW, 2, 7, 0));
	put(p, ALU64_IMM(BPF_SUB, 6, 1));
	put(p, JMP_IMM(BPF_JNE, 6, 0, body ? -15 : -14));
	put(p, MOV_REG(0, 7));
	put(p, EXIT());
}

/* A reference that stays in a register throughout a loop is nobody else's register. */
Test(jit, references_in_loops)
{
	const struct bpf_insn bodies[] = {ALU64_IMM(BPF_DIV, 7, 3), ALU64_IMM(BPF_MOD, 7, 1000003),
					  ALU64_REG(BPF_DIV, 7, 6), ALU64_REG(BPF_MOD, 7, 6),
					  ALU64_REG(BPF_LSH, 7, 6), CALL(5)};
	struct program p;

	for (u32 i = 0; i <= ARRAY_SIZE(bodies); i++) {
		u64 a[3] = {11, 22, 33}, b[3] = {11, 22, 33};
		u64 want, got;

		loop_over_words(&p, i ? &bodies[i - 1] : NULL);
		want = run_on_words(&p, false, a);
		got = run_on_words(&p, true, b);
		cr_expect_eq(got, want, "body %u: %llx, not %llx", i, (unsigned long long)got,
			     (unsigned long long)want);
		cr_expect_arr_eq(a, b, sizeof(a), "body %u", i);
	}
}

Test(jit, says_how_much_room_it_wants)
{
	const struct bpf_insn p[] = {MOV_IMM(0, 7), EXIT()};
	struct engine e __attribute__((cleanup(engine_close))) = {0};
	u8 code[256], canary[256];
	struct arch_code made, other;
	u32 cap;

	memset(canary, 0xaa, sizeof(canary));
	cr_assert_eq(engine_load(&e, p, 2, false), 0);
	cr_assert_eq(arch_jit(e.prog.image, code, sizeof(code), &made), 0);
	for (cap = 0; cap < made.len; cap++) {
		memset(code, 0xaa, sizeof(code));
		cr_assert_eq(arch_jit(e.prog.image, code, cap, &other), -ENOSPC);
		cr_assert_arr_eq(code + cap, canary, sizeof(code) - cap);
	}
}

/* Jumps over more than 127 bytes and over tens of kilobytes, both ways. */
Test(jit, long_jumps)
{
	static const u32 lengths[] = {10, 15, 16, 17, 18, 19, 30, 31, 32, 33, 34, 200, 20000};
	u32 i, k;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		u32 len = lengths[i], n = 0;
		struct bpf_insn *p = calloc(len + 10, sizeof(*p));

		p[n++] = MOV_IMM(0, 0);
		p[n++] = MOV_IMM(1, 3);
		p[n++] = JMP_IMM(BPF_JEQ, 1, 0, (s16)(len + 2));
		for (k = 0; k < len; k++)
			p[n++] = ALU64_IMM(BPF_ADD, 0, 0x1000);
		p[n++] = ALU64_IMM(BPF_SUB, 1, 1);
		p[n++] = JA((s16)(-(s32)len - 3));
		p[n++] = EXIT();
		cr_assert_eq(engine_r0(p, n, true, NULL), 3ULL * len * 0x1000);
		free(p);
	}
}

/* --- a branch on what the instruction before it computed ----------------------------------------
 */

static void branch_on_result(struct bpf_insn op, u8 jump_class, u8 jump, u64 a, u64 b)
{
	struct program p = {0};

	put_lddw(&p, 6, a);
	put_lddw(&p, 7, b);
	put(&p, MOV_IMM(0, 1));
	put(&p, op);
	put(&p, INSN(jump_class | jump | BPF_K, 6, 0, 1, 0));
	put(&p, MOV_IMM(0, 2));
	put(&p, EXIT());
	cr_assert_eq(engine_r0(p.insns, p.n, true, NULL), engine_r0(p.insns, p.n, false, NULL),
		     "code %#x imm %d, jump %#x, of %#llx and %#llx", op.code, op.imm,
		     jump_class | jump, (unsigned long long)a, (unsigned long long)b);
}

/* The flags that it left say no more than its result does. */
Test(jit, branch_on_result)
{
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_AND, BPF_OR,
				 BPF_XOR, BPF_MUL, BPF_LSH, BPF_NEG};
	static const u8 jumps[] = {BPF_JEQ, BPF_JNE, BPF_JSGT, BPF_JSLT, BPF_JGT, BPF_JSET};
	static const u64 pairs[][2] = {{5, 5},
				       {0, 0},
				       {0x100000000, 0},
				       {0x100000000, 0xffffffff},
				       {0x8000000000000000, 0x8000000000000000},
				       {0xffffff00, 0xff},
				       {~0ULL, 1}};
	static const s32 imms[] = {0, 1, -1, 0xff, 0xffff, -5, 0x7f00};

	for (u32 at = 0; at < ARRAY_SIZE(pairs) * ARRAY_SIZE(ops) * ARRAY_SIZE(jumps) * 4; at++) {
		u32 i = at / 4;
		u8 op = ops[i % ARRAY_SIZE(ops)] | (at & 1 ? BPF_ALU : BPF_ALU64);
		u8 jump = jumps[i / ARRAY_SIZE(ops) % ARRAY_SIZE(jumps)];
		u8 class = at & 2 ? BPF_JMP : BPF_JMP32;
		const u64 *pair = pairs[i / ARRAY_SIZE(ops) / ARRAY_SIZE(jumps)];

		if (BPF_OP(op) != BPF_NEG)
			branch_on_result(INSN(op | BPF_X, 6, 7, 0, 0), class, jump, pair[0],
					 pair[1]);
		for (u32 k = 0; k < ARRAY_SIZE(imms); k++)
			branch_on_result(INSN(op | BPF_K, 6, 0, 0,
					      BPF_OP(op) == BPF_NEG   ? 0
					      : BPF_OP(op) == BPF_LSH ? imms[k] & 31
								      : imms[k]),
					 class, jump, pair[0], pair[1]);
	}
}
