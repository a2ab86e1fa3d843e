/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program's functions as their BTF says: names, which are global, what these take.
 *
 * Model: the types are read once, before exploration, into each subprogram's signature. A global
 * function is entered with the most its arguments may be; a call of it must give no more. A static
 * one is walked with what it gets, its types are not looked at.
 */
#include <string.h>

#include "core/load/mutant.h"
#include "core/load/verify_args.h"
#include "core/load/verify_btf.h"
#include "core/load/verify_mem.h"
#include "core/load/verify_proto.h"
#include "core/uapi.h"

/* --- signatures ------------------------------------------------------------------------------ */

static int without_types(struct verify *v)
{
	for (u32 i = 1; i < v->nsubprogs; i++) {
		if (v->subprog[i].has_ld_abs)
			return verify_fail(v, EINVAL,
					   "LD_ABS is not allowed in subprogs without BTF\n");
		if (v->subprog[i].has_tail_call)
			return verify_fail(v, EINVAL,
					   "tail_call is not allowed in subprogs without BTF\n");
	}
	return 0;
}

static int set_type(struct verify *v, const struct ebpf_btf *b, u32 i)
{
	const struct bpf_func_info *info = &v->prog->funcs[i];
	struct verify_subprog *s = &v->subprog[i];

	if (s->start != info->insn_off)
		return verify_fail(v, EINVAL,
				   "func_info BTF section doesn't match subprog layout in BPF "
				   "program\n");
	if (ebpf_btf_sig(b, info->type_id, v->prog->prog_type, &s->sig))
		return verify_fail(v, EINVAL, "invalid type id %d in func info", info->type_id);
	s->func_type = info->type_id;
	s->name = s->sig.name;
	s->global = i && s->sig.global;
	if (i && s->has_ld_abs && !s->sig.int_result)
		return verify_fail(v, EINVAL,
				   "LD_ABS is only allowed in functions that return 'int'.\n");
	if (i && s->has_tail_call && !s->sig.int_result)
		return verify_fail(v, EINVAL,
				   "tail_call is only allowed in functions that return 'int'.\n");
	return 0;
}

/*
 * The main program may name the function that exceptions end in. Nothing throws here; what is left
 * is that nobody may call it.
 */
static int exception_callback(struct verify *v, const struct ebpf_btf *b)
{
	const char *name = NULL;
	u32 n = ebpf_btf_tags(b, v->subprog[0].func_type, "exception_callback:", &name);
	u32 i = 1;

	if (!n)
		return 0;
	if (EBPF_MUTANT(126, n > 1, false))
		return verify_fail(v, EEXIST,
				   "multiple exception callback tags for main subprog\n");
	while (i < v->nsubprogs && strcmp(v->subprog[i].name, name))
		i++;
	if (i == v->nsubprogs)
		return verify_fail(v, EINVAL,
				   "exception callback type id not found in func_info\n");
	if (!v->subprog[i].global)
		return verify_fail(v, EINVAL, "exception callback '%s' must have global linkage\n",
				   v->subprog[i].name);
	v->subprog[i].exception = true;
	return 0;
}

int verify_btf_subprogs(struct verify *v)
{
	struct ebpf_btf b;
	int r;

	verify_note_calls(v);
	if (!v->prog->funcs || !v->prog->nfuncs)
		return without_types(v);
	if (v->prog->nfuncs != v->nsubprogs)
		return verify_fail(v, EINVAL,
				   "number of funcs in func_info doesn't match number of "
				   "subprogs\n");
	r = ebpf_btf_open(&b, &v->prog->btf);
	if (r)
		return r == -ENOMEM ? r : verify_fail(v, EINVAL, "the program's BTF is damaged\n");
	for (u32 i = 0; !r && i < v->nsubprogs; i++)
		r = set_type(v, &b, i);
	r = r ? r : exception_callback(v, &b);
	ebpf_btf_close(&b);
	return r;
}

static int usable(struct verify *v, const struct ebpf_sig *sig)
{
	return sig->err ? verify_fail(v, -sig->err, "%s", sig->why) : 0;
}

/* --- calls ----------------------------------------------------------------------------------- */

