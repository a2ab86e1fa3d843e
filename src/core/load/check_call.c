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
static void region(struct proof_check *c, u32 regno, u32 size, u32 arg)
{
	struct ebpf_vreg r = *proof_reg(c, regno);
	bool write = arg & (EARG_WRITE | EARG_UNINIT);
	struct proof_span span;

	if (!size)
		return;
	if (r.type == VT_CTX && !write && ebpf_ctx_is_memory(c->prog->prog_type))
		return proof_context_bytes(c, regno, size);
	if ((arg & EARG_NULL) && (arg & EARG_FIXED))
		r.flags &= (u16)~VREG_NULL;
	if (!(arg & EARG_UNINIT))
		span = proof_access(c, &r, 0, size, false);
	if (write)
		span = proof_access(c, &r, 0, size, true);
	if (r.type != VT_STACK)
		return;
	/* else what was there may be read afterwards, and has to be zero */
	if ((arg & EARG_WHOLE) && span.fixed)
		return proof_stack_write(c, r.obj, &span, NULL);
	proof_stack_arg(c, r.obj, &span, EBPF_MUTANT(81, write, false));
}

static void memory(struct proof_check *c, u32 regno, u32 arg, struct proof_args *a)
{
	const struct ebpf_vreg *size = proof_reg(c, regno + 1);

	if (arg & EARG_FIXED)
		return region(c, regno, a->fixed, arg);
	if (size->type != VT_SCALAR || size->val.umax >= MAX_SIZE)
		proof_fail(c, "R%u is a length without bounds", regno + 1);
	a->longest = MAX(a->longest, size->val.umax);
	if (ebpf_scalar_is_const(&size->val))
		a->alloc = (u32)size->val.umin;
	else
		arg &= ~EARG_WHOLE;
	if (!proof_is_zero(proof_reg(c, regno)) || !(arg & EARG_NULL))
		return region(c, regno, (u32)EBPF_MUTANT(82, size->val.umax, size->val.umin), arg);
	if (size->val.umax)
		proof_fail(c, "R%u is NULL", regno);
}

static void map_memory(struct proof_check *c, u32 regno, u32 arg, struct proof_args *a)
{
	const struct ebpf_map_meta *meta;

	proof_need(c, a->map.type == VT_MAP, "a key or value of no map");
	meta = proof_map_meta(c, &a->map);
	region(c, regno, (arg & EARG_KIND) == EARG_MAP_KEY ? meta->key_size : meta->value_size,
	       arg);
}

/* --- places in a map's value ----------------------------------------------------------------- */

/* R@regno is an address in a map's own value that is known: the map and *at; else NULL. */
static const struct ebpf_vmap *place_in_map(struct proof_check *c, u32 regno, s64 *at)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);

	*at = r->val.smin;
	if (r->type != VT_MAP_VALUE || (r->flags & (VREG_NULL | VREG_INNER)) ||
	    !ebpf_scalar_is_const(&r->val) || r->obj >= c->prog->nmaps)
		return NULL;
	return &c->prog->maps[r->obj];
}

/* A string that nobody can change and that ends. */
static void const_str(struct proof_check *c, u32 regno, u32 arg __maybe_unused,
		      struct proof_args *a __maybe_unused)
{
	s64 at;
	const struct ebpf_vmap *map = place_in_map(c, regno, &at);

	if (!map || !proof_map_constant(map) || at < 0 || at >= map->meta.value_size ||
	    !memchr(map->contents + at, 0, map->meta.value_size - (size_t)at))
		proof_fail(c, "R%u is no constant string", regno);
}

static void field(struct proof_check *c, u32 regno, u32 arg, struct proof_args *a __maybe_unused)
{
	u32 kind = (arg & EARG_KIND) == EARG_TIMER ? EBPF_FIELD_TIMER : EBPF_FIELD_SPIN_LOCK;
	s64 at;
	const struct ebpf_vmap *map = place_in_map(c, regno, &at);

	for (u32 i = 0; map && i < map->nfields; i++)
		if (map->fields[i].kind == kind && map->fields[i].off == at)
			return;
	proof_fail(c, "R%u points beside the field", regno);
}

/* --- other arguments ------------------------------------------------------------------------- */

static void map_arg(struct proof_check *c, u32 regno, u32 arg __maybe_unused, struct proof_args *a)
{
	a->map = *proof_reg(c, regno);
	proof_need(c,
		   EBPF_MUTANT(83, ebpf_proto_map_ok(a->proto, proof_map_meta(c, &a->map)->type),
			       true),
		   "a map of that type has no such function");
}

