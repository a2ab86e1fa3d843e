// SPDX-License-Identifier: BSD-2-Clause
/* Counts calls of the C library's busiest functions. */
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
} hot_calls SEC(".maps");

static int count(__u32 slot)
{
	__u64 *n = bpf_map_lookup_elem(&hot_calls, &slot);

	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

SEC("uprobe/libc.so.6:malloc")
int on_malloc(struct pt_regs *ctx)
{
	return count(0);
}

SEC("uprobe/libc.so.6:free")
int on_free(struct pt_regs *ctx)
{
	return count(1);
}

SEC("uprobe/libc.so.6:read")
int on_read(struct pt_regs *ctx)
{
	return count(2);
}

SEC("uretprobe/libc.so.6:write")
int on_write(struct pt_regs *ctx)
{
	return count(3);
}
