/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects that live in the stack and only functions may touch: dynptrs and iterators.
 *
 * Model: a dynptr is two slots, an iterator over numbers one (vstate.h). A function makes it from
 * slots that may hold anything; a store into one of them ends it. A dynptr of a ring buffer and an
 * iterator are references: they must be given back before the function returns, so a ring buffer's
 * dynptr may not be overwritten. Memory got from a dynptr (a slice) lives no longer than it.
 */
#include <string.h>

#include "core/load/verify_mem.h"
#include "core/load/verify_proto.h"
#include "core/uapi.h"

#define DYNPTR_SLOTS 2u

static struct ebpf_vframe *frame_of(struct verify *v, const struct ebpf_vreg *ptr)
{
	return v->cur->frame[ptr->obj];
}

/*
 * Which slot @ptr, an address in the stack, names as the first of @n. 0; -EINVAL (said); or -ERANGE
 * when the stack was never used that far.
 */
static int slot_named(struct verify *v, const struct ebpf_vreg *ptr, const char *what, u32 n,
		      u32 *slot)
{
	s32 off;

	if (!ebpf_scalar_is_const(&ptr->val))
		return verify_fail(v, EINVAL, "%s has to be at a constant offset\n", what);
	off = ptr->off + (s32)ptr->val.var_off.value;
	if (off % 8 || off > -(s32)(n * 8))
		return verify_fail(v, EINVAL, "cannot pass in %s at an offset=%d\n", what, off);
	if (verify_slot_of(off) >= frame_of(v, ptr)->nslots)
		return -ERANGE;
	*slot = verify_slot_of(off);
	return 0;
}

static void clear_slot(struct ebpf_vslot *slot, u8 kind)
{
	memset(slot->kind, kind, sizeof(slot->kind));
	verify_reg_none(&slot->spilled);
}

static bool slot_is(const struct ebpf_vslot *slot, u8 kind)
{
	for (u32 i = 0; i < 8; i++)
		if (slot->kind[i] != kind)
			return false;
	return true;
}

/* --- how a dynptr ends ----------------------------------------------------------------------- */

struct slices {
	struct verify *v;
	u32 id; /* of their dynptr */
};

static void end_slice(struct ebpf_vreg *reg, void *arg)
{
	const struct slices *s = arg;

	if (reg->type == VT_MEM && (reg->flags & VREG_SLICE) && reg->ref_id == s->id)
		verify_reg_unknown(s->v, reg);
}

/* The dynptr whose first slot is @first is no more, nor is what was got from it. */
static void end_dynptr(struct verify *v, struct ebpf_vframe *f, u32 first)
{
	struct slices s = {v, f->slots[first].spilled.id};

	clear_slot(&f->slots[first], VB_NONE);
	clear_slot(&f->slots[first - 1], VB_NONE);
	verify_each_reg(v->cur, end_slice, &s);
}

int verify_dynptr_destroy(struct verify *v, struct ebpf_vframe *f, u32 slot)
{
	if (f->slots[slot].kind[0] != VB_DYNPTR)
		return 0;
	if (f->slots[slot].spilled.uid == 2)
		slot++;
	if (f->slots[slot].spilled.dyn == VDYN_RINGBUF)
		return verify_fail(v, EINVAL, "cannot overwrite referenced dynptr\n");
	end_dynptr(v, f, slot);
	return 0;
}

int verify_dynptr_release(struct verify *v, u32 regno)
{
	u32 ref = verify_dynptr_of(v, regno)->ref_id;
	int r = verify_ref_release(v, ref);

	if (r)
		return r;
	for (u32 i = 0; i <= v->cur->curframe; i++) {
		struct ebpf_vframe *f = v->cur->frame[i];

		for (u32 n = 1; n < f->nslots; n++)
			if (f->slots[n].kind[0] == VB_DYNPTR && f->slots[n].spilled.uid == 1 &&
			    f->slots[n].spilled.ref_id == ref)
				end_dynptr(v, f, n);
	}
	return 0;
}

