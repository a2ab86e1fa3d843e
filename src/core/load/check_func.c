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
#include "core/load/verify_proto.h"

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
	}
	ebpf_btf_close(&b);
	return r;
}

static void entry_arg(struct proof_check *c, const struct ebpf_sig *sig, u32 i, struct ebpf_vreg *r)
{
	switch (sig->arg[i].kind) {
	case ESIG_SCALAR:
		ebpf_vreg_unknown(r);
		break;
	case ESIG_CTX:
		ebpf_vreg_pointer(r, VT_CTX, 0, 0);
		break;
	case ESIG_DYNPTR:
		ebpf_vreg_pointer(r, VT_DYNPTR, 0, VREG_RDONLY);
		r->dyn = VDYN_LOCAL;
		break;
	default:
		ebpf_vreg_pointer(r, VT_MEM, 0, sig->arg[i].null ? VREG_NULL : 0);
		r->mem_size = EBPF_MUTANT(85, sig->arg[i].size, sig->arg[i].size + 1);
		r->id = ++c->next_id;
	}
}

void proof_value_args(struct ebpf_vframe *f, const struct ebpf_vreg *map)
{
	struct ebpf_vreg *r = f->regs;

	r[BPF_REG_1] = *map;
	ebpf_vreg_pointer(&r[BPF_REG_2], VT_MAP_KEY, map->obj, map->flags & VREG_INNER);
	ebpf_vreg_pointer(&r[BPF_REG_3], VT_MAP_VALUE, map->obj, map->flags & VREG_INNER);
	r[BPF_REG_2].uid = r[BPF_REG_3].uid = map->uid;
}

int proof_entry_args(struct proof_check *c, const struct proof_entry *e, struct ebpf_vframe *f)
{
	const struct ebpf_sig *sig = &c->subprog[e->subprog].sig;
	struct ebpf_vreg map;

	if (e->map != PROOF_NONE) { /* a timer's: it returns 0 */
		f->async = true;
		ebpf_vreg_pointer(&map, VT_MAP, e->map, 0);
		proof_value_args(f, &map);
		return 0;
	}
	if (!e->subprog) {
		ebpf_vreg_pointer(&f->regs[BPF_REG_1], VT_CTX, 0, 0);
		return 0;
	}
	if (sig->err || !sig->global)
		return proof_fail(c, "a function whose arguments can't be told");
	for (u32 i = 0; i < sig->nargs; i++)
		entry_arg(c, sig, i, &f->regs[BPF_REG_1 + i]);
	return 0;
}

/* --- calls of global functions --------------------------------------------------------------- */

/* What the caller has to pass, as an argument of a helper. */
static u32 arg_of(const struct ebpf_sig *sig, u32 i)
{
	switch (sig->arg[i].kind) {
	case ESIG_SCALAR:
		return EARG_SCALAR;
	case ESIG_CTX:
		return EARG_CTX;
	case ESIG_DYNPTR:
		return EARG_DYNPTR | EARG_RDONLY;
	default:
		return EARG_MEM | EARG_FIXED | EARG_WRITE | (sig->arg[i].null ? EARG_NULL : 0);
	}
}

int proof_global_call(struct proof_check *c, u32 subprog)
{
	const struct ebpf_sig *sig = &c->subprog[subprog].sig;
	int e = sig->err ? proof_fail(c, "a function whose arguments can't be told") : 0;

	if (proof_locked(c))
		return proof_fail(c, "a call while a lock is held");
	for (u32 i = 0; !e && i < sig->nargs; i++) {
		struct proof_args a = {.fixed = sig->arg[i].size};

		e = proof_arg(c, BPF_REG_1 + i, arg_of(sig, i), &a);
	}
	e = e ? e : proof_entry(c, subprog, PROOF_NONE);
	if (e)
		return e;
	proof_forget_packets(c);
	proof_clobber(c);
	ebpf_vreg_unknown(proof_reg(c, BPF_REG_0));
	c->p->pc++;
	return 0;
}

/* --- what is returned ------------------------------------------------------------------------ */

int proof_return(struct proof_check *c)
{
	const struct ebpf_vframe *f = ebpf_vframe(&c->p->st);
	const struct ebpf_vreg *r0 = proof_reg(c, BPF_REG_0);
	bool called_back = f->callback || f->async;
	s32 min = f->ret_min, max = f->ret_max;
	int r = proof_readable(c, BPF_REG_0);

	if (r)
		return r;
	if (!called_back && !f->subprog &&
	    !ebpf_ctx_returns(c->prog->prog_type, c->prog->expected_attach_type, &min, &max))
		return 0;
	if (r0->type != VT_SCALAR)
		return proof_fail(c, "what is returned is not a number");
	if (!called_back && f->subprog) /* a global function: its callers expect any number */
		return 0;
	if (EBPF_MUTANT(84, r0->val.smin < min || r0->val.smax > max, false))
		return proof_fail(c, "what is returned is not in %d to %d", min, max);
	return 0;
}
