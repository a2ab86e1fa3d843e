/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is the concrete state in the abstract one?
 *
 * Model: the checker's own step (proof_step()) takes the path's abstract state to its successors;
 * the one that contains the concrete state is followed. None does: the step is unsound. Where a
 * stored state of the proof includes the abstract one, it takes its place, as the checker has it;
 * if it does not contain the concrete state, inclusion is unsound.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/load/check.h"
#include "tests/support/checked.h"

#define MAX_LINKS 256u

struct links { /* what an id stands for */
	u32 n;
	struct {
		u32 id;
		bool null;
		u64 value;
	} link[MAX_LINKS];
};

struct contain {
	struct checked *k;
	struct links numbers, pointers;
	char *why; /* 160 bytes */
};

#define WHY(c, ...) (snprintf((c)->why, 160, __VA_ARGS__), false)

/* --- values ---------------------------------------------------------------------------------- */

static bool linked(struct links *l, u32 id, u64 value, bool null, bool compare_value)
{
	for (u32 i = 0; i < l->n; i++)
		if (l->link[i].id == id)
			return l->link[i].null == null &&
			       (!compare_value || l->link[i].value == value);
	if (l->n == MAX_LINKS)
		return true;
	l->link[l->n].id = id;
	l->link[l->n].null = null;
	l->link[l->n++].value = value;
	return true;
}

static bool has_number(struct contain *c, const struct ebpf_vreg *r, u64 n)
{
	u64 root = n - (u64)(s64)r->delta;
	char text[256];

	if (!ebpf_scalar_has(&r->val, n)) {
		ebpf_scalar_print(&r->val, text, sizeof(text));
		return WHY(c, "%llx is not in scalar(%.120s)", (unsigned long long)n, text);
	}
	if (r->id && !linked(&c->numbers, r->id, root, false, true))
		return WHY(c, "%llx is not what id %u says", (unsigned long long)n, r->id);
	return true;
}

static bool same_object(const struct ebpf_vreg *r, const struct checked_object *o)
{
	bool inner = r->flags & VREG_INNER;

	if (r->type != o->type || !o->live)
		return false;
	switch (r->type) {
	case VT_MAP:
	case VT_MAP_VALUE:
	case VT_MAP_KEY:
		return r->obj == o->map && inner == o->inner;
	case VT_STACK:
		return r->obj == o->frame;
	case VT_FUNC:
		return r->obj == o->map;
	case VT_MEM:
		return r->mem_size == o->hi;
	default:
		return true;
	}
}

static bool has_pointer(struct contain *c, const struct ebpf_vreg *r, const struct checked_value *v)
{
	const struct checked_object *o = &c->k->obj[v->obj];
	bool null = !v->n && !v->obj;

	if (r->id && (r->flags & VREG_NULL) && !linked(&c->pointers, r->id, 0, null, false))
		return WHY(c, "id %u: one is NULL, one isn't", r->id);
	if (null && (r->flags & VREG_NULL))
		return true;
	if (!v->obj || !same_object(r, o))
		return WHY(c, "a pointer of type %u, obj %u: it is type %u, map %u", r->type,
			   r->obj, v->obj ? o->type : VT_SCALAR, v->obj ? o->map : 0);
	if (!ebpf_scalar_has(&r->val, v->n - o->base - (u64)(s64)r->off))
		return WHY(c, "offset %lld is not in the pointer's",
			   (long long)(v->n - o->base - (u64)(s64)r->off));
	return true;
}

static bool has_value(struct contain *c, const struct ebpf_vreg *r, const struct checked_value *v)
{
	if (r->type == VT_NONE)
		return true;
	if (!v->init)
		return WHY(c, "known, but never written");
	return r->type == VT_SCALAR ? has_number(c, r, v->n) : has_pointer(c, r, v);
}

/* --- stack ----------------------------------------------------------------------------------- */

static bool has_spill(struct contain *c, const struct ebpf_vslot *s,
		      const struct checked_value *cell, const u8 *bytes)
{
	u32 size = ebpf_vslot_spill_size(s);
	u64 n = 0;

	memcpy(&n, bytes, size);
	if (s->spilled.type == VT_SCALAR)
		return has_number(c, &s->spilled, n);
	if (s->spilled.type == VT_NONE)
		return true;
	/* a NULL, or a number that a pointer's NULL test left, has no cell */
	return has_pointer(c, &s->spilled,
			   cell->init ? cell : &(struct checked_value){.n = n, .init = true});
}

