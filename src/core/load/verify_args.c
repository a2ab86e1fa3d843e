/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments of functions, by their kind (verify_proto.h).
 *
 * Model: first the value's type must be one of the kind's, then its offset one that such a function
 * takes, then the kind's own rule holds: memory is reachable, a map is remembered for the key and
 * value that follow, a reference is noted to be released when all arguments are known to be good.
 */
#include <string.h>

#include "core/load/mutant.h"
#include "core/load/verify_args.h"
#include "core/load/verify_ctx.h"
#include "core/uapi.h"

#define MAX_VAR_SIZE (1u << 29)

/* --- types ----------------------------------------------------------------------------------- */

#define TYPE(type) (1u << VT_##type)
#define TYPES_MEM                                                                                  \
	(TYPE(STACK) | TYPE(PKT) | TYPE(MAP_KEY) | TYPE(MAP_VALUE) | TYPE(MEM) | TYPE(BTF))

static const struct {
	u32 types;	      /* TYPE() bits */
	const char *expected; /* the kernel's list of them */
} kinds[] = {
	[EARG_SCALAR] = {TYPE(SCALAR), "scalar"},
	[EARG_CTX] = {TYPE(CTX), "ctx"},
	[EARG_MAP] = {TYPE(MAP), "map_ptr"},
	[EARG_MAP_KEY] = {TYPES_MEM, "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, "
				     "buf, trusted_ptr_"},
	[EARG_MAP_VALUE] = {TYPES_MEM, "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, "
				       "buf, trusted_ptr_"},
	[EARG_MEM] = {TYPES_MEM, "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, "
				 "trusted_ptr_"},
	[EARG_SIZE] = {TYPE(SCALAR), "scalar"},
	[EARG_SIZE0] = {TYPE(SCALAR), "scalar"},
	[EARG_ALLOC_SIZE] = {TYPE(SCALAR), "scalar"},
	[EARG_RINGBUF_MEM] = {TYPE(MEM), "ringbuf_mem"},
	[EARG_FUNC] = {TYPE(FUNC), "func"},
	[EARG_STACK] = {TYPE(STACK), "fp"},
	[EARG_CONST_STR] = {TYPE(MAP_VALUE), "map_value"},
	[EARG_SPIN_LOCK] = {TYPE(MAP_VALUE), "map_value, ptr_"},
	[EARG_TIMER] = {TYPE(MAP_VALUE), "map_value"},
	[EARG_DYNPTR] = {TYPE(STACK) | TYPE(DYNPTR), "fp, dynptr_ptr"},
};

static bool flags_fit(const struct ebpf_vreg *reg, u32 arg)
{
	u32 kind = arg & EARG_KIND;

	if ((reg->flags & VREG_NULL) && !(arg & EARG_NULL))
		return false;
	if (kind == EARG_RINGBUF_MEM && !(reg->flags & VREG_RINGBUF))
		return false;
	if (reg->type == VT_MEM && (reg->flags & VREG_RDONLY) && !(arg & EARG_RDONLY))
		return false;
	return reg->type != VT_PKT || reg->obj != 2;
}

static int check_type(struct verify *v, u32 regno, u32 arg)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	u32 kind = arg & EARG_KIND;
	char name[64];

	if (kind >= ARRAY_SIZE(kinds) || !kinds[kind].expected)
		return verify_bug(v, "argument %u is of no known kind", regno);
	if ((kinds[kind].types >> reg->type & 1) && flags_fit(reg, arg))
		return 0;
	return verify_fail(v, EACCES, "R%d type=%s expected=%s\n", regno,
			   verify_type_name(reg, name), kinds[kind].expected);
}

bool verify_moves_freely(const struct ebpf_vreg *reg)
{
	switch (reg->type) {
	case VT_STACK:
	case VT_PKT:
	case VT_MAP_KEY:
	case VT_MAP_VALUE:
	case VT_MEM:
	case VT_SCALAR:
		return true;
	default:
		return false;
	}
}

int verify_arg_offset(struct verify *v, const struct ebpf_vreg *reg, u32 regno, bool release)
{
	if (release && reg->off)
		return verify_fail(v, EINVAL,
				   "R%d must have zero offset when passed to release func or "
				   "trusted arg to kfunc\n",
				   regno);
	if (!release && verify_moves_freely(reg))
		return 0;
	return verify_unmoved(v, reg, regno, reg->type == VT_BTF && !release);
}

