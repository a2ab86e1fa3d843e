/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One instruction of a path: arithmetic, conditions, calls and returns.
 *
 * Model: as the instruction set says (RFC 9669), on sets of values. Numbers are scalar.h's; a
 * pointer can be copied, moved by a number and compared, nothing else. A condition that can go both
 * ways forks the path, each side knowing what it says; values with the same id learn it together.
 */
#include <string.h>

#include "core/load/check.h"
#include "core/load/check_proof.h"
#include "core/load/mutant.h"

#define MAX_OFFSET (1 << 29)

int proof_readable(struct proof_check *c, u32 regno)
{
	if (EBPF_MUTANT(66, proof_reg(c, regno)->type == VT_NONE, false))
		return proof_fail(c, "R%u is not known here", regno);
	return 0;
}

void proof_clobber(struct proof_check *c)
{
	for (u32 i = BPF_REG_0; i <= BPF_REG_5; i++)
		ebpf_vreg_none(proof_reg(c, i));
}

/* --- linked values --------------------------------------------------------------------------- */

static void learn(struct ebpf_vreg *r, void *arg)
{
	const struct ebpf_vreg *known = arg;
	struct ebpf_vreg by;
	s64 delta;

	if (r == known || r->type != VT_SCALAR || r->id != known->id)
		return;
	delta = (s64)(r->flags & VREG_DELTA ? r->delta : 0) -
		(known->flags & VREG_DELTA ? known->delta : 0);
	ebpf_vreg_const(&by, (u64)delta);
	r->val = known->val;
	if (EBPF_MUTANT(67, delta, 0))
		ebpf_scalar_alu(&r->val, &by.val, BPF_ADD, true, false);
}

static void know_linked(struct ebpf_vstate *st, const struct ebpf_vreg *known)
{
	struct ebpf_vreg copy = *known;

	if (known->type == VT_SCALAR && known->id)
		ebpf_vreg_each(st, learn, &copy);
}

/* --- moves ----------------------------------------------------------------------------------- */

/* From now on a copy is known to be equal. */
void proof_link(struct proof_check *c, struct ebpf_vreg *src)
{
	if (src->type == VT_SCALAR && !src->id && !ebpf_scalar_is_const(&src->val))
		src->id = ++c->next_id;
}

static void mov_part(struct proof_check *c, struct ebpf_vreg *dst, struct ebpf_vreg *src,
		     const struct bpf_insn *in)
{
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;
	u32 bits = in->off ? (u32)in->off : 32;
	/* narrowed, a number below the sign bit (or of 32 bits) is the same */
	bool same = src->type == VT_SCALAR && !(src->val.umax >> (in->off ? bits - 1 : 32));

	if (same)
		proof_link(c, src);
	if (src->type == VT_SCALAR)
		*dst = *src;
	else
		ebpf_vreg_unknown(dst);
	if (EBPF_MUTANT(68, !same, false))
		proof_unlink(dst);
	if (in->off)
		ebpf_scalar_sext(&dst->val, (u8)(bits / 8), is64);
	if (!is64)
		ebpf_scalar_zext32(&dst->val);
}

static int mov(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = proof_reg(c, in->dst_reg), *src = proof_reg(c, in->src_reg);
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;
	int r;

	if (BPF_SRC(in->code) == BPF_K) {
		ebpf_vreg_const(dst, is64 ? (u64)(s64)in->imm : (u32)in->imm);
		return 0;
	}
	r = proof_readable(c, in->src_reg);
	if (r)
		return r;
	if (is64 && !in->off) {
		proof_link(c, src);
		*dst = *src;
	} else {
		mov_part(c, dst, src, in);
	}
	return 0;
}

/* --- arithmetic ------------------------------------------------------------------------------ */

static bool moves(const struct ebpf_vreg *ptr)
{
	if (ptr->flags & VREG_NULL)
		return false;
	switch (ptr->type) {
	case VT_CTX:
	case VT_MAP_VALUE:
	case VT_MAP_KEY:
	case VT_STACK:
	case VT_MEM:
		return true;
	case VT_PKT:
		return ptr->obj != 2;
	default:
		return false;
	}
}

/* A constant goes to the fixed part of the offset, as long as that is small. */
static bool shift_offset(struct ebpf_vreg *ptr, const struct ebpf_scalar *by, u8 op)
{
	s64 off;

	if (!ebpf_scalar_is_const(by) || by->smin > MAX_OFFSET || by->smin < -MAX_OFFSET)
		return false;
	off = op == BPF_ADD ? ptr->off + by->smin : ptr->off - by->smin;
	if (off > MAX_OFFSET || off < -MAX_OFFSET)
		return false;
	ptr->off = (s32)off;
	return true;
}