static bool has_slot(struct contain *c, const struct ebpf_vslot *s, const struct checked_frame *f,
		     u32 slot, const u8 *bytes)
{
	if (s->kind[0] == VB_ITER)
		return f->iter[slot] && f->iter[slot] == s->spilled.obj
			       ? true
			       : WHY(c, "slot %u: iterator is %u, not %u", slot, f->iter[slot],
				     s->spilled.obj);
	for (u32 i = 0; i < 8; i++)
		if (s->kind[i] == VB_ZERO && bytes[i])
			return WHY(c, "slot %u: byte %u is not zero", slot, i);
	return s->kind[0] != VB_SPILL || has_spill(c, s, &f->cell[slot], bytes);
}

static bool has_frame(struct contain *c, const struct ebpf_vframe *a, u32 at)
{
	const struct checked_frame *f = &c->k->frame[at];
	const u8 *bottom = c->k->stack + at * EBPF_STACK_SIZE;
	char why[160];

	for (u32 i = 0; i < EBPF_VREGS; i++)
		if (!has_value(c, &a->regs[i], &f->reg[i])) {
			snprintf(why, sizeof(why), "%s", c->why);
			return WHY(c, "frame %u R%u: %.130s", at, i, why);
		}
	for (u32 i = 0; i < a->nslots; i++)
		if (!has_slot(c, &a->slots[i], f, i, bottom + EBPF_STACK_SIZE - 8 * (i + 1))) {
			snprintf(why, sizeof(why), "%s", c->why);
			return WHY(c, "frame %u fp-%u: %.120s", at, 8 * (i + 1), why);
		}
	return a->subprog == f->subprog && a->callback == f->callback
		       ? true
		       : WHY(c, "frame %u is another function's", at);
}

/* A reference to what turned out to be NULL may be held still. */
static bool has_refs(struct contain *c, const struct ebpf_vstate *st)
{
	u32 all = 0, sure = 0;

	for (u32 i = 0; i < c->k->nrefs; i++) {
		all += c->k->ref[i].kind != 0;
		sure += c->k->ref[i].kind && !c->k->ref[i].null;
	}
	if (st->nrefs < sure || st->nrefs > all)
		return WHY(c, "%u references, not %u to %u", st->nrefs, sure, all);
	return true;
}

static bool contains(struct checked *k, const struct ebpf_vstate *st, char why[160])
{
	static struct contain c;

	c.k = k;
	c.why = why;
	c.numbers.n = c.pointers.n = 0;
	if (st->curframe + 1 != k->nframes)
		return WHY(&c, "%u frames, not %u", st->curframe + 1, k->nframes);
	for (u32 i = 0; i <= st->curframe; i++)
		if (!has_frame(&c, st->frame[i], i))
			return false;
	return has_refs(&c, st);
}

/* --- following ------------------------------------------------------------------------------- */

static void drop_path(struct proof_path *p)
{
	if (p)
		ebpf_vstate_free(&p->st);
	free(p);
}

static void drop_todo(struct proof_check *c)
{
	while (c->todo) {
		struct proof_path *p = c->todo;

		c->todo = p->next;
		drop_path(p);
	}
	c->npending = 0;
}

static void find_subprogs(struct proof_check *c, const struct ebpf_facts *facts)
{
	c->nsubprogs = facts->nsubprogs;
	for (u32 i = 0; i < c->nsubprogs; i++)
		c->subprog[i].start = facts->subprog[i].start;
}

static void enter_main(struct proof_check *c)
{
	proof_got(c, !ebpf_btf_sigs(c->prog, c->nsubprogs, c->sig));
	proof_entry_args(c, ebpf_vframe(&c->p->st), PROOF_NONE);
}

static struct proof_path *entry(void)
{
	struct proof_path *p = calloc(1, sizeof(*p));
	struct ebpf_vframe *f;

