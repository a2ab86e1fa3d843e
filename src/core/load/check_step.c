/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One instruction of a path: arithmetic, conditions, calls and returns.
 *
 * Model: as the instruction set says (RFC 9669), on sets of values. Numbers are scalar.h's; a
 * pointer can be copied, moved by a number and compared, nothing else. A condition that can go both
 * ways forks the path, each side knowing what it says; values with the same id learn it together.
 */
#include "core/load/check.h"
#include "core/load/check_proof.h"
#include "core/load/mutant.h"

struct ebpf_vreg *proof_readable(struct proof_check *c, u32 regno)
{
	struct ebpf_vreg *r = proof_reg(c, regno);

	if (EBPF_MUTANT(66, r->type == VT_NONE, false))
		proof_fail(c, "R%u is not known here", regno);
	return r;
}

void proof_clobber(struct proof_check *c)
{
	for (u32 i = BPF_REG_0; i <= BPF_REG_5; i++)
		ebpf_vreg_none(proof_reg(c, i));
}

/* From now on a copy is known to be equal. */
void proof_link(struct proof_check *c, struct ebpf_vreg *src)
{
	if (src->type == VT_SCALAR && !src->id && !ebpf_scalar_is_const(&src->val))
		src->id = ++c->next_id;
}

/* The second operand: a register, or *k, which becomes the constant. */
static struct ebpf_vreg *second(const struct bpf_insn *in, const struct ebpf_vstate *st,
				struct ebpf_vreg *k)
{
	if (BPF_SRC(in->code) == BPF_X)
		return ebpf_vreg(st, in->src_reg);
	ebpf_vreg_const(k, (u64)(s64)in->imm);
	return k;
}

/* --- arithmetic ------------------------------------------------------------------------------ */

static void mov(struct proof_check *c, const struct bpf_insn *in, struct ebpf_vreg *dst,
		struct ebpf_vreg *src)
{
	bool whole = BPF_CLASS(in->code) == BPF_ALU64 && !in->off;
	/* narrowed, a number below the sign bit (or of 32 bits) is the same */
	bool same = whole || !(src->val.umax >> (in->off ? in->off - 1 : 32));

	if (same)
		proof_link(c, src);
	*dst = *src;
	if (whole)
		return;
	if (ebpf_vreg_is_ptr(dst))
		ebpf_vreg_unknown(dst); /* a part of its bits */
	if (EBPF_MUTANT(68, !same, false))
		proof_unlink(dst);
	ebpf_scalar_insn(&dst->val, &dst->val, in);
}

/* By a constant: what was @from far away, and now is that much further, still near. */
static bool steps(const struct bpf_insn *in, const struct ebpf_scalar *by, s32 *from)
{
	const u8 op = BPF_OP(in->code), class = BPF_CLASS(in->code);
	const s64 to = (s64)((u64)(s64)*from + (op == BPF_SUB ? -by->umin : by->umin));

	if (class != BPF_ALU64 || (op != BPF_ADD && op != BPF_SUB) || !ebpf_scalar_is_const(by) ||
	    to != (s32)to)
		return false;
	*from = (s32)to;
	return true;
}

static bool moves(const struct ebpf_vreg *ptr)
{
	const u32 fixed = 1u << VT_MAP | 1u << VT_FUNC | 1u << VT_DYNPTR | 1u << VT_OTHER;
	const bool end = ptr->type == VT_PKT && ptr->obj == 2;

	return !(ptr->flags & VREG_NULL) && !(fixed >> ptr->type & 1) && !end;
}

static void alu_pointer(struct proof_check *c, const struct bpf_insn *in, struct ebpf_vreg *dst,
			const struct ebpf_vreg *src)
{
	const bool first = ebpf_vreg_is_ptr(dst), both = first && ebpf_vreg_is_ptr(src);
	const struct ebpf_scalar by = first ? src->val : dst->val;
	const u8 op = BPF_OP(in->code), class = BPF_CLASS(in->code);

	if (op == BPF_SUB && (both || class == BPF_ALU))
		return ebpf_vreg_unknown(dst); /* a distance, or the rest of an address */
	proof_need(c, class == BPF_ALU64 && (op == BPF_ADD || (op == BPF_SUB && first)) && !both,
		   "arithmetic on a pointer other than + and - a number");
	*dst = first ? *dst : *src;
	proof_need(c, EBPF_MUTANT(69, moves(dst), true) || (dst->type == VT_MAP && !by.umax),
		   "arithmetic on a pointer that can't be moved");
	if (dst->type == VT_PKT && steps(in, &by, &dst->off))
		return;
	ebpf_scalar_alu(&dst->val, &by, op, true, false);
	if (dst->type != VT_PKT)
		return;
	dst->uid = ++c->next_id; /* what is known of it counts from where it is */
	dst->mem_size = 0;
}

