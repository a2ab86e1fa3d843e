/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of helpers and kernel functions: their arguments, what they return, what they call back.
 *
 * Model: a row of the table (verify_proto.h) says what each argument must be. Whatever a function
 * may write is unknown afterwards; R1 to R5 are gone. A function that calls back is two paths: one
 * into the callback, which comes back to the call, and one that goes on.
 */
#include <string.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"
#include "core/load/verify_ctx.h"
#include "core/load/verify_proto.h"

#define MAX_SIZE (1u << 29)
#define MAX_ERRNO 4095

struct args { /* what the arguments of one call were */
	const struct ebpf_proto *proto;
	struct ebpf_vreg map;	 /* VT_NONE: none */
	struct ebpf_vreg dynptr; /* VT_NONE: none */
	u32 alloc;		 /* EARG_ALLOC_SIZE or a constant EARG_SIZE */
	u32 func;		 /* EARG_FUNC: subprogram */
	u32 release;		 /* reference that ends */
	u64 longest;		 /* of the lengths */
	bool release_dynptr;
	bool rdonly_dynptr;
};

static bool is_null(const struct ebpf_vreg *r)
{
	return r->type == VT_SCALAR && ebpf_scalar_is_const(&r->val) && !r->val.umin;
}

static bool is_zero_offset(const struct ebpf_vreg *r)
{
	return ebpf_scalar_is_const(&r->val) && !r->val.umin;
}

/* --- memory ---------------------------------------------------------------------------------- */

static int region(struct proof_check *c, u32 regno, u32 size, u32 arg)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	bool write = arg & (EARG_WRITE | EARG_UNINIT);
	struct proof_span span;
	int e;

	if (!size)
		return 0;
	if (r->type == VT_CTX && !write && ebpf_ctx_is_memory(c->prog->prog_type))
		return proof_context_bytes(c, regno, size);
	e = proof_access(c, regno, 0, size, write, &span);
	if (e || r->type != VT_STACK)
		return e;
	/* else what was there may be read afterwards, and has to be zero */
	if ((arg & EARG_WHOLE) && span.fixed)
		return proof_stack_write(c, r->obj, &span, NULL);
	return proof_stack_arg(c, r->obj, &span, EBPF_MUTANT(81, write, false));
}

static int sized(struct proof_check *c, u32 regno, u32 arg, struct args *a)
{
	const struct ebpf_vreg *size = proof_reg(c, regno + 1);

	if (size->type != VT_SCALAR || size->val.umax >= MAX_SIZE)
		return proof_fail(c, "R%u is a length without bounds", regno + 1);
	a->longest = MAX(a->longest, size->val.umax);
	if (ebpf_scalar_is_const(&size->val))
		a->alloc = (u32)size->val.umin;
	else
		arg &= ~EARG_WHOLE;
	if (is_null(proof_reg(c, regno)) && (arg & EARG_NULL))
		return size->val.umax ? proof_fail(c, "R%u is NULL", regno) : 0;
	return region(c, regno, (u32)EBPF_MUTANT(82, size->val.umax, size->val.umin), arg);
}

static int map_memory(struct proof_check *c, u32 regno, u32 arg, const struct args *a)
{
	const struct ebpf_map_meta *meta = proof_map_meta(c, &a->map);

	if (a->map.type != VT_MAP || !meta)
		return proof_fail(c, "a key or value of no map");
	return region(c, regno,
		      (arg & EARG_KIND) == EARG_MAP_KEY ? meta->key_size : meta->value_size, arg);
}

/* A string that nobody can change and that ends. */
static int const_str(struct proof_check *c, u32 regno)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	const struct ebpf_vmap *map;
	s64 at = r->off + r->val.smin;

	if (r->type != VT_MAP_VALUE || (r->flags & (VREG_NULL | VREG_INNER)) ||
	    !ebpf_scalar_is_const(&r->val) || r->obj >= c->prog->nmaps)
		return proof_fail(c, "R%u is no constant string", regno);
	map = &c->prog->maps[r->obj];
	if (!proof_map_constant(map) || at < 0 || at >= map->meta.value_size ||
	    !memchr(map->contents + at, 0, map->meta.value_size - (size_t)at))
		return proof_fail(c, "R%u is no constant string", regno);
	return 0;
}

/* --- other arguments ------------------------------------------------------------------------- */

static int ctx_arg(struct proof_check *c, u32 regno)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);

	if (r->type != VT_CTX || r->off || !is_zero_offset(r))
		return proof_fail(c, "R%u is not the context", regno);
	c->facts->insn[c->p->pc] |= EBPF_FACT_CTX_ESCAPES;
	return 0;
}

