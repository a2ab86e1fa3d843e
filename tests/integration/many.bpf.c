// SPDX-License-Identifier: BSD-2-Clause
/* Counts calls of many functions: [0] entries, [1] returns, [2] what they returned, [3] and on what
 * --prog says. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 10);
	__type(key, __u32);
	__type(value, __u64);
} many SEC(".maps");

static int add(__u32 slot, __u64 v)
{
	__u64 *n = bpf_map_lookup_elem(&many, &slot);

	if (n)
		__sync_fetch_and_add(n, v);
	return 0;
}

SEC("?uprobe")
int BPF_KPROBE(on_call)
{
	return add(0, 1);
}

SEC("?uretprobe")
int BPF_KRETPROBE(on_return, long ret)
{
	add(1, 1);
	return add(2, ret);
}

#define ON(n)                                                                                      \
	SEC("?uprobe") int on_##n(void *ctx)                                                       \
	{                                                                                          \
		return add(n, 1);                                                                  \
	}
ON(3)
ON(4)
ON(5)
ON(6)
ON(7)

SEC("?uprobe")
int BPF_KPROBE(on_memcpy, void *to, const void *from, unsigned long size)
{
	return size == 777 ? add(8, 1) : 0;
}

SEC("?uprobe")
int BPF_KPROBE(on_strlen, const char *s)
{
	char text[8];

	if (bpf_probe_read_user_str(text, sizeof(text), s) == 7 && text[0] == '!' && text[1] == 'k')
		add(9, 1);
	return 0;
}
