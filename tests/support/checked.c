/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checked interpreter: checked.h tells the model. Here: objects, values, instructions.
 *
 * Numbers are real addresses, so that the engines under test see the same ones except for stacks;
 * what depends on those is marked (taint), and then results are not compared.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/load/verify_proto.h"
#include "tests/support/checked.h"

#define OBJ_STACK 1u /* of frame 0 */
#define OBJ_CTX 9u
#define OBJ_FREE 10u

int checked_error(struct checked *k, const char *fmt, ...)
{
	int n = snprintf(k->error, sizeof(k->error), "insn %u: ", k->pc);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(k->error + n, sizeof(k->error) - (size_t)n, fmt, ap);
	va_end(ap);
	return -1;
}

/* --- objects --------------------------------------------------------------------------------- */

static u32 object(struct checked *k, const struct checked_object *like)
{
	u32 i;

	for (i = OBJ_FREE; i < k->nobjs; i++)
		if (k->obj[i].live && k->obj[i].type == like->type &&
		    k->obj[i].base == like->base && k->obj[i].map == like->map &&
		    k->obj[i].hi == like->hi)
			return i;
	if (i == CHECKED_OBJECTS) {
		k->unlike = true;
		i--;
	}
	k->obj[i] = *like;
	k->obj[i].live = true;
	k->nobjs = i + 1;
	return i;
}

static u32 map_object(struct checked *k, u32 map, bool inner)
{
	struct ebpf_map *m = inner ? &k->w->inner : &k->w->maps[map];

	return object(k, &(struct checked_object){
				 .type = VT_MAP, .map = map, .inner = inner, .base = (u64)m});
}

static u32 value_object(struct checked *k, u32 map, bool inner, u64 base)
{
	const struct ebpf_map_meta *meta = inner ? &k->w->inner.meta : &checked_maps[map].meta;

	return object(k, &(struct checked_object){.type = VT_MAP_VALUE,
						  .map = map,
						  .inner = inner,
						  .base = base,
						  .rdonly = meta->map_flags & BPF_F_RDONLY_PROG,
						  .hi = meta->value_size});
}

static struct checked_value number(u64 n)
{
	return (struct checked_value){.n = n, .init = true};
}

static struct checked_value pointer(u32 obj, u64 n)
{
	return (struct checked_value){.n = n, .obj = obj, .init = true, .taint = true};
}

static struct checked_value *reg(struct checked *k, u32 i)
{
	return &checked_frame(k)->reg[i];
}

static int readable(struct checked *k, u32 i)
{
	return reg(k, i)->init ? 0 : checked_error(k, "R%u was never written", i);
}

/* --- memory ---------------------------------------------------------------------------------- */

static int hits_field(struct checked *k, const struct checked_object *o, s64 at, u64 size)
{
	const struct ebpf_vmap *map = &checked_maps[o->map];

	if (o->type != VT_MAP_VALUE || o->inner)
		return 0;
	for (u32 i = 0; i < map->nfields; i++)
		if (at < (s64)(map->fields[i].off + map->fields[i].size) &&
		    at + (s64)size > (s64)map->fields[i].off)
			return checked_error(k, "a field of a map value is touched");
	return 0;
}

/* --- what the checker said of it ------------------------------------------------------------- */

/* The instruction touches memory at @at of object @o. */
static int told_access(struct checked *k, const struct checked_object *o, s64 at, bool write)
{
	if (o->type == VT_STACK)
		return 0;
	if (o->type != VT_CTX && !(k->facts->insn[k->pc] & EBPF_FACT_MAY_FAULT))
		return checked_error(k, "memory that may be missing, and it was not told");
	if (o->type == VT_CTX && !write && !(k->facts->ctx_read >> MIN(at / 8, 63) & 1))
		return checked_error(k, "byte %lld of the context is read, and it was not told",
				     (long long)at);
	return 0;
}

static int told_stack(struct checked *k, const struct checked_object *o, s64 at)
{
	u32 subprog = k->frame[o->frame].subprog;

	if (o->type == VT_STACK && -at > k->facts->subprog[subprog].stack)
		return checked_error(k, "byte %lld of the stack is used, %u bytes were told",
				     (long long)at, k->facts->subprog[subprog].stack);
	return 0;
}

static int told_escape(struct checked *k, const struct checked_value *v)
{
	if (v->obj && k->obj[v->obj].type == VT_CTX &&
	    !(k->facts->insn[k->pc] & EBPF_FACT_CTX_ESCAPES))
		return checked_error(k, "the context's address is given away, and it was not told");
	return 0;
}

static int told_depth(struct checked *k)
{
	u32 depth = 0;

	for (u32 i = 0; i < k->nframes; i++)
		depth += k->facts->subprog[k->frame[i].subprog].stack;
	return depth > k->facts->stack_depth ? checked_error(k, "%u bytes of stack, %u were told",
							     depth, k->facts->stack_depth)
					     : 0;
}

