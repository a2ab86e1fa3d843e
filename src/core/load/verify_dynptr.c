/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects that live in the stack and only functions may touch: dynptrs and iterators.
 *
 * Model: a dynptr is two slots, an iterator one or two (vstate.h). A function makes it from
 * slots that may hold anything; a store into one of them ends it. A dynptr of a ring buffer and an
 * iterator are references: they must be given back before the function returns, so a ring buffer's
 * dynptr may not be overwritten. Memory got from a dynptr (a slice) lives no longer than it.
 */
#include <string.h>

#include "core/load/mutant.h"
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

static enum ebpf_viter_sort sort_of(u32 arg)
{
	return (arg & EARG_KIND) == EARG_ITER_BITS ? VITER_BITS : VITER_NUM;
}

static const char *iter_name(u32 arg)
{
	return sort_of(arg) == VITER_BITS ? "iter_bits" : "iter_num";
}

/* nothing of an iterator in the slots that a new one takes */
static int uninit_iter(struct verify *v, u32 regno, u32 arg)
{
	const struct ebpf_vreg *ptr = verify_reg(v, regno);
	const struct ebpf_vframe *f = frame_of(v, ptr);
	u32 slot, n = ebpf_proto_iter_slots(arg);
	int r = slot_named(v, ptr, "iter", n, &slot);
	bool held = r;

	if (r == -ERANGE)
		return 0;
	for (u32 i = 0; !held && i < n; i++)
		held = holds_iter(&f->slots[slot - i]);
	if (!held)
		return 0;
	return verify_fail(v, EINVAL, "expected uninitialized %s as arg #%d\n", iter_name(arg),
			   regno - 1);
}

int verify_iter_new(struct verify *v, u32 regno, u32 arg)
{
	const struct ebpf_vreg *ptr = verify_reg(v, regno);
	u32 slot = 0, ref = 0, n = EBPF_MUTANT(127, ebpf_proto_iter_slots(arg), 1);
	int r = on_stack(v, regno);

	r = r ? r : uninit_iter(v, regno, arg);
	for (u32 i = 0; !r && i < n; i++)
		r = verify_store_unknown(v, regno, (s32)i * 8, 8);
	r = r ? r : slot_named(v, ptr, "iter", n, &slot);
	r = r ? r : verify_ref_acquire(v, VREF_PTR, &ref);
	if (r)
		return r;
	for (u32 i = 0; i < n; i++) {
		struct ebpf_vslot *s = &frame_of(v, ptr)->slots[slot - i];

		clear_slot(s, VB_ITER);
		s->spilled.obj = i ? 0 : VITER_ACTIVE;
		s->spilled.dyn = (u8)sort_of(arg);
		s->spilled.uid = n > 1 ? i + 1 : 0;
		s->spilled.ref_id = ref;
	}
	return 0;
}

/* Do the slots from @slot on hold a whole iterator of this kind? */
static bool iter_made(const struct ebpf_vframe *f, u32 slot, u32 arg)
{
	u32 n = ebpf_proto_iter_slots(arg);

	for (u32 i = 0; i < n; i++) {
		const struct ebpf_vslot *s = &f->slots[slot - i];

		if (!slot_is(s, VB_ITER) || !s->spilled.ref_id || s->spilled.dyn != sort_of(arg) ||
		    s->spilled.uid != (n > 1 ? i + 1 : 0) ||
		    s->spilled.ref_id != f->slots[slot].spilled.ref_id)
			return false;
	}
	return true;
}

static int made_iter(struct verify *v, u32 regno, u32 arg, u32 *slot)
{
	const struct ebpf_vreg *ptr = verify_reg(v, regno);
	u32 n = ebpf_proto_iter_slots(arg);
	int r = on_stack(v, regno);

	if (r)
		return r;
	r = slot_named(v, ptr, "iter", n, slot);
	if (r || !iter_made(frame_of(v, ptr), *slot, arg))
		return verify_fail(v, EINVAL, "expected an initialized %s as arg #%d\n",
				   iter_name(arg), regno - 1);
	for (u32 i = 0; i < n; i++) {
		verify_slot_read(v, ptr->obj, *slot - i, *slot - i);
		v->scratched_slots |= 1ull << (*slot - i);
	}
	return 0;
}

int verify_iter_arg(struct verify *v, u32 regno, u32 arg)
{
	u32 slot = 0;

	return made_iter(v, regno, arg, &slot);
}

int verify_iter_destroy(struct verify *v, u32 regno, u32 arg)
{
	struct ebpf_vframe *f;
	u32 slot = 0;
	int r = made_iter(v, regno, arg, &slot);

	if (r)
		return r;
	f = frame_of(v, verify_reg(v, regno));
	r = verify_ref_release(v, f->slots[slot].spilled.ref_id);
	for (u32 i = 0; !r && i < ebpf_proto_iter_slots(arg); i++)
		clear_slot(&f->slots[slot - i], VB_NONE);
	return r;
}