static void sample(struct proof_check *c, u32 regno, u32 arg __maybe_unused, struct proof_args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);

	a->release = r->ref_id;
	if (!(r->flags & VREG_RINGBUF))
		proof_fail(c, "R%u is no sample", regno);
}

/* One that is made is made when the other arguments are known. */
static void object(struct proof_check *c, u32 regno, u32 arg, struct proof_args *a)
{
	if (arg & EARG_UNINIT)
		return;
	a->object = proof_object(c, regno, arg).value;
	a->release = a->object.ref_id;
	proof_need(c, !(arg & EARG_RINGBUF) || a->object.dyn == VDYN_RINGBUF,
		   "not a ring buffer's dynptr");
}

static void alloc_size(struct proof_check *c, u32 regno, u32 arg __maybe_unused,
		       struct proof_args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);

	if (!ebpf_scalar_is_const(&r->val) || r->val.umin >= MAX_SIZE)
		proof_fail(c, "R%u is not a constant", regno);
	a->alloc = (u32)r->val.umin;
}

/*
 * What an argument of a kind has to be: this type of value, if one is named, at its beginning or
 * anywhere, and what else. Lengths are looked at with the memory before.
 */
static const struct rule {
	u8 type;
	bool anywhere;
	const char *name;
	void (*also)(struct proof_check *c, u32 regno, u32 arg, struct proof_args *a);
} rules[] = {
	[EARG_SCALAR] = {VT_SCALAR, true, "a number", NULL},
	[EARG_CTX] = {VT_CTX, false, "the context", NULL},
	[EARG_MAP] = {VT_MAP, false, "a map", map_arg},
	[EARG_MAP_KEY] = {.also = map_memory},
	[EARG_MAP_VALUE] = {.also = map_memory},
	[EARG_MEM] = {.also = memory},
	[EARG_ALLOC_SIZE] = {VT_SCALAR, true, "a number", alloc_size},
	[EARG_RINGBUF_MEM] = {VT_MEM, false, "the start of a sample", sample},
	[EARG_FUNC] = {VT_FUNC, false, "a function", NULL},
	[EARG_STACK] = {VT_STACK, true, "in the stack", NULL},
	[EARG_CONST_STR] = {.also = const_str},
	[EARG_SPIN_LOCK] = {.also = field},
	[EARG_TIMER] = {.also = field},
	[EARG_DYNPTR] = {.also = object},
	[EARG_ITER_NUM] = {.also = object},
	[EARG_ITER_BITS] = {.also = object},
};

void proof_arg(struct proof_check *c, u32 regno, u32 arg, struct proof_args *a)
{
	const struct ebpf_vreg *r = proof_readable(c, regno);
	const struct rule *rule;

	if ((arg & EARG_KIND) == EARG_NONE || (arg & EARG_KIND) >= ARRAY_SIZE(rules))
		proof_fail(c, "an argument of an unknown kind");
	rule = &rules[arg & EARG_KIND];
	if (EBPF_MUTANT(130, r->type == VT_CTX && a->proto, false))
		proof_fact(c, EBPF_FACT_CTX_ESCAPES);
	a->releases |= arg & EARG_RELEASE;
	if ((arg & EARG_NULL) && proof_is_zero(r) && (rule->also != memory || (arg & EARG_FIXED)))
		return;
	if (rule->name && (r->type != rule->type || (r->flags & VREG_NULL) ||
			   !(rule->anywhere || proof_unmoved(r))))
		proof_fail(c, "R%u is not %s", regno, rule->name);
	if (r->type == VT_FUNC)
		a->func = r->obj;
	if (rule->also)
		rule->also(c, regno, arg, a);
}

static void new_object(struct proof_check *c, u32 regno, u32 arg, const struct proof_args *a)
{
	struct ebpf_vreg like;

	ebpf_vreg_none(&like);
	if (arg & EARG_LOCAL) {
		like.dyn = VDYN_LOCAL;
		proof_need(c, proof_reg(c, BPF_REG_1)->type == VT_MAP_VALUE,
			   "a dynptr to memory that may end before it");
	} else if (arg & EARG_RINGBUF) {
		like.dyn = VDYN_RINGBUF;
		like.ref_id = proof_acquire(c, VREF_PTR);
	} else if ((arg & EARG_KIND) == EARG_DYNPTR) { /* a clone */
		like.dyn = a->object.dyn;
		like.flags = a->object.flags & VREG_RDONLY;
		like.ref_id = a->object.ref_id;
	} else {
		like.obj = VITER_ACTIVE;
		like.ref_id = proof_acquire(c, VREF_PTR);
	}
	proof_object_new(c, regno, arg, &like);
}

