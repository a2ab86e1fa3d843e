/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths from state to state.
 *
 * Model: a list of paths to be walked, each a state at an instruction. It starts with the entries
 * and with every stored state; a path is over when it exits or when a stored state includes it.
 * The number of steps is limited: a proof that needs more is refused.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/load/check.h"
#include "core/load/check_proof.h"
#include "core/load/mutant.h"

int proof_fail(struct proof_check *c, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ebpf_log_printf(c->log, "the proof does not hold at insn %u: %s\n", c->p ? c->p->pc : 0,
			text);
	return -EFAULT;
}

/* --- paths ----------------------------------------------------------------------------------- */

static struct proof_path *path_new(const struct ebpf_vstate *st, u32 pc, u32 from)
{
	struct proof_path *p = calloc(1, sizeof(*p));

	if (p && st && ebpf_vstate_copy(&p->st, st)) {
		free(p);
		return NULL;
	}
	if (p) {
		p->pc = pc;
		p->from = from;
	}
	return p;
}

static void path_free(struct proof_path *p)
{
	if (p)
		ebpf_vstate_free(&p->st);
	free(p);
}

static int path_push(struct proof_check *c, struct proof_path *p)
{
	if (!p)
		return -ENOMEM;
	p->next = c->todo;
	c->todo = p;
	if (++c->npending > PROOF_MAX_PENDING)
		return proof_fail(c, "more than %u paths at a time", PROOF_MAX_PENDING);
	return 0;
}

int proof_fork(struct proof_check *c, u32 pc, struct proof_path **out)
{
	struct proof_path *p = path_new(&c->p->st, pc, c->p->from);

	if (p)
		p->budgets = c->p->budgets;
	*out = p;
	return path_push(c, p);
}

/*
 * May the path end at stored state @i? Not if it would go round a loop that only its values bound:
 * then it is walked on, as the explorer did, to a state of lower rank. A wrong rank makes a graph
 * that check_rank.c refuses, or a walk that is too long.
 */
static bool leads_down(const struct proof_check *c, u32 i)
{
	const struct ebpf_proof_state *to = &c->proof->states[i];
	u8 op = BPF_OP(proof_at(c, to->insn)->code);
	bool budget = BPF_CLASS(proof_at(c, to->insn)->code) == BPF_JMP &&
		      (op == BPF_CALL || op == BPF_JCOND);

	return c->p->from == PROOF_NONE || budget || !to->rank ||
	       to->rank < c->proof->states[c->p->from].rank;
}

/* What @st has in register @key, if that is a constant. */
static bool key_of(const struct ebpf_vstate *st, u32 key, u64 *value)
{
	const struct ebpf_vreg *r = key < BPF_REG_10 ? ebpf_vreg(st, key) : NULL;

	*value = r && r->type == VT_SCALAR && ebpf_scalar_is_const(&r->val) ? r->val.umin : 0;
	return r && r->type == VT_SCALAR && ebpf_scalar_is_const(&r->val);
}

/* The first of the states i .. n-1, in order, whose key isn't below @value. */
static u32 first_with(const struct proof_check *c, u32 i, u32 n, u64 value)
{
	while (i < n) {
		u32 mid = i + (n - i) / 2;
		u64 v;

		if (key_of(&c->proof->states[mid].state, c->proof->states[mid].key, &v) &&
		    v >= value)
			n = mid;
		else
			i = mid + 1;
	}
	return i;
}

/* A state of i .. n-1 that includes the path's. */
static u32 search(struct proof_check *c, u32 i, u32 n, bool keyed, u64 value)
{
	for (; i < n; i++) {
		const struct ebpf_proof_state *s = &c->proof->states[i];
		u64 v;

		if (key_of(&s->state, s->key, &v) != keyed || v != value)
			return n;
		if (leads_down(c, i) &&
		    EBPF_MUTANT(72, proof_included(c, &c->p->st, &s->state), true))
			return i;
	}
	return n;
}

/*
 * Is the path included in a stored state? Then that is where it leads. The states of an instruction
 * are in the order of proof.key: those without first. One that isn't in order may not be found.
 */
