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
