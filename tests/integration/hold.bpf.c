// SPDX-License-Identifier: BSD-2-Clause
/* An event that takes long to write: seconds between its reservation and its submission. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

static long inner(__u32 i, long *sum)
{
	*sum += i;
	return 0;
}

static long outer(__u32 i, long *sum)
{
	bpf_loop(1 << 16, inner, sum, 0);
	return 0;
}

SEC("uprobe/target:work")
int BPF_KPROBE(on_work, long n)
{
	long *ev, sum = 0;

	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (!ev)
		return 0;
	bpf_printk("inside");
	bpf_loop(1 << 11, outer, &sum, 0);
	*ev = sum;
	bpf_ringbuf_submit(ev, 0);
	return 0;
}
