// SPDX-License-Identifier: BSD-2-Clause
/* Objects that have to be refused, one for each of the words that say why: compiled several times, with -DBAD_x. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#ifdef BAD_HELPER
static long (*no_such_helper)(void) = (void *)9999;
#endif

#ifdef BAD_KFUNC
extern void bpf_preempt_disable(void) __ksym;
#endif

#ifdef BAD_MAP
struct {
	__uint(type, 999);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");
#elif !defined(BAD_NOBTF)
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");
#else
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
} counts SEC(".maps");
#endif

#ifdef BAD_SECTION
SEC("uprobe.fast/libc.so.6:getenv")
#elif defined(BAD_TYPE)
SEC("xdp")
#else
SEC("uprobe/libc.so.6:getenv")
#endif
int bad(struct pt_regs *ctx)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&counts, &zero);

	if (n)
		__sync_fetch_and_add(n, 1);
#ifdef BAD_KFUNC
	bpf_preempt_disable();
#endif
#ifdef BAD_HELPER
	return no_such_helper();
#else
	return 0;
#endif
}
