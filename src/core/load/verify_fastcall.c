/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much stack the kernel would need: its limit and the figures of log level 4 are about that.
 *
 * Model: compilers save registers around calls that leave them alone, for kernels that don't know
 * which calls do ("bpf_fastcall"): pairs of *(u64 *)(r10 - N) = rX and rX = *(u64 *)(r10 - N) just
 * around the call, the innermost at the lowest address of all that the function spills to. Where
 * nothing else touches these slots, the kernel drops them. It adds room for what it inlines:
 * bpf_loop() and the counter of may_goto.
 *
 * Rules: figures alone. Every instruction stays and is judged as it is, and the checker counts the
 * bytes that the code really uses by itself. A frame has all of its 512 bytes whatever is said
 * here.
 */
#include "base/macros.h"
#include "core/load/verify_node.h"
#include "core/load/verify_proto.h"

#define SLOT 8u
#define MAX_SAVES 6u /* r0 to r5 */
#define LOOP_BYTES 24u
#define MAY_GOTO_BYTES 8u
#define TOUCHED ~0u /* verify_subprog.rest: something else is in these slots */

enum verify_loop { LOOP_UNSEEN, LOOP_INLINE, LOOP_CALL };

/* --- pairs ----------------------------------------------------------------------------------- */

static bool is_spill(const struct bpf_insn *in)
{
	return in->code == (BPF_STX | BPF_MEM | BPF_DW) && in->dst_reg == BPF_REG_10;
}

static bool is_pair(const struct bpf_insn *save, const struct bpf_insn *restore, s32 off)
{
	return is_spill(save) && restore->code == (BPF_LDX | BPF_MEM | BPF_DW) &&
	       restore->src_reg == BPF_REG_10 && save->src_reg == restore->dst_reg &&
	       save->off == off && restore->off == off;
}

/* Registers that a call takes or gives; all: nothing is known of it. */
static u32 used_by(const struct verify *v, const struct bpf_insn *in)
{
	return in->src_reg == BPF_PSEUDO_CALL ? 0x3f : (1u << (verify_call_args(v, in) + 1)) - 1;
}

/* The kernel has instructions in place of the call. */
static bool is_inlined(const struct bpf_insn *in)
{
	return in->src_reg == BPF_PSEUDO_KFUNC_CALL ? in->imm == EKFUNC_CAST_TO_KERN_CTX
						    : in->imm == BPF_FUNC_get_smp_processor_id;
}

static void find_pairs(struct verify *v, struct verify_subprog *s, u32 call, s32 off)
{
	u32 others = 0x3f & ~used_by(v, verify_at(v, call)), n = 0;

	while (n < MAX_SAVES && off < 0 && call - s->start > n && s->end - call > n + 1) {
		u32 save = call - n - 1, restore = call + n + 1;
		u32 reg = verify_at(v, save)->src_reg;

		if (v->insn[save + 1].jump_target || v->insn[restore].jump_target ||
		    !is_pair(verify_at(v, save), verify_at(v, restore), off) ||
		    !(others >> reg & 1))
			break;
		others &= ~(1u << reg);
		v->insn[save].saves = v->insn[restore].saves = true;
		off += (s32)SLOT;
		n++;
	}
	if (!n)
		return;
	s->rest = MAX(s->rest, (u32)-off);
	s->saves |= is_inlined(verify_at(v, call));
	s->keeps |= !is_inlined(verify_at(v, call));
}

static s32 lowest_spill(const struct verify *v, const struct verify_subprog *s)
{
	s32 low = 0;

	for (u32 i = s->start; i < s->end; i++)
		if (is_spill(verify_at(v, i)))
			low = MIN(low, verify_at(v, i)->off);
	return low;
}

void verify_fastcall(struct verify *v)
{
	for (u32 n = 0; n < v->nsubprogs; n++) {
		struct verify_subprog *s = &v->subprog[n];
		s32 low = lowest_spill(v, s);

		for (u32 i = s->start; low && i < s->end; i++)
			if (verify_at(v, i)->code == (BPF_JMP | BPF_CALL))
				find_pairs(v, s, i, low);
	}
}

/* --- during the exploration ------------------------------------------------------------------ */

void verify_fastcall_access(struct verify *v, u32 subprog, u32 bytes)
{
	struct verify_subprog *s = &v->subprog[subprog];

	if (bytes > s->rest && !v->insn[v->insn_idx].saves)
		s->rest = TOUCHED;
}

void verify_fastcall_loop(struct verify *v, u32 callee)
{
	struct verify_insn *info = &v->insn[v->insn_idx];
	const struct ebpf_vreg *flags = verify_reg(v, BPF_REG_4);
	bool plain =
		flags->type == VT_SCALAR && ebpf_scalar_is_const(&flags->val) && !flags->val.umin;

	if (info->loop == LOOP_UNSEEN && plain) {
		info->loop = LOOP_INLINE;
		info->callee = callee;
	} else if (!plain || info->callee != callee) {
		info->loop = LOOP_CALL;
	}
}

/* --- figures --------------------------------------------------------------------------------- */

/* @accepted: only then anything is dropped. */
void verify_fastcall_needed(struct verify *v, bool accepted)
{
	for (u32 i = 0; i < v->nsubprogs; i++) {
		struct verify_subprog *s = &v->subprog[i];

		s->needed = s->stack;
		if (accepted && s->saves && !s->keeps && s->rest != TOUCHED)
			s->needed = s->rest;
	}
}

void verify_fastcall_inlined(struct verify *v)
{
	for (u32 n = 0; n < v->nsubprogs; n++) {
		struct verify_subprog *s = &v->subprog[n];
		bool loop = false, may_goto = false;

		for (u32 i = s->start; i < s->end; i++) {
			loop |= v->insn[i].loop == LOOP_INLINE;
			may_goto |=
				v->insn[i].seen && verify_at(v, i)->code == (BPF_JMP | BPF_JCOND);
		}
		s->needed += (loop ? LOOP_BYTES : 0) + (may_goto ? MAY_GOTO_BYTES : 0);
	}
}
