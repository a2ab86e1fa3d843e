// SPDX-License-Identifier: BSD-2-Clause
/* Counts calls of the C library's functions: [0] of very many, the others of one each. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 24);
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

#define CALLS(name, slot) COUNT(on_##name, slot, "?uprobe")

#define MANY(n) COUNT(many_##n, 0, "?uprobe.multi")

/* what they are is said where they are attached */
MANY(1)
CALLS(pthread_create, 1)
CALLS(system, 2)
CALLS(popen, 3)
CALLS(pclose, 4)
CALLS(pthread_cancel, 5)
CALLS(timer_create, 6)
CALLS(posix_spawn, 7)
CALLS(fork, 8)
CALLS(pthread_join, 9)
CALLS(timer_delete, 10)
CALLS(setrlimit, 11) /* in forked children */
CALLS(abort, 12)
CALLS(execve, 13) /* in children that share the memory */
CALLS(dup2, 14)
CALLS(pthread_exit, 15)
