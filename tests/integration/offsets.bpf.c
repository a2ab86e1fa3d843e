// SPDX-License-Identifier: BSD-2-Clause
/* Counts the hits of each of many probes of one link by its cookie, and looks at registers there.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} where SEC(".maps");

SEC("uprobe")
int at_offset(struct pt_regs *ctx)
{
	__u32 i = bpf_get_attach_cookie(ctx);
	__u64 ip = PT_REGS_IP(ctx), *n = bpf_map_lookup_elem(&hits, &i);

	if (n)
		__sync_fetch_and_add(n, 1);
	bpf_map_update_elem(&where, &i, &ip, 0);
	return 0;
}
