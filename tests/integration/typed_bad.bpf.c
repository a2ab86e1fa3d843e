// SPDX-License-Identifier: BSD-2-Clause
/* Typed programs that are refused, each alone: --prog says which. */
#include <bpf/ebpfrt.bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct node___typed { /* at the places it has in the target */
	int x;
	struct node___typed *next;
};

SEC("?uentry")
int BPF_PROG(good, struct node___typed *p)
{
	bpf_printk("%d", p->x);
	return 0;
}

SEC("?uentry")
int BPF_PROG(writes, struct node___typed *p)
{
	p->x = 1;
	return 0;
}

SEC("?uentry")
int BPF_PROG(number, long p)
{
	bpf_printk("%d", *(int *)((p << 1) >> 1));
	return 0;
}

SEC("?uentry")
int BPF_PROG(beyond, struct node___typed *p)
{
	bpf_printk("%d", p[20].x);
	return 0;
}

SEC("?uentry")
int BPF_PROG(seventh, long a, long b, long c, long d, long e, long f, long g)
{
	bpf_printk("%d", g);
	return 0;
}

SEC("?uexit")
int BPF_PROG(result, long a, long ret)
{
	bpf_printk("%d", ret);
	return 0;
}

SEC("?uprobe")
int plain(void *ctx)
{
	return 0;
}
