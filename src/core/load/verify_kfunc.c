/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of kernel functions (kfuncs): iterators, more of dynptrs, sections.
 *
 * Model: they are named by the id of their FUNC in the BTF that stands for the kernel's, fixed by
 * enum ebpf_kfunc; the rows of the same table as the helpers' say what they take. Where a helper
 * and a kfunc want the same, the kernel has other words for each; these are the kfuncs'.
 */
#include <stdio.h>
#include <string.h>

#include "core/load/verify_args.h"
#include "core/load/verify_ctx.h"
#include "core/uapi.h"

/* --- arguments ------------------------------------------------------------------------------- */

static int number_arg(struct verify *v, u32 regno)
{
	if (verify_reg(v, regno)->type == VT_SCALAR)
		return 0;
	return verify_fail(v, EINVAL, "R%d is not a scalar\n", regno);
}

static int dynptr_arg(struct verify *v, struct verify_call *call, u32 regno, u32 arg)
{
	int r;

	if (arg & EARG_UNINIT) /* a clone of the one before */
		return verify_dynptr_arg(v, regno, arg, call->dynptr.dyn, call->dynptr.ref_id);
	r = verify_dynptr_arg(v, regno, arg, 0, 0);
	if (r)
		return r;
	call->dynptr = *verify_dynptr_of(v, regno);
	call->has_dynptr = true;
	return 0;
}

/* A buffer and its length, the next argument: read and written. */
static int buffer_arg(struct verify *v, struct verify_call *call, u32 regno, u32 size_arg)
{
	struct ebpf_vreg *buf = verify_reg(v, regno);
	const struct ebpf_vreg *size = verify_reg(v, regno + 1);
	u16 flags = buf->flags;
	int r;

	if (!verify_is_null(buf)) {
		call->raw.on = false;
		buf->flags &= (u16)~VREG_NULL;
		r = size->type == VT_SCALAR ? verify_size_arg(v, call, regno + 1, false, true)
					    : verify_readable(v, regno + 1);
		r = r ? r : verify_size_arg(v, call, regno + 1, true, true);
		buf->flags = flags;
		if (r) {
			verify_log(
				v,
				"arg#%d arg#%d memory, len pair leads to invalid memory access\n",
				regno - 1, regno);
			return r;
		}
	}
	if (!(size_arg & EARG_CONST))
		return 0;
	if (size->type != VT_SCALAR || !ebpf_scalar_is_const(&size->val))
		return verify_fail(v, EINVAL, "R%d must be a known constant\n", regno + 1);
	call->mem_size = size->val.var_off.value;
	return verify_precise(v, regno + 1);
}

static int ctx_arg(struct verify *v, u32 regno)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	int r = verify_arg_offset(v, reg, regno, false);
	char name[64];

	if (r)
		return r;
	if (reg->type != VT_CTX)
		return verify_fail(v, EINVAL, "arg#%u expected pointer to ctx, but got %s\n",
				   regno - 1, verify_type_name(reg, name));
	if (!ebpf_ctx_kern(v->prog->prog_type))
		return verify_fail(v, EINVAL,
				   "in user space nothing of the kernel's is behind a context of "
				   "this type\n");
	return 0;
}

static int iter_arg(struct verify *v, u32 regno, u32 arg, u32 flags)
{
	if (flags & EPROTO_ITER_NEW)
		return verify_iter_new(v, regno, arg);
	if (flags & EPROTO_ITER_DESTROY)
		return verify_iter_destroy(v, regno, arg);
	return verify_iter_arg(v, regno, arg);
}

static int one_arg(struct verify *v, struct verify_call *call, u32 i)
{
	u32 arg = call->proto->arg[i], regno = BPF_REG_1 + i;
	u32 next = i < 4 ? call->proto->arg[i + 1] : 0;
	int r;

	if ((arg & EARG_KIND) == EARG_SCALAR)
		return number_arg(v, regno);
	if ((arg & EARG_KIND) == EARG_SIZE)
		return 0; /* with the buffer before it */
	r = verify_readable(v, regno);
	if ((arg & EARG_KIND) == EARG_ANY)
		return r; /* any address: reading there can't fault */
	if ((arg & EARG_KIND) == EARG_CTX)
		return r ? r : ctx_arg(v, regno);
	r = r ? r : verify_arg_offset(v, verify_reg(v, regno), regno, false);
	if (r)
		return r;
	switch (arg & EARG_KIND) {
	case EARG_DYNPTR:
		return dynptr_arg(v, call, regno, arg);
	case EARG_ITER_NUM:
	case EARG_ITER_BITS:
		return iter_arg(v, regno, arg, call->proto->flags);
	case EARG_MEM:
		return buffer_arg(v, call, regno, next);
	default:
		return verify_bug(v, "argument %u is of no known kind", regno);
	}
}

