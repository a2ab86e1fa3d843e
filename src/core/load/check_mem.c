/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads, stores and atomics: is every byte that may be touched inside the object, and what is read?
 *
 * Model: a pointer's offset is a fixed part and a set of numbers; all of the bytes from the
 * smallest to the largest place count as touched. Only a stack remembers what was stored; other
 * memory holds anything, because others write it too. The exception is a constant: a map that
 * nobody can write any more.
 */
#include <string.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"
#include "core/load/verify_ctx.h"

#define MAX_MOVE (1ll << 29)

/* --- where ----------------------------------------------------------------------------------- */

static int span_of(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size,
		   struct proof_span *span)
{
	if (r->val.smin < -MAX_MOVE || r->val.smax > MAX_MOVE)
		return proof_fail(c, "an offset without bounds");
	span->lo = r->val.smin + r->off + off;
	span->hi = EBPF_MUTANT(73, r->val.smax, r->val.smin) + r->off + off + (s64)size;
	span->fixed = ebpf_scalar_is_const(&r->val);
	return 0;
}

static int within(struct proof_check *c, const struct proof_span *span, s64 lo, s64 hi)
{
	if (span->lo < lo || span->hi > EBPF_MUTANT(74, hi, hi + 1))
		return proof_fail(c, "bytes %lld to %lld of an object of %lld to %lld",
				  (long long)span->lo, (long long)span->hi, (long long)lo,
				  (long long)hi);
	return 0;
}

static const struct ebpf_vmap *map_of(const struct proof_check *c, const struct ebpf_vreg *r)
{
	return r->obj < c->prog->nmaps ? &c->prog->maps[r->obj] : NULL;
}

const struct ebpf_map_meta *proof_map_meta(const struct proof_check *c, const struct ebpf_vreg *r)
{
	const struct ebpf_vmap *map = map_of(c, r);

	if (!map)
		return NULL;
	return r->flags & VREG_INNER ? map->inner : &map->meta;
}

/* A lock or timer in the value is not for loads and stores. */
static int misses_fields(struct proof_check *c, const struct ebpf_vreg *r,
			 const struct proof_span *span)
{
	const struct ebpf_vmap *map = map_of(c, r);

	for (u32 i = 0; i < map->nfields && !(r->flags & VREG_INNER); i++) {
		const struct ebpf_field *f = &map->fields[i];

		if (EBPF_MUTANT(75, span->lo < (s64)(f->off + f->size) && span->hi > (s64)f->off,
				false))
			return proof_fail(c, "a field that only helpers may touch");
	}
	return 0;
}

static int map_value(struct proof_check *c, const struct ebpf_vreg *r, bool write,
		     const struct proof_span *span)
{
	const struct ebpf_map_meta *meta = proof_map_meta(c, r);
	int e;

	if (!meta)
		return proof_fail(c, "a value of no map");
	if (meta->map_flags & (write ? BPF_F_RDONLY_PROG : BPF_F_WRONLY_PROG))
		return proof_fail(c, "a map that programs may not %s", write ? "write" : "read");
	e = within(c, span, 0, meta->value_size);
	return e ? e : misses_fields(c, r, span);
}

/* What was compared with the packet's end is above the variable part, which counts from the start.
 */
static int packet(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size, bool write)
{
	s64 lo = (s64)r->off + off;

	if (!ebpf_ctx_packet(c->prog->prog_type, EBPF_MUTANT(91, write, false)))
		return proof_fail(c, "packets are not for programs of this type");
	if (r->obj == 2 || EBPF_MUTANT(90, r->val.smin < 0, false) || lo < 0 ||
	    lo + size > r->mem_size)
		return proof_fail(c, "bytes of a packet that may not be there");
	return 0;
}

int proof_access(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size, bool write,
		 struct proof_span *span)
{
	const struct ebpf_map_meta *meta = proof_map_meta(c, r);
	int e = ebpf_vreg_is_ptr(r) ? span_of(c, r, off, size, span)
				    : proof_fail(c, "that is no pointer to memory");

	if (e)
		return e;
	if (EBPF_MUTANT(76, r->flags & VREG_NULL, false))
		return proof_fail(c, "the pointer may be NULL");
	if (write && EBPF_MUTANT(77, r->flags & VREG_RDONLY || r->type == VT_MAP_KEY, false))
		return proof_fail(c, "memory that may not be written");
	switch (r->type) {
	case VT_STACK:
		return within(c, span, -(s64)EBPF_STACK_SIZE, 0);
	case VT_MAP_VALUE:
		return map_value(c, r, write, span);
	case VT_MAP_KEY:
		return meta ? within(c, span, 0, meta->key_size) : proof_fail(c, "of no map");
	case VT_MEM:
		return within(c, span, 0, r->mem_size);
	case VT_PKT:
		return packet(c, r, off, size, write);
	default:
		return proof_fail(c, "that is no pointer to memory");
	}
}