/* *dst = @ptr moved by the number @by; a map itself, by nothing */
static int move_pointer(struct proof_check *c, struct ebpf_vreg *dst, struct ebpf_vreg ptr,
			const struct ebpf_vreg by, u8 op)
{
	if (by.type != VT_SCALAR)
		return proof_fail(c, "arithmetic on something unknown");
	if (EBPF_MUTANT(69, !moves(&ptr), false) && !(ptr.type == VT_MAP && proof_is_zero(&by)))
		return proof_fail(c, "arithmetic on a pointer that can't be moved");
	*dst = ptr;
	if (shift_offset(dst, &by.val, op))
		return 0;
	ebpf_scalar_alu(&dst->val, &by.val, op, true, false);
	if (dst->type == VT_PKT) {
		dst->uid = ++c->next_id;
		dst->mem_size = 0;
	}
	return 0;
}

static int alu_pointer(struct proof_check *c, const struct bpf_insn *in,
		       const struct ebpf_vreg *src)
{
	struct ebpf_vreg *dst = proof_reg(c, in->dst_reg);
	u8 op = BPF_OP(in->code);
	bool both = ebpf_vreg_is_ptr(dst) && ebpf_vreg_is_ptr(src);

	if (op == BPF_SUB && (both || BPF_CLASS(in->code) == BPF_ALU)) {
		ebpf_vreg_unknown(dst); /* a distance, or the rest of an address */
		return 0;
	}
	if (BPF_CLASS(in->code) != BPF_ALU64 || (op != BPF_ADD && op != BPF_SUB))
		return proof_fail(c, "arithmetic on a pointer other than + and -");
	if (both)
		return proof_fail(c, "the sum of two pointers");
	if (ebpf_vreg_is_ptr(dst))
		return move_pointer(c, dst, *dst, *src, op);
	if (op != BPF_ADD)
		return proof_fail(c, "a number minus a pointer");
	return move_pointer(c, dst, *src, *dst, op);
}

/* r += constant, r -= constant: the difference to what it was is known */
static void keep_delta(struct ebpf_vreg *dst, const struct ebpf_vreg *src,
		       const struct bpf_insn *in)
{
	u8 op = BPF_OP(in->code);
	s64 by = (s64)src->val.umin;
	bool fits = by == (s32)by;

	if (op == BPF_SUB && fits)
		by = -by;
	if (BPF_CLASS(in->code) != BPF_ALU64 || (op != BPF_ADD && op != BPF_SUB) || !dst->id ||
	    (dst->flags & VREG_DELTA) || !ebpf_scalar_is_const(&src->val) || !fits ||
	    by != (s32)by) {
		proof_unlink(dst);
		return;
	}
	dst->flags |= VREG_DELTA;
	dst->delta = (s32)by;
}

static enum ebpf_end end_kind(const struct bpf_insn *in)
{
	if (BPF_CLASS(in->code) == BPF_ALU64)
		return EBPF_END_SWAP;
	return BPF_SRC(in->code) == BPF_TO_BE ? EBPF_END_BE : EBPF_END_LE;
}

static int unary(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = proof_reg(c, in->dst_reg);
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;

	proof_unlink(dst);
	if (dst->type != VT_SCALAR)
		ebpf_vreg_unknown(dst); /* what a pointer's bits become is any number */
	else if (BPF_OP(in->code) == BPF_NEG)
		ebpf_scalar_neg(&dst->val, is64);
	else
		ebpf_scalar_end(&dst->val, end_kind(in), (u8)in->imm);
	return 0;
}

static int binary(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = proof_reg(c, in->dst_reg), src;
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;
	u8 op = BPF_OP(in->code);
	int r = 0;

	if (BPF_SRC(in->code) == BPF_X) {
		r = proof_readable(c, in->src_reg);
		src = *proof_reg(c, in->src_reg);
	} else {
		ebpf_vreg_const(&src, (u64)(s64)in->imm);
	}
	if (r)
		return r;
	if (ebpf_vreg_is_ptr(dst) || ebpf_vreg_is_ptr(&src))
		return alu_pointer(c, in, &src);
	ebpf_scalar_alu(&dst->val, &src.val, op, is64, in->off == 1);
	keep_delta(dst, &src, in);
	return 0;
}