static int inside(struct checked *k, const struct checked_value *v, s64 off, u64 size, bool write)
{
	const struct checked_object *o = &k->obj[v->obj];
	s64 at;

	if (!v->obj)
		return checked_error(k, "access to %llx, no pointer", (unsigned long long)v->n);
	at = (s64)(v->n - o->base) + off;
	if (!o->live)
		return checked_error(k, "access to an object that is gone");
	if (o->type != VT_STACK && o->type != VT_MAP_VALUE && o->type != VT_MEM &&
	    o->type != VT_CTX && o->type != VT_MAP_KEY)
		return checked_error(k, "access to an object of type %u", o->type);
	if (at < o->lo || at + (s64)size > o->hi)
		return checked_error(k, "access to bytes %lld..%lld of an object of %lld..%lld",
				     (long long)at, (long long)(at + (s64)size), (long long)o->lo,
				     (long long)o->hi);
	if (write && (o->rdonly || o->type == VT_MAP_KEY || o->type == VT_CTX))
		return checked_error(k, "write to a read-only object");
	if (told_stack(k, o, at))
		return -1;
	return hits_field(k, o, at, size);
}

/* bytes of a stack, seen from its bottom */
static u32 stack_index(const struct checked_object *o, u64 at)
{
	return (u32)(EBPF_STACK_SIZE + (s64)(at - o->base));
}

static u32 stack_slot(u32 index)
{
	return EBPF_VSLOTS - 1 - index / 8;
}

static int stack_read(struct checked *k, const struct checked_object *o, u64 at, u64 size)
{
	struct checked_frame *f = &k->frame[o->frame];
	u32 from = stack_index(o, at);

	for (u32 i = from; i < from + size; i++) {
		u32 slot = stack_slot(i);

		if (f->cell[slot].taint)
			k->depends = true;
		if (f->init[i])
			continue;
		if (!(k->facts->subprog[f->subprog].zero >> slot & 1))
			return checked_error(k,
					     "byte %d of the stack is read, never written, and "
					     "not to be zeroed",
					     (int)i - EBPF_STACK_SIZE);
	}
	return 0;
}

static void stack_written(struct checked *k, const struct checked_object *o, u64 at, u64 size)
{
	struct checked_frame *f = &k->frame[o->frame];
	u32 from = stack_index(o, at);

	for (u32 i = from; i < from + size; i++) {
		f->init[i] = 1;
		f->iter[stack_slot(i)] = 0;
		memset(&f->cell[stack_slot(i)], 0, sizeof(f->cell[0]));
	}
}

/* The slot when all of it is meant, EBPF_VSLOTS else. */
static u32 whole_slot(const struct checked_object *o, u64 at, u32 size)
{
	if (o->type != VT_STACK || size != 8 || stack_index(o, at) % 8)
		return EBPF_VSLOTS;
	return stack_slot(stack_index(o, at));
}

static int read_memory(struct checked *k, const struct checked_value *v, s32 off, u32 size,
		       struct checked_value *out)
{
	const struct checked_object *o = &k->obj[v->obj];
	u64 at = v->n + (u64)(s64)off, n = 0;
	u32 slot;
	int r = inside(k, v, off, size, false);

	r = r ? r : told_access(k, o, (s64)(at - o->base), false);
	if (r)
		return r;
	slot = whole_slot(o, at, size);
	if (slot < EBPF_VSLOTS && k->frame[o->frame].cell[slot].init) {
		*out = k->frame[o->frame].cell[slot];
		return 0;
	}
	memcpy(&n, (const void *)at, size);
	*out = number(n);
	return o->type == VT_STACK ? stack_read(k, o, at, size) : 0;
}

static int write_memory(struct checked *k, const struct checked_value *to, s32 off, u32 size,
			const struct checked_value *v)
{
	const struct checked_object *o = &k->obj[to->obj];
	u64 at = to->n + (u64)(s64)off;
	u32 slot;
	int r = inside(k, to, off, size, true);

	r = r ? r : told_access(k, o, (s64)(at - o->base), true);
	if (!r && (o->type != VT_STACK || size != 8))
		r = told_escape(k, v);
	if (r)
		return r;
	slot = whole_slot(o, at, size);
	memcpy((void *)at, &v->n, size);
	if (o->type == VT_STACK)
		stack_written(k, o, at, size);
	if (slot < EBPF_VSLOTS && v->taint)
		k->frame[o->frame].cell[slot] = *v;
	else
		k->depends |= v->taint;
	return 0;
}

/* --- arithmetic ------------------------------------------------------------------------------ */

