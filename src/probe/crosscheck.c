/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A second opinion on a plan: capstone decodes the instruction where it is and its copy where a
 * slot could be. It must know the instruction, lengths must agree, and the copy must have the same
 * operands and name the same address. Neither decoder is trusted alone: capstone gets some lengths
 * wrong and knows less of AVX-512 than CPUs do, and what both know is enough to probe any function.
 */
#include "probe_priv.h"

#include <capstone/capstone.h>

#include "base/cleanup.h"

#define AWAY 0x1234567 /* of the slot that is tried */

static void free_insn(cs_insn **insn)
{
	if (*insn)
		cs_free(*insn, 1);
}

static cs_insn *ask(csh handle, const u8 *code, size_t len, u64 addr)
{
	cs_insn *insn;

	return cs_disasm(handle, code, len, addr, 1, &insn) == 1 ? insn : NULL;
}

/* What an operand relative to the instruction pointer points to is what counts. */
static s64 displacement(const cs_insn *insn, const x86_op_mem *m)
{
	return m->base == X86_REG_RIP ? (s64)insn->address + insn->size + m->disp : m->disp;
}

static bool same_memory(const cs_insn *a, const x86_op_mem *m, const cs_insn *b,
			const x86_op_mem *n)
{
	return m->segment == n->segment && m->base == n->base && m->index == n->index &&
	       m->scale == n->scale && displacement(a, m) == displacement(b, n);
}

static bool same_operand(const cs_insn *a, const cs_x86_op *x, const cs_insn *b, const cs_x86_op *y)
{
	if (x->type != y->type || x->size != y->size)
		return false;
	switch (x->type) {
	case X86_OP_REG:
		return x->reg == y->reg;
	case X86_OP_IMM:
		return x->imm == y->imm;
	case X86_OP_MEM:
		return same_memory(a, &x->mem, b, &y->mem);
	default:
		return true;
	}
}

static bool same_instruction(const cs_insn *a, const cs_insn *b)
{
	const cs_x86 *x = &a->detail->x86, *y = &b->detail->x86;

	if (a->size != b->size || a->id != b->id || x->op_count != y->op_count)
		return false;
	for (int i = 0; i < x->op_count; i++)
		if (!same_operand(a, &x->operands[i], b, &y->operands[i]))
			return false;
	return true;
}

static u64 slot_to_try(const struct arch_patch *p)
{
	u64 lo, hi, at = p->addr + AWAY;

	arch_patch_slot_range(p, &lo, &hi);
	return at < lo ? lo : at > hi ? hi : at;
}

static const char *compare(csh handle, const struct arch_patch *p)
{
	_cleanup_(free_insn) cs_insn *here = ask(handle, p->insn, p->len, p->addr), *there = NULL;
	struct arch_patch trial = *p;

	if (!here)
		return "only one of two decoders knows the instruction";
	if (here->size != p->len)
		return "two decoders disagree about the instruction";
	if (!arch_patch_needs_slot(p))
		return NULL;
	if (!arch_patch_relocate(&trial, slot_to_try(p)))
		there = ask(handle, trial.slot_bytes, p->len, trial.slot);
	return there && same_instruction(here, there)
		       ? NULL
		       : "elsewhere it would not be the same instruction";
}

const char *probe_crosscheck(const struct arch_patch *p)
{
	const char *why;
	csh handle;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle))
		return "there is no second decoder to ask";
	cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
	why = compare(handle, p);
	cs_close(&handle);
	return why;
}

/* --- the stack pointer --- */

static bool is_stack_pointer(u16 reg)
{
	return reg == X86_REG_RSP || reg == X86_REG_ESP || reg == X86_REG_SP || reg == X86_REG_SPL;
}

/* It comes back from a call as it was, but what is called may begin right here. */
static bool may_move_stack(csh handle, const cs_insn *insn)
{
	cs_regs read, written;
	u8 nread, nwritten;

	if (cs_insn_group(handle, insn, CS_GRP_CALL) || cs_insn_group(handle, insn, CS_GRP_RET) ||
	    cs_insn_group(handle, insn, CS_GRP_INT) || cs_insn_group(handle, insn, CS_GRP_IRET) ||
	    insn->id == X86_INS_ENTER || /* capstone 4 doesn't know what it writes */
	    cs_regs_access(handle, insn, read, &nread, written, &nwritten) != CS_ERR_OK)
		return true;
	for (u32 i = 0; i < nwritten; i++)
		if (is_stack_pointer(written[i]))
			return true;
	return false;
}

bool probe_leaves_stack(const u8 *code, size_t len)
{
	bool leaves = true;
	csh handle;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle))
		return false;
	cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
	while (leaves && len) {
		_cleanup_(free_insn) cs_insn *insn = ask(handle, code, len, 0);

		leaves = insn && arch_insn_len(code, len) == insn->size &&
			 !may_move_stack(handle, insn);
		code += leaves ? insn->size : 0;
		len -= leaves ? insn->size : 0;
	}
	cs_close(&handle);
	return leaves;
}

/* NULL when each instruction ends where our own decoder says, and the last one at @len. */
static const char *compare_run(csh handle, const u8 *code, size_t len, u64 addr)
{
	for (size_t at = 0; at < len;) {
		_cleanup_(free_insn) cs_insn *insn = ask(handle, code + at, len - at, addr + at);

		if (!insn || insn->size != arch_insn_len(code + at, len - at))
			return "the two decoders disagree about what follows the instruction";
		at += insn->size;
	}
	return NULL;
}

const char *probe_crosscheck_run(const u8 *code, size_t len, u64 addr)
{
	const char *why;
	csh handle;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle))
		return "there is no second decoder to ask";
	why = compare_run(handle, code, len, addr);
	cs_close(&handle);
	return why;
}
