/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of what is not walked from here: helpers, kernel functions, global functions.
 *
 * Model: a row (verify_proto.h) says what each argument must be and what else the function does; of
 * a global function, which is checked by itself, its types do. Whatever a function may write is
 * unknown afterwards; R1 to R5 are gone. One that calls back is two paths: one into the callback,
 * which comes back to the call, and one that goes on.
 */
#include <string.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"
#include "core/load/verify_ctx.h"
#include "core/load/verify_proto.h"

#define MAX_SIZE (1u << 29)
#define MAX_ERRNO 4095

struct call {
	const struct ebpf_proto *proto;
	const struct ebpf_sig *sig; /* of a global function, else NULL */
	/* the argument that is looked at */
	u32 regno, arg;		   /* EARG_* */
	const struct ebpf_vreg *r; /* what it is */
	/* what has been seen of all of them */
	struct ebpf_vreg map;	 /* VT_NONE: none */
	struct ebpf_vreg object; /* dynptr or iterator */
	u32 alloc;		 /* EARG_ALLOC_SIZE or a constant EARG_SIZE */
	u32 func;		 /* EARG_FUNC: subprogram */
	u64 longest;		 /* of the lengths */
	bool releases;		 /* reference */
	u32 release;
};

/* --- memory ---------------------------------------------------------------------------------- */

/* Memory that is only read if it is there (EARG_NULL with EARG_FIXED) the function looks at. */
static void region(struct proof_check *c, const struct call *k, u64 size)
{
	const bool write = k->arg & (EARG_WRITE | EARG_UNINIT);
	struct ebpf_vreg r = *k->r;
	struct proof_span span;

	if (!size)
		return;
	if (r.type == VT_CTX && !write && ebpf_ctx_is_memory(c->prog->prog_type))
		return proof_context_bytes(c, k->regno, (u32)size);
	if ((k->arg & EARG_NULL) && (k->arg & EARG_FIXED))
		r.flags &= (u16)~VREG_NULL;
	if (!(k->arg & EARG_UNINIT))
		span = proof_access(c, &r, 0, (u32)size, false);
	if (write)
		span = proof_access(c, &r, 0, (u32)size, true);
	/* else what was there may be read afterwards, and has to be zero */
	if (r.type == VT_STACK && (k->arg & EARG_WHOLE) && span.fixed)
		proof_stack_write(c, r.obj, &span, NULL);
	else if (r.type == VT_STACK)
		proof_stack_arg(c, r.obj, &span, EBPF_MUTANT(81, write, false));
}

static void memory(struct proof_check *c, struct call *k)
{
	const struct ebpf_vreg *size = proof_reg(c, k->regno + 1);

	if (k->arg & EARG_FIXED)
		return region(c, k, k->sig ? k->sig->arg[k->regno - 1].size : k->proto->fixed);
	proof_need(c, size->type == VT_SCALAR && size->val.umax < MAX_SIZE,
		   "a length without bounds");
	k->longest = MAX(k->longest, size->val.umax);
	if (ebpf_scalar_is_const(&size->val))
		k->alloc = (u32)size->val.umin;
	else
		k->arg &= ~EARG_WHOLE;
	if (!proof_is_zero(k->r) || !(k->arg & EARG_NULL))
		return region(c, k, EBPF_MUTANT(82, size->val.umax, size->val.umin));
	proof_need(c, !size->val.umax, "NULL for memory");
}

/* --- places in a map's value ----------------------------------------------------------------- */

/* A string that nobody can change and that ends. */
static void const_str(struct proof_check *c, const struct call *k)
{
	u32 room;
	const u8 *text = proof_constant(c, k->r, 0, &room);

	proof_need(c, text && memchr(text, 0, room), "no constant string");
}

