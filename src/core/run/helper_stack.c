/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stacks of the target, by frame pointers, as the kernel walks user stacks: the probed address,
 * then the return address of every frame that the chain of saved frame pointers reaches. Code built
 * without frame pointers ends the walk or skips frames; nothing it does can fault.
 */
#include "core/run/helper_impl.h"
#include "core/run/map/stackmap.h"
#include "core/run/typed.h"

#define DEPTH_MAX EBPF_MAX_STACK_DEPTH

struct frame_record {
	u64 next;
	u64 ret;
};

/* The addresses after the first @skip, at most @max; -EFAULT when there are fewer than @skip. */
static s64 walk(const struct arch_regs *regs, u32 skip, u64 *out, u32 max)
{
	u64 ip = regs->ip, fp = arch_regs_fp(regs);
	struct frame_record f;
	u32 depth;
	s64 n = 0;

	for (depth = 0; ip && n < max; depth++) {
		if (depth >= skip)
			out[n++] = ip;
		/* frames lie above one another; a chain that does not grow is no chain */
		if (fp % 8 || osl_read(&f, (const void *)fp, sizeof(f)) || !f.ret)
			f = (struct frame_record){0};
		ip = f.ret;
		fp = f.next > fp ? f.next : 0;
	}
	return depth < skip && max ? -EFAULT : n;
}

/* Registers exist where a probe ran the program; a test run's context can be anything. */
static bool has_regs(const struct ebpf_run *run)
{
	return run->kind == EBPF_RUN_UPROBE || run->kind == EBPF_RUN_URETPROBE;
}

static const struct arch_regs *regs_of(const struct ebpf_run *run)
{
	const struct ebpf_typed_ctx *typed =
		container_of(run->ctx, const struct ebpf_typed_ctx, word);

	return run->prog->image->flags & EBPF_IMAGE_TYPED ? &typed->regs : run->ctx;
}

EBPF_HELPER(get_stack)
{
	const u64 known = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK;
	u64 ips[DEPTH_MAX], len;
	s64 n = -EFAULT;

	if (r3 > EBPF_MAX_SIZE)
		return (u64)-EINVAL;
	if (r4 & ~known || r3 % 8)
		n = -EINVAL;
	else if (r4 & BPF_F_USER_STACK && has_regs(run))
		n = walk(regs_of(run), r4 & BPF_F_SKIP_FIELD_MASK, ips,
			 MIN((u32)r3 / 8, DEPTH_MAX));
	len = n > 0 ? 8 * (u64)n : 0;
	if (osl_write((void *)r2, ips, len) || osl_zero((void *)(r2 + len), r3 - len))
		return (u64)-EFAULT;
	return n < 0 ? (u64)n : len;
}

EBPF_HELPER(get_stackid)
{
	const u64 known = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP |
			  BPF_F_REUSE_STACKID;
	struct ebpf_map *map = ebpf_arg_map(r2, run);
	u64 ips[DEPTH_MAX];
	s64 n;

	if (!map || map->meta.type != BPF_MAP_TYPE_STACK_TRACE || r3 & ~known)
		return (u64)-EINVAL;
	if (!(r3 & BPF_F_USER_STACK) || !has_regs(run))
		return (u64)-EFAULT;
	n = walk(regs_of(run), r3 & BPF_F_SKIP_FIELD_MASK, ips,
		 MIN(map->meta.value_size / 8, DEPTH_MAX));
	return n > 0 ? (u64)ebpf_stackmap_put(map, ips, (u32)n, r3) : (u64)-EFAULT;
}
