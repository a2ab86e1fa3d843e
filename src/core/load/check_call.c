/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of helpers and kernel functions: their arguments, what they do, return and call back.
 *
 * Model: a row of the table (verify_proto.h) says what each argument must be and what else the
 * function does. Whatever it may write is unknown afterwards; R1 to R5 are gone. A function that
 * calls back is two paths: one into the callback, which comes back to the call, and one that goes
 * on.
 */
#include <string.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"
#include "core/load/verify_ctx.h"
#include "core/load/verify_proto.h"

#define MAX_SIZE (1u << 29)
#define MAX_ERRNO 4095

/* --- memory ---------------------------------------------------------------------------------- */

/* Memory that is only read if it is there (EARG_NULL with EARG_FIXED) the function looks at. */
static int region(struct proof_check *c, u32 regno, u32 size, u32 arg)
{
	struct ebpf_vreg r = *proof_reg(c, regno);
	bool write = arg & (EARG_WRITE | EARG_UNINIT);
	struct proof_span span;
	int e = 0;

	if (!size)
		return 0;
	if (r.type == VT_CTX && !write && ebpf_ctx_is_memory(c->prog->prog_type))
		return proof_context_bytes(c, regno, size);
	if ((arg & EARG_NULL) && (arg & EARG_FIXED))
		r.flags &= (u16)~VREG_NULL;
	if (!(arg & EARG_UNINIT))
		e = proof_access(c, &r, 0, size, false, &span);
	if (!e && write)
		e = proof_access(c, &r, 0, size, true, &span);
	if (e || r.type != VT_STACK)
		return e;
	/* else what was there may be read afterwards, and has to be zero */
	if ((arg & EARG_WHOLE) && span.fixed)
		return proof_stack_write(c, r.obj, &span, NULL);
	return proof_stack_arg(c, r.obj, &span, EBPF_MUTANT(81, write, false));
}

static int sized(struct proof_check *c, u32 regno, u32 arg, struct proof_args *a)
{
	const struct ebpf_vreg *size = proof_reg(c, regno + 1);

	if (size->type != VT_SCALAR || size->val.umax >= MAX_SIZE)
		return proof_fail(c, "R%u is a length without bounds", regno + 1);
	a->longest = MAX(a->longest, size->val.umax);
	if (ebpf_scalar_is_const(&size->val))
		a->alloc = (u32)size->val.umin;
	else
		arg &= ~EARG_WHOLE;
	if (proof_is_zero(proof_reg(c, regno)) && (arg & EARG_NULL))
		return size->val.umax ? proof_fail(c, "R%u is NULL", regno) : 0;
	return region(c, regno, (u32)EBPF_MUTANT(82, size->val.umax, size->val.umin), arg);
}

static int map_memory(struct proof_check *c, u32 regno, u32 arg, const struct proof_args *a)
{
	const struct ebpf_map_meta *meta = proof_map_meta(c, &a->map);
	bool key = (arg & EARG_KIND) == EARG_MAP_KEY;

	if (a->map.type != VT_MAP || !meta)
		return proof_fail(c, "a key or value of no map");
	return region(c, regno, key ? meta->key_size : meta->value_size, arg);
}

/* --- places in a map's value ----------------------------------------------------------------- */

/* R@regno is an address in a map's own value that is known: the map and *at; else NULL. */
static const struct ebpf_vmap *place_in_map(const struct proof_check *c, u32 regno, s64 *at)
{
	const struct ebpf_vreg *r = ebpf_vreg(&c->p->st, regno);

	*at = r->off + r->val.smin;
	if (r->type != VT_MAP_VALUE || (r->flags & (VREG_NULL | VREG_INNER)) ||
	    !ebpf_scalar_is_const(&r->val) || r->obj >= c->prog->nmaps)
		return NULL;
	return &c->prog->maps[r->obj];
}

/* A string that nobody can change and that ends. */
static int const_str(struct proof_check *c, u32 regno)
{
	s64 at;
	const struct ebpf_vmap *map = place_in_map(c, regno, &at);

	if (!map || !proof_map_constant(map) || at < 0 || at >= map->meta.value_size ||
	    !memchr(map->contents + at, 0, map->meta.value_size - (size_t)at))
		return proof_fail(c, "R%u is no constant string", regno);
	return 0;
}