static void alu(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg k, *dst = proof_reg(c, in->dst_reg), *src = dst;
	u8 op = BPF_OP(in->code);
	struct ebpf_scalar by;

	proof_need(c, in->dst_reg != BPF_REG_10, "the frame pointer is read only");
	if (op != BPF_MOV)
		proof_readable(c, in->dst_reg);
	if (op == BPF_NEG || op == BPF_END) {
		if (ebpf_vreg_is_ptr(dst))
			ebpf_vreg_unknown(dst); /* what its bits become is any number */
	} else if (BPF_SRC(in->code) == BPF_X) {
		src = proof_readable(c, in->src_reg);
	} else {
		src = second(in, &c->p->st, &k);
	}
	if (op == BPF_MOV)
		return mov(c, in, dst, src);
	if (ebpf_vreg_is_ptr(dst) || ebpf_vreg_is_ptr(src))
		return alu_pointer(c, in, dst, src);
	by = src->val; /* perhaps of the same register */
	if (!steps(in, &by, &dst->delta))
		proof_unlink(dst);
	ebpf_scalar_insn(&dst->val, &by, in);
}

/* --- conditions ------------------------------------------------------------------------------ */

/* What is known of @known holds for the numbers that are linked with it, too. */
static void know_linked(struct ebpf_vstate *st, const struct ebpf_vreg *known)
{
	struct ebpf_vreg_iter it = {0};
	struct ebpf_scalar by;
	struct ebpf_vreg *r;

	while (known->id && (r = ebpf_vreg_next(st, &it))) {
		if (r == known || r->type != VT_SCALAR || r->id != known->id)
			continue;
		r->val = known->val;
		ebpf_scalar_const(&by, (u64)((s64)r->delta - known->delta));
		if (EBPF_MUTANT(67, r->delta != known->delta, false))
			ebpf_scalar_alu(&r->val, &by, BPF_ADD, true, false);
	}
}

/* On this path the pointers with the id of @test are NULL, if it may be, or none of them is. */
static void know_null(struct ebpf_vstate *st, struct ebpf_vreg *test, bool null)
{
	struct ebpf_vreg_iter it = {0};
	const u32 id = test->id;
	struct ebpf_vreg *r;

	if (!ebpf_vreg_is_ptr(test) || !(test->flags & VREG_NULL))
		return;
	if (null && id && test->ref_id == id)
		ebpf_vref_del(st, id);
	while ((r = ebpf_vreg_next(st, &it))) {
		bool same = id && r->id == id && ebpf_vreg_is_ptr(r) && (r->flags & VREG_NULL);

		if ((r == test || same) && null)
			ebpf_vreg_const(r, 0);
		else if (r == test || same)
			r->flags &= (u16)~VREG_NULL;
	}
}

/* There is something, and it wasn't moved to 0: no object is in an address space's first 512 MiB.
 */
static bool never_null(const struct ebpf_vreg *r)
{
	return ebpf_vreg_is_ptr(r) && EBPF_MUTANT(70, !(r->flags & VREG_NULL), true) &&
	       EBPF_MUTANT(138, r->val.smin >= -PROOF_MAX_MOVE && r->val.smax <= PROOF_MAX_MOVE,
			   true) &&
	       r->type != VT_CTX && r->type != VT_PKT;
}

