// SPDX-License-Identifier: BSD-2-Clause
/*
 * How the calls of the functions of returns.h ended, of the program TARGET: ended[4 * i + how], how
 * as ebpfrt_left() says it. The order of those that did not return is in order[], and
 * ended[ODD] counts what can't be: registers that are not those of a return.
 */
#include <bpf/ebpfrt.bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/ebpfrt_kfuncs.bpf.h>
#include "returns.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define COUNT(name) COUNT_##name,
enum { RETURNS_FUNCS(COUNT) COUNT_END };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4 * RETURNS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} ended SEC(".maps");

#define ORDER 16
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ORDER);
	__type(key, __u32);
	__type(value, __u64);
} order SEC(".maps");

__u32 nordered;

#define ODD (4 * RETURNS_MAX - 1)

static void add(__u32 slot)
{
	__u64 *n = bpf_map_lookup_elem(&ended, &slot);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static int count(struct pt_regs *ctx, __u32 name)
{
	int how = ebpfrt_left ? ebpfrt_left() : EBPFRT_RETURNED;
	__u64 word = 0;
	__u32 i;

	add(4 * name + (how & 3));
	if (how == EBPFRT_RETURNED)
		return 0;
	/* the instruction before is a call */
	bpf_probe_read_user(&word, 5, (void *)(ctx->ip - 5));
	if (ctx->ax || ((word & 0xff) != 0xe8 && (word >> 24 & 0xff) != 0xff))
		add(ODD);
	i = __sync_fetch_and_add(&nordered, 1);
	if (i < ORDER) {
		word = name;
		bpf_map_update_elem(&order, &i, &word, 0);
	}
	return 0;
}

/* The entry of a function is not the end of a call. */
SEC("uprobe/" TARGET ":leaf") int entered(struct pt_regs *ctx)
{
	if (ebpfrt_left && ebpfrt_left() != -22)
		add(ODD);
	return 0;
}

#define PROBES(name)                                                                               \
	SEC("uretprobe/" TARGET ":" #name) int on_##name(struct pt_regs *ctx)                      \
	{                                                                                          \
		return count(ctx, COUNT_##name);                                                   \
	}
RETURNS_FUNCS(PROBES)