static int arrive(struct proof_check *c, bool *end)
{
	u32 i = c->first[c->p->pc], n = c->first[c->p->pc + 1], found;
	u64 value;

	if (i == n)
		return 0;
	found = search(c, i, n, false, 0);
	if (found == n && key_of(&c->p->st, c->proof->states[i].key, &value))
		found = search(c, first_with(c, i, n, value), n, true, value);
	if (found == n)
		return 0;
	*end = true;
	c->reached[found] = MAX(c->reached[found], 1);
	return proof_edge(c, found);
}

static int walk(struct proof_check *c)
{
	bool start = c->p->start, end = false;
	int r;

	for (;;) {
		if (!start) {
			proof_budgets_keep(&c->p->budgets, &c->p->st, c->p->pc);
			r = arrive(c, &end);
			if (r || end)
				return r;
		}
		start = false;
		if (++c->steps > PROOF_MAX_STEPS)
			return proof_fail(c, "more than %u steps", PROOF_MAX_STEPS);
		r = proof_step(c, &end);
		if (r || end)
			return r;
	}
}

static int walk_all(struct proof_check *c)
{
	int r = 0;

	while (!r && c->todo) {
		c->p = c->todo;
		c->todo = c->p->next;
		c->npending--;
		if (c->p->pc != PROOF_NONE)
			r = walk(c);
		if (!r) {
			path_free(c->p);
			c->p = NULL;
		}
	}
	return r;
}

/* --- entries --------------------------------------------------------------------------------- */

u32 proof_subprog_at(const struct proof_check *c, u32 pc)
{
	u32 lo = 0, hi = c->nsubprogs;

	while (hi - lo > 1) {
		u32 mid = (lo + hi) / 2;

		if (c->subprog[mid].start <= pc)
			lo = mid;
		else
			hi = mid;
	}
	return c->subprog[lo].start == pc ? lo : PROOF_NONE;
}

static int enter(struct proof_check *c, const struct proof_entry *e)
{
	struct proof_path *p = path_new(NULL, c->subprog[e->subprog].start, PROOF_NONE);
	struct ebpf_vframe *f;
	int r;

	if (!p || ebpf_vframe_push(&p->st)) {
		path_free(p);
		return -ENOMEM;
	}
	p->start = true;
	f = ebpf_vframe(&p->st);
	f->callsite = PROOF_NONE;
	f->subprog = e->subprog;
	ebpf_vreg_pointer(&f->regs[BPF_REG_10], VT_STACK, 0, 0);
	r = path_push(c, p);
	return r ? r : proof_entry_args(c, e, f);
}

int proof_entry(struct proof_check *c, u32 subprog, u32 map)
{
	struct proof_entry *e = c->entries;

	for (; e < &c->entries[c->nentries]; e++)
		if (e->subprog == subprog && e->map == map)
			return 0;
	if (c->nentries == PROOF_MAX_ENTRIES)
		return proof_fail(c, "more than %u entries", PROOF_MAX_ENTRIES);
	if (map != PROOF_NONE && c->facts->ntimers == EBPF_MAX_TIMER_CALLBACKS)
		return proof_fail(c, "more than %u callbacks of timers", EBPF_MAX_TIMER_CALLBACKS);
	if (map != PROOF_NONE) /* nothing else may be called as a timer's callback */
		c->facts->timer[c->facts->ntimers++] =
			(struct ebpf_image_timer){.pc = c->subprog[subprog].start, .map = map};
	c->nentries++;
	*e = (struct proof_entry){.subprog = subprog, .map = map};
	return enter(c, e);
}

/* --- stored states --------------------------------------------------------------------------- */

static bool state_ok(const struct proof_check *c, const struct ebpf_proof_state *s)
{
	if (s->insn >= c->prog->ninsns || s->state.curframe >= EBPF_MAX_FRAMES)
		return false;
	for (u32 i = 0; i <= s->state.curframe; i++) {
		const struct ebpf_vframe *f = s->state.frame[i];

		if (!f || f->subprog >= c->nsubprogs || f->nslots > EBPF_VSLOTS ||
		    (i && f->callsite >= c->prog->ninsns))
			return false;
	}
	return true;
}

/* Ids that the stored states use must not be given again. */
static void highest(struct proof_check *c, const struct ebpf_vreg *r)
{
	c->next_id = MAX(c->next_id, MAX(MAX(r->id, r->uid), r->ref_id));
}

