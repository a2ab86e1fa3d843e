/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arithmetic: on numbers, and on pointers what keeps them pointers.
 *
 * Model: a pointer is base + fixed offset + variable offset. Adding a constant moves the fixed
 * part, adding a number adds to the variable part. The difference of two pointers, and 32-bit
 * subtraction on one, are numbers nobody knows. All else on pointers is refused.
 */
#include <errno.h>
#include <string.h>

#include "core/load/mutant.h"
#include "core/load/verify_node.h"

#define MAX_OFFSET (1ll << 29)

static const char *op_text(u8 op)
{
	static const char *const text[16] = {
		[BPF_ADD >> 4] = "+=",	  [BPF_SUB >> 4] = "-=",  [BPF_MUL >> 4] = "*=",
		[BPF_DIV >> 4] = "/=",	  [BPF_OR >> 4] = "|=",	  [BPF_AND >> 4] = "&=",
		[BPF_LSH >> 4] = "<<=",	  [BPF_RSH >> 4] = ">>=", [BPF_NEG >> 4] = "neg",
		[BPF_MOD >> 4] = "%=",	  [BPF_XOR >> 4] = "^=",  [BPF_MOV >> 4] = "=",
		[BPF_ARSH >> 4] = "s>>=",
	};

	return text[op >> 4] ? text[op >> 4] : "";
}

static void unlink_number(struct ebpf_vreg *reg)
{
	reg->id = 0;
	reg->delta = 0;
	reg->flags &= (u16)~VREG_DELTA;
}

/* --- pointers -------------------------------------------------------------------------------- */

static bool small(s64 off)
{
	return off < MAX_OFFSET && off > -MAX_OFFSET;
}

/* Every number of some width times a power of two: no test has bounded it, only its type. */
static bool scaled(const struct ebpf_scalar *s)
{
	u64 size = 0 - (u64)s->smin, step = s->var_off.mask & (0 - s->var_off.mask);

	return s->smin < 0 && !(size & (size - 1)) && step > 1 && (u64)s->smax == size - step;
}

static int offset_wild(struct verify *v, const struct ebpf_vreg *reg, const struct ebpf_vreg *ptr)
{
	s64 min = reg->val.smin;
	char name[64];

	verify_type_name(ptr, name);
	if (ebpf_scalar_is_const(&reg->val) && !small(min))
		return verify_fail(v, EINVAL, "math between %s pointer and %lld is not allowed\n",
				   name, (long long)min);
	if (reg->type != VT_SCALAR && !small(reg->off))
		return verify_fail(v, EINVAL, "%s pointer offset %d is not allowed\n", name,
				   reg->off);
	if (min == INT64_MIN || scaled(&reg->val))
		return verify_fail(v, EINVAL,
				   "math between %s pointer and register with unbounded min value "
				   "is not allowed\n",
				   name);
	return verify_fail(v, EINVAL, "value %lld makes %s pointer be out of bounds\n",
			   (long long)min, name);
}

/* Is @reg's offset one that an address can be built with? For numbers: to be added to one. */
static int offset_sane(struct verify *v, const struct ebpf_vreg *reg, const struct ebpf_vreg *ptr)
{
	if (small(reg->val.smin) && (reg->type == VT_SCALAR || small(reg->off)))
		return 0;
	return offset_wild(v, reg, ptr);
}

int verify_ptr_sane(struct verify *v, const struct ebpf_vreg *reg, u32 regno)
{
	(void)regno;
	return offset_sane(v, reg, reg);
}

static bool moves(const struct ebpf_vreg *ptr, const struct ebpf_scalar *by, u8 op)
{
	switch (ptr->type) {
	case VT_CTX:
	case VT_MAP_VALUE:
	case VT_MAP_KEY:
	case VT_STACK:
	case VT_MEM:
	case VT_FUNC:
	case VT_DYNPTR:
	case VT_BTF:
		return true;
	case VT_PKT:
		return ptr->obj != 2;
	default:
		return ptr->type == VT_MAP && ebpf_scalar_is_const(by) && !by->umin &&
		       op == BPF_ADD;
	}
}

