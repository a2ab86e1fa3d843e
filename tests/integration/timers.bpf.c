// SPDX-License-Identifier: BSD-2-Clause
/* Timers in the values of an array and a hash: once, again and again, stopped, of an element that
 * goes. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define CLOCK_MONOTONIC 1

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct entry {
	__u64 calls;
	struct bpf_timer timer;
	__u64 key_seen;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct entry);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u64);
	__type(value, struct entry);
} table SEC(".maps");

struct results {
	__s64 init, again, unset, set, start, flags, cancel, idle, none, gone;
} r;

/* Counts, and starts itself again until it has been called five times. */
static int on_array(void *map, __u32 *key, struct entry *e)
{
	e->key_seen = *key;
	__sync_fetch_and_add(&e->calls, 1);
	if (*key == 1 && e->calls < 5)
		bpf_timer_start(&e->timer, 1000000, 0);
	return 0;
}

static int on_table(void *map, __u64 *key, struct entry *e)
{
	e->key_seen = *key;
	__sync_fetch_and_add(&e->calls, 1);
	bpf_printk("table %d", *key);
	return 0;
}

static long inner(__u32 i, long *sum)
{
	*sum += i;
	return 0;
}

static long outer(__u32 i, long *sum)
{
	bpf_loop(1 << 23, inner, sum, 0);
	return 0;
}

/* Takes minutes. */
static int on_slow(void *map, __u32 *key, struct entry *e)
{
	long sum = 0;

	__sync_fetch_and_add(&e->calls, 1);
	bpf_loop(1 << 13, outer, &sum, 0);
	e->key_seen = sum;
	return 0;
}

static int begin_slow(void)
{
	__u32 key = 3;
	struct entry *e = bpf_map_lookup_elem(&array, &key);

	if (!e)
		return 1;
	bpf_timer_init(&e->timer, &array, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&e->timer, on_slow);
	bpf_timer_start(&e->timer, 0, 0);
	return 0;
}

static int begin(__u32 key, __u64 nsecs)
{
	struct entry *e = bpf_map_lookup_elem(&array, &key);

	if (!e)
		return 1;
	if (key == 0) {
		r.none = bpf_timer_start(&e->timer, 1, 0);
		r.init = bpf_timer_init(&e->timer, &array, CLOCK_MONOTONIC);
		r.again = bpf_timer_init(&e->timer, &array, CLOCK_MONOTONIC);
		r.unset = bpf_timer_start(&e->timer, 1, 0);
		r.set = bpf_timer_set_callback(&e->timer, on_array);
		r.flags = bpf_timer_start(&e->timer, 1, 8);
		r.start = bpf_timer_start(&e->timer, nsecs, 0);
		return 0;
	}
	bpf_timer_init(&e->timer, &array, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&e->timer, on_array);
	bpf_timer_start(&e->timer, nsecs, 0);
	if (key == 2) {
		r.cancel = bpf_timer_cancel(&e->timer);
		r.idle = bpf_timer_cancel(&e->timer);
	}
	return 0;
}

static int begin_in_table(__u64 key, __u64 nsecs)
{
	struct entry fresh = {}, *e;

	bpf_map_update_elem(&table, &key, &fresh, BPF_ANY);
	e = bpf_map_lookup_elem(&table, &key);
	if (!e)
		return 1;
	bpf_timer_init(&e->timer, &table, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&e->timer, on_table);
	bpf_timer_start(&e->timer, nsecs, 0);
	return 0;
}

static int begin_all(void)
{
	__u64 gone = 8;
	int err;

	err = begin(0, 2000000);
	err = err ?: begin(1, 1000000);
	err = err ?: begin(2, 1000000);
	err = err ?: begin_in_table(7, 3000000);
	err = err ?: begin_in_table(8, 1000000);
	r.gone = bpf_map_delete_elem(&table, &gone);
	return err;
}

SEC("uprobe/target:work")
int BPF_KPROBE(on_work, long n)
{
	if (n == 5)
		begin_slow();
	else
		begin_all();
	return 0;
}

/* The kernel takes timers in programs of such kinds only. */
SEC("?tc")
int in_kernel(struct __sk_buff *skb)
{
	return begin_all();
}
