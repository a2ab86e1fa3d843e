/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that are told the arguments of a call by their types, and call functions of the target with them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "callees.h"

#define CALLEE __ksym __weak

extern long key_of(const struct node *n) CALLEE;
extern unsigned long text_length(const char *s) CALLEE;
extern __u64 scale(__u64 x, int n, __u64 y) CALLEE;
extern int change(struct node *n, int key) CALLEE;
extern long leave(int how) CALLEE;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} told SEC(".maps");

static void put(__u32 i, __u64 v)
{
	bpf_map_update_elem(&told, &i, &v, 0);
}

/* What it points to is the target's, the copy is the program's. */
SEC("?uentry")
int BPF_PROG(on_typed, struct node *n, __u64 x, int by)
{
	struct node own = {.key = n->key, .name = 0};

	put(0, key_of(n));
	put(1, key_of(&own));
	put(2, text_length(n->name));
	put(3, scale(x, 2, 0));
	put(4, change(&own, n->key + by));
	put(5, own.key);
	put(6, n->key);
	return 0;
}

SEC("?uexit")
int BPF_PROG(off_typed, struct node *n, __u64 x, int by, __u64 ret)
{
	put(8, key_of(n));
	put(9, scale(ret, 2, 0));
	put(10, by);
	return 0;
}

/* leaves two calls of three for good */
SEC("?uexit")
int BPF_PROG(off_leave, struct node *n, __u64 x, int by, __u64 ret)
{
	put(11, leave(n->key));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