static int may_move(struct verify *v, u32 dst, const struct ebpf_vreg *ptr,
		    const struct ebpf_scalar *by, u8 op)
{
	char name[64];

	if (EBPF_MUTANT(117, ptr->flags & VREG_NULL, 0))
		return verify_fail(v, EACCES,
				   "R%u pointer arithmetic on %s prohibited, null-check it first\n",
				   dst, verify_type_name(ptr, name));
	if (!moves(ptr, by, op))
		return verify_fail(v, EACCES, "R%u pointer arithmetic on %s prohibited\n", dst,
				   verify_type_name(ptr, name));
	return 0;
}

/* A packet pointer that was moved by something unknown has a range of its own to be proved. */
static void new_packet_base(struct verify *v, struct ebpf_vreg *reg, bool keep_range)
{
	if (reg->type != VT_PKT)
		return;
	reg->uid = verify_new_id(v);
	if (!keep_range)
		reg->mem_size = 0;
}

static int add_offset(struct verify *v, struct ebpf_vreg *reg, const struct ebpf_scalar *by)
{
	s64 sum = (s64)reg->off + by->smin;

	if (ebpf_scalar_is_const(by) && sum == (s32)sum) {
		reg->off = (s32)sum;
		return 0;
	}
	ebpf_scalar_alu(&reg->val, by, BPF_ADD, true, false);
	new_packet_base(v, reg, false);
	return 0;
}

static int sub_offset(struct verify *v, u32 dst, struct ebpf_vreg *reg,
		      const struct ebpf_scalar *by)
{
	s64 sum = (s64)reg->off - by->smin;

	if (reg->type == VT_STACK)
		return verify_fail(v, EACCES, "R%u subtraction from stack pointer prohibited\n",
				   dst);
	if (ebpf_scalar_is_const(by) && sum == (s32)sum) {
		reg->off = (s32)sum;
		return 0;
	}
	ebpf_scalar_alu(&reg->val, by, BPF_SUB, true, false);
	new_packet_base(v, reg, by->smin >= 0);
	return 0;
}

static int move_pointer(struct verify *v, u32 dst, struct ebpf_vreg *out, u8 op, bool ptr_is_src,
			const struct ebpf_scalar *by)
{
	switch (op) {
	case BPF_ADD:
		return add_offset(v, out, by);
	case BPF_SUB:
		if (ptr_is_src)
			return verify_fail(v, EACCES, "R%u tried to subtract pointer from scalar\n",
					   dst);
		return sub_offset(v, dst, out, by);
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
		return verify_fail(v, EACCES, "R%u bitwise operator %s on pointer prohibited\n",
				   dst, op_text(op));
	default:
		return verify_fail(v, EACCES,
				   "R%u pointer arithmetic with %s operator prohibited\n", dst,
				   op_text(op));
	}
}

/* @dst becomes @ptr moved by the number @by. */
static int pointer_alu(struct verify *v, const struct bpf_insn *in, const struct ebpf_vreg *ptr,
		       const struct ebpf_vreg *by)
{
	struct ebpf_vreg *dst = verify_reg(v, in->dst_reg), out = *ptr;
	u8 op = BPF_OP(in->code);
	int r;

	if (BPF_CLASS(in->code) != BPF_ALU64) {
		if (op != BPF_SUB)
			return verify_fail(v, EACCES, "R%u 32-bit pointer arithmetic prohibited\n",
					   in->dst_reg);
		verify_reg_unknown(v, dst);
		return 0;
	}
	r = may_move(v, in->dst_reg, ptr, &by->val, op);
	r = r ? r : offset_sane(v, by, ptr);
	r = r ? r : offset_sane(v, ptr, ptr);
	r = r ? r : move_pointer(v, in->dst_reg, &out, op, ptr != dst, &by->val);
	r = r ? r : offset_sane(v, &out, ptr);
	if (!r)
		*dst = out;
	return r;
}

/* --- numbers --------------------------------------------------------------------------------- */

/* What is added to the number, when that is a constant. */
static bool known_step(const struct bpf_insn *in, const struct ebpf_vreg *src, s32 *step)
{
	bool itself = BPF_SRC(in->code) == BPF_X && in->src_reg == in->dst_reg;
	s64 by = (s64)src->val.umin;

	if (BPF_CLASS(in->code) != BPF_ALU64 || itself || !ebpf_scalar_is_const(&src->val) ||
	    by != (s32)by)
		return false;
	if (BPF_OP(in->code) == BPF_SUB)
		by = -by;
	*step = (s32)by;
	return (BPF_OP(in->code) == BPF_ADD || BPF_OP(in->code) == BPF_SUB) && by == *step;
}

