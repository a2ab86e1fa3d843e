/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack: what a store leaves there, what a load finds.
 *
 * Model: bytes -512 .. -1 of a frame, in slots of eight (vstate.h). A whole, aligned store of a
 * register is a spill: the slot remembers the value, a fill gives it back. What is stored otherwise
 * is zero or something. A store whose place is not known makes every place it may go to less
 * known. Reading what was never written is allowed; the checker notes which slots the code must
 * zero for that.
 *
 * Rules: the low part of a value lies at the lowest address (little-endian machines); a spill of
 * less than the register is its low part, zero-extended.
 */
#include <string.h>

#include "core/load/mutant.h"
#include "core/load/verify_mem.h"
#include "core/uapi.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "spills are of the low part");

#define MAX_VAR_OFF (1 << 29)

static struct ebpf_vframe *frame_of(struct verify *v, const struct ebpf_vreg *ptr)
{
	return v->cur->frame[ptr->obj];
}

static u8 *kind_at(struct ebpf_vframe *f, s32 off)
{
	return &f->slots[verify_slot_of(off)].kind[7 - (u32)(-off - 1) % 8];
}

/* --- bounds ---------------------------------------------------------------------------------- */

static s64 lowest(const struct ebpf_vreg *ptr)
{
	return ebpf_scalar_is_const(&ptr->val) ? (s64)ptr->val.var_off.value : ptr->val.smin;
}

static s64 highest(const struct ebpf_vreg *ptr)
{
	return ebpf_scalar_is_const(&ptr->val) ? (s64)ptr->val.var_off.value : ptr->val.smax;
}

static const char *doing(const struct verify_access *a)
{
	if (a->helper)
		return " indirect access to";
	return a->write ? " write to" : " read from";
}

static int out_of_bounds(struct verify *v, const struct verify_access *a, int err)
{
	const struct ebpf_vreg *ptr = verify_reg(v, a->regno);
	char buf[48];

	if (ebpf_scalar_is_const(&ptr->val))
		return verify_fail(v, err, "invalid%s stack R%d off=%d size=%d\n", doing(a),
				   a->regno, a->off, a->size);
	return verify_fail(v, err,
			   "invalid variable-offset%s stack R%d var_off=%s off=%d size=%d\n",
			   doing(a), a->regno, verify_tnum_text(&ptr->val, buf), a->off, a->size);
}

static int grow(struct verify *v, struct ebpf_vframe *f, u32 bytes)
{
	u32 nslots = (bytes + 7) / 8;
	u32 *used = &v->subprog[f->subprog].stack;

	*used = MAX(*used, nslots * 8);
	verify_fastcall_access(v, f->subprog, bytes);
	return nslots > f->nslots ? ebpf_vframe_grow(f, nslots) : 0;
}

int verify_stack_bounds(struct verify *v, const struct verify_access *a)
{
	const struct ebpf_vreg *ptr = verify_reg(v, a->regno);
	s64 min, max;

	if (!ebpf_scalar_is_const(&ptr->val) &&
	    (ptr->val.smax >= MAX_VAR_OFF || ptr->val.smin <= -MAX_VAR_OFF))
		return verify_fail(v, EACCES, "invalid unbounded variable-offset%s stack R%d\n",
				   doing(a), a->regno);
	min = lowest(ptr) + a->off;
	max = highest(ptr) + a->off + (s64)a->size;
	if (min < -EBPF_STACK_SIZE || min > -1)
		return out_of_bounds(v, a, EACCES);
	if (max > 0)
		return out_of_bounds(v, a, EINVAL);
	return grow(v, frame_of(v, ptr), (u32)-min);
}

/* --- slots ----------------------------------------------------------------------------------- */

static bool is_spill(const struct ebpf_vslot *slot)
{
	return slot->kind[0] == VB_SPILL;
}

static void blur(struct ebpf_vslot *slot)
{
	for (u32 i = 0; i < 8; i++)
		if (slot->kind[i] != VB_NONE)
			slot->kind[i] = VB_MISC;
}