/* Readable and writable memory of the size the type says, or NULL where that will do. */
static int mem_arg(struct verify *v, u32 regno, u32 size, bool null)
{
	struct ebpf_vreg *reg = verify_reg(v, regno);
	u16 flags = reg->flags;
	int r;

	if (!verify_is_null(reg)) {
		reg->flags &= (u16)~VREG_NULL;
		r = verify_mem_region(v, regno, size, false, true);
		r = r ? r : verify_mem_region(v, regno, size, true, true);
		reg->flags = flags;
		if (r)
			return r == -ENOMEM ? r : -EINVAL;
	}
	if (!null && ((flags & VREG_NULL) || verify_is_null(reg)))
		return verify_fail(v, EINVAL, "arg#%d is expected to be non-NULL\n", regno - 1);
	return 0;
}

static int ctx_arg(struct verify *v, u32 regno)
{
	if (verify_reg(v, regno)->type == VT_CTX)
		return 0;
	return verify_fail(v, EINVAL, "arg#%d expects pointer to ctx\n", regno - 1);
}

static int global_arg(struct verify *v, const struct ebpf_sig *sig, u32 i)
{
	u32 regno = BPF_REG_1 + i;
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	int r = 0;

	if (sig->arg[i].is == EARG_SCALAR) {
		if (reg->type == VT_SCALAR)
			return 0;
		return verify_fail(v, EINVAL, "R%d is not a scalar\n", regno);
	}
	if (!verify_moves_freely(reg))
		r = verify_unmoved(v, reg, regno, false);
	if (r)
		return r;
	switch (sig->arg[i].is & EARG_KIND) {
	case EARG_CTX:
		return ctx_arg(v, regno);
	case EARG_DYNPTR:
		return verify_dynptr_arg(v, regno, EARG_DYNPTR | EARG_RDONLY, 0, 0);
	default:
		return mem_arg(v, regno, sig->arg[i].size, sig->arg[i].is & EARG_NULL);
	}
}

/* Nothing that a program holds here is one. */
static int kernel_arg(struct verify *v, u32 regno)
{
	char name[64];

	return verify_fail(v, EACCES, "R%d type=%s expected=ptr_, trusted_ptr_, rcu_ptr_\n", regno,
			   verify_type_name(verify_reg(v, regno), name));
}

int verify_global_args(struct verify *v, u32 subprog)
{
	const struct ebpf_sig *sig = &v->subprog[subprog].sig;
	u32 known = sig->kernel_arg ? sig->kernel_arg - 1 : sig->nargs;
	int r = sig->kernel_arg ? 0 : usable(v, sig);

	for (u32 i = 0; !r && i < known; i++)
		r = global_arg(v, sig, i);
	return r || !sig->kernel_arg ? r : kernel_arg(v, sig->kernel_arg);
}

/* --- entries --------------------------------------------------------------------------------- */

static void entry_arg(struct verify *v, const struct ebpf_sig *sig, u32 i, struct ebpf_vreg *reg)
{
	switch (sig->arg[i].is & EARG_KIND) {
	case EARG_SCALAR:
		verify_reg_unknown(v, reg);
		break;
	case EARG_CTX:
		verify_reg_pointer(reg, VT_CTX, 0, 0);
		break;
	case EARG_DYNPTR:
		verify_reg_pointer(reg, VT_DYNPTR, 0, VREG_RDONLY);
		reg->dyn = VDYN_LOCAL;
		break;
	default:
		verify_reg_pointer(reg, VT_MEM, 0, sig->arg[i].is & EARG_NULL ? VREG_NULL : 0);
		reg->mem_size = sig->arg[i].size;
		reg->id = verify_new_id(v);
	}
}

int verify_entry_args(struct verify *v, u32 subprog, struct ebpf_vframe *frame)
{
	const struct ebpf_sig *sig = &v->subprog[subprog].sig;
	int r = subprog ? usable(v, sig) : 0;

	if (r)
		return r;
	if (!subprog) {
		verify_reg_pointer(&frame->regs[BPF_REG_1], VT_CTX, 0, 0);
		return 0;
	}
	for (u32 i = 0; i < sig->nargs; i++)
		entry_arg(v, sig, i, &frame->regs[BPF_REG_1 + i]);
	return 0;
}
