/* SPDX-License-Identifier: BSD-2-Clause */
/* Encoding of the x86-64 instructions the JIT uses: Intel SDM volume 2. See jit_emit.h. */
#include <string.h>

#include "jit_emit.h"

#define JUMP_LINE 32u

void emit_bytes(struct emit *e, u64 bytes, u32 n)
{
	for (; n; n--, bytes >>= 8) {
		if (e->len < e->cap)
			e->out[e->len] = (u8)bytes;
		e->len++;
	}
}

static void emit_rex(struct emit *e, bool wide, u8 reg, u8 index, u8 rm, bool force)
{
	u8 rex = (u8)(wide << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | rm >> 3);

	if (rex || force)
		emit_bytes(e, 0x40u | rex, 1);
}

static void emit_opcode(struct emit *e, u32 opcode)
{
	if (opcode > 0xffff)
		emit_bytes(e, opcode >> 16, 1);
	if (opcode > 0xff)
		emit_bytes(e, (opcode >> 8) & 0xff, 1);
	emit_bytes(e, opcode & 0xff, 1);
}

/* an 8-bit operand in spl, bpl, sil, dil needs a REX prefix to not mean ah..bh */
static bool needs_rex8(u8 reg)
{
	return reg >= RSP && reg <= RDI;
}

void emit_rr(struct emit *e, bool wide, u32 opcode, u8 reg, u8 rm, bool byte_op)
{
	emit_rex(e, wide, reg, 0, rm, byte_op && (needs_rex8(reg) || needs_rex8(rm)));
	emit_opcode(e, opcode);
	emit_bytes(e, 0xc0u | (reg & 7u) << 3 | (rm & 7u), 1);
}

static void emit_mem(struct emit *e, u8 reg, u8 base, s32 disp)
{
	u8 low = base & 7;
	u8 mod = 2;

	if (!disp && low != RBP)
		mod = 0;
	else if (disp == (s8)disp)
		mod = 1;
	emit_bytes(e, mod << 6 | (reg & 7u) << 3 | low, 1);
	if (low == RSP)
		emit_bytes(e, 0x24, 1);
	if (mod)
		emit_bytes(e, (u32)disp, mod == 1 ? 1 : 4);
}

void emit_rm(struct emit *e, u8 prefix, bool wide, u32 opcode, u8 reg, u8 base, s32 disp,
	     bool byte_op)
{
	if (prefix)
		emit_bytes(e, prefix, 1);
	emit_rex(e, wide, reg, 0, base, byte_op && needs_rex8(reg));
	emit_opcode(e, opcode);
	emit_mem(e, reg, base, disp);
}

void emit_rm_index(struct emit *e, bool wide, u32 opcode, u8 reg, u8 base, u8 index, u8 scale,
		   s32 disp)
{
	bool small = disp == (s8)disp;

	emit_rex(e, wide, reg, index, base, false);
	emit_opcode(e, opcode);
	emit_bytes(e, (small ? 0x40u : 0x80u) | (reg & 7u) << 3 | 4u, 1);
	emit_bytes(e, (u32)__builtin_ctz(scale) << 6 | (index & 7u) << 3 | (base & 7u), 1);
	emit_bytes(e, (u32)disp, small ? 1 : 4);
}

void emit_mov(struct emit *e, bool wide, u8 dst, u8 src)
{
	emit_rr(e, wide, 0x89, src, dst, false);
}

void emit_mov_imm(struct emit *e, u8 dst, u64 imm)
{
	if (!imm) {
		emit_alu(e, false, X86_XOR, dst, dst);
	} else if (imm <= UINT32_MAX) {
		emit_rex(e, false, 0, 0, dst, false);
		emit_bytes(e, 0xb8u | (dst & 7u), 1);
		emit_bytes(e, imm, 4);
	} else if (imm == (u64)(s64)(s32)imm) {
		emit_rr(e, true, 0xc7, 0, dst, false);
		emit_bytes(e, imm, 4);
	} else {
		emit_rex(e, true, 0, 0, dst, false);
		emit_bytes(e, 0xb8u | (dst & 7u), 1);
		emit_bytes(e, imm, 8);
	}
}

void emit_alu(struct emit *e, bool wide, enum x86_alu op, u8 dst, u8 src)
{
	u32 start = e->len;

	emit_rr(e, wide, (u32)op << 3 | 1, src, dst, false);
	emit_fuses(e, start);
}

