// SPDX-License-Identifier: BSD-2-Clause
/* Entries and returns of the functions of returns.h, of the program TARGET: counts[2 * i] and
 * counts[2 * i + 1]. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include "returns.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define COUNT(name) COUNT_##name,
enum { RETURNS_FUNCS(COUNT) COUNT_END };
_Static_assert(COUNT_END <= RETURNS_MAX, "room in the map");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * RETURNS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} returns SEC(".maps");

static int count(__u32 slot)
{
	__u64 *n = bpf_map_lookup_elem(&returns, &slot);

	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

#define PROBES(name)                                                                               \
	SEC("uprobe/" TARGET ":" #name) int on_##name(void *ctx)                                   \
	{                                                                                          \
		return count(2 * COUNT_##name);                                                    \
	}                                                                                          \
	SEC("uretprobe/" TARGET ":" #name) int on_##name##_done(void *ctx)                         \
	{                                                                                          \
		return count(2 * COUNT_##name + 1);                                                \
	}
#ifdef SITES
RETURNS_ENDED_BY_RET(PROBES)
#else
RETURNS_FUNCS(PROBES)
#endif
