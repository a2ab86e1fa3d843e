/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of functions that don't behave: each program is attached by itself. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

#define CALLEE __ksym __weak

extern long wild(int n) CALLEE;
extern long leave(int how) CALLEE;
extern long nested(int n) CALLEE;
extern int throws(int n) CALLEE;
extern long forks(int n) CALLEE;
extern long wait_long(int n) CALLEE;
extern unsigned long text_length(const char *s) CALLEE;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} done SEC(".maps");

static void count(__u32 i)
{
	__u64 *n = bpf_map_lookup_elem(&done, &i);

	if (n)
		__sync_fetch_and_add(n, 1);
}

SEC("?uprobe")
int on_wild(struct pt_regs *ctx)
{
	if (wild((int)ctx->rdi) == 1)
		count(0);
	return 0;
}

/* wants the return of each call; before the next one, which may leave it */
SEC("?uprobe.session")
int on_session(struct pt_regs *ctx)
{
	return 0;
}

SEC("?uprobe")
int on_leave(struct pt_regs *ctx)
{
	if (leave((int)ctx->rdi) == (int)ctx->rdi)
		count(0);
	return 0;
}

SEC("?uprobe")
int on_throws(struct pt_regs *ctx)
{
	count(0);
	if (throws((int)ctx->rdi) == (int)ctx->rdi)
		count(1);
	return 0;
}

SEC("?uprobe")
int on_nested(struct pt_regs *ctx)
{
	if (nested((int)ctx->rdi) == (int)ctx->rdi)
		count(0);
	return 0;
}

SEC("?uprobe")
int on_inner(struct pt_regs *ctx)
{
	count(1);
	return 0;
}

SEC("?uprobe")
int on_forks(struct pt_regs *ctx)
{
	if (forks((int)ctx->rdi) == (int)ctx->rdi)
		count(0);
	return 0;
}

SEC("?uprobe")
int on_wait(struct pt_regs *ctx)
{
	if (wait_long(3) == 3)
		count(0);
	return 0;
}

SEC("?uprobe")
int on_fault(struct pt_regs *ctx)
{
	count(0);
	text_length((const char *)8);
	count(1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
