// SPDX-License-Identifier: BSD-2-Clause
/* Entries and returns of the functions of returns.h, of the program TARGET: counts[2 * i] and
 * counts[2 * i + 1]. With SESSION by one program for both, whose word is where the stack was: the
 * last counter is of returns that aren't those of their entries. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
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

#ifdef SESSION
extern bool bpf_session_is_return(void) __ksym;
extern __u64 *bpf_session_cookie(void) __ksym;

static int session(struct pt_regs *ctx, __u32 slot)
{
	__u64 *sp = bpf_session_cookie();

	if (!bpf_session_is_return()) {
		*sp = PT_REGS_SP(ctx);
		return count(slot);
	}
	if (*sp + sizeof(*sp) != PT_REGS_SP(ctx))
		count(2 * RETURNS_MAX - 1);
	return count(slot + 1);
}

#define PROBES(name)                                                                               \
	SEC("uprobe.session/" TARGET ":" #name) int on_##name(struct pt_regs *ctx)                 \
	{                                                                                          \
		return session(ctx, 2 * COUNT_##name);                                             \
	}
#else
#define PROBES(name)                                                                               \
	SEC("uprobe/" TARGET ":" #name) int on_##name(void *ctx)                                   \
	{                                                                                          \
		return count(2 * COUNT_##name);                                                    \
	}                                                                                          \
	SEC("uretprobe/" TARGET ":" #name) int on_##name##_done(void *ctx)                         \
	{                                                                                          \
		return count(2 * COUNT_##name + 1);                                                \
	}
#endif
#ifdef SITES
RETURNS_ENDED_BY_RET(PROBES)
#else
RETURNS_FUNCS(PROBES)
#endif
