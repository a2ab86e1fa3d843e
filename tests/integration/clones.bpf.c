// SPDX-License-Identifier: BSD-2-Clause
/* Counts entries and returns of the functions of clones.c. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 6);
	__type(key, __u32);
	__type(value, __u64);
} clones SEC(".maps");

#define COUNT(name, slot, section)                                                                 \
	SEC(section)                                                                               \
	int name(struct pt_regs *ctx)                                                              \
	{                                                                                          \
		__u32 key = slot;                                                                  \
		__u64 *n = bpf_map_lookup_elem(&clones, &key);                                     \
                                                                                                   \
		if (n)                                                                             \
			__sync_fetch_and_add(n, 1);                                                \
		return 0;                                                                          \
	}

COUNT(on_work, 0, "uprobe/clones:work")
COUNT(on_work_done, 1, "uretprobe/clones:work")
COUNT(on_outer, 2, "uprobe/clones:outer")
COUNT(on_outer_done, 3, "uretprobe/clones:outer")
COUNT(on_leave, 4, "uprobe/clones:leave")
COUNT(on_left, 5, "uretprobe/clones:leave")
