/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The explorer: verify.h tells the model. Here: the order of things, the main loop, the paths that
 * wait.
 *
 * The main program first, then each global function that code which was walked calls, until there
 * is no new one; callbacks that run later belong to the walk that met them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "core/load/check.h"
#include "core/load/verify_node.h"

/* --- paths that wait ------------------------------------------------------------------------- */

static struct verify_branch *new_branch(struct verify *v, u32 insn_idx, u32 prev_idx)
{
	struct verify_branch *b;

	if (v->nbranches >= VERIFY_MAX_BRANCHES) {
		/* the kernel's errno for this one, unlike the other limits' */
		v->error = verify_fail(v, EFAULT, "The sequence of %u jumps is too complex.\n",
				       v->nbranches + 1);
		return NULL;
	}
	b = malloc(sizeof(*b)); /* calloc() is slower: it never takes what was just freed */
	if (!b)
		return NULL;
	*b = (struct verify_branch){
		.insn = insn_idx,
		.prev = prev_idx,
		.log_pos = v->log->pos,
		.next = v->head,
	};
	v->head = b;
	v->nbranches++;
	return b;
}

struct ebpf_vstate *verify_push(struct verify *v, u32 insn_idx, u32 prev_idx)
{
	struct verify_branch *b = new_branch(v, insn_idx, prev_idx);

	if (!b)
		return NULL;
	b->path = *v->path;
	if (b->path.parent)
		b->path.parent->branches++;
	return ebpf_vstate_copy(&b->state, v->cur) ? NULL : &b->state;
}

struct ebpf_vstate *verify_push_async(struct verify *v, u32 insn_idx)
{
	struct verify_branch *b = new_branch(v, insn_idx, v->insn_idx);

	return b ? &b->state : NULL;
}

static void drop_branch(struct verify *v)
{
	struct verify_branch *b = v->head;

	v->head = b->next;
	v->nbranches--;
	ebpf_vstate_free(&b->state);
	free(b);
}

/* Go on with the path that was left last. False: there is none. */
static bool pop(struct verify *v)
{
	struct verify_branch *b = v->head;

	if (!b)
		return false;
	ebpf_vstate_free(v->cur);
	*v->cur = b->state;
	memset(&b->state, 0, sizeof(b->state));
	*v->path = b->path;
	v->insn_idx = b->insn;
	v->prev_insn_idx = b->prev;
	if (!(v->log->level & 2))
		ebpf_log_reset(v->log, b->log_pos);
	drop_branch(v);
	return true;
}

static void drop_all(struct verify *v)
{
	while (v->head)
		drop_branch(v);
}

/* --- one instruction ------------------------------------------------------------------------- */

static int walk_call(struct verify *v, const struct bpf_insn *in)
{
	u32 at = v->insn_idx;
	int r;

	if (in->src_reg == BPF_PSEUDO_CALL)
		return verify_subprog_call(v);
	v->scratched_regs |= 0x3f;
	if (in->src_reg == BPF_PSEUDO_KFUNC_CALL)
		r = verify_kfunc_call(v, in);
	else
		r = verify_helper_call(v, in);
	v->insn_idx = at + 1;
	return r;
}

static int walk_jump(struct verify *v, const struct bpf_insn *in, bool *done)
{
	v->jmps_processed++;
	v->path->jumps++;
	switch (BPF_OP(in->code)) {
	case BPF_CALL:
		return walk_call(v, in);
	case BPF_EXIT:
		return verify_exit(v, done);
	case BPF_JA:
		v->insn_idx += 1 + (u32)(BPF_CLASS(in->code) == BPF_JMP ? in->off : in->imm);
		return 0;
	default:
		return verify_cond(v, in);
	}
}

static int walk_ld(struct verify *v, const struct bpf_insn *in)
{
	bool wide = in->code == (BPF_LD | BPF_IMM | BPF_DW);
	int r;

	v->scratched_regs |= 1u << in->dst_reg;
	r = wide ? verify_ld_imm64(v, in) : verify_ld_abs(v, in);
	v->insn_idx += wide ? 2 : 1;
	return r;
}

static int walk_memory(struct verify *v, const struct bpf_insn *in)
{
	int r;

	if (BPF_CLASS(in->code) == BPF_LDX) {
		v->scratched_regs |= 1u << in->dst_reg;
		r = verify_load(v, in);
	} else if (BPF_CLASS(in->code) == BPF_STX && BPF_MODE(in->code) == BPF_ATOMIC) {
		r = verify_atomic(v, in);
	} else {
		r = verify_store(v, in);
	}
	v->insn_idx++;
	return r;
}