static u64 divide(u64 a, u64 b, bool is64, bool sign, bool mod)
{
	if (!is64) {
		a = sign ? (u64)(s64)(s32)a : (u32)a;
		b = sign ? (u64)(s64)(s32)b : (u32)b;
	}
	if (!b)
		return mod ? a : 0;
	if (!sign)
		return mod ? a % b : a / b;
	if (b == ~0ull)
		return mod ? 0 : -a;
	return (u64)(mod ? (s64)a % (s64)b : (s64)a / (s64)b);
}

static u64 shift(u64 a, u64 by, u8 op, bool is64)
{
	by &= is64 ? 63 : 31;
	if (op == BPF_LSH)
		return a << by;
	if (op == BPF_RSH)
		return (is64 ? a : (u32)a) >> by;
	return is64 ? (u64)((s64)a >> by) : (u64)(s64)((s32)a >> by);
}

static u64 compute(const struct bpf_insn *in, u64 a, u64 b)
{
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;
	u8 op = BPF_OP(in->code);

	switch (op) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
	case BPF_MOD:
		return divide(a, b, is64, in->off == 1, op == BPF_MOD);
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_XOR:
		return a ^ b;
	case BPF_NEG:
		return -a;
	default:
		return shift(a, b, op, is64);
	}
}

static u64 extend(u64 n, s16 bits)
{
	switch (bits) {
	case 8:
		return (u64)(s64)(s8)n;
	case 16:
		return (u64)(s64)(s16)n;
	case 32:
		return (u64)(s64)(s32)n;
	default:
		return n;
	}
}

static u64 reorder(const struct bpf_insn *in, u64 n)
{
	bool swap = BPF_CLASS(in->code) == BPF_ALU64 || BPF_SRC(in->code) == BPF_TO_BE;

	switch (in->imm) {
	case 16:
		return swap ? __builtin_bswap16((u16)n) : (u16)n;
	case 32:
		return swap ? __builtin_bswap32((u32)n) : (u32)n;
	default:
		return swap ? __builtin_bswap64(n) : n;
	}
}

static void alu_values(struct checked *k, const struct bpf_insn *in, struct checked_value *dst,
		       const struct checked_value *src)
{
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;
	u8 op = BPF_OP(in->code);
	struct checked_value v = number(0);

	if (op == BPF_MOV) {
		v = *src;
		v.n = extend(src->n, in->off);
		if (!is64 || in->off)
			v.obj = 0;
	} else if (op == BPF_END) {
		v.n = reorder(in, dst->n);
		v.taint = dst->taint;
	} else {
		v.n = compute(in, dst->n, src->n);
		v.taint = dst->taint || src->taint;
		if (is64 && op == BPF_SUB && dst->obj && src->obj)
			v.taint = dst->obj != src->obj;
		else if (is64 && (op == BPF_ADD || op == BPF_SUB))
			v.obj = dst->obj ? dst->obj : src->obj;
	}
	if (!is64 && !(op == BPF_END && in->imm == 64))
		v.n = (u32)v.n;
	*dst = v;
}

static int alu(struct checked *k, const struct bpf_insn *in)
{
	u8 op = BPF_OP(in->code);
	bool unary = op == BPF_END || op == BPF_NEG, x = BPF_SRC(in->code) == BPF_X && !unary;
	struct checked_value imm = number((u64)(s64)in->imm);
	int r = op == BPF_MOV ? 0 : readable(k, in->dst_reg);

	if (!r && x)
		r = readable(k, in->src_reg);
	if (r)
		return r;
	alu_values(k, in, reg(k, in->dst_reg), x ? reg(k, in->src_reg) : &imm);
	k->pc++;
	return 0;
}

/* --- conditions ------------------------------------------------------------------------------ */

static bool compare(u8 op, u64 a, u64 b, s64 sa, s64 sb)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JLT:
		return a < b;
	case BPF_JLE:
		return a <= b;
	case BPF_JSGT:
		return sa > sb;
	case BPF_JSGE:
		return sa >= sb;
	case BPF_JSLT:
		return sa < sb;
	case BPF_JSLE:
		return sa <= sb;
	default:
		return a & b;
	}
}

static int condition(struct checked *k, const struct bpf_insn *in)
{
	struct checked_value imm = number((u64)(s64)in->imm), *a = reg(k, in->dst_reg), *b = &imm;
	bool is32 = BPF_CLASS(in->code) == BPF_JMP32, taken;
	u8 op = BPF_OP(in->code);
	int r = readable(k, in->dst_reg);

	if (!r && BPF_SRC(in->code) == BPF_X) {
		b = reg(k, in->src_reg);
		r = readable(k, in->src_reg);
	}
	if (r)
		return r;
	if ((a->taint || b->taint) && (is32 || !a->obj || b->obj || b->n))
		k->depends = true;
	if (is32)
		taken = compare(op, (u32)a->n, (u32)b->n, (s32)a->n, (s32)b->n);
	else
		taken = compare(op, a->n, b->n, (s64)a->n, (s64)b->n);
	k->pc += 1 + (taken ? (u32)in->off : 0);
	return 0;
}

