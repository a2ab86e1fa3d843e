// SPDX-License-Identifier: BSD-2-Clause
/*
 * Each program reads what is called struct item where it is: the library's, in each of its versions, or the executable's.
 * -DTAILS: by a program that is called through an array, as well; -DWITH_USDT: in a USDT probe.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#ifdef WITH_USDT
#include <bpf/usdt.bpf.h>
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct item {
	int value;
	long weight;
} __attribute__((preserve_access_index));

struct item___app {
	double y;
	int value;
} __attribute__((preserve_access_index));

/* the library knows nothing of it */
struct caller {
	int id;
} __attribute__((preserve_access_index));

struct seen {
	long value, weight, own, caller, tail;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct seen);
} seen SEC(".maps");

/* one of each, whatever there are of the programs */
long hits;
long bias = 1000;
const volatile long unit = 1;

static struct seen *this_process(void)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct seen none = {};

	bpf_map_update_elem(&seen, &pid, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&seen, &pid);
}

#ifdef TAILS
int on_tail(struct pt_regs *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} next SEC(".maps") = {.values = {[0] = (void *)&on_tail}};

SEC("uprobe")
int BPF_KPROBE(on_tail, struct item *it)
{
	struct seen *s = this_process();

	if (s)
		s->tail = BPF_CORE_READ_USER(it, value);
	return 0;
}
#endif

#ifdef WITH_USDT
/* the number says where the item is; libbpf's tables of arguments are each edition's own */
SEC("usdt/libmod.so.1:mod:used")
int on_used(struct pt_regs *ctx)
{
	struct seen *s = this_process();
	struct item *it;
	long a = 0, b = 0;

	if (!s || bpf_usdt_arg(ctx, 0, &a) || bpf_usdt_arg(ctx, 1, &b))
		return 0;
	it = (void *)(b == 1 ? a : b);
	s->tail = BPF_CORE_READ_USER(it, value) * 10;
	return 0;
}
#endif

SEC("uprobe/libmod.so.1:item_use")
int BPF_KPROBE(on_item, struct item *it, struct caller *caller)
{
	struct seen *s = this_process();

	__sync_fetch_and_add(&hits, unit);
	if (!s)
		return 0;
	s->value = BPF_CORE_READ_USER(it, value) + bias;
	s->weight = BPF_CORE_READ_USER(it, weight);
	s->caller = BPF_CORE_READ_USER(caller, id);
#ifdef TAILS
	bpf_tail_call(ctx, &next, 0);
#endif
	return 0;
}

SEC("uprobe//proc/self/exe:app_use")
int BPF_KPROBE(on_app, struct item___app *it)
{
	struct seen *s = this_process();

	__sync_fetch_and_add(&hits, unit);
	if (s)
		s->own = BPF_CORE_READ_USER(it, value);
	return 0;
}
