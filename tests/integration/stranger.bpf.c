// SPDX-License-Identifier: BSD-2-Clause
/* What stranger.c attaches, in every way there is. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u64 hits, cookies, other_hits, returned;

struct sample {
	__u64 arg;
	__u32 pid, cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} jumps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} bound SEC(".maps");

SEC("uprobe")
int BPF_KPROBE(on_hit, long arg)
{
	struct sample s = {.arg = arg, .pid = bpf_get_current_pid_tgid() >> 32, .cpu = bpf_get_smp_processor_id()};

	__sync_fetch_and_add(&hits, 1);
	__sync_fetch_and_add(&cookies, bpf_get_attach_cookie(ctx));
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &s, sizeof(s));
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(on_multi, long arg)
{
	__sync_fetch_and_add(&hits, 1);
	__sync_fetch_and_add(&cookies, bpf_get_attach_cookie(ctx));
	return 0;
}

/* what takes the place of the two above in a link */
SEC("uprobe")
int BPF_KPROBE(instead_of_hit, long arg)
{
	__sync_fetch_and_add(&other_hits, 1);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(instead_of_multi, long arg)
{
	__sync_fetch_and_add(&other_hits, 1);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(on_other, long arg)
{
	__sync_fetch_and_add(&other_hits, arg);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(on_jump, long arg)
{
	bpf_tail_call(ctx, &jumps, 1);
	__sync_fetch_and_add(&hits, 1000000);
	return 0;
}

SEC("uretprobe")
int BPF_KRETPROBE(on_return, long ret)
{
	__sync_fetch_and_add(&returned, ret);
	return 0;
}
