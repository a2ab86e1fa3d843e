/* SPDX-License-Identifier: BSD-2-Clause */
/* What the JIT asks of a single BPF instruction. */
#pragma once

#include "core/run/image.h"
#include "core/run/prog.h"
#include "jit_emit.h"

static inline bool is_lddw(const struct bpf_insn *in)
{
	return in->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static inline bool is_jump(const struct bpf_insn *in)
{
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);

	return (class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT;
}

static inline bool is_division(const struct bpf_insn *in)
{
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);

	return (class == BPF_ALU || class == BPF_ALU64) && (op == BPF_DIV || op == BPF_MOD);
}

static inline u32 jump_target(const struct bpf_insn *in, u32 i)
{
	s32 off = in->code == (BPF_JMP32 | BPF_JA) ? in->imm : in->off;

	return i + 1 + (u32)off;
}

static inline bool is_call(const struct bpf_insn *in)
{
	return BPF_CLASS(in->code) == BPF_JMP && BPF_OP(in->code) == BPF_CALL;
}

/* bytes below the frame pointer that @in touches; all of it when r10 gets away */
static inline u32 stack_used(const struct bpf_insn *in)
{
	u8 class = BPF_CLASS(in->code);
	bool is_store = class == BPF_ST || class == BPF_STX;

	if (class == BPF_LDX && in->src_reg == BPF_REG_10)
		return in->off < 0 && in->off >= -EBPF_STACK_SIZE ? (u32)-in->off : EBPF_STACK_SIZE;
	if (is_store && in->dst_reg == BPF_REG_10 && in->src_reg != BPF_REG_10)
		return in->off < 0 && in->off >= -EBPF_STACK_SIZE ? (u32)-in->off : EBPF_STACK_SIZE;
	if (in->src_reg == BPF_REG_10 || in->dst_reg == BPF_REG_10)
		return EBPF_STACK_SIZE;
	return 0;
}

/* Does @in leave a value of its own in @reg? What calls leave there is nobody's. */
static inline bool writes(const struct bpf_insn *in, u8 reg)
{
	u8 class = BPF_CLASS(in->code);

	if (class == BPF_JMP || class == BPF_JMP32)
		return BPF_OP(in->code) == BPF_CALL && reg <= BPF_REG_5;
	if (class == BPF_ST)
		return false;
	if (class == BPF_STX)
		return BPF_MODE(in->code) == BPF_ATOMIC && (in->src_reg == reg || reg == 0);
	return in->dst_reg == reg;
}

/* Does @in ask for the value in @reg, or may somebody it leads to? */
static inline bool asks_for(const struct bpf_insn *in, u8 reg)
{
	u8 class = BPF_CLASS(in->code);

	if (class == BPF_JMP || class == BPF_JMP32 || class == BPF_STX)
		return true;
	return in->src_reg == reg || in->dst_reg == reg;
}

/* Do the stores of @in leave the four bytes at r10 + @off alone? Only where they go to is known. */
static inline bool spares(const struct bpf_insn *in, s16 off)
{
	static const u8 bytes[4] = {4, 2, 1, 8}; /* BPF_W, BPF_H, BPF_B, BPF_DW */
	u8 class = BPF_CLASS(in->code);

	if (class != BPF_ST && class != BPF_STX)
		return class != BPF_JMP && class != BPF_JMP32;
	return in->dst_reg == BPF_REG_10 &&
	       (in->off >= off + 4 || in->off + bytes[BPF_SIZE(in->code) >> 3] <= off);
}

static inline int cc_of(u8 op)
{
	static const u8 cc[16] = {
		[BPF_JEQ >> 4] = CC_E,	 [BPF_JGT >> 4] = CC_A,	  [BPF_JGE >> 4] = CC_AE,
		[BPF_JSET >> 4] = CC_NE, [BPF_JNE >> 4] = CC_NE,  [BPF_JSGT >> 4] = CC_G,
		[BPF_JSGE >> 4] = CC_GE, [BPF_JLT >> 4] = CC_B,	  [BPF_JLE >> 4] = CC_BE,
		[BPF_JSLT >> 4] = CC_L,	 [BPF_JSLE >> 4] = CC_LE,
	};

	return cc[op >> 4];
}
