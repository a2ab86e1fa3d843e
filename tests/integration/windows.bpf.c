// SPDX-License-Identifier: BSD-2-Clause
/* Counts calls of hundreds of the C library's functions: [0] to [6] of one each, [7] to [9] of all
 * that begin with a letter. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

static int count(__u32 slot)
{
	__u64 *n = bpf_map_lookup_elem(&calls, &slot);

	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

#define COUNT(name, slot, section)                                                                 \
	SEC(section)                                                                               \
	int name(struct pt_regs *ctx)                                                              \
	{                                                                                          \
		return count(slot);                                                                \
	}

COUNT(on_create, 0, "uprobe/libc.so.6:pthread_create")
COUNT(on_system, 1, "uprobe/libc.so.6:system")
COUNT(on_popen, 2, "uprobe/libc.so.6:popen")
COUNT(on_cancel, 3, "uprobe/libc.so.6:pthread_cancel")
COUNT(on_timer, 4, "uprobe/libc.so.6:timer_create")
COUNT(on_exit, 5, "uprobe/libc.so.6:pthread_exit")
COUNT(on_spawn, 6, "uprobe/libc.so.6:posix_spawn")
COUNT(many_p, 7, "uprobe.multi/libc.so.6:p*")
COUNT(many_s, 8, "uprobe.multi/libc.so.6:s*")
COUNT(many_m, 9, "uprobe.multi/libc.so.6:m*")
