/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that compute, load or store, alone and together where they are less on this CPU. r9,
 * r10 and r11 are scratch; nothing else changes but what BPF says.
 */
#include <errno.h>

#include "jit_div.h"
#include "jit_ops.h"

#include "core/run/image.h"

const u8 jit_reg[11] = {RAX, RDI, RSI, RDX, RCX, R8, RBX, R13, R14, R15, RBP};

/* --- arithmetic ------------------------------------------------------------------------------ */

static void emit_end(struct emit *e, const struct bpf_insn *in)
{
	bool swap = BPF_CLASS(in->code) == BPF_ALU64 || BPF_SRC(in->code) == BPF_TO_BE;
	u8 dst = jit_reg[in->dst_reg];

	if (in->imm == 16) {
		if (swap) {
			emit_bytes(e, 0x66, 1);
			emit_shift_imm(e, false, X86_ROL, dst, 8);
		}
		emit_zext16(e, dst, dst);
	} else if (swap) {
		emit_bswap(e, in->imm == 64, dst);
	} else if (in->imm == 32) {
		emit_mov(e, false, dst, dst);
	}
}

static void sign_extend(struct emit *e, bool wide, u8 dst, u8 src, s16 bits)
{
	u32 opcode = bits == 8 ? 0x0fbe : bits == 16 ? 0x0fbf : 0x63;

	emit_rr(e, wide, opcode, dst, src, bits == 8);
}

static void emit_move(struct emit *e, const struct bpf_insn *in, bool wide)
{
	u8 dst = jit_reg[in->dst_reg];

	if (BPF_SRC(in->code) == BPF_K)
		emit_mov_imm(e, dst, wide ? (u64)(s64)in->imm : (u32)in->imm);
	else if (in->off)
		sign_extend(e, wide, dst, jit_reg[in->src_reg], in->off);
	else if (!wide || in->dst_reg != in->src_reg)
		emit_mov(e, wide, dst, jit_reg[in->src_reg]);
}

static enum x86_shift shift_op(u8 op)
{
	return op == BPF_LSH ? X86_SHL : op == BPF_RSH ? X86_SHR : X86_SAR;
}

/* Without BMI2 the count is in cl, which is BPF's r4. */
static void shift_by_cl(struct emit *e, bool wide, enum x86_shift op, u8 dst, u8 src)
{
	u8 reg = dst;

	if (src == RCX && dst != RCX) {
		emit_shift_cl(e, wide, op, dst);
		return;
	}
	emit_mov(e, true, R11, RCX);
	if (dst == RCX)
		reg = R11;
	if (src != RCX)
		emit_mov(e, true, RCX, src);
	emit_shift_cl(e, wide, op, reg);
	emit_mov(e, true, RCX, R11);
}

static void emit_shift(struct emit *e, const struct bpf_insn *in, bool wide)
{
	enum x86_shift op = shift_op(BPF_OP(in->code));
	u8 dst = jit_reg[in->dst_reg], src = jit_reg[in->src_reg];
	u8 count = (u8)in->imm & (wide ? 63 : 31);

	if (BPF_SRC(in->code) == BPF_X && !e->bmi2)
		shift_by_cl(e, wide, op, dst, src);
	else if (BPF_SRC(in->code) == BPF_X)
		emit_shiftx(e, wide, op, dst, dst, src);
	else if (count)
		emit_shift_imm(e, wide, op, dst, count);
	else if (!wide)
		emit_mov(e, false, dst, dst);
}

/* The mask decides how much of the register matters. */
static void and_imm(struct emit *e, bool wide, u8 dst, s32 imm)
{
	if (imm == 0xff)
		emit_zext8(e, dst, dst);
	else if (imm == 0xffff)
		emit_zext16(e, dst, dst);
	else if (imm != -1)
		emit_alu_imm(e, wide && imm < 0, X86_AND, dst, imm);
	else if (!wide)
		emit_mov(e, false, dst, dst);
}

static void emit_multiply(struct emit *e, const struct bpf_insn *in, bool wide)
{
	u8 dst = jit_reg[in->dst_reg];

	if (BPF_SRC(in->code) == BPF_X)
		emit_imul(e, wide, dst, jit_reg[in->src_reg]);
	else if (in->imm > 1 && IS_POW2((u32)in->imm))
		emit_shift_imm(e, wide, X86_SHL, dst, (u8)__builtin_ctz((u32)in->imm));
	else
		emit_imul_imm(e, wide, dst, dst, in->imm);
}

static void emit_divide(struct emit *e, const struct bpf_insn *in, bool wide)
{
	struct jit_div d = {
		.wide = wide,
		.sign = in->off == 1,
		.modulo = BPF_OP(in->code) == BPF_MOD,
		.dst = jit_reg[in->dst_reg],
	};

	if (BPF_SRC(in->code) == BPF_X)
		jit_div_reg(e, &d, jit_reg[in->src_reg]);
	else
		jit_div_imm(e, &d, in->imm);
}

