/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shape of a program: which instructions can be reached, where paths can meet, and how deep the
 * calls go.
 *
 * Model: a depth-first walk from the first instruction over jumps, calls and references to
 * functions. Loops are no fault here: that they end is shown by walking them. Points to compare
 * states at: targets of jumps, what follows a call, conditional jumps, calls that loop.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "core/load/mutant.h"
#include "core/load/verify_node.h"

struct walk {
	struct verify *v;
	bool *reached;
	u32 *todo;
	u32 ntodo;
};

u32 verify_subprog_at(const struct verify *v, u32 insn)
{
	u32 lo = 0, hi = v->nsubprogs;

	while (hi - lo > 1) {
		u32 mid = (lo + hi) / 2;

		if (v->subprog[mid].start <= insn)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

static void reach(struct walk *w, s64 i)
{
	if (i < 0 || i >= w->v->prog->ninsns || w->reached[i])
		return;
	w->reached[i] = true;
	w->todo[w->ntodo++] = (u32)i;
}

static void meet(struct walk *w, s64 i)
{
	if (i >= 0 && i < w->v->prog->ninsns)
		w->v->insn[i].prune = true;
}

static bool calls_back(const struct bpf_insn *in, bool *async)
{
	*async = false;
	if (in->src_reg)
		return false;
	switch (in->imm) {
	case BPF_FUNC_timer_set_callback:
		*async = true;
		return true;
	case BPF_FUNC_for_each_map_elem:
	case BPF_FUNC_find_vma:
	case BPF_FUNC_loop:
	case BPF_FUNC_user_ringbuf_drain:
		return true;
	default:
		return false;
	}
}

static void walk_call(struct walk *w, u32 i)
{
	const struct bpf_insn *in = verify_at(w->v, i);
	struct verify_insn *info = &w->v->insn[i];
	bool async;

	if (calls_back(in, &async)) {
		info->prune = true;
		info->force = info->sync_callback = !async;
	}
	if (in->src_reg == BPF_PSEUDO_KFUNC_CALL && verify_is_iter_next(w->v, in))
		info->prune = info->force = info->iter_next = true;
	if (in->src_reg == BPF_PSEUDO_CALL) {
		meet(w, (s64)i + 1);
		reach(w, (s64)i + 1 + in->imm);
	}
	reach(w, (s64)i + 1);
}

static void walk_jump(struct walk *w, u32 i)
{
	const struct bpf_insn *in = verify_at(w->v, i);
	s64 to = (s64)i + 1 + in->off;

	switch (BPF_OP(in->code)) {
	case BPF_EXIT:
		return;
	case BPF_CALL:
		walk_call(w, i);
		return;
	case BPF_JA:
		if (BPF_CLASS(in->code) == BPF_JMP32)
			to = (s64)i + 1 + in->imm;
		meet(w, to);
		break;
	default:
		meet(w, i);
		w->v->insn[i].force |= BPF_OP(in->code) == BPF_JCOND;
		meet(w, to);
		reach(w, (s64)i + 1);
	}
	reach(w, to);
	if (to >= 0 && to < w->v->prog->ninsns)
		w->v->insn[to].jump_target = true;
}

static void walk_insn(struct walk *w, u32 i)
{
	const struct bpf_insn *in = verify_at(w->v, i);
	u8 class = BPF_CLASS(in->code);

	if (class == BPF_JMP || class == BPF_JMP32) {
		walk_jump(w, i);
		return;
	}
	if (in->code != (BPF_LD | BPF_IMM | BPF_DW)) {
		reach(w, (s64)i + 1);
		return;
	}
	if (in->src_reg == BPF_PSEUDO_FUNC)
		reach(w, (s64)i + 1 + in->imm);
	reach(w, (s64)i + 2);
}

static int all_reached(struct walk *w)
{
	u32 i;

	for (i = 0; i < w->v->prog->ninsns; i++) {
		if (!w->reached[i])
			return verify_fail(w->v, EINVAL, "unreachable insn %u\n", i);
		if (verify_at(w->v, i)->code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (w->reached[++i])
			return verify_fail(w->v, EINVAL,
					   "jump into the middle of ldimm64 insn %u\n", i - 1);
	}
	return 0;
}

void verify_note_calls(struct verify *v)
{
	u32 i;

	for (i = 0; i < v->prog->ninsns; i++) {
		const struct bpf_insn *in = verify_at(v, i);
		u8 mode = BPF_MODE(in->code);

		if (in->code == (BPF_LD | BPF_IMM | BPF_DW))
			i++;
		else if (in->code == (BPF_JMP | BPF_CALL) && !in->src_reg &&
			 in->imm == BPF_FUNC_tail_call)
			v->subprog[verify_subprog_at(v, i)].has_tail_call = true;
		else if (BPF_CLASS(in->code) == BPF_LD && (mode == BPF_ABS || mode == BPF_IND))
			v->subprog[verify_subprog_at(v, i)].has_ld_abs = true;
	}
}

int verify_cfg(struct verify *v)
{
	_cleanup_free_ bool *reached = calloc(v->prog->ninsns, sizeof(*reached));
	_cleanup_free_ u32 *todo = calloc(v->prog->ninsns, sizeof(*todo));
	struct walk w = {.v = v, .reached = reached, .todo = todo};

	if (!reached || !todo)
		return -ENOMEM;
	reach(&w, 0);
	while (w.ntodo)
		walk_insn(&w, w.todo[--w.ntodo]);
	return all_reached(&w);
}

/* --- how much stack the deepest chain of calls needs ----------------------------------------- */

struct chain {
	u32 frame; /* functions above */
	u32 depth; /* their bytes, as the kernel counts them: the limit is about these */
	bool in_callback;
};

static int check_frame(struct verify *v, u32 sub, struct chain *c)
{
	const struct verify_subprog *s = &v->subprog[sub];

	c->in_callback |= s->callback;
	if (s->has_ld_abs && c->in_callback)
		return verify_fail(v, EINVAL, "cannot use BPF_LD_[ABS|IND] within callback\n");
	if (sub && s->has_tail_call && c->depth >= 256)
		return verify_fail(v, EACCES,
				   "tail_calls are not allowed when call stack of previous frames "
				   "is %u bytes. Too large\n",
				   c->depth);
	c->depth += ALIGN_UP(s->needed, 16u);
	if (c->depth > EBPF_STACK_SIZE)
		return verify_fail(v, EACCES, "combined stack size of %u calls is %u. Too large\n",
				   c->frame + 1, c->depth);
	return 0;
}

static bool refers(const struct bpf_insn *in)
{
	if (in->code == (BPF_JMP | BPF_CALL))
		return in->src_reg == BPF_PSEUDO_CALL;
	return in->code == (BPF_LD | BPF_IMM | BPF_DW) && in->src_reg == BPF_PSEUDO_FUNC;
}

/* Recursion is as deep as the limit on frames allows. */
static int check_chain(struct verify *v, u32 sub, struct chain c)
{
	u32 i;
	int r = check_frame(v, sub, &c);

	for (i = v->subprog[sub].start; !r && i < v->subprog[sub].end; i++) {
		const struct bpf_insn *in = verify_at(v, i);
		struct chain below = c;
		u32 callee;

		if (!refers(in))
			continue;
		callee = verify_subprog_at(v, i + 1 + (u32)in->imm);
		if (v->subprog[callee].async && in->code != (BPF_JMP | BPF_CALL))
			continue; /* runs on a stack of its own */
		if (EBPF_MUTANT(125, v->subprog[callee].exception, false) &&
		    in->code == (BPF_JMP | BPF_CALL))
			return verify_fail(v, EINVAL, "insn %d cannot call exception cb directly\n",
					   i);
		if (++below.frame >= EBPF_MAX_FRAMES)
			return verify_fail(v, E2BIG, "the call stack of %u frames is too deep !\n",
					   below.frame);
		r = check_chain(v, callee, below);
	}
	return r;
}

int verify_stack_depth(struct verify *v)
{
	u32 i;
	int r = 0;

	for (i = v->nsubprogs; !r && i-- > 0;)
		if (!i || v->subprog[i].async)
			r = check_chain(v, i, (struct chain){0});
	return r;
}
