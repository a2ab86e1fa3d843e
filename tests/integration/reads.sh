#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs read addresses that a target hands over: what can be read is, byte by byte up to the last one; everything else is
# -EFAULT and a buffer of zeroes, and the target's own handlers for faults never hear of it.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 78
target_program=$bin/reads

# KIND-NUMBER -> its fields, as the target says them
counted() {
	ebpfrt map dump name reads --json | python3 -c '
import json, sys
v = {}
for e in json.load(sys.stdin):
    e = e.get("formatted", e)
    v[e["key"]] = e["value"]
for k in range(24):
    print(*(v[k * 16 + i] for i in range(12)))'
}

for how in compiled interpreted run; do
	if [ $how = run ]; then
		target_start ebpfrt run -q -o run.out -P "$bin/reads.bpf.o" --
	else
		target_start
		[ $how = compiled ] || { EBPFRT_JIT=0 && export EBPFRT_JIT; }
		attach_start "$target" "$bin/reads.bpf.o"
		unset EBPFRT_JIT
	fi
	say go 25
	is "$how: the target goes on, and sees no fault" "$answer" "went 0 faults 0"
	counted >got
	say want 25
	kind=0
	while [ "$answer" != end ]; do
		kind=$((kind + 1))
		is "$how: ${answer%%:*}" "$(sed -n ${kind}p got)" "${answer#*: }"
		read -r answer <&9
	done
	is "$how: at the return, too: reads and failures" "$(sed -n 24p got | cut -d' ' -f1-5,7,8,11,12)" \
		"550 $((25 * 5)) $((25 * 17)) $((25 * 10)) $((25 * 34)) $((25 * 18)) $((25 * 48)) 0 0"
	[ $how = run ] || attach_stop INT
	say own
	is "$how: its own faults are its own" "$answer" "own 12"
	target_quit
	is "$how: it ends well" "$target_status" 0
done
