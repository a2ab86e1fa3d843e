/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions as their types say: what a global function gets and what may be passed to it, what a
 * program or callback may return.
 *
 * Model: a global function is checked once, from any arguments of its types; a call of it checks
 * that the arguments are such, and knows nothing of what it returned or wrote.
 */
#include "core/load/check_proof.h"
#include "core/load/mutant.h"
#include "core/load/verify_ctx.h"

static int number_in(struct proof_check *c, s32 min, s32 max)
{
	const struct ebpf_vreg *r0 = proof_reg(c, BPF_REG_0);

	if (r0->type != VT_SCALAR)
		return proof_fail(c, "what is returned is not a number");
	if (EBPF_MUTANT(84, r0->val.smin < min || r0->val.smax > max, false))
		return proof_fail(c, "what is returned is not in %d to %d", min, max);
	return 0;
}

int proof_return(struct proof_check *c)
{
	const struct ebpf_vframe *f = ebpf_vframe(&c->p->st);
	s32 min, max;
	int r = proof_readable(c, BPF_REG_0);

	if (r)
		return r;
	if (f->callback || f->async)
		return number_in(c, f->ret_min, f->ret_max);
	if (f->subprog) /* a global function: its callers expect nothing but a number */
		return proof_reg(c, BPF_REG_0)->type == VT_SCALAR
			       ? 0
			       : proof_fail(c, "what is returned is not a number");
	if (!ebpf_ctx_returns(c->prog->prog_type, c->prog->expected_attach_type, &min, &max))
		return 0;
	return number_in(c, min, max);
}