/* A lock or a timer, exactly. */
static void field(struct proof_check *c, const struct call *k, u32 kind)
{
	const struct ebpf_vmap *map = proof_map_of_value(c, k->r);

	for (u32 i = 0; map && i < map->nfields; i++)
		if (map->fields[i].kind == kind && map->fields[i].off == k->r->val.smin &&
		    ebpf_scalar_is_const(&k->r->val))
			return;
	proof_fail(c, "R%u points beside the field", k->regno);
}

/* --- objects --------------------------------------------------------------------------------- */

static bool is_object(u32 arg)
{
	const u32 kind = arg & EARG_KIND;

	return kind == EARG_DYNPTR || kind == EARG_ITER_NUM || kind == EARG_ITER_BITS;
}

/* One that is made is made when the other arguments are known. */
static void object(struct proof_check *c, struct call *k)
{
	if (k->arg & EARG_UNINIT)
		return;
	k->object = proof_object(c, k->regno, k->arg).value;
	if (k->arg & EARG_RELEASE) /* a ring buffer's dynptr: no other has one */
		k->release = k->object.ref_id;
}

static void new_object(struct proof_check *c, u32 regno, u32 arg, const struct call *k)
{
	const bool iter = (arg & EARG_KIND) != EARG_DYNPTR;
	const bool acquires = iter || (arg & EARG_RINGBUF);

	proof_need(c, !(arg & EARG_LOCAL) || proof_reg(c, BPF_REG_1)->type == VT_MAP_VALUE,
		   "a dynptr to memory that may end before it");
	/* else a clone, or of a map's value: no reference */
	proof_object_new(c, regno, arg, acquires ? proof_acquire(c, VREF_PTR) : k->object.ref_id,
			 k->object.flags & VREG_RDONLY);
}

/* --- all of them ----------------------------------------------------------------------------- */

/* A value of that type; of what is handled as a whole, the whole. */
static void is(struct proof_check *c, const struct call *k, u8 type, const char *name)
{
	const bool anywhere = type == VT_SCALAR || type == VT_STACK;

	if (k->r->type != type || (k->r->flags & VREG_NULL) || !(anywhere || proof_unmoved(k->r)))
		proof_fail(c, "R%u is not %s", k->regno, name);
}

static void map(struct proof_check *c, struct call *k)
{
	const u32 type = proof_map_meta(c, k->r)->type;

	k->map = *k->r;
	proof_need(c, EBPF_MUTANT(83, ebpf_proto_map_ok(k->proto, type), true),
		   "a map of that type has no such function");
}

static const struct ebpf_map_meta *meta(struct proof_check *c, const struct call *k)
{
	proof_need(c, k->map.type == VT_MAP, "a key or value of no map");
	return proof_map_meta(c, &k->map);
}

static void by_kind(struct proof_check *c, struct call *k)
{
	switch (k->arg & EARG_KIND) {
	case EARG_ANY:
	case EARG_SIZE: /* with the memory before */
	case EARG_SIZE0:
		return;
	case EARG_SCALAR:
		return is(c, k, VT_SCALAR, "a number");
	case EARG_ALLOC_SIZE:
		is(c, k, VT_SCALAR, "a number");
		k->alloc = (u32)k->r->val.umin;
		return proof_need(c, ebpf_scalar_is_const(&k->r->val) && k->r->val.umin < MAX_SIZE,
				  "a size that is not a constant");
	case EARG_CTX:
		return is(c, k, VT_CTX, "the context");
	case EARG_STACK:
		return is(c, k, VT_STACK, "in the stack");
	case EARG_FUNC:
		k->func = k->r->obj;
		return is(c, k, VT_FUNC, "a function");
	case EARG_RINGBUF_MEM:
		proof_need(c, k->r->flags & VREG_RINGBUF, "no sample");
		return is(c, k, VT_MEM, "the start of a sample");
	case EARG_MAP:
		is(c, k, VT_MAP, "a map");
		return map(c, k);
	case EARG_MAP_KEY:
		return region(c, k, meta(c, k)->key_size);
	case EARG_MAP_VALUE:
		return region(c, k, meta(c, k)->value_size);
	case EARG_MEM:
		return memory(c, k);
	case EARG_CONST_STR:
		return const_str(c, k);
	case EARG_SPIN_LOCK:
		return field(c, k, EBPF_FIELD_SPIN_LOCK);
	case EARG_TIMER:
		return field(c, k, EBPF_FIELD_TIMER);
	default:
		proof_need(c, is_object(k->arg), "an argument of an unknown kind");
		return object(c, k);
	}
}