/* `data + n <= data_end`: the n bytes before are there; with `<` one more. */
static void know_packet(struct ebpf_vstate *st, struct ebpf_vreg *a, struct ebpf_vreg *b, u8 op,
			bool taken)
{
	bool le = op == BPF_JLE || op == BPF_JLT; /* taken: a at or below b */
	bool strict = (op == BPF_JLT || op == BPF_JGT) == taken;
	struct ebpf_vreg *low = taken == le ? a : b, *high = taken == le ? b : a, *r;
	s64 n = low->off + (s64)EBPF_MUTANT(124, strict, 1);
	struct ebpf_vreg_iter it = {0};

	if ((!le && op != BPF_JGE && op != BPF_JGT) || low->type != VT_PKT ||
	    high->type != VT_PKT || low->obj == 2 ||
	    !(high->obj == 2 || (high->obj == 0 && low->obj == 1)) || !proof_unmoved(high) ||
	    n <= 0 || n > UINT16_MAX)
		return;
	while ((r = ebpf_vreg_next(st, &it)))
		if (r->type == VT_PKT && r->uid == low->uid &&
		    EBPF_MUTANT(139, r->obj == low->obj, r->obj != 2))
			r->mem_size = MAX(r->mem_size, (u32)n);
}

/* What the path knows when the condition went this way. false: it can't. */
static bool assume(const struct bpf_insn *in, struct ebpf_vstate *st, bool taken)
{
	struct ebpf_vreg k, *a = ebpf_vreg(st, in->dst_reg), *b = second(in, st, &k);
	const bool is32 = BPF_CLASS(in->code) == BPF_JMP32;
	const u8 op = BPF_OP(in->code);
	const bool equal = taken ? op == BPF_JEQ : op == BPF_JNE;

	if (a == b) /* nothing is learnt */
		return true;
	if (a->type == VT_SCALAR && b->type == VT_SCALAR) {
		if (!ebpf_scalar_refine(&a->val, &b->val, op, is32, taken))
			return false;
		know_linked(st, a);
		know_linked(st, b);
	} else if (!is32 && op != BPF_JEQ && op != BPF_JNE) {
		know_packet(st, a, b, op, taken);
	} else if (!is32 && proof_is_zero(b)) {
		know_null(st, a, equal);
	} else if (!is32 && equal && (never_null(a) || never_null(b))) {
		know_null(st, a, false);
		know_null(st, b, false);
	}
	return true;
}

/* 1, 0: always, never; -1: it can go both ways */
static int decided(const struct bpf_insn *in, const struct ebpf_vreg *a, const struct ebpf_vreg *b)
{
	const bool is32 = BPF_CLASS(in->code) == BPF_JMP32;
	const u8 op = BPF_OP(in->code);
	struct ebpf_scalar zero;

	ebpf_scalar_const(&zero, 0);
	if (a->type == VT_SCALAR && a == b && op != BPF_JSET) /* with itself: as 0 with 0 */
		return ebpf_scalar_taken(&zero, &zero, op, is32);
	if (a->type == VT_SCALAR && b->type == VT_SCALAR)
		return ebpf_scalar_taken(&a->val, &b->val, op, is32);
	if (!is32 && (op == BPF_JEQ || op == BPF_JNE) && proof_is_zero(b) && never_null(a))
		return op == BPF_JNE;
	return -1;
}

/* --- jumps ----------------------------------------------------------------------------------- */

static void cond_jump(struct proof_check *c, const struct bpf_insn *in)
{
	const u32 there = c->p->pc + 1 + (u32)in->off, here = c->p->pc + 1;
	const struct ebpf_vreg *a = proof_readable(c, in->dst_reg);
	struct proof_path *other = NULL;
	struct ebpf_vreg k;
	int taken;

	if (BPF_SRC(in->code) == BPF_X)
		proof_readable(c, in->src_reg);
	taken = decided(in, a, second(in, &c->p->st, &k));
	if (taken < 0)
		other = proof_fork(c, there);
	if (other && !assume(in, &other->st, true))
		other->pc = PROOF_NONE; /* never walked */
	c->p->pc = taken == 1 ? there : here;
	if (other && !assume(in, &c->p->st, false))
		c->p->pc = PROOF_NONE;
}

static void may_goto(struct proof_check *c, const struct bpf_insn *in)
{
	proof_fork(c, c->p->pc + 1 + (u32)in->off);
	proof_budget_use(&c->p->budgets, BUDGET_MAY_GOTO, 0, 0);
	c->p->pc++;
}

