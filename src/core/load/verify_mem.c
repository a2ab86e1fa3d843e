/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads, stores and atomics: which object an address lies in, whether every byte that may be
 * touched is inside it, and what a load then knows.
 *
 * Model: a pointer's offset is a fixed part plus a number of which the range is known; both ends of
 * the range must be inside. Each sort of object has its own function here, for instructions
 * (verify_access) and for arguments of functions. Messages are the kernel's.
 */
#include <stdio.h>
#include <string.h>

#include "core/load/mutant.h"
#include "core/load/verify_ctx.h"
#include "core/load/verify_mem.h"
#include "core/uapi.h"

#define MAX_VAR_OFF (1u << 29)

bool verify_is_null(const struct ebpf_vreg *reg)
{
	return reg->type == VT_SCALAR && ebpf_scalar_is_const(&reg->val) && !reg->val.var_off.value;
}

const char *verify_tnum_text(const struct ebpf_scalar *val, char *buf)
{
	unsigned long long value = val->var_off.value, mask = val->var_off.mask;

	if (mask)
		snprintf(buf, 48, "(0x%llx; 0x%llx)", value, mask);
	else
		snprintf(buf, 48, value <= UINT16_MAX ? "%llu" : "0x%llx", value);
	return buf;
}

static const struct ebpf_vmap *map_of(const struct verify *v, const struct ebpf_vreg *reg)
{
	return &v->prog->maps[reg->obj];
}

const struct ebpf_map_meta *verify_map_meta(const struct verify *v, const struct ebpf_vreg *reg)
{
	const struct ebpf_vmap *map = map_of(v, reg);

	return reg->flags & VREG_INNER ? map->inner : &map->meta;
}

int verify_unmoved(struct verify *v, const struct ebpf_vreg *reg, u32 regno, bool fixed_ok)
{
	char name[64], tnum[48];

	if (reg->off < 0)
		return verify_fail(v, EACCES, "negative offset %s ptr R%d off=%d disallowed\n",
				   verify_type_name(reg, name), regno, reg->off);
	if (!fixed_ok && reg->off)
		return verify_fail(v, EACCES,
				   "dereference of modified %s ptr R%d off=%d disallowed\n",
				   verify_type_name(reg, name), regno, reg->off);
	if (!ebpf_scalar_is_const(&reg->val) || reg->val.var_off.value)
		return verify_fail(v, EACCES, "variable %s access var_off=%s disallowed\n",
				   verify_type_name(reg, name), verify_tnum_text(&reg->val, tnum));
	return 0;
}

/* --- alignment ------------------------------------------------------------------------------- */

static const char *align_name(const struct ebpf_vreg *reg)
{
	switch (reg->type) {
	case VT_MAP_KEY:
		return "key ";
	case VT_MAP_VALUE:
		return reg->flags & VREG_NULL ? "" : "value ";
	case VT_CTX:
		return "context ";
	case VT_STACK:
		return "stack ";
	default:
		return "";
	}
}

static bool off_aligned(const struct ebpf_vreg *reg, s64 off, u32 size)
{
	u64 low = (reg->val.var_off.value + (u64)off) | reg->val.var_off.mask;

	return !(low & (size - 1));
}

/* The network stack puts headers two bytes off, so that what follows is aligned. */
#define PKT_SHIFT 2

int verify_aligned(struct verify *v, const struct ebpf_vreg *reg, s32 off, u32 size, bool strict)
{
	bool pkt = reg->type == VT_PKT && reg->obj != 2;
	s64 shift = pkt ? PKT_SHIFT : 0;
	char buf[48];

	/* spills are tracked by slots */
	strict |= v->strict || reg->type == VT_STACK;
	if (!strict || size <= 1 || off_aligned(reg, shift + reg->off + off, size))
		return 0;
	if (pkt)
		return verify_fail(v, EACCES, "misaligned packet access off %d+%s+%d+%d size %d\n",
				   PKT_SHIFT, verify_tnum_text(&reg->val, buf), reg->off, off,
				   size);
	return verify_fail(v, EACCES, "misaligned %saccess off %s+%d+%d size %d\n", align_name(reg),
			   verify_tnum_text(&reg->val, buf), reg->off, off, size);
}

