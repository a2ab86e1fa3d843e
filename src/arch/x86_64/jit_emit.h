/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing x86-64 instructions into a bounded buffer.
 *
 * Model: every emit_*() appends one instruction; behind the end of the buffer nothing is written
 * but the length goes on counting, so that the caller learns what it would have needed. Operands
 * are hardware register numbers. `wide` selects 64-bit operation; without it the upper half of the
 * destination becomes zero, which is what BPF's 32-bit operations want.
 */
#pragma once

#include "base/macros.h"

enum x86_reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

/* operations of the 0x81/0x83 group, and (op << 3 | 1) as opcode of the register form */
enum x86_alu { X86_ADD, X86_OR, X86_ADC, X86_SBB, X86_AND, X86_SUB, X86_XOR, X86_CMP };

/* operations of the shift group */
enum x86_shift { X86_ROL = 0, X86_SHL = 4, X86_SHR = 5, X86_SAR = 7 };

/* operations of the 0xf7 group */
enum x86_unary { X86_NOT = 2, X86_NEG = 3, X86_MUL = 4, X86_DIV = 6, X86_IDIV = 7 };

/* condition codes */
enum x86_cc {
	CC_B = 2,
	CC_AE = 3,
	CC_E = 4,
	CC_NE = 5,
	CC_BE = 6,
	CC_A = 7,
	CC_L = 12,
	CC_GE = 13,
	CC_LE = 14,
	CC_G = 15
};

/* For tests: generate for a CPU without BMI2. */
extern bool x86_jit_avoid_bmi2;
/* For tests: generate without .lines. */
extern bool x86_jit_avoid_lines;

/* A place in the code, of one byte or four, that is to hold the distance to an offset. */
struct emit_fix {
	const u32 *to; /* where the offset will be known in the end */
	u32 at : 31;
	u32 is_short : 1;
};

/* An instruction that may fault, and where the code goes on then. */
struct emit_guard {
	u32 at;
	const u32 *to; /* where the offset will be known in the end */
};

struct emit {
	u8 *out;
	size_t cap;
	u32 len;
	bool bmi2;		/* the CPU has it */
	bool lines;		/* no jump crosses the end of a line, or ends there */
	u32 fused, fused_end;	/* the instruction that is one with a jump behind it: where */
	struct emit_fix *fixes; /* NULL: they are only counted */
	u32 nfixes;
	struct emit_guard *guards; /* the same */
	u32 nguards;
};

void emit_bytes(struct emit *e, u64 bytes, u32 n);

/* One instruction with a register operand @rm: [prefix] [REX] opcode modrm. @opcode may hold two
 * or three bytes, the first in the highest. @byte_op: rm or reg is an 8-bit register. */
void emit_rr(struct emit *e, bool wide, u32 opcode, u8 reg, u8 rm, bool byte_op);
/* The same with the memory operand [base + disp]. @prefix 0, 0x66 or 0xf0. */
void emit_rm(struct emit *e, u8 prefix, bool wide, u32 opcode, u8 reg, u8 base, s32 disp,
	     bool byte_op);
/* The same with [base + index * scale + disp]; @index is not rsp. */
void emit_rm_index(struct emit *e, bool wide, u32 opcode, u8 reg, u8 base, u8 index, u8 scale,
		   s32 disp);

void emit_mov(struct emit *e, bool wide, u8 dst, u8 src);
void emit_mov_imm(struct emit *e, u8 dst, u64 imm); /* shortest form for the 64-bit value */
void emit_alu(struct emit *e, bool wide, enum x86_alu op, u8 dst, u8 src);
void emit_alu_imm(struct emit *e, bool wide, enum x86_alu op, u8 dst, s32 imm);
void emit_test(struct emit *e, bool wide, u8 a, u8 b);
void emit_test_imm(struct emit *e, bool wide, u8 a, s32 imm);
void emit_imul(struct emit *e, bool wide, u8 dst, u8 src);
void emit_imul_imm(struct emit *e, bool wide, u8 dst, u8 src, s32 imm);
void emit_unary(struct emit *e, bool wide, enum x86_unary op, u8 reg);
void emit_shift_imm(struct emit *e, bool wide, enum x86_shift op, u8 reg, u8 count);
void emit_shift_cl(struct emit *e, bool wide, enum x86_shift op, u8 reg);
void emit_shiftx(struct emit *e, bool wide, enum x86_shift op, u8 dst, u8 src, u8 count); /* BMI2 */
void emit_lea(struct emit *e, u8 dst, u8 base, s32 disp);
void emit_lea32(struct emit *e, u8 dst, u8 base, s32 disp);
void emit_lea_sum(struct emit *e, bool wide, u8 dst, u8 base, u8 index);
void emit_zext16(struct emit *e, u8 dst, u8 src);
void emit_zext8(struct emit *e, u8 dst, u8 src);
void emit_bswap(struct emit *e, bool wide, u8 reg);
void emit_push(struct emit *e, u8 reg);
void emit_pop(struct emit *e, u8 reg);
/*
 * A jump of @len bytes comes next. Many CPUs decode a jump anew each time that crosses the end of
 * one of their lines of 32 bytes, or ends there, together with the comparison before it, with which
 * it is one operation: half the speed of a short loop. With .lines, it begins the next line then.
 */
void emit_place_jump(struct emit *e, u32 len);
/* The code may be entered here, where it stands now: what is before it is not to be moved. */
static inline u32 emit_label(struct emit *e)
{
	e->fused_end = 0;
	return e->len;
}
/* The instruction from @start to here sets the flags for a jump that may come next. */
void emit_fuses(struct emit *e, u32 start);
/* Jump of a fixed short form, target to be filled in by emit_patch8(). Returns the patch's place.
 */
u32 emit_jcc8(struct emit *e, enum x86_cc cc);
u32 emit_jmp8(struct emit *e);
void emit_patch8(struct emit *e, u32 place);

/* The distance from what follows to the offset that *to will be: filled in by emit_fix_all(), which
 * says whether all short ones were long enough. */
void emit_rel8(struct emit *e, const u32 *to);
void emit_rel32(struct emit *e, const u32 *to);
bool emit_fix_all(struct emit *e);

/* The next instruction may fault, and the code goes on at the offset *to then. */
void emit_guard(struct emit *e, const u32 *to);
/* mov @dst, fs:[@at], of 32 bits */
void emit_load_fs(struct emit *e, u8 dst, u8 at);
/* mov @dst, fs:[0]: the thread pointer, where a libc keeps it; @dst is below r8 */
void emit_load_self(struct emit *e, u8 dst);
void emit_jcc32(struct emit *e, enum x86_cc cc, const u32 *to);
