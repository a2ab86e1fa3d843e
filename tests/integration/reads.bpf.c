// SPDX-License-Identifier: BSD-2-Clause
/* Reads what it is given in every way, and counts what came of it. */
#include <linux/errno.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "reads.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, READS_KINDS *READS_FIELDS);
	__type(key, __u32);
	__type(value, __u64);
} reads SEC(".maps");

static void add(__u32 kind, __u32 field, __u64 v)
{
	__u32 key = kind * READS_FIELDS + field;
	__u64 *n = bpf_map_lookup_elem(&reads, &key);

	if (n)
		__sync_fetch_and_add(n, v);
}

static void word(__u32 kind, long ret, __u64 v, __u32 well)
{
	if (ret == 0) {
		add(kind, well, 1);
		add(kind, READS_SUM, v);
		return;
	}
	add(kind, ret == -EFAULT ? well + 1 : READS_ODD, 1);
	if (v)
		add(kind, READS_DIRTY, 1);
}

static void string(__u32 kind, long ret, const __u64 *text)
{
	if (ret > 0) {
		add(kind, READS_STR, 1);
		add(kind, READS_STR_LEN, ret);
		add(kind, READS_STR_SUM, text[0]);
		return;
	}
	add(kind, ret == -EFAULT ? READS_STR_FAULT : READS_ODD, 1);
	if (text[0] | text[1])
		add(kind, READS_DIRTY, 1);
}

#define STRING(fn)                                                                                 \
	({                                                                                         \
		__u64 text[READS_STR_ROOM / 8] = {};                                               \
		long ret = fn(text, sizeof(text), at);                                             \
		string(kind, ret, text);                                                           \
	})

static int all(__u32 kind, const void *at)
{
	__u64 v = ~0ULL;

	add(kind, READS_CALLS, 1);
	word(kind, bpf_probe_read_user(&v, sizeof(v), at), v, READS_USER);
	v = ~0ULL;
	word(kind, bpf_probe_read_kernel(&v, sizeof(v), at), v, READS_OTHER);
	v = ~0ULL;
	word(kind, bpf_probe_read(&v, sizeof(v), at), v, READS_OTHER);
	STRING(bpf_probe_read_user_str);
	STRING(bpf_probe_read_kernel_str);
	STRING(bpf_probe_read_str);
	return 0;
}

SEC("uprobe/reads:look")
int BPF_KPROBE(on_look, __u32 kind, const void *at)
{
	return all(kind, at);
}

/* the same address, at the return */
SEC("uretprobe/reads:look")
int BPF_KRETPROBE(on_looked, const void *at)
{
	return all(READS_KINDS - 1, at);
}