/* --- frames ---------------------------------------------------------------------------------- */

static int push_frame(struct checked *k, u32 subprog, bool callback)
{
	u32 at = k->nframes;
	struct checked_frame *f = &k->frame[at];
	u8 *bottom = k->stack + at * EBPF_STACK_SIZE;

	if (at == EBPF_MAX_FRAMES)
		return checked_error(k, "more than %u frames", EBPF_MAX_FRAMES);
	memset(f, 0, sizeof(*f));
	for (u32 i = 0; i < EBPF_STACK_SIZE; i++) {
		bottom[i] = (u8)checked_random(&k->random);
		if (k->facts->subprog[subprog].zero >> stack_slot(i) & 1)
			bottom[i] = 0;
	}
	f->callsite = k->pc;
	f->subprog = subprog;
	f->callback = callback;
	k->obj[OBJ_STACK + at] = (struct checked_object){.type = VT_STACK,
							 .frame = (u8)at,
							 .live = true,
							 .base = (u64)bottom + EBPF_STACK_SIZE,
							 .lo = -EBPF_STACK_SIZE};
	f->reg[BPF_REG_10] = pointer(OBJ_STACK + at, (u64)bottom + EBPF_STACK_SIZE);
	k->nframes++;
	k->pc = k->facts->subprog[subprog].start;
	return told_depth(k);
}

static void clobber(struct checked *k)
{
	for (u32 i = 0; i <= BPF_REG_5; i++)
		reg(k, i)->init = false;
}

static u32 subprog_at(const struct checked *k, u32 pc)
{
	u32 i = 0;

	while (i < k->facts->nsubprogs && k->facts->subprog[i].start != pc)
		i++;
	return i;
}

static int call_subprog(struct checked *k, const struct bpf_insn *in)
{
	u32 sub = subprog_at(k, k->pc + 1 + (u32)in->imm);
	struct checked_frame *caller = checked_frame(k);
	int r;

	if (sub == k->facts->nsubprogs)
		return checked_error(k, "a call into the middle of a function");
	r = push_frame(k, sub, false);
	for (u32 i = BPF_REG_1; !r && i <= BPF_REG_5; i++)
		*reg(k, i) = caller->reg[i];
	return r;
}

static int finish_main(struct checked *k, const struct checked_value *r0)
{
	for (u32 i = 0; i < k->nrefs; i++)
		if (k->ref[i].kind && !k->ref[i].null)
			return checked_error(k, "reference %u is held at the end", i);
	k->depends |= r0->taint;
	k->r0 = r0->n;
	k->exited = true;
	return 0;
}

static int leave(struct checked *k)
{
	struct checked_frame *f = checked_frame(k);
	struct checked_value r0 = f->reg[BPF_REG_0];
	/* what a function leaves there only counts when its caller reads it */
	int r = k->nframes == 1 || f->callback ? readable(k, BPF_REG_0) : 0;

	if (r)
		return r;
	if (k->nframes == 1)
		return finish_main(k, &r0);
	k->obj[OBJ_STACK + k->nframes - 1].live = false;
	k->pc = f->callsite + !f->callback;
	k->nframes--;
	if (f->callback) {
		if (r0.n > 1)
			return checked_error(k, "a callback returns %llu",
					     (unsigned long long)r0.n);
		checked_frame(k)->turn = r0.n ? ~0u : checked_frame(k)->turn + 1;
		return 0;
	}
	clobber(k);
	*reg(k, BPF_REG_0) = r0;
	return 0;
}

/* --- helpers: arguments ---------------------------------------------------------------------- */

static int region(struct checked *k, u32 i, u64 size, u32 arg)
{
	const struct checked_value *v = reg(k, BPF_REG_1 + i);
	const struct checked_object *o = &k->obj[v->obj];
	int r = inside(k, v, 0, size, arg & (EARG_WRITE | EARG_UNINIT));

	if (r || o->type != VT_STACK || !size)
		return r;
	if (!(arg & EARG_UNINIT))
		r = stack_read(k, o, v->n, size);
	if (arg & EARG_WRITE)
		stack_written(k, o, v->n, size);
	return r;
}

static const struct ebpf_map_meta *map_of(struct checked *k, const struct ebpf_proto *p)
{
	for (u32 i = 0; i < 5; i++)
		if ((p->arg[i] & EARG_KIND) == EARG_MAP)
			return &((const struct ebpf_map *)reg(k, BPF_REG_1 + i)->n)->meta;
	return NULL;
}

