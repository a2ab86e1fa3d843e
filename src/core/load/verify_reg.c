/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers as values: making, forgetting, going through all of them.
 */
#include <errno.h>
#include <string.h>

#include "core/load/verify_node.h"

void verify_reg_none(struct ebpf_vreg *reg)
{
	ebpf_vreg_none(reg);
}

void verify_reg_unknown(struct verify *v, struct ebpf_vreg *reg)
{
	(void)v;
	ebpf_vreg_unknown(reg);
}

void verify_reg_const(struct ebpf_vreg *reg, u64 value)
{
	ebpf_vreg_const(reg, value);
}

void verify_reg_pointer(struct ebpf_vreg *reg, u32 type, u32 obj, u32 flags)
{
	ebpf_vreg_pointer(reg, type, obj, flags);
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

void verify_each_reg(struct ebpf_vstate *st, void (*fn)(struct ebpf_vreg *reg, void *arg),
		     void *arg)
{
	ebpf_vreg_each(st, fn, arg);
}

int verify_readable(struct verify *v, u32 regno)
{
	v->scratched_regs |= 1u << regno;
	if (verify_reg(v, regno)->type == VT_NONE)
		return verify_fail(v, EACCES, "R%u !read_ok\n", regno);
	return 0;
}
