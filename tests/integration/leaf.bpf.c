// SPDX-License-Identifier: BSD-2-Clause
/* What count.bpf.c counts, by programs that need nothing of the agent. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

long calls; /* not of a map that has a lookup */
long others;

static void add(__u32 slot, __u64 v)
{
	__u64 *n = bpf_map_lookup_elem(&counts, &slot);

	if (n)
		__sync_fetch_and_add(n, v);
}

SEC("uprobe/target:work")
int BPF_KPROBE(on_work, long n)
{
	add(0, 1);
	add(1, n);
	__sync_fetch_and_add(&calls, 1);
	return 0;
}

SEC("uretprobe/target:work")
int BPF_KRETPROBE(on_work_done, long ret)
{
	add(2, 1);
	add(3, ret);
	return 0;
}

/* For leaves.c: another leaf, and a program that the agent runs. */
SEC("?uprobe")
int on_work_too(struct pt_regs *ctx)
{
	add(2, 1);
	return 0;
}

SEC("?uprobe")
int on_work_by_agent(struct pt_regs *ctx)
{
	if (bpf_ktime_get_ns())
		add(3, 1);
	return 0;
}

SEC("?uprobe")
int on_work_second(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&others, 1);
	return 0;
}

/* For stepped.c, whose calls with more than 7 have in rbx where their return address is. */
SEC("?uprobe")
int on_work_at(struct pt_regs *ctx)
{
	add(0, 1);
	if (PT_REGS_PARM1(ctx) > 7 && PT_REGS_SP(ctx) != ctx->rbx)
		add(1, 1);
	return 0;
}