/* --- the context ----------------------------------------------------------------------------- */

static int context(struct proof_check *c, u32 regno, s32 off, u32 size, bool write,
		   struct ebpf_vreg *value)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	struct ebpf_ctx_access a;
	s64 at = (s64)r->off + off;

	if (!ebpf_scalar_is_const(&r->val) || r->val.umin || at < 0)
		return proof_fail(c, "a place in the context that is not fixed");
	if (!ebpf_ctx_access(c->prog->prog_type, c->prog->expected_attach_type, (u32)at, size,
			     write, &a))
		return proof_fail(c, "no such field in the context");
	c->facts->ctx_size = MAX(c->facts->ctx_size, (u32)at + size);
	if (write)
		return 0;
	c->facts->ctx_read |= EBPF_MUTANT(128, 1ull << MIN((u32)at / 8, 63u), 0);
	ebpf_vreg_unknown(value);
	ebpf_scalar_trunc(&value->val, (u8)size);
	if (a.type != VT_SCALAR)
		ebpf_vreg_pointer(value, a.type, a.obj, a.flags);
	return 0;
}

int proof_context_bytes(struct proof_check *c, u32 regno, u32 size)
{
	struct ebpf_vreg ignored;
	int e = 0;

	for (u32 i = 0; !e && i < size; i++)
		e = context(c, regno, (s32)i, 1, false, &ignored);
	return e;
}

/* --- loads ----------------------------------------------------------------------------------- */

bool proof_map_constant(const struct ebpf_vmap *map)
{
	return map->contents && map->frozen && (map->meta.map_flags & BPF_F_RDONLY_PROG);
}

/* Bytes that are known. */
static bool constant(const struct proof_check *c, const struct ebpf_vreg *r,
		     const struct proof_span *span, struct ebpf_vreg *value)
{
	const struct ebpf_vmap *map = map_of(c, r);
	u64 bytes = 0;

	if (r->type != VT_MAP_VALUE || !proof_map_constant(map) || !span->fixed ||
	    (r->flags & VREG_INNER))
		return false;
	memcpy(&bytes, map->contents + span->lo, (size_t)(span->hi - span->lo));
	ebpf_vreg_const(value, bytes);
	return true;
}

static int read_value(struct proof_check *c, u32 regno, s32 off, u32 size, struct ebpf_vreg *value)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	struct proof_span span;
	int e;

	if (r->type == VT_CTX)
		return context(c, regno, off, size, false, value);
	e = proof_access(c, r, off, size, false, &span);
	if (e)
		return e;
	if (r->type == VT_STACK) {
		e = proof_stack_read(c, r->obj, &span, value);
		if (e || value->type != VT_SCALAR)
			return e;
	} else if (!constant(c, r, &span, value)) {
		ebpf_vreg_unknown(value);
	}
	ebpf_scalar_trunc(&value->val, (u8)size); /* loads extend with zeroes */
	return 0;
}

static u32 size_of(const struct bpf_insn *in)
{
	switch (BPF_SIZE(in->code)) {
	case BPF_B:
		return 1;
	case BPF_H:
		return 2;
	case BPF_W:
		return 4;
	default:
		return 8;
	}
}

static int load(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg value;
	int e = proof_readable(c, in->src_reg);

	if (e)
		return e;
	e = read_value(c, in->src_reg, in->off, size_of(in), &value);
	if (e)
		return e;
	if (BPF_MODE(in->code) == BPF_MEMSX) {
		if (value.type != VT_SCALAR)
			return proof_fail(c, "a part of a pointer");
		proof_unlink(&value);
		ebpf_scalar_sext(&value.val, (u8)size_of(in), true);
	}
	*proof_reg(c, in->dst_reg) = value;
	return 0;
}

/* --- stores ---------------------------------------------------------------------------------- */

static int write_value(struct proof_check *c, u32 regno, s32 off, u32 size,
		       const struct ebpf_vreg *value)
{
	const struct ebpf_vreg *r = proof_reg(c, regno);
	struct proof_span span;
	int e;

	if (r->type == VT_CTX)
		return context(c, regno, off, size, true, NULL);
	e = proof_access(c, r, off, size, true, &span);
	if (e || r->type != VT_STACK)
		return e;
	if (value && value->type == VT_STACK && value->obj > r->obj)
		return proof_fail(c, "a pointer to a stack that ends before this one");
	return proof_stack_write(c, r->obj, &span, value);
}

