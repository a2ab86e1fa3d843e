// SPDX-License-Identifier: BSD-2-Clause
/* Every malloc() goes through each kind of shared memory: maps of all kinds, a ring buffer, a perf ring, stacks, printed lines. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct wide {
	__u64 w[8];
};

#define MAP(name, kind, max, key_type, value_type)                                                                                \
	struct {                                                                                                                  \
		__uint(type, kind);                                                                                               \
		__uint(max_entries, max);                                                                                         \
		__type(key, key_type);                                                                                            \
		__type(value, value_type);                                                                                        \
	} name SEC(".maps")

MAP(array, BPF_MAP_TYPE_ARRAY, 8, __u32, __u64);
MAP(cpus, BPF_MAP_TYPE_PERCPU_ARRAY, 8, __u32, __u64);
MAP(table, BPF_MAP_TYPE_HASH, 128, __u32, struct wide);
MAP(recent, BPF_MAP_TYPE_LRU_HASH, 64, __u64, struct wide);
MAP(table_cpus, BPF_MAP_TYPE_PERCPU_HASH, 64, __u32, __u64);

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 64);
	__uint(key_size, 4);
	__uint(value_size, 8 * 16);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024);
	__type(value, struct wide);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} samples SEC(".maps");

SEC("uprobe/libc.so.6:malloc")
int BPF_KPROBE(on_malloc, __u64 size)
{
	struct wide w = {{size, bpf_ktime_get_ns(), bpf_get_current_pid_tgid()}};
	__u32 key = size % 256, slot = size % 8;
	__u64 wide_key = size, one = 1, *n;
	struct wide *found;

	n = bpf_map_lookup_elem(&array, &slot);
	if (n)
		__sync_fetch_and_add(n, 1);
	n = bpf_map_lookup_elem(&cpus, &slot);
	if (n)
		++*n;
	bpf_map_update_elem(&table, &key, &w, BPF_ANY);
	bpf_map_update_elem(&recent, &wide_key, &w, BPF_ANY);
	bpf_map_update_elem(&table_cpus, &key, &one, BPF_ANY);
	found = bpf_map_lookup_elem(&table, &key);
	if (found)
		found->w[3]++;
	found = bpf_map_lookup_elem(&recent, &wide_key);
	if (found)
		found->w[3]++;
	if (size % 3 == 0)
		bpf_map_delete_elem(&table, &key);
	bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	bpf_ringbuf_output(&events, &w, sizeof(w), 0);
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &w, sizeof(w));
	if (size % 16 == 0)
		bpf_printk("malloc(%d)", size);
	return 0;
}