/* --- how one begins -------------------------------------------------------------------------- */

static void mark_slot(struct ebpf_vslot *slot, u32 part, u32 kind, u32 id, u32 ref, u32 flags)
{
	clear_slot(slot, VB_DYNPTR);
	slot->spilled.dyn = (u8)kind;
	slot->spilled.uid = part;
	slot->spilled.id = id;
	slot->spilled.ref_id = ref;
	slot->spilled.flags = (u16)flags;
}

static int mark_dynptr(struct verify *v, const struct ebpf_vreg *ptr, u32 kind, u32 ref)
{
	struct ebpf_vframe *f = frame_of(v, ptr);
	u32 slot = 0, id;
	int r = slot_named(v, ptr, "dynptr", DYNPTR_SLOTS, &slot);

	r = r ? r : verify_dynptr_destroy(v, f, slot);
	r = r ? r : verify_dynptr_destroy(v, f, slot - 1);
	if (r)
		return r;
	id = verify_new_id(v);
	if (kind == VDYN_RINGBUF && !ref)
		r = verify_ref_acquire(v, VREF_PTR, &ref);
	if (r)
		return r;
	mark_slot(&f->slots[slot], 1, kind, id, ref, 0);
	mark_slot(&f->slots[slot - 1], 2, kind, id, ref, 0);
	return 0;
}

static int new_dynptr(struct verify *v, u32 regno, u32 kind, u32 ref)
{
	const struct ebpf_vreg *ptr = verify_reg(v, regno);
	u32 slot;
	int r;

	if (ptr->type == VT_DYNPTR)
		r = -EINVAL;
	else
		r = slot_named(v, ptr, "dynptr", DYNPTR_SLOTS, &slot);
	if (r && r != -ERANGE)
		return verify_fail(v, EINVAL, "Dynptr has to be an uninitialized dynptr\n");
	for (s32 i = 0; i < (s32)(DYNPTR_SLOTS * 8); i += 8) {
		r = verify_store_unknown(v, regno, i, 8);
		if (r)
			return r;
	}
	return mark_dynptr(v, ptr, kind, ref);
}

/* --- one as an argument ---------------------------------------------------------------------- */

/* The first slot's value when @ptr names a dynptr, NULL when not (words may have been said). */
static const struct ebpf_vreg *dynptr_at(struct verify *v, const struct ebpf_vreg *ptr)
{
	const struct ebpf_vframe *f = frame_of(v, ptr);
	u32 slot;

	if (slot_named(v, ptr, "dynptr", DYNPTR_SLOTS, &slot))
		return NULL;
	if (!slot_is(&f->slots[slot], VB_DYNPTR) || !slot_is(&f->slots[slot - 1], VB_DYNPTR) ||
	    f->slots[slot].spilled.uid != 1)
		return NULL;
	verify_slot_read(v, ptr->obj, slot - 1, slot);
	return &f->slots[slot].spilled;
}

const struct ebpf_vreg *verify_dynptr_of(struct verify *v, u32 regno)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);

	return reg->type == VT_DYNPTR ? reg : dynptr_at(v, reg);
}

bool verify_dynptr_owned(struct verify *v, u32 regno)
{
	const struct ebpf_vreg *d = verify_dynptr_of(v, regno);

	return d && d->ref_id;
}