/* r1 = r2; r1 += 4: what a test says of one it says of the other */
static void keep_link(const struct bpf_insn *in, struct ebpf_vreg *dst, const struct ebpf_vreg *src)
{
	s32 step;

	if (!dst->id || (dst->flags & VREG_DELTA) || !known_step(in, src, &step)) {
		unlink_number(dst);
		return;
	}
	dst->flags |= VREG_DELTA;
	dst->delta = step;
}

static void number_alu(struct verify *v, const struct bpf_insn *in, const struct ebpf_vreg *src)
{
	struct ebpf_vreg *dst = verify_reg(v, in->dst_reg), by = *src;

	if (EBPF_MUTANT(122, true, false))
		keep_link(in, dst, &by);
	ebpf_scalar_alu(&dst->val, &by.val, BPF_OP(in->code), BPF_CLASS(in->code) == BPF_ALU64,
			in->off == 1);
	dst->def = verify_def(v, dst->def, by.def);
}

/* Two pointers: only their difference makes sense, and nobody knows it. */
static int pointer_pair(struct verify *v, const struct bpf_insn *in)
{
	if (BPF_OP(in->code) != BPF_SUB)
		return verify_fail(v, EACCES, "R%u pointer %s pointer prohibited\n", in->dst_reg,
				   op_text(BPF_OP(in->code)));
	verify_reg_unknown(v, verify_reg(v, in->dst_reg));
	return 0;
}

static int binary_x(struct verify *v, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = verify_reg(v, in->dst_reg), *src = verify_reg(v, in->src_reg);
	struct ebpf_vreg by;
	int r = 0;

	if (ebpf_vreg_is_ptr(src) && ebpf_vreg_is_ptr(dst))
		return pointer_pair(v, in);
	if (ebpf_vreg_is_ptr(src)) {
		r = verify_precise(v, in->dst_reg);
		by = *dst;
		return r ? r : pointer_alu(v, in, src, &by);
	}
	if (ebpf_vreg_is_ptr(dst) || (dst->flags & VREG_PRECISE))
		r = verify_precise(v, in->src_reg);
	if (r)
		return r;
	by = *src;
	if (ebpf_vreg_is_ptr(dst))
		return pointer_alu(v, in, dst, &by);
	number_alu(v, in, &by);
	return 0;
}

/* What the instruction set defines and nobody means. Where no path comes by, it is no matter. */
static int constant_operand(struct verify *v, const struct bpf_insn *in)
{
	s32 width = BPF_CLASS(in->code) == BPF_ALU64 ? 64 : 32;
	u8 op = BPF_OP(in->code);

	if ((op == BPF_DIV || op == BPF_MOD) && !in->imm)
		return verify_fail(v, EINVAL, "div by zero\n");
	if ((op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH) && (in->imm < 0 || in->imm >= width))
		return verify_fail(v, EINVAL, "invalid shift %d\n", in->imm);
	return 0;
}

static int alu_binary(struct verify *v, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = verify_reg(v, in->dst_reg), by;
	int r = 0;

	if (BPF_SRC(in->code) == BPF_X)
		r = verify_readable(v, in->src_reg);
	r = r ? r : verify_readable(v, in->dst_reg);
	if (r)
		return r;
	if (BPF_SRC(in->code) == BPF_X)
		return binary_x(v, in);
	r = constant_operand(v, in);
	if (r)
		return r;
	verify_reg_const(&by, (u64)(s64)in->imm);
	if (ebpf_vreg_is_ptr(dst))
		return pointer_alu(v, in, dst, &by);
	number_alu(v, in, &by);
	return 0;
}

