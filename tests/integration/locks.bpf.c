// SPDX-License-Identifier: BSD-2-Clause
/* Two numbers that are the same whenever nobody holds the lock; neither is added to atomically. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct pair {
	__u32 spare;
	struct bpf_spin_lock lock;
	__u64 a, b;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u64);
	__type(value, struct pair);
} table SEC(".maps");

static int add(struct pair *p)
{
	volatile __u64 *a = &p->a, *b = &p->b;

	bpf_spin_lock(&p->lock);
	*a = *a + 1;
	*b = *b + 1;
	bpf_spin_unlock(&p->lock);
	return 0;
}

static int add_to_both(void)
{
	struct pair fresh = {}, *p;
	__u64 seven = 7;
	__u32 zero = 0;

	p = bpf_map_lookup_elem(&pairs, &zero);
	if (!p)
		return 1;
	add(p);
	bpf_map_update_elem(&table, &seven, &fresh, BPF_NOEXIST);
	p = bpf_map_lookup_elem(&table, &seven);
	if (!p)
		return 2;
	add(p);
	return 0;
}

SEC("uprobe/target:work")
int BPF_KPROBE(on_work)
{
	add_to_both();
	return 0;
}

/* The kernel takes locks in programs of such kinds only. */
SEC("?tc")
int in_kernel(struct __sk_buff *skb)
{
	return add_to_both();
}
