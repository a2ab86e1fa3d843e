// SPDX-License-Identifier: BSD-2-Clause
/* Counts calls in libraries that come and go. */
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
} reuse SEC(".maps");

static int add(__u32 slot, __u64 v)
{
	__u64 *n = bpf_map_lookup_elem(&reuse, &slot);

	if (n)
		__sync_fetch_and_add(n, v);
	return 0;
}

SEC("?uprobe")
int BPF_KPROBE(on_slot, long n)
{
	return add(0, 1);
}

SEC("?uprobe")
int BPF_KPROBE(on_plain, long n)
{
	return add(1, 1);
}

SEC("?uretprobe")
int BPF_KRETPROBE(on_return, long ret)
{
	add(2, 1);
	return add(3, ret);
}
