/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conditional jumps: which way they can go, and what is known afterwards.
 *
 * Model: both ways are tried on copies of the two values; a way on which a value would be
 * impossible isn't taken. What a way says of a number holds for all that are linked with it, what a
 * test against NULL says of a pointer for all of the same id, in every frame and slot.
 */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/mutant.h"
#include "core/load/verify_node.h"

struct cond {
	const struct bpf_insn *in;
	u8 op;
	bool is32;
	bool by_reg; /* compared with a register */
};

/* one way: the two values as they are then */
struct way {
	struct ebpf_vreg dst, src;
	bool possible;
};

static struct cond cond_of(const struct bpf_insn *in)
{
	return (struct cond){in, BPF_OP(in->code), BPF_CLASS(in->code) == BPF_JMP32,
			     BPF_SRC(in->code) == BPF_X};
}

/* --- null tests ------------------------------------------------------------------------------ */

struct null_test {
	struct verify *v;
	u32 id;
	bool is_null;
};

static bool has_lock(const struct ebpf_vmap *map)
{
	u32 i;

	for (i = 0; i < map->nfields; i++)
		if (map->fields[i].kind == EBPF_FIELD_SPIN_LOCK)
			return true;
	return false;
}

/* Its address is known now; of what was linked only what still says something is kept. */
static void not_null(struct verify *v, struct ebpf_vreg *reg)
{
	bool value = reg->type == VT_MAP_VALUE && reg->obj < v->prog->nmaps;
	const struct ebpf_vmap *map = value ? &v->prog->maps[reg->obj] : NULL;

	reg->flags &= (u16)~VREG_NULL;
	if (map && map->inner && !(reg->flags & VREG_INNER)) {
		reg->type = VT_MAP;
		reg->flags |= VREG_INNER;
		reg->uid = reg->id;
	}
	if (!(map && has_lock(map)) && !(reg->flags & VREG_SLICE))
		reg->id = 0;
}

static void apply_null_test(struct ebpf_vreg *reg, void *arg)
{
	const struct null_test *t = arg;

	if (!ebpf_vreg_is_ptr(reg) || !(reg->flags & VREG_NULL) || reg->id != t->id)
		return;
	if (t->is_null)
		verify_reg_const(reg, 0);
	else
		not_null(t->v, reg);
}

/* A NULL holds no reference. */
static void null_tested(struct verify *v, struct ebpf_vstate *st, u32 regno, bool is_null)
{
	struct ebpf_vreg *reg = ebpf_vreg(st, regno);
	struct null_test t = {v, reg->id, is_null};

	if (is_null && reg->ref_id && !(reg->flags & VREG_SLICE))
		ebpf_vref_del(st, reg->ref_id);
	verify_each_reg(st, apply_null_test, &t);
}

static bool may_be_null(const struct ebpf_vreg *reg)
{
	return ebpf_vreg_is_ptr(reg) && (reg->flags & VREG_NULL);
}

static bool never_null(const struct ebpf_vreg *reg)
{
	if (reg->flags & (VREG_NULL | VREG_MAYFAULT))
		return false;
	return reg->type == VT_MAP_VALUE || reg->type == VT_MAP_KEY || reg->type == VT_MEM ||
	       reg->type == VT_MAP || (reg->type == VT_BTF && !reg->obj);
}

/* --- which way ------------------------------------------------------------------------------- */

static u8 swapped(u8 op)
{
	switch (op) {
	case BPF_JGT:
		return BPF_JLT;
	case BPF_JGE:
		return BPF_JLE;
	case BPF_JLT:
		return BPF_JGT;
	case BPF_JLE:
		return BPF_JGE;
	case BPF_JSGT:
		return BPF_JSLT;
	case BPF_JSGE:
		return BPF_JSLE;
	case BPF_JSLT:
		return BPF_JSGT;
	case BPF_JSLE:
		return BPF_JSGE;
	default:
		return op;
	}
}

/* a valid address against a number: only that it isn't zero is known */
static int pointer_taken(const struct ebpf_vreg *ptr, const struct ebpf_vreg *number, u8 op)
{
	if (number->type != VT_SCALAR || !ebpf_scalar_is_const(&number->val) || number->val.umin ||
	    !never_null(ptr))
		return -1;
	return op == BPF_JEQ ? 0 : op == BPF_JNE ? 1 : -1;
}

/* a number and itself: 1, 0, or -1 when its bits decide */
static int itself(u8 op)
{
	switch (op) {
	case BPF_JSET:
		return -1;
	case BPF_JEQ:
	case BPF_JGE:
	case BPF_JLE:
	case BPF_JSGE:
	case BPF_JSLE:
		return 1;
	default:
		return 0;
	}
}

static bool same_number(const struct cond *c, const struct ebpf_vreg *dst)
{
	return c->by_reg && c->in->dst_reg == c->in->src_reg && dst->type == VT_SCALAR &&
	       itself(c->op) >= 0;
}

