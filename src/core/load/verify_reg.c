/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers as values: making, forgetting, going through all of them.
 */
#include <errno.h>
#include <string.h>

#include "core/load/verify_node.h"

void verify_reg_none(struct ebpf_vreg *reg)
{
	memset(reg, 0, sizeof(*reg));
	ebpf_scalar_unknown(&reg->val);
}

void verify_reg_unknown(struct verify *v, struct ebpf_vreg *reg)
{
	(void)v;
	verify_reg_none(reg);
	reg->type = VT_SCALAR;
}

void verify_reg_const(struct ebpf_vreg *reg, u64 value)
{
	memset(reg, 0, sizeof(*reg));
	reg->type = VT_SCALAR;
	ebpf_scalar_const(&reg->val, value);
}

void verify_reg_pointer(struct ebpf_vreg *reg, u32 type, u32 obj, u32 flags)
{
	memset(reg, 0, sizeof(*reg));
	reg->type = (u8)type;
	reg->obj = obj;
	reg->flags = (u16)flags;
	ebpf_scalar_const(&reg->val, 0);
}

u32 verify_new_id(struct verify *v)
{
	return ++v->next_id;
}

void verify_clobber(struct verify *v)
{
	u32 i;

	for (i = 0; i <= 5; i++)
		verify_reg_none(verify_reg(v, i));
	v->scratched_regs |= 0x3f;
}

static void each_in_frame(struct ebpf_vframe *f, void (*fn)(struct ebpf_vreg *reg, void *arg),
			  void *arg)
{
	u32 i;

	for (i = 0; i < EBPF_VREGS; i++)
		fn(&f->regs[i], arg);
	for (i = 0; i < f->nslots; i++)
		if (f->slots[i].kind[0] == VB_SPILL)
			fn(&f->slots[i].spilled, arg);
}

void verify_each_reg(struct ebpf_vstate *st, void (*fn)(struct ebpf_vreg *reg, void *arg),
		     void *arg)
{
	u32 i;

	for (i = 0; i <= st->curframe; i++)
		each_in_frame(st->frame[i], fn, arg);
}

int verify_readable(struct verify *v, u32 regno)
{
	v->scratched_regs |= 1u << regno;
	if (verify_reg(v, regno)->type == VT_NONE)
		return verify_fail(v, EACCES, "R%u !read_ok\n", regno);
	return 0;
}