	if (!p || ebpf_vframe_push(&p->st)) {
		free(p);
		return NULL;
	}
	f = ebpf_vframe(&p->st);
	f->callsite = PROOF_NONE;
	ebpf_vreg_pointer(&f->regs[BPF_REG_10], VT_STACK, 0, 0);
	p->from = PROOF_NONE;
	return p;
}

int checked_follow_start(struct checked *k)
{
	static struct ebpf_log nothing;
	struct proof_check *c = calloc(1, sizeof(*c));

	if (!c)
		return checked_error(k, "no memory");
	k->c = c;
	c->prog = k->prog;
	c->proof = k->proof;
	c->log = &nothing;
	c->next_id = PROOF_FIRST_ID;
	c->subprog = calloc(EBPF_MAX_SUBPROGS, sizeof(*c->subprog));
	c->sig = calloc(EBPF_MAX_SUBPROGS, sizeof(*c->sig));
	c->facts = calloc(1, sizeof(*c->facts));
	if (c->facts)
		c->facts->insn = calloc(k->prog->ninsns, sizeof(*c->facts->insn));
	c->p = entry();
	if (!c->subprog || !c->sig || !c->facts || !c->facts->insn || !c->p)
		return checked_error(k, "no memory");
	find_subprogs(c, k->facts);
	if (proof_try(c, enter_main))
		return checked_error(k, "no entry");
	return 0;
}

void checked_follow_end(struct checked *k)
{
	struct proof_check *c = k->c;

	if (!c)
		return;
	drop_todo(c);
	drop_path(c->p);
	if (c->facts)
		free(c->facts->insn);
	free(c->facts);
	free(c->subprog);
	free(c->sig);
	free(c);
	k->c = NULL;
}

int checked_follow_step(struct checked *k)
{
	struct proof_check *c = k->c;
	char text[200];
	struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};
	int r;

	c->log = &log;
	r = proof_try(c, proof_step);
	ebpf_log_end(&log);
	if (r)
		return checked_error(k, "the checker refuses here what it accepted: %s", text);
	if (c->p->pc == PROOF_NONE) {
		drop_path(c->p);
		c->p = NULL;
	}
	return 0;
}

/* The checker goes on from a stored state that includes the path's. */
static int take_stored(struct checked *k)
{
	struct proof_check *c = k->c;
	char why[160];

	for (u32 i = 0; k->proof && i < k->proof->nstates; i++) {
		struct ebpf_proof_state *s = &k->proof->states[i];

		if (s->insn != k->pc || !proof_included(c, &c->p->st, &s->state))
			continue;
		if (!contains(k, &s->state, why))
			return checked_error(k, "stored state %u includes the path's: %s", i, why);
		return ebpf_vstate_copy(&c->p->st, &s->state) ? checked_error(k, "no memory") : 0;
	}
	return 0;
}

/* An address of nothing, as the verifier sees it: a number. */
static void forget_tags(struct checked *k)
{
	const struct ebpf_vstate *st = &k->c->p->st;

	for (u32 f = 0; f <= st->curframe; f++) {
		for (u32 i = 0; i < EBPF_VREGS; i++)
			if (st->frame[f]->regs[i].type == VT_SCALAR)
				k->frame[f].reg[i].obj = 0;
		for (u32 i = 0; i < st->frame[f]->nslots; i++)
			if (st->frame[f]->slots[i].kind[0] != VB_SPILL ||
			    st->frame[f]->slots[i].spilled.type == VT_SCALAR)
				k->frame[f].cell[i].obj = 0;
	}
}

int checked_follow_choose(struct checked *k)
{
	struct proof_check *c = k->c;
	struct proof_path **link, *own = c->p, *found = NULL;
	char why[160] = "no abstract state is at this instruction";

	if (own) {
		own->next = c->todo;
		c->todo = own;
	}
	for (link = &c->todo; *link; link = &(*link)->next)
		if ((*link)->pc == k->pc && contains(k, &(*link)->st, why)) {
			found = *link;
			*link = found->next;
			found->next = NULL;
			break;
		}
	c->p = found;
	drop_todo(c);
	if (!found)
		return checked_error(k, "not contained: %s", why);
	forget_tags(k);
	return take_stored(k);
}