/* --- references ------------------------------------------------------------------------------ */

static int note_release(struct verify *v, struct verify_call *call, u32 regno, u32 arg)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);

	if ((arg & EARG_KIND) == EARG_DYNPTR) {
		if (reg->type == VT_DYNPTR)
			return verify_fail(v, EINVAL, "cannot release unowned const bpf_dynptr\n");
		if (!verify_dynptr_owned(v, regno))
			return verify_fail(v, EINVAL, "arg %d is an unacquired reference\n", regno);
	} else if (!reg->ref_id && !verify_is_null(reg)) {
		return verify_fail(v, EINVAL,
				   "R%d must be referenced when passed to release function\n",
				   regno);
	}
	call->release = regno;
	return 0;
}

/* --- maps ------------------------------------------------------------------------------------ */

static int map_arg(struct verify *v, struct verify_call *call, u32 regno)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);

	/* two inner maps of one lookup instruction are told apart by their uid */
	if (call->map.type != VT_NONE && (call->map.obj != reg->obj || call->map.uid != reg->uid ||
					  ((call->map.flags ^ reg->flags) & VREG_INNER)))
		return verify_fail(v, EINVAL,
				   "timer pointer in R1 map_uid=%d doesn't match map pointer in R2 "
				   "map_uid=%d\n",
				   call->map.uid, reg->uid);
	call->map = *reg;
	return 0;
}

static const struct ebpf_map_meta *call_map(const struct verify *v, const struct verify_call *call)
{
	return call->map.type == VT_NONE ? NULL : verify_map_meta(v, &call->map);
}

static int map_memory(struct verify *v, struct verify_call *call, u32 regno, u32 arg)
{
	const struct ebpf_map_meta *meta = call_map(v, call);

	if (!meta)
		return verify_bug(v, "R%u is a key or value of no map", regno);
	if ((arg & EARG_KIND) == EARG_MAP_KEY)
		return verify_mem_arg(v, regno, meta->key_size, false, false, NULL);
	/* a bloom filter is asked about a value */
	if (call->id == BPF_FUNC_map_peek_elem && meta->type == BPF_MAP_TYPE_BLOOM_FILTER)
		arg &= ~(EARG_UNINIT | EARG_WRITE);
	call->raw.on = arg & EARG_UNINIT;
	return verify_mem_arg(v, regno, meta->value_size, arg & EARG_WRITE, false, &call->raw);
}

static int timer_arg(struct verify *v, struct verify_call *call, u32 regno)
{
	int r = verify_field_arg(v, regno, EBPF_FIELD_TIMER, "bpf_timer");

	if (!r)
		call->map = *verify_reg(v, regno);
	return r;
}

/* --- memory ---------------------------------------------------------------------------------- */

static int mem_arg(struct verify *v, struct verify_call *call, u32 regno, u32 arg)
{
	u32 size = call->proto->fixed;
	int r;

	call->raw.on = arg & EARG_UNINIT;
	if (!(arg & EARG_FIXED))
		return 0; /* with its length, the next argument */
	r = verify_mem_arg(v, regno, size, arg & EARG_WRITE, false, &call->raw);
	if (r || !(arg & EARG_ALIGNED))
		return r;
	return verify_aligned(v, verify_reg(v, regno), 0, size, true);
}

int verify_size_arg(struct verify *v, struct verify_call *call, u32 regno, bool write, bool zero)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	int r;

	call->max_size = reg->val.umax;
	if (reg->val.smin < 0)
		return verify_fail(v, EACCES,
				   "R%d min value is negative, either use unsigned or 'var &= "
				   "const'\n",
				   regno);
	if (!reg->val.umin && !zero)
		return verify_fail(v, EACCES, "R%d invalid zero-sized read: u64=[%lld,%lld]\n",
				   regno, (long long)reg->val.umin, (long long)reg->val.umax);
	if (reg->val.umax >= MAX_VAR_SIZE)
		return verify_fail(v, EACCES,
				   "R%d unbounded memory access, use 'var &= const' or 'if (var < "
				   "const)'\n",
				   regno);
	r = verify_mem_arg(v, regno - 1, (u32)EBPF_MUTANT(116, reg->val.umax, reg->val.umin), write,
			   zero, ebpf_scalar_is_const(&reg->val) ? &call->raw : NULL);
	return r ? r : verify_precise(v, regno);
}