static int taken(const struct cond *c, const struct ebpf_vreg *dst, const struct ebpf_vreg *src)
{
	if (same_number(c, dst))
		return itself(c->op);
	if (ebpf_vreg_is_ptr(dst))
		return pointer_taken(dst, src, c->op);
	if (ebpf_vreg_is_ptr(src))
		return pointer_taken(src, dst, swapped(c->op));
	return ebpf_scalar_taken(&dst->val, &src->val, c->op, c->is32);
}

/* What is known of the two numbers when the jump goes @jump's way. */
static void refine(const struct cond *c, const struct ebpf_vreg *dst, const struct ebpf_vreg *src,
		   bool jump, struct way *w)
{
	w->dst = *dst;
	w->src = *src;
	w->possible = dst->type != VT_SCALAR || src->type != VT_SCALAR ||
		      ebpf_scalar_refine(&w->dst.val, &w->src.val, c->op, c->is32, jump);
}

/* --- linked numbers -------------------------------------------------------------------------- */

struct link {
	struct verify *v;
	const struct ebpf_vreg *known; /* a copy */
	const struct ebpf_vreg *self;
};

static void sync_link(struct ebpf_vreg *reg, void *arg)
{
	const struct link *l = arg;
	struct ebpf_scalar by;
	s64 delta;

	if (reg == l->self || reg->type != VT_SCALAR || reg->id != l->known->id)
		return;
	delta = EBPF_MUTANT(111, (reg->flags & VREG_DELTA ? reg->delta : 0), 0) -
		(s64)(l->known->flags & VREG_DELTA ? l->known->delta : 0);
	reg->val = l->known->val;
	if (delta) {
		ebpf_scalar_const(&by, (u64)delta);
		ebpf_scalar_alu(&reg->val, &by, BPF_ADD, true, false);
	}
	reg->def = verify_def(l->v, l->known->def, reg->def);
}

static void set_number(struct verify *v, struct ebpf_vstate *st, u32 regno,
		       const struct ebpf_vreg *value)
{
	struct ebpf_vreg *reg = ebpf_vreg(st, regno), known = *value;
	struct link l = {v, &known, reg};

	*reg = *value;
	if (reg->type == VT_SCALAR && reg->id)
		verify_each_reg(st, sync_link, &l);
}

/* --- packets --------------------------------------------------------------------------------- */

/* Program types of tests only: pointer + something compared with the end. */
struct packet_range {
	const struct ebpf_vreg *ptr;
	u32 range;
};

static void set_packet_range(struct ebpf_vreg *reg, void *arg)
{
	const struct packet_range *p = arg;

	if (reg->type == VT_PKT && reg->obj == p->ptr->obj && reg->uid == p->ptr->uid)
		reg->mem_size = MAX(reg->mem_size, p->range);
}

static void packet_proved(struct ebpf_vstate *st, struct ebpf_vreg ptr, bool open)
{
	struct packet_range p = {&ptr, 0};

	if (ptr.off < 0 || ptr.val.umax > UINT16_MAX || ptr.off + ptr.val.umax > UINT16_MAX)
		return;
	p.range = (u32)ptr.off + (open ? 1 : 0);
	verify_each_reg(st, set_packet_range, &p);
}

/* Data ends at the end, what lies in front of it (meta) where data begins. */
static bool is_end_of(const struct ebpf_vreg *end, const struct ebpf_vreg *ptr)
{
	if (end->type != VT_PKT || ptr->type != VT_PKT)
		return false;
	if (ptr->obj == 0)
		return end->obj == 2;
	return ptr->obj == 1 && end->obj == 0 && !end->off && !end->uid &&
	       ebpf_scalar_is_const(&end->val) && !end->val.umin;
}

/* "ptr OP end": on which way lies [base, ptr) in the packet, and the byte at ptr too? */
static void packet_tested(struct verify *v, struct ebpf_vstate *other, const struct cond *c)
{
	struct ebpf_vreg *dst = verify_reg(v, c->in->dst_reg);
	struct ebpf_vreg *src = verify_reg(v, c->in->src_reg);
	bool end_first = is_end_of(dst, src);
	struct ebpf_vreg ptr = end_first ? *src : *dst;
	u8 op = end_first ? swapped(c->op) : c->op;

	if (c->is32 || !(end_first || is_end_of(src, dst)))
		return;
	if (op == BPF_JGT)
		packet_proved(v->cur, ptr, false);
	else if (op == BPF_JGE)
		packet_proved(v->cur, ptr, true);
	else if (op == BPF_JLT)
		packet_proved(other, ptr, true);
	else if (op == BPF_JLE)
		packet_proved(other, ptr, false);
}

/* --- both ways ------------------------------------------------------------------------------- */