void proof_enter(struct proof_check *c, u32 subprog, bool callback)
{
	struct ebpf_vstate *st = &c->p->st;
	struct ebpf_vframe *caller = ebpf_vframe(st), *f;

	if (st->curframe + 1 >= EBPF_MAX_FRAMES)
		proof_fail(c, "more than %u frames", EBPF_MAX_FRAMES);
	proof_got(c, !ebpf_vframe_push(st));
	f = ebpf_vframe(st);
	f->callsite = c->p->pc;
	f->subprog = subprog;
	f->callback = callback;
	for (u32 i = BPF_REG_1; i <= BPF_REG_5 && !callback; i++)
		f->regs[i] = caller->regs[i];
	ebpf_vreg_pointer(&f->regs[BPF_REG_10], VT_STACK, st->curframe, 0);
	c->p->pc = c->subprog[subprog].start;
}

static void call(struct proof_check *c, const struct bpf_insn *in)
{
	u32 subprog;

	if (in->src_reg != BPF_PSEUDO_CALL)
		return proof_call(c, in);
	subprog = proof_subprog_at(c, c->p->pc + 1 + (u32)in->imm);
	if (c->sig[subprog].global)
		proof_global_call(c, subprog);
	else
		proof_enter(c, subprog, false);
}

/* What this function acquired (of an entry: all that there is) has been given back. */
static void nothing_held(struct proof_check *c)
{
	const struct ebpf_vstate *st = &c->p->st;

	for (u32 i = 0; i < st->nrefs; i++)
		if (!st->curframe || st->refs[i].frame == st->curframe)
			proof_fail(c, "what instruction %u acquired is not given back",
				   st->refs[i].insn);
}

static void leave(struct proof_check *c)
{
	struct ebpf_vstate *st = &c->p->st;
	const struct ebpf_vframe *f = ebpf_vframe(st);
	const struct ebpf_vreg r0 = f->regs[BPF_REG_0];
	const bool callback = f->callback, last = !st->curframe;
	const u32 callsite = f->callsite;

	if (callback || EBPF_MUTANT(71, last, false))
		nothing_held(c);
	if (callback || last)
		proof_return(c);
	/* no other pointer into this frame is left: none was stored outside (check_mem.c) */
	proof_need(c, last || r0.type != VT_STACK, "a pointer into a stack that is gone");
	c->p->pc = last ? PROOF_NONE : callsite; /* after a callback once more, or not */
	if (last)
		return;
	ebpf_vframe_pop(st);
	if (callback)
		return proof_budget_use(&c->p->budgets, BUDGET_CALLBACK, st->curframe, callsite);
	proof_clobber(c);
	*proof_reg(c, BPF_REG_0) = r0;
	c->p->pc++;
	for (u32 i = 0; i < st->nrefs; i++)
		st->refs[i].frame = MIN(st->refs[i].frame, st->curframe);
}

/* --- all of them ----------------------------------------------------------------------------- */

static void jump(struct proof_check *c, const struct bpf_insn *in)
{
	switch (BPF_OP(in->code)) {
	case BPF_JA:
		c->p->pc += 1 + (u32)(BPF_CLASS(in->code) == BPF_JMP32 ? in->imm : in->off);
		return;
	case BPF_CALL:
		return call(c, in);
	case BPF_EXIT:
		return leave(c);
	case BPF_JCOND:
		return may_goto(c, in);
	default:
		return cond_jump(c, in);
	}
}

void proof_step(struct proof_check *c)
{
	const struct bpf_insn *in = &c->prog->insns[c->p->pc];
	u16 *fact = &c->facts->insn[c->p->pc];

	if (!(*fact & EBPF_FACT_SEEN) && ebpf_check_fields(in, c->log))
		proof_fail(c, "a field that must be empty");
	*fact |= EBPF_FACT_SEEN;
	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		alu(c, in);
		break;
	case BPF_JMP:
	case BPF_JMP32:
		return jump(c, in);
	default:
		proof_mem(c, in);
		c->p->pc += in->code == (BPF_LD | BPF_IMM | BPF_DW);
	}
	c->p->pc++;
}
