/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of helpers: which may be called, with what, and what is known afterwards.
 *
 * Model: the row of the table (verify_proto.h) says what the arguments must be; here is what a few
 * helpers need besides, and in which order things happen, which is the order of the kernel's
 * messages: right to call, arguments, the map, what is written, what is released, the callback, the
 * result.
 */
#include "core/load/check.h"
#include "core/load/verify_args.h"
#include "core/run/format.h"
#include "core/uapi.h"

#define ENOTSUPP 524 /* the kernel's own */

/* --- may it be called ------------------------------------------------------------------------ */

static int check_sleep(struct verify *v, const struct verify_call *call)
{
	const char *region = NULL;

	if (!(call->proto->flags & EPROTO_SLEEPS))
		return 0;
	if (!(v->prog->prog_flags & BPF_F_SLEEPABLE))
		return verify_fail(v, EINVAL, "helper call might sleep in a non-sleepable prog\n");
	if (verify_held(v, VREF_RCU))
		region = "rcu_read_lock";
	else if (verify_held(v, VREF_PREEMPT))
		region = "non-preemptible";
	if (!region)
		return 0;
	return verify_fail(v, EINVAL, "sleepable helper %s#%d in %s region\n",
			   ebpf_proto_name(call->id), call->id, region);
}

static int find_helper(struct verify *v, const struct bpf_insn *in, struct verify_call *call)
{
	u32 id = (u32)in->imm;
	int r = v->prog->served ? ebpf_check_served(in, v->prog->prog_type, v->log) : 0;

	if (r)
		return r;
	if (!ebpf_proto_known(id))
		return verify_fail(v, EINVAL, "invalid func %s#%d\n", ebpf_proto_name(id), in->imm);
	*call = (struct verify_call){.id = id, .proto = ebpf_proto_helper(id, v->prog->prog_type)};
	if (!call->proto)
		return verify_fail(v, EINVAL, "program of this type cannot use helper %s#%d\n",
				   ebpf_proto_name(id), id);
	if (!v->prog->gpl && (call->proto->flags & EPROTO_GPL))
		return verify_fail(v, EINVAL,
				   "cannot call GPL-restricted function from non-GPL compatible "
				   "program\n");
	return check_sleep(v, call);
}

/* --- the map --------------------------------------------------------------------------------- */

static int map_writable(struct verify *v, const struct verify_call *call)
{
	switch (call->id) {
	case BPF_FUNC_map_update_elem:
	case BPF_FUNC_map_delete_elem:
	case BPF_FUNC_map_push_elem:
	case BPF_FUNC_map_pop_elem:
		if (verify_map_meta(v, &call->map)->map_flags & BPF_F_RDONLY_PROG)
			return verify_fail(v, EACCES, "write into map forbidden\n");
	}
	return 0;
}

static bool takes_map(const struct ebpf_proto *p)
{
	for (u32 i = 0; i < 5; i++)
		if ((p->arg[i] & EARG_KIND) == EARG_MAP)
			return true;
	return false;
}

static int map_fits(struct verify *v, const struct verify_call *call)
{
	u32 type;

	if (!takes_map(call->proto))
		return 0;
	type = verify_map_meta(v, &call->map)->type;
	if (ebpf_proto_map_ok(call->proto, type))
		return 0;
	return verify_fail(v, EINVAL, "cannot pass map_type %d into func %s#%d\n", type,
			   ebpf_proto_name(call->id), call->id);
}

/* --- effects --------------------------------------------------------------------------------- */

static int write_raw(struct verify *v, const struct verify_call *call)
{
	for (u32 i = 0; call->raw.regno && i < call->raw.size; i++) {
		int r = verify_store_unknown(v, call->raw.regno, (s32)i, 1);

		if (r)
			return r;
	}
	return 0;
}