static int old_dynptr(struct verify *v, u32 regno, u32 arg)
{
	const struct ebpf_vreg *d;

	if (verify_reg(v, regno)->type == VT_DYNPTR && !(arg & EARG_RDONLY))
		return verify_fail(v, EINVAL,
				   "cannot pass pointer to const bpf_dynptr, the helper mutates "
				   "it\n");
	d = verify_dynptr_of(v, regno);
	if (!d)
		return verify_fail(v, EINVAL, "Expected an initialized dynptr as arg #%d\n",
				   regno - 1);
	if ((arg & EARG_RINGBUF) && d->dyn != VDYN_RINGBUF)
		return verify_fail(v, EINVAL, "Expected a dynptr of type ringbuf as arg #%d\n",
				   regno - 1);
	if ((arg & EARG_LOCAL) && d->dyn != VDYN_LOCAL)
		return verify_fail(v, EINVAL, "Expected a dynptr of type local as arg #%d\n",
				   regno - 1);
	return 0;
}

int verify_dynptr_arg(struct verify *v, u32 regno, u32 arg, u32 kind, u32 ref)
{
	const struct ebpf_vreg *reg = verify_reg(v, regno);

	if (reg->type != VT_STACK && reg->type != VT_DYNPTR)
		return verify_fail(v, EINVAL,
				   "arg#%d expected pointer to stack or const struct bpf_dynptr\n",
				   regno - 1);
	if (arg & EARG_UNINIT)
		return new_dynptr(v, regno, kind, ref);
	return old_dynptr(v, regno, arg);
}

/* --- iterators ------------------------------------------------------------------------------- */

static int on_stack(struct verify *v, u32 regno)
{
	if (verify_reg(v, regno)->type == VT_STACK)
		return 0;
	return verify_fail(v, EINVAL, "arg#%d expected pointer to an iterator on stack\n",
			   regno - 1);
}

static bool holds_iter(const struct ebpf_vslot *slot)
{
	return memchr(slot->kind, VB_ITER, sizeof(slot->kind));
}

static int uninit_iter(struct verify *v, u32 regno)
{
	const struct ebpf_vreg *ptr = verify_reg(v, regno);
	u32 slot;
	int r = slot_named(v, ptr, "iter", 1, &slot);

	if (r == -ERANGE || (!r && !holds_iter(&frame_of(v, ptr)->slots[slot])))
		return 0;
	return verify_fail(v, EINVAL, "expected uninitialized iter_num as arg #%d\n", regno - 1);
}

int verify_iter_new(struct verify *v, u32 regno)
{
	const struct ebpf_vreg *ptr = verify_reg(v, regno);
	struct ebpf_vslot *s;
	u32 slot = 0, ref = 0;
	int r = on_stack(v, regno);

	r = r ? r : uninit_iter(v, regno);
	r = r ? r : verify_store_unknown(v, regno, 0, 8);
	r = r ? r : slot_named(v, ptr, "iter", 1, &slot);
	r = r ? r : verify_ref_acquire(v, VREF_PTR, &ref);
	if (r)
		return r;
	s = &frame_of(v, ptr)->slots[slot];
	clear_slot(s, VB_ITER);
	s->spilled.obj = VITER_ACTIVE;
	s->spilled.ref_id = ref;
	return 0;
}

int verify_iter_arg(struct verify *v, u32 regno, struct ebpf_vslot **slot)
{
	const struct ebpf_vreg *ptr = verify_reg(v, regno);
	u32 n = 0;
	int r = on_stack(v, regno);

	if (r)
		return r;
	r = slot_named(v, ptr, "iter", 1, &n);
	if (r || !slot_is(&frame_of(v, ptr)->slots[n], VB_ITER) ||
	    !frame_of(v, ptr)->slots[n].spilled.ref_id)
		return verify_fail(v, EINVAL, "expected an initialized iter_num as arg #%d\n",
				   regno - 1);
	verify_slot_read(v, ptr->obj, n, n);
	*slot = &frame_of(v, ptr)->slots[n];
	return 0;
}

int verify_iter_destroy(struct verify *v, u32 regno)
{
	struct ebpf_vslot *slot;
	int r = verify_iter_arg(v, regno, &slot);

	r = r ? r : verify_ref_release(v, slot->spilled.ref_id);
	if (r)
		return r;
	clear_slot(slot, VB_NONE);
	return 0;
}