static int store(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg value;
	int e = proof_readable(c, in->dst_reg);

	if (!e && BPF_CLASS(in->code) == BPF_STX)
		e = proof_readable(c, in->src_reg);
	if (e)
		return e;
	ebpf_vreg_const(&value, (u64)(s64)in->imm);
	if (BPF_CLASS(in->code) == BPF_STX) {
		proof_link(c, proof_reg(c, in->src_reg));
		value = *proof_reg(c, in->src_reg);
	}
	return write_value(c, in->dst_reg, in->off, size_of(in), &value);
}

/* --- atomics --------------------------------------------------------------------------------- */

static bool aligned(const struct ebpf_vreg *r, s32 off, u32 size)
{
	struct ebpf_tnum at =
		ebpf_tnum_add(r->val.var_off, ebpf_tnum_const((u64)(s64)r->off + (u64)(s64)off));

	return ebpf_tnum_is_aligned(at, size);
}

static int atomic(struct proof_check *c, const struct bpf_insn *in)
{
	u32 size = size_of(in);
	struct ebpf_vreg old, *r = proof_reg(c, in->dst_reg);
	bool cmpxchg = in->imm == BPF_CMPXCHG;
	int e = proof_readable(c, in->dst_reg);

	e = e ? e : proof_readable(c, in->src_reg);
	if (!e && cmpxchg)
		e = proof_readable(c, BPF_REG_0);
	if (e)
		return e;
	if (r->type == VT_CTX || r->type == VT_PKT || !aligned(r, in->off, size))
		return proof_fail(c, "an atomic operation on that memory");
	e = read_value(c, in->dst_reg, in->off, size, &old);
	e = e ? e : write_value(c, in->dst_reg, in->off, size, NULL);
	if (e || !(in->imm & BPF_FETCH))
		return e;
	if (old.type != VT_SCALAR)
		ebpf_vreg_unknown(&old);
	*proof_reg(c, cmpxchg ? BPF_REG_0 : in->src_reg) = old;
	return 0;
}

/* --- constants, and all of them --------------------------------------------------------------- */

int proof_lddw(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = proof_reg(c, in->dst_reg);
	u32 sub;

	switch (in->src_reg) {
	case 0:
		ebpf_vreg_const(dst, (u32)in[0].imm | (u64)(u32)in[1].imm << 32);
		return 0;
	case BPF_PSEUDO_FUNC:
		sub = proof_subprog_at(c, c->p->pc + 1 + (u32)in->imm);
		if (sub == PROOF_NONE)
			return proof_fail(c, "no such function");
		ebpf_vreg_pointer(dst, VT_FUNC, sub, 0);
		return 0;
	case BPF_PSEUDO_MAP_FD:
	case BPF_PSEUDO_MAP_VALUE:
		if ((u32)in->imm >= c->prog->nmaps)
			return proof_fail(c, "no such map");
		ebpf_vreg_pointer(dst, in->src_reg == BPF_PSEUDO_MAP_FD ? VT_MAP : VT_MAP_VALUE,
				  (u32)in->imm, 0);
		dst->off = in->src_reg == BPF_PSEUDO_MAP_VALUE ? in[1].imm : 0;
		return 0;
	default:
		return proof_fail(c, "a constant of an unknown kind");
	}
}

int proof_mem(struct proof_check *c, const struct bpf_insn *in)
{
	bool is_load = BPF_CLASS(in->code) == BPF_LDX;
	u32 where = proof_reg(c, is_load ? in->src_reg : in->dst_reg)->type;

	if (EBPF_MUTANT(129, where != VT_STACK && where != VT_CTX, false))
		c->facts->insn[c->p->pc] |= EBPF_FACT_MAY_FAULT;
	if (BPF_CLASS(in->code) == BPF_STX && proof_reg(c, in->src_reg)->type == VT_CTX &&
	    (where != VT_STACK || in->code != (BPF_STX | BPF_MEM | BPF_DW)))
		c->facts->insn[c->p->pc] |= EBPF_FACT_CTX_ESCAPES;
	switch (BPF_CLASS(in->code)) {
	case BPF_LDX:
		return load(c, in);
	case BPF_ST:
		return store(c, in);
	case BPF_STX:
		return BPF_MODE(in->code) == BPF_ATOMIC ? atomic(c, in) : store(c, in);
	default:
		return proof_fail(c, "an instruction that has no meaning here");
	}
}