/* Something is about to be written into a part of it. */
static void scrub(struct ebpf_vslot *slot)
{
	if (is_spill(slot) || slot->kind[0] == VB_DYNPTR || slot->kind[0] == VB_ITER)
		blur(slot);
	verify_reg_none(&slot->spilled);
}

void verify_spill(struct ebpf_vslot *slot, const struct ebpf_vreg *reg, u32 size)
{
	u32 i;

	slot->spilled = *reg;
	if (size < 8)
		ebpf_scalar_trunc(&slot->spilled.val, (u8)size);
	for (i = 0; i < size; i++)
		slot->kind[i] = VB_SPILL;
	for (; i < 8; i++)
		if (slot->kind[i] != VB_ZERO && slot->kind[i] != VB_NONE)
			slot->kind[i] = VB_MISC;
}

static bool fits(const struct ebpf_vreg *reg, u32 size)
{
	return size == 8 || !(reg->val.umax >> (8 * size));
}

static void unlink_value(struct ebpf_vreg *reg)
{
	reg->id = 0;
	reg->delta = 0;
	reg->flags &= (u16)~VREG_DELTA;
}

/* A copy of a number is linked with it, so that what is learnt of one is known of the other. */
static void give_id(struct verify *v, struct ebpf_vreg *reg)
{
	if (reg->flags & VREG_DELTA)
		unlink_value(reg);
	if (!reg->id && !ebpf_scalar_is_const(&reg->val))
		reg->id = verify_new_id(v);
}

static bool is_zero(const struct ebpf_vreg *reg)
{
	return reg && verify_is_null(reg);
}

/* --- the context's address -------------------------------------------------------------------- */

/* Slots @first to @last may hold it; or are read as what it may have left there. */
static u64 slots_of(u32 first, u32 last)
{
	return (~0ull >> (63 - (last - first))) << first;
}

static void keeps_context(struct verify *v, const struct ebpf_vframe *f,
			  const struct ebpf_vreg *value, u32 first, u32 last)
{
	if (value && value->type == VT_CTX)
		v->subprog[f->subprog].context |= slots_of(first, last);
}

/* The current instruction loads the address as a whole. */
static bool fills_context(const struct verify *v, const struct ebpf_vslot *slot, u32 size)
{
	return BPF_CLASS(verify_at(v, v->insn_idx)->code) == BPF_LDX && size == 8 &&
	       slot->spilled.type == VT_CTX;
}

static void read_as_bytes(struct verify *v, const struct ebpf_vframe *f, u32 first, u32 last)
{
	v->subprog[f->subprog].bytes |= slots_of(first, last);
}

/* --- stores ---------------------------------------------------------------------------------- */

static bool spillable(const struct ebpf_vreg *reg)
{
	return reg && ebpf_vreg_is_ptr(reg) && reg->type != VT_DYNPTR && reg->type != VT_OTHER;
}

static void spill_scalar(struct verify *v, struct ebpf_vslot *slot, struct ebpf_vreg *value,
			 u32 size)
{
	bool whole = fits(value, size);

	if (whole)
		give_id(v, value);
	verify_spill(slot, value, size);
	if (whole)
		return;
	if (EBPF_MUTANT(113, true, false))
		unlink_value(&slot->spilled);
	slot->spilled.def = verify_def(v, value->def, 0);
}

static int spill_pointer(struct verify *v, const struct ebpf_vframe *f, struct ebpf_vslot *slot,
			 const struct ebpf_vreg *value, u32 size)
{
	if (size != 8) {
		verify_log_line(v, v->insn_idx);
		return verify_fail(v, EACCES, "invalid size of register spill\n");
	}
	if (f != ebpf_vframe(v->cur) && value->type == VT_STACK)
		return verify_fail(v, EINVAL,
				   "cannot spill pointers to stack into stack frame of the "
				   "caller\n");
	verify_spill(slot, value, size);
	return 0;
}