/* --- bounds ---------------------------------------------------------------------------------- */

static int outside(struct verify *v, u32 regno, s32 off, u32 size, u32 mem_size)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);

	switch (reg->type) {
	case VT_MAP_KEY:
		return verify_fail(v, EACCES,
				   "invalid access to map key, key_size=%d off=%d size=%d\n",
				   mem_size, off, size);
	case VT_MAP_VALUE:
		return verify_fail(v, EACCES,
				   "invalid access to map value, value_size=%d off=%d size=%d\n",
				   mem_size, off, size);
	case VT_PKT:
		return verify_fail(
			v, EACCES,
			"invalid access to packet, off=%d size=%d, R%d(id=%d,off=%d,r=%d)\n", off,
			size, regno, reg->id, off, mem_size);
	default:
		return verify_fail(v, EACCES,
				   "invalid access to memory, mem_size=%u off=%d size=%d\n",
				   mem_size, off, size);
	}
}

/* [@off, @off + size) inside [0, @mem_size)? */
static int inside(struct verify *v, const struct verify_access *a, s64 off, u32 mem_size)
{
	if (off >= 0 && (a->size || a->zero) &&
	    (u64)off + a->size <= EBPF_MUTANT(114, mem_size, mem_size + 1))
		return 0;
	return outside(v, a->regno, (s32)off, a->size, mem_size);
}

static int negative(struct verify *v, u32 regno)
{
	return verify_fail(v, EACCES,
			   "R%d min value is negative, either use unsigned index or do a if "
			   "(index >=0) check.\n",
			   regno);
}

static int region(struct verify *v, const struct verify_access *a, u32 mem_size)
{
	const struct ebpf_vreg *reg = verify_reg(v, a->regno);
	s64 min = reg->val.smin;
	int r;

	if (min < 0 &&
	    (min == INT64_MIN || min + a->off != (s32)(min + a->off) || min + a->off < 0))
		return negative(v, a->regno);
	r = inside(v, a, (s32)(min + a->off), mem_size);
	if (r) {
		verify_log(v, "R%d min value is outside of the allowed memory range\n", a->regno);
		return r;
	}
	if (reg->val.umax >= MAX_VAR_OFF)
		return verify_fail(v, EACCES,
				   "R%d unbounded memory access, make sure to bounds check any "
				   "such access\n",
				   a->regno);
	r = inside(v, a, (s64)reg->val.umax + a->off, mem_size);
	if (r)
		verify_log(v, "R%d max value is outside of the allowed memory range\n", a->regno);
	return r;
}

/* --- map values ------------------------------------------------------------------------------ */

static int map_rights(struct verify *v, const struct verify_access *a)
{
	const struct ebpf_map_meta *meta = verify_map_meta(v, verify_reg(v, a->regno));

	if (a->write && (meta->map_flags & BPF_F_RDONLY_PROG))
		return verify_fail(v, EACCES,
				   "write into map forbidden, value_size=%d off=%d size=%d\n",
				   meta->value_size, a->off, a->size);
	if (!a->write && (meta->map_flags & BPF_F_WRONLY_PROG))
		return verify_fail(v, EACCES,
				   "read from map forbidden, value_size=%d off=%d size=%d\n",
				   meta->value_size, a->off, a->size);
	return 0;
}

static const char *field_name(u32 kind)
{
	switch (kind) {
	case EBPF_FIELD_SPIN_LOCK:
		return "bpf_spin_lock";
	case EBPF_FIELD_TIMER:
		return "bpf_timer";
	default:
		return "kptr";
	}
}

static int map_fields(struct verify *v, const struct verify_access *a)
{
	const struct ebpf_vreg *reg = verify_reg(v, a->regno);
	const struct ebpf_vmap *map = map_of(v, reg);

	if (reg->flags & VREG_INNER)
		return 0;
	for (u32 i = 0; i < map->nfields; i++) {
		const struct ebpf_field *f = &map->fields[i];

		if (reg->val.smin + a->off < (s64)f->off + f->size &&
		    (s64)f->off < (s64)reg->val.umax + a->off + (s64)a->size)
			return verify_fail(v, EACCES,
					   "%s cannot be accessed directly by load/store\n",
					   field_name(f->kind));
	}
	return 0;
}

