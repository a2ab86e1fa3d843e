/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What functions get that nobody on the path calls, and what may be returned.
 *
 * Model: a global function is checked once, from any arguments of its types; a callback from any
 * element of a map, any number, any dynptr. What the main program may return depends on its type,
 * and callbacks return 0 or, to go on no more, 1; a timer's 0.
 */
#include "core/load/check_proof.h"
#include "core/load/mutant.h"
#include "core/load/verify_ctx.h"
#include "core/load/verify_proto.h"

/* Any argument that @arg allows: memory of @size bytes, or what is of the map @map. */
static void any(struct proof_check *c, u32 arg, u32 size, const struct ebpf_vreg *map,
		struct ebpf_vreg *r)
{
	switch (arg & EARG_KIND) {
	case EARG_SCALAR:
		return ebpf_vreg_unknown(r);
	case EARG_CTX:
		return ebpf_vreg_pointer(r, VT_CTX, 0, 0);
	case EARG_DYNPTR:
		ebpf_vreg_pointer(r, VT_DYNPTR, 0, VREG_RDONLY);
		r->dyn = VDYN_LOCAL;
		return;
	case EARG_MAP:
		*r = *map;
		return;
	case EARG_MAP_KEY:
	case EARG_MAP_VALUE:
		ebpf_vreg_pointer(r, arg == EARG_MAP_KEY ? VT_MAP_KEY : VT_MAP_VALUE, map->obj,
				  map->flags & VREG_INNER);
		r->uid = map->uid;
		return;
	default:
		ebpf_vreg_pointer(r, VT_MEM, 0, arg & EARG_NULL ? VREG_NULL : 0);
		r->mem_size = EBPF_MUTANT(85, size, size + 1);
		r->id = ++c->next_id;
	}
}

void proof_callback_args(struct proof_check *c, u32 callback, const struct ebpf_vreg *map)
{
	const struct ebpf_vstate *st = &c->p->st;
	const u32 *arg = ebpf_proto_callback(callback);
	struct ebpf_vreg *r = ebpf_vframe(st)->regs + BPF_REG_1;

	for (u32 i = 0; i < 5 && arg[i] != EARG_NONE; i++)
		if (arg[i] == EARG_ANY) /* what it was told to hand on */
			r[i] = st->frame[st->curframe - 1]->regs[BPF_REG_3];
		else
			any(c, arg[i], 0, map, &r[i]);
}

void proof_entry_args(struct proof_check *c, struct ebpf_vframe *f, u32 map)
{
	const struct ebpf_sig *sig = &c->sig[f->subprog];
	const u32 *timers = ebpf_proto_callback(ECB_TIMER);
	struct ebpf_vreg of;

	f->async = map != PROOF_NONE;
	ebpf_vreg_pointer(&of, VT_MAP, map, 0);
	for (u32 i = 0; f->async && i < 5 && timers[i] != EARG_NONE; i++)
		any(c, timers[i], 0, &of, &f->regs[BPF_REG_1 + i]);
	if (f->async)
		return;
	if (!f->subprog)
		return any(c, EARG_CTX, 0, NULL, &f->regs[BPF_REG_1]);
	proof_need(c, !sig->err && sig->global, "a function whose arguments can't be told");
	for (u32 i = 0; i < sig->nargs; i++)
		any(c, sig->arg[i].is, sig->arg[i].size, NULL, &f->regs[BPF_REG_1 + i]);
}

void proof_return(struct proof_check *c)
{
	const struct ebpf_vframe *f = ebpf_vframe(&c->p->st);
	const struct ebpf_vreg *r0 = proof_readable(c, BPF_REG_0);
	const u32 type = c->prog->prog_type, attach = c->prog->expected_attach_type;
	const bool called_back = f->callback || f->async;
	s32 min = 0, max = f->callback;

	if (!called_back && !f->subprog && !ebpf_ctx_returns(type, attach, &min, &max))
		return;
	proof_need(c, r0->type == VT_SCALAR, "what is returned is not a number");
	if (!called_back && f->subprog) /* a global function: its callers expect any number */
		return;
	if (EBPF_MUTANT(84, r0->val.smin < min || r0->val.smax > max, false))
		proof_fail(c, "what is returned is not in %d to %d", min, max);
}