static int write_bytes(struct verify *v, struct ebpf_vframe *f, s32 off, u32 size,
		       const struct ebpf_vreg *value, u32 regno)
{
	u8 kind = is_zero(value) ? VB_ZERO : VB_MISC;
	u32 i;

	scrub(&f->slots[verify_slot_of(off)]);
	for (i = 0; i < size; i++)
		*kind_at(f, off + (s32)i) = kind;
	/* that byte kind remembers no origin: the zero must be one on every path */
	return EBPF_MUTANT(121, kind == VB_ZERO, false) && regno != ~0u ? verify_precise(v, regno)
									: 0;
}

static int write_fixed(struct verify *v, u32 frameno, s32 off, u32 size, struct ebpf_vreg *value,
		       u32 regno)
{
	struct ebpf_vframe *f = v->cur->frame[frameno];
	u32 n = verify_slot_of(off);
	int r = verify_dynptr_destroy(v, f, n);

	if (r)
		return r;
	verify_slot_written(v, frameno, n, size == 8);
	keeps_context(v, f, value, n, n);
	if (value && value->type == VT_SCALAR && off % 8 == 0) {
		spill_scalar(v, &f->slots[n], value, size);
		return 0;
	}
	if (spillable(value))
		return spill_pointer(v, f, &f->slots[n], value, size);
	return write_bytes(v, f, off, size, value, regno);
}

static int destroy_dynptrs(struct verify *v, struct ebpf_vframe *f, s32 min, s32 max)
{
	for (u32 n = verify_slot_of(max - 1); n <= verify_slot_of(min); n++) {
		int r = verify_dynptr_destroy(v, f, n);

		if (r)
			return r;
	}
	return 0;
}

/* One byte that a store may go to; true: it stays zero because a zero is stored. */
static bool write_maybe(struct ebpf_vframe *f, s32 off, bool zero)
{
	struct ebpf_vslot *slot = &f->slots[verify_slot_of(off)];
	u8 *kind = kind_at(f, off);

	if (zero && *kind == VB_SPILL && is_zero(&slot->spilled))
		return true;
	scrub(slot);
	zero = zero && *kind == VB_ZERO;
	*kind = zero ? VB_ZERO : VB_MISC;
	return zero;
}

static int write_variable(struct verify *v, u32 frameno, const struct verify_access *a,
			  const struct ebpf_vreg *value, u32 regno)
{
	const struct ebpf_vreg *ptr = verify_reg(v, a->regno);
	struct ebpf_vframe *f = v->cur->frame[frameno];
	s32 min = (s32)ptr->val.smin + a->off, max = (s32)(ptr->val.smax + a->off + (s64)a->size);
	bool zero_used = false;
	int r = destroy_dynptrs(v, f, min, max);

	if (r)
		return r;
	for (u32 n = verify_slot_of(max - 1); n <= verify_slot_of(min); n++)
		verify_slot_written(v, frameno, n, false);
	keeps_context(v, f, value, verify_slot_of(max - 1), verify_slot_of(min));
	for (s32 off = min; off < max; off++)
		zero_used |= write_maybe(f, off, is_zero(value));
	return zero_used && regno != ~0u ? verify_precise(v, regno) : 0;
}

int verify_stack_write(struct verify *v, const struct verify_access *a, struct ebpf_vreg *value,
		       u32 regno)
{
	const struct ebpf_vreg *ptr = verify_reg(v, a->regno);
	int r = verify_stack_bounds(v, a);

	if (r)
		return r;
	if (!ebpf_scalar_is_const(&ptr->val))
		return write_variable(v, ptr->obj, a, value, regno);
	return write_fixed(v, ptr->obj, a->off + (s32)ptr->val.var_off.value, a->size, value,
			   regno);
}

/* --- loads ----------------------------------------------------------------------------------- */