int verify_map_region(struct verify *v, const struct verify_access *a)
{
	int r = region(v, a, verify_map_meta(v, verify_reg(v, a->regno))->value_size);

	return r ? r : map_fields(v, a);
}

static int map_value(struct verify *v, const struct verify_access *a)
{
	const struct ebpf_map_meta *meta = verify_map_meta(v, verify_reg(v, a->regno));
	int r;

	if (meta->type == BPF_MAP_TYPE_ARRAY_OF_MAPS || meta->type == BPF_MAP_TYPE_HASH_OF_MAPS)
		return verify_bug(v, "R%d points into a map of maps", a->regno);
	r = map_rights(v, a);
	return r ? r : verify_map_region(v, a);
}

/* What is read from a map that nobody can change any more is a constant. */
static bool map_constant(const struct verify *v, const struct ebpf_vreg *reg, s32 off, u32 size,
			 u64 *out)
{
	const struct ebpf_vmap *map = map_of(v, reg);
	u64 value = 0;

	if (!map->contents || !map->frozen || !(map->meta.map_flags & BPF_F_RDONLY_PROG) ||
	    (reg->flags & VREG_INNER) || !ebpf_scalar_is_const(&reg->val))
		return false;
	memcpy(&value, map->contents + off + reg->val.var_off.value, size);
	*out = value;
	return true;
}

/* --- the context ----------------------------------------------------------------------------- */

static int context(struct verify *v, const struct verify_access *a, bool sext, u32 dst)
{
	const struct ebpf_vreg *reg = verify_reg(v, a->regno);
	struct ebpf_ctx_access out = {0};
	int r = verify_unmoved(v, reg, a->regno, false);

	if (r)
		return r;
	if (a->off < 0 ||
	    !ebpf_ctx_access(v->prog->prog_type, v->prog->expected_attach_type, (u32)a->off,
			     a->size, a->write, &out) ||
	    (sext && out.type != VT_SCALAR)) {
		r = verify_fail(v, EACCES, "invalid bpf_context access off=%d size=%d\n", a->off,
				a->size);
		verify_log_line(v, v->insn_idx);
		return r;
	}
	if (v->target.data)
		return verify_target_context(v, (u32)a->off, a->size, dst);
	if (a->write || dst == ~0u)
		return 0;
	if (out.type == VT_SCALAR)
		verify_reg_unknown(v, verify_reg(v, dst));
	else
		verify_reg_pointer(verify_reg(v, dst), out.type, out.obj, out.flags);
	return 0;
}

/* --- packets --------------------------------------------------------------------------------- */

static int packet(struct verify *v, const struct verify_access *a)
{
	const struct ebpf_vreg *reg = verify_reg(v, a->regno);
	int r;

	if (reg->val.smin < 0)
		return negative(v, a->regno);
	r = (s32)reg->mem_size < 0 ? -EINVAL : inside(v, a, a->off, reg->mem_size);
	if (r)
		return verify_fail(v, -r, "R%d offset is outside of the packet\n", a->regno);
	return 0;
}

/* --- one access by an instruction ------------------------------------------------------------ */

/* The kernel's structure behind a pointer to a map, as its messages name it. */
static const char *map_struct(u32 type)
{
	switch (type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
	case BPF_MAP_TYPE_CGROUP_ARRAY:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		return "bpf_array";
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		return "bpf_htab";
	case BPF_MAP_TYPE_LPM_TRIE:
		return "lpm_trie";
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK:
		return "bpf_queue_stack";
	case BPF_MAP_TYPE_BLOOM_FILTER:
		return "bpf_bloom_filter";
	case BPF_MAP_TYPE_STACK_TRACE:
		return "bpf_stack_map";
	case BPF_MAP_TYPE_RINGBUF:
	case BPF_MAP_TYPE_USER_RINGBUF:
		return "bpf_ringbuf_map";
	default:
		return "bpf_map";
	}
}