static int field(struct proof_check *c, u32 regno, u32 kind)
{
	s64 at;
	const struct ebpf_vmap *map = place_in_map(c, regno, &at);

	for (u32 i = 0; map && i < map->nfields; i++)
		if (map->fields[i].kind == kind && map->fields[i].off == at)
			return 0;
	return proof_fail(c, "R%u points beside the field", regno);
}

/* --- other arguments ------------------------------------------------------------------------- */

/* What some kinds are: this type of value, at its beginning or anywhere. */
static const struct {
	u8 type;
	bool anywhere;
	const char *name;
} what[] = {
	[EARG_SCALAR] = {VT_SCALAR, true, "a number"},
	[EARG_ALLOC_SIZE] = {VT_SCALAR, true, "a number"},
	[EARG_CTX] = {VT_CTX, false, "the context"},
	[EARG_MAP] = {VT_MAP, false, "a map"},
	[EARG_RINGBUF_MEM] = {VT_MEM, false, "the start of a sample"},
	[EARG_FUNC] = {VT_FUNC, false, "a function"},
	[EARG_STACK] = {VT_STACK, true, "in the stack"},
};

static int is_what(struct proof_check *c, u32 regno, u32 kind)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);

	if (kind >= ARRAY_SIZE(what) || !what[kind].name)
		return 0;
	if (r->type != what[kind].type || (r->flags & VREG_NULL) ||
	    !(what[kind].anywhere || proof_unmoved(r)))
		return proof_fail(c, "R%u is not %s", regno, what[kind].name);
	return 0;
}

static int map_arg(struct proof_check *c, u32 regno, struct proof_args *a)
{
	const struct ebpf_map_meta *meta;

	a->map = *proof_reg(c, regno);
	meta = proof_map_meta(c, &a->map);
	if (!meta || EBPF_MUTANT(83, !ebpf_proto_map_ok(a->proto, meta->type), false))
		return proof_fail(c, "a map of that type has no such function");
	return 0;
}

static int sample_arg(struct proof_check *c, u32 regno, struct proof_args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);

	a->release = r->ref_id;
	return r->flags & VREG_RINGBUF ? 0 : proof_fail(c, "R%u is no sample", regno);
}

static int dynptr_arg(struct proof_check *c, u32 regno, u32 arg, struct proof_args *a)
{
	int e;

	if (arg & EARG_UNINIT)
		return 0; /* made when the other arguments are known */
	e = proof_dynptr(c, regno, &a->dynptr);
	if (!e && (arg & EARG_RINGBUF) && a->dynptr.dyn != VDYN_RINGBUF)
		return proof_fail(c, "not a ring buffer's dynptr");
	a->release = a->dynptr.ref_id;
	return e;
}

static int alloc_size(struct proof_check *c, u32 regno, struct proof_args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);

	if (!ebpf_scalar_is_const(&r->val) || r->val.umin >= MAX_SIZE)
		return proof_fail(c, "R%u is not a constant", regno);
	a->alloc = (u32)r->val.umin;
	return 0;
}