static void arguments(struct proof_check *c, struct call *k)
{
	const u32 *arg = k->proto->arg;

	for (u32 i = 0; i < 5 && arg[i] != EARG_NONE; i++) {
		const bool length = (arg[i] & EARG_KIND) == EARG_MEM && !(arg[i] & EARG_FIXED);

		k->regno = BPF_REG_1 + i;
		k->arg = arg[i];
		k->r = proof_readable(c, k->regno);
		if (EBPF_MUTANT(130, k->r->type == VT_CTX && !k->sig, false))
			proof_fact(c, EBPF_FACT_CTX_ESCAPES);
		if (arg[i] & EARG_RELEASE) {
			k->releases = true;
			k->release = k->r->ref_id;
		}
		if (length || !(arg[i] & EARG_NULL) || !proof_is_zero(k->r))
			by_kind(c, k);
	}
	for (u32 i = 0; i < 5; i++)
		if ((arg[i] & EARG_UNINIT) && is_object(arg[i]))
			new_object(c, BPF_REG_1 + i, arg[i], k);
}

/* --- what is returned ------------------------------------------------------------------------ */

/* A map's value, or of a map of maps a map. */
static void map_result(struct proof_check *c, struct ebpf_vreg *r0, const struct call *k)
{
	const u32 type = proof_map_meta(c, &k->map)->type, inner = k->map.flags & VREG_INNER;
	const bool outer = type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;

	if (outer)
		ebpf_vreg_pointer(r0, VT_MAP, k->map.obj, VREG_NULL | VREG_INNER);
	else
		ebpf_vreg_pointer(r0, VT_MAP_VALUE, k->map.obj, VREG_NULL | inner);
	r0->id = ++c->next_id;
	r0->uid = outer ? ++c->next_id : k->map.uid;
}

/* @size bytes that are there as long as reference @ref, 0: as the program runs. */
static void memory_result(struct proof_check *c, struct ebpf_vreg *r0, u32 flags, u32 size, u32 ref)
{
	ebpf_vreg_pointer(r0, VT_MEM, 0, flags);
	r0->mem_size = size;
	r0->ref_id = ref;
	r0->id = flags & VREG_RINGBUF ? ref : ++c->next_id;
}

/* A dynptr's memory. */
static void slice_result(struct proof_check *c, struct ebpf_vreg *r0, const struct call *k)
{
	const u32 only = k->proto == ebpf_proto_kfunc(EKFUNC_DYNPTR_SLICE) ? VREG_RDONLY : 0;
	const u32 flags = VREG_NULL | VREG_SLICE | only | (k->object.flags & VREG_RDONLY);

	memory_result(c, r0, flags, k->alloc, k->object.ref_id);
}