/* Nothing of a map itself is shown here; what the kernel refuses, too, gets its words. */
static int bad_map_access(struct verify *v, const struct verify_access *a)
{
	const char *name = map_struct(verify_map_meta(v, verify_reg(v, a->regno))->type);

	if (a->off < 0)
		return verify_fail(v, EACCES, "R%d is %s invalid negative access: off=%d\n",
				   a->regno, name, a->off);
	if (a->write)
		return verify_fail(v, EACCES, "only read from %s is supported\n", name);
	return verify_fail(v, EACCES, "R%d invalid mem access 'map_ptr'\n", a->regno);
}

static int bad_pointer(struct verify *v, u32 regno)
{
	char name[64];

	return verify_fail(v, EACCES, "R%d invalid mem access '%s'\n", regno,
			   verify_type_name(verify_reg(v, regno), name));
}

static int memory(struct verify *v, const struct verify_access *a)
{
	const struct ebpf_vreg *reg = verify_reg(v, a->regno);
	char name[64];

	if (a->write && (reg->flags & VREG_RDONLY))
		return verify_fail(v, EACCES, "R%d cannot write into %s\n", a->regno,
				   verify_type_name(reg, name));
	return reg->flags & VREG_MAYFAULT ? 0 : region(v, a, reg->mem_size);
}

/* A structure whose members are registers: one of them, or a part of it, is read. */
static int kern_ctx(struct verify *v, const struct verify_access *a)
{
	const struct ebpf_vreg *reg = verify_reg(v, a->regno);
	const char *name = ebpf_ctx_struct(v->prog->prog_type);
	int err;

	if (reg->obj)
		return verify_target_load(v, a, ~0u, false);
	if (!v->prog->gpl)
		return verify_fail(v, EINVAL,
				   "Cannot access kernel 'struct %s' from non-GPL compatible "
				   "program\n",
				   name);
	err = verify_member_only(v, a, name);
	if (err)
		return err;
	if ((u32)a->off >= reg->mem_size)
		return verify_fail(v, EACCES, "access beyond struct %s at off %u size %u\n", name,
				   (u32)a->off, a->size);
	if ((u32)a->off % 8 + a->size > 8)
		return verify_fail(v, EACCES, "access beyond the end of member\n");
	return 0;
}

static int map_key(struct verify *v, const struct verify_access *a)
{
	if (a->write)
		return verify_fail(v, EACCES, "write to change key R%d not allowed\n", a->regno);
	return region(v, a, verify_map_meta(v, verify_reg(v, a->regno))->key_size);
}

static int packet_access(struct verify *v, const struct verify_access *a)
{
	if (verify_reg(v, a->regno)->obj == 2)
		return bad_pointer(v, a->regno);
	if (a->write && !ebpf_ctx_packet(v->prog->prog_type, true))
		return verify_fail(v, EACCES, "cannot write into packet\n");
	return packet(v, a);
}

/* Memory that remembers nothing. */
static int plain_access(struct verify *v, const struct verify_access *a)
{
	const struct ebpf_vreg *reg = verify_reg(v, a->regno);

	if (reg->flags & VREG_NULL)
		return bad_pointer(v, a->regno);
	switch (reg->type) {
	case VT_MAP_KEY:
		return map_key(v, a);
	case VT_MAP_VALUE:
		return map_value(v, a);
	case VT_MEM:
		return memory(v, a);
	case VT_BTF:
		return kern_ctx(v, a);
	case VT_PKT:
		return packet_access(v, a);
	case VT_MAP:
		return bad_map_access(v, a);
	default:
		return bad_pointer(v, a->regno);
	}
}

static struct verify_access access_of(struct verify *v, u32 regno, s32 off, u32 size, bool write)
{
	return (struct verify_access){.regno = regno,
				      .off = off + verify_reg(v, regno)->off,
				      .size = size,
				      .write = write};
}