int proof_arg(struct proof_check *c, u32 regno, u32 arg, struct proof_args *a)
{
	u32 kind = arg & EARG_KIND;
	int e = proof_readable(c, regno);

	if (e)
		return e;
	if (EBPF_MUTANT(130, proof_reg(c, regno)->type == VT_CTX && a->proto, false))
		c->facts->insn[c->p->pc] |= EBPF_FACT_CTX_ESCAPES;
	a->releases |= arg & EARG_RELEASE;
	if ((arg & EARG_NULL) && proof_is_zero(proof_reg(c, regno)) &&
	    (kind != EARG_MEM || (arg & EARG_FIXED)))
		return 0;
	e = is_what(c, regno, kind);
	if (e)
		return e;
	switch (kind) {
	case EARG_ALLOC_SIZE:
		return alloc_size(c, regno, a);
	case EARG_MAP:
		return map_arg(c, regno, a);
	case EARG_MAP_KEY:
	case EARG_MAP_VALUE:
		return map_memory(c, regno, arg, a);
	case EARG_MEM:
		return arg & EARG_FIXED ? region(c, regno, a->fixed, arg) : sized(c, regno, arg, a);
	case EARG_RINGBUF_MEM:
		return sample_arg(c, regno, a);
	case EARG_FUNC:
		a->func = proof_reg(c, regno)->obj;
		return 0;
	case EARG_CONST_STR:
		return const_str(c, regno);
	case EARG_SPIN_LOCK:
		return field(c, regno, EBPF_FIELD_SPIN_LOCK);
	case EARG_TIMER:
		return field(c, regno, EBPF_FIELD_TIMER);
	case EARG_DYNPTR:
		return dynptr_arg(c, regno, arg, a);
	case EARG_ANY:
	case EARG_SCALAR:
	case EARG_CTX:
	case EARG_STACK:
	case EARG_SIZE: /* with the memory before */
	case EARG_SIZE0:
	case EARG_ITER_NUM: /* with what the function does */
	case EARG_ITER_BITS:
		return 0;
	default:
		return proof_fail(c, "an argument of an unknown kind");
	}
}

static int new_dynptr(struct proof_check *c, u32 regno, u32 arg, const struct proof_args *a)
{
	struct ebpf_vreg like;
	int e = 0;

	ebpf_vreg_none(&like);
	if (arg & EARG_LOCAL) {
		like.dyn = VDYN_LOCAL;
		/* it outlives this call: its memory must, too */
		if (proof_reg(c, BPF_REG_1)->type != VT_MAP_VALUE)
			return proof_fail(c, "a dynptr to memory that may end before it");
	} else if (arg & EARG_RINGBUF) {
		like.dyn = VDYN_RINGBUF;
		e = proof_acquire(c, VREF_PTR, &like.ref_id);
	} else { /* a clone */
		like.dyn = a->dynptr.dyn;
		like.flags = a->dynptr.flags & VREG_RDONLY;
		like.ref_id = a->dynptr.ref_id;
	}
	return e ? e : proof_object_new(c, regno, arg, &like);
}

static int all_args(struct proof_check *c, struct proof_args *a)
{
	const u32 *arg = a->proto->arg;
	u32 i;
	int e = 0;

	for (i = 0; !e && i < 5 && arg[i] != EARG_NONE; i++)
		e = proof_arg(c, BPF_REG_1 + i, arg[i], a);
	for (i = 0; !e && i < 5; i++)
		if ((arg[i] & EARG_KIND) == EARG_DYNPTR && (arg[i] & EARG_UNINIT))
			e = new_dynptr(c, BPF_REG_1 + i, arg[i], a);
	return e;
}

/* --- what is returned ------------------------------------------------------------------------ */

static int in_range(struct ebpf_vreg *r, s64 min, s64 max)
{
	struct ebpf_scalar limit;

	ebpf_vreg_unknown(r);
	ebpf_scalar_const(&limit, (u64)max);
	ebpf_scalar_refine(&r->val, &limit, BPF_JSLE, false, true);
	ebpf_scalar_const(&limit, (u64)min);
	ebpf_scalar_refine(&r->val, &limit, BPF_JSGE, false, true);
	return 0;
}

/* A map's value, or of a map of maps a map. */
static int map_result(struct proof_check *c, struct ebpf_vreg *r0, const struct proof_args *a)
{
	u32 type = proof_map_meta(c, &a->map)->type;
	bool outer = type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;

	ebpf_vreg_pointer(r0, outer ? VT_MAP : VT_MAP_VALUE, a->map.obj,
			  VREG_NULL | (a->map.flags & VREG_INNER) | (outer ? VREG_INNER : 0));
	r0->id = ++c->next_id;
	r0->uid = outer ? ++c->next_id : a->map.uid;
	return 0;
}