static bool plain(u8 kind)
{
	return kind == VB_MISC || kind == VB_ZERO || kind == VB_NONE;
}

static bool all_zero(struct ebpf_vframe *f, s32 min, s32 max)
{
	for (s32 off = min; off < max; off++)
		if (*kind_at(f, off) != VB_ZERO)
			return false;
	return true;
}

static void read_result(struct verify *v, u32 dst, bool zero)
{
	if (dst == ~0u)
		return;
	if (zero)
		verify_reg_const(verify_reg(v, dst), 0);
	else
		verify_reg_unknown(v, verify_reg(v, dst));
}

/* Bytes that are no object's; those of a spill (@spill) will do too. */
static int check_bytes(struct verify *v, struct ebpf_vframe *f, s32 off, u32 size, bool spill)
{
	for (u32 i = 0; i < size; i++) {
		u8 kind = *kind_at(f, off + (s32)i);

		if (!plain(kind) && !(spill && kind == VB_SPILL))
			return verify_fail(v, EACCES, "invalid read from stack off %d+%d size %d\n",
					   off, (int)i, size);
	}
	return 0;
}

/* A part of a spilled number: its low bytes are known, others are not. */
static int fill_part(struct verify *v, struct ebpf_vframe *f, s32 off, u32 size, u32 dst)
{
	const struct ebpf_vslot *slot = &f->slots[verify_slot_of(off)];
	struct ebpf_vreg from = slot->spilled;
	int r;

	if (off % 8 == 0 && size <= ebpf_vslot_spill_size(slot)) {
		*verify_reg(v, dst) = from;
		if (fits(&from, size))
			return 0;
		unlink_value(verify_reg(v, dst));
		ebpf_scalar_trunc(&verify_reg(v, dst)->val, (u8)size);
		verify_reg(v, dst)->def = verify_def(v, from.def, 0);
		return 0;
	}
	r = check_bytes(v, f, off, size, true);
	if (r)
		return r;
	for (u32 i = 0; i < size; i++) {
		if (*kind_at(f, off + (s32)i) == VB_SPILL && is_zero(&from))
			continue;
		read_result(v, dst, all_zero(f, off, off + (s32)size));
		return 0;
	}
	read_result(v, dst, true);
	verify_reg(v, dst)->def = verify_def(v, from.def, 0);
	return 0;
}

static int read_spill(struct verify *v, struct ebpf_vframe *f, s32 off, u32 size, u32 dst)
{
	const struct ebpf_vslot *slot = &f->slots[verify_slot_of(off)];

	if (size == 8 && ebpf_vslot_spill_size(slot) == 8) {
		if (dst != ~0u)
			*verify_reg(v, dst) = slot->spilled;
		return 0;
	}
	if (slot->spilled.type != VT_SCALAR) {
		verify_log_line(v, v->insn_idx);
		return verify_fail(v, EACCES, "invalid size of register fill\n");
	}
	return dst == ~0u ? 0 : fill_part(v, f, off, size, dst);
}

static int read_fixed(struct verify *v, u32 frameno, s32 off, u32 size, u32 dst)
{
	struct ebpf_vframe *f = v->cur->frame[frameno];
	u32 n = verify_slot_of(off);
	int r;

	verify_slot_read(v, frameno, n, n);
	if (!fills_context(v, &f->slots[n], size))
		read_as_bytes(v, f, n, n);
	v->scratched_slots |= 1ull << n;
	if (is_spill(&f->slots[n]))
		return read_spill(v, f, off, size, dst);
	r = check_bytes(v, f, off, size, false);
	if (r)
		return r;
	read_result(v, dst, all_zero(f, off, off + (s32)size));
	return 0;
}