static int typed(struct checked *k, u32 i, u32 type, s64 at)
{
	const struct checked_value *v = reg(k, BPF_REG_1 + i);
	const struct checked_object *o = &k->obj[v->obj];

	if (!v->obj || !o->live || o->type != type || (s64)(v->n - o->base) != at)
		return checked_error(k, "R%u is no object of type %u at %lld", i + 1, type,
				     (long long)at);
	return 0;
}

static int sized(struct checked *k, u32 i, const struct ebpf_proto *p)
{
	u32 arg = p->arg[i];
	u64 size = arg & EARG_FIXED ? p->fixed : reg(k, BPF_REG_2 + i)->n;

	if (!reg(k, BPF_REG_1 + i)->n && (arg & EARG_NULL) && !size)
		return 0;
	return size ? region(k, i, size, arg) : 0;
}

static int check_arg(struct checked *k, u32 i, const struct ebpf_proto *p)
{
	const struct ebpf_map_meta *meta = map_of(k, p);
	u32 arg = p->arg[i];
	int r = readable(k, BPF_REG_1 + i);

	r = r ? r : told_escape(k, reg(k, BPF_REG_1 + i));
	if (r)
		return r;
	if ((arg & EARG_NULL) && !reg(k, BPF_REG_1 + i)->n && (arg & EARG_KIND) != EARG_MEM)
		return 0;
	switch (arg & EARG_KIND) {
	case EARG_CTX:
		return typed(k, i, VT_CTX, 0);
	case EARG_MAP:
		return typed(k, i, VT_MAP, 0);
	case EARG_MAP_KEY:
		return region(k, i, meta->key_size, arg);
	case EARG_MAP_VALUE:
		return region(k, i, meta->value_size, arg);
	case EARG_MEM:
		return sized(k, i, p);
	case EARG_RINGBUF_MEM:
		return typed(k, i, VT_MEM, 0);
	case EARG_FUNC:
		return typed(k, i, VT_FUNC, 0);
	case EARG_SPIN_LOCK:
		return typed(k, i, VT_MAP_VALUE, 4);
	default:
		return 0;
	}
}

/* --- helpers: results ------------------------------------------------------------------------ */

/* The rest is not followed. */
static int give_up(struct checked *k)
{
	k->unlike = true;
	k->exited = true;
	return 0;
}

static int add_ref(struct checked *k, u32 kind, bool null)
{
	if (k->nrefs == CHECKED_REFS) {
		give_up(k);
		return CHECKED_REFS - 1;
	}
	k->ref[k->nrefs].kind = kind + 1;
	k->ref[k->nrefs].null = null;
	return (int)k->nrefs++;
}

/* No object has its number: that of the last one can be given again. */
static int drop_kind(struct checked *k, u32 kind)
{
	for (u32 i = k->nrefs; i-- > 0;)
		if (k->ref[i].kind == kind + 1) {
			k->ref[i].kind = 0;
			k->nrefs -= i + 1 == k->nrefs;
			return 0;
		}
	return checked_error(k, "what is given back is not held");
}

static int give_back(struct checked *k, struct checked_object *o)
{
	u32 ref = o->ref - 1;

	if (!o->ref || !k->ref[ref].kind)
		return checked_error(k, "a sample that is no more");
	k->ref[ref].kind = 0;
	o->live = false;
	return 0;
}

static struct checked_value map_result(struct checked *k, u64 n)
{
	const struct checked_object *o = &k->obj[reg(k, BPF_REG_1)->obj];

	if (!n)
		return number(0);
	if (!o->inner && checked_maps[o->map].meta.type == BPF_MAP_TYPE_ARRAY_OF_MAPS)
		return pointer(map_object(k, o->map, true), n);
	return pointer(value_object(k, o->map, o->inner, n), n);
}

static struct checked_value sample_result(struct checked *k, u64 n)
{
	int ref = add_ref(k, VREF_PTR, !n);
	struct checked_object like = {.type = VT_MEM,
				      .base = n,
				      .map = (u32)ref + 1,
				      .ref = (u32)ref + 1,
				      .hi = (s64)reg(k, BPF_REG_2)->n};

	if (like.hi > CHECKED_SAMPLE_SIZE)
		k->unlike = true;
	return n ? pointer(object(k, &like), n) : number(0);
}

static int effects(struct checked *k, u32 id)
{
	switch (id) {
	case BPF_FUNC_spin_lock:
		add_ref(k, VREF_LOCK, false);
		return 0;
	case BPF_FUNC_spin_unlock:
		return drop_kind(k, VREF_LOCK);
	case BPF_FUNC_ringbuf_submit:
	case BPF_FUNC_ringbuf_discard:
		return give_back(k, &k->obj[reg(k, BPF_REG_1)->obj]);
	case BPF_FUNC_tail_call:
		k->unlike = true;
		return 0;
	default:
		return 0;
	}
}

