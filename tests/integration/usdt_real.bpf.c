// SPDX-License-Identifier: BSD-2-Clause
/* USDT probes of programs and libraries that come with a distribution. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} real SEC(".maps");

static int add(__u32 slot, __u64 v)
{
	__u64 *n = bpf_map_lookup_elem(&real, &slot);

	if (n)
		__sync_fetch_and_add(n, v);
	return 0;
}

SEC("?usdt")
int BPF_USDT(on_audit, const char *name)
{
	const __u64 probe_me = 0x656d5f65626f7270; /* "probe_me" */
	__u64 text[2];

	if (bpf_probe_read_user_str(text, sizeof(text), name) == 9 && text[0] == probe_me)
		add(0, 1);
	return 0;
}

SEC("?usdt")
int BPF_USDT(on_gc, int generation)
{
	return add(1, generation);
}

SEC("?usdt")
int BPF_USDT(on_throw, void *object, void *type)
{
	return object && type ? add(2, 1) : 0;
}

SEC("?usdt")
int BPF_USDT(on_catch, void *object, void *type)
{
	return object && type ? add(3, 1) : 0;
}