static int check_args(struct verify *v, struct verify_call *call)
{
	for (u32 i = 0; i < 5 && (call->proto->arg[i] & EARG_KIND) != EARG_NONE; i++) {
		int r = one_arg(v, call, i);

		if (r)
			return r;
	}
	return 0;
}

/* --- functions of the target ------------------------------------------------------------------ */

/* Memory of the program that a function gets a copy of, and that may be other afterwards. */
static int callee_memory(struct verify *v, const struct ebpf_callee *f, u32 i)
{
	const struct ebpf_callee_value *arg = &f->arg[i];
	const bool result = arg->kind == ECALLEE_RESULT;
	const bool write =
		result || (arg->kind == ECALLEE_ADDRESS && !(arg->flags & ECALLEE_CONST));
	const u32 regno = BPF_REG_1 + i, size = arg->flags & ECALLEE_STRING ? 1 : arg->size;
	struct verify_raw raw = {.on = result};
	int r = 0;

	if (!size)
		return verify_fail(
			v, EACCES,
			"R%u is memory of the program, but how much of it %s takes its type "
			"doesn't say: pass an address in the target\n",
			regno, f->name);
	if (!result)
		r = verify_mem_arg(v, regno, size, false, false, NULL);
	if (!r && write)
		r = verify_mem_arg(v, regno, size, true, false, &raw);
	for (u32 k = 0; !r && raw.regno && k < raw.size; k++)
		r = verify_store_unknown(v, raw.regno, (s32)k, 1);
	return r;
}

/* Of something in the target, as the function takes it: to the checker all of these are numbers. */
static bool is_address(const struct ebpf_vreg *reg)
{
	return reg->type == VT_SCALAR || verify_is_target(reg) ||
	       (reg->type == VT_MEM && (reg->flags & VREG_MAYFAULT));
}

static int callee_arg(struct verify *v, const struct ebpf_callee *f, u32 i)
{
	const u32 regno = BPF_REG_1 + i, kind = f->arg[i].kind;
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	int r = verify_readable(v, regno);

	if (r || (is_address(reg) && kind == ECALLEE_ADDRESS))
		return r;
	if (kind == ECALLEE_NUMBER || kind == ECALLEE_FLOAT)
		return number_arg(v, regno);
	if (!ebpf_callee_copies(reg->type))
		return verify_fail(
			v, EACCES,
			"R%u is neither a number nor memory of the program that %s could "
			"get a copy of\n",
			regno, f->name);
	r = verify_arg_offset(v, reg, regno, false);
	return r ? r : callee_memory(v, f, i);
}

static int callee_call(struct verify *v, const struct ebpf_callee *f)
{
	int r = 0;

	if (verify_locked(v))
		return verify_fail(v, EINVAL,
				   "function calls are not allowed while holding a lock\n");
	for (u32 i = 0; !r && i < ebpf_callee_nargs(f); i++)
		r = callee_arg(v, f, i);
	if (r)
		return r;
	verify_clobber(v);
	verify_reg_unknown(v, verify_reg(v, BPF_REG_0));
	return 0;
}

/* --- sections -------------------------------------------------------------------------------- */

static int rcu(struct verify *v, const struct ebpf_proto *p)
{
	u32 id;

	if (p->section != VREF_RCU)
		return 0;
	if (p->flags & EPROTO_ENTERS) {
		if (verify_held(v, VREF_RCU))
			return verify_fail(v, EINVAL, "nested rcu read lock (kernel function %s)\n",
					   p->name);
		return verify_ref_acquire(v, VREF_RCU, &id);
	}
	if (verify_section_leave(v, VREF_RCU))
		return verify_fail(v, EINVAL, "unmatched rcu read unlock (kernel function %s)\n",
				   p->name);
	return 0;
}