static int finish_helper(struct checked *k, const struct ebpf_proto *p, u32 id, const u64 arg[5])
{
	int r = effects(k, id);
	struct checked_value r0;

	if (r)
		return r;
	r0 = number(checked_helper(k->w, id, arg));
	if (p->ret == ERET_MAP_VALUE)
		r0 = map_result(k, r0.n);
	else if (p->ret == ERET_RINGBUF_MEM)
		r0 = sample_result(k, r0.n);
	clobber(k);
	if (p->ret != ERET_VOID)
		*reg(k, BPF_REG_0) = r0;
	k->pc++;
	return 0;
}

/* --- callbacks ------------------------------------------------------------------------------- */

static void pass(struct checked *k, u32 id, const u64 arg[5], const struct checked_frame *caller)
{
	const struct checked_object *map = &k->obj[caller->reg[BPF_REG_1].obj];
	struct checked_value *r = checked_frame(k)->reg;
	struct checked_object key = {.type = VT_MAP_KEY, .map = map->map, .inner = map->inner};
	u64 a[5];

	checked_callback_args(k->w, id, arg, caller->turn, a);
	if (id == BPF_FUNC_loop) {
		r[BPF_REG_1] = number(a[0]);
		r[BPF_REG_2] = caller->reg[BPF_REG_3];
		return;
	}
	key.base = a[1];
	key.hi = ((const struct ebpf_map *)a[0])->meta.key_size;
	r[BPF_REG_1] = caller->reg[BPF_REG_1];
	r[BPF_REG_2] = pointer(object(k, &key), a[1]);
	r[BPF_REG_3] = pointer(value_object(k, map->map, map->inner, a[2]), a[2]);
	r[BPF_REG_4] = caller->reg[BPF_REG_3];
}

/* The call is executed once more after each turn, as the abstract one is. */
static int call_back(struct checked *k, const struct ebpf_proto *p, u32 id, const u64 arg[5])
{
	struct checked_frame *f = checked_frame(k);
	int r;

	if (!f->turns) {
		f->turns = checked_times(k->w, id, arg) + 1;
		f->turn = 0;
	}
	if (f->turn >= f->turns - 1) {
		f->turns = 0;
		return finish_helper(k, p, id, arg);
	}
	r = push_frame(k, k->obj[f->reg[BPF_REG_2].obj].map, true);
	if (!r)
		pass(k, id, arg, f);
	return r;
}

/* dynptrs, timers and user rings are not of this world */
static bool in_world(const struct ebpf_proto *p)
{
	for (u32 i = 0; i < 5; i++)
		if ((p->arg[i] & EARG_KIND) == EARG_DYNPTR || (p->arg[i] & EARG_KIND) == EARG_TIMER)
			return false;
	return p->callback == ECB_NONE || p->callback == ECB_LOOP || p->callback == ECB_FOR_EACH;
}

static int call_helper(struct checked *k, const struct bpf_insn *in)
{
	const struct ebpf_proto *p = ebpf_proto_helper((u32)in->imm, k->prog->prog_type);
	u64 arg[5];
	int r = p ? 0 : checked_error(k, "no such helper");

	if (!r && !(k->facts->helpers[in->imm / 64] >> in->imm % 64 & 1))
		r = checked_error(k, "helper %d is called, and it was not told", in->imm);
	if (!r && !in_world(p))
		return give_up(k);
	for (u32 i = 0; !r && i < 5 && (p->arg[i] & EARG_KIND) != EARG_NONE; i++)
		r = check_arg(k, i, p);
	if (r)
		return r;
	for (u32 i = 0; i < 5; i++)
		arg[i] = reg(k, BPF_REG_1 + i)->n;
	return p->callback ? call_back(k, p, (u32)in->imm, arg)
			   : finish_helper(k, p, (u32)in->imm, arg);
}

/* --- iterators ------------------------------------------------------------------------------- */

#define REF_ITER 100u /* unlike VREF_PTR, which an object has */

static int iter_slot(struct checked *k, u32 *slot, struct checked_frame **f)
{
	const struct checked_value *v = reg(k, BPF_REG_1);
	int r = inside(k, v, 0, 8, true);

	if (r)
		return r;
	*slot = whole_slot(&k->obj[v->obj], v->n, 8);
	if (*slot == EBPF_VSLOTS)
		return checked_error(k, "no place for an iterator");
	*f = &k->frame[k->obj[v->obj].frame];
	return 0;
}

static struct checked_value iter_next(struct checked *k, struct checked_frame *f, u32 slot)
{
	struct checked_object like = {
		.type = VT_MEM, .base = (u64)&f->number[slot], .rdonly = true, .hi = 4};