static int store(struct verify *v, u32 regno, s32 off, u32 size, struct ebpf_vreg *value,
		 u32 value_regno, bool strict)
{
	struct verify_access a = access_of(v, regno, off, size, true);
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	int r = verify_aligned(v, reg, off, size, strict);

	if (r)
		return r;
	if (reg->type == VT_STACK)
		return verify_stack_write(v, &a, value, value_regno);
	if (reg->type == VT_CTX)
		return context(v, &a, false, ~0u);
	return plain_access(v, &a);
}

int verify_store_unknown(struct verify *v, u32 regno, s32 off, u32 size)
{
	return store(v, regno, off, size, NULL, ~0u, false);
}

/* What a load from memory that remembers nothing gives. */
static void load_result(struct verify *v, const struct verify_access *a, u32 dst)
{
	struct ebpf_vreg *reg = verify_reg(v, dst);
	u64 value;

	if (verify_reg(v, a->regno)->type == VT_MAP_VALUE &&
	    map_constant(v, verify_reg(v, a->regno), a->off, a->size, &value))
		verify_reg_const(reg, value);
	else
		verify_reg_unknown(v, reg);
}

/* Less than eight bytes are extended to eight. */
static void extend(struct verify *v, u32 dst, u32 size, bool sext)
{
	struct ebpf_vreg *reg = verify_reg(v, dst), from = *reg;

	if (reg->type != VT_SCALAR || size == 8)
		return;
	if (!sext) {
		ebpf_scalar_trunc(&reg->val, (u8)size);
		return;
	}
	ebpf_scalar_sext(&reg->val, (u8)size, true);
	reg->id = 0;
	reg->delta = 0;
	reg->flags &= (u16)~VREG_DELTA;
	reg->def = verify_def(v, from.def, 0);
}

static int load(struct verify *v, u32 regno, s32 off, u32 size, u32 dst, bool sext, bool strict)
{
	struct verify_access a = access_of(v, regno, off, size, false);
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	u8 type = reg->type; /* the register may be overwritten */
	const bool target = verify_is_target(reg);
	int r = verify_aligned(v, reg, off, size, strict);

	if (r)
		return r;
	if (type == VT_STACK)
		r = verify_stack_read(v, &a, dst);
	else if (type == VT_CTX)
		r = context(v, &a, sext, dst);
	else if (target)
		r = verify_target_load(v, &a, dst, sext);
	else
		r = plain_access(v, &a);
	if (r || dst == ~0u)
		return r;
	if (type != VT_STACK && type != VT_CTX && !target)
		load_result(v, &a, dst);
	extend(v, dst, size, sext);
	return 0;
}

/* --- instructions ---------------------------------------------------------------------------- */

/*
 * The context is accessed by code of its own: an instruction that goes to the context on one path
 * and elsewhere on another is refused.
 */
static int same_sort(struct verify *v, u8 type)
{
	u8 *seen = &v->insn[v->insn_idx].mem_type;

	if (!*seen)
		*seen = (u8)(type + 1);
	else if (*seen != type + 1 &&
		 (type == VT_CTX || *seen == VT_CTX + 1 || type == VT_BTF || *seen == VT_BTF + 1))
		return verify_fail(v, EINVAL, "same insn cannot be used with different pointers\n");
	return 0;
}

int verify_load(struct verify *v, const struct bpf_insn *in)
{
	bool sext = BPF_MODE(in->code) == BPF_MEMSX;
	int r = verify_readable(v, in->src_reg);
	u8 type;

	if (r)
		return r;
	type = verify_reg(v, in->src_reg)->type;
	r = load(v, in->src_reg, in->off, ebpf_insn_bytes(in), in->dst_reg, sext, false);
	return r ? r : same_sort(v, type);
}

static int store_reg(struct verify *v, const struct bpf_insn *in)
{
	int r = verify_readable(v, in->src_reg);

	r = r ? r : verify_readable(v, in->dst_reg);
	return r ? r
		 : store(v, in->dst_reg, in->off, ebpf_insn_bytes(in), verify_reg(v, in->src_reg),
			 in->src_reg, false);
}