/* ptr == other pointer that can't be NULL: isn't NULL either */
static void equal_pointers(struct verify *v, struct ebpf_vstate *other, const struct cond *c)
{
	struct ebpf_vstate *equal = c->op == BPF_JEQ ? other : c->op == BPF_JNE ? v->cur : NULL;
	struct ebpf_vreg *dst, *src;

	if (!equal || c->is32)
		return;
	dst = ebpf_vreg(equal, c->in->dst_reg);
	src = ebpf_vreg(equal, c->in->src_reg);
	if (dst->type == VT_BTF || src->type == VT_BTF)
		return;
	if (may_be_null(src) && never_null(dst))
		null_tested(v, equal, c->in->src_reg, false);
	else if (may_be_null(dst) && never_null(src))
		null_tested(v, equal, c->in->dst_reg, false);
}

static void pointers_tested(struct verify *v, struct ebpf_vstate *other, const struct cond *c)
{
	struct ebpf_vreg *dst = verify_reg(v, c->in->dst_reg);

	if (c->by_reg) {
		if (ebpf_vreg_is_ptr(dst) && ebpf_vreg_is_ptr(verify_reg(v, c->in->src_reg))) {
			equal_pointers(v, other, c);
			packet_tested(v, other, c);
		}
		return;
	}
	if (c->is32 || c->in->imm || !may_be_null(dst) || (c->op != BPF_JEQ && c->op != BPF_JNE))
		return;
	null_tested(v, other, c->in->dst_reg, EBPF_MUTANT(112, c->op == BPF_JEQ, false));
	null_tested(v, v->cur, c->in->dst_reg, c->op == BPF_JNE);
}

static void apply(struct verify *v, struct ebpf_vstate *st, const struct cond *c,
		  const struct way *w)
{
	if (w->dst.type != VT_SCALAR || w->src.type != VT_SCALAR)
		return;
	if (c->by_reg)
		set_number(v, st, c->in->src_reg, &w->src);
	set_number(v, st, c->in->dst_reg, &w->dst);
}

static int go_both(struct verify *v, const struct cond *c, struct way *jump, struct way *fall)
{
	u32 to = v->insn_idx + 1 + (u32)(s32)c->in->off, d;
	struct ebpf_vstate *other;

	if (c->by_reg && jump->dst.type == VT_SCALAR && jump->src.type == VT_SCALAR) {
		d = verify_def(v, jump->dst.def, jump->src.def);
		jump->dst.def = jump->src.def = fall->dst.def = fall->src.def = d;
	}
	verify_trace_links(v, c->in);
	other = verify_push(v, to, v->insn_idx);
	if (!other)
		return -ENOMEM;
	apply(v, other, c, jump);
	apply(v, v->cur, c, fall);
	pointers_tested(v, other, c);
	verify_log_result(v);
	v->insn_idx++;
	return 0;
}

static int go_one(struct verify *v, const struct cond *c, bool jump)
{
	bool any = same_number(c, verify_reg(v, c->in->dst_reg));
	int r = any ? 0 : verify_precise(v, c->in->dst_reg);

	if (c->by_reg && !any)
		r = r ? r : verify_precise(v, c->in->src_reg);
	if (r)
		return r;
	verify_log_result(v);
	v->insn_idx += 1 + (jump ? (u32)(s32)c->in->off : 0);
	return 0;
}

/* --- may_goto -------------------------------------------------------------------------------- */

/* The run time takes the jump at some time: the way that stays in the loop is walked later. */
static int may_goto(struct verify *v, const struct bpf_insn *in)
{
	struct ebpf_vstate *stay;
	int r;

	if (in->src_reg || in->dst_reg || in->imm || !in->off)
		return verify_fail(v, EINVAL, "invalid may_goto off %d imm %d\n", in->off, in->imm);
	stay = verify_push(v, v->insn_idx + 1, v->insn_idx);
	if (!stay)
		return -ENOMEM;
	stay->may_goto_depth++;
	r = verify_widen(v, stay);
	v->insn_idx += 1 + (u32)(s32)in->off;
	return r;
}

static int operands(struct verify *v, const struct cond *c, struct ebpf_vreg *src)
{
	int r = verify_readable(v, c->in->dst_reg);

	if (!c->by_reg) {
		verify_reg_const(src, (u64)(s64)c->in->imm);
		return r;
	}
	r = r ? r : verify_readable(v, c->in->src_reg);
	*src = *verify_reg(v, c->in->src_reg);
	return r;
}

int verify_cond(struct verify *v, const struct bpf_insn *in)
{
	struct cond c = cond_of(in);
	struct way jump, fall;
	struct ebpf_vreg src, dst;
	int r, which;

	if (c.op == BPF_JCOND)
		return may_goto(v, in);
	r = operands(v, &c, &src);
	if (r)
		return r;
	dst = *verify_reg(v, in->dst_reg);
	v->ctx_bits |= dst.type == VT_CTX || src.type == VT_CTX;
	which = taken(&c, &dst, &src);
	if (which >= 0)
		return go_one(v, &c, which);
	refine(&c, &dst, &src, true, &jump);
	refine(&c, &dst, &src, false, &fall);
	if (jump.possible && fall.possible)
		return go_both(v, &c, &jump, &fall);
	return go_one(v, &c, jump.possible);
}