void emit_alu_imm(struct emit *e, bool wide, enum x86_alu op, u8 dst, s32 imm)
{
	bool small = imm == (s8)imm;
	u32 start = e->len;

	emit_rr(e, wide, small ? 0x83 : 0x81, (u8)op, dst, false);
	emit_bytes(e, (u32)imm, small ? 1 : 4);
	emit_fuses(e, start);
}

void emit_test(struct emit *e, bool wide, u8 a, u8 b)
{
	u32 start = e->len;

	emit_rr(e, wide, 0x85, b, a, false);
	emit_fuses(e, start);
}

void emit_test_imm(struct emit *e, bool wide, u8 a, s32 imm)
{
	u32 start = e->len;

	emit_rr(e, wide && imm < 0, 0xf7, 0, a, false);
	emit_bytes(e, (u32)imm, 4);
	emit_fuses(e, start);
}

void emit_imul(struct emit *e, bool wide, u8 dst, u8 src)
{
	emit_rr(e, wide, 0x0faf, dst, src, false);
}

void emit_imul_imm(struct emit *e, bool wide, u8 dst, u8 src, s32 imm)
{
	bool small = imm == (s8)imm;

	emit_rr(e, wide, small ? 0x6b : 0x69, dst, src, false);
	emit_bytes(e, (u32)imm, small ? 1 : 4);
}

void emit_unary(struct emit *e, bool wide, enum x86_unary op, u8 reg)
{
	emit_rr(e, wide, 0xf7, (u8)op, reg, false);
}

void emit_shift_imm(struct emit *e, bool wide, enum x86_shift op, u8 reg, u8 count)
{
	emit_rr(e, wide, 0xc1, (u8)op, reg, false);
	emit_bytes(e, count, 1);
}

void emit_shift_cl(struct emit *e, bool wide, enum x86_shift op, u8 reg)
{
	emit_rr(e, wide, 0xd3, (u8)op, reg, false);
}

/* VEX.LZ.{66,F2,F3}.0F38 F7: shlx, shrx, sarx dst, src, count */
void emit_shiftx(struct emit *e, bool wide, enum x86_shift op, u8 dst, u8 src, u8 count)
{
	u8 pp = op == X86_SHL ? 1 : op == X86_SHR ? 3 : 2;
	u8 rxb = (u8)((dst < 8) << 7 | 1 << 6 | (src < 8) << 5);

	emit_bytes(e, 0xc4, 1);
	emit_bytes(e, rxb | 2u, 1);
	emit_bytes(e, (u32)wide << 7 | (~count & 15u) << 3 | pp, 1);
	emit_bytes(e, 0xf7, 1);
	emit_bytes(e, 0xc0u | (dst & 7u) << 3 | (src & 7u), 1);
}

void emit_lea(struct emit *e, u8 dst, u8 base, s32 disp)
{
	emit_rm(e, 0, true, 0x8d, dst, base, disp, false);
}

void emit_lea32(struct emit *e, u8 dst, u8 base, s32 disp)
{
	emit_rm(e, 0, false, 0x8d, dst, base, disp, false);
}

/* rbp and r13 as a base need a displacement; @index is never rsp */
void emit_lea_sum(struct emit *e, bool wide, u8 dst, u8 base, u8 index)
{
	bool disp = (base & 7) == RBP;

	emit_rex(e, wide, dst, index, base, false);
	emit_bytes(e, 0x8d, 1);
	emit_bytes(e, (u32)disp << 6 | (dst & 7u) << 3 | 4u, 1);
	emit_bytes(e, (index & 7u) << 3 | (base & 7u), 1);
	if (disp)
		emit_bytes(e, 0, 1);
}

void emit_zext16(struct emit *e, u8 dst, u8 src)
{
	emit_rr(e, false, 0x0fb7, dst, src, false);
}

void emit_zext8(struct emit *e, u8 dst, u8 src)
{
	emit_rex(e, false, dst, 0, src, needs_rex8(src));
	emit_opcode(e, 0x0fb6);
	emit_bytes(e, 0xc0u | (dst & 7u) << 3 | (src & 7u), 1);
}