static int map_arg(struct proof_check *c, u32 regno, struct args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	const struct ebpf_map_meta *meta = proof_map_meta(c, r);

	if (r->type != VT_MAP || (r->flags & VREG_NULL) || !meta)
		return proof_fail(c, "R%u is no map", regno);
	if (EBPF_MUTANT(83, !ebpf_proto_map_ok(a->proto, meta->type), false))
		return proof_fail(c, "a map of that type has no such function");
	a->map = *r;
	return 0;
}

static int sample_arg(struct proof_check *c, u32 regno, struct args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);

	if (r->type != VT_MEM || !(r->flags & VREG_RINGBUF) || (r->flags & VREG_NULL) || r->off ||
	    !is_zero_offset(r))
		return proof_fail(c, "R%u is not the start of a sample", regno);
	a->release = r->ref_id;
	return 0;
}

static int func_arg(struct proof_check *c, u32 regno, struct args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);

	if (r->type != VT_FUNC || r->obj >= c->nsubprogs)
		return proof_fail(c, "R%u is no function", regno);
	a->func = r->obj;
	return 0;
}

static int dynptr_arg(struct proof_check *c, u32 regno, u32 arg, struct args *a)
{
	int e;

	if (arg & EARG_UNINIT)
		return 0; /* made when the other arguments are known */
	e = proof_dynptr(c, regno, &a->dynptr);
	if (e)
		return e;
	if ((arg & EARG_RINGBUF) && a->dynptr.dyn != VDYN_RINGBUF)
		return proof_fail(c, "not a ring buffer's dynptr");
	a->rdonly_dynptr = a->dynptr.flags & VREG_RDONLY;
	a->release_dynptr = arg & EARG_RELEASE;
	a->release = a->release_dynptr ? a->dynptr.ref_id : a->release;
	return 0;
}

static int number_arg(struct proof_check *c, u32 regno, u32 arg, struct args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);

	if (r->type != VT_SCALAR)
		return proof_fail(c, "R%u is not a number", regno);
	if ((arg & EARG_KIND) != EARG_ALLOC_SIZE)
		return 0;
	if (!ebpf_scalar_is_const(&r->val) || r->val.umin >= MAX_SIZE)
		return proof_fail(c, "R%u is not a constant", regno);
	a->alloc = (u32)r->val.umin;
	return 0;
}

static int one_arg(struct proof_check *c, u32 regno, u32 arg, struct args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	int e = proof_readable(c, regno);

	if (e)
		return e;
	if ((arg & EARG_NULL) && is_null(r) && (arg & EARG_KIND) != EARG_MEM)
		return 0;
	switch (arg & EARG_KIND) {
	case EARG_ANY:
	case EARG_SIZE: /* with the memory before */
	case EARG_SIZE0:
	case EARG_ITER_NUM: /* with the function */
	case EARG_ITER_BITS:
		return 0;
	case EARG_SCALAR:
	case EARG_ALLOC_SIZE:
		return number_arg(c, regno, arg, a);
	case EARG_CTX:
		return ctx_arg(c, regno);
	case EARG_MAP:
		return map_arg(c, regno, a);
	case EARG_MAP_KEY:
	case EARG_MAP_VALUE:
		return map_memory(c, regno, arg, a);
	case EARG_MEM:
		return arg & EARG_FIXED ? region(c, regno, a->proto->fixed, arg)
					: sized(c, regno, arg, a);
	case EARG_RINGBUF_MEM:
		return sample_arg(c, regno, a);
	case EARG_FUNC:
		return func_arg(c, regno, a);
	case EARG_STACK:
		return r->type == VT_STACK ? 0 : proof_fail(c, "R%u is not in the stack", regno);
	case EARG_CONST_STR:
		return const_str(c, regno);
	case EARG_SPIN_LOCK:
		return proof_field(c, regno, EBPF_FIELD_SPIN_LOCK);
	case EARG_TIMER:
		return proof_field(c, regno, EBPF_FIELD_TIMER);
	case EARG_DYNPTR:
		return dynptr_arg(c, regno, arg, a);
	default:
		return proof_fail(c, "an argument of an unknown kind");
	}
}

/* --- dynptrs that are made ------------------------------------------------------------------- */