static void find_ids(struct proof_check *c, const struct ebpf_vstate *st)
{
	for (u32 k = 0; k < st->nrefs; k++)
		c->next_id = MAX(c->next_id, MAX(st->refs[k].id, st->refs[k].uid));
	for (u32 k = 0; k <= st->curframe; k++) {
		for (u32 i = 0; i < EBPF_VREGS; i++)
			highest(c, &st->frame[k]->regs[i]);
		for (u32 i = 0; i < st->frame[k]->nslots; i++)
			highest(c, &st->frame[k]->slots[i].spilled);
	}
}

/* The states come by instruction. */
static int index_states(struct proof_check *c)
{
	u32 i, pc = 0;

	for (i = 0; i < c->proof->nstates; i++) {
		struct ebpf_proof_state *s = &c->proof->states[i];

		if (!state_ok(c, s) || s->insn < pc)
			return proof_fail(c, "stored state %u is none", i);
		while (pc < s->insn)
			c->first[++pc] = i;
		find_ids(c, &s->state);
	}
	while (pc < c->prog->ninsns)
		c->first[++pc] = i;
	return 0;
}

static int walk_state(struct proof_check *c, u32 i)
{
	struct ebpf_proof_state *s = &c->proof->states[i];
	struct proof_path *p = path_new(&s->state, s->insn, i);
	int r = path_push(c, p);

	if (r)
		return r;
	p->start = true;
	proof_budgets_start(&p->budgets, &p->st, p->pc);
	return walk_all(c);
}

/* Those that something led to; walking them leads to more. */
static int walk_stored(struct proof_check *c)
{
	bool more = true;
	int r = 0;

	while (!r && more) {
		more = false;
		for (u32 i = 0; !r && i < c->proof->nstates; i++)
			if (c->reached[i] == 1) {
				c->reached[i] = 2; /* and walked */
				more = true;
				r = walk_state(c, i);
			}
	}
	return r;
}

/* --- the whole ------------------------------------------------------------------------------- */

static int check_all(struct proof_check *c)
{
	int r = index_states(c);

	r = r ? r : proof_entry(c, 0, PROOF_NONE);
	r = r ? r : walk_all(c);
	r = r ? r : walk_stored(c);
	r = r ? r : proof_ends(c);
	c->facts->processed += c->steps;
	c->facts->stack_depth = ebpf_check_depth(c->prog->insns, c->prog->ninsns, c->facts);
	return r;
}

static void check_free(struct proof_check *c)
{
	path_free(c->p);
	while (c->todo) {
		struct proof_path *p = c->todo;

		c->todo = p->next;
		path_free(p);
	}
	free(c->first);
	free(c->reached);
	free(c->edges);
	free(c->subprog);
	free(c);
}

static int find_subprogs(struct proof_check *c)
{
	struct ebpf_layout layout;
	int r = ebpf_check_layout(c->prog->insns, c->prog->ninsns, c->prog->prog_type,
				  EBPF_CHECK_VERIFIED | EBPF_CHECK_LATER, c->log, &layout);

	if (r)
		return r;
	c->subprog = calloc(layout.nsubprogs, sizeof(*c->subprog));
	if (!c->subprog)
		return -ENOMEM;
	c->nsubprogs = c->facts->nsubprogs = layout.nsubprogs;
	for (u32 i = 0; i < layout.nsubprogs; i++)
		c->subprog[i].start = c->facts->subprog[i].start = layout.starts[i];
	return proof_types(c);
}

int ebpf_check_proof(const struct ebpf_vprog *prog, struct ebpf_proof *proof, struct ebpf_log *log,
		     struct ebpf_facts *facts)
{
	struct proof_check *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (!c)
		return r;
	c->prog = prog;
	c->proof = proof;
	c->log = log;
	c->facts = facts;
	c->first = calloc(prog->ninsns + 1, sizeof(*c->first));
	c->reached = calloc(proof->nstates + 1, 1);
	facts->insn = calloc(prog->ninsns, 1);
	if (c->first && c->reached && facts->insn)
		r = find_subprogs(c);
	if (!r)
		r = check_all(c);
	check_free(c);
	if (r)
		ebpf_facts_free(facts);
	return r;
}