static void emit_simple(struct emit *e, const struct bpf_insn *in, bool wide, enum x86_alu op)
{
	u8 dst = jit_reg[in->dst_reg];

	if (BPF_SRC(in->code) == BPF_X)
		emit_alu(e, wide, op, dst, jit_reg[in->src_reg]);
	else if (op == X86_AND)
		and_imm(e, wide, dst, in->imm);
	else
		emit_alu_imm(e, wide, op, dst, in->imm);
}

int jit_arith(struct emit *e, const struct bpf_insn *in)
{
	bool wide = BPF_CLASS(in->code) == BPF_ALU64;

	switch (BPF_OP(in->code)) {
	case BPF_ADD:
		emit_simple(e, in, wide, X86_ADD);
		break;
	case BPF_SUB:
		emit_simple(e, in, wide, X86_SUB);
		break;
	case BPF_OR:
		emit_simple(e, in, wide, X86_OR);
		break;
	case BPF_AND:
		emit_simple(e, in, wide, X86_AND);
		break;
	case BPF_XOR:
		emit_simple(e, in, wide, X86_XOR);
		break;
	case BPF_MUL:
		emit_multiply(e, in, wide);
		break;
	case BPF_DIV:
	case BPF_MOD:
		emit_divide(e, in, wide);
		break;
	case BPF_LSH:
	case BPF_RSH:
	case BPF_ARSH:
		emit_shift(e, in, wide);
		break;
	case BPF_NEG:
		emit_unary(e, wide, X86_NEG, jit_reg[in->dst_reg]);
		break;
	case BPF_MOV:
		emit_move(e, in, wide);
		break;
	case BPF_END:
		emit_end(e, in);
		break;
	default:
		return -EOPNOTSUPP;
	}
	return 0;
}

/* --- memory ---------------------------------------------------------------------------------- */

static int emit_load(struct emit *e, const struct bpf_insn *in)
{
	static const u16 plain[4] = {0x8b, 0x0fb7, 0x0fb6, 0x8b}; /* W, H, B, DW */
	static const u16 sign[3] = {0x63, 0x0fbf, 0x0fbe};
	u32 size = BPF_SIZE(in->code) >> 3;
	bool sx = BPF_MODE(in->code) == BPF_MEMSX || BPF_MODE(in->code) == EBPF_PROBE_MEMSX;

	emit_rm(e, 0, sx || BPF_SIZE(in->code) == BPF_DW, sx ? sign[size] : plain[size],
		jit_reg[in->dst_reg], jit_reg[in->src_reg], in->off, false);
	return 0;
}

static int emit_store(struct emit *e, const struct bpf_insn *in)
{
	bool imm = BPF_CLASS(in->code) == BPF_ST;
	u8 size = BPF_SIZE(in->code);
	u32 opcode = imm ? 0xc7 : 0x89;
	u32 bytes = size == BPF_B ? 1 : size == BPF_H ? 2 : 4;

	if (size == BPF_B)
		opcode--;
	emit_rm(e, size == BPF_H ? 0x66 : 0, size == BPF_DW, opcode, imm ? 0 : jit_reg[in->src_reg],
		jit_reg[in->dst_reg], in->off, size == BPF_B && !imm);
	if (imm)
		emit_bytes(e, (u32)in->imm, bytes);
	return 0;
}

static enum x86_alu atomic_op(s32 imm)
{
	switch (imm & ~BPF_FETCH) {
	case BPF_AND:
		return X86_AND;
	case BPF_OR:
		return X86_OR;
	case BPF_XOR:
		return X86_XOR;
	default:
		return X86_ADD;
	}
}

/*
 * fetch_and, fetch_or, fetch_xor have no instruction: compare-and-exchange until it holds. rax is
 * the old value, r10 the new one; r11 keeps r0, and takes its part when r0 is an operand.
 */
static void fetch_loop(struct emit *e, const struct bpf_insn *in, bool wide)
{
	u8 base = jit_reg[in->dst_reg], src = jit_reg[in->src_reg];
	u32 again, place;

	emit_mov(e, true, R11, RAX);
	base = base == RAX ? R11 : base;
	emit_rm(e, 0, wide, 0x8b, RAX, base, in->off, false);
	again = e->len;
	emit_mov(e, true, R10, RAX);
	emit_alu(e, wide, atomic_op(in->imm), R10, src == RAX ? R11 : src);
	emit_rm(e, 0xf0, wide, 0x0fb1, R10, base, in->off, false);
	place = emit_jcc8(e, CC_NE);
	if (place < e->cap)
		e->out[place] = (u8)(again - place - 1);
	emit_mov(e, wide, src, RAX);
	if (src != RAX)
		emit_mov(e, true, RAX, R11);
}

