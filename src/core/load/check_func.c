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

static bool read_types(struct proof_check *c, const struct ebpf_btf *b)
{
	for (u32 i = 1; i < c->nsubprogs; i++)
		if (ebpf_btf_sig(b, c->prog->funcs[i].type_id, c->prog->prog_type,
				 &c->subprog[i].sig))
			return false;
	return true;
}

void proof_types(struct proof_check *c)
{
	const struct ebpf_vprog *prog = c->prog;
	struct ebpf_btf b;
	bool ok;
	int r;

	if (!prog->nfuncs)
		return;
	proof_need(c, prog->funcs && prog->nfuncs == c->nsubprogs,
		   "types that are not the functions'");
	r = ebpf_btf_open(&b, &prog->btf);
	proof_got(c, r != -ENOMEM);
	proof_need(c, !r, "types that can't be read");
	ok = read_types(c, &b);
	ebpf_btf_close(&b);
	proof_need(c, ok, "a function without a type");
}

void proof_any_arg(struct proof_check *c, u32 arg, u32 size, struct ebpf_vreg *r)
{
	switch (arg & EARG_KIND) {
	case EARG_SCALAR:
		ebpf_vreg_unknown(r);
		break;
	case EARG_CTX:
		ebpf_vreg_pointer(r, VT_CTX, 0, 0);
		break;
	case EARG_DYNPTR:
		ebpf_vreg_pointer(r, VT_DYNPTR, 0, VREG_RDONLY);
		r->dyn = VDYN_LOCAL;
		break;
	default:
		ebpf_vreg_pointer(r, VT_MEM, 0, arg & EARG_NULL ? VREG_NULL : 0);
		r->mem_size = EBPF_MUTANT(85, size, size + 1);
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

void proof_entry_args(struct proof_check *c, struct ebpf_vframe *f, u32 map)
{
	const struct ebpf_sig *sig = &c->subprog[f->subprog].sig;
	struct ebpf_vreg timers;

	if (map != PROOF_NONE) { /* a timer's: it returns 0 */
		f->async = true;
		ebpf_vreg_pointer(&timers, VT_MAP, map, 0);
		return proof_value_args(f, &timers);
	}
	if (!f->subprog)
		return ebpf_vreg_pointer(&f->regs[BPF_REG_1], VT_CTX, 0, 0);
	proof_need(c, !sig->err && sig->global, "a function whose arguments can't be told");
	for (u32 i = 0; i < sig->nargs; i++)
		proof_any_arg(c, sig->arg[i].is, sig->arg[i].size, &f->regs[BPF_REG_1 + i]);
}

/* --- calls of global functions --------------------------------------------------------------- */

void proof_global_call(struct proof_check *c, u32 subprog)
{
	const struct ebpf_sig *sig = &c->subprog[subprog].sig;

	proof_need(c, !sig->err, "a function whose arguments can't be told");
	proof_need(c, !proof_locked(c), "a call while a lock is held");
	for (u32 i = 0; i < sig->nargs; i++) {
		struct proof_args a = {.fixed = sig->arg[i].size};

		proof_arg(c, BPF_REG_1 + i, sig->arg[i].is, &a);
	}
	proof_entry(c, subprog, PROOF_NONE);
	proof_forget_packets(c);
	proof_clobber(c);
	ebpf_vreg_unknown(proof_reg(c, BPF_REG_0));
	c->p->pc++;
}

/* --- what is returned ------------------------------------------------------------------------ */

void proof_return(struct proof_check *c)
{
	const struct ebpf_vframe *f = ebpf_vframe(&c->p->st);
	const struct ebpf_vreg *r0 = proof_readable(c, BPF_REG_0);
	bool called_back = f->callback || f->async;
	s32 min = f->ret_min, max = f->ret_max;

	if (!called_back && !f->subprog &&
	    !ebpf_ctx_returns(c->prog->prog_type, c->prog->expected_attach_type, &min, &max))
		return;
	proof_need(c, r0->type == VT_SCALAR, "what is returned is not a number");
	if (!called_back && f->subprog) /* a global function: its callers expect any number */
		return;
	if (EBPF_MUTANT(84, r0->val.smin < min || r0->val.smax > max, false))
		proof_fail(c, "what is returned is not in %d to %d", min, max);
}