/* Memory that was acquired, or a dynptr's: then it is there as long as that one's reference is. */
static int memory_result(struct proof_check *c, struct ebpf_vreg *r0, const struct proof_args *a)
{
	bool sample = a->proto->ret == ERET_RINGBUF_MEM;
	bool rdonly = !sample && ((a->dynptr.flags & VREG_RDONLY) ||
				  a->proto == ebpf_proto_kfunc(EKFUNC_DYNPTR_SLICE));
	int e = 0;

	ebpf_vreg_pointer(r0, VT_MEM, 0,
			  VREG_NULL | (sample ? VREG_RINGBUF : VREG_SLICE) |
				  (rdonly ? VREG_RDONLY : 0));
	r0->mem_size = a->alloc;
	r0->ref_id = a->dynptr.ref_id;
	if (sample)
		e = proof_acquire(c, VREF_PTR, &r0->ref_id);
	r0->id = sample ? r0->ref_id : ++c->next_id;
	return e;
}

static int result(struct proof_check *c, const struct proof_args *a)
{
	struct ebpf_vreg *r0 = proof_reg(c, BPF_REG_0);

	switch (a->proto->ret) {
	case ERET_VOID:
		return 0;
	case ERET_LENGTH:
		return in_range(r0, -MAX_ERRNO, (s64)a->longest);
	case ERET_CPU:
		return in_range(r0, 0, MAX(c->prog->nr_cpus, 1u) - 1);
	case ERET_BOOL:
		return in_range(r0, 0, 255);
	case ERET_U32:
	case ERET_S32:
		return in_range(r0, 0, UINT32_MAX);
	case ERET_MAP_VALUE:
		return map_result(c, r0, a);
	case ERET_RINGBUF_MEM:
	case ERET_DYNPTR_MEM:
	case ERET_SLICE:
		return memory_result(c, r0, a);
	default:
		ebpf_vreg_unknown(r0);
		return 0;
	}
}

static int finish(struct proof_check *c, const struct proof_args *a)
{
	ebpf_vframe(&c->p->st)->cb_depth = 0;
	proof_clobber(c);
	c->p->pc++;
	return result(c, a);
}

/* --- callbacks ------------------------------------------------------------------------------- */

static void callback_args(struct proof_check *c, const struct proof_args *a,
			  const struct ebpf_vreg *ctx)
{
	struct ebpf_vframe *f = ebpf_vframe(&c->p->st);
	struct ebpf_vreg *r = f->regs;

	f->ret_max = 1;
	switch (a->proto->callback) {
	case ECB_FOR_EACH:
		proof_value_args(f, &a->map);
		r[BPF_REG_4] = *ctx;
		return;
	case ECB_LOOP:
		ebpf_vreg_unknown(&r[BPF_REG_1]);
		break;
	default: /* its bytes are the map's, and there as long as that: no reference is needed */
		ebpf_vreg_pointer(&r[BPF_REG_1], VT_DYNPTR, 0, VREG_RDONLY);
		r[BPF_REG_1].dyn = VDYN_LOCAL;
	}
	r[BPF_REG_2] = *ctx;
}

/* bpf_loop has called as often as it was told to. */
static bool called_enough(struct proof_check *c, const struct proof_args *a)
{
	const struct ebpf_vreg *times = proof_reg(c, BPF_REG_1);

	return a->proto->callback == ECB_LOOP &&
	       ebpf_vframe(&c->p->st)->cb_depth >=
		       EBPF_MUTANT(86, times->val.umax, times->val.umin);
}

