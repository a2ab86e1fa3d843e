/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads, stores and atomics: is every byte that may be touched inside the object, and what is read?
 *
 * Model: a pointer's offset is a set of numbers; all of the bytes from the smallest to the largest
 * place count as touched. Only a stack remembers what was stored; other memory holds anything,
 * because others write it too. The exception is a constant: a map that nobody can write any more.
 */
#include <string.h>

#include "core/load/check_proof.h"
#include "core/load/mutant.h"
#include "core/load/verify_ctx.h"

/* --- where ----------------------------------------------------------------------------------- */

static const struct ebpf_vmap *map_of(struct proof_check *c, const struct ebpf_vreg *r)
{
	proof_need(c, r->obj < c->prog->nmaps, "of no map");
	return &c->prog->maps[r->obj];
}

const struct ebpf_map_meta *proof_map_meta(struct proof_check *c, const struct ebpf_vreg *r)
{
	const struct ebpf_vmap *map = map_of(c, r);

	proof_need(c, !(r->flags & VREG_INNER) || map->inner, "of no map");
	return r->flags & VREG_INNER ? map->inner : &map->meta;
}

/* What a pointer leads to: bytes lo to hi, counted from where an offset is 0. */
struct object {
	s64 lo, hi;
	bool readable, writable;
};

static struct object object_of(struct proof_check *c, const struct ebpf_vreg *r)
{
	const bool rdonly = r->flags & VREG_RDONLY;
	const struct ebpf_map_meta *meta;

	switch (r->type) {
	case VT_STACK:
		return (struct object){-EBPF_STACK_SIZE, 0, true, !rdonly};
	case VT_MEM:
		return (struct object){0, r->mem_size, true, !rdonly};
	case VT_MAP_KEY:
		return (struct object){0, proof_map_meta(c, r)->key_size, true, false};
	case VT_MAP_VALUE:
		meta = proof_map_meta(c, r);
		return (struct object){0, meta->value_size, !(meta->map_flags & BPF_F_WRONLY_PROG),
				       !rdonly && !(meta->map_flags & BPF_F_RDONLY_PROG)};
	case VT_PKT: /* what was compared with its end; behind the end there is nothing */
		return (struct object){0, r->obj == 2 ? 0 : r->mem_size,
				       ebpf_ctx_packet(c->prog->prog_type, false),
				       !rdonly && ebpf_ctx_packet(c->prog->prog_type,
								  EBPF_MUTANT(91, true, false))};
	default:
		proof_fail(c, "that is no pointer to memory");
	}
}

const struct ebpf_vmap *proof_map_of_value(struct proof_check *c, const struct ebpf_vreg *r)
{
	const bool is = r->type == VT_MAP_VALUE && !(r->flags & (VREG_NULL | VREG_INNER));

	return is ? map_of(c, r) : NULL;
}

/* A lock or timer in a map's value is not for loads and stores. */
static bool on_field(struct proof_check *c, const struct ebpf_vreg *r,
		     const struct proof_span *span)
{
	const struct ebpf_vmap *map = proof_map_of_value(c, r);

	for (u32 i = 0; map && i < map->nfields; i++)
		if (span->lo < (s64)map->fields[i].off + map->fields[i].size &&
		    span->hi > map->fields[i].off)
			return EBPF_MUTANT(75, true, false);
	return false;
}

struct proof_span proof_access(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size,
			       bool write)
{
	const struct object o = object_of(c, r);
	const bool packet = r->type == VT_PKT; /* counted from the variable part */
	const s64 min = packet ? 0 : r->val.smin, max = packet ? 0 : r->val.smax;
	struct proof_span span = {.fixed = ebpf_scalar_is_const(&r->val)};

	proof_need(c, r->val.smin >= -PROOF_MAX_MOVE && r->val.smax <= PROOF_MAX_MOVE,
		   "an offset without bounds");
	proof_need(c, EBPF_MUTANT(76, !(r->flags & VREG_NULL), true), "the pointer may be NULL");
	proof_need(c, write ? EBPF_MUTANT(77, o.writable, true) : o.readable,
		   "memory that may not be read, or not be written");
	proof_need(c, !packet || EBPF_MUTANT(90, r->val.smin >= 0, true), "before a packet");
	span.lo = min + r->off + off;
	span.hi = EBPF_MUTANT(73, max, min) + r->off + off + size;
	if (span.lo < o.lo || span.hi > EBPF_MUTANT(74, o.hi, o.hi + 1))
		proof_fail(c, "bytes %lld to %lld of an object of %lld to %lld", (long long)span.lo,
			   (long long)span.hi, (long long)o.lo, (long long)o.hi);
	proof_need(c, !on_field(c, r, &span), "a field that only helpers may touch");
	return span;
}

