#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that are told a function's arguments and result by its types: numbers of every width, floats, structures, pointers
# that lead on, in registers and on the stack, at the entry and at the exit; by breaks and by jumps, compiled and interpreted.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 12
target_program=$bin/typed

told() {
	sed -n 's/.*bpf_trace_printk: //p' "$1"
}

same() { # what is tested
	told run.out >typed.told
	if cmp -s typed.want typed.told; then
		ok "$1: $(wc -l <typed.want) lines"
	else
		not_ok "$1" "$(diff typed.want typed.told | head -n 10)"
	fi
}

for probe in trap auto; do
	for how in compiled interpreted; do
		[ $how = compiled ] || { EBPFRT_JIT=0 && export EBPFRT_JIT; }
		EBPFRT_PROBE=$probe && export EBPFRT_PROBE
		target_start ebpfrt run -q -o run.out -P "$bin/typed.bpf.o" --
		unset EBPFRT_JIT EBPFRT_PROBE
		say go 3
		is "$probe, $how: the target goes on" "$answer" "went 3"
		target_quit
		is "$probe, $how: it ends well" "$target_status" 0
		same "$probe, $how: what is told"
	done
done
