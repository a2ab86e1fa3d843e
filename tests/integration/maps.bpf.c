// SPDX-License-Identifier: BSD-2-Clause
/* Uses each type of map from a program; maps.c prepares them and judges what came of it. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 1000);
	__type(key, __u32);
	__type(value, __u64);
} lru_percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 3);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 3);
	__type(value, __u32);
} stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 100);
	__uint(map_extra, 3);
	__type(value, __u64);
} bloom SEC(".maps");

struct counts {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
};

struct counts first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct counts);
} outer SEC(".maps") = {.values = {&first, &second}};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__uint(max_entries, 8);
			__type(key, __u32);
			__type(value, __u64);
		});
} hash_outer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} commands SEC(".maps");

struct results r;
const volatile __u32 nr_cpus = 1;

SEC("uprobe")
int use_lru_percpu(void *ctx)
{
	__u32 key = 1;
	__u64 *p, value = 1000;

	for (__u32 cpu = 0; cpu < nr_cpus && cpu < 4096; cpu++) {
		p = bpf_map_lookup_percpu_elem(&lru_percpu, &key, cpu);
		if (!p)
			break;
		r.lru_percpu.sum += *p;
		r.lru_percpu.cpus++;
	}
	r.lru_percpu.found_behind = !!bpf_map_lookup_percpu_elem(&lru_percpu, &key, nr_cpus);
	key = 2;
	r.lru_percpu.update = (int)bpf_map_update_elem(&lru_percpu, &key, &value, BPF_NOEXIST);
	return 0;
}

/* Both do the same; what comes out differs. */
static __always_inline void fifo(void *map, int i)
{
	__u32 value = 1;

	r.fifo[i].emptied = 99;
	r.fifo[i].peek_empty = (int)bpf_map_peek_elem(map, &r.fifo[i].emptied);
	r.fifo[i].push[0] = (int)bpf_map_push_elem(map, &value, BPF_ANY);
	value = 2;
	r.fifo[i].push[1] = (int)bpf_map_push_elem(map, &value, BPF_ANY);
	value = 3;
	r.fifo[i].push[2] = (int)bpf_map_push_elem(map, &value, BPF_ANY);
	value = 4;
	r.fifo[i].push[3] = (int)bpf_map_push_elem(map, &value, BPF_ANY);
	r.fifo[i].push_out = (int)bpf_map_push_elem(map, &value, BPF_EXIST);
	r.fifo[i].push_flags = (int)bpf_map_push_elem(map, &value, BPF_NOEXIST);
	r.fifo[i].peek = (int)bpf_map_peek_elem(map, &r.fifo[i].peeked);
	r.fifo[i].pop = (int)bpf_map_pop_elem(map, &r.fifo[i].popped);
}

SEC("uprobe")
int use_fifo(void *ctx)
{
	fifo(&queue, 0);
	fifo(&stack, 1);
	return 0;
}

SEC("uprobe")
int use_bloom(void *ctx)
{
	__u64 value = 1;

	r.bloom.out = (int)bpf_map_peek_elem(&bloom, &value);
	r.bloom.push = (int)bpf_map_push_elem(&bloom, &value, BPF_ANY);
	r.bloom.flags = (int)bpf_map_push_elem(&bloom, &value, BPF_EXIST);
	r.bloom.in = (int)bpf_map_peek_elem(&bloom, &value);
	value = 77;
	r.bloom.of_user = (int)bpf_map_peek_elem(&bloom, &value);
	return 0;
}

SEC("uprobe")
int use_inner(void *ctx)
{
	__u32 key, five = 5;
	__u64 *p, value = 55;
	void *map;

	r.inner.runs++;
	r.inner.found = r.inner.hash_found = 0;
#pragma unroll
	for (__u32 i = 0; i < 3; i++) {
		key = i;
		map = bpf_map_lookup_elem(&outer, &key);
		if (!map)
			continue;
		r.inner.found |= 1u << i;
		p = bpf_map_lookup_elem(map, &key);
		if (p)
			++*p;
	}
	if (!(r.inner.found & 1))
		r.inner.missed++;
	map = bpf_map_lookup_elem(&hash_outer, &five);
	if (map) {
		r.inner.hash_found = 1u << 5;
		r.inner.update = (int)bpf_map_update_elem(map, &five, &value, BPF_NOEXIST);
	}
	return 0;
}

static long command(struct bpf_dynptr *sample, void *ctx)
{
	__u64 value = 0, *p;

	if (!bpf_dynptr_read(&value, sizeof(value), sample, 0, 0))
		r.commands.sum += value;
	p = bpf_dynptr_data(sample, 8, sizeof(*p));
	if (p)
		r.commands.tagged += *p;
	return 0;
}

SEC("uprobe")
int use_commands(void *ctx)
{
	r.commands.drained = bpf_user_ringbuf_drain(&commands, command, 0, 0);
	return 0;
}
