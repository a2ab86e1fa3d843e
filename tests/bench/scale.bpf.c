// SPDX-License-Identifier: BSD-2-Clause
/* For scale.py: eight programs that do nothing and one that counts by its call's first argument. --prog says where. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

#define NOTHING(n)                                                                                                     \
	SEC("uprobe.multi") int nothing##n(struct pt_regs *ctx)                                                        \
	{                                                                                                              \
		return 0;                                                                                              \
	}

NOTHING(0)
NOTHING(1)
NOTHING(2)
NOTHING(3)
NOTHING(4)
NOTHING(5)
NOTHING(6)
NOTHING(7)

SEC("uprobe.multi") int count(struct pt_regs *ctx)
{
	__u32 key = ctx->rdi;
	__u64 one = 1, *n = bpf_map_lookup_elem(&counts, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
	return 0;
}
