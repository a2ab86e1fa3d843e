/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is remembered, and which paths need not be walked because of it.
 *
 * Model: at a point where paths can meet, the current state is compared with those remembered
 * there.
 *	A node whose paths have all ended: what is included in what mattered of it is safe.
 *	A node the current path comes from: going round again with the same state never ends
 *	("infinite loop"), unless the run time bounds the loop (iterators, callbacks, may_goto):
 *then the loop has converged, if all values are included, for what matters isn't known yet. A node
 *whose paths have ended at an unfinished one: as good as that one, compared as above. Marks grow
 *until the outermost node of a loop is finished; then they flow along the edges by which paths came
 *back, until nothing changes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/mutant.h"
#include "core/load/verify_node.h"

/* --- loops ----------------------------------------------------------------------------------- */

/* the outermost unfinished node that paths from @n came back to, or NULL */
static struct verify_node *loop_of(struct verify_node *n)
{
	struct verify_node *to = n->loop;

	while (to && to->loop && to->loop != to)
		to = to->loop;
	return to && to->branches ? to : NULL;
}

/* The current path came back to @to: all between are part of the loop. */
static void join_loop(struct verify_node *from, struct verify_node *to)
{
	to->loops = true;
	for (; from && from->depth >= to->depth; from = from->parent) {
		struct verify_node *now = loop_of(from);

		if (now && now->depth <= to->depth)
			return;
		if (from == to)
			return;
		from->loop = to;
	}
}

static int add_backedge(struct verify *v, struct verify_node *to)
{
	struct verify_backedge *e;

	if (v->nbackedges == v->backedges_room) {
		u32 room = MAX(v->backedges_room * 2, 64u);
		struct verify_backedge *all = realloc(v->backedges, room * sizeof(*all));

		if (!all)
			return -ENOMEM;
		v->backedges = all;
		v->backedges_room = room;
	}
	e = &v->backedges[v->nbackedges];
	e->to = to;
	e->path = *v->path;
	if (verify_names_of(v->cur, &e->names, &e->nnames))
		return -ENOMEM;
	v->nbackedges++;
	return 0;
}

static u64 sum_marks(const struct verify_node *n)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i <= n->state.curframe; i++)
		sum += (u64)__builtin_popcountll(n->mark[i].slots) +
		       (u64)__builtin_popcountll(n->mark[i].read) +
		       (u64)__builtin_popcount(n->mark[i].regs);
	return sum;
}

/* A loop's outermost node is finished: let what matters flow round until it has settled. */
static int settle(struct verify *v, struct verify_node *head)
{
	u64 before, after = 0;
	u32 i;
	int r = 0;

	do {
		before = after;
		after = 0;
		for (i = head->backedges; !r && i < v->nbackedges; i++) {
			struct verify_backedge *e = &v->backedges[i];

			r = verify_flow(v, e->to, &e->path, e->names, e->nnames);
		}
		for (i = head->backedges; i < v->nbackedges; i++)
			after += sum_marks(v->backedges[i].to);
	} while (!r && after != before);
	return r;
}

static void drop_backedges(struct verify *v, u32 from)
{
	while (v->nbackedges > from)
		free(v->backedges[--v->nbackedges].names);
}

/* Usually it is the newest there: see verify_previous(). */
static void finish(struct verify *v, struct verify_node *n)
{
	struct verify_node **link = &v->insn[n->insn].open;

	while (*link && *link != n)
		link = &(*link)->open;
	if (*link)
		*link = n->open;
}

/* ids by their low bits: two of the same bits only look linked */
#define ID_BITS 512u
struct ids {
	u64 once[ID_BITS / 64], again[ID_BITS / 64];
};

static void count_id(struct ebpf_vreg *reg, void *arg)
{
	struct ids *ids = arg;
	u32 word = reg->id % ID_BITS / 64;
	u64 bit = 1ull << reg->id % 64;

	ids->again[word] |= ids->once[word] & bit;
	ids->once[word] |= bit;
}

