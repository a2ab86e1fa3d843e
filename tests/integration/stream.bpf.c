// SPDX-License-Identifier: BSD-2-Clause
/* Every call of work() in each of the ways that events travel: a ring buffer, a perf event array, a printed line. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct event {
	__u32 pid;
	__u32 pad;
	long n;
};

struct sample {
	long n;
	char what[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
	__type(value, struct event);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} samples SEC(".maps");

/* keep its type: the reader finds it by the name of the map */
struct sample *unused_sample __attribute__((unused));

SEC("uprobe/target:work")
int BPF_KPROBE(on_work, long n)
{
	struct sample s = {.n = n, .what = "work"};
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (e) {
		e->pid = bpf_get_current_pid_tgid() >> 32;
		e->pad = 0;
		e->n = n;
		bpf_ringbuf_submit(e, 0);
	}
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &s, sizeof(s));
	bpf_printk("work(%ld)", n);
	return 0;
}