static int alu_unary(struct verify *v, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = verify_reg(v, in->dst_reg);
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;
	int r = verify_readable(v, in->dst_reg);

	if (r)
		return r;
	if (dst->type != VT_SCALAR) {
		verify_reg_unknown(v, dst);
		return 0;
	}
	unlink_number(dst);
	if (BPF_OP(in->code) == BPF_NEG)
		ebpf_scalar_neg(&dst->val, is64);
	else
		ebpf_scalar_end(&dst->val,
				is64 ? EBPF_END_SWAP
				     : (BPF_SRC(in->code) == BPF_TO_BE ? EBPF_END_BE : EBPF_END_LE),
				(u8)in->imm);
	return 0;
}

/* --- moves ----------------------------------------------------------------------------------- */

static void link_number(struct verify *v, struct ebpf_vreg *reg)
{
	if (reg->type != VT_SCALAR || ebpf_scalar_is_const(&reg->val))
		return;
	/* with a delta it can't stand for others: the copy starts a family of its own */
	if (reg->flags & VREG_DELTA)
		unlink_number(reg);
	if (!reg->id)
		reg->id = verify_new_id(v);
}

/* @keeps: the number is the same afterwards, so that the copy stays linked */
static struct ebpf_vreg *copy_number(struct verify *v, const struct bpf_insn *in, bool keeps)
{
	struct ebpf_vreg *dst = verify_reg(v, in->dst_reg), *src = verify_reg(v, in->src_reg);

	if (keeps)
		link_number(v, src);
	*dst = *src;
	if (!keeps)
		unlink_number(dst);
	return dst;
}

static void move_signed(struct verify *v, const struct bpf_insn *in, bool is64)
{
	struct ebpf_vreg *src = verify_reg(v, in->src_reg);
	bool keeps = src->val.umax < 1ull << (in->off - 1);

	ebpf_scalar_sext(&copy_number(v, in, keeps)->val, (u8)(in->off / 8), is64);
}

static void move_reg(struct verify *v, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = verify_reg(v, in->dst_reg), *src = verify_reg(v, in->src_reg);
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;

	if (is64 && !in->off) {
		link_number(v, src);
		*dst = *src;
	} else if (src->type != VT_SCALAR) {
		verify_reg_unknown(v, dst);
		if (!is64)
			ebpf_scalar_zext32(&dst->val);
	} else if (in->off) {
		move_signed(v, in, is64);
	} else {
		dst = copy_number(v, in, src->val.umax <= UINT32_MAX);
		ebpf_scalar_zext32(&dst->val);
	}
}

static int alu_mov(struct verify *v, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = verify_reg(v, in->dst_reg);
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;
	int r;

	if (BPF_SRC(in->code) == BPF_K) {
		verify_reg_const(dst, is64 ? (u64)(s64)in->imm : (u64)(u32)in->imm);
		return 0;
	}
	r = verify_readable(v, in->src_reg);
	if (!r)
		move_reg(v, in);
	return r;
}

/* A number that knows something of the context's address: with enough of them it can be read. */
static bool takes_context_apart(struct verify *v, const struct bpf_insn *in)
{
	const struct ebpf_vreg *dst = verify_reg(v, in->dst_reg), *src = dst;
	u8 op = BPF_OP(in->code);
	bool both;

	if (BPF_SRC(in->code) == BPF_X && op != BPF_END)
		src = verify_reg(v, in->src_reg);
	else if (op == BPF_MOV)
		return false;
	if (op == BPF_MOV)
		dst = src;
	if (dst->type != VT_CTX && src->type != VT_CTX)
		return false;
	both = BPF_SRC(in->code) == BPF_X && ebpf_vreg_is_ptr(dst) && ebpf_vreg_is_ptr(src);
	if (BPF_CLASS(in->code) != BPF_ALU64 || in->off)
		return true;
	return op != BPF_MOV && (both || (op != BPF_ADD && op != BPF_SUB));
}

int verify_alu(struct verify *v, const struct bpf_insn *in)
{
	if (in->dst_reg == BPF_REG_10)
		return verify_fail(v, EACCES, "frame pointer is read only\n");
	v->scratched_regs |= 1u << in->dst_reg;
	v->ctx_bits |= takes_context_apart(v, in);
	switch (BPF_OP(in->code)) {
	case BPF_NEG:
	case BPF_END:
		return alu_unary(v, in);
	case BPF_MOV:
		return alu_mov(v, in);
	default:
		return alu_binary(v, in);
	}
}