static void mark_lone_id(struct ebpf_vreg *reg, void *arg)
{
	const struct ids *ids = arg;

	if (reg->type != VT_SCALAR || !reg->id ||
	    (ids->again[reg->id % ID_BITS / 64] >> reg->id % 64 & 1))
		return;
	reg->delta = 0;
	reg->flags = (u16)((reg->flags & ~VREG_DELTA) | VREG_LONE);
}

/* A number that is linked with no other is as good as one without a link. */
static void mark_lone_ids(struct ebpf_vstate *st)
{
	struct ids ids = {0};

	verify_each_reg(st, count_id, &ids);
	verify_each_reg(st, mark_lone_id, &ids);
}

int verify_path_end(struct verify *v, struct verify_node *n)
{
	int r = 0;

	for (; !r && n && !--n->branches; n = n->parent) {
		n->rank = ++v->nfinished;
		finish(v, n);
		mark_lone_ids(&n->state);
		if (!n->loops)
			continue;
		r = settle(v, n);
		if (!n->loop || !n->loop->branches)
			drop_backedges(v, n->backedges);
	}
	return r;
}

/* --- widening -------------------------------------------------------------------------------- */

static bool same_callers(const struct ebpf_vstate *a, const struct ebpf_vstate *b)
{
	u32 i;

	if (a->curframe != b->curframe)
		return false;
	for (i = 0; i <= a->curframe; i++)
		if (a->frame[i]->callsite != b->frame[i]->callsite)
			return false;
	return true;
}

/*
 * Paths are walked depth first, so all unfinished nodes of a walk lie on the way to the newest:
 * those that aren't deeper than @from are above it. The first found usually is a turn of a loop
 * away, but the way up to it can be long, and this is asked at every turn.
 */
struct verify_node *verify_previous(struct verify *v, struct verify_node *from,
				    const struct ebpf_vstate *st, u32 insn)
{
	struct verify_node *n;

	for (n = from ? v->insn[insn].open : NULL; n; n = n->open)
		if (n->depth <= from->depth && n->root == from->root && same_callers(&n->state, st))
			return n;
	return NULL;
}

static void widen_reg(const struct ebpf_vreg *prev, struct ebpf_vreg *cur, bool matters)
{
	if (prev->type != VT_SCALAR || cur->type != VT_SCALAR || EBPF_MUTANT(119, matters, true) ||
	    (cur->flags & VREG_PRECISE))
		return;
	if (ebpf_scalar_equal(&prev->val, &cur->val))
		return;
	verify_reg_unknown(NULL, cur);
}

static void widen_frame(const struct ebpf_vframe *prev, const struct verify_marks *mark,
			struct ebpf_vframe *cur)
{
	u32 i;

	for (i = 0; i < EBPF_VREGS - 1; i++)
		widen_reg(&prev->regs[i], &cur->regs[i], mark->regs >> i & 1);
	for (i = 0; i < MIN(prev->nslots, cur->nslots); i++)
		if (ebpf_vslot_spill_size(&prev->slots[i]) == 8 &&
		    ebpf_vslot_spill_size(&cur->slots[i]) == 8)
			widen_reg(&prev->slots[i].spilled, &cur->slots[i].spilled,
				  mark->slots >> i & 1);
}

void verify_widen_to(const struct verify_node *prev, struct ebpf_vstate *st)
{
	u32 i;

	for (i = 0; i <= st->curframe; i++)
		widen_frame(prev->state.frame[i], &prev->mark[i], st->frame[i]);
}

int verify_widen(struct verify *v, struct ebpf_vstate *queued)
{
	struct verify_node *here = v->path->parent, *prev;

	/* the newest node is the one that was made for this visit */
	prev = here ? verify_previous(v, here->parent, queued, v->insn_idx) : NULL;
	if (prev)
		verify_widen_to(prev, queued);
	return 0;
}

/* --- comparing ------------------------------------------------------------------------------- */

static bool iterator_active(const struct ebpf_vstate *st)
{
	const struct ebpf_vreg *r = ebpf_vreg(st, 1);
	const struct ebpf_vframe *f;
	s64 slot;

	if (r->type != VT_STACK || !ebpf_scalar_is_const(&r->val) || r->obj > st->curframe)
		return false;
	f = st->frame[r->obj];
	slot = -((s64)r->off + r->val.smin) / 8 - 1;
	return slot >= 0 && slot < f->nslots && f->slots[slot].kind[0] == VB_ITER &&
	       f->slots[slot].spilled.obj == VITER_ACTIVE;
}