/* The call is over: the path goes on behind it. */
static void finish(struct proof_check *c, const struct call *k)
{
	struct ebpf_vreg *r0 = proof_reg(c, BPF_REG_0);

	ebpf_vframe(&c->p->st)->cb_depth = 0;
	proof_clobber(c);
	c->p->pc++;
	ebpf_vreg_unknown(r0);
	switch (k->proto->ret) {
	case ERET_VOID:
		return ebpf_vreg_none(r0);
	case ERET_LENGTH:
		return ebpf_scalar_range(&r0->val, -MAX_ERRNO, (s64)k->longest);
	case ERET_CPU:
		return ebpf_scalar_range(&r0->val, 0, MAX(c->prog->nr_cpus, 1u) - 1);
	case ERET_BOOL:
		return ebpf_scalar_range(&r0->val, 0, 255);
	case ERET_U32:
	case ERET_S32:
		return ebpf_scalar_range(&r0->val, 0, UINT32_MAX);
	case ERET_MAP_VALUE:
		return map_result(c, r0, k);
	case ERET_RINGBUF_MEM:
		return memory_result(c, r0, VREG_NULL | VREG_RINGBUF, k->alloc,
				     proof_acquire(c, VREF_PTR));
	case ERET_DYNPTR_MEM:
	case ERET_SLICE:
		return slice_result(c, r0, k);
	case ERET_INT_PTR:
	case ERET_KERN_CTX: /* the context's memory */
		return memory_result(c, r0, VREG_RDONLY, k->proto->fixed, 0);
	case ERET_MEM:
		return memory_result(c, r0, 0, k->proto->fixed, 0);
	}
}

/* --- two paths ------------------------------------------------------------------------------- */

/* One path goes on; one, unless bpf_loop called as often as it was told to, into the function. */
static void call_back(struct proof_check *c, const struct call *k)
{
	const struct ebpf_scalar *times = &proof_reg(c, BPF_REG_1)->val;
	const u32 depth = ebpf_vframe(&c->p->st)->cb_depth;

	if (k->proto->callback == ECB_LOOP && depth >= EBPF_MUTANT(86, times->umax, times->umin))
		return finish(c, k);
	proof_fork(c, c->p->pc);
	finish(c, k);
	proof_swap(c);
	ebpf_vframe(&c->p->st)->cb_depth++;
	proof_enter(c, k->func, true);
	/* a dynptr's bytes are the map's, and there as long as that: no reference is needed */
	proof_callback_args(c, k->proto->callback, &k->map);
}

/* An iterator's element, and on another path none. */
static void next(struct proof_check *c, const struct call *k)
{
	const struct proof_object o = proof_object(c, BPF_REG_1, k->proto->arg[0]);

	proof_fork(c, c->p->pc);
	proof_budget_use(&c->p->budgets, BUDGET_ITER, o.frame, o.slot);
	finish(c, k);
	proof_reg(c, BPF_REG_0)->ref_id = o.value.ref_id;
	proof_swap(c);
	c->p->st.frame[o.frame]->slots[o.slot].spilled.obj = VITER_DRAINED;
	finish(c, k);
	ebpf_vreg_const(proof_reg(c, BPF_REG_0), 0);
}

/* --- all of a call --------------------------------------------------------------------------- */

/* A timer is started with the map it lies in: that one its callback gets. */
static bool timer_of_map(struct proof_check *c, const struct ebpf_vreg *map)
{
	const struct ebpf_vreg *r = proof_reg(c, BPF_REG_1);

	return EBPF_MUTANT(93, r->obj == map->obj && r->uid == map->uid, true) &&
	       !(map->flags & VREG_INNER);
}

/* May a helper change its elements? One that programs may not write may hold constants. */
static bool changes(struct proof_check *c, const struct ebpf_vreg *map)
{
	return EBPF_MUTANT(92, !(proof_map_meta(c, map)->map_flags & BPF_F_RDONLY_PROG), true);
}

