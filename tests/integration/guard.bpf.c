// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a target or a machine may not have, read or called behind a test: libbpf makes a call of
 * helper 195896080 of what can't be relocated, and no path comes to it.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct data {
	int a;
	int b; /* of core_two alone */
} __attribute__((preserve_access_index));

const volatile int kernel;

SEC("uprobe//proc/self/exe:add_test")
int BPF_KPROBE(on_add, struct data *d)
{
	char path[8] = "";
	int a = BPF_CORE_READ_USER(d, a), b = -1;

	if (bpf_core_field_exists(d->b))
		b = BPF_CORE_READ_USER(d, b);
	if (kernel)
		bpf_d_path((void *)d, path, sizeof(path));
	bpf_printk("a %d b %d%s", a, b, path);
	return 0;
}
