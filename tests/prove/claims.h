/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is claimed of the scalar domain, once for all who check it: the test of every operand at a
 * small width, the random test at 64 bits, and the proof at 64 bits.
 *
 * A claim has two halves: what the domain does, NAME_do(a, b), which changes two scalars and says
 * whether the path lives; and what numbers do, NAME_is(x, y, &rx, &ry), which says whether it can
 * happen with x and y, and gives what they become. Claimed is: when x is in a, and y in b, and it
 * can happen, then the path lives, rx is in the new a and ry in the new b.
 *
 * The number halves are written from the instruction set's specification (RFC 9669), without the
 * domain's help. To be included after scalar_view.h.
 */
#pragma once

#include "core/uapi.h"

/* --- numbers -------------------------------------------------------------------------------- */
static inline u64 low_bits(u64 value, u32 width)
{
	return width < 64 ? value & ((1ull << width) - 1) : value;
}

static inline s64 as_signed(u64 value, u32 width)
{
	u64 sign = 1ull << (width - 1);

	return (s64)((low_bits(value, width) ^ sign) - sign);
}

static inline u32 shift_count(u64 count, u32 width)
{
	return IS_POW2(width) ? count & (width - 1) : count % width;
}

static inline u64 number_signed_div(u64 x, u64 y, u32 width)
{
	s64 sx = as_signed(x, width), sy = as_signed(y, width);

	if (!sy)
		return 0;
	return sy == -1 ? -x : (u64)(sx / sy);
}

static inline u64 number_signed_mod(u64 x, u64 y, u32 width)
{
	s64 sx = as_signed(x, width), sy = as_signed(y, width);

	if (!sy)
		return x;
	return sy == -1 ? 0 : (u64)(sx % sy);
}

/* x and y: low bits of width */
static inline u64 number_op(u64 x, u64 y, u8 op, bool is_signed, u32 width)
{
	switch (op) {
	case BPF_ADD:
		return x + y;
	case BPF_SUB:
		return x - y;
	case BPF_MUL:
		return x * y;
	case BPF_AND:
		return x & y;
	case BPF_OR:
		return x | y;
	case BPF_XOR:
		return x ^ y;
	case BPF_LSH:
		return x << shift_count(y, width);
	case BPF_RSH:
		return x >> shift_count(y, width);
	case BPF_ARSH:
		return (u64)(as_signed(x, width) >> shift_count(y, width));
	case BPF_DIV:
		return is_signed ? number_signed_div(x, y, width) : y ? x / y : 0;
	default:
		return is_signed ? number_signed_mod(x, y, width) : y ? x % y : x;
	}
}

static inline u64 number_alu(u64 x, u64 y, u8 op, bool is_signed, u32 width)
{
	return low_bits(number_op(low_bits(x, width), low_bits(y, width), op, is_signed, width),
			width);
}

static inline bool number_jmp(u64 x, u64 y, u8 op, u32 width)
{
	s64 sx = as_signed(x, width), sy = as_signed(y, width);

	x = low_bits(x, width);
	y = low_bits(y, width);
	switch (op) {
	case BPF_JEQ:
		return x == y;
	case BPF_JNE:
		return x != y;
	case BPF_JSET:
		return x & y;
	case BPF_JGT:
		return x > y;
	case BPF_JGE:
		return x >= y;
	case BPF_JLT:
		return x < y;
	case BPF_JLE:
		return x <= y;
	case BPF_JSGT:
		return sx > sy;
	case BPF_JSGE:
		return sx >= sy;
	case BPF_JSLT:
		return sx < sy;
	default:
		return sx <= sy;
	}
}

static inline u64 number_swap(u64 x, u32 bytes)
{
	u64 out = 0;
	u32 i, width = EBPF_DOMAIN_BYTE;

	for (i = 0; i < bytes; i++)
		out |= low_bits(x >> i * width, width) << (bytes - 1 - i) * width;
	return out;
}

static inline u32 width_of(u32 bytes)
{
	return bytes == 8   ? EBPF_DOMAIN_BITS
	       : bytes == 4 ? EBPF_DOMAIN_HALF
			    : bytes * EBPF_DOMAIN_BYTE;
}