static void all_args(struct proof_check *c, struct proof_args *a)
{
	const u32 *arg = a->proto->arg;

	for (u32 i = 0; i < 5 && arg[i] != EARG_NONE; i++)
		proof_arg(c, BPF_REG_1 + i, arg[i], a);
	for (u32 i = 0; i < 5 && arg[i] != EARG_NONE; i++)
		if ((arg[i] & EARG_UNINIT) && rules[arg[i] & EARG_KIND].also == object)
			new_object(c, BPF_REG_1 + i, arg[i], a);
}

/* --- what is returned ------------------------------------------------------------------------ */

/* A map's value, or of a map of maps a map. */
static void map_result(struct proof_check *c, struct ebpf_vreg *r0, const struct proof_args *a)
{
	u32 type = proof_map_meta(c, &a->map)->type;
	bool outer = type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;

	ebpf_vreg_pointer(r0, outer ? VT_MAP : VT_MAP_VALUE, a->map.obj,
			  VREG_NULL | (a->map.flags & VREG_INNER) | (outer ? VREG_INNER : 0));
	r0->id = ++c->next_id;
	r0->uid = outer ? ++c->next_id : a->map.uid;
}

/* Memory that was acquired, or a dynptr's: then it is there as long as that one's reference is. */
static void memory_result(struct proof_check *c, struct ebpf_vreg *r0, const struct proof_args *a)
{
	bool sample = a->proto->ret == ERET_RINGBUF_MEM;
	bool rdonly = !sample && ((a->object.flags & VREG_RDONLY) ||
				  a->proto == ebpf_proto_kfunc(EKFUNC_DYNPTR_SLICE));

	ebpf_vreg_pointer(r0, VT_MEM, 0,
			  VREG_NULL | (sample ? VREG_RINGBUF : VREG_SLICE) |
				  (rdonly ? VREG_RDONLY : 0));
	r0->mem_size = a->alloc;
	r0->ref_id = sample ? proof_acquire(c, VREF_PTR) : a->object.ref_id;
	r0->id = sample ? r0->ref_id : ++c->next_id;
}

/* The call is over: the path goes on behind it. */
static void finish(struct proof_check *c, const struct proof_args *a)
{
	struct ebpf_vreg *r0 = proof_reg(c, BPF_REG_0);

	ebpf_vframe(&c->p->st)->cb_depth = 0;
	proof_clobber(c);
	c->p->pc++;
	ebpf_vreg_unknown(r0);
	switch (a->proto->ret) {
	case ERET_VOID:
		return ebpf_vreg_none(r0);
	case ERET_LENGTH:
		return ebpf_scalar_range(&r0->val, -MAX_ERRNO, (s64)a->longest);
	case ERET_CPU:
		return ebpf_scalar_range(&r0->val, 0, MAX(c->prog->nr_cpus, 1u) - 1);
	case ERET_BOOL:
		return ebpf_scalar_range(&r0->val, 0, 255);
	case ERET_U32:
	case ERET_S32:
		return ebpf_scalar_range(&r0->val, 0, UINT32_MAX);
	case ERET_MAP_VALUE:
		return map_result(c, r0, a);
	case ERET_RINGBUF_MEM:
	case ERET_DYNPTR_MEM:
	case ERET_SLICE:
		return memory_result(c, r0, a);
	case ERET_INT_PTR:
	case ERET_KERN_CTX: /* the context's memory */
	case ERET_MEM:
		ebpf_vreg_pointer(r0, VT_MEM, 0, a->proto->ret == ERET_MEM ? 0 : VREG_RDONLY);
		r0->mem_size = a->proto->fixed;
	}
}

/* --- callbacks ------------------------------------------------------------------------------- */

