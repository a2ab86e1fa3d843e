/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Iterators over numbers: what bpf_for() and bpf_repeat() are made of.
 *
 * Model: the iterator is one slot of the program's stack, which the verifier lets nobody else read
 * or write between new and destroy. It holds the number before the next one and how many are left;
 * 0 left is drained, and stays so.
 */
#include "core/run/helper_impl.h"

struct iter_num {
	s32 at; /* first: the program is given its address */
	u32 left;
};
_Static_assert(sizeof(struct iter_num) == sizeof(u64), "one slot");

EBPF_KFUNC(iter_num_new)
{
	struct iter_num *it = (void *)(uintptr_t)r1;
	s32 start = (s32)r2, end = (s32)r3;

	*it = (struct iter_num){0};
	if (start > end)
		return (u32)-EINVAL; /* an int, of which the upper half is 0 */
	if ((s64)end - start > EBPF_MAX_LOOPS)
		return (u32)-E2BIG;
	it->at = (s32)((u32)start - 1);
	it->left = (u32)end - (u32)start;
	return 0;
}

EBPF_KFUNC(iter_num_next)
{
	struct iter_num *it = (void *)(uintptr_t)r1;

	if (!it->left)
		return 0;
	it->left--;
	it->at = (s32)((u32)it->at + 1);
	return (u64)(uintptr_t)&it->at;
}

EBPF_KFUNC(iter_num_destroy)
{
	*(struct iter_num *)(uintptr_t)r1 = (struct iter_num){0};
	return 0;
}