static int release(struct verify *v, const struct verify_call *call)
{
	if (!call->release)
		return 0;
	if ((call->proto->arg[call->release - BPF_REG_1] & EARG_KIND) == EARG_DYNPTR)
		return verify_dynptr_release(v, call->release);
	if (verify_is_null(verify_reg(v, call->release)))
		return 0;
	return verify_ref_release(v, call->ref_id);
}

static void forget_packet(struct ebpf_vreg *reg, void *arg)
{
	if (reg->type == VT_PKT)
		verify_reg_unknown(arg, reg);
}

/* --- callbacks ------------------------------------------------------------------------------- */

static void pass_element(const struct ebpf_vreg *map, struct ebpf_vframe *callee)
{
	u32 inner = map->flags & VREG_INNER;
	struct ebpf_vreg *regs = callee->regs;

	verify_reg_pointer(&regs[BPF_REG_1], VT_MAP, map->obj, inner);
	verify_reg_pointer(&regs[BPF_REG_2], VT_MAP_KEY, map->obj, inner);
	verify_reg_pointer(&regs[BPF_REG_3], VT_MAP_VALUE, map->obj, inner);
	for (u32 i = BPF_REG_1; i <= BPF_REG_3; i++)
		regs[i].uid = map->uid;
}

static int setup_for_each(struct verify *v, const struct ebpf_vframe *caller,
			  struct ebpf_vframe *callee)
{
	pass_element(&caller->regs[BPF_REG_1], callee);
	callee->regs[BPF_REG_4] = caller->regs[BPF_REG_3];
	return 0;
}

static int setup_timer(struct verify *v, const struct ebpf_vframe *caller,
		       struct ebpf_vframe *callee)
{
	pass_element(&caller->regs[BPF_REG_1], callee);
	return 0;
}

static int setup_loop(struct verify *v, const struct ebpf_vframe *caller,
		      struct ebpf_vframe *callee)
{
	verify_reg_unknown(v, &callee->regs[BPF_REG_1]);
	callee->regs[BPF_REG_2] = caller->regs[BPF_REG_3];
	return 0;
}

static int setup_ringbuf(struct verify *v, const struct ebpf_vframe *caller,
			 struct ebpf_vframe *callee)
{
	verify_reg_pointer(&callee->regs[BPF_REG_1], VT_DYNPTR, 0, VREG_RDONLY);
	callee->regs[BPF_REG_1].dyn = VDYN_LOCAL;
	callee->regs[BPF_REG_2] = caller->regs[BPF_REG_3];
	return 0;
}

static int call_loop(struct verify *v, const struct verify_call *call)
{
	struct ebpf_vframe *f = ebpf_vframe(v->cur);
	int r = verify_precise(v, BPF_REG_1);

	if (r)
		return r;
	verify_fastcall_loop(v, call->subprog);
	if (f->cb_depth < verify_reg(v, BPF_REG_1)->val.umax)
		return verify_callback(v, call->subprog, setup_loop, false);
	f->cb_depth = 0;
	if (v->log->level & 2)
		verify_log(v, "frame%d bpf_loop iteration limit reached\n", v->cur->curframe);
	return 0;
}

static int call_back(struct verify *v, const struct verify_call *call)
{
	switch (call->proto->callback) {
	case ECB_FOR_EACH:
		if (!ebpf_proto_map_ok(call->proto, verify_map_meta(v, &call->map)->type))
			return verify_fail(v, ENOTSUPP, "callback function not allowed for map\n");
		return verify_callback(v, call->subprog, setup_for_each, false);
	case ECB_LOOP:
		return call_loop(v, call);
	case ECB_TIMER:
		return verify_callback(v, call->subprog, setup_timer, true);
	case ECB_RINGBUF:
		return verify_callback(v, call->subprog, setup_ringbuf, false);
	default:
		return 0;
	}
}

/* --- rules of single helpers ----------------------------------------------------------------- */

