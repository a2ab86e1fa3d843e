// SPDX-License-Identifier: BSD-2-Clause
/* Counts calls and returns of what every runtime leans on: all, and those that are load.c's own. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "load.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOAD_FUNCTIONS *LOAD_FIELDS);
	__type(key, __u32);
	__type(value, __u64);
} load SEC(".maps");

static int add(__u32 function, __u32 field)
{
	__u32 key = function * LOAD_FIELDS + field;
	__u64 *n = bpf_map_lookup_elem(&load, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

static int enter(__u32 function, int ours)
{
	if (ours)
		add(function, LOAD_OURS);
	return add(function, LOAD_ALL);
}

#define RETURNS(name, function, where)                                                             \
	SEC("uretprobe/" where)                                                                    \
	int name##_done(struct pt_regs *ctx)                                                       \
	{                                                                                          \
		return add(function, LOAD_RETURNS);                                                \
	}

SEC("uprobe/libc.so.6:malloc")
int BPF_KPROBE(on_malloc, unsigned long size)
{
	return enter(F_MALLOC, size == LOAD_MALLOC);
}
RETURNS(on_malloc, F_MALLOC, "libc.so.6:malloc")

SEC("uprobe/libc.so.6:memcpy")
int BPF_KPROBE(on_memcpy, void *to, const void *from, unsigned long size)
{
	return enter(F_MEMCPY, size == LOAD_COPY);
}
RETURNS(on_memcpy, F_MEMCPY, "libc.so.6:memcpy")

SEC("uprobe/libc.so.6:pthread_mutex_lock")
int BPF_KPROBE(on_lock, const char *mutex)
{
	__u64 magic = 0;

	bpf_probe_read_user(&magic, sizeof(magic), mutex + LOAD_MUTEX);
	return enter(F_MUTEX_LOCK, magic == LOAD_MAGIC);
}
RETURNS(on_lock, F_MUTEX_LOCK, "libc.so.6:pthread_mutex_lock")

SEC("uprobe/libc.so.6:clock_gettime")
int BPF_KPROBE(on_clock, int clock)
{
	return enter(F_CLOCK_GETTIME, clock == LOAD_CLOCK);
}
RETURNS(on_clock, F_CLOCK_GETTIME, "libc.so.6:clock_gettime")

/* nobody else has such variables */
SEC("uprobe/ld-linux-x86-64.so.2:__tls_get_addr")
int BPF_KPROBE(on_tls)
{
	return enter(F_TLS_GET_ADDR, 1);
}
RETURNS(on_tls, F_TLS_GET_ADDR, "ld-linux-x86-64.so.2:__tls_get_addr")
