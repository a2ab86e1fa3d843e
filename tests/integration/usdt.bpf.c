// SPDX-License-Identifier: BSD-2-Clause
/* What the USDT probes of usdt.c bring: for each probe its hits, and the sum of each argument. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

#include "usdt_probes.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PROBES *ROW);
	__type(key, __u32);
	__type(value, __s64);
} usdt SEC(".maps");

static void add(__u32 slot, __s64 v)
{
	__s64 *n = bpf_map_lookup_elem(&usdt, &slot);

	if (n)
		__sync_fetch_and_add(n, v);
}

/* [0] hits, [1] arguments there are, [2...] their sums, the last the cookies */
static int take(struct pt_regs *ctx, __u32 probe)
{
	int n = bpf_usdt_arg_cnt(ctx);
	long v;

	add(probe * ROW, 1);
	add(probe * ROW + 1, n);
	for (int i = 0; i < ARGS; i++) {
		if (i < n && !bpf_usdt_arg(ctx, i, &v))
			add(probe * ROW + 2 + i, v);
	}
	add(probe * ROW + ROW - 1, bpf_usdt_cookie(ctx));
	return 0;
}

#define PROBE(n, section, name)                                                                    \
	SEC(section) int name(struct pt_regs *ctx)                                                 \
	{                                                                                          \
		return take(ctx, n);                                                               \
	}

PROBE(P_REGISTERS, "usdt//proc/self/exe:shapes:registers", on_registers)
PROBE(P_MEMORY, "usdt//proc/self/exe:shapes:memory", on_memory)
PROBE(P_CONSTANTS, "usdt//proc/self/exe:shapes:constants", on_constants)
PROBE(P_NOP5, "usdt//proc/self/exe:shapes:nop5", on_nop5)
PROBE(P_NOP10, "usdt//proc/self/exe:shapes:nop10", on_nop10)
PROBE(P_BARE5, "usdt//proc/self/exe:shapes:bare5", on_bare5)
PROBE(P_BARE10, "usdt//proc/self/exe:shapes:bare10", on_bare10)
PROBE(P_SEVERAL, "usdt//proc/self/exe:shapes:several", on_several)
PROBE(P_GUARDED, "usdt//proc/self/exe:shapes:guarded", on_guarded)
PROBE(P_LIB, "?usdt", on_lib)
PROBE(P_OTHER, "?usdt", on_other)
