/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of functions of the target: one program for each sort. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

#include "callees.h"

#define CALLEE __ksym __weak

extern long add_five(signed char a, unsigned short b, int c, unsigned int d, long e) CALLEE;
extern signed char narrow(int v) CALLEE;
extern __u64 scale(__u64 x, int n, __u64 y) CALLEE;
extern struct pair make_pair(int a, int b) CALLEE;
extern struct mixed make_mixed(long n, __u64 x) CALLEE;
extern struct large make_large(long n) CALLEE;
extern __u64 length(struct point *p) CALLEE;
extern long sum(struct large *l, struct mixed *m) CALLEE;
extern int change(struct node *n, int key) CALLEE;
extern unsigned long text_length(const char *s) CALLEE;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

static void put(__u32 i, __u64 v)
{
	bpf_map_update_elem(&results, &i, &v, 0);
}

#define BITS(d)                                                                                    \
	({                                                                                         \
		union {                                                                            \
			double x;                                                                  \
			__u64 u;                                                                   \
		} c = {.x = (d)};                                                                  \
		c.u;                                                                               \
	})

SEC("?uprobe")
int on_tick(struct pt_regs *ctx)
{
	struct pair pair = make_pair(-3, 4);
	struct mixed mixed = make_mixed(7, BITS(2.5));
	struct large large = make_large(10);
	struct point point = {3, 4};
	struct node node = {1, 1, 0};
	char text[16] = "sixteen chars";

	put(0, add_five(-100, 65535, -7, 4000000000u, 1l << 40));
	put(1, narrow(0x1ff));
	put(2, scale(BITS(1.5), 3, 0x3e800000 /* 0.25f */));
	put(3, (__u32)pair.a);
	put(4, (__u32)pair.b);
	put(5, mixed.n);
	put(6, *(__u64 *)&mixed.x);
	put(7, large.v[0] + large.v[4]);
	put(8, length(&point));
	put(9, sum(&large, &mixed));
	put(10, change(&node, 4242));
	put(11, node.key);
	put(12, (__u16)node.small);
	put(13, text_length(text));
	return 0;
}

typedef struct {
	int quot, rem;
} div_t;

extern div_t div(int a, int b) CALLEE;
extern char *getenv(const char *name) CALLEE;
extern long labs(long n) CALLEE;
extern __u64 nextafter(__u64 x, __u64 y) CALLEE;

/* of libc and libm, whose types may be there */
SEC("?uprobe")
int on_libc(struct pt_regs *ctx)
{
	div_t d = div(-17, 5);
	char name[] = "CALLEES", text[8] = {};

	put(0, (__u32)d.quot);
	put(1, (__u32)d.rem);
	bpf_probe_read_user_str(text, sizeof(text), getenv(name));
	put(2, *(__u64 *)text);
	put(3, labs(-(1l << 40)));
	put(4, nextafter(BITS(1.0), BITS(2.0)));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