static int alu(struct proof_check *c, const struct bpf_insn *in)
{
	u8 op = BPF_OP(in->code);
	int r;

	if (in->dst_reg == BPF_REG_10)
		return proof_fail(c, "the frame pointer is read only");
	if (op == BPF_MOV)
		return mov(c, in);
	r = proof_readable(c, in->dst_reg);
	if (r)
		return r;
	return op == BPF_NEG || op == BPF_END ? unary(c, in) : binary(c, in);
}

/* --- conditions ------------------------------------------------------------------------------ */

struct null_test {
	u32 id;
	bool null;
};

static void settle_null(struct ebpf_vreg *r, void *arg)
{
	const struct null_test *t = arg;

	if (!(r->flags & VREG_NULL) || r->id != t->id || !ebpf_vreg_is_ptr(r))
		return;
	if (t->null)
		ebpf_vreg_const(r, 0);
	else
		r->flags &= (u16)~VREG_NULL;
}

/* On this path the pointers with register @regno's id are NULL, or none of them is. */
static void know_null(struct ebpf_vstate *st, u32 regno, bool null)
{
	struct ebpf_vreg *r = ebpf_vreg(st, regno);
	struct null_test t = {.id = r->id, .null = null};

	if (null && r->ref_id && r->ref_id == r->id)
		ebpf_vref_del(st, r->ref_id);
	if (t.id)
		ebpf_vreg_each(st, settle_null, &t);
	else if (null)
		ebpf_vreg_const(r, 0);
	else
		r->flags &= (u16)~VREG_NULL;
}

static bool never_null(const struct ebpf_vreg *r)
{
	return ebpf_vreg_is_ptr(r) && !(r->flags & VREG_NULL) && r->type != VT_CTX &&
	       r->type != VT_PKT;
}

struct cond {
	const struct bpf_insn *in;
	u8 op;
	bool is32, imm;
	struct ebpf_vreg k; /* the constant */
};

static struct ebpf_vreg *right(struct cond *cond, struct ebpf_vstate *st)
{
	return cond->imm ? &cond->k : ebpf_vreg(st, cond->in->src_reg);
}

static bool is_null_test(struct cond *cond, const struct ebpf_vreg *a, const struct ebpf_vreg *b)
{
	return !cond->is32 && (cond->op == BPF_JEQ || cond->op == BPF_JNE) && ebpf_vreg_is_ptr(a) &&
	       proof_is_zero(b);
}

/* a number compared with itself */
static int itself(u8 op)
{
	return op == BPF_JEQ || op == BPF_JGE || op == BPF_JLE || op == BPF_JSGE || op == BPF_JSLE;
}

/* 1, 0: always, never; -1: it can go both ways */
static int decided(struct cond *cond, struct ebpf_vstate *st)
{
	const struct ebpf_vreg *a = ebpf_vreg(st, cond->in->dst_reg), *b = right(cond, st);

	if (a == b && a->type == VT_SCALAR && cond->op != BPF_JSET)
		return itself(cond->op);
	if (a->type == VT_SCALAR && b->type == VT_SCALAR)
		return ebpf_scalar_taken(&a->val, &b->val, cond->op, cond->is32);
	if (is_null_test(cond, a, b) && EBPF_MUTANT(70, never_null(a), true))
		return cond->op == BPF_JNE;
	return -1;
}

static bool refine_numbers(struct cond *cond, struct ebpf_vstate *st, bool taken)
{
	struct ebpf_vreg *a = ebpf_vreg(st, cond->in->dst_reg), *b = right(cond, st);
	struct ebpf_vreg k = *b;

	/* a register compared with itself learns nothing */
	if (!cond->imm && cond->in->dst_reg == cond->in->src_reg)
		return true;
	if (!ebpf_scalar_refine(&a->val, cond->imm ? &k.val : &b->val, cond->op, cond->is32, taken))
		return false;
	know_linked(st, a);
	if (!cond->imm)
		know_linked(st, ebpf_vreg(st, cond->in->src_reg));
	return true;
}

/* equal to a pointer that isn't NULL */
static void refine_pointers(struct cond *cond, struct ebpf_vstate *st, bool taken)
{
	struct ebpf_vreg *a = ebpf_vreg(st, cond->in->dst_reg), *b = right(cond, st);

	if (cond->is32 || taken != (cond->op == BPF_JEQ) ||
	    (cond->op != BPF_JEQ && cond->op != BPF_JNE))
		return;
	if ((a->flags & VREG_NULL) && never_null(b))
		know_null(st, cond->in->dst_reg, false);
	else if ((b->flags & VREG_NULL) && never_null(a))
		know_null(st, cond->in->src_reg, false);
}

