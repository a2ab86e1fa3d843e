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

#define MAX_MOVE (1ll << 29)

/* --- where ----------------------------------------------------------------------------------- */

static void within(struct proof_check *c, const struct proof_span *span, s64 lo, s64 hi)
{
	if (span->lo < lo || span->hi > EBPF_MUTANT(74, hi, hi + 1))
		proof_fail(c, "bytes %lld to %lld of an object of %lld to %lld",
			   (long long)span->lo, (long long)span->hi, (long long)lo, (long long)hi);
}

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

static void map_value(struct proof_check *c, const struct ebpf_vreg *r, bool write,
		      const struct proof_span *span)
{
	const struct ebpf_map_meta *meta = proof_map_meta(c, r);
	const struct ebpf_vmap *map = map_of(c, r);

	if (meta->map_flags & (write ? BPF_F_RDONLY_PROG : BPF_F_WRONLY_PROG))
		proof_fail(c, "a map that programs may not %s", write ? "write" : "read");
	within(c, span, 0, meta->value_size);
	/* a lock or timer in the value is not for loads and stores */
	for (u32 i = 0; i < map->nfields && !(r->flags & VREG_INNER); i++) {
		const s64 lo = map->fields[i].off, hi = lo + map->fields[i].size;

		proof_need(c, EBPF_MUTANT(75, span->lo >= hi || span->hi <= lo, true),
			   "a field that only helpers may touch");
	}
}

/*
 * What was compared with the packet's end is above the variable part, which counts from the start.
 */
static void packet(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size, bool write)
{
	s64 lo = (s64)r->off + off;

	proof_need(c, ebpf_ctx_packet(c->prog->prog_type, EBPF_MUTANT(91, write, false)),
		   "packets are not for programs of this type");
	if (r->obj == 2 || EBPF_MUTANT(90, r->val.smin < 0, false) || lo < 0 ||
	    lo + size > r->mem_size)
		proof_fail(c, "bytes of a packet that may not be there");
}

struct proof_span proof_access(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size,
			       bool write)
{
	struct proof_span span = {r->val.smin + off,
				  EBPF_MUTANT(73, r->val.smax, r->val.smin) + off + (s64)size,
				  ebpf_scalar_is_const(&r->val)};

	proof_need(c, ebpf_vreg_is_ptr(r), "that is no pointer to memory");
	proof_need(c, r->val.smin >= -MAX_MOVE && r->val.smax <= MAX_MOVE,
		   "an offset without bounds");
	proof_need(c, EBPF_MUTANT(76, !(r->flags & VREG_NULL), true), "the pointer may be NULL");
	if (write && EBPF_MUTANT(77, r->flags & VREG_RDONLY || r->type == VT_MAP_KEY, false))
		proof_fail(c, "memory that may not be written");
	switch (r->type) {
	case VT_STACK:
		within(c, &span, -(s64)EBPF_STACK_SIZE, 0);
		break;
	case VT_MAP_VALUE:
		map_value(c, r, write, &span);
		break;
	case VT_MAP_KEY:
		within(c, &span, 0, proof_map_meta(c, r)->key_size);
		break;
	case VT_MEM:
		within(c, &span, 0, r->mem_size);
		break;
	case VT_PKT:
		packet(c, r, off, size, write);
		break;
	default:
		proof_fail(c, "that is no pointer to memory");
	}
	return span;
}

/* --- the context ----------------------------------------------------------------------------- */

static void context(struct proof_check *c, const struct ebpf_vreg *r, s32 off, u32 size, bool write,
		    struct ebpf_vreg *value)
{
	struct ebpf_ctx_access a;
	s64 at = r->val.smin + off;

