// SPDX-License-Identifier: BSD-2-Clause
/*
 * The programs that are timed: nothing, a hash increment, a 64-byte ring-buffer record, an entry and
 * return pair. Those at functions that begin with a nop: a counter, 1,024 keys, and a reader that is
 * woken.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define KEYS 1024

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KEYS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} records SEC(".maps");

SEC("uprobe/hit:bench_empty")
int on_empty(struct pt_regs *ctx)
{
	return 0;
}

SEC("uprobe/hit:bench_hash")
int on_hash(struct pt_regs *ctx)
{
	__u32 key = 7;
	__u64 one = 1, *n = bpf_map_lookup_elem(&counts, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
	return 0;
}

SEC("uprobe/hit:bench_ring")
int on_ring(struct pt_regs *ctx)
{
	__u64 record[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	bpf_ringbuf_output(&records, record, sizeof(record), BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("uretprobe/hit:bench_ret")
int on_ret(struct pt_regs *ctx)
{
	return 0;
}

SEC("uprobe/hit:bench_nempty")
int on_nempty(struct pt_regs *ctx)
{
	return 0;
}

__u64 calls;

SEC("uprobe/hit:bench_ncount")
int on_ncount(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&calls, 1);
	return 0;
}

SEC("uprobe/hit:bench_nhash")
int on_nhash(struct pt_regs *ctx)
{
	__u32 key = PT_REGS_PARM1(ctx) % KEYS;
	__u64 one = 1, *n = bpf_map_lookup_elem(&counts, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
	return 0;
}

SEC("uprobe/hit:bench_nring")
int on_nring(struct pt_regs *ctx)
{
	__u64 record[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	bpf_ringbuf_output(&records, record, sizeof(record), 0);
	return 0;
}

SEC("uretprobe/hit:bench_nret")
int on_nret(struct pt_regs *ctx)
{
	return 0;
}
