/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding the stored states of an instruction that may include a path.
 *
 * Model: a loop that is unrolled leaves as many states at its instructions as it has turns, which
 * differ in a register that is constant in each: its counter. Per instruction the register whose
 * constants differ most is the key. A state with a constant there is in a table by instruction and
 * value; the others are in a list that is always looked at. A path whose key isn't constant can't
 * be included in a state whose is.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "core/load/check_proof.h"

#define NO_KEY 0xffu

struct proof_index {
	u32 *first; /* ninsns: states without the key, PROOF_NONE: none */
	u8 *key;    /* ninsns: register, NO_KEY: none */
	u32 *table; /* by hash: states with it */
	u32 mask;
	u32 *next; /* nstates */
};

static const struct ebpf_vreg *constant(const struct ebpf_vstate *st, u32 regno)
{
	const struct ebpf_vreg *r = regno == NO_KEY ? NULL : ebpf_vreg(st, regno);

	return r && r->type == VT_SCALAR && ebpf_scalar_is_const(&r->val) ? r : NULL;
}

static u32 hash(const struct proof_index *x, u32 pc, u64 value)
{
	u64 h = (value + pc) * 0x9e3779b97f4a7c15ull;

	return (u32)(h >> 32) & x->mask;
}

/* How often the register's constant changes from one state of the list to the next. */
static u32 changes(const struct proof_check *c, const struct proof_index *x, u32 i, u32 regno)
{
	const struct ebpf_vreg *last = NULL;
	u32 n = 0;

	for (; i != PROOF_NONE; i = x->next[i]) {
		const struct ebpf_vreg *r = constant(&c->proof->states[i].state, regno);

		n += r && last && r->val.umin != last->val.umin;
		last = r ? r : last;
	}
	return n;
}

static u8 choose(const struct proof_check *c, const struct proof_index *x, u32 first)
{
	u32 best = 0;
	u8 key = NO_KEY;

	for (u32 r = 0; r < BPF_REG_10 && x->next[first] != PROOF_NONE; r++) {
		u32 n = changes(c, x, first, r);

		if (n > best) {
			best = n;
			key = (u8)r;
		}
	}
	return key;
}

static void enter(const struct proof_check *c, struct proof_index *x, u32 i)
{
	const struct ebpf_proof_state *s = &c->proof->states[i];
	const struct ebpf_vreg *r = constant(&s->state, x->key[s->insn]);
	u32 *head = r ? &x->table[hash(x, s->insn, r->val.umin)] : &x->first[s->insn];

	x->next[i] = *head;
	*head = i;
}

/* First all of an instruction in one list, to choose its key; then each where it belongs. */
static void fill(const struct proof_check *c, struct proof_index *x)
{
	u32 n = c->proof->nstates, ninsns = c->prog->ninsns;
	u32 i;

	for (i = 0; i < ninsns; i++)
		x->key[i] = NO_KEY;
	for (i = 0; i < n; i++)
		enter(c, x, i);
	for (i = 0; i < ninsns; i++) {
		if (x->first[i] != PROOF_NONE)
			x->key[i] = choose(c, x, x->first[i]);
		x->first[i] = PROOF_NONE;
	}
	for (i = 0; i < n; i++)
		enter(c, x, i);
}

static u32 *nones(size_t n)
{
	u32 *p = malloc(n * sizeof(*p));

	for (size_t i = 0; p && i < n; i++)
		p[i] = PROOF_NONE;
	return p;
}

struct proof_index *proof_index_new(const struct proof_check *c)
{
	struct proof_index *x = calloc(1, sizeof(*x));
	u32 size = 16;

	if (!x)
		return NULL;
	while (size < 2 * c->proof->nstates)
		size *= 2;
	x->mask = size - 1;
	x->table = nones(size);
	x->first = nones(c->prog->ninsns);
	x->next = nones(c->proof->nstates + 1);
	x->key = calloc(c->prog->ninsns, 1);
	if (x->table && x->first && x->next && x->key) {
		fill(c, x);
		return x;
	}
	proof_index_free(x);
	return NULL;
}

void proof_index_free(struct proof_index *x)
{
	if (!x)
		return;
	free(x->table);
	free(x->first);
	free(x->next);
	free(x->key);
	free(x);
}

static u32 search(struct proof_check *c, u32 i, bool (*includes)(struct proof_check *c, u32 i))
{
	while (i != PROOF_NONE && (c->proof->states[i].insn != c->p->pc || !includes(c, i)))
		i = c->index->next[i];
	return i;
}

u32 proof_index_find(struct proof_check *c, bool (*includes)(struct proof_check *c, u32 i))
{
	const struct proof_index *x = c->index;
	const struct ebpf_vreg *r = constant(&c->p->st, x->key[c->p->pc]);
	u32 i = PROOF_NONE;

	if (r)
		i = search(c, x->table[hash(x, c->p->pc, r->val.umin)], includes);
	return i != PROOF_NONE ? i : search(c, x->first[c->p->pc], includes);
}
