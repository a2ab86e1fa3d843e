/* SPDX-License-Identifier: BSD-2-Clause */
/* Loops, tail calls, sections: helpers that are about the control flow of the program. */
#include "core/run/helper_impl.h"

EBPF_HELPER(loop)
{
	u32 n = (u32)r1;

	if (r4)
		return (u64)-EINVAL;
	if (n > EBPF_MAX_LOOPS)
		return (u64)-E2BIG;
	for (u32 i = 0; i < n; i++)
		if (run->callback(run, r2, i, r3, 0, 0, 0) || run->aborted)
			return i + 1;
	return n;
}

/* The engines do it themselves; what is left is a tail call that did not happen. */
EBPF_HELPER(tail_call)
{
	return 0;
}

/* Nothing here waits for readers: what a program found in a map stays mapped. */
EBPF_KFUNC(rcu_read_lock)
{
	return 0;
}

EBPF_KFUNC(rcu_read_unlock)
{
	return 0;
}

/* The context of a uprobe is the registers themselves, as it is in the kernel. */
EBPF_KFUNC(cast_to_kern_ctx)
{
	return r1;
}