static int walk_insn(struct verify *v, bool *done)
{
	const struct bpf_insn *in = verify_at(v, v->insn_idx);
	int r;

	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		r = verify_alu(v, in);
		v->insn_idx++;
		return r;
	case BPF_LD:
		return walk_ld(v, in);
	case BPF_LDX:
	case BPF_ST:
	case BPF_STX:
		return walk_memory(v, in);
	default:
		return walk_jump(v, in, done);
	}
}

/* --- all paths ------------------------------------------------------------------------------- */

static void log_safe(struct verify *v, bool fresh)
{
	if (!(v->log->level & 3))
		return;
	if (fresh)
		verify_log(v, "\nfrom %d to %u: safe\n", (s32)v->prev_insn_idx, v->insn_idx);
	else
		verify_log(v, "%u: safe\n", v->insn_idx);
}

/* The state before the instruction: known to be safe already? */
static int arrive(struct verify *v, bool fresh, bool *done)
{
	int r;

	if (v->insn_idx >= v->prog->ninsns)
		return verify_bug(v, "invalid insn idx %u insn_cnt %u\n", v->insn_idx,
				  v->prog->ninsns);
	if (++v->insn_processed > EBPF_MAX_INSNS)
		return verify_fail(v, E2BIG, "BPF program is too large. Processed %u insn\n",
				   v->insn_processed);
	if (!v->insn[v->insn_idx].prune)
		return 0;
	r = verify_visit(v);
	if (r > 0) {
		log_safe(v, fresh);
		*done = true;
		return 0;
	}
	return r;
}

static int step(struct verify *v, bool fresh, bool *done)
{
	u32 at = v->insn_idx;
	int r = arrive(v, fresh, done);

	if (r || *done)
		return r;
	if ((v->log->level & 2) && fresh) {
		verify_log(v, "\nfrom %d to %u:", (s32)v->prev_insn_idx, at);
		verify_log_frame(v, v->cur, v->cur->curframe, true);
		v->scratched_regs = 0;
		v->scratched_slots = 0;
	}
	verify_log_insn(v, at);
	verify_trace_step(v);
	r = v->insn[at].seen ? 0 : ebpf_check_fields(verify_at(v, at), v->log);
	v->insn[at].seen = true;
	r = r ? r : walk_insn(v, done);
	v->prev_insn_idx = at;
	return r == -ENOMEM && v->error ? v->error : r;
}

static int walk_all(struct verify *v)
{
	bool fresh = false;

	for (;;) {
		u32 frames = v->cur->curframe;
		bool done = false;
		int r = step(v, fresh, &done);

		if (r)
			return r;
		fresh = done || v->cur->curframe < frames;
		if (!done)
			continue;
		r = verify_path_end(v, v->path->parent);
		if (r)
			return r;
		if (!pop(v))
			return 0;
		v->scratched_regs = ~0u;
		v->scratched_slots = ~0ull;
	}
}

/* The remembered states of one function say nothing about another's. */
static void hide_nodes(struct verify *v)
{
	memset(v->nodes, 0, v->prog->ninsns * sizeof(struct verify_node *));
}

static int explore_function(struct verify *v, u32 sub)
{
	u64 pos = v->log->pos;
	int r;

	hide_nodes(v);
	memset(v->path, 0, sizeof(*v->path));
	v->main_subprog = sub;
	v->insn_idx = v->subprog[sub].start;
	v->prev_insn_idx = ~0u;
	v->log_source = NULL;
	v->log_line_end = 0;
	ebpf_vstate_free(v->cur);
	r = verify_push_frame(v->cur, v->path, sub, ~0u);
	r = r ? r : verify_entry_args(v, sub, ebpf_vframe(v->cur));
	v->scratched_regs = ~0u;
	v->scratched_slots = ~0ull;
	r = r ? r : walk_all(v);
	drop_all(v);
	if (!r && !(v->log->level & 2))
		ebpf_log_reset(v->log, sub ? pos : 0);
	return r;
}

static int explore_global(struct verify *v, u32 sub)
{
	struct verify_subprog *s = &v->subprog[sub];
	int r;

	verify_log(v, "Validating %s() func#%u...\n", s->name, sub);
	s->verified = true;
	r = explore_function(v, sub);
	if (!r && (v->log->level & 2))
		verify_log(v, "Func#%u ('%s') is safe for any args that match its prototype\n", sub,
			   s->name);
	return r;
}