static void callback_args(struct proof_check *c, const struct proof_args *a,
			  const struct ebpf_vreg *ctx)
{
	struct ebpf_vframe *f = ebpf_vframe(&c->p->st);
	struct ebpf_vreg *r = f->regs;
	/* a dynptr's bytes are the map's, and there as long as that: no reference is needed */
	u32 first = a->proto->callback == ECB_LOOP ? EARG_SCALAR : EARG_DYNPTR;

	f->ret_max = 1;
	if (a->proto->callback == ECB_FOR_EACH) {
		proof_value_args(f, &a->map);
		r[BPF_REG_4] = *ctx;
	} else {
		proof_any_arg(c, first, 0, &r[BPF_REG_1]);
		r[BPF_REG_2] = *ctx;
	}
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
static void call_back(struct proof_check *c, const struct proof_args *a)
{
	const struct ebpf_vreg ctx = *proof_reg(c, BPF_REG_3);
	bool more = !called_enough(c, a);

	if (more)
		proof_fork(c, c->p->pc);
	finish(c, a);
	if (!more)
		return;
	proof_swap(c);
	ebpf_vframe(&c->p->st)->cb_depth++;
	proof_enter(c, a->func, true);
	callback_args(c, a, &ctx);
}

/* An iterator's element, and on another path none. */
static void next(struct proof_check *c, const struct proof_args *a)
{
	struct proof_object o = proof_object(c, BPF_REG_1, a->proto->arg[0]);

	proof_fork(c, c->p->pc);
	proof_budget_use(&c->p->budgets, BUDGET_ITER, o.frame, o.slot);
	finish(c, a);
	proof_reg(c, BPF_REG_0)->ref_id = o.value.ref_id;
	proof_swap(c);
	c->p->st.frame[o.frame]->slots[o.slot].spilled.obj = VITER_DRAINED;
	finish(c, a);
	ebpf_vreg_const(proof_reg(c, BPF_REG_0), 0);
}

/* --- what is done ---------------------------------------------------------------------------- */

/* A timer is started with the map it lies in: that one its callback gets. */
static void timer_of_map(struct proof_check *c, const struct proof_args *a)
{
	const struct ebpf_vreg *r = proof_reg(c, BPF_REG_1);

	proof_need(c,
		   EBPF_MUTANT(93, r->obj == a->map.obj && r->uid == a->map.uid, true) &&
			   !(a->map.flags & VREG_INNER),
		   "a timer with the map of another");
}

static void effects(struct proof_check *c, const struct proof_args *a)
{
	u32 flags = a->proto->flags, kind = a->proto->arg[0] & EARG_KIND;

	if (flags & EPROTO_MOVES_PKT)
		proof_forget_packets(c);
	proof_need(c, !(flags & EPROTO_LEAVES) || !c->p->st.nrefs,
		   "a tail call with something held");
	if (flags & EPROTO_CHANGES_MAP) /* one that programs may not write may hold constants */
		proof_need(c,
			   EBPF_MUTANT(92,
				       !(proof_map_meta(c, &a->map)->map_flags & BPF_F_RDONLY_PROG),
				       true),
			   "a map that programs may not write");
	if (kind == EARG_TIMER && a->map.type == VT_MAP)
		timer_of_map(c, a);
	if (a->proto->callback == ECB_TIMER)
		proof_entry(c, a->func, proof_reg(c, BPF_REG_1)->obj);
	if (a->proto->section)
		proof_section(c, a->proto->section, flags & EPROTO_ENTERS, proof_reg(c, BPF_REG_1));
	if (a->releases)
		proof_release(c, a->release);
	if (a->proto->ret == ERET_KERN_CTX)
		proof_context_bytes(c, BPF_REG_1, a->proto->fixed);
}

void proof_call(struct proof_check *c, const struct bpf_insn *in)
{
	bool kfunc = in->src_reg == BPF_PSEUDO_KFUNC_CALL;
	u32 id = (u32)in->imm, attach = c->prog->expected_attach_type;
	struct proof_args a = {.proto = kfunc ? ebpf_ctx_kfunc(id, c->prog->prog_type, attach)
					      : ebpf_proto_helper(id, c->prog->prog_type)};

	proof_need(c, a.proto && !in->off, "a function that isn't known");
	a.fixed = a.proto->fixed;
	if (!kfunc && id < 256)
		c->facts->helpers[id / 64] |= 1ull << (id % 64);
	proof_need(c, !proof_locked(c) || a.proto->section == VREF_LOCK,
		   "a call while a lock is held");
	all_args(c, &a);
	effects(c, &a);
	if (a.proto->flags & EPROTO_ITER_NEXT)
		next(c, &a);
	else if (a.proto->callback && a.proto->callback != ECB_TIMER)
		call_back(c, &a);
	else
		finish(c, &a);
}
