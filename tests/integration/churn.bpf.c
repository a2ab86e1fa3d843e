// SPDX-License-Identifier: BSD-2-Clause
/* Adds and deletes keys all the time; all words of a value are the same. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct same {
	__u64 a, b, c, d, e, f, g, h;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct same);
} churn SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct same);
} recent SEC(".maps");

SEC("uprobe")
int on_work(struct pt_regs *ctx)
{
	__u64 n = PT_REGS_PARM1(ctx), x = n * 0x9e3779b97f4a7c15ULL;
	struct same v = {x, x, x, x, x, x, x, x};
	__u32 key = (x >> 32) % 200;

	if (x & 1)
		bpf_map_update_elem(&churn, &key, &v, BPF_ANY);
	else
		bpf_map_delete_elem(&churn, &key);
	bpf_map_update_elem(&recent, &key, &v, BPF_ANY);
	return 0;
}
