// SPDX-License-Identifier: BSD-2-Clause
/*
 * One object for every layout of a struct: the fields are found in the target's own types.
 *
 *	ebpfrt run -P core.bpf.o -- ./core_one          struct data { int a; int c; int d; }
 *	ebpfrt run -P core.bpf.o -- ./core_two          struct data { int a; int b; int c; int d; }
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* only what is read; where it lies is the target's business */
struct data {
	int a;
	int c;
} __attribute__((preserve_access_index));

SEC("uprobe//proc/self/exe:add_test")
int BPF_KPROBE(on_add, struct data *d)
{
	int a = BPF_CORE_READ_USER(d, a), c = BPF_CORE_READ_USER(d, c);

	bpf_printk("%d + %d = %d", a, c, a + c);
	return 0;
}
