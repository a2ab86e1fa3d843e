/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log level 2: which way a mark of precision takes, in the kernel's words.
 *
 * Model: every instruction that is walked is a step that knows the step before it on its path; a
 * path and a node know their last. A number that matters is followed back step by step, from node
 * to node, until what it came from is found. verify_precise.c marks by names and needs none of
 * this.
 *
 * Rules: only at level 2, and only text: nothing here changes what is proved. Out of memory, there
 * is less text.
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/verify_node.h"

#define LEVEL_2 2u
#define MAX_LINKS 6
#define FRAME_DST 1u
#define FRAME_SRC 2u
#define LINK_REG 64u /* a place: frame << 8 | slot, or LINK_REG plus a register */

struct verify_step {
	u32 prev, insn;
	u16 stack; /* the slot that was filled or spilled to: frame << 8 | slot, plus 1 */
	u8 nlinks;
	u8 frames;	     /* of a branch: these of its operands were addresses in the stack */
	u16 link[MAX_LINKS]; /* places that a branch tested together */
};

struct wanted {
	u16 regs[EBPF_MAX_FRAMES];
	u64 slots[EBPF_MAX_FRAMES];
	u32 frame; /* of the function that is gone through */
	s32 next;  /* the instruction after this one */
	bool lost; /* not to be told which number it was */
};

/* --- steps ----------------------------------------------------------------------------------- */

static u16 stack_place(const struct verify *v, const struct bpf_insn *in)
{
	bool load = BPF_CLASS(in->code) == BPF_LDX;
	const struct ebpf_vreg *base;
	s64 off;
	u32 slot;

	if (!load && BPF_CLASS(in->code) != BPF_ST && BPF_CLASS(in->code) != BPF_STX)
		return 0;
	base = ebpf_vreg(v->cur, load ? in->src_reg : in->dst_reg);
	if (base->type != VT_STACK || !ebpf_scalar_is_const(&base->val))
		return 0;
	off = (s64)base->off + base->val.smin + in->off;
	if (off >= 0 || off < -EBPF_STACK_SIZE || off % 8)
		return 0;
	slot = (u32)(-off / 8 - 1);
	if (load && (slot >= v->cur->frame[base->obj]->nslots ||
		     v->cur->frame[base->obj]->slots[slot].kind[0] != VB_SPILL))
		return 0;
	return (u16)((base->obj << 8 | slot) + 1);
}

/* They are no numbers: nothing that matters of one flows into the other. */
static u8 frame_operands(const struct verify *v, const struct bpf_insn *in)
{
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);

	if ((class != BPF_JMP && class != BPF_JMP32) || op == BPF_CALL || op == BPF_EXIT ||
	    BPF_SRC(in->code) != BPF_X)
		return 0;
	return (ebpf_vreg(v->cur, in->dst_reg)->type == VT_STACK ? FRAME_DST : 0) |
	       (ebpf_vreg(v->cur, in->src_reg)->type == VT_STACK ? FRAME_SRC : 0);
}

void verify_trace_step(struct verify *v)
{
	const struct bpf_insn *in;

	if (!(v->log->level & LEVEL_2))
		return;
	in = verify_at(v, v->insn_idx);
	if (v->nsteps + 1 >= v->steps_room) {
		u32 room = MAX(v->steps_room * 2, 1024u);
		struct verify_step *steps = realloc(v->steps, room * sizeof(*steps));

		if (!steps)
			return;
		v->steps = steps;
		v->steps_room = room;
	}
	v->steps[++v->nsteps] = (struct verify_step){.prev = v->path->step,
						     .insn = v->insn_idx,
						     .stack = stack_place(v, in),
						     .frames = frame_operands(v, in)};
	v->path->step = v->nsteps;
}

static void link_place(struct verify_step *s, const struct ebpf_vreg *reg, u32 id, u32 place)
{
	if (reg->type == VT_SCALAR && reg->id == id && s->nlinks < MAX_LINKS)
		s->link[s->nlinks++] = (u16)place;
}