static int const_str(struct verify *v, u32 regno)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	const struct ebpf_vmap *map = &v->prog->maps[reg->obj];
	u32 size = map->meta.value_size, off;
	struct verify_access a = {.regno = regno, .off = reg->off, .helper = true};
	int r;

	if (!(map->meta.map_flags & BPF_F_RDONLY_PROG) || !map->frozen || (reg->flags & VREG_INNER))
		return verify_fail(v, EACCES, "R%d does not point to a readonly map'\n", regno);
	if (!ebpf_scalar_is_const(&reg->val))
		return verify_fail(v, EACCES, "R%d is not a constant address'\n", regno);
	if (!map->contents)
		return verify_fail(v, EACCES, "no direct value access support for this map type\n");
	a.size = size - (u32)reg->off;
	r = verify_map_region(v, &a);
	if (r)
		return r;
	off = (u32)reg->off + (u32)reg->val.var_off.value;
	if (!memchr(map->contents + off, 0, size - off))
		return verify_fail(v, EINVAL, "string is not zero-terminated\n");
	return 0;
}

/* --- the rest -------------------------------------------------------------------------------- */

static int alloc_size(struct verify *v, struct verify_call *call, u32 regno)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);

	if (!ebpf_scalar_is_const(&reg->val))
		return verify_fail(v, EACCES, "R%d is not a known constant'\n", regno);
	call->mem_size = reg->val.var_off.value;
	if (call->mem_size >= MAX_VAR_SIZE)
		return verify_fail(v, EACCES, "R%d is a size that no memory has\n", regno);
	return verify_precise(v, regno);
}

static int dynptr_arg(struct verify *v, struct verify_call *call, u32 regno, u32 arg)
{
	u32 kind = arg & EARG_RINGBUF ? VDYN_RINGBUF : VDYN_LOCAL;
	int r = verify_dynptr_arg(v, regno, arg, kind, 0);

	if (r || (arg & EARG_UNINIT))
		return r;
	call->dynptr = *verify_dynptr_of(v, regno);
	call->has_dynptr = true;
	return 0;
}

static int by_kind(struct verify *v, struct verify_call *call, u32 i)
{
	u32 arg = call->proto->arg[i], regno = BPF_REG_1 + i;

	switch (arg & EARG_KIND) {
	case EARG_MAP:
		return map_arg(v, call, regno);
	case EARG_MAP_KEY:
	case EARG_MAP_VALUE:
		return map_memory(v, call, regno, arg);
	case EARG_MEM:
		return mem_arg(v, call, regno, arg);
	case EARG_SIZE:
	case EARG_SIZE0:
		return verify_size_arg(v, call, regno, call->proto->arg[i - 1] & EARG_WRITE,
				       (arg & EARG_KIND) == EARG_SIZE0);
	case EARG_ALLOC_SIZE:
		return alloc_size(v, call, regno);
	case EARG_FUNC:
		call->subprog = verify_reg(v, regno)->obj;
		return 0;
	case EARG_CONST_STR:
		return const_str(v, regno);
	case EARG_SPIN_LOCK:
		return verify_lock_arg(v, regno, call->id == BPF_FUNC_spin_lock);
	case EARG_TIMER:
		return timer_arg(v, call, regno);
	case EARG_DYNPTR:
		return dynptr_arg(v, call, regno, arg);
	default:
		return 0;
	}
}

static bool is_packet(const struct ebpf_vreg *reg)
{
	return reg->type == VT_PKT && reg->obj != 2;
}

int verify_arg(struct verify *v, struct verify_call *call, u32 i)
{
	u32 arg = call->proto->arg[i], regno = BPF_REG_1 + i;
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	bool release = arg & EARG_RELEASE;
	int r = verify_readable(v, regno);

	if (r || (arg & EARG_KIND) == EARG_ANY)
		return r;
	if (is_packet(reg) &&
	    !((call->proto->flags & EPROTO_PKT) && ebpf_ctx_packet(v->prog->prog_type, false)))
		return verify_fail(v, EACCES, "helper access to the packet is not allowed\n");
	if ((arg & EARG_NULL) && verify_is_null(reg)) {
		r = verify_precise(v, regno);
	} else {
		r = check_type(v, regno, arg);
		if (!r && !(release && (arg & EARG_KIND) == EARG_DYNPTR && reg->type == VT_STACK))
			r = verify_arg_offset(v, reg, regno, release);
	}
	if (!r && release)
		r = note_release(v, call, regno, arg);
	if (r)
		return r;
	if (reg->ref_id && !(reg->flags & VREG_SLICE))
		call->ref_id = reg->ref_id;
	return by_kind(v, call, i);
}