static int preempt(struct verify *v, const struct ebpf_proto *p)
{
	u32 id;

	if (p->section != VREF_PREEMPT)
		return 0;
	if (p->flags & EPROTO_ENTERS)
		return verify_ref_acquire(v, VREF_PREEMPT, &id);
	if (verify_section_leave(v, VREF_PREEMPT))
		return verify_fail(v, EINVAL,
				   "unmatched attempt to enable preemption (kernel function %s)\n",
				   p->name);
	return 0;
}

/* --- the next of an iterator ----------------------------------------------------------------- */

static void element(struct ebpf_vreg *r0, const struct ebpf_proto *p, u32 ref)
{
	verify_reg_pointer(r0, VT_MEM, 0, VREG_RDONLY);
	r0->mem_size = p->fixed;
	r0->ref_id = ref;
}

/*
 * Two ways: another element, walked later and widened so that the loop converges; or none, on this
 * path. One that was drained stays so.
 */
static int iter_next(struct verify *v, const struct verify_call *call, const struct ebpf_vreg *ptr)
{
	u32 n = verify_slot_of(ptr->off + (s32)ptr->val.var_off.value);
	struct ebpf_vreg *iter = &v->cur->frame[ptr->obj]->slots[n].spilled;
	struct ebpf_vstate *more;
	int r;

	if (iter->obj == VITER_ACTIVE) {
		more = verify_push(v, v->insn_idx + 1, v->insn_idx);
		if (!more)
			return -ENOMEM;
		more->frame[ptr->obj]->slots[n].spilled.mem_size++;
		element(ebpf_vreg(more, BPF_REG_0), call->proto, iter->ref_id);
		r = verify_widen(v, more);
		if (r)
			return r;
	}
	iter->obj = VITER_DRAINED;
	verify_reg_const(verify_reg(v, BPF_REG_0), 0);
	return 0;
}

bool verify_is_iter_next(const struct verify *v, const struct bpf_insn *in)
{
	const struct ebpf_proto *p = ebpf_proto_kfunc((u32)in->imm);

	return in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_KFUNC_CALL && p &&
	       (p->flags & EPROTO_ITER_NEXT);
}

/* --- the call -------------------------------------------------------------------------------- */

static int not_served(struct verify *v, const struct bpf_insn *in)
{
	char name[64];

	if (in->off || !verify_kfunc_name(v, in->imm, name, sizeof(name)))
		snprintf(name, sizeof(name), "with BTF id %d", in->imm);
	return verify_fail(v, EINVAL,
			   "calling kernel function %s is not allowed: it does not exist in user "
			   "space\n",
			   name);
}

static int find_kfunc(struct verify *v, const struct bpf_insn *in, struct verify_call *call)
{
	*call = (struct verify_call){.id = (u32)in->imm, .proto = ebpf_proto_kfunc((u32)in->imm)};
	if (!call->proto || in->off)
		return not_served(v, in);
	if (call->proto->session &&
	    !ebpf_ctx_session(v->prog->prog_type, v->prog->expected_attach_type))
		return verify_fail(v, EACCES, "calling kernel function %s is not allowed\n",
				   call->proto->name);
	if (verify_locked(v))
		return verify_fail(v, EINVAL,
				   "function calls are not allowed while holding a lock\n");
	return 0;
}

static int check_slice(struct verify *v, const struct verify_call *call)
{
	if (call->id != EKFUNC_DYNPTR_SLICE_RDWR || ebpf_ctx_packet(v->prog->prog_type, true))
		return 0;
	return verify_fail(v, EINVAL, "the prog does not allow writes to packet data\n");
}

int verify_kfunc_call(struct verify *v, const struct bpf_insn *in)
{
	const struct ebpf_callee *callee = ebpf_vprog_callee(v->prog, in->imm);
	struct ebpf_vreg first;
	struct verify_call call;
	int r;

	if (callee && !in->off)
		return callee_call(v, callee);
	r = find_kfunc(v, in, &call);
	r = r ? r : check_args(v, &call);
	r = r ? r : rcu(v, call.proto);
	r = r ? r : preempt(v, call.proto);
	r = r ? r : check_slice(v, &call);
	if (r)
		return r;
	first = *verify_reg(v, BPF_REG_1);
	verify_clobber(v);
	if (call.proto->flags & EPROTO_ITER_NEXT)
		return iter_next(v, &call, &first);
	return verify_result(v, &call);
}
