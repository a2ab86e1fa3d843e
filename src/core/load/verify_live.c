/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which registers are read before they are written, at each instruction.
 *
 * Model: the classic backward data flow inside each function, to its least fixed point. A call
 * reads its arguments and overwrites R0 to R5. Subprograms get all five arguments. Frames of
 * callers hold what is live after the call, or before it for one that calls back, since the
 * callback returns to the call itself.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "core/load/mutant.h"
#include "core/load/verify_node.h"

#define CALLER_SAVED 0x3fu /* R0-R5 */

struct effect {
	u16 use, def;
};

static struct effect alu_effect(const struct bpf_insn *in)
{
	struct effect e = {.def = (u16)(1u << in->dst_reg)};
	u8 op = BPF_OP(in->code);

	if (op != BPF_MOV)
		e.use |= (u16)(1u << in->dst_reg);
	if (op != BPF_END && BPF_SRC(in->code) == BPF_X)
		e.use |= (u16)(1u << in->src_reg);
	return e;
}

static struct effect atomic_effect(const struct bpf_insn *in)
{
	struct effect e = {.use = (u16)(1u << in->dst_reg | 1u << in->src_reg)};

	if (in->imm == BPF_CMPXCHG) {
		e.use |= 1;
		e.def = 1;
	} else if (in->imm == 0x100) { /* load-acquire: from src, into dst */
		e.use = (u16)(1u << in->src_reg);
		e.def = (u16)(1u << in->dst_reg);
	} else if (in->imm & BPF_FETCH) {
		e.def = (u16)(1u << in->src_reg);
	}
	return e;
}

static struct effect call_effect(const struct verify *v, const struct bpf_insn *in)
{
	u32 n = in->src_reg == BPF_PSEUDO_CALL ? 5 : verify_call_args(v, in);

	return (struct effect){.use = (u16)(((1u << n) - 1) << 1), .def = CALLER_SAVED};
}

static struct effect jmp_effect(const struct verify *v, const struct bpf_insn *in)
{
	struct effect e = {0};

	switch (BPF_OP(in->code)) {
	case BPF_JA:
	case BPF_JCOND:
		return e;
	case BPF_EXIT:
		e.use = 1;
		return e;
	case BPF_CALL:
		return call_effect(v, in);
	default:
		e.use = (u16)(1u << in->dst_reg);
		if (BPF_SRC(in->code) == BPF_X)
			e.use |= (u16)(1u << in->src_reg);
		return e;
	}
}

static struct effect ld_effect(const struct bpf_insn *in)
{
	struct effect e = {.def = (u16)(1u << in->dst_reg)};

	if (BPF_MODE(in->code) == BPF_ABS || BPF_MODE(in->code) == BPF_IND) {
		e.use = 1u << 6;
		if (BPF_MODE(in->code) == BPF_IND)
			e.use |= (u16)(1u << in->src_reg);
		e.def = CALLER_SAVED;
	}
	return e;
}

static struct effect effect_of(const struct verify *v, const struct bpf_insn *in)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		return alu_effect(in);
	case BPF_LDX:
		return (struct effect){(u16)(1u << in->src_reg), (u16)(1u << in->dst_reg)};
	case BPF_LD:
		return ld_effect(in);
	case BPF_ST:
		return (struct effect){.use = (u16)(1u << in->dst_reg)};
	case BPF_STX:
		if (BPF_MODE(in->code) == BPF_ATOMIC)
			return atomic_effect(in);
		return (struct effect){.use = (u16)(1u << in->dst_reg | 1u << in->src_reg)};
	default:
		return jmp_effect(v, in);
	}
}

static u16 live_at(const struct verify *v, s64 i)
{
	return i >= 0 && i < v->prog->ninsns ? v->insn[i].live : 0;
}

static u16 live_after(const struct verify *v, u32 i)
{
	const struct bpf_insn *in = verify_at(v, i);
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);

	if (in->code == (BPF_LD | BPF_IMM | BPF_DW))
		return live_at(v, (s64)i + 2);
	if ((class != BPF_JMP && class != BPF_JMP32) || op == BPF_CALL)
		return live_at(v, (s64)i + 1);
	if (op == BPF_EXIT)
		return 0;
	if (op == BPF_JA)
		return live_at(v, (s64)i + 1 + (class == BPF_JMP ? in->off : in->imm));
	return live_at(v, (s64)i + 1) | live_at(v, (s64)i + 1 + in->off);
}

static bool flow_back(struct verify *v, const struct effect *effects)
{
	bool changed = false;
	u32 i;

	for (i = v->prog->ninsns; i-- > 0;) {
		u16 live = effects[i].use | (live_after(v, i) & (u16)~effects[i].def);

		if (live != v->insn[i].live) {
			v->insn[i].live = live;
			changed = true;
		}
	}
	return changed;
}

int verify_liveness(struct verify *v)
{
	_cleanup_free_ struct effect *effects = calloc(v->prog->ninsns, sizeof(*effects));
	u32 i;

	if (!effects)
		return -ENOMEM;
	for (i = 0; i < v->prog->ninsns; i++) {
		effects[i] = effect_of(v, verify_at(v, i));
		if (verify_at(v, i)->code == (BPF_LD | BPF_IMM | BPF_DW))
			i++;
	}
	while (flow_back(v, effects))
		;
	return 0;
}

u16 verify_live_regs(const struct verify *v, const struct ebpf_vstate *st, u32 i, u32 insn)
{
	const struct ebpf_vframe *callee;

	if (i == st->curframe)
		return v->insn[insn].live | 1u << 10;
	callee = st->frame[i + 1];
	if (callee->callback)
		return v->insn[callee->callsite].live | 1u << 10;
	return (u16)EBPF_MUTANT(101, live_after(v, callee->callsite) & ~CALLER_SAVED, 0) | 1u << 10;
}
