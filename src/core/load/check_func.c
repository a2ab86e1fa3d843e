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
#include "core/load/verify_btf.h"
#include "core/load/verify_ctx.h"

/* --- what types say -------------------------------------------------------------------------- */

int proof_types(struct proof_check *c)
{
	const struct ebpf_vprog *prog = c->prog;
	struct ebpf_btf b;
	int r;

	if (!prog->funcs || prog->nfuncs != c->nsubprogs)
		return prog->nfuncs ? proof_fail(c, "types that are not the functions'") : 0;
	r = ebpf_btf_open(&b, &prog->btf);
	if (r)
		return r == -ENOMEM ? r : proof_fail(c, "types that can't be read");
	for (u32 i = 1; !r && i < c->nsubprogs; i++) {
		struct ebpf_sig *sig = &c->subprog[i].sig;

		if (ebpf_btf_sig(&b, prog->funcs[i].type_id, prog->prog_type, sig))
			r = proof_fail(c, "a function without a type");
		c->subprog[i].global = sig->global;
	}
	ebpf_btf_close(&b);
	return r;
}

static void entry_arg(struct proof_check *c, const struct ebpf_sig *sig, u32 i, struct ebpf_vreg *r)
{
	switch (sig->arg[i].kind) {
	case ESIG_SCALAR:
		proof_unknown(r);
		break;
	case ESIG_CTX:
		proof_pointer(r, VT_CTX, 0, 0);
		break;
	case ESIG_DYNPTR:
		proof_pointer(r, VT_DYNPTR, 0, VREG_RDONLY);
		r->dyn = VDYN_LOCAL;
		break;
	default:
		proof_pointer(r, VT_MEM, 0, sig->arg[i].null ? VREG_NULL : 0);
		r->mem_size = EBPF_MUTANT(85, sig->arg[i].size, sig->arg[i].size + 1);
		r->id = ++c->next_id;
	}
}

int proof_entry_args(struct proof_check *c, u32 subprog, struct ebpf_vframe *f)
{
	const struct ebpf_sig *sig = &c->subprog[subprog].sig;

	if (!subprog) {
		proof_pointer(&f->regs[BPF_REG_1], VT_CTX, 0, 0);
		return 0;
	}
	if (sig->err || !sig->global)
		return proof_fail(c, "a function whose arguments can't be told");
	for (u32 i = 0; i < sig->nargs; i++)
		entry_arg(c, sig, i, &f->regs[BPF_REG_1 + i]);
	return 0;
}

/* --- calls of global functions --------------------------------------------------------------- */

static int mem_arg(struct proof_check *c, u32 regno, u32 size, bool null)
{
	struct ebpf_vreg *r = proof_reg(c, regno);
	u16 flags = r->flags;
	struct proof_span span;
	int e;

	if (r->type == VT_SCALAR && null && ebpf_scalar_is_const(&r->val) && !r->val.umin)
		return 0;
	if (null)
		r->flags &= (u16)~VREG_NULL;
	e = proof_access(c, regno, 0, size, false, &span);
	e = e ? e : proof_access(c, regno, 0, size, true, &span);
	r->flags = flags;
	if (e || r->type != VT_STACK)
		return e;
	return proof_stack_arg(c, r->obj, &span, true);
}

static int global_arg(struct proof_check *c, const struct ebpf_sig *sig, u32 i)
{
	u32 regno = BPF_REG_1 + i;
	const struct ebpf_vreg *r = proof_reg(c, regno);
	struct ebpf_vreg dynptr;
	int e = proof_readable(c, regno);

	if (e)
		return e;
	switch (sig->arg[i].kind) {
	case ESIG_SCALAR:
		return r->type == VT_SCALAR ? 0 : proof_fail(c, "R%u is not a number", regno);
	case ESIG_CTX:
		if (r->type != VT_CTX || r->off || !ebpf_scalar_is_const(&r->val) || r->val.umin)
			return proof_fail(c, "R%u is not the context", regno);
		c->facts->insn[c->p->pc] |= EBPF_FACT_CTX_ESCAPES;
		return 0;
	case ESIG_DYNPTR:
		return proof_dynptr(c, regno, &dynptr);
	default:
		return mem_arg(c, regno, sig->arg[i].size, sig->arg[i].null);
	}
}

int proof_global_call(struct proof_check *c, u32 subprog)
{
	const struct ebpf_sig *sig = &c->subprog[subprog].sig;
	int e = sig->err ? proof_fail(c, "a function whose arguments can't be told") : 0;

	if (proof_held_lock(c))
		return proof_fail(c, "a call while a lock is held");
	for (u32 i = 0; !e && i < sig->nargs; i++)
		e = global_arg(c, sig, i);
	e = e ? e : proof_entry(c, subprog);
	if (e)
		return e;
	proof_forget_packets(c);
	proof_clobber(c);
	proof_unknown(proof_reg(c, BPF_REG_0));
	c->p->pc++;
	return 0;
}

/* --- what is returned ------------------------------------------------------------------------ */

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