static bool iterators_moved(const struct ebpf_vstate *old, const struct ebpf_vstate *cur)
{
	u32 i, k;

	for (k = 0; k <= old->curframe; k++) {
		const struct ebpf_vframe *a = old->frame[k], *b = cur->frame[k];

		for (i = 0; i < MIN(a->nslots, b->nslots); i++)
			if (a->slots[i].kind[0] == VB_ITER &&
			    a->slots[i].spilled.obj == VITER_ACTIVE &&
			    a->slots[i].spilled.mem_size != b->slots[i].spilled.mem_size)
				return true;
	}
	return false;
}

static int infinite_loop(struct verify *v, const struct verify_node *old)
{
	verify_log_line(v, v->insn_idx);
	verify_fail(v, EINVAL, "infinite loop detected at insn %u\n", v->insn_idx);
	verify_log(v, "cur state:");
	verify_log_frame(v, v->cur, v->cur->curframe, true);
	verify_log(v, "old state:");
	verify_log_frame(v, &old->state, old->state.curframe, true);
	return -EINVAL;
}

static bool is_may_goto(const struct verify *v, u32 i)
{
	return verify_at(v, i)->code == (BPF_JMP | BPF_JCOND);
}

/* The loop is one that the run time bounds. */
static bool bounded_by_runtime(struct verify *v, const struct verify_node *old)
{
	const struct verify_insn *info = &v->insn[v->insn_idx];

	if (info->iter_next)
		return verify_included(v, old, v->cur, VERIFY_RANGE) && iterator_active(v->cur);
	if (info->sync_callback)
		return verify_included(v, old, v->cur, VERIFY_RANGE);
	return EBPF_MUTANT(120, is_may_goto(v, v->insn_idx), true) &&
	       old->state.may_goto_depth != v->cur->may_goto_depth &&
	       verify_included(v, old, v->cur, VERIFY_RANGE);
}

static bool never_ends(struct verify *v, const struct verify_node *old)
{
	const struct verify_insn *info = &v->insn[v->insn_idx];

	if (info->iter_next || info->sync_callback || old->async_entry != v->path->async_entry)
		return false;
	return verify_included(v, old, v->cur, VERIFY_EXACT) &&
	       !iterators_moved(&old->state, v->cur) &&
	       old->state.may_goto_depth == v->cur->may_goto_depth &&
	       old->callback_depth == v->path->callback_depth;
}

enum outcome { MISS, HIT, HIT_LOOP };

/* An unfinished node: the current path comes from it. */
static int compare_ancestor(struct verify *v, struct verify_node *old, enum outcome *out)
{
	bool async_again = old->state.frame[old->state.curframe]->async &&
			   old->async_entry != v->path->async_entry;

	*out = MISS;
	if (async_again)
		return 0;
	if (bounded_by_runtime(v, old)) {
		join_loop(v->path->parent, old);
		*out = HIT_LOOP;
		return 0;
	}
	return never_ends(v, old) ? infinite_loop(v, old) : 0;
}

static int compare(struct verify *v, struct verify_node *old, enum outcome *out)
{
	struct verify_node *loop;

	if (old->branches)
		return compare_ancestor(v, old, out);
	loop = loop_of(old);
	*out = MISS;
	if (!verify_included(v, old, v->cur, loop ? VERIFY_RANGE : VERIFY_MATTERS))
		return 0;
	*out = loop ? HIT_LOOP : HIT;
	if (loop)
		join_loop(v->path->parent, loop);
	return 0;
}

static int end_at(struct verify *v, struct verify_node *old, enum outcome how)
{
	struct verify_name *names;
	u32 n;
	int r;

	old->hits++;
	old->used = true;
	if (how == HIT_LOOP)
		r = add_backedge(v, old);
	else
		r = 0;
	if (r)
		return r;
	r = verify_names_of(v->cur, &names, &n);
	if (r)
		return r;
	verify_trace_flow(v, old, names, n);
	r = verify_flow(v, old, v->path, names, n);
	free(names);
	return r ? r : 1;
}

