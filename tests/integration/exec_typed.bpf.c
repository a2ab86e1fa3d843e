/* SPDX-License-Identifier: BSD-2-Clause */
/* Typed programs that a libbpf program loads and attaches by their sections; and some that it can't. */
#include <bpf/ebpfrt.bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, u32);
	__type(value, u64);
} results SEC(".maps");

static void put(u32 i, u64 v)
{
	bpf_map_update_elem(&results, &i, &v, 0);
}

struct item {
	const char *name;
	struct item *next;
	u32 color;
};

SEC("uentry//proc/self/exe:items")
int BPF_PROG(on_items, struct item *first, char **words)
{
	put(1, first->next->color);
	put(2, first->next->next == NULL);
	return 0;
}

SEC("uexit//proc/self/exe:scalars")
int BPF_PROG(on_scalars, int n, char c, bool yes, int color, u8 byte, s64 big, int ret)
{
	put(3, (u32)n);
	put(4, c);
	put(5, byte);
	put(6, big);
	put(7, (u32)ret);
	return 0;
}

SEC("uexit//proc/self/exe:reals")
int BPF_PROG(on_reals, u64 d, u64 f, int n, u64 ret)
{
	put(8, d);
	put(9, ret);
	return 0;
}

SEC("?uentry//proc/self/exe:nowhere")
int BPF_PROG(on_nowhere)
{
	return 0;
}

SEC("?uentry")
int BPF_PROG(on_nothing)
{
	return 0;
}