static void effects(struct proof_check *c, const struct call *k)
{
	const u32 flags = k->proto->flags, kind = k->proto->arg[0] & EARG_KIND;

	proof_need(c, !(flags & EPROTO_LEAVES) || !c->p->st.nrefs,
		   "a tail call with something held");
	proof_need(c, !(flags & EPROTO_CHANGES_MAP) || changes(c, &k->map),
		   "a map that programs may not write");
	proof_need(c, kind != EARG_TIMER || k->map.type != VT_MAP || timer_of_map(c, &k->map),
		   "a timer with the map of another");
	if (flags & EPROTO_MOVES_PKT)
		proof_forget_packets(c);
	if (k->proto->callback == ECB_TIMER)
		proof_entry(c, k->func, proof_reg(c, BPF_REG_1)->obj);
	if (k->proto->section)
		proof_section(c, k->proto->section, flags & EPROTO_ENTERS, proof_reg(c, BPF_REG_1));
	if (k->releases)
		proof_release(c, k->release);
	if (k->proto->ret == ERET_KERN_CTX)
		proof_context_bytes(c, BPF_REG_1, k->proto->fixed);
}

static void call(struct proof_check *c, struct call *k)
{
	proof_need(c, !proof_locked(c) || k->proto->section == VREF_LOCK,
		   "a call while a lock is held");
	arguments(c, k);
	effects(c, k);
	if (k->proto->flags & EPROTO_ITER_NEXT)
		next(c, k);
	else if (k->proto->callback && k->proto->callback != ECB_TIMER)
		call_back(c, k);
	else
		finish(c, k);
}

/* --- functions of the target ------------------------------------------------------------------ */

/* What is given away is a number or a copy of memory; which of them the image says. */
static void callee_call(struct proof_check *c, const struct ebpf_callee *f)
{
	struct ebpf_proto proto = {.ret = ERET_INT};
	struct ebpf_sig sig = {.nargs = ebpf_callee_nargs(f)};
	const u16 *facts = &c->facts->insn[c->p->pc];
	struct call k = {.proto = &proto, .sig = &sig};

	for (u32 i = 0; i < sig.nargs; i++) {
		const struct ebpf_vreg *r = proof_readable(c, BPF_REG_1 + i);
		const bool number = r->type == VT_SCALAR;

		proto.arg[i] = ebpf_proto_callee(&f->arg[i], number, &sig.arg[i].size);
		proof_need(c, proto.arg[i] && (number || ebpf_callee_copies(r->type)),
			   "an argument that is neither a number nor memory");
		proof_fact(c, number ? EBPF_FACT_NUMBER(i) : EBPF_FACT_MEMORY(i));
		proof_need(c, !(*facts & EBPF_FACT_NUMBER(i)) || !(*facts & EBPF_FACT_MEMORY(i)),
			   "an argument that is memory of the program on one path and an address "
			   "of the target on another");
	}
	call(c, &k);
}

void proof_call(struct proof_check *c, const struct bpf_insn *in)
{
	const bool kfunc = in->src_reg == BPF_PSEUDO_KFUNC_CALL;
	const struct ebpf_callee *f = kfunc ? ebpf_vprog_callee(c->prog, in->imm) : NULL;
	const u32 id = (u32)in->imm, attach = c->prog->expected_attach_type;
	struct call k = {.proto = kfunc ? ebpf_ctx_kfunc(id, c->prog->prog_type, attach)
					: ebpf_proto_helper(id, c->prog->prog_type)};

	if (f && !in->off)
		return callee_call(c, f);
	proof_need(c, k.proto && !in->off, "a function that isn't known");
	if (!kfunc && id < 256)
		c->facts->helpers[id / 64] |= 1ull << (id % 64);
	call(c, &k);
}

void proof_global_call(struct proof_check *c, u32 subprog)
{
	const struct ebpf_sig *sig = &c->sig[subprog];
	struct ebpf_proto proto = {.ret = ERET_INT, .flags = EPROTO_MOVES_PKT};
	struct call k = {.proto = &proto, .sig = sig};

	proof_need(c, !sig->err, "a function whose arguments can't be told");
	for (u32 i = 0; i < sig->nargs; i++) {
		proof_need(c, sig->arg[i].is & EARG_KIND, "an argument of an unknown kind");
		proto.arg[i] = sig->arg[i].is;
	}
	proof_entry(c, subprog, PROOF_NONE);
	call(c, &k);
}