/* --- the context ----------------------------------------------------------------------------- */

static void context(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size, bool write,
		    struct ebpf_vreg *value)
{
	const struct ebpf_vprog *prog = c->prog;
	const s64 at = (s64)(r->val.umin + (u64)(s64)off);
	struct ebpf_ctx_access a;

	proof_need(c, ebpf_scalar_is_const(&r->val) && at >= 0 && at <= PROOF_MAX_MOVE,
		   "a place in the context that is not fixed");
	proof_need(c,
		   ebpf_ctx_access(prog->prog_type, prog->expected_attach_type, (u32)at, size,
				   write, &a),
		   "no such field in the context");
	c->facts->ctx_size = MAX(c->facts->ctx_size, (u32)at + size);
	if (write)
		return;
	c->facts->ctx_read |= EBPF_MUTANT(128, 1ull << MIN((u32)at / 8, 63u), 0);
	ebpf_vreg_unknown(value);
	if (a.type != VT_SCALAR)
		ebpf_vreg_pointer(value, a.type, a.obj, a.flags);
}

void proof_context_bytes(struct proof_check *c, u32 regno, u32 size)
{
	struct ebpf_vreg ignored;

	for (u32 i = 0; i < size; i++)
		context(c, proof_reg(c, regno), (s32)i, 1, false, &ignored);
}

/* --- loads and stores ------------------------------------------------------------------------ */

const u8 *proof_constant(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 *room)
{
	const struct ebpf_vmap *map = proof_map_of_value(c, r);
	const s64 at = (s64)(r->val.umin + (u64)(s64)off);

	if (!map || !map->contents || !map->frozen || !(map->meta.map_flags & BPF_F_RDONLY_PROG) ||
	    !ebpf_scalar_is_const(&r->val) || at < 0 || at >= map->meta.value_size)
		return NULL;
	*room = map->meta.value_size - (u32)at;
	return map->contents + at;
}

static void memory_read(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size,
			struct ebpf_vreg *value)
{
	u32 room;
	const u8 *known = proof_constant(c, r, off, &room);
	u64 bytes = 0;

	ebpf_vreg_unknown(value);
	if (!known)
		return;
	memcpy(&bytes, known, MIN(size, room));
	ebpf_vreg_const(value, bytes);
}

/* Load to, or store, *value; what is stored may be NULL: anything. */
static void touch(struct proof_check *c, const struct ebpf_vreg *r, const struct bpf_insn *in,
		  bool write, struct ebpf_vreg *value)
{
	const u32 size = ebpf_insn_bytes(in);
	struct proof_span span;

	if (r->type == VT_CTX)
		return context(c, r, in->off, size, write, value);
	if (r->type == VT_SCALAR && EBPF_MUTANT(141, !write, true) &&
	    ebpf_ctx_probes(c->prog->prog_type)) {
		proof_fact(c, EBPF_MUTANT(140, EBPF_FACT_PROBES, 0)); /* it is contained */
		return ebpf_vreg_unknown(value);
	}
	span = proof_access(c, r, in->off, size, write);
	if (r->type == VT_STACK && write) {
		proof_need(c, !value || value->type != VT_STACK || value->obj <= r->obj,
			   "a pointer to a stack that ends before this one");
		proof_stack_write(c, r->obj, &span, value);
	} else if (r->type == VT_STACK) {
		proof_stack_read(c, r->obj, &span, value);
	} else if (!write) {
		memory_read(c, r, in->off, size, value);
	}
}

static struct ebpf_vreg load(struct proof_check *c, const struct bpf_insn *in, u32 from)
{
	struct ebpf_vreg value;

	touch(c, proof_readable(c, from), in, false, &value);
	if (value.type == VT_SCALAR)
		ebpf_scalar_trunc(&value.val, (u8)ebpf_insn_bytes(in)); /* extends with zeroes */
	return value;
}