/* One path goes on, the other into the function and back to the call. */
static int call_back(struct proof_check *c, const struct proof_args *a)
{
	struct ebpf_vreg ctx = *proof_reg(c, BPF_REG_3);
	struct proof_path *on, *self = c->p;
	int e;

	if (a->proto->callback == ECB_TIMER) {
		e = proof_entry(c, a->func, proof_reg(c, BPF_REG_1)->obj);
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

/* --- what is done ---------------------------------------------------------------------------- */

/* A map that programs may not write may hold constants. */
static int writable(struct proof_check *c, const struct proof_args *a)
{
	const struct ebpf_map_meta *meta = proof_map_meta(c, &a->map);

	if (!meta || EBPF_MUTANT(92, meta->map_flags & BPF_F_RDONLY_PROG, false))
		return proof_fail(c, "a map that programs may not write");
	return 0;
}

/* A timer is started with the map it lies in: that one its callback gets. */
static int timer_of_map(struct proof_check *c, const struct proof_args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, BPF_REG_1);

	if (EBPF_MUTANT(93, r->obj != a->map.obj || r->uid != a->map.uid, false) ||
	    (a->map.flags & VREG_INNER))
		return proof_fail(c, "a timer with the map of another");
	return 0;
}

static const struct {
	u16 flag;
	u8 kind;
	bool enter;
} sections[] = {
	{EPROTO_RCU_LOCK, VREF_RCU, true},
	{EPROTO_RCU_UNLOCK, VREF_RCU, false},
	{EPROTO_PREEMPT_OFF, VREF_PREEMPT, true},
	{EPROTO_PREEMPT_ON, VREF_PREEMPT, false},
};

static int effects(struct proof_check *c, const struct proof_args *a)
{
	u32 flags = a->proto->flags;
	int e = 0;

	if (flags & EPROTO_MOVES_PKT)
		proof_forget_packets(c);
	if ((flags & EPROTO_LEAVES) && c->p->st.nrefs)
		return proof_fail(c, "a tail call with something held");
	if (flags & EPROTO_CHANGES_MAP)
		e = writable(c, a);
	if (!e && (a->proto->arg[0] & EARG_KIND) == EARG_TIMER && a->map.type == VT_MAP)
		e = timer_of_map(c, a);
	if (!e && (flags & (EPROTO_LOCK | EPROTO_UNLOCK)))
		e = proof_lock(c, BPF_REG_1, flags & EPROTO_LOCK);
	for (u32 i = 0; !e && i < ARRAY_SIZE(sections); i++)
		if (flags & sections[i].flag)
			e = proof_section(c, sections[i].kind, sections[i].enter);
	if (!e && (flags & EPROTO_ITER_NEW))
		e = proof_iter_new(c, BPF_REG_1, a->proto->arg[0]);
	if (!e && (flags & EPROTO_ITER_DESTROY))
		return proof_iter_destroy(c, BPF_REG_1, a->proto->arg[0]);
	return !e && a->releases ? proof_release(c, a->release) : e;
}

/* An iterator's element, and on another path none. */
static int next(struct proof_check *c, const struct proof_args *a)
{
	struct proof_path *end;
	struct ebpf_vreg *r0;
	u32 ref;
	int e = proof_iter_next(c, BPF_REG_1, a->proto->arg[0], &end, &ref);

	if (e)
		return e;
	for (u32 i = BPF_REG_0; i <= BPF_REG_5; i++)
		ebpf_vreg_none(ebpf_vreg(&end->st, i));
	ebpf_vreg_const(ebpf_vreg(&end->st, BPF_REG_0), 0);
	e = finish(c, a);
	r0 = proof_reg(c, BPF_REG_0);
	ebpf_vreg_pointer(r0, VT_MEM, 0, VREG_RDONLY);
	r0->mem_size = a->proto->fixed;
	r0->ref_id = ref;
	return e;
}

int proof_call(struct proof_check *c, const struct bpf_insn *in)
{
	bool kfunc = in->src_reg == BPF_PSEUDO_KFUNC_CALL;
	u32 id = (u32)in->imm;
	struct proof_args a = {.proto = kfunc ? ebpf_proto_kfunc(id)
					      : ebpf_proto_helper(id, c->prog->prog_type)};
	int e;

	if (!a.proto || in->off)
		return proof_fail(c, "a function that isn't known");
	a.fixed = a.proto->fixed;
	if (!kfunc && id < 256)
		c->facts->helpers[id / 64] |= 1ull << (id % 64);
	if (proof_locked(c) && !(a.proto->flags & EPROTO_UNLOCK))
		return proof_fail(c, "a call while a lock is held");
	e = all_args(c, &a);
	e = e ? e : effects(c, &a);
	if (e)
		return e;
	if (a.proto->flags & EPROTO_ITER_NEXT)
		return next(c, &a);
	return a.proto->callback ? call_back(c, &a) : finish(c, &a);
}