static void link_all(struct verify *v, struct verify_step *s, const struct ebpf_vreg *reg)
{
	u32 i, k;

	for (k = 0; k <= v->cur->curframe; k++) {
		const struct ebpf_vframe *f = v->cur->frame[k];

		for (i = 0; i < EBPF_VREGS; i++)
			link_place(s, &f->regs[i], reg->id, k << 8 | LINK_REG | i);
		for (i = 0; i < f->nslots; i++)
			if (f->slots[i].kind[0] == VB_SPILL)
				link_place(s, &f->slots[i].spilled, reg->id, k << 8 | i);
	}
}

void verify_trace_links(struct verify *v, const struct bpf_insn *in)
{
	const struct ebpf_vreg *dst = verify_reg(v, in->dst_reg);
	const struct ebpf_vreg *src = verify_reg(v, in->src_reg);
	struct verify_step *s;

	if (!(v->log->level & LEVEL_2) || !v->path->step)
		return;
	s = &v->steps[v->path->step];
	if (BPF_SRC(in->code) == BPF_X && src->type == VT_SCALAR && src->id)
		link_all(v, s, src);
	if (dst->type == VT_SCALAR && dst->id)
		link_all(v, s, dst);
	if (s->nlinks < 2)
		s->nlinks = 0;
}

/* --- one instruction back -------------------------------------------------------------------- */

static bool empty(const struct wanted *w)
{
	for (u32 i = 0; i <= w->frame; i++)
		if (w->regs[i] || w->slots[i])
			return false;
	return true;
}

static bool has(const struct wanted *w, u32 reg)
{
	return w->regs[w->frame] >> reg & 1;
}

static void add(struct wanted *w, u32 reg)
{
	if (reg != BPF_REG_10)
		w->regs[w->frame] |= (u16)(1u << reg);
}

static bool take(struct wanted *w, u32 reg)
{
	bool was = has(w, reg);

	w->regs[w->frame] &= (u16) ~(1u << reg);
	return was;
}

/* Is one of those that were tested together wanted? Then all are. */
static void with_links(struct wanted *w, const struct verify_step *s)
{
	bool any = false;

	for (u32 i = 0; i < s->nlinks; i++) {
		u32 k = s->link[i] >> 8, at = s->link[i] & 0xff;

		any |= at & LINK_REG ? w->regs[k] >> (at & 15) & 1 : w->slots[k] >> at & 1;
	}
	for (u32 i = 0; any && i < s->nlinks; i++) {
		u32 k = s->link[i] >> 8, at = s->link[i] & 0xff;

		if (at & LINK_REG)
			w->regs[k] |= (u16)(1u << (at & 15));
		else
			w->slots[k] |= 1ull << at;
	}
}

static void back_alu(struct wanted *w, const struct bpf_insn *in)
{
	u8 op = BPF_OP(in->code);

	if (!has(w, in->dst_reg) || op == BPF_END || op == BPF_NEG)
		return;
	if (op == BPF_MOV)
		take(w, in->dst_reg);
	if (BPF_SRC(in->code) == BPF_X)
		add(w, in->src_reg);
}

static void back_memory(struct wanted *w, const struct bpf_insn *in, const struct verify_step *s)
{
	u32 frame = (u32)(s->stack - 1) >> 8;
	u64 bit = 1ull << ((s->stack - 1) & 63);

	if (BPF_CLASS(in->code) == BPF_LDX) {
		if (take(w, in->dst_reg) && s->stack)
			w->slots[frame] |= bit;
		return;
	}
	/* a number that is stored through and one that an atomic gives are not told apart */
	w->lost = has(w, in->dst_reg);
	if (!s->stack || !(w->slots[frame] & bit))
		return;
	w->slots[frame] &= ~bit;
	if (BPF_CLASS(in->code) == BPF_STX)
		add(w, in->src_reg);
}

static void leave_frame(struct wanted *w)
{
	w->regs[w->frame] = 0;
	w->slots[w->frame] = 0;
	w->frame -= w->frame > 0;
}