static void load_signed(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg value = load(c, in, in->src_reg);

	proof_need(c, value.type == VT_SCALAR, "a part of a pointer");
	proof_unlink(&value);
	ebpf_scalar_sext(&value.val, (u8)ebpf_insn_bytes(in), true);
	*proof_reg(c, in->dst_reg) = value;
}

static void store(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg value;

	ebpf_vreg_const(&value, (u64)(s64)in->imm);
	if (BPF_CLASS(in->code) == BPF_STX) {
		proof_link(c, proof_readable(c, in->src_reg));
		value = *proof_reg(c, in->src_reg);
	}
	touch(c, proof_readable(c, in->dst_reg), in, true, &value);
}

static void atomic(struct proof_check *c, const struct bpf_insn *in)
{
	const struct ebpf_vreg *r = proof_readable(c, in->dst_reg);
	const u32 result = in->imm == BPF_CMPXCHG ? BPF_REG_0 : in->src_reg;
	const struct ebpf_tnum off = ebpf_tnum_const((u64)(s64)in->off);
	struct ebpf_vreg old;

	proof_readable(c, in->src_reg);
	proof_readable(c, result);
	proof_need(c,
		   r->type != VT_CTX && r->type != VT_PKT &&
			   ebpf_tnum_is_aligned(ebpf_tnum_add(r->val.var_off, off),
						ebpf_insn_bytes(in)),
		   "an atomic operation on that memory");
	old = load(c, in, in->dst_reg);
	touch(c, r, in, true, NULL);
	if (old.type != VT_SCALAR)
		ebpf_vreg_unknown(&old);
	if (in->imm & BPF_FETCH)
		*proof_reg(c, result) = old;
}

/* --- constants, and all of them -------------------------------------------------------------- */

static void lddw(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = proof_reg(c, in->dst_reg);

	switch (in->src_reg) {
	case 0:
		ebpf_vreg_const(dst, (u32)in[0].imm | (u64)(u32)in[1].imm << 32);
		return;
	case BPF_PSEUDO_FUNC:
		ebpf_vreg_pointer(dst, VT_FUNC, proof_subprog_at(c, c->p->pc + 1 + (u32)in->imm),
				  0);
		return;
	case BPF_PSEUDO_MAP_FD:
		ebpf_vreg_pointer(dst, VT_MAP, (u32)in->imm, 0);
		break;
	case BPF_PSEUDO_MAP_VALUE:
		ebpf_vreg_pointer(dst, VT_MAP_VALUE, (u32)in->imm, 0);
		ebpf_scalar_const(&dst->val, (u64)(s64)in[1].imm);
		break;
	default:
		proof_fail(c, "a constant of an unknown kind");
	}
	map_of(c, dst);
}

/* What the code generator wants to know of a load or store. */
static void tell(struct proof_check *c, const struct bpf_insn *in)
{
	u8 class = BPF_CLASS(in->code);
	u32 where = proof_reg(c, class == BPF_LDX ? in->src_reg : in->dst_reg)->type;

	if (EBPF_MUTANT(129, where != VT_STACK && where != VT_CTX, false))
		proof_fact(c, EBPF_FACT_MAY_FAULT);
	if (class == BPF_STX && proof_reg(c, in->src_reg)->type == VT_CTX &&
	    (where != VT_STACK || in->code != (BPF_STX | BPF_MEM | BPF_DW)))
		proof_fact(c, EBPF_FACT_CTX_ESCAPES);
}

void proof_mem(struct proof_check *c, const struct bpf_insn *in)
{
	const u8 class = BPF_CLASS(in->code), mode = BPF_MODE(in->code);

	if (class == BPF_LD) {
		proof_need(c, in->code == (BPF_LD | BPF_IMM | BPF_DW), "an unknown instruction");
		return lddw(c, in);
	}
	tell(c, in);
	if (class == BPF_LDX && mode == BPF_MEMSX)
		load_signed(c, in);
	else if (class == BPF_LDX)
		*proof_reg(c, in->dst_reg) = load(c, in, in->src_reg);
	else if (class == BPF_STX && mode == BPF_ATOMIC)
		atomic(c, in);
	else
		store(c, in);
}
