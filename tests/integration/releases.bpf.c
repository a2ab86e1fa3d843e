// SPDX-License-Identifier: BSD-2-Clause
/* What zlib keeps to itself, in any release of it: the state of a stream when deflate() is called. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct internal_state {
	int level;
	unsigned int strstart, sym_next, matches, insert;
	int bi_valid;
	unsigned long high_water;
};
struct z_stream_s {
	unsigned long total_in;
	struct internal_state *state;
};
#pragma clang attribute pop

struct stream {
	unsigned long total_in, high_water;
	unsigned int strstart, sym_next, matches, insert;
	int level, bi_valid;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct stream);
} streams SEC(".maps");

SEC("uprobe/libz.so.1:deflate")
int BPF_KPROBE(on_deflate, struct z_stream_s *z)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct stream s = {.total_in = BPF_CORE_READ_USER(z, total_in),
			   .high_water = BPF_CORE_READ_USER(z, state, high_water),
			   .strstart = BPF_CORE_READ_USER(z, state, strstart),
			   .sym_next = BPF_CORE_READ_USER(z, state, sym_next),
			   .matches = BPF_CORE_READ_USER(z, state, matches),
			   .insert = BPF_CORE_READ_USER(z, state, insert),
			   .level = BPF_CORE_READ_USER(z, state, level),
			   .bi_valid = BPF_CORE_READ_USER(z, state, bi_valid)};

	bpf_map_update_elem(&streams, &pid, &s, BPF_ANY);
	return 0;
}
