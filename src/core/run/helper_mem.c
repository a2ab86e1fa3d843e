/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads of any memory. User and kernel forms are the same here: there is one address space, the
 * target's. A failed read leaves the destination zeroed, as in the kernel.
 */
#include "core/run/helper_impl.h"

EBPF_HELPER(probe_read)
{
	void *dst = (void *)r1;

	if (unlikely(r2 > EBPF_MAX_SIZE))
		return (u64)-EINVAL;
	if (likely(!osl_read(dst, (const void *)r3, r2)))
		return 0;
	osl_zero(dst, r2);
	return (u64)-EFAULT;
}

EBPF_HELPER(probe_read_str)
{
	if (unlikely(r2 > EBPF_MAX_SIZE))
		return (u64)-EINVAL;
	return (u64)osl_read_str((char *)r1, (const char *)r3, r2);
}

/* The kernel may sleep to bring the page in; here the access itself does. */
EBPF_HELPER(copy_from_user)
{
	return ebpf_h_probe_read(r1, r2, r3, 0, 0, run);
}
