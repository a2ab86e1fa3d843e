// SPDX-License-Identifier: BSD-2-Clause
/* Says what it is told of calls of typed.c, in that program's words. */
#include <bpf/ebpfrt.bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/ebpfrt_typed.bpf.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#include "typed.h"
#pragma clang attribute pop

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("uentry//proc/self/exe:ints")
int BPF_PROG(on_ints, signed char a, unsigned char b, short c, unsigned short d, int e, unsigned f, long g, bool h,
	     enum color i, signed char j)
{
	bpf_printk("in ints %d %d %d", a, b, c);
	bpf_printk("in ints %d %d %u", d, e, f);
	bpf_printk("in ints %ld %d %d", g, h, i);
	bpf_printk("in ints %d", j);
	return 0;
}

/* as they are in the context: already of 64 bits */
SEC("uexit//proc/self/exe:ints")
int off_ints(__u64 *ctx)
{
	bpf_printk("out ints %ld %lu %ld", ctx[0], ctx[5], ctx[10]);
	return 0;
}

SEC("uexit//proc/self/exe:narrow")
int off_narrow(__u64 *ctx)
{
	bpf_printk("out narrow %ld %ld", ctx[0], ctx[1]);
	return 0;
}

SEC("uexit//proc/self/exe:truth")
int BPF_PROG(off_truth, enum wide w, bool ret)
{
	bpf_printk("out truth %d", ret);
	return 0;
}

SEC("uentry//proc/self/exe:mix")
int BPF_PROG(on_mix, __u64 a, int b, __u64 c, long d, __u64 e)
{
	bpf_printk("in mix %llx %d %x", a, b, c);
	bpf_printk("in mix %ld %llx", d, e);
	return 0;
}

SEC("uexit//proc/self/exe:mix")
int BPF_PROG(off_mix, __u64 a, int b, __u64 c, long d, __u64 e, __u64 ret)
{
	bpf_printk("out mix %llx %llx", e, ret);
	return 0;
}

SEC("uexit//proc/self/exe:half")
int BPF_PROG(off_half, __u64 v, __u64 ret)
{
	bpf_printk("out half %llx %llx", v, ret);
	return 0;
}

SEC("uexit//proc/self/exe:nine")
int off_nine(__u64 *ctx)
{
	__u64 eighth = 0, ninth = 0, ret = 0, none = 77;

	if (bpf_get_func_arg_cnt(ctx) != 9 || !bpf_get_func_arg(ctx, 9, &none))
		return 0;
	bpf_get_func_arg(ctx, 7, &eighth);
	bpf_get_func_arg(ctx, 8, &ninth);
	bpf_get_func_ret(ctx, &ret);
	bpf_printk("out nine %llx %llx %llx", eighth, ninth, ret);
	return 0;
}

/* pair: 0 and 1, floats: 2, words: 3 and 4, large: its address, words on the stack: 6 and 7, the result: 8 and 9 */
SEC("uexit//proc/self/exe:structs")
int off_structs(__u64 *ctx)
{
	const struct large *l = (void *)ctx[5];

	bpf_printk("out structs %d %llx %llx", (int)ctx[0], ctx[1], ctx[2]);
	bpf_printk("out structs %ld %ld %ld", ctx[3], ctx[4], l->v[4]);
	bpf_printk("out structs %ld %ld", ctx[6], ctx[7]);
	bpf_printk("out structs %ld %ld", ctx[8], ctx[9]);
	return 0;
}

SEC("uexit//proc/self/exe:both")
int off_both(__u64 *ctx)
{
	bpf_printk("out both %ld %d %llx", ctx[0], (int)ctx[1], ctx[2]);
	return 0;
}

SEC("uexit//proc/self/exe:filled")
int BPF_PROG(off_filled, int a, int b, struct large *ret)
{
	bpf_printk("out filled %d %d %ld", a, b, ret->v[4]);
	return 0;
}

SEC("uentry//proc/self/exe:walk")
int BPF_PROG(on_walk, struct node *p)
{
	struct node *far = p->in.far, *second = p->list[0], *third = p->list[1];
	char name[12];

	bpf_printk("in walk %d %d %d", p->x, p->next->x, p->next->next->x);
	bpf_printk("in walk %d %d %d", p->next->next->y, BPF_CORE_READ_BITFIELD(far, low),
		   BPF_CORE_READ_BITFIELD(third, high));
	bpf_printk("in walk %ld %d %d", p->in.n, far->x, p->u.p->x);
	if (bpf_probe_read_user_str(name, sizeof(name), &second->name) < 0)
		name[0] = 0;
	bpf_printk("in walk %d %s", third->x, name);
	return 0;
}

SEC("uexit//proc/self/exe:walk")
int BPF_PROG(off_walk, struct node *p, int ret)
{
	bpf_printk("out walk %d", ret);
	return 0;
}

SEC("uexit//proc/self/exe:changed")
int BPF_PROG(off_changed, struct node *p, long n, long ret)
{
	bpf_printk("out changed %d %ld %ld", p->x, n, ret);
	return 0;
}

/* without types, as libbpf has it */
SEC("uprobe//proc/self/exe:plain")
int BPF_UPROBE(on_plain, struct node *p, int n)
{
	bpf_printk("in plain %d %d %d", BPF_CORE_READ_USER(p, x), BPF_CORE_READ_USER(p, next, x), n);
	return 0;
}

SEC("uretprobe//proc/self/exe:plain")
int BPF_URETPROBE(off_plain, int ret)
{
	bpf_printk("out plain %d", ret);
	return 0;
}

SEC("uentry//proc/self/exe:recurse")
int BPF_PROG(on_recurse, int n)
{
	bpf_printk("in recurse %d", n);
	return 0;
}

SEC("uexit//proc/self/exe:recurse")
int BPF_PROG(off_recurse, int n, int ret)
{
	bpf_printk("out recurse %d %d", n, ret);
	return 0;
}

SEC("uexit//proc/self/exe:left")
int BPF_PROG(off_left, int n, int ret)
{
	bpf_printk("out left %d %d", n, ret);
	return 0;
}

SEC("uexit//proc/self/exe:nothing")
int BPF_PROG(off_nothing, int n)
{
	bpf_printk("out nothing %d", n);
	return 0;
}

SEC("uentry//proc/self/exe:whole")
int BPF_PROG(on_whole, __u64 d, __u64 f)
{
	bpf_printk("in whole %lld %lld", ebpfrt_double_to_s64(d), ebpfrt_float_to_s64(f));
	bpf_printk("in whole %llx", ebpfrt_float_to_double(f));
	return 0;
}