static int new_dynptr(struct proof_check *c, u32 regno, u32 arg, const struct args *a)
{
	struct ebpf_vref ref = {.kind = VREF_PTR};
	struct ebpf_vreg like;
	int e = 0;

	proof_none(&like);
	if (arg & EARG_LOCAL) {
		like.dyn = VDYN_LOCAL;
		/* it outlives this call: its memory must, too */
		if (proof_reg(c, BPF_REG_1)->type != VT_MAP_VALUE)
			return proof_fail(c, "a dynptr to memory that may end before it");
	} else if (arg & EARG_RINGBUF) {
		like.dyn = VDYN_RINGBUF;
		e = proof_acquire(c, &ref, &like.ref_id);
	} else { /* a clone */
		like.dyn = a->dynptr.dyn;
		like.flags = a->dynptr.flags & VREG_RDONLY;
		like.ref_id = a->dynptr.ref_id;
	}
	return e ? e : proof_dynptr_new(c, regno, &like);
}

static int args(struct proof_check *c, struct args *a)
{
	u32 i;
	int e = 0;

	for (i = 0; !e && i < 5 && (a->proto->arg[i] & EARG_KIND) != EARG_NONE; i++)
		e = one_arg(c, BPF_REG_1 + i, a->proto->arg[i], a);
	for (i = 0; !e && i < 5; i++)
		if ((a->proto->arg[i] & EARG_KIND) == EARG_DYNPTR &&
		    (a->proto->arg[i] & EARG_UNINIT))
			e = new_dynptr(c, BPF_REG_1 + i, a->proto->arg[i], a);
	return e;
}

/* --- what is returned ------------------------------------------------------------------------ */

static void in_range(struct ebpf_vreg *r, s64 min, s64 max)
{
	struct ebpf_scalar limit;

	proof_unknown(r);
	ebpf_scalar_const(&limit, (u64)max);
	ebpf_scalar_refine(&r->val, &limit, BPF_JSLE, false, true);
	ebpf_scalar_const(&limit, (u64)min);
	ebpf_scalar_refine(&r->val, &limit, BPF_JSGE, false, true);
}

static int map_result(struct proof_check *c, struct ebpf_vreg *r0, const struct args *a)
{
	const struct ebpf_map_meta *meta = proof_map_meta(c, &a->map);
	bool outer =
		meta->type == BPF_MAP_TYPE_ARRAY_OF_MAPS || meta->type == BPF_MAP_TYPE_HASH_OF_MAPS;

	proof_pointer(r0, outer ? VT_MAP : VT_MAP_VALUE, a->map.obj,
		      VREG_NULL | (a->map.flags & VREG_INNER) | (outer ? VREG_INNER : 0));
	r0->id = ++c->next_id;
	r0->uid = outer ? ++c->next_id : a->map.uid;
	return 0;
}

static int sample_result(struct proof_check *c, struct ebpf_vreg *r0, const struct args *a)
{
	struct ebpf_vref ref = {.kind = VREF_PTR};
	int e;

	proof_pointer(r0, VT_MEM, 0, VREG_NULL | VREG_RINGBUF);
	r0->mem_size = a->alloc;
	e = proof_acquire(c, &ref, &r0->ref_id);
	r0->id = r0->ref_id;
	return e;
}

static int slice_result(struct proof_check *c, struct ebpf_vreg *r0, const struct args *a,
			bool rdonly)
{
	proof_pointer(r0, VT_MEM, 0, VREG_NULL | VREG_SLICE | (rdonly ? VREG_RDONLY : 0));
	r0->mem_size = a->alloc;
	r0->ref_id = a->dynptr.id;
	r0->id = ++c->next_id;
	return 0;
}

static int result(struct proof_check *c, const struct args *a)
{
	struct ebpf_vreg *r0 = proof_reg(c, BPF_REG_0);

	switch (a->proto->ret) {
	case ERET_VOID:
		return 0;
	case ERET_LENGTH:
		in_range(r0, -MAX_ERRNO, (s64)a->longest);
		return 0;
	case ERET_CPU:
		in_range(r0, 0, MAX(c->prog->nr_cpus, 1u) - 1);
		return 0;
	case ERET_BOOL:
		in_range(r0, 0, 255);
		return 0;
	case ERET_U32:
	case ERET_S32:
		in_range(r0, 0, UINT32_MAX);
		return 0;
	case ERET_MAP_VALUE:
		return map_result(c, r0, a);
	case ERET_RINGBUF_MEM:
		return sample_result(c, r0, a);
	case ERET_DYNPTR_MEM:
		return slice_result(c, r0, a, a->rdonly_dynptr);
	default:
		proof_unknown(r0);
		return 0;
	}
}

