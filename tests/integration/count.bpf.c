// SPDX-License-Identifier: BSD-2-Clause
/* Counts what the target does, exactly: [0] entries of work(), [1] their arguments' sum, [2] returns, [3] their sum. */
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

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} by_pid SEC(".maps");

static void add(__u32 slot, __u64 v)
{
	__u64 *n = bpf_map_lookup_elem(&counts, &slot);

	if (n)
		__sync_fetch_and_add(n, v);
}

SEC("uprobe/target:work")
int BPF_KPROBE(on_work, long n)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 zero = 0, *c;

	add(0, 1);
	add(1, n);
	bpf_map_update_elem(&by_pid, &pid, &zero, BPF_NOEXIST);
	c = bpf_map_lookup_elem(&by_pid, &pid);
	if (c)
		__sync_fetch_and_add(c, 1);
	return 0;
}

SEC("uretprobe/target:work")
int BPF_KRETPROBE(on_work_done, long ret)
{
	add(2, 1);
	add(3, ret);
	return 0;
}