/* Global functions call others: again until there is nothing new. */
static int explore_globals(struct verify *v)
{
	bool more = true;
	u32 i;
	int r = 0;

	while (!r && more) {
		more = false;
		for (i = 1; !r && i < v->nsubprogs; i++) {
			if (!v->subprog[i].global || !v->subprog[i].called ||
			    v->subprog[i].verified)
				continue;
			more = true;
			r = explore_global(v, i);
		}
	}
	return r;
}

/* --- before and after ------------------------------------------------------------------------ */

static int find_subprogs(struct verify *v)
{
	struct ebpf_layout layout;
	u32 i;
	int r = ebpf_check_layout(v->prog->insns, v->prog->ninsns, v->prog->prog_type,
				  EBPF_CHECK_VERIFIED | EBPF_CHECK_LATER, v->log, &layout);

	if (r)
		return r;
	v->subprog = calloc(layout.nsubprogs, sizeof(*v->subprog));
	if (!v->subprog)
		return -ENOMEM;
	v->nsubprogs = layout.nsubprogs;
	for (i = 0; i < v->nsubprogs; i++) {
		v->subprog[i].start = layout.starts[i];
		v->subprog[i].end = layout.starts[i + 1];
		v->subprog[i].name = "";
	}
	return 0;
}

static int allocate(struct verify *v)
{
	u32 n = MAX(v->prog->ninsns, 1u);

	v->insn = calloc(n, sizeof(*v->insn));
	v->nodes = calloc(n, sizeof(struct verify_node *));
	v->cur = calloc(1, sizeof(*v->cur));
	v->path = calloc(1, sizeof(*v->path));
	return v->insn && v->nodes && v->cur && v->path ? 0 : -ENOMEM;
}

static void release(struct verify *v)
{
	drop_all(v);
	verify_nodes_free(v);
	if (v->cur)
		ebpf_vstate_free(v->cur);
	free(v->cur);
	free(v->path);
	free(v->insn);
	free(v->nodes);
	free(v->subprog);
	verify_target_close(v);
}

static int fill_facts(struct verify *v)
{
	struct ebpf_facts *f = v->facts;
	u32 i;

	f->insn = calloc(v->prog->ninsns, sizeof(*f->insn));
	if (!f->insn)
		return -ENOMEM;
	for (i = 0; i < v->prog->ninsns; i++)
		f->insn[i] = v->insn[i].seen ? EBPF_FACT_SEEN : 0;
	f->nsubprogs = v->nsubprogs;
	for (i = 0; i < v->nsubprogs; i++) {
		const struct verify_subprog *s = &v->subprog[i];

		f->subprog[i].start = s->start;
		if (v->ctx_bits || (s->context & s->bytes))
			f->insn[s->start] |= EBPF_FACT_CTX_ESCAPES;
	}
	f->processed = v->insn_processed;
	return 0;
}

static int explore(struct verify *v)
{
	int r = allocate(v);

	r = r ? r : find_subprogs(v);
	r = r ? r : verify_btf_subprogs(v);
	r = r ? r : verify_target_open(v);
	r = r ? r : verify_cfg(v);
	r = r ? r : verify_liveness(v);
	if (!r)
		verify_fastcall(v);
	r = r ? r : explore_function(v, 0);
	r = r ? r : explore_globals(v);
	verify_fastcall_needed(v, !r);
	r = r ? r : verify_stack_depth(v);
	if (!r)
		verify_fastcall_inlined(v);
	verify_log_stats(v);
	r = r ? r : fill_facts(v);
	return r ? r : verify_collect(v, v->proof);
}

int ebpf_explore(const struct ebpf_vprog *prog, struct ebpf_log *log, struct ebpf_proof *proof,
		 struct ebpf_facts *facts)
{
	struct verify v = {.prog = prog, .log = log, .proof = proof, .facts = facts};
	int r;

	v.start_ns = ebpf_log_now();
	v.strict = prog->prog_flags & BPF_F_STRICT_ALIGNMENT;
	memset(proof, 0, sizeof(*proof));
	memset(facts, 0, sizeof(*facts));
	r = explore(&v);
	release(&v);
	if (r) {
		ebpf_proof_free(proof);
		ebpf_facts_free(facts);
	}
	return r;
}