/* --- callbacks ------------------------------------------------------------------------------- */

static void callback_args(struct proof_check *c, const struct args *a, const struct ebpf_vreg *ctx)
{
	struct ebpf_vframe *f = ebpf_vframe(&c->p->st);

	f->ret_max = 1;
	switch (a->proto->callback) {
	case ECB_FOR_EACH:
		f->regs[BPF_REG_1] = a->map;
		proof_pointer(&f->regs[BPF_REG_2], VT_MAP_KEY, a->map.obj,
			      a->map.flags & VREG_INNER);
		proof_pointer(&f->regs[BPF_REG_3], VT_MAP_VALUE, a->map.obj,
			      a->map.flags & VREG_INNER);
		f->regs[BPF_REG_2].uid = f->regs[BPF_REG_3].uid = a->map.uid;
		f->regs[BPF_REG_4] = *ctx;
		break;
	case ECB_LOOP:
		proof_unknown(&f->regs[BPF_REG_1]);
		f->regs[BPF_REG_2] = *ctx;
		break;
	default: /* its bytes are the map's, and there as long as that: no reference is needed */
		proof_pointer(&f->regs[BPF_REG_1], VT_DYNPTR, 0, VREG_RDONLY);
		f->regs[BPF_REG_1].dyn = VDYN_LOCAL;
		f->regs[BPF_REG_2] = *ctx;
	}
}

static int finish(struct proof_check *c, const struct args *a)
{
	ebpf_vframe(&c->p->st)->cb_depth = 0;
	proof_clobber(c);
	c->p->pc++;
	return result(c, a);
}

/* bpf_loop has called as often as it was told to. */
static bool called_enough(struct proof_check *c, const struct args *a)
{
	const struct ebpf_vreg *times = proof_reg(c, BPF_REG_1);

	return a->proto->callback == ECB_LOOP && times->type == VT_SCALAR &&
	       ebpf_vframe(&c->p->st)->cb_depth >=
		       EBPF_MUTANT(86, times->val.umax, times->val.umin);
}

/* One path goes on, the other into the function and back to the call. */
static int call_back(struct proof_check *c, const struct args *a)
{
	struct ebpf_vreg ctx = *proof_reg(c, BPF_REG_3);
	struct proof_path *on, *self = c->p;
	int e;

	if (a->proto->callback == ECB_TIMER) {
		e = proof_async(c, a->func, proof_reg(c, BPF_REG_1)->obj);
		return e ? e : finish(c, a);
	}
	if (called_enough(c, a))
		return finish(c, a);
	e = proof_fork(c, c->p->pc, &on);
	if (e)
		return e;
	c->p = on;
	e = finish(c, a);
	c->p = self;
	ebpf_vframe(&self->st)->cb_depth++;
	e = e ? e : proof_enter(c, a->func, true);
	if (!e)
		callback_args(c, a, &ctx);
	return e;
}

static bool has_release(const struct ebpf_proto *p)
{
	for (u32 i = 0; i < 5; i++)
		if (p->arg[i] & EARG_RELEASE)
			return !(p->flags & EPROTO_ITER_DESTROY);
	return false;
}

/* --- helpers --------------------------------------------------------------------------------- */

/* A map that programs may not write may hold constants. */
static int writable(struct proof_check *c, const struct args *a)
{
	const struct ebpf_map_meta *meta = proof_map_meta(c, &a->map);

	if (!meta || meta->map_flags & BPF_F_RDONLY_PROG)
		return proof_fail(c, "a map that programs may not write");
	return 0;
}

/* A timer is started with the map it lies in: that one its callback gets. */
static int timer_of_map(struct proof_check *c, const struct args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, BPF_REG_1);

	if (r->obj != a->map.obj || r->uid != a->map.uid || (a->map.flags & VREG_INNER))
		return proof_fail(c, "a timer with the map of another");
	return 0;
}

static int special(struct proof_check *c, u32 id, const struct args *a)
{
	const struct ebpf_vstate *st = &c->p->st;

	if (proof_held_lock(c) && id != BPF_FUNC_spin_unlock)
		return proof_fail(c, "a call while a lock is held");
	switch (id) {
	case BPF_FUNC_spin_lock:
		return proof_lock(c, BPF_REG_1, true);
	case BPF_FUNC_spin_unlock:
		return proof_lock(c, BPF_REG_1, false);
	case BPF_FUNC_map_update_elem:
	case BPF_FUNC_map_delete_elem:
	case BPF_FUNC_map_push_elem:
	case BPF_FUNC_map_pop_elem:
		return writable(c, a);
	case BPF_FUNC_timer_init:
		return timer_of_map(c, a);
	case BPF_FUNC_tail_call:
		return st->nrefs ? proof_fail(c, "a tail call with something held") : 0;
	default:
		return 0;
	}
}

