// SPDX-License-Identifier: BSD-2-Clause
/* Counts calls of a function in a library that is loaded later. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} later_calls SEC(".maps");

SEC("uprobe")
int BPF_KPROBE(on_later, long n)
{
	__u32 slot = 0;
	__u64 *c = bpf_map_lookup_elem(&later_calls, &slot);

	if (c)
		__sync_fetch_and_add(c, 1);
	return 0;
}