static int check_format(struct verify *v)
{
	const struct ebpf_vreg *fmt = verify_reg(v, BPF_REG_3), *len = verify_reg(v, BPF_REG_5);
	const u8 *contents = v->prog->maps[fmt->obj].contents;
	u64 bytes = len->val.var_off.value;

	if (bytes % 8)
		return verify_fail(v, EINVAL, "R5 is not a whole number of 8-byte arguments\n");
	if (bytes / 8 > EBPF_FORMAT_ARGS || !ebpf_scalar_is_const(&len->val) ||
	    ebpf_format_check((const char *)contents + fmt->off + fmt->val.var_off.value,
			      (u32)(bytes / 8)))
		return verify_fail(v, EINVAL, "Invalid format string\n");
	return 0;
}

static int check_from_mem(struct verify *v)
{
	const struct ebpf_vreg *mem = verify_reg(v, BPF_REG_1);
	char name[64];

	if (mem->type == VT_MAP_VALUE)
		return 0;
	return verify_fail(v, EACCES, "Unsupported reg type %s for bpf_dynptr_from_mem data\n",
			   verify_type_name(mem, name));
}

static int check_special(struct verify *v, const struct verify_call *call)
{
	switch (call->id) {
	case BPF_FUNC_tail_call:
		return verify_refs_empty(v, false, "tail_call");
	case BPF_FUNC_snprintf:
		return check_format(v);
	case BPF_FUNC_dynptr_from_mem:
		return check_from_mem(v);
	default:
		return call_back(v, call);
	}
}

static int check_func_ip(struct verify *v, const struct verify_call *call)
{
	if (call->id != BPF_FUNC_get_func_ip || v->prog->prog_type == BPF_PROG_TYPE_KPROBE)
		return 0;
	return verify_fail(v, ENOTSUPP, "func %s#%d not supported for program type %d\n",
			   ebpf_proto_name(call->id), call->id, v->prog->prog_type);
}

/* --- the call -------------------------------------------------------------------------------- */

static int check_args(struct verify *v, struct verify_call *call)
{
	for (u32 i = 0; i < 5 && (call->proto->arg[i] & EARG_KIND) != EARG_NONE; i++) {
		int r = verify_arg(v, call, i);

		if (r)
			return r;
	}
	return 0;
}

int verify_helper_call(struct verify *v, const struct bpf_insn *in)
{
	struct verify_call call;
	int r;

	if (verify_locked(v) && in->imm != BPF_FUNC_spin_unlock)
		return verify_fail(v, EINVAL,
				   "function calls are not allowed while holding a lock\n");
	r = find_helper(v, in, &call);
	r = r ? r : check_args(v, &call);
	r = r ? r : map_writable(v, &call);
	r = r ? r : write_raw(v, &call);
	r = r ? r : release(v, &call);
	r = r ? r : check_special(v, &call);
	if (r)
		return r;
	verify_clobber(v);
	r = verify_result(v, &call);
	r = r ? r : map_fits(v, &call);
	r = r ? r : check_func_ip(v, &call);
	if (!r && (call.proto->flags & EPROTO_MOVES_PKT))
		verify_each_reg(v->cur, forget_packet, v);
	return r;
}

u32 verify_call_args(const struct verify *v, const struct bpf_insn *in)
{
	const struct ebpf_proto *p = in->src_reg == BPF_PSEUDO_KFUNC_CALL
					     ? ebpf_proto_kfunc((u32)in->imm)
					     : ebpf_proto_helper((u32)in->imm, v->prog->prog_type);
	const struct ebpf_callee *f =
		in->src_reg == BPF_PSEUDO_KFUNC_CALL ? ebpf_vprog_callee(v->prog, in->imm) : NULL;
	u32 n = 0;

	if (f)
		return ebpf_callee_nargs(f);
	if (!p)
		return 5;
	while (n < 5 && (p->arg[n] & EARG_KIND) != EARG_NONE)
		n++;
	return n;
}
