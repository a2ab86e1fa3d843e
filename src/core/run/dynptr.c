/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dynptrs: memory whose size is known only when the program runs. Those of ring buffers begin and
 * end in helper_ring.c.
 *
 * Model: a dynptr shows a part of memory that the verifier found to outlive it, a map's value or a
 * sample (dynptr.h). Every access names an offset and a length, which are compared with its size.
 * The results are the kernel's (bpf-helpers(7)), the order of its complaints included.
 */
#include "core/run/dynptr.h"

#include "core/run/helper_impl.h"

/* The bytes at @off of what @d shows, or NULL: not that many. */
static u8 *part(const struct ebpf_dynptr *d, u64 off, u64 len)
{
	if (len > d->size || off > d->size - len)
		return NULL;
	return d->data + d->start + off;
}

static bool overlap(const void *a, const void *b, u64 len)
{
	u64 x = (u64)(uintptr_t)a, y = (u64)(uintptr_t)b;

	return x - y < len || y - x < len;
}

/* Both ends may be the same map's value. */
static u64 copy(void *to, const void *from, u64 len)
{
	if (likely(!overlap(to, from, len)))
		return (u64)osl_read(to, from, len);
	if (!ebpf_readable(to, len) || !ebpf_readable(from, len))
		return (u64)-EFAULT;
	__builtin_memmove(to, from, len);
	return 0;
}

EBPF_HELPER(dynptr_from_mem)
{
	struct ebpf_dynptr *d = ebpf_dynptr(r4);

	*d = (struct ebpf_dynptr){0};
	if (r2 > EBPF_DYNPTR_MAX)
		return (u64)-E2BIG;
	if (r3)
		return (u64)-EINVAL;
	*d = (struct ebpf_dynptr){.data = (u8 *)(uintptr_t)r1, .size = (u32)r2};
	return 0;
}

EBPF_HELPER(dynptr_read)
{
	const struct ebpf_dynptr *d = ebpf_dynptr(r3);
	const u8 *from;

	if (!d->data || r5)
		return (u64)-EINVAL;
	from = part(d, r4, r2);
	if (!from)
		return (u64)-E2BIG;
	return copy((void *)(uintptr_t)r1, from, r2);
}

EBPF_HELPER(dynptr_write)
{
	const struct ebpf_dynptr *d = ebpf_dynptr(r1);
	u8 *to;

	if (!d->data)
		return (u64)-EINVAL;
	to = part(d, r2, r4);
	if (!to)
		return (u64)-E2BIG;
	if (r5)
		return (u64)-EINVAL;
	return copy(to, (const void *)(uintptr_t)r3, r4);
}

static u64 address(const struct ebpf_dynptr *d, u64 off, u64 len)
{
	return d->data ? (u64)(uintptr_t)part(d, off, len) : 0;
}

EBPF_HELPER(dynptr_data)
{
	return address(ebpf_dynptr(r1), r2, r3);
}

/* --- kernel functions ------------------------------------------------------------------------ */

/* The memory is in one piece, so the program's buffer, which comes third, is not needed. */
EBPF_KFUNC(dynptr_slice)
{
	return address(ebpf_dynptr(r1), (u32)r2, (u32)r4);
}

/* None that is read-only can be made here. */
EBPF_KFUNC(dynptr_is_rdonly)
{
	return 0;
}

EBPF_KFUNC(dynptr_is_null)
{
	return !ebpf_dynptr(r1)->data;
}

EBPF_KFUNC(dynptr_size)
{
	const struct ebpf_dynptr *d = ebpf_dynptr(r1);

	return d->data ? d->size : (u32)-EINVAL;
}

EBPF_KFUNC(dynptr_adjust)
{
	struct ebpf_dynptr *d = ebpf_dynptr(r1);
	u32 start = (u32)r2, end = (u32)r3;

	if (!d->data || start > end)
		return (u32)-EINVAL;
	if (end > d->size)
		return (u32)-ERANGE;
	d->start += start;
	d->size = end - start;
	return 0;
}

EBPF_KFUNC(dynptr_clone)
{
	const struct ebpf_dynptr *d = ebpf_dynptr(r1);
	struct ebpf_dynptr *copy = ebpf_dynptr(r2);

	if (!d->data) {
		*copy = (struct ebpf_dynptr){0};
		return (u32)-EINVAL;
	}
	*copy = *d;
	return 0;
}
