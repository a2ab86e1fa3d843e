// SPDX-License-Identifier: BSD-2-Clause
/* Asks for the time at each hit, by every clock: [0] hits, [2] of them those at which they agreed. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define LONG 60000000000ULL /* ns: how long a thread may have to wait in between */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static void add(__u32 slot)
{
	__u64 *n = bpf_map_lookup_elem(&counts, &slot);

	if (n)
		__sync_fetch_and_add(n, 1);
}

SEC("uprobe/walls:work")
int at_time(void *ctx)
{
	__u64 coarse = bpf_ktime_get_coarse_ns(), now = bpf_ktime_get_ns(),
	      boot = bpf_ktime_get_boot_ns(), tai = bpf_ktime_get_tai_ns(),
	      ticks = bpf_jiffies64();

	add(0);
	if (coarse && now >= coarse && now < coarse + LONG && boot + LONG >= now && tai > LONG &&
	    ticks)
		add(2);
	return 0;
}