	if (f->iter[slot] == VITER_DRAINED || !f->left[slot]--) {
		f->iter[slot] = VITER_DRAINED;
		return number(0);
	}
	f->number[slot] = k->unlike ? checked_edge(&k->random) : (u32)f->number[slot] + 1;
	return pointer(object(k, &like), like.base);
}

/* Half of the executions count; the others are given numbers that only the verifier knows of. */
static struct checked_value iter_new(struct checked *k, struct checked_frame *f, u32 slot)
{
	s64 start = (s32)reg(k, BPF_REG_2)->n, end = (s32)reg(k, BPF_REG_3)->n;
	int err = start > end ? -EINVAL : end - start > EBPF_MAX_LOOPS ? -E2BIG : 0;

	k->unlike |= k->seed & 1;
	f->iter[slot] = VITER_ACTIVE;
	f->number[slot] = (u64)start - 1;
	f->left[slot] = err ? 0 : (u32)(end - start);
	if (!k->unlike)
		return number((u32)err);
	f->left[slot] = (u32)(checked_random(&k->random) % 4);
	return number((u32) - (s32)(checked_random(&k->random) % 2 * EINVAL));
}

static int call_kfunc(struct checked *k, const struct bpf_insn *in)
{
	struct checked_value r0 = number(0);
	struct checked_frame *f = NULL;
	u32 slot = 0;
	int r;

	if (in->imm > EKFUNC_ITER_NUM_DESTROY)
		return give_up(k);
	r = iter_slot(k, &slot, &f);
	if (r)
		return r;
	if (in->imm != EKFUNC_ITER_NUM_NEW && !f->iter[slot])
		return checked_error(k, "there is no iterator");
	if (in->imm == EKFUNC_ITER_NUM_NEW) {
		stack_written(k, &k->obj[reg(k, BPF_REG_1)->obj], reg(k, BPF_REG_1)->n, 8);
		r0 = iter_new(k, f, slot);
		add_ref(k, REF_ITER, false);
	} else if (in->imm == EKFUNC_ITER_NUM_NEXT) {
		r0 = iter_next(k, f, slot);
	} else {
		f->iter[slot] = 0;
		memset((void *)reg(k, BPF_REG_1)->n, 0, 8);
		r = drop_kind(k, REF_ITER);
	}
	clobber(k);
	if (in->imm != EKFUNC_ITER_NUM_DESTROY)
		*reg(k, BPF_REG_0) = r0;
	k->pc++;
	return r;
}

/* --- instructions ---------------------------------------------------------------------------- */

static int jump(struct checked *k, const struct bpf_insn *in)
{
	switch (BPF_OP(in->code)) {
	case BPF_JA:
		k->pc += 1 + (u32)(BPF_CLASS(in->code) == BPF_JMP ? in->off : in->imm);
		return 0;
	case BPF_CALL:
		if (in->src_reg == BPF_PSEUDO_CALL)
			return call_subprog(k, in);
		return in->src_reg ? call_kfunc(k, in) : call_helper(k, in);
	case BPF_EXIT:
		return leave(k);
	case BPF_JCOND:
		if (checked_random(&k->random) % 16) {
			k->pc++;
		} else {
			k->unlike = true; /* the engines' budget lasts longer */
			k->pc += 1 + (u32)in->off;
		}
		return 0;
	default:
		return condition(k, in);
	}
}

static int lddw(struct checked *k, const struct bpf_insn *in)
{
	struct checked_value *dst = reg(k, in->dst_reg);
	u64 n = (u32)in[0].imm | (u64)(u32)in[1].imm << 32, to;
	struct checked_object func = {.type = VT_FUNC};

	switch (in->src_reg) {
	case BPF_PSEUDO_MAP_FD:
		*dst = pointer(map_object(k, (u32)in->imm, false), (u64)&k->w->maps[in->imm]);
		break;
	case BPF_PSEUDO_MAP_VALUE:
		to = (u64)k->w->value[in->imm];
		*dst = pointer(value_object(k, (u32)in->imm, false, to), to + (u32)in[1].imm);
		break;
	case BPF_PSEUDO_FUNC:
		func.base = k->pc + 1 + (u32)in->imm;
		func.map = subprog_at(k, (u32)func.base);
		*dst = pointer(object(k, &func), func.base);
		break;
	default:
		*dst = number(n);
	}
	k->pc += 2;
	return 0;
}

static u32 size_of(const struct bpf_insn *in)
{
	static const u8 sizes[] = {4, 2, 1, 8};

	return sizes[BPF_SIZE(in->code) >> 3];
}

