/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths from state to state.
 *
 * Model: a list of paths to be walked, each a state at an instruction. It starts with the entries
 * and with every stored state that a path led to; a path is over when it exits or when a stored
 * state includes it. The number of steps is limited: a proof that needs more is refused.
 */
#include "core/load/check_proof.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/load/check.h"
#include "core/load/mutant.h"

void proof_stop(struct proof_check *c, int err)
{
	c->err = err;
	longjmp(c->out, 1);
}

void proof_fail(struct proof_check *c, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ebpf_log_printf(c->log, "the proof does not hold at insn %u: %s\n", c->p ? c->p->pc : 0,
			text);
	proof_stop(c, -EFAULT);
}

int proof_try(struct proof_check *c, void (*fn)(struct proof_check *c))
{
	if (setjmp(c->out))
		return c->err;
	fn(c);
	return 0;
}

/* --- paths ----------------------------------------------------------------------------------- */

static struct proof_path *path_new(struct proof_check *c, u32 pc, u32 from)
{
	struct proof_path *p = calloc(1, sizeof(*p));

	proof_got(c, p);
	p->pc = pc;
	p->from = from;
	p->next = c->todo;
	c->todo = p;
	if (++c->npending > PROOF_MAX_PENDING)
		proof_fail(c, "more than %u paths at a time", PROOF_MAX_PENDING);
	return p;
}

static void path_free(struct proof_path *p)
{
	if (p)
		ebpf_vstate_free(&p->st);
	free(p);
}

struct proof_path *proof_fork(struct proof_check *c, u32 pc)
{
	struct proof_path *p = path_new(c, pc, c->p->from);

	proof_got(c, !ebpf_vstate_copy(&p->st, &c->p->st));
	p->budgets = c->p->budgets;
	return p;
}

void proof_swap(struct proof_check *c)
{
	struct proof_path *p = c->todo;

	c->p->next = p->next;
	c->todo = c->p;
	c->p = p;
}

/* Is the path included in a stored state? Then that is where it leads, and walking goes on. */
static bool arrives(struct proof_check *c)
{
	struct ebpf_proof_search search = {.prog = c->prog, .from = c->p->from, .pc = c->p->pc};
	u32 i;

	while ((i = ebpf_proof_next(c->proof, &c->p->st, &search)) < c->proof->nstates) {
		const struct ebpf_proof_state *s = &c->proof->states[i];

		if (s->insn != c->p->pc ||
		    EBPF_MUTANT(72, !proof_included(c, &c->p->st, &s->state), false))
			continue;
		if (!c->reached[i])
			c->walks[c->nwalks++] = i;
		c->reached[i] = true;
		proof_edge(c, i);
		return true;
	}
	return false;
}

static void walk(struct proof_check *c)
{
	bool start = c->p->start;

	for (; c->p->pc != PROOF_NONE; start = false) {
		if (!start) {
			proof_budgets_keep(&c->p->budgets, &c->p->st, c->p->pc);
			if (arrives(c))
				return;
		}
		if (++c->steps > PROOF_MAX_STEPS)
			proof_fail(c, "more than %u steps", PROOF_MAX_STEPS);
		proof_step(c);
	}
}

static void walk_all(struct proof_check *c)
{
	while (c->todo) {
		c->p = c->todo;
		c->todo = c->p->next;
		c->npending--;
		walk(c);
		path_free(c->p);
		c->p = NULL;
	}
}

/* --- entries --------------------------------------------------------------------------------- */

u32 proof_subprog_at(struct proof_check *c, u32 pc)
{
	for (u32 i = 0; i < c->nsubprogs; i++)
		if (c->subprog[i].start == pc)
			return i;
	proof_fail(c, "no function starts at insn %u", pc);
}

/* Is it entered as a timer's callback already? Nothing else may be called as one. */
static bool known_timer(struct proof_check *c, u32 pc, u32 map)
{
	struct ebpf_facts *f = c->facts;

	for (u32 i = 0; i < f->ntimers; i++)
		if (f->timer[i].pc == pc && f->timer[i].map == map)
			return true;
	if (f->ntimers == EBPF_MAX_TIMER_CALLBACKS)
		proof_fail(c, "more than %u callbacks of timers", EBPF_MAX_TIMER_CALLBACKS);
	f->timer[f->ntimers++] = (struct ebpf_image_timer){.pc = pc, .map = map};
	return false;
}