struct range {
	u32 uid, bytes;
};

static void set_range(struct ebpf_vreg *r, void *arg)
{
	const struct range *range = arg;

	if (r->type == VT_PKT && r->obj != 2 && r->uid == range->uid)
		r->mem_size = MAX(r->mem_size, range->bytes);
}

/* `data + n <= data_end`: the n bytes before are there; with `<` one more. */
static void refine_packet(struct cond *cond, struct ebpf_vstate *st, bool taken)
{
	struct ebpf_vreg *a = ebpf_vreg(st, cond->in->dst_reg), *b = right(cond, st);
	bool le = cond->op == BPF_JLE || cond->op == BPF_JLT; /* taken: a at or below b */
	bool ge = cond->op == BPF_JGE || cond->op == BPF_JGT;
	struct ebpf_vreg *low, *high;
	struct range range;
	bool strict;
	s64 n;

	if (cond->is32 || a->type != VT_PKT || b->type != VT_PKT || (!le && !ge))
		return;
	low = taken == le ? a : b;
	high = taken == le ? b : a;
	if (low->obj == 2 || !(high->obj == 2 || (high->obj == 0 && low->obj == 1)) ||
	    !ebpf_scalar_is_const(&high->val) || high->val.umin || high->off)
		return;
	/* what isn't at or above the other is below it */
	strict = (cond->op == BPF_JLT || cond->op == BPF_JGT) == taken;
	n = low->off + EBPF_MUTANT(124, strict, 1);
	if (n <= 0 || n > 65535)
		return;
	range = (struct range){.uid = low->uid, .bytes = (u32)n};
	ebpf_vreg_each(st, set_range, &range);
}

/* What the path knows when the condition went this way. false: it can't. */
static bool refine(struct cond *cond, struct ebpf_vstate *st, bool taken)
{
	struct ebpf_vreg *a = ebpf_vreg(st, cond->in->dst_reg), *b = right(cond, st);

	if (a->type == VT_SCALAR && b->type == VT_SCALAR)
		return refine_numbers(cond, st, taken);
	if (is_null_test(cond, a, b)) {
		if (a->flags & VREG_NULL)
			know_null(st, cond->in->dst_reg, taken == (cond->op == BPF_JEQ));
	} else if (ebpf_vreg_is_ptr(a) && ebpf_vreg_is_ptr(b)) {
		refine_pointers(cond, st, taken);
		refine_packet(cond, st, taken);
	}
	return true;
}

static int go(struct proof_check *c, struct cond *cond, u32 pc, bool taken, bool *end)
{
	*end = !refine(cond, &c->p->st, taken);
	c->p->pc = pc;
	return 0;
}

static int cond_jump(struct proof_check *c, const struct bpf_insn *in, bool *end)
{
	struct cond cond = {.in = in,
			    .op = BPF_OP(in->code),
			    .is32 = BPF_CLASS(in->code) == BPF_JMP32,
			    .imm = BPF_SRC(in->code) == BPF_K};
	u32 there = c->p->pc + 1 + (u32)in->off, here = c->p->pc + 1;
	struct proof_path *other;
	int r = proof_readable(c, in->dst_reg);

	ebpf_vreg_const(&cond.k, (u64)(s64)in->imm);
	if (!r && !cond.imm)
		r = proof_readable(c, in->src_reg);
	if (r)
		return r;
	switch (decided(&cond, &c->p->st)) {
	case 1:
		return go(c, &cond, there, true, end);
	case 0:
		return go(c, &cond, here, false, end);
	}
	r = proof_fork(c, there, &other);
	if (r)
		return r;
	if (!refine(&cond, &other->st, true))
		other->pc = PROOF_NONE; /* never walked */
	return go(c, &cond, here, false, end);
}

static int may_goto(struct proof_check *c, const struct bpf_insn *in)
{
	int r = proof_fork(c, c->p->pc + 1 + (u32)in->off, &(struct proof_path *){NULL});

	proof_budget_use(&c->p->budgets, BUDGET_MAY_GOTO, 0, 0);
	c->p->pc++;
	return r;
}

/* --- calls ----------------------------------------------------------------------------------- */

