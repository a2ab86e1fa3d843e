// SPDX-License-Identifier: BSD-2-Clause
/*
 * How long open() and read() take, entry to return, in microseconds: one histogram each.
 *
 *	ebpfrt attach -d 5 PID iolat.bpf.o
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define SLOTS 40

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { OP_OPEN, OP_READ };

struct started {
	__u64 thread;
	__u64 op;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct started);
	__type(value, __u64);
} running SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} open_us_hist SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} read_us_hist SEC(".maps");

static int enter(__u64 op)
{
	struct started key = {.thread = bpf_get_current_pid_tgid(), .op = op};
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&running, &key, &now, BPF_ANY);
	return 0;
}

static int leave(__u64 op, void *hist)
{
	struct started key = {.thread = bpf_get_current_pid_tgid(), .op = op};
	__u64 *start = bpf_map_lookup_elem(&running, &key), us, *n;
	__u32 slot = 0;

	if (!start)
		return 0;
	us = (bpf_ktime_get_ns() - *start) / 1000;
	bpf_map_delete_elem(&running, &key);
#pragma unroll
	for (int i = 1; i < SLOTS; i++)
		if (us >> i)
			slot = i;
	n = bpf_map_lookup_elem(hist, &slot);
	if (n)
		*n += 1;
	return 0;
}

SEC("uprobe/libc.so.6:open64")
int open_enter(struct pt_regs *ctx)
{
	return enter(OP_OPEN);
}

SEC("uretprobe/libc.so.6:open64")
int open_leave(struct pt_regs *ctx)
{
	return leave(OP_OPEN, &open_us_hist);
}

SEC("uprobe/libc.so.6:read")
int read_enter(struct pt_regs *ctx)
{
	return enter(OP_READ);
}

SEC("uretprobe/libc.so.6:read")
int read_leave(struct pt_regs *ctx)
{
	return leave(OP_READ, &read_us_hist);
}