static int emit_atomic(struct emit *e, const struct bpf_insn *in)
{
	bool wide = BPF_SIZE(in->code) == BPF_DW;
	u8 base = jit_reg[in->dst_reg], src = jit_reg[in->src_reg];

	switch (in->imm) {
	case BPF_ADD:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
		emit_rm(e, 0xf0, wide, (u32)atomic_op(in->imm) << 3 | 1, src, base, in->off, false);
		return 0;
	case BPF_ADD | BPF_FETCH:
		emit_rm(e, 0xf0, wide, 0x0fc1, src, base, in->off, false);
		return 0;
	case BPF_XCHG:
		emit_rm(e, 0, wide, 0x87, src, base, in->off, false);
		return 0;
	case BPF_CMPXCHG:
		emit_rm(e, 0xf0, wide, 0x0fb1, src, base, in->off, false);
		if (!wide)
			emit_mov(e, false, RAX, RAX);
		return 0;
	case BPF_AND | BPF_FETCH:
	case BPF_OR | BPF_FETCH:
	case BPF_XOR | BPF_FETCH:
		fetch_loop(e, in, wide);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

int jit_memory(struct emit *e, const struct bpf_insn *in)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_LDX:
		return emit_load(e, in);
	case BPF_STX:
		return BPF_MODE(in->code) == BPF_ATOMIC ? emit_atomic(e, in) : emit_store(e, in);
	default:
		return emit_store(e, in);
	}
}

/* --- instructions that are less together --------------------------------------------------------
 */

/* a = b; a += c */
static bool pair_lea(struct emit *e, const struct bpf_insn *a, const struct bpf_insn *b)
{
	u8 class = BPF_CLASS(a->code);
	u8 dst = jit_reg[a->dst_reg], src = jit_reg[a->src_reg], add = jit_reg[b->src_reg];
	bool wide = class == BPF_ALU64;

	if ((class != BPF_ALU && class != BPF_ALU64) || a->code != (class | BPF_MOV | BPF_X) ||
	    a->off || a->dst_reg == a->src_reg || b->dst_reg != a->dst_reg)
		return false;
	if (b->code == (class | BPF_ADD | BPF_K)) {
		if (wide)
			emit_lea(e, dst, src, b->imm);
		else
			emit_lea32(e, dst, src, b->imm);
		return true;
	}
	if (b->code != (class | BPF_ADD | BPF_X))
		return false;
	emit_lea_sum(e, wide, dst, src, add == dst ? src : add);
	return true;
}

/* a <<= 32; a >>= 32 (or s>>=): how compilers without 32-bit operations extend */
static bool pair_extend(struct emit *e, const struct bpf_insn *a, const struct bpf_insn *b)
{
	u8 dst = jit_reg[a->dst_reg];

	if (a->code != (BPF_ALU64 | BPF_LSH | BPF_K) || a->imm != 32 || b->imm != 32 ||
	    a->dst_reg != b->dst_reg)
		return false;
	if (b->code == (BPF_ALU64 | BPF_RSH | BPF_K))
		emit_mov(e, false, dst, dst);
	else if (b->code == (BPF_ALU64 | BPF_ARSH | BPF_K))
		sign_extend(e, true, dst, dst, 32);
	else
		return false;
	return true;
}

/* Is @in "dst op= src" of @class? */
static bool is_op(const struct bpf_insn *in, u8 class, u8 op, u8 dst, u8 src)
{
	return in->code == (class | op | BPF_X) && in->dst_reg == dst && in->src_reg == src &&
	       !in->off;
}

/* a = n; r = n; r %= s; a -= r: what was to be n / s * s is what the remainder leaves of n */
static void remainder_of(struct emit *e, bool wide, u8 a, u8 n, u8 s, u8 r)
{
	const struct jit_div d = {.wide = wide, .modulo = true, .dst = jit_reg[r]};

	emit_mov(e, wide, jit_reg[r == n ? a : r], jit_reg[n]);
	jit_div_reg(e, &d, jit_reg[s]);
	if (r != n)
		emit_mov(e, wide, jit_reg[a], jit_reg[n]);
	emit_alu(e, wide, X86_SUB, jit_reg[a], jit_reg[r]);
}

/*
 * a = n; a /= s; a *= s; n -= a, or r = n; r -= a: a remainder of compilers that have no
 * instruction for it, where the CPU's division gives it.
 */
static u32 remainder_alone(struct emit *e, const struct bpf_insn *in, u32 n)
{
	u8 class = BPF_CLASS(in->code), a = in->dst_reg, num = in->src_reg, s = in[1].src_reg, r;

	if (n < 4 || (class != BPF_ALU && class != BPF_ALU64) || a == num || a == s || num == s ||
	    !is_op(in, class, BPF_MOV, a, num) || !is_op(in + 1, class, BPF_DIV, a, s) ||
	    !is_op(in + 2, class, BPF_MUL, a, s))
		return 0;
	if (is_op(in + 3, class, BPF_SUB, num, a)) {
		remainder_of(e, class == BPF_ALU64, a, num, s, num);
		return 4;
	}
	r = in[3].dst_reg;
	if (n < 5 || r == a || r == num || r == s || !is_op(in + 3, class, BPF_MOV, r, num) ||
	    !is_op(in + 4, class, BPF_SUB, r, a))
		return 0;
	remainder_of(e, class == BPF_ALU64, a, num, s, r);
	return 5;
}

u32 jit_together(struct emit *e, const struct bpf_insn *in, u32 n)
{
	if (n < 2)
		return 0;
	if (pair_lea(e, in, in + 1) || pair_extend(e, in, in + 1))
		return 2;
	return remainder_alone(e, in, n);
}