/* --- claims --------------------------------------------------------------------------------- */
#define DOES(name)                                                                                 \
	static inline bool name##_do(struct ebpf_scalar *a __maybe_unused,                         \
				     struct ebpf_scalar *b __maybe_unused)
#define NUMBERS(name)                                                                              \
	static inline bool name##_is(u64 x __maybe_unused, u64 y __maybe_unused,                   \
				     u64 *rx __maybe_unused, u64 *ry __maybe_unused)

#define ALU_CLAIM(name, op, is64, is_signed)                                                       \
	DOES(name)                                                                                 \
	{                                                                                          \
		ebpf_scalar_alu(a, b, op, is64, is_signed);                                        \
		return true;                                                                       \
	}                                                                                          \
	NUMBERS(name)                                                                              \
	{                                                                                          \
		*rx = number_alu(x, y, op, is_signed,                                              \
				 (is64) ? EBPF_DOMAIN_BITS : EBPF_DOMAIN_HALF);                    \
		return true;                                                                       \
	}
#define ALU_CLAIMS(name, op, is_signed)                                                            \
	ALU_CLAIM(name##64, op, true, is_signed)                                                   \
	ALU_CLAIM(name##32, op, false, is_signed)

ALU_CLAIMS(add, BPF_ADD, false)
ALU_CLAIMS(sub, BPF_SUB, false)
ALU_CLAIMS(mul, BPF_MUL, false)
ALU_CLAIMS(and, BPF_AND, false)
ALU_CLAIMS(or, BPF_OR, false)
ALU_CLAIMS(xor, BPF_XOR, false)
ALU_CLAIMS(lsh, BPF_LSH, false)
ALU_CLAIMS(rsh, BPF_RSH, false)
ALU_CLAIMS(arsh, BPF_ARSH, false)
ALU_CLAIMS(div, BPF_DIV, false)
ALU_CLAIMS(mod, BPF_MOD, false)
ALU_CLAIMS(sdiv, BPF_DIV, true)
ALU_CLAIMS(smod, BPF_MOD, true)
#define ALU_NAMES(X)                                                                               \
	X(add64)                                                                                   \
	X(add32)                                                                                   \
	X(sub64) X(sub32) X(and64) X(and32) X(or64) X(or32) X(xor64) X(xor32) X(lsh64) X(lsh32)    \
		X(rsh64) X(rsh32) X(arsh64) X(arsh32) X(sdiv64) X(sdiv32) X(smod64) X(smod32)      \
			X(div64) X(div32) X(mod64) X(mod32) X(mul64) X(mul32)

/* one operand */
#define UNARY_CLAIM(name, action, result)                                                          \
	DOES(name)                                                                                 \
	{                                                                                          \
		action;                                                                            \
		return true;                                                                       \
	}                                                                                          \
	NUMBERS(name)                                                                              \
	{                                                                                          \
		*rx = result;                                                                      \
		return true;                                                                       \
	}
#define SEXT_CLAIM(name, bytes, is64)                                                              \
	UNARY_CLAIM(name, ebpf_scalar_sext(a, bytes, is64),                                        \
		    low_bits((u64)as_signed(x, width_of(bytes)), width_of((is64) ? 8 : 4)))
#define TRUNC_CLAIM(name, bytes)                                                                   \
	UNARY_CLAIM(name, ebpf_scalar_trunc(a, bytes), low_bits(x, width_of(bytes)))
#define SWAP_CLAIM(name, kind, bytes)                                                              \
	UNARY_CLAIM(name, ebpf_scalar_end(a, kind, 8 * (bytes)),                                   \
		    number_swap(x, width_of(bytes) / EBPF_DOMAIN_BYTE))
UNARY_CLAIM(neg64, ebpf_scalar_neg(a, true), low_bits(-x, EBPF_DOMAIN_BITS))
UNARY_CLAIM(neg32, ebpf_scalar_neg(a, false), low_bits(-x, EBPF_DOMAIN_HALF))
UNARY_CLAIM(zext32, ebpf_scalar_zext32(a), low_bits(x, EBPF_DOMAIN_HALF))
SEXT_CLAIM(sext8, 1, true)
SEXT_CLAIM(sext16, 2, true)
SEXT_CLAIM(sext32, 4, true)
SEXT_CLAIM(sext8to32, 1, false)
SEXT_CLAIM(sext16to32, 2, false)
TRUNC_CLAIM(trunc8, 1)
TRUNC_CLAIM(trunc16, 2)
TRUNC_CLAIM(trunc32, 4)
TRUNC_CLAIM(trunc64, 8)
SWAP_CLAIM(swap16, EBPF_END_SWAP, 2)
SWAP_CLAIM(swap32, EBPF_END_SWAP, 4)
SWAP_CLAIM(swap64, EBPF_END_SWAP, 8)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
SWAP_CLAIM(to_be16, EBPF_END_BE, 2)
UNARY_CLAIM(to_le16, ebpf_scalar_end(a, EBPF_END_LE, 16), low_bits(x, width_of(2)))
#else
SWAP_CLAIM(to_be16, EBPF_END_LE, 2)
UNARY_CLAIM(to_le16, ebpf_scalar_end(a, EBPF_END_BE, 16), low_bits(x, width_of(2)))
#endif

/* an instruction of one operand, or with itself */
#define INSN_CLAIM(name, code_, off_, imm_, result)                                                \
	UNARY_CLAIM(name,                                                                          \
		    ebpf_scalar_insn(a, a,                                                         \
				     &(const struct bpf_insn){                                     \
					     .code = (code_), .off = (off_), .imm = (imm_)}),      \
		    result)
INSN_CLAIM(insn_neg64, BPF_ALU64 | BPF_NEG, 0, 0, low_bits(-x, EBPF_DOMAIN_BITS))
INSN_CLAIM(insn_neg32, BPF_ALU | BPF_NEG, 0, 0, low_bits(-x, EBPF_DOMAIN_HALF))
INSN_CLAIM(insn_mov32, BPF_ALU | BPF_MOV | BPF_X, 0, 0, low_bits(x, EBPF_DOMAIN_HALF))
INSN_CLAIM(insn_movsx8, BPF_ALU64 | BPF_MOV | BPF_X, 8, 0,
	   low_bits((u64)as_signed(x, width_of(1)), EBPF_DOMAIN_BITS))
INSN_CLAIM(insn_movsx32, BPF_ALU64 | BPF_MOV | BPF_X, 32, 0,
	   low_bits((u64)as_signed(x, width_of(4)), EBPF_DOMAIN_BITS))
INSN_CLAIM(insn_movsx16to32, BPF_ALU | BPF_MOV | BPF_X, 16, 0,
	   low_bits((u64)as_signed(x, width_of(2)), EBPF_DOMAIN_HALF))
INSN_CLAIM(insn_swap16, BPF_ALU64 | BPF_END, 0, 16, number_swap(x, width_of(2) / EBPF_DOMAIN_BYTE))
INSN_CLAIM(insn_swap64, BPF_ALU64 | BPF_END, 0, 64, number_swap(x, width_of(8) / EBPF_DOMAIN_BYTE))
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BIG BPF_TO_BE
#define LITTLE BPF_TO_LE
#else
#define BIG BPF_TO_LE
#define LITTLE BPF_TO_BE
#endif
INSN_CLAIM(insn_be32, BPF_ALU | BPF_END | BIG, 0, 32,
	   number_swap(x, width_of(4) / EBPF_DOMAIN_BYTE))
INSN_CLAIM(insn_le32, BPF_ALU | BPF_END | LITTLE, 0, 32, low_bits(x, width_of(4)))
#define INSN_NAMES(X)                                                                              \
	X(insn_neg64)                                                                              \
	X(insn_neg32)                                                                              \
	X(insn_mov32) X(insn_movsx8) X(insn_movsx32) X(insn_movsx16to32) X(insn_swap16)            \
		X(insn_swap64) X(insn_be32) X(insn_le32)

#define UNARY_NAMES(X)                                                                             \
	INSN_NAMES(X)                                                                              \
	X(neg64)                                                                                   \
	X(neg32)                                                                                   \
	X(zext32) X(sext8) X(sext16) X(sext32) X(sext8to32) X(sext16to32) X(trunc8) X(trunc16)     \
		X(trunc32) X(trunc64) X(swap16) X(swap32) X(swap64) X(to_be16) X(to_le16)

/* Both branches' refinement, and both answers of the prediction. */
#define JMP_CLAIM(name, op, is32, outcome)                                                         \
	DOES(refine_##name)                                                                        \
	{                                                                                          \
		return ebpf_scalar_refine(a, b, op, is32, outcome);                                \
	}                                                                                          \
	NUMBERS(refine_##name)                                                                     \
	{                                                                                          \
		return number_jmp(x, y, op, (is32) ? EBPF_DOMAIN_HALF : EBPF_DOMAIN_BITS) ==       \
		       (outcome);                                                                  \
	}                                                                                          \
	DOES(predict_##name)                                                                       \
	{                                                                                          \
		int taken = ebpf_scalar_taken(a, b, op, is32);                                     \
                                                                                                   \
		return taken == (outcome) || taken == -1;                                          \
	}                                                                                          \
	NUMBERS(predict_##name)                                                                    \
	{                                                                                          \
		return number_jmp(x, y, op, (is32) ? EBPF_DOMAIN_HALF : EBPF_DOMAIN_BITS) ==       \
		       (outcome);                                                                  \
	}
#define JMP_CLAIMS(name, op)                                                                       \
	JMP_CLAIM(name##64_yes, op, false, true)                                                   \
	JMP_CLAIM(name##64_no, op, false, false)                                                   \
	JMP_CLAIM(name##32_yes, op, true, true)                                                    \
	JMP_CLAIM(name##32_no, op, true, false)
JMP_CLAIMS(jeq, BPF_JEQ)
JMP_CLAIMS(jne, BPF_JNE)
JMP_CLAIMS(jset, BPF_JSET)
JMP_CLAIMS(jgt, BPF_JGT)
JMP_CLAIMS(jge, BPF_JGE)
JMP_CLAIMS(jlt, BPF_JLT)
JMP_CLAIMS(jle, BPF_JLE)
JMP_CLAIMS(jsgt, BPF_JSGT)
JMP_CLAIMS(jsge, BPF_JSGE)
JMP_CLAIMS(jslt, BPF_JSLT)
JMP_CLAIMS(jsle, BPF_JSLE)
#define JMP_FOUR(X, name) X(name##64_yes) X(name##64_no) X(name##32_yes) X(name##32_no)
#define JMP_ALL(X, what)                                                                           \
	JMP_FOUR(X, what##jeq)                                                                     \
	JMP_FOUR(X, what##jne)                                                                     \
	JMP_FOUR(X, what##jset) JMP_FOUR(X, what##jgt) JMP_FOUR(X, what##jge)                      \
		JMP_FOUR(X, what##jlt) JMP_FOUR(X, what##jle) JMP_FOUR(X, what##jsgt)              \
			JMP_FOUR(X, what##jsge) JMP_FOUR(X, what##jslt) JMP_FOUR(X, what##jsle)
#define JMP_NAMES(X) JMP_ALL(X, refine_) JMP_ALL(X, predict_)

/* sets */
DOES(in)
{
	if (ebpf_scalar_in(a, b))
		*a = *b;
	return true;
}
NUMBERS(in)
{
	return true;
}
DOES(equal)
{
	if (ebpf_scalar_equal(a, b))
		*a = *b;
	return true;
}
NUMBERS(equal)
{
	return true;
}
DOES(join_left)
{
	return ebpf_scalar_join(a, a, b);
}
NUMBERS(join_left)
{
	return true;
}
DOES(join_right)
{
	return ebpf_scalar_join(a, a, b);
}
NUMBERS(join_right)
{
	*rx = y;
	return true;
}
DOES(meet)
{
	return ebpf_scalar_meet(a, a, b);
}
NUMBERS(meet)
{
	return x == y;
}
DOES(unknown)
{
	ebpf_scalar_unknown(a);
	return true;
}
NUMBERS(unknown)
{
	return true;
}
DOES(constant)
{
	if (ebpf_scalar_is_const(a))
		ebpf_scalar_const(a, a->var_off.value);
	if (ebpf_scalar_is_unknown(b))
		ebpf_scalar_unknown(b);
	return true;
}
NUMBERS(constant)
{
	return true;
}
DOES(range)
{
	ebpf_scalar_range(a, MIN(a->smin, b->smin), MAX(a->smax, b->smax));
	return true;
}
NUMBERS(range)
{
	return true;
}
/* instructions of two operands: the operation, the width and the sign are the instruction's */
#define INSN2_CLAIM(name, code_, off_, result)                                                     \
	DOES(name)                                                                                 \
	{                                                                                          \
		ebpf_scalar_insn(a, b, &(const struct bpf_insn){.code = (code_), .off = (off_)});  \
		return true;                                                                       \
	}                                                                                          \
	NUMBERS(name)                                                                              \
	{                                                                                          \
		*rx = result;                                                                      \
		return true;                                                                       \
	}
INSN2_CLAIM(insn_mov64, BPF_ALU64 | BPF_MOV | BPF_X, 0, y)
INSN2_CLAIM(insn_xor64, BPF_ALU64 | BPF_XOR | BPF_X, 0,
	    number_alu(x, y, BPF_XOR, false, EBPF_DOMAIN_BITS))
INSN2_CLAIM(insn_and32, BPF_ALU | BPF_AND | BPF_X, 0,
	    number_alu(x, y, BPF_AND, false, EBPF_DOMAIN_HALF))
INSN2_CLAIM(insn_div64, BPF_ALU64 | BPF_DIV | BPF_X, 0,
	    number_alu(x, y, BPF_DIV, false, EBPF_DOMAIN_BITS))
INSN2_CLAIM(insn_sdiv64, BPF_ALU64 | BPF_DIV | BPF_X, 1,
	    number_alu(x, y, BPF_DIV, true, EBPF_DOMAIN_BITS))
#define SET_NAMES(X)                                                                               \
	X(in)                                                                                      \
	X(equal)                                                                                   \
	X(join_left) X(join_right) X(meet) X(unknown) X(constant) X(range) X(insn_mov64)           \
		X(insn_xor64) X(insn_and32) X(insn_div64) X(insn_sdiv64)

/* the steps of a sync, each alone */
#define STEP_CLAIM(name, action)                                                                   \
	DOES(name)                                                                                 \
	{                                                                                          \
		struct ebpf_view full __maybe_unused = full_view(a);                               \
		struct ebpf_view half __maybe_unused = half_view(a);                               \
                                                                                                   \
		return action;                                                                     \
	}                                                                                          \
	NUMBERS(name)                                                                              \
	{                                                                                          \
		return true;                                                                       \
	}
STEP_CLAIM(sync_full_bits, ebpf_view_ranges_from_tnum(&full, BITS) && (set_full(a, &full), true))
STEP_CLAIM(sync_half_bits, ebpf_view_ranges_from_tnum(&half, HALF) && (set_half(a, &half), true))
STEP_CLAIM(sync_full_sign, ebpf_view_ranges_from_sign(&full, BITS) && (set_full(a, &full), true))
STEP_CLAIM(sync_half_sign, ebpf_view_ranges_from_sign(&half, HALF) && (set_half(a, &half), true))
STEP_CLAIM(sync_full_range, ebpf_view_tnum_from_range(&full) && (set_full(a, &full), true))
STEP_CLAIM(sync_half_range, ebpf_view_tnum_from_range(&half) && (set_half(a, &half), true))
STEP_CLAIM(sync_half_from_full, ebpf_scalar_half_from_full(a))
STEP_CLAIM(sync_full_from_half, ebpf_scalar_full_from_half(a))
STEP_CLAIM(sync_single,
	   !(ebpf_tnum_is_const(a->var_off) || a->umin == a->umax) || ebpf_scalar_single(a))
STEP_CLAIM(sync_small, a->umax > (u64)signed_max(HALF) || ebpf_scalar_small(a))
#define STEP_NAMES(X)                                                                              \
	X(sync_full_bits)                                                                          \
	X(sync_half_bits)                                                                          \
	X(sync_full_sign) X(sync_half_sign) X(sync_full_range) X(sync_half_range)                  \
		X(sync_half_from_full) X(sync_full_from_half) X(sync_single) X(sync_small)

STEP_CLAIM(sync, ebpf_scalar_sync(a))
