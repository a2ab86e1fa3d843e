#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What libbpf's and bpftool's feature probes find is what there is: helpers.sh and the map tests use all of it, no more is said.
no_probe_needed=1
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 7

ebpfrt exec -- "$bin/probes" >probes.out 2>probes.err
found() { # kind
	sed -n "s/^$1 //p" probes.out | tr '\n' ' ' | sed 's/ $//'
}
# hash, array, prog_array, perf_event_array, percpu_hash, percpu_array, stack_trace, lru_hash, lru_percpu_hash, array_of_maps 12, hash_of_maps, queue 22, stack, ringbuf 27, bloom_filter, user_ringbuf
is "map types" "$(found map)" "1 2 3 4 5 6 7 9 10 12 13 22 23 27 30 31"
# kprobe is what is attached; socket_filter, sched_cls, sched_act, tracepoint, xdp, perf_event, cgroup_skb, cgroup_sock,
# raw_tracepoint, raw_tracepoint_writable and syscall can be loaded, most of them for BPF_PROG_TEST_RUN
is "program types" "$(found prog)" "1 2 3 4 5 6 7 8 9 17 24 31"
# by number, as bpf.h has them: map_lookup_elem 1 to tail_call 12, ... get_retval 186, ktime_get_tai_ns 208
is "helpers" "$(found helper)" "1 2 3 4 5 6 7 8 12 14 15 16 25 27 42 45 67 80 87 88 89 93 94 105 106 112 113 114 115 118 120 125 130 131 132 133 \
134 148 160 164 165 169 170 171 172 173 174 177 181 182 186 195 197 198 199 200 201 \
202 203 208 209"
# less of them where there is no process to ask about
unlike "helpers of tracing programs only are in no other" " $(found filter) " " (4|14|15|16|25|27|45|80|148|173|174|186) "

if ! command -v bpftool >/dev/null; then
	skip 3 "bpftool is not installed"
else
	try ebpfrt exec -- bpftool feature probe unprivileged
	is "bpftool feature probe" "$status" 0
	like "finds ring buffers" "$out" "map_type ringbuf is available"
	like "and no sockmap" "$out" "map_type sockmap is NOT available"
fi
