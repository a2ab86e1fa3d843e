// SPDX-License-Identifier: BSD-2-Clause
/* The faults people make most, one a build (-DFAULT_…): none of these programs may be loaded. */
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, unsigned);
	__type(value, long[4]);
} values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

static long *find(void)
{
	unsigned key = 0;

	return bpf_map_lookup_elem(&values, &key);
}

#ifdef FAULT_not_tested
SEC("uprobe//proc/self/exe:main")
int not_tested(struct pt_regs *ctx)
{
	long *v = find();

	v[0] = 1;
	return 0;
}
#endif

#ifdef FAULT_beyond
SEC("uprobe//proc/self/exe:main")
int beyond(struct pt_regs *ctx)
{
	long *v = find();

	if (v && ctx->rdi <= 4)
		v[ctx->rdi] = 1;
	return 0;
}
#endif

#ifdef FAULT_unbounded
SEC("uprobe//proc/self/exe:main")
int unbounded(struct pt_regs *ctx)
{
	long *v = find();

	if (v)
		v[ctx->rdi] = 1;
	return 0;
}
#endif

#ifdef FAULT_kept
SEC("uprobe//proc/self/exe:main")
int kept(struct pt_regs *ctx)
{
	long *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (e)
		*e = 1;
	return 0;
}
#endif

#ifdef FAULT_direct
SEC("uprobe//proc/self/exe:main")
int direct(struct pt_regs *ctx)
{
	return *(volatile int *)ctx->rdi;
}
#endif

char _license[] SEC("license") = "GPL";
