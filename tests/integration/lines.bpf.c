// SPDX-License-Identifier: BSD-2-Clause
/* A line for each call, and nothing else that could be lost. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("uprobe/target:work")
int BPF_KPROBE(on_work, long n)
{
	bpf_printk("work(%ld)", n);
	return 0;
}