int proof_enter(struct proof_check *c, u32 subprog, bool callback)
{
	struct ebpf_vstate *st = &c->p->st;
	u32 callsite = c->p->pc;
	struct ebpf_vframe *caller, *f;
	int r;

	if (st->curframe + 1 >= EBPF_MAX_FRAMES)
		return proof_fail(c, "more than %u frames", EBPF_MAX_FRAMES);
	r = ebpf_vframe_push(st);
	if (r)
		return r;
	f = ebpf_vframe(st);
	caller = st->frame[st->curframe - 1];
	f->callsite = callsite;
	f->subprog = subprog;
	f->callback = callback;
	for (u32 i = BPF_REG_1; i <= BPF_REG_5 && !callback; i++)
		f->regs[i] = caller->regs[i];
	ebpf_vreg_pointer(&f->regs[BPF_REG_10], VT_STACK, st->curframe, 0);
	c->p->pc = c->subprog[subprog].start;
	return 0;
}

static int subprog_call(struct proof_check *c, const struct bpf_insn *in)
{
	u32 subprog = proof_subprog_at(c, c->p->pc + 1 + (u32)in->imm);

	if (subprog == PROOF_NONE)
		return proof_fail(c, "a call into the middle of a function");
	if (c->subprog[subprog].sig.global)
		return proof_global_call(c, subprog);
	return proof_enter(c, subprog, false);
}

static int held(struct proof_check *c)
{
	const struct ebpf_vstate *st = &c->p->st;

	for (u32 i = 0; i < st->nrefs; i++)
		if (!st->curframe || st->refs[i].frame == st->curframe)
			return proof_fail(c, "what instruction %u acquired is not given back",
					  st->refs[i].insn);
	return 0;
}

static int leave_callback(struct proof_check *c, u32 callsite)
{
	struct ebpf_vstate *st = &c->p->st;
	int r = held(c);

	r = r ? r : proof_return(c);
	if (r)
		return r;
	ebpf_vframe_pop(st);
	c->p->pc = callsite; /* once more, or not */
	proof_budget_use(&c->p->budgets, BUDGET_CALLBACK, st->curframe, callsite);
	return 0;
}

static int leave(struct proof_check *c, bool *end)
{
	struct ebpf_vstate *st = &c->p->st;
	struct ebpf_vframe *f = ebpf_vframe(st);
	u32 callsite = f->callsite;
	struct ebpf_vreg r0 = f->regs[BPF_REG_0];
	int r;

	if (!st->curframe) {
		*end = true;
		r = EBPF_MUTANT(71, held(c), 0);
		return r ? r : proof_return(c);
	}
	if (f->callback)
		return leave_callback(c, callsite);
	/* no other pointer into this frame is left: none was stored outside (write_value()) */
	if (r0.type == VT_STACK)
		return proof_fail(c, "a pointer into a stack that is gone");
	ebpf_vframe_pop(st);
	proof_clobber(c);
	*proof_reg(c, BPF_REG_0) = r0;
	c->p->pc = callsite + 1;
	for (u32 i = 0; i < st->nrefs; i++)
		st->refs[i].frame = MIN(st->refs[i].frame, st->curframe);
	return 0;
}

/* --- all of them ----------------------------------------------------------------------------- */

static int jump(struct proof_check *c, const struct bpf_insn *in, bool *end)
{
	bool wide = BPF_CLASS(in->code) == BPF_JMP32;

	switch (BPF_OP(in->code)) {
	case BPF_JA:
		c->p->pc += 1 + (u32)(wide ? in->imm : in->off);
		return 0;
	case BPF_CALL:
		return in->src_reg == BPF_PSEUDO_CALL ? subprog_call(c, in) : proof_call(c, in);
	case BPF_EXIT:
		return leave(c, end);
	case BPF_JCOND:
		return may_goto(c, in);
	default:
		return cond_jump(c, in, end);
	}
}

int proof_step(struct proof_check *c, bool *end)
{
	const struct bpf_insn *in = proof_at(c, c->p->pc);
	u8 *fact = &c->facts->insn[c->p->pc];
	int r;

	if (!(*fact & EBPF_FACT_SEEN) && ebpf_check_fields(in, c->log))
		return proof_fail(c, "a field that must be empty");
	*fact |= EBPF_FACT_SEEN;
	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		r = alu(c, in);
		c->p->pc++;
		return r;
	case BPF_JMP:
	case BPF_JMP32:
		return jump(c, in, end);
	case BPF_LD:
		if (in->code == (BPF_LD | BPF_IMM | BPF_DW)) {
			r = proof_lddw(c, in);
			c->p->pc += 2;
			return r;
		}
		/* fallthrough */
	default:
		r = proof_mem(c, in);
		c->p->pc++;
		return r;
	}
}