static void back_call(const struct verify *v, struct wanted *w, u32 at)
{
	const struct bpf_insn *in = verify_at(v, at);
	u32 to = at + 1 + (u32)in->imm;

	if (in->src_reg == BPF_PSEUDO_CALL && w->next == (s32)to &&
	    !v->subprog[verify_subprog_at(v, to)].global) {
		u16 args = w->regs[w->frame] & 0x3e;

		leave_frame(w);
		w->regs[w->frame] |= args;
		return;
	}
	if (v->insn[at].sync_callback && w->next != (s32)at + 1) {
		leave_frame(w);
		return;
	}
	take(w, BPF_REG_0);
}

/* From behind a call into the function that was called, at its end. */
static void back_exit(const struct verify *v, struct wanted *w)
{
	const struct bpf_insn *in = w->next > 0 ? verify_at(v, (u32)w->next - 1) : NULL;
	bool called = in && in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_CALL;
	bool result = called && has(w, BPF_REG_0);

	w->regs[w->frame] &= (u16)~0x3f;
	if (w->frame + 1 >= EBPF_MAX_FRAMES)
		return;
	w->frame++;
	w->regs[w->frame] = result;
	w->slots[w->frame] = 0;
}

static void back_jump(const struct verify *v, struct wanted *w, const struct verify_step *s)
{
	const struct bpf_insn *in = verify_at(v, s->insn);

	switch (BPF_OP(in->code)) {
	case BPF_CALL:
		back_call(v, w, s->insn);
		return;
	case BPF_EXIT:
		back_exit(v, w);
		return;
	case BPF_JA:
	case BPF_JCOND:
		return;
	}
	if (BPF_SRC(in->code) == BPF_X && (has(w, in->dst_reg) || has(w, in->src_reg))) {
		if (!(s->frames & FRAME_DST))
			add(w, in->dst_reg);
		if (!(s->frames & FRAME_SRC))
			add(w, in->src_reg);
	}
	with_links(w, s);
}

static void back(const struct verify *v, struct wanted *w, const struct verify_step *s)
{
	const struct bpf_insn *in = verify_at(v, s->insn);

	with_links(w, s);
	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		back_alu(w, in);
		break;
	case BPF_LDX:
	case BPF_ST:
	case BPF_STX:
		back_memory(w, in, s);
		break;
	case BPF_LD:
		if (take(w, in->dst_reg) && in->code != (BPF_LD | BPF_IMM | BPF_DW))
			w->lost = true;
		break;
	default:
		back_jump(v, w, s);
	}
}

/* --- text ------------------------------------------------------------------------------------ */

static void log_places(struct verify *v, const struct wanted *w, u32 frame)
{
	const char *sep = "";
	u32 i;

	verify_log(v, "regs=");
	for_each_bit (i, w->regs[frame]) {
		verify_log(v, "%sr%u", sep, i);
		sep = ",";
	}
	verify_log(v, " stack=");
	sep = "";
	for_each_bit (i, w->slots[frame]) {
		verify_log(v, "%s-%u", sep, (i + 1) * 8);
		sep = ",";
	}
}

static void log_step(struct verify *v, const struct wanted *w, u32 insn)
{
	char text[128];

	verify_log(v, "mark_precise: frame%u: ", w->frame);
	log_places(v, w, w->frame);
	ebpf_disasm(verify_at(v, insn), text, sizeof(text));
	verify_log(v, " before %u: (%02x) %s\n", insn, verify_at(v, insn)->code, text);
}

static bool slot_scalar(const struct ebpf_vframe *f, u32 i)
{
	return i < f->nslots && f->slots[i].kind[0] == VB_SPILL &&
	       f->slots[i].spilled.type == VT_SCALAR;
}