/* --- results --------------------------------------------------------------------------------- */

#define MAX_ERRNO 4095

static void ranged(struct verify *v, s64 min, s64 max)
{
	struct ebpf_vreg *r0 = verify_reg(v, BPF_REG_0);

	verify_reg_unknown(v, r0);
	r0->val.smin = min;
	r0->val.smax = max;
	r0->val.s32_min = (s32)min;
	r0->val.s32_max = (s32)max;
	if (min >= 0) {
		r0->val.umin = (u64)min;
		r0->val.umax = (u64)max;
		r0->val.u32_min = (u32)min;
		r0->val.u32_max = (u32)max;
	}
	ebpf_scalar_sync(&r0->val);
}

/* A lookup in a map of maps gives a map. */
static void map_result(struct verify *v, const struct verify_call *call)
{
	const struct ebpf_map_meta *meta = verify_map_meta(v, &call->map);
	struct ebpf_vreg *r0 = verify_reg(v, BPF_REG_0);
	bool outer =
		meta->type == BPF_MAP_TYPE_ARRAY_OF_MAPS || meta->type == BPF_MAP_TYPE_HASH_OF_MAPS;
	u32 inner = outer ? VREG_INNER : call->map.flags & VREG_INNER;

	verify_reg_pointer(r0, outer ? VT_MAP : VT_MAP_VALUE, call->map.obj, VREG_NULL | inner);
	r0->id = verify_new_id(v);
	r0->uid = outer ? r0->id : call->map.uid;
}

static int sample_result(struct verify *v, const struct verify_call *call)
{
	struct ebpf_vreg *r0 = verify_reg(v, BPF_REG_0);
	u32 id;
	int r;

	verify_new_id(v); /* the kernel's log shows that its null check had a number of its own */
	r = verify_ref_acquire(v, VREF_PTR, &id);
	if (r)
		return r;
	verify_reg_pointer(r0, VT_MEM, 0, VREG_NULL | VREG_RINGBUF);
	r0->mem_size = (u32)call->mem_size;
	r0->id = r0->ref_id = id;
	return 0;
}

static void slice_result(struct verify *v, const struct verify_call *call, bool rdonly)
{
	struct ebpf_vreg *r0 = verify_reg(v, BPF_REG_0);
	u32 flags = VREG_NULL | VREG_SLICE;

	if (rdonly || (call->dynptr.flags & VREG_RDONLY))
		flags |= VREG_RDONLY;
	verify_reg_pointer(r0, VT_MEM, 0, flags);
	r0->mem_size = (u32)call->mem_size;
	r0->ref_id = call->dynptr.id;
	r0->id = verify_new_id(v);
}

/* Types are judged as the kernel does: its pt_regs, by name. */
static int kern_ctx_result(struct verify *v, const struct verify_call *call)
{
	struct ebpf_vreg *r0 = verify_reg(v, BPF_REG_0);

	verify_reg_pointer(r0, VT_BTF, 0, 0);
	r0->mem_size = call->proto->fixed;
	return 0;
}

int verify_result(struct verify *v, const struct verify_call *call)
{
	switch (call->proto->ret) {
	case ERET_VOID:
		return 0;
	case ERET_LENGTH:
		ranged(v, -MAX_ERRNO, (s64)call->max_size);
		return 0;
	case ERET_CPU:
		ranged(v, 0, (s64)MAX(v->prog->nr_cpus, 1u) - 1);
		return 0;
	case ERET_MAP_VALUE:
		map_result(v, call);
		return 0;
	case ERET_RINGBUF_MEM:
		return sample_result(v, call);
	case ERET_DYNPTR_MEM:
		slice_result(v, call, false);
		return 0;
	case ERET_SLICE:
		slice_result(v, call, call->id == EKFUNC_DYNPTR_SLICE);
		return 0;
	case ERET_MEM:
		verify_reg_pointer(verify_reg(v, BPF_REG_0), VT_MEM, 0, 0);
		verify_reg(v, BPF_REG_0)->mem_size = call->proto->fixed;
		return 0;
	case ERET_KERN_CTX:
		return kern_ctx_result(v, call);
	default:
		verify_reg_unknown(v, verify_reg(v, BPF_REG_0));
		return 0;
	}
}
