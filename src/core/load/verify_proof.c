/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the explorer hands over: the states that paths ended at, without what does not matter, in
 * the form and order in which the checker compares them (vstate.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/verify_node.h"

/* --- what need not be known ------------------------------------------------------------------ */

static void forget_number(struct ebpf_vreg *reg, bool matters)
{
	reg->def = 0;
	reg->flags &= (u16) ~(VREG_PRECISE | VREG_LONE);
	if (reg->type == VT_SCALAR && !matters)
		verify_reg_unknown(NULL, reg);
	if (verify_is_target(reg) ||
	    (reg->type == VT_MEM && (reg->flags & VREG_MAYFAULT))) { /* there, a number as any */
		verify_reg_unknown(NULL, reg);
	} else if (reg->type == VT_BTF) { /* there, memory as any */
		reg->type = VT_MEM;
		reg->flags |= VREG_RDONLY;
	}
}

static void forget_slot(struct ebpf_vslot *s, bool read, bool matters)
{
	if (s->kind[0] == VB_DYNPTR || s->kind[0] == VB_ITER || s->kind[0] == VB_IRQ)
		return;
	if (!read)
		memset(s, 0, sizeof(*s));
	else if (s->kind[0] == VB_SPILL)
		forget_number(&s->spilled, matters);
}

static void forget(struct ebpf_vstate *st, const struct verify_marks *mark)
{
	u32 i, k;

	for (k = 0; k <= st->curframe; k++) {
		struct ebpf_vframe *f = st->frame[k];

		for (i = 0; i < EBPF_VREGS; i++)
			forget_number(&f->regs[i], mark[k].regs >> i & 1);
		for (i = 0; i < f->nslots; i++)
			forget_slot(&f->slots[i], mark[k].read >> i & 1, mark[k].slots >> i & 1);
	}
}

struct count {
	u32 id, n;
};

static void count_id(struct ebpf_vreg *reg, void *arg)
{
	struct count *count = arg;

	count->n += reg->id == count->id;
}

/* A number that is linked with nothing, now, claims nothing by its id. */
static void forget_lone_id(struct ebpf_vreg *reg, void *arg)
{
	struct count count = {.id = reg->id};

	if (reg->type != VT_SCALAR || !reg->id)
		return;
	verify_each_reg(arg, count_id, &count);
	if (count.n > 1)
		return;
	reg->id = 0;
	reg->delta = 0;
	reg->flags &= (u16)~VREG_DELTA;
}

/* A place is one number there; here, as in the log, what was constant is apart. */
static void join_place(struct ebpf_vreg *reg, void *arg __maybe_unused)
{
	struct ebpf_scalar off;

	if (!ebpf_vreg_is_ptr(reg) || reg->type == VT_PKT || !reg->off)
		return;
	ebpf_scalar_const(&off, (u64)(s64)reg->off);
	ebpf_scalar_alu(&reg->val, &off, BPF_ADD, true, false);
	reg->off = 0;
}

/* --- slices ---------------------------------------------------------------------------------- */

/* Here memory of a dynptr goes with the dynptr; there, with the reference that both need. */
static void rename_slice(struct ebpf_vreg *reg, void *arg)
{
	const struct ebpf_vstate *st = arg;
	u32 id = reg->ref_id, i, k;

	if (reg->type != VT_MEM || !(reg->flags & VREG_SLICE) || !id)
		return;
	reg->ref_id = 0;
	for (k = 0; k <= st->curframe; k++)
		for (i = 0; i < st->frame[k]->nslots; i++) {
			const struct ebpf_vslot *s = &st->frame[k]->slots[i];

			if (s->kind[0] == VB_DYNPTR && s->spilled.id == id)
				reg->ref_id = s->spilled.ref_id;
		}
}

/* --- the order ------------------------------------------------------------------------------- */

/*
 * A loop that is unrolled leaves as many states at its instructions as it has turns, which differ
 * in a register that is constant in each: its counter. The register whose constants change most is
 * the key.
 */
static const struct ebpf_vreg *constant(const struct ebpf_proof_state *s, u32 regno)
{
	const struct ebpf_vreg *r = regno < BPF_REG_10 ? ebpf_vreg(&s->state, regno) : NULL;

	return r && r->type == VT_SCALAR && ebpf_scalar_is_const(&r->val) ? r : NULL;
}

/* How often the register's constant changes from one state to the next. */
static u32 changes(const struct ebpf_proof_state *s, u32 n, u32 regno)
{
	const struct ebpf_vreg *last = NULL;
	u32 count = 0;

	for (u32 i = 0; i < n; i++) {
		const struct ebpf_vreg *r = constant(&s[i], regno);

		count += r && last && r->val.umin != last->val.umin;
		last = r ? r : last;
	}
	return count;
}

/* False: they are in order as they are. */
static bool choose_key(struct ebpf_proof_state *s, u32 n)
{
	u32 best = 0, key = BPF_REG_10;

	for (u32 r = 0; r < BPF_REG_10 && n > 1; r++) {
		u32 count = changes(s, n, r);

		if (count > best) {
			best = count;
			key = r;
		}
	}
	for (u32 i = 0; i < n; i++)
		s[i].key = key;
	return best;
}

static int compare_u64(u64 a, u64 b)
{
	return a < b ? -1 : a > b;
}

static int by_key(const void *pa, const void *pb)
{
	const struct ebpf_proof_state *a = pa, *b = pb;
	const struct ebpf_vreg *x = constant(a, a->key), *y = constant(b, b->key);

	if (a->insn != b->insn)
		return compare_u64(a->insn, b->insn);
	if (!x != !y)
		return x ? 1 : -1;
	if (x && x->val.umin != y->val.umin)
		return compare_u64(x->val.umin, y->val.umin);
	return compare_u64(b->rank, a->rank); /* the outer before the inner */
}

static void sort(struct ebpf_proof *proof)
{
	struct ebpf_proof_state *s = proof->states;
	bool again = false;
	u32 n;

	qsort(s, proof->nstates, sizeof(*s), by_key);
	for (u32 i = 0; i < proof->nstates; i += n) {
		for (n = 1; i + n < proof->nstates && s[i + n].insn == s[i].insn; n++)
			;
		again |= choose_key(&s[i], n);
	}
	if (again)
		qsort(s, proof->nstates, sizeof(*s), by_key);
}

int verify_collect(struct verify *v, struct ebpf_proof *proof)
{
	struct verify_node *n;
	u32 count = 0;

	for (n = v->all_nodes; n; n = n->next_all)
		count += n->used;
	proof->states = calloc(MAX(count, 1u), sizeof(*proof->states));
	if (!proof->states)
		return -ENOMEM;
	for (n = v->all_nodes; n; n = n->next_all) {
		struct ebpf_proof_state *p = &proof->states[proof->nstates];

		if (!n->used)
			continue;
		p->insn = n->insn;
		p->rank = n->rank;
		p->key = BPF_REG_10;
		p->state = n->state; /* the node's until now */
		memset(&n->state, 0, sizeof(n->state));
		forget(&p->state, n->mark);
		verify_each_reg(&p->state, forget_lone_id, &p->state);
		verify_each_reg(&p->state, rename_slice, &p->state);
		verify_each_reg(&p->state, join_place, NULL);
		proof->nstates++;
	}
	sort(proof);
	return 0;
}

/* --- where the checker looks ----------------------------------------------------------------- */

int ebpf_proof_index(struct ebpf_proof *proof, u32 ninsns)
{
	u32 i, pc = 0;

	free(proof->first);
	proof->first = calloc(ninsns + 1, sizeof(*proof->first));
	if (!proof->first)
		return -ENOMEM;
	for (i = 0; i < proof->nstates; i++)
		while (pc < proof->states[i].insn)
			proof->first[++pc] = i;
	while (pc < ninsns)
		proof->first[++pc] = i;
	return 0;
}

/*
 * May the path end at stored state @i? Not if it would go round a loop that only its values bound:
 * then it is walked on, as the explorer did, to a state of lower rank. A wrong rank makes a graph
 * that check_rank.c refuses, or a walk that is too long.
 */
static bool leads_down(const struct ebpf_proof *proof, const struct ebpf_proof_search *s, u32 i)
{
	const struct ebpf_proof_state *to = &proof->states[i];
	u8 code = s->prog->insns[to->insn].code, op = BPF_OP(code);
	bool budget = BPF_CLASS(code) == BPF_JMP && (op == BPF_CALL || op == BPF_JCOND);

	return s->from == ~0u || budget || !to->rank || to->rank < proof->states[s->from].rank;
}

/* Is the state's key a constant? */
static bool key_of(const struct ebpf_proof_state *s, u64 *value)
{
	const struct ebpf_vreg *r = constant(s, s->key);

	*value = r ? r->val.umin : 0;
	return r;
}

/* The first of the states i .. n-1, in order, whose key isn't below @value. */
static u32 first_with(const struct ebpf_proof *proof, u32 i, u32 n, u64 value)
{
	while (i < n) {
		u32 mid = i + (n - i) / 2;
		u64 v;

		if (key_of(&proof->states[mid], &v) && v >= value)
			n = mid;
		else
			i = mid + 1;
	}
	return i;
}

/* The next below @n with the key that is looked for. */
static u32 same_key(const struct ebpf_proof *proof, struct ebpf_proof_search *s, u32 n)
{
	u64 v;

	for (; s->i < n; s->i++) {
		if (key_of(&proof->states[s->i], &v) != s->keyed || v != s->value)
			break;
		if (leads_down(proof, s, s->i))
			return s->i++;
	}
	return ~0u;
}

u32 ebpf_proof_next(const struct ebpf_proof *proof, const struct ebpf_vstate *st,
		    struct ebpf_proof_search *s)
{
	u32 first = proof->first[s->pc], n = proof->first[s->pc + 1], found;
	const struct ebpf_vreg *r;

	if (first == n)
		return ~0u;
	if (!s->begun)
		s->i = first;
	s->begun = true;
	found = same_key(proof, s, n);
	if (found != ~0u || s->keyed || proof->states[first].key >= BPF_REG_10)
		return found;
	r = ebpf_vreg(st, proof->states[first].key);
	s->keyed = r->type == VT_SCALAR && ebpf_scalar_is_const(&r->val);
	if (!s->keyed)
		return ~0u;
	s->value = r->val.umin;
	s->i = first_with(proof, first, n, s->value);
	return same_key(proof, s, n);
}
