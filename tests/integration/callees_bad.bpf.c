/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of functions of the target that are refused: each program for a reason of its own. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

#include "callees.h"

#define CALLEE __ksym __weak

extern int change(struct node *n, int key) CALLEE;
extern unsigned long fill(void *room) CALLEE;
extern __u64 length(struct point *p) CALLEE;
extern long later(long n) CALLEE;

SEC("?uprobe")
int of_no_size(struct pt_regs *ctx)
{
	char room[8] = {};

	return fill(room) > 1;
}

SEC("?uprobe")
int the_context(struct pt_regs *ctx)
{
	return change((struct node *)ctx, 1);
}

SEC("?uprobe")
int too_little(struct pt_regs *ctx)
{
	__u64 one = 1;

	return change((struct node *)&one, 1);
}

SEC("?uprobe")
int either(struct pt_regs *ctx)
{
	struct node node = {};
	struct node *n = ctx->rdi & 1 ? &node : (struct node *)ctx->rsi;

	return change(n, 1);
}

SEC("?uprobe")
int no_memory(struct pt_regs *ctx)
{
	return length((struct point *)ctx->rsi) > 1;
}

SEC("?uprobe")
int unloaded(struct pt_regs *ctx)
{
	return later(1) > 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
