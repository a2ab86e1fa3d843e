// SPDX-License-Identifier: BSD-2-Clause
/* Counts hits, and does on the way what could leave traces: reads a word that is not aligned, fails
 * to read one, and uses all of its stack. */
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

static void add(__u32 slot, __u64 v)
{
	__u64 *n = bpf_map_lookup_elem(&counts, &slot);

	if (n)
		__sync_fetch_and_add(n, v);
}

/* [0] hits, [1] reads that went well, [2] reads that failed */
SEC("uprobe/state:state_slot")
int on_state(struct pt_regs *ctx)
{
	volatile char stack[400];
	__u64 v = 0;

	for (int i = 0; i < 400; i += 8)
		stack[i] = i;
	add(0, 1);
	if (!bpf_probe_read_user(&v, sizeof(v), (void *)(PT_REGS_SP(ctx) + 1)))
		add(1, 1);
	if (bpf_probe_read_user(&v, sizeof(v), (void *)8))
		add(2, 1);
	return stack[8] == 9;
}