int proof_helper(struct proof_check *c, const struct bpf_insn *in)
{
	u32 id = (u32)in->imm;
	struct args a = {.proto = ebpf_proto_helper(id, c->prog->prog_type)};
	int e;

	if (!a.proto)
		return proof_fail(c, "a helper that isn't known");
	if (id < 256)
		c->facts->helpers[id / 64] |= 1ull << (id % 64);
	e = args(c, &a);
	e = e ? e : special(c, id, &a);
	if (!e && (a.proto->flags & EPROTO_MOVES_PKT))
		proof_forget_packets(c);
	if (!e && a.release_dynptr)
		e = proof_dynptr_release(c, a.release);
	else if (!e && a.release)
		e = proof_release(c, a.release);
	else if (!e && has_release(a.proto))
		e = proof_fail(c, "a reference that isn't held");
	if (e)
		return e;
	return a.proto->callback ? call_back(c, &a) : finish(c, &a);
}

/* --- kernel functions ------------------------------------------------------------------------ */

static int region_lock(struct proof_check *c, u32 kind, bool enter)
{
	struct ebpf_vstate *st = &c->p->st;
	struct ebpf_vref ref = {.kind = kind};
	u32 id;

	if (enter)
		return proof_acquire(c, &ref, &id);
	for (u32 i = st->nrefs; i-- > 0;)
		if (st->refs[i].kind == kind)
			return proof_release(c, st->refs[i].id);
	return proof_fail(c, "the end of a section that wasn't entered");
}

static int next(struct proof_check *c, const struct args *a)
{
	struct proof_path *end, *self = c->p;
	struct ebpf_vreg *r0;
	u32 ref;
	int e = proof_iter_next(c, BPF_REG_1, a->proto->arg[0], &end, &ref);

	if (e)
		return e;
	c->p = end;
	proof_clobber(c);
	proof_const(proof_reg(c, BPF_REG_0), 0);
	c->p = self;
	proof_clobber(c);
	c->p->pc++;
	r0 = proof_reg(c, BPF_REG_0);
	proof_pointer(r0, VT_MEM, 0, VREG_RDONLY);
	r0->mem_size = a->proto->fixed;
	r0->ref_id = ref;
	return 0;
}

static int by_flags(struct proof_check *c, const struct args *a)
{
	switch (a->proto->flags & (EPROTO_ITER_NEW | EPROTO_ITER_DESTROY | EPROTO_RCU_LOCK |
				   EPROTO_RCU_UNLOCK | EPROTO_PREEMPT_OFF | EPROTO_PREEMPT_ON)) {
	case EPROTO_ITER_NEW:
		return proof_iter_new(c, BPF_REG_1, a->proto->arg[0]);
	case EPROTO_ITER_DESTROY:
		return proof_iter_destroy(c, BPF_REG_1, a->proto->arg[0]);
	case EPROTO_RCU_LOCK:
		return region_lock(c, VREF_RCU, true);
	case EPROTO_RCU_UNLOCK:
		return region_lock(c, VREF_RCU, false);
	case EPROTO_PREEMPT_OFF:
		return region_lock(c, VREF_PREEMPT, true);
	case EPROTO_PREEMPT_ON:
		return region_lock(c, VREF_PREEMPT, false);
	default:
		return 0;
	}
}

int proof_kfunc(struct proof_check *c, const struct bpf_insn *in)
{
	struct args a = {.proto = ebpf_proto_kfunc((u32)in->imm)};
	int e;

	if (!a.proto || in->off)
		return proof_fail(c, "a kernel function that isn't known");
	if (proof_held_lock(c))
		return proof_fail(c, "a call while a lock is held");
	e = args(c, &a);
	e = e ? e : by_flags(c, &a);
	if (e)
		return e;
	if (a.proto->flags & EPROTO_ITER_NEXT)
		return next(c, &a);
	if (a.proto->ret != ERET_SLICE)
		return finish(c, &a);
	e = finish(c, &a);
	return e ? e
		 : slice_result(c, proof_reg(c, BPF_REG_0), &a,
				(u32)in->imm == EKFUNC_DYNPTR_SLICE || a.rdonly_dynptr);
}