static int load(struct checked *k, const struct bpf_insn *in)
{
	struct checked_value v;
	u32 size = size_of(in);
	int r = readable(k, in->src_reg);

	r = r ? r : read_memory(k, reg(k, in->src_reg), in->off, size, &v);
	if (r)
		return r;
	if (BPF_MODE(in->code) == BPF_MEMSX)
		v.n = extend(v.n, (s16)(8 * size));
	*reg(k, in->dst_reg) = v;
	k->pc++;
	return 0;
}

static int store(struct checked *k, const struct bpf_insn *in)
{
	struct checked_value v = number((u64)(s64)in->imm);
	int r = readable(k, in->dst_reg);

	if (!r && BPF_CLASS(in->code) == BPF_STX) {
		r = readable(k, in->src_reg);
		v = *reg(k, in->src_reg);
	}
	r = r ? r : write_memory(k, reg(k, in->dst_reg), in->off, size_of(in), &v);
	k->pc++;
	return r;
}

static u64 exchange(const struct bpf_insn *in, u64 old, u64 src, u64 r0)
{
	switch (in->imm & ~BPF_FETCH) {
	case BPF_ADD:
		return old + src;
	case BPF_OR:
		return old | src;
	case BPF_AND:
		return old & src;
	case BPF_XOR:
		return old ^ src;
	case BPF_XCHG & ~BPF_FETCH:
		return src;
	default:
		return old == r0 ? src : old;
	}
}

static int atomic(struct checked *k, const struct bpf_insn *in)
{
	struct checked_value *to = reg(k, in->dst_reg), *src = reg(k, in->src_reg), old, v;
	bool cmpxchg = in->imm == BPF_CMPXCHG;
	u32 size = size_of(in);
	u64 r0 = reg(k, BPF_REG_0)->n;
	int r = readable(k, in->dst_reg);

	r = r ? r : readable(k, in->src_reg);
	if (!r && cmpxchg)
		r = readable(k, BPF_REG_0);
	r = r ? r : read_memory(k, to, in->off, size, &old);
	if (r)
		return r;
	k->depends |= src->taint || old.taint || (cmpxchg && reg(k, BPF_REG_0)->taint);
	v = number(exchange(in, old.n, src->n, size == 4 ? (u32)r0 : r0));
	r = write_memory(k, to, in->off, size, &v);
	old.obj = 0;
	if (!r && cmpxchg)
		*reg(k, BPF_REG_0) = old;
	else if (!r && (in->imm & BPF_FETCH))
		*src = old;
	k->pc++;
	return r;
}

static int execute(struct checked *k)
{
	const struct bpf_insn *in = &k->prog->insns[k->pc];

	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		return alu(k, in);
	case BPF_LD:
		return in->code == (BPF_LD | BPF_IMM | BPF_DW)
			       ? lddw(k, in)
			       : checked_error(k, "not an instruction for these programs");
	case BPF_LDX:
		return load(k, in);
	case BPF_ST:
		return store(k, in);
	case BPF_STX:
		return BPF_MODE(in->code) == BPF_ATOMIC ? atomic(k, in) : store(k, in);
	default:
		return jump(k, in);
	}
}

/* --- a run ----------------------------------------------------------------------------------- */

static int step(struct checked *k)
{
	u32 at = k->pc;
	int r;

	if (k->pc >= k->prog->ninsns)
		return checked_error(k, "past the end");
	if (!(k->facts->insn[k->pc] & EBPF_FACT_SEEN))
		return checked_error(k, "an instruction that can't be reached is");
	r = checked_follow_step(k);
	if (r)
		return r;
	r = execute(k);
	if (r) {
		k->pc = at;
		return r;
	}
	k->steps++;
	return k->exited ? 0 : checked_follow_choose(k);
}

int checked_run(struct checked *k, const struct ebpf_vprog *prog, struct ebpf_proof *proof,
		const struct ebpf_facts *facts, struct checked_world *w, u64 seed)
{
	int r;

	memset(k, 0, sizeof(*k));
	k->prog = prog;
	k->facts = facts;
	k->proof = proof;
	k->w = w;
	k->random = k->seed = seed;
	k->nobjs = OBJ_FREE;
	k->stack = aligned_alloc(16, EBPF_MAX_FRAMES * EBPF_STACK_SIZE);
	if (!k->stack)
		return checked_error(k, "no memory");
	checked_world_reset(w, seed);
	k->obj[OBJ_CTX] = (struct checked_object){
		.type = VT_CTX, .live = true, .base = (u64)w->ctx, .hi = CHECKED_CTX};
	r = push_frame(k, 0, false);
	*reg(k, BPF_REG_1) = pointer(OBJ_CTX, (u64)w->ctx);
	r = r ? r : checked_follow_start(k);
	while (!r && !k->exited && k->steps < CHECKED_STEPS)
		r = step(k);
	k->hash = checked_world_hash(w);
	checked_follow_end(k);
	free(k->stack);
	k->stack = NULL;
	return r;
}