void proof_entry(struct proof_check *c, u32 subprog, u32 map)
{
	struct proof_subprog *s = &c->subprog[subprog];
	struct proof_path *p;
	struct ebpf_vframe *f;

	if (map == PROOF_NONE ? s->entered : known_timer(c, s->start, map))
		return;
	s->entered |= map == PROOF_NONE;
	p = path_new(c, s->start, PROOF_NONE);
	proof_got(c, !ebpf_vframe_push(&p->st));
	p->start = true;
	f = ebpf_vframe(&p->st);
	f->callsite = PROOF_NONE;
	f->subprog = subprog;
	ebpf_vreg_pointer(&f->regs[BPF_REG_10], VT_STACK, 0, 0);
	proof_entry_args(c, f, map);
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

static void walk_state(struct proof_check *c, u32 i)
{
	const struct ebpf_proof_state *s = &c->proof->states[i];
	struct proof_path *p = path_new(c, s->insn, i);

	proof_got(c, !ebpf_vstate_copy(&p->st, &s->state));
	p->start = true;
	proof_budgets_start(&p->budgets, &p->st, p->pc);
	walk_all(c);
}

/* --- the whole ------------------------------------------------------------------------------- */

static void find_subprogs(struct proof_check *c)
{
	struct ebpf_layout layout;
	int r = ebpf_check_layout(c->prog->insns, c->prog->ninsns, c->prog->prog_type,
				  EBPF_CHECK_VERIFIED | EBPF_CHECK_LATER, c->log, &layout);

	if (r)
		proof_stop(c, r);
	c->subprog = calloc(layout.nsubprogs, sizeof(*c->subprog));
	c->sig = calloc(layout.nsubprogs, sizeof(*c->sig));
	proof_got(c, c->subprog && c->sig);
	c->facts->nsubprogs = c->nsubprogs = layout.nsubprogs;
	for (u32 i = 0; i < layout.nsubprogs; i++)
		c->facts->subprog[i].start = c->subprog[i].start = layout.starts[i];
	r = ebpf_btf_sigs(c->prog, c->nsubprogs, c->sig);
	proof_got(c, r != -ENOMEM);
	proof_need(c, !r, "types that are not the functions'");
}

static void check_all(struct proof_check *c)
{
	proof_got(c, c->reached && c->walks && c->facts->insn);
	find_subprogs(c);
	for (u32 i = 0; i < c->proof->nstates; i++)
		if (!state_ok(c, &c->proof->states[i]))
			proof_fail(c, "stored state %u is none", i);
	proof_got(c, !ebpf_proof_index(c->proof, c->prog->ninsns));
	proof_entry(c, 0, PROOF_NONE);
	walk_all(c);
	for (u32 i = 0; i < c->nwalks; i++) /* which may lead to more */
		walk_state(c, c->walks[i]);
	proof_ends(c);
	c->facts->processed += c->steps;
	c->facts->stack_depth = ebpf_check_depth(c->prog->insns, c->prog->ninsns, c->facts);
}

int ebpf_check_proof(const struct ebpf_vprog *prog, struct ebpf_proof *proof, struct ebpf_log *log,
		     struct ebpf_facts *facts)
{
	struct proof_check *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	*c = (struct proof_check){.prog = prog, .proof = proof, .log = log, .facts = facts};
	c->next_id = PROOF_FIRST_ID;
	c->reached = calloc(proof->nstates + 1, sizeof(*c->reached));
	c->walks = calloc(proof->nstates + 1, sizeof(*c->walks));
	facts->insn = calloc(prog->ninsns, sizeof(*facts->insn));
	r = proof_try(c, check_all);
	path_free(c->p);
	while (c->todo) {
		c->p = c->todo;
		c->todo = c->p->next;
		path_free(c->p);
	}
	free(c->reached);
	free(c->walks);
	free(c->edges);
	free(c->subprog);
	free(c->sig);
	free(c);
	if (r)
		ebpf_facts_free(facts);
	return r;
}
