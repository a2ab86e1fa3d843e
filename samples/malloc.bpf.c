// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sizes asked of malloc(), as a histogram of powers of two, the totals per process name, and a line in the log for a
 * call now and then (at most five a second).
 *
 *	ebpfrt attach PID malloc.bpf.o
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define SLOTS 64

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} size_hist SEC(".maps");

struct comm {
	char name[16];
};

struct total {
	__u64 calls;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct comm);
	__type(value, struct total);
} totals SEC(".maps");

const volatile __u64 line_every_ns = 200000000;
__u64 last_line_ns;

static __u32 log2_of(__u64 v)
{
	__u32 r = 0, shift;

	shift = (v > 0xffffffff) << 5;
	v >>= shift;
	r |= shift;
	shift = (v > 0xffff) << 4;
	v >>= shift;
	r |= shift;
	shift = (v > 0xff) << 3;
	v >>= shift;
	r |= shift;
	shift = (v > 0xf) << 2;
	v >>= shift;
	r |= shift;
	shift = (v > 0x3) << 1;
	v >>= shift;
	r |= shift;
	return r | (v >> 1);
}

static void count_total(__u64 size)
{
	struct total zero = {}, *t;
	struct comm comm = {};

	bpf_get_current_comm(comm.name, sizeof(comm.name));
	t = bpf_map_lookup_elem(&totals, &comm);
	if (!t) {
		bpf_map_update_elem(&totals, &comm, &zero, BPF_NOEXIST);
		t = bpf_map_lookup_elem(&totals, &comm);
		if (!t)
			return;
	}
	__sync_fetch_and_add(&t->calls, 1);
	__sync_fetch_and_add(&t->bytes, size);
}

static void say(__u64 size)
{
	__u64 now = bpf_ktime_get_ns(), last = last_line_ns;

	if (now - last < line_every_ns)
		return;
	if (__sync_val_compare_and_swap(&last_line_ns, last, now) == last)
		bpf_printk("malloc(%lu)", size);
}

SEC("uprobe/libc.so.6:malloc")
int BPF_KPROBE(on_malloc, unsigned long size)
{
	__u32 slot = log2_of(size);
	__u64 *n = bpf_map_lookup_elem(&size_hist, &slot);

	if (n)
		__sync_fetch_and_add(n, 1);
	count_total(size);
	say(size);
	return 0;
}
