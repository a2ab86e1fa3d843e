// SPDX-License-Identifier: BSD-2-Clause
/* A map whose keys and values have in them what C has. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum state { IDLE, BUSY, GONE = -1 };
typedef __u16 port_t;

struct key {
	enum state state;
	union {
		__u32 address;
		__u8 bytes[4];
	};
	port_t port;
	char name[6]; /* may be full */
};

struct value {
	__u64 calls;
	__u32 state : 2, retries : 6, last : 24;
	struct {
		long low, high;
	} range;
	const void *where;
	long history[2][2];
	_Bool seen;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, struct key);
	__type(value, struct value);
} pairs SEC(".maps");

SEC("uprobe/target:work")
int BPF_KPROBE(on_work, long n)
{
	struct key k = {.state = BUSY, .address = 0x0100007f, .port = 8080, .name = "worker"};
	struct value v = {.calls = n,
			  .state = 1,
			  .retries = 33,
			  .last = 70000,
			  .range = {-n, n},
			  .where = (void *)0x1000,
			  .history = {{1, 2}, {3, n}},
			  .seen = 1};

	bpf_map_update_elem(&pairs, &k, &v, BPF_ANY);
	return 0;
}
