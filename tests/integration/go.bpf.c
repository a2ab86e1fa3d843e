// SPDX-License-Identifier: BSD-2-Clause
/* Returns of two functions of returns.go: returned[0] of work(), [1] of pick(), entered[1]
 * likewise. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} returns SEC(".maps");

static int count(__u32 slot)
{
	__u64 *n = bpf_map_lookup_elem(&returns, &slot);

	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

SEC("uretprobe/returns_gc:main.work") int work_done(void *ctx)
{
	return count(0);
}

SEC("uretprobe/returns_gc:main.pick") int pick_done(void *ctx)
{
	return count(1);
}

SEC("uprobe/returns_gc:main.pick") int pick(void *ctx)
{
	return count(2);
}
