/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A second opinion on a plan: capstone decodes the instruction where it is and its copy where a
 * slot could be. Lengths must agree and an ip-relative operand must name the same address. What
 * capstone does not know (much of AVX-512, newer extensions) it has no opinion on.
 */
#include "probe_priv.h"

#include <capstone/capstone.h>

#define AWAY 0x1234567 /* of the slot that is tried */

struct opinion {
	bool decodes, ip_relative;
	u32 len;
	u64 address;
};

static void operand_address(const cs_insn *insn, struct opinion *out)
{
	const cs_x86 *x = &insn->detail->x86;

	for (int i = 0; i < x->op_count; i++) {
		if (x->operands[i].type != X86_OP_MEM || x->operands[i].mem.base != X86_REG_RIP)
			continue;
		out->ip_relative = true;
		out->address = insn->address + insn->size + (u64)x->operands[i].mem.disp;
	}
}

static struct opinion ask(csh handle, const u8 *code, size_t len, u64 addr)
{
	struct opinion out = {0};
	cs_insn *insn;

	if (cs_disasm(handle, code, len, addr, 1, &insn) != 1)
		return out;
	out.decodes = true;
	out.len = insn->size;
	operand_address(insn, &out);
	cs_free(insn, 1);
	return out;
}

static u64 slot_to_try(const struct arch_patch *p)
{
	u64 lo, hi, at = p->addr + AWAY;

	arch_patch_slot_range(p, &lo, &hi);
	return at < lo ? lo : at > hi ? hi : at;
}

static bool agrees(csh handle, const struct arch_patch *p)
{
	struct opinion here = ask(handle, p->insn, p->len, p->addr), there;
	struct arch_patch trial = *p;

	if (!here.decodes)
		return true;
	if (here.len != p->len)
		return false;
	if (!arch_patch_needs_slot(p))
		return true;
	if (arch_patch_relocate(&trial, slot_to_try(p)))
		return false;
	there = ask(handle, trial.slot_bytes, p->len, trial.slot);
	return there.decodes && there.len == here.len && there.ip_relative == here.ip_relative &&
	       there.address == here.address;
}

bool probe_crosscheck(const struct arch_patch *p)
{
	bool ok;
	csh handle;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle))
		return true;
	cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
	ok = agrees(handle, p);
	cs_close(&handle);
	return ok;
}