	proof_need(c, ebpf_scalar_is_const(&r->val) && at >= 0 && at <= MAX_MOVE,
		   "a place in the context that is not fixed");
	proof_need(c,
		   ebpf_ctx_access(c->prog->prog_type, c->prog->expected_attach_type, (u32)at, size,
				   write, &a),
		   "no such field in the context");
	c->facts->ctx_size = MAX(c->facts->ctx_size, (u32)at + size);
	if (write)
		return;
	c->facts->ctx_read |= EBPF_MUTANT(128, 1ull << MIN((u32)at / 8, 63u), 0);
	ebpf_vreg_unknown(value);
	ebpf_scalar_trunc(&value->val, (u8)size);
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

bool proof_map_constant(const struct ebpf_vmap *map)
{
	return map->contents && map->frozen && (map->meta.map_flags & BPF_F_RDONLY_PROG);
}

/* Bytes of a map that are known. */
static bool constant(struct proof_check *c, const struct ebpf_vreg *r,
		     const struct proof_span *span, struct ebpf_vreg *value)
{
	const struct ebpf_vmap *map = r->type == VT_MAP_VALUE ? map_of(c, r) : NULL;
	u64 bytes = 0;

	if (!map || !proof_map_constant(map) || !span->fixed || (r->flags & VREG_INNER))
		return false;
	memcpy(&bytes, map->contents + span->lo, (size_t)(span->hi - span->lo));
	ebpf_vreg_const(value, bytes);
	return true;
}

static struct ebpf_vreg read_value(struct proof_check *c, u32 regno, s32 off, u32 size)
{
	const struct ebpf_vreg *r = proof_readable(c, regno);
	struct proof_span span;
	struct ebpf_vreg value;

	if (r->type == VT_CTX) {
		context(c, r, off, size, false, &value);
		return value;
	}
	span = proof_access(c, r, off, size, false);
	if (r->type == VT_STACK)
		proof_stack_read(c, r->obj, &span, &value);
	else if (!constant(c, r, &span, &value))
		ebpf_vreg_unknown(&value);
	if (value.type == VT_SCALAR)
		ebpf_scalar_trunc(&value.val, (u8)size); /* loads extend with zeroes */
	return value;
}

/* @value NULL: anything */
static void write_value(struct proof_check *c, u32 regno, s32 off, u32 size,
			const struct ebpf_vreg *value)
{
	const struct ebpf_vreg *r = proof_readable(c, regno);
	struct proof_span span;

	if (r->type == VT_CTX)
		return context(c, r, off, size, true, NULL);
	span = proof_access(c, r, off, size, true);
	if (r->type != VT_STACK)
		return;
	proof_need(c, !value || value->type != VT_STACK || value->obj <= r->obj,
		   "a pointer to a stack that ends before this one");
	proof_stack_write(c, r->obj, &span, value);
}

static u32 size_of(const struct bpf_insn *in)
{
	static const u8 bytes[] = {
		[BPF_B >> 3] = 1, [BPF_H >> 3] = 2, [BPF_W >> 3] = 4, [BPF_DW >> 3] = 8};

	return bytes[BPF_SIZE(in->code) >> 3];
}

static void load(struct proof_check *c, const struct bpf_insn *in)
{
	struct ebpf_vreg value = read_value(c, in->src_reg, in->off, size_of(in));

	if (BPF_MODE(in->code) == BPF_MEMSX) {
		proof_need(c, value.type == VT_SCALAR, "a part of a pointer");
		proof_unlink(&value);
		ebpf_scalar_sext(&value.val, (u8)size_of(in), true);
	}
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
	write_value(c, in->dst_reg, in->off, size_of(in), &value);
}

static bool aligned(const struct ebpf_vreg *r, s32 off, u32 size)
{
	struct ebpf_tnum at = ebpf_tnum_add(r->val.var_off, ebpf_tnum_const((u64)(s64)off));

	return ebpf_tnum_is_aligned(at, size);
}

static void atomic(struct proof_check *c, const struct bpf_insn *in)
{
	const struct ebpf_vreg *r = proof_reg(c, in->dst_reg);
	u32 size = size_of(in), result = in->imm == BPF_CMPXCHG ? BPF_REG_0 : in->src_reg;
	struct ebpf_vreg old;

	proof_readable(c, in->src_reg);
	proof_readable(c, result);
	proof_need(c, r->type != VT_CTX && r->type != VT_PKT && aligned(r, in->off, size),
		   "an atomic operation on that memory");
	old = read_value(c, in->dst_reg, in->off, size);
	write_value(c, in->dst_reg, in->off, size, NULL);
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
	if (BPF_CLASS(in->code) != BPF_LD)
		tell(c, in);
	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
		proof_need(c, in->code == (BPF_LD | BPF_IMM | BPF_DW), "an unknown instruction");
		return lddw(c, in);
	case BPF_LDX:
		return load(c, in);
	case BPF_STX:
		if (BPF_MODE(in->code) == BPF_ATOMIC)
			return atomic(c, in);
		/* fallthrough */
	default:
		return store(c, in);
	}
}