static int store_imm(struct verify *v, const struct bpf_insn *in)
{
	struct ebpf_vreg value;
	int r = verify_readable(v, in->dst_reg);

	verify_reg_const(&value, (u64)(s64)in->imm);
	return r ? r : store(v, in->dst_reg, in->off, ebpf_insn_bytes(in), &value, ~0u, false);
}

int verify_store(struct verify *v, const struct bpf_insn *in)
{
	int r = BPF_CLASS(in->code) == BPF_ST ? store_imm(v, in) : store_reg(v, in);

	return r ? r : same_sort(v, verify_reg(v, in->dst_reg)->type);
}

/* --- atomics --------------------------------------------------------------------------------- */

static int atomic_operands(struct verify *v, const struct bpf_insn *in)
{
	const struct ebpf_vreg *dst = verify_reg(v, in->dst_reg);
	int r = verify_readable(v, in->src_reg);
	char name[64];

	r = r ? r : verify_readable(v, in->dst_reg);
	if (!r && in->imm == BPF_CMPXCHG)
		r = verify_readable(v, BPF_REG_0);
	if (r)
		return r;
	if (dst->type == VT_CTX || (dst->type == VT_PKT && dst->obj != 2))
		return verify_fail(v, EACCES, "BPF_ATOMIC stores into R%d %s is not allowed\n",
				   in->dst_reg, verify_type_name(dst, name));
	return 0;
}

static u32 atomic_result(const struct bpf_insn *in)
{
	if (!(in->imm & BPF_FETCH))
		return ~0u;
	return in->imm == BPF_CMPXCHG ? (u32)BPF_REG_0 : in->src_reg;
}

int verify_atomic(struct verify *v, const struct bpf_insn *in)
{
	u32 size = ebpf_insn_bytes(in), result = atomic_result(in);
	int r = atomic_operands(v, in);

	if (r)
		return r;
	r = load(v, in->dst_reg, in->off, size, ~0u, false, true);
	if (!r && result != ~0u)
		r = load(v, in->dst_reg, in->off, size, result, false, true);
	/* the old contents in the pointer's own register: refused by what follows */
	r = r ? r : same_sort(v, verify_reg(v, in->dst_reg)->type);
	return r ? r : store(v, in->dst_reg, in->off, size, NULL, ~0u, true);
}

/* --- lddw ------------------------------------------------------------------------------------ */

static int load_function(struct verify *v, const struct bpf_insn *in)
{
	u32 target = v->insn_idx + (u32)in->imm + 1;

	for (u32 i = 0; i < v->nsubprogs; i++) {
		if (v->subprog[i].start != target)
			continue;
		if (!v->prog->funcs)
			return verify_fail(v, EINVAL, "missing btf func_info\n");
		if (v->subprog[i].global)
			return verify_fail(v, EINVAL, "callback function not static\n");
		if (!i)
			return verify_fail(v, EINVAL,
					   "callback function cannot be the main program\n");
		verify_reg_pointer(verify_reg(v, in->dst_reg), VT_FUNC, i, 0);
		return 0;
	}
	return verify_bug(v, "no function starts at %u", target);
}

int verify_ld_imm64(struct verify *v, const struct bpf_insn *in)
{
	struct ebpf_vreg *dst = verify_reg(v, in->dst_reg);

	switch (in->src_reg) {
	case 0:
		verify_reg_const(dst, (u64)(u32)in[1].imm << 32 | (u32)in->imm);
		return 0;
	case BPF_PSEUDO_FUNC:
		return load_function(v, in);
	case BPF_PSEUDO_MAP_FD:
	case BPF_PSEUDO_MAP_VALUE:
		if ((u32)in->imm >= v->prog->nmaps)
			return verify_bug(v, "there is no map %d", in->imm);
		break;
	default:
		return verify_fail(v, EINVAL, "unrecognized bpf_ld_imm64 insn\n");
	}
	if (in->src_reg == BPF_PSEUDO_MAP_FD) {
		verify_reg_pointer(dst, VT_MAP, (u32)in->imm, 0);
		return 0;
	}
	verify_reg_pointer(dst, VT_MAP_VALUE, (u32)in->imm, 0);
	dst->off = in[1].imm;
	return 0;
}

