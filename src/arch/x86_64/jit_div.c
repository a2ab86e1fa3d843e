/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Division and remainder.
 *
 * x / 0 is 0, x % 0 is x, the smallest number / -1 is itself. Division by a constant is a shift, a
 * mask or a multiplication by the reciprocal (Granlund and Montgomery, "Division by Invariant
 * Integers using Multiplication"); flags are never saved, since BPF has none.
 */
#include "jit_div.h"

/* result for a divisor of 0 */
static void by_zero(struct emit *e, const struct jit_div *d)
{
	if (!d->modulo)
		emit_alu(e, false, X86_XOR, d->dst, d->dst);
	else if (!d->wide)
		emit_mov(e, false, d->dst, d->dst);
}

/* result for a divisor of -1 */
static void by_minus_one(struct emit *e, const struct jit_div *d)
{
	if (d->modulo)
		emit_alu(e, false, X86_XOR, d->dst, d->dst);
	else
		emit_unary(e, d->wide, X86_NEG, d->dst);
}

static void sign_into_dx(struct emit *e, bool wide)
{
	if (wide)
		emit_bytes(e, 0x9948, 2); /* cqo */
	else
		emit_bytes(e, 0x99, 1); /* cdq */
}

/* the division itself; @divisor is none of rax, rdx, r9, r10 */
static void divide(struct emit *e, const struct jit_div *d, u8 divisor)
{
	u8 result = d->modulo ? RDX : RAX;

	if (d->dst != RAX)
		emit_mov(e, true, R10, RAX);
	if (d->dst != RDX)
		emit_mov(e, true, R9, RDX);
	if (d->dst != RAX)
		emit_mov(e, d->wide, RAX, d->dst);
	if (d->sign)
		sign_into_dx(e, d->wide);
	else
		emit_alu(e, false, X86_XOR, RDX, RDX);
	emit_unary(e, d->wide, d->sign ? X86_IDIV : X86_DIV, divisor);
	if (d->dst != result)
		emit_mov(e, d->wide, d->dst, result);
	if (d->dst != RAX)
		emit_mov(e, true, RAX, R10);
	if (d->dst != RDX)
		emit_mov(e, true, RDX, R9);
}

/* x % 0 is x, which is there already, but for its upper half: the usual way has no jump. */
static void unsigned_modulo(struct emit *e, const struct jit_div *d, u8 src)
{
	u32 end;

	by_zero(e, d);
	emit_test(e, d->wide, src, src);
	end = emit_jcc8(e, CC_E);
	if (src == RAX || src == RDX) {
		emit_mov(e, true, R11, src);
		src = R11;
	}
	divide(e, d, src);
	emit_patch8(e, end);
}

void jit_div_reg(struct emit *e, const struct jit_div *d, u8 src)
{
	u32 nonzero, end, regular = 0, end2 = 0;

	if (d->modulo && !d->sign) {
		unsigned_modulo(e, d, src);
		return;
	}
	emit_test(e, d->wide, src, src);
	nonzero = emit_jcc8(e, CC_NE);
	by_zero(e, d);
	end = emit_jmp8(e);
	emit_patch8(e, nonzero);
	if (d->sign) {
		emit_alu_imm(e, d->wide, X86_CMP, src, -1);
		regular = emit_jcc8(e, CC_NE);
		by_minus_one(e, d);
		end2 = emit_jmp8(e);
		emit_patch8(e, regular);
	}
	if (src == RAX || src == RDX) {
		emit_mov(e, true, R11, src);
		src = R11;
	}
	divide(e, d, src);
	emit_patch8(e, end);
	if (d->sign)
		emit_patch8(e, end2);
}

static u32 log2_ceil(u64 v)
{
	return v <= 1 ? 0 : 64u - (u32)__builtin_clzll(v - 1);
}

static void by_power_of_two(struct emit *e, const struct jit_div *d, u64 divisor)
{
	u32 shift = log2_ceil(divisor);

	if (d->modulo && divisor == 1)
		emit_alu(e, false, X86_XOR, d->dst, d->dst);
	else if (d->modulo)
		emit_alu_imm(e, d->wide, X86_AND, d->dst, (s32)(divisor - 1));
	else if (shift)
		emit_shift_imm(e, d->wide, X86_SHR, d->dst, (u8)shift);
	else if (!d->wide)
		emit_mov(e, false, d->dst, d->dst);
}

/*
 * rax = rax / divisor, the dividend still in @n; clobbers rdx and r11.
 * 32 bits: the high half of n * ceil(2^64 / divisor), exact since n and the divisor are below 2^32.
 * 64 bits: with l = ceil(log2 divisor), m = 2^64 * (2^l - divisor) / divisor + 1 and t = high half
 * of n * m, the quotient is (t + (n - t) / 2) >> (l - 1).
 */
static void by_reciprocal(struct emit *e, const struct jit_div *d, u64 divisor, u8 n)
{
	u32 l = log2_ceil(divisor);
	unsigned __int128 one = 1;

	if (!d->wide) {
		emit_mov_imm(e, R11, (u64)(((one << 64) + divisor - 1) / divisor));
		emit_unary(e, true, X86_MUL, R11);
		emit_mov(e, false, RAX, RDX);
		return;
	}
	emit_mov_imm(e, R11, (u64)((((one << l) - divisor) << 64) / divisor + 1));
	emit_unary(e, true, X86_MUL, R11);
	emit_mov(e, true, RAX, n);
	emit_alu(e, true, X86_SUB, RAX, RDX);
	emit_shift_imm(e, true, X86_SHR, RAX, 1);
	emit_alu(e, true, X86_ADD, RAX, RDX);
	emit_shift_imm(e, true, X86_SHR, RAX, (u8)(l - 1));
}

/* r10 keeps rax and r9 keeps rdx, whichever of them is the dividend */
static void by_constant(struct emit *e, const struct jit_div *d, u64 divisor, s32 imm)
{
	u8 n = d->dst;

	emit_mov(e, d->wide || d->dst != RAX, R10, RAX);
	emit_mov(e, d->wide || d->dst != RDX, R9, RDX);
	if (n == RAX)
		n = R10;
	else if (n == RDX)
		n = R9;
	emit_mov(e, d->wide, RAX, n);
	by_reciprocal(e, d, divisor, n);
	if (d->modulo) {
		emit_imul_imm(e, d->wide, R11, RAX, imm);
		emit_mov(e, d->wide, RAX, n);
		emit_alu(e, d->wide, X86_SUB, RAX, R11);
	}
	if (d->dst != RAX) {
		emit_mov(e, d->wide, d->dst, RAX);
		emit_mov(e, true, RAX, R10);
	}
	if (d->dst != RDX)
		emit_mov(e, true, RDX, R9);
}

void jit_div_imm(struct emit *e, const struct jit_div *d, s32 imm)
{
	u64 divisor = d->wide ? (u64)(s64)imm : (u32)imm;

	if (!imm) {
		by_zero(e, d);
	} else if (d->sign && imm == -1) {
		by_minus_one(e, d);
	} else if (d->sign) {
		emit_mov_imm(e, R11, (u64)(s64)imm);
		divide(e, d, R11);
	} else if (IS_POW2(divisor)) {
		by_power_of_two(e, d, divisor);
	} else {
		by_constant(e, d, divisor, imm);
	}
}