void emit_bswap(struct emit *e, bool wide, u8 reg)
{
	emit_rex(e, wide, 0, 0, reg, false);
	emit_opcode(e, 0x0fc8u | (reg & 7u));
}

void emit_push(struct emit *e, u8 reg)
{
	emit_rex(e, false, 0, 0, reg, false);
	emit_bytes(e, 0x50u | (reg & 7u), 1);
}

void emit_pop(struct emit *e, u8 reg)
{
	emit_rex(e, false, 0, 0, reg, false);
	emit_bytes(e, 0x58u | (reg & 7u), 1);
}

void emit_fuses(struct emit *e, u32 start)
{
	e->fused = start;
	e->fused_end = e->len;
}

/* One instruction that does nothing, of @n bytes, 1 to 8: nop, or nop [rax + index * scale + disp]
 */
static void nop(u8 *at, u32 n)
{
	static const u8 nops[][8] = {{0x90},
				     {0x66, 0x90},
				     {0x0f, 0x1f, 0x00},
				     {0x0f, 0x1f, 0x40, 0},
				     {0x0f, 0x1f, 0x44, 0, 0},
				     {0x66, 0x0f, 0x1f, 0x44, 0, 0},
				     {0x0f, 0x1f, 0x80, 0, 0, 0, 0},
				     {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}};

	memcpy(at, nops[n - 1], n);
}

static void fill(u8 *at, u32 n)
{
	for (u32 len; n; n -= len, at += len) {
		len = MIN(n, 8u);
		nop(at, len);
	}
}

void emit_place_jump(struct emit *e, u32 len)
{
	u32 start = e->fused_end == e->len ? e->fused : e->len;
	u32 pad = JUMP_LINE - start % JUMP_LINE;

	if (!e->lines || start / JUMP_LINE == (e->len + len) / JUMP_LINE)
		return;
	if (e->len + pad <= e->cap) {
		memmove(e->out + start + pad, e->out + start, e->len - start);
		fill(e->out + start, pad);
	}
	e->len += pad;
}

u32 emit_jcc8(struct emit *e, enum x86_cc cc)
{
	emit_place_jump(e, 2);
	emit_bytes(e, 0x70u | cc, 2);
	return e->len - 1;
}

u32 emit_jmp8(struct emit *e)
{
	emit_place_jump(e, 2);
	emit_bytes(e, 0xeb, 2);
	return e->len - 1;
}

static void note_fix(struct emit *e, const u32 *to, bool is_short)
{
	if (e->fixes)
		e->fixes[e->nfixes] =
			(struct emit_fix){.to = to, .at = e->len, .is_short = is_short};
	e->nfixes++;
	emit_bytes(e, 0, is_short ? 1 : 4);
}

void emit_rel8(struct emit *e, const u32 *to)
{
	note_fix(e, to, true);
}

void emit_rel32(struct emit *e, const u32 *to)
{
	note_fix(e, to, false);
}

void emit_guard(struct emit *e, const u32 *to)
{
	if (e->guards)
		e->guards[e->nguards] = (struct emit_guard){.at = e->len, .to = to};
	e->nguards++;
}

void emit_load_fs(struct emit *e, u8 dst, u8 at)
{
	emit_rm(e, 0x64, false, 0x8b, dst, at, 0, false);
}

void emit_load_self(struct emit *e, u8 dst)
{
	emit_bytes(e, 0x8b4864, 3);
	emit_bytes(e, (u32)dst << 3 | 4u, 1);
	emit_bytes(e, 0x25, 5);
}

bool emit_fix_all(struct emit *e)
{
	for (u32 i = 0; i < e->nfixes; i++) {
		const struct emit_fix *f = &e->fixes[i];
		u32 size = f->is_short ? 1 : 4;
		s32 disp = (s32)(*f->to - (f->at + size));

		if (f->is_short && disp != (s8)disp)
			return false;
		if (f->at + size <= e->cap)
			memcpy(e->out + f->at, &disp, size);
	}
	return true;
}

void emit_jcc32(struct emit *e, enum x86_cc cc, const u32 *to)
{
	emit_place_jump(e, 6);
	emit_bytes(e, 0x800fu | (u32)cc << 8, 2);
	emit_rel32(e, to);
}

void emit_patch8(struct emit *e, u32 place)
{
	u32 here = emit_label(e);

	if (place < e->cap)
		e->out[place] = (u8)(here - place - 1);
}