/* --- loads from packets by position ---------------------------------------------------------- */

static int ld_abs_allowed(struct verify *v)
{
	u32 type = v->prog->prog_type;

	if (type != BPF_PROG_TYPE_SOCKET_FILTER && type != BPF_PROG_TYPE_SCHED_CLS &&
	    type != BPF_PROG_TYPE_SCHED_ACT)
		return verify_fail(v, EINVAL,
				   "BPF_LD_[ABS|IND] instructions not allowed for this program "
				   "type\n");
	for (u32 i = v->cur->curframe; i; i--)
		if (v->cur->frame[i]->callback)
			return verify_fail(v, EINVAL,
					   "cannot use BPF_LD_[ABS|IND] within callback\n");
	if (v->cur->curframe)
		return verify_fail(v, EINVAL,
				   "BPF_LD_[ABS|IND] in a subprogram is not supported\n");
	return 0;
}

int verify_ld_abs(struct verify *v, const struct bpf_insn *in)
{
	int r = ld_abs_allowed(v);

	r = r ? r : verify_readable(v, BPF_REG_6);
	r = r ? r : verify_refs_empty(v, false, "BPF_LD_[ABS|IND]");
	if (r)
		return r;
	if (verify_reg(v, BPF_REG_6)->type != VT_CTX)
		return verify_fail(v, EINVAL,
				   "at the time of BPF_LD_ABS|IND R6 != pointer to skb\n");
	if (BPF_MODE(in->code) == BPF_IND)
		r = verify_readable(v, in->src_reg);
	r = r ? r : verify_unmoved(v, verify_reg(v, BPF_REG_6), BPF_REG_6, false);
	if (r)
		return r;
	verify_clobber(v);
	verify_reg_unknown(v, verify_reg(v, BPF_REG_0));
	return 0;
}

/* --- arguments of functions ------------------------------------------------------------------ */

static int mem_wrong(struct verify *v, u32 regno)
{
	char name[64];

	return verify_fail(v, EACCES, "R%d type=%s expected=fp\n", regno,
			   verify_type_name(verify_reg(v, regno), name));
}

/* Functions may get the context of some program types as memory: its bytes count one by one. */
static int ctx_arg(struct verify *v, const struct verify_access *a)
{
	struct verify_access last = *a;

	if (!ebpf_ctx_is_memory(v->prog->prog_type))
		return mem_wrong(v, a->regno);
	if (!a->size)
		return a->zero ? 0 : -EACCES;
	last.off += (s32)a->size - 1;
	last.size = 1;
	return context(v, &last, false, ~0u);
}

static int key_arg(struct verify *v, const struct verify_access *a)
{
	char name[64];

	if (a->write)
		return verify_fail(v, EACCES, "R%d cannot write into %s\n", a->regno,
				   verify_type_name(verify_reg(v, a->regno), name));
	return map_key(v, a);
}

int verify_mem_arg(struct verify *v, u32 regno, u32 size, bool write, bool zero,
		   struct verify_raw *raw)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);
	struct verify_access a = {regno, reg->off, size, write, true, zero};

	switch (reg->type) {
	case VT_PKT:
		return reg->obj == 2 ? mem_wrong(v, regno) : packet(v, &a);
	case VT_MAP_KEY:
		return key_arg(v, &a);
	case VT_MAP_VALUE:
		return map_value(v, &a);
	case VT_MEM:
		return reg->flags & VREG_MAYFAULT ? mem_wrong(v, regno) : memory(v, &a);
	case VT_BTF:
		return reg->obj ? mem_wrong(v, regno) : kern_ctx(v, &a);
	case VT_STACK:
		return verify_stack_arg(v, &a, raw);
	case VT_CTX:
		return ctx_arg(v, &a);
	default:
		return zero && !size && verify_is_null(reg) ? 0 : mem_wrong(v, regno);
	}
}

int verify_mem_region(struct verify *v, u32 regno, u32 size, bool write, bool zero_allowed)
{
	return verify_mem_arg(v, regno, size, write, zero_allowed, NULL);
}
