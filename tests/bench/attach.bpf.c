// SPDX-License-Identifier: BSD-2-Clause
/* The program that is attached to many functions: nothing. --prog says where. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("uprobe.multi")
int on_any(struct pt_regs *ctx)
{
	return 0;
}