static int read_variable(struct verify *v, const struct verify_access *a, u32 dst)
{
	const struct ebpf_vreg *ptr = verify_reg(v, a->regno);
	s32 min = (s32)ptr->val.smin + a->off, max = (s32)(ptr->val.smax + a->off + (s64)a->size);
	struct ebpf_vframe *f = frame_of(v, ptr);
	char buf[48];
	int r;

	if (dst == ~0u)
		return verify_fail(v, EACCES,
				   "variable offset stack pointer cannot be passed into helper "
				   "function; var_off=%s off=%d size=%d\n",
				   verify_tnum_text(&ptr->val, buf), a->off, a->size);
	r = verify_stack_arg(v, a, NULL);
	if (r)
		return r;
	read_result(v, dst, all_zero(f, min, max));
	return 0;
}

int verify_stack_read(struct verify *v, const struct verify_access *a, u32 dst)
{
	const struct ebpf_vreg *ptr = verify_reg(v, a->regno);
	int r = verify_stack_bounds(v, a);

	if (r)
		return r;
	if (!ebpf_scalar_is_const(&ptr->val))
		return read_variable(v, a, dst);
	return read_fixed(v, ptr->obj, a->off + (s32)ptr->val.var_off.value, a->size, dst);
}

/* --- arguments ------------------------------------------------------------------------------- */

static int bad_byte(struct verify *v, const struct verify_access *a, s32 min, s32 at)
{
	const struct ebpf_vreg *ptr = verify_reg(v, a->regno);
	const char *how = a->helper ? " indirect" : "";
	char buf[48];

	if (ebpf_scalar_is_const(&ptr->val))
		return verify_fail(v, EACCES, "invalid%s read from stack R%d off %d+%d size %d\n",
				   how, a->regno, min, at - min, a->size);
	return verify_fail(v, EACCES, "invalid%s read from stack R%d var_off %s+%d size %d\n", how,
			   a->regno, verify_tnum_text(&ptr->val, buf), at - min, a->size);
}

/* A function may store anything there, or an instruction read it. */
static int touch_byte(struct verify *v, const struct verify_access *a, struct ebpf_vframe *f,
		      s32 min, s32 off)
{
	struct ebpf_vslot *slot = &f->slots[verify_slot_of(off)];
	u8 *kind = kind_at(f, off);

	if (plain(*kind)) {
		if (a->helper)
			*kind = VB_MISC;
		return 0;
	}
	if (!is_spill(slot))
		return bad_byte(v, a, min, off);
	if (a->helper) {
		blur(slot);
		verify_reg_none(&slot->spilled);
	}
	return 0;
}

/* Written as a whole, so nothing needs to be there yet; but a dynptr must not be. */
static int note_raw(struct verify *v, const struct verify_access *a, struct ebpf_vframe *f, s32 min,
		    s32 max, struct verify_raw *raw)
{
	for (s32 off = min; off < max; off++)
		if (*kind_at(f, off) == VB_DYNPTR)
			return verify_fail(v, EACCES,
					   "potential write to dynptr at off=%d disallowed\n", off);
	raw->regno = a->regno;
	raw->size = a->size;
	return 0;
}

int verify_stack_arg(struct verify *v, const struct verify_access *a, struct verify_raw *raw)
{
	const struct ebpf_vreg *ptr = verify_reg(v, a->regno);
	struct ebpf_vframe *f = frame_of(v, ptr);
	s32 min, max;
	int r;

	if (!a->size && !a->zero)
		return verify_fail(v, EACCES, "invalid zero-sized read\n");
	r = verify_stack_bounds(v, a);
	if (r)
		return r;
	min = (s32)lowest(ptr) + a->off;
	max = (s32)(highest(ptr) + a->off + (s64)a->size);
	if (min == max)
		return 0;
	if (raw && raw->on && ebpf_scalar_is_const(&ptr->val))
		return note_raw(v, a, f, min, max, raw);
	verify_slot_read(v, ptr->obj, verify_slot_of(max - 1), verify_slot_of(min));
	read_as_bytes(v, f, verify_slot_of(max - 1), verify_slot_of(min));
	for (s32 off = min; !r && off < max; off++)
		r = touch_byte(v, a, f, min, off);
	return r;
}
