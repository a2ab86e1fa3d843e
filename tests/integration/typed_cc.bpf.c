// SPDX-License-Identifier: BSD-2-Clause
/* Says what it is told of calls of typed_cc.cc, in that program's words. */
#include <bpf/ebpfrt.bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct shop__item {
	int price;
	struct shop__item *next;
} __attribute__((preserve_access_index));

SEC("uentry//proc/self/exe:_ZN4shop4item5totalEid")
int BPF_PROG(on_total, struct shop__item *item, int times, __u64 rebate)
{
	bpf_printk("in total %d %d %llx", item->price, times, rebate);
	bpf_printk("in total %d", item->next->price);
	return 0;
}

SEC("uexit//proc/self/exe:_ZN4shop4item5totalEid")
int BPF_PROG(off_total, struct shop__item *item, int times, __u64 rebate, int ret)
{
	bpf_printk("out total %d %d %d", item->price, times, ret);
	return 0;
}

/* what comes before the class can be told */
SEC("uexit//proc/self/exe:_ZN4shop8labelledEiNS_5labelEi")
int BPF_PROG(off_labelled, int n)
{
	bpf_printk("out labelled %d", n);
	return 0;
}

SEC("uentry//proc/self/exe:nested")
int BPF_PROG(on_nested, int n)
{
	bpf_printk("in nested %d", n);
	return 0;
}

SEC("uexit//proc/self/exe:nested")
int BPF_PROG(off_nested, int n, int ret)
{
	bpf_printk("out nested %d %d", n, ret);
	return 0;
}