/* --- remembering ----------------------------------------------------------------------------- */

static void forget_dead_regs(struct verify *v, struct verify_node *n)
{
	u32 i, k;

	for (k = 0; k <= n->state.curframe; k++) {
		u16 live = verify_live_regs(v, &n->state, k, n->insn);

		for (i = 0; i < EBPF_VREGS; i++)
			if (!(live >> i & 1))
				verify_reg_none(&n->state.frame[k]->regs[i]);
	}
}

static void start_segment(struct verify *v, struct verify_node *n)
{
	struct verify_path *p = v->path;
	u32 i;

	for (i = 0; i < EBPF_MAX_FRAMES; i++) {
		n->mark[i].written = p->written[i];
		p->written[i] = 0;
	}
	n->parent = p->parent;
	n->root = p->parent ? p->parent->root : n;
	n->depth = p->parent ? p->parent->depth + 1 : 0;
	n->async_entry = p->async_entry;
	n->callback_depth = p->callback_depth;
	n->step = p->step;
	n->backedges = v->nbackedges;
	n->branches = 1;
	p->parent = n;
	p->jumps = 0;
}

static int remember(struct verify *v)
{
	struct verify_node *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	n->next_all = v->all_nodes;
	v->all_nodes = n;
	n->insn = v->insn_idx;
	r = verify_name_all(v);
	r = r ? r : ebpf_vstate_copy(&n->state, v->cur);
	if (r)
		return r;
	forget_dead_regs(v, n);
	start_segment(v, n);
	n->next = v->nodes[v->insn_idx];
	v->nodes[v->insn_idx] = n;
	n->open = v->insn[n->insn].open;
	v->insn[n->insn].open = n;
	v->total_states++;
	v->peak_states++;
	v->prev_jmps_processed = v->jmps_processed;
	v->prev_insn_processed = v->insn_processed;
	return 0;
}

/* It was compared often and hardly ever was of use. */
static bool evict(struct verify *v, struct verify_node **link)
{
	struct verify_node *n = *link;
	u32 limit = v->insn[n->insn].force && n->branches ? 64 : 3;

	if (n->misses <= n->hits * limit + limit)
		return false;
	*link = n->next;
	v->peak_states -= !n->branches && !n->used;
	if (!n->branches && !n->used && !n->loops && !loop_of(n)) {
		u32 frames = n->state.curframe;

		ebpf_vstate_free(&n->state);
		n->state.curframe = frames;
	}
	return true;
}

static bool worth_a_state(const struct verify *v, bool *force)
{
	*force = (v->prog->prog_flags & BPF_F_TEST_STATE_FREQ) || v->insn[v->insn_idx].force ||
		 v->path->jumps > 40;
	return *force || (v->jmps_processed - v->prev_jmps_processed >= 2 &&
			  v->insn_processed - v->prev_insn_processed >= 8);
}

/* in a loop, states of each turn differ: not too many of them */
static bool too_soon(const struct verify *v)
{
	return v->jmps_processed - v->prev_jmps_processed < 20 &&
	       v->insn_processed - v->prev_insn_processed < 100;
}

int verify_visit(struct verify *v)
{
	struct verify_node **link = &v->nodes[v->insn_idx];
	bool force, add = worth_a_state(v, &force);
	u32 seen = 0;

	while (*link) {
		struct verify_node *old = *link;
		enum outcome how;
		int r = compare(v, old, &how);

		seen++;
		if (r)
			return r;
		if (how != MISS)
			return end_at(v, old, how);
		if (old->branches && !force && too_soon(v))
			add = false;
		old->misses += add && old->misses < UINT16_MAX;
		if (!evict(v, link))
			link = &old->next;
	}
	v->max_states_per_insn = MAX(v->max_states_per_insn, seen);
	return add ? remember(v) : 0;
}

void verify_nodes_free(struct verify *v)
{
	struct verify_node *n;

	while ((n = v->all_nodes)) {
		v->all_nodes = n->next_all;
		ebpf_vstate_free(&n->state);
		free(n);
	}
	drop_backedges(v, 0);
	free(v->backedges);
	free(v->defs);
	free(v->steps);
}