/* What is a number in @node's state and has no mark yet. */
static void only_news(struct wanted *w, const struct verify_node *node, u32 k)
{
	const struct ebpf_vframe *f = node->state.frame[k];
	u32 i;

	w->regs[k] &= (u16)~node->mark[k].regs;
	w->slots[k] &= ~node->mark[k].slots;
	for_each_bit (i, w->regs[k])
		if (f->regs[i].type != VT_SCALAR)
			w->regs[k] &= (u16) ~(1u << i);
	for_each_bit (i, w->slots[k])
		if (!slot_scalar(f, i))
			w->slots[k] &= ~(1ull << i);
}

/* False: nothing more is known of the state. */
static bool at_node(struct verify *v, struct wanted *w, const struct verify_node *node)
{
	for (u32 k = w->frame + 1; k-- > 0;) {
		struct verify_marks mark = node->mark[k];

		if (k > node->state.curframe || !node->state.frame[k])
			return false;
		only_news(w, node, k);
		verify_log(v, "mark_precise: frame%u: parent state ", k);
		log_places(v, w, k);
		verify_log(v, ": ");
		mark.regs |= w->regs[k];
		mark.slots |= w->slots[k];
		v->log_marks = &mark;
		verify_log_frame(v, &node->state, k, true);
		v->log_marks = NULL;
	}
	return true;
}

static bool back_to(struct verify *v, struct wanted *w, u32 *step, u32 stop)
{
	for (; *step != stop; *step = v->steps[*step].prev) {
		const struct verify_step *s = &v->steps[*step];

		log_step(v, w, s->insn);
		back(v, w, s);
		if (w->lost)
			verify_log(v,
				   "mark_precise: frame%u: falling back to forcing all scalars "
				   "precise\n",
				   v->cur->curframe);
		if (w->lost || empty(w))
			return false;
		w->next = (s32)s->insn;
	}
	return true;
}

static void trace(struct verify *v, struct wanted *w, u32 step)
{
	const struct verify_node *node = v->path->parent;
	u32 last = v->insn_idx;
	s32 next = -1;

	w->frame = v->cur->curframe;
	w->next = (s32)last;
	while (!empty(w)) {
		u32 first = node ? node->insn : v->subprog[v->cur->frame[0]->subprog].start;

		verify_log(v, "mark_precise: frame%u: last_idx %u first_idx %u subseq_idx %d \n",
			   w->frame, last, first, next);
		if (!back_to(v, w, &step, node ? node->step : 0) || !node || !at_node(v, w, node))
			return;
		w->next = next = (s32)first;
		last = step ? v->steps[step].insn : first;
		node = node->parent;
	}
}

void verify_trace_reg(struct verify *v, u32 regno)
{
	struct wanted w = {0};
	u32 step = v->path->step;

	if (!(v->log->level & LEVEL_2) || !step)
		return;
	w.regs[v->cur->curframe] = (u16)(1u << regno);
	trace(v, &w, v->steps[step].prev);
}

void verify_trace_flow(struct verify *v, const struct verify_node *old,
		       const struct verify_name *names, u32 n)
{
	struct wanted w = {0};
	s32 frame = -1;

	if (!(v->log->level & LEVEL_2))
		return;
	for (u32 i = 0; i < n; i++) {
		const struct verify_marks *m = &old->mark[names[i].frame];
		bool reg = names[i].slot >= VERIFY_NAME_REG;
		u32 at = reg ? names[i].slot - VERIFY_NAME_REG : names[i].slot;

		if (!(reg ? m->regs >> at & 1 : m->slots >> at & 1))
			continue;
		if (frame == names[i].frame)
			verify_log(v, ",");
		else
			verify_log(v, "%sframe %u: propagating ", frame < 0 ? "" : "\n",
				   names[i].frame);
		frame = names[i].frame;
		if (reg) {
			verify_log(v, "r%u", at);
			w.regs[frame] |= (u16)(1u << at);
		} else {
			verify_log(v, "fp-%u", (at + 1) * 8);
			w.slots[frame] |= 1ull << at;
		}
	}
	if (frame < 0)
		return;
	verify_log(v, "\n");
	trace(v, &w, v->path->step);
}
