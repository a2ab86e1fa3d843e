#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Hits by jumps run on stacks of a pool. Whatever leaves a hit in the middle (handlers that jump out of it, threads that end or
# are cancelled in it, functions of the target that programs call and that do not come back, or in a child), no stack stays taken by nobody:
# else there were none left, by and by.
EBPFRT_PROBE=auto
export EBPFRT_PROBE
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 20

# how the pool stands, with nobody in a hit
pool() {
	python3 "$stage/integration/stacks.py" "$target" "$stage/libebpfrt-agent.so"
}
nobody='^taken 0 kept [0-9]+ held 0 places 0 astray 0$'

target_program=$bin/stacks
target_start
attach_start --prog "on_work=uprobe:$target_program:work" --prog "on_work_done=uretprobe:$target_program:work" "$target" \
	"$bin/count.bpf.o"
say jump 100000
like "100,000 jumps out of a handler: many came in a hit" "$answer" "^jump 100000 in [1-9][0-9]+$"
like "no stack is taken" "$(pool)" "$nobody"
for how in exit cancel; do
	say $how 400
	is "$how: the threads have ended" "$answer" "$how 400"
	like "$how: no stack is taken" "$(pool)" "$nobody"
done
attach_stop INT
like "none was lost" "$(cat attach.err)" "detached, 1 site restored; [0-9]+ hits, 0 lost"
like "detached: no stack is taken" "$(pool)" "$nobody"
target_quit
is "it ends well" "$target_status" 0

# what programs call and what doesn't come back: until somebody is there again, its hit is under way
target_program=$bin/callees
exe=$(readlink -f "$bin/callees")
target_start
attach_start --prog "on_leave=uprobe:$exe:tick" --allow-call "$exe:leave" "$target" "$bin/callees_wild.bpf.o"
# the first one has libgcc_s loaded, by which it ends
say t 100
is "calls in which threads end" "$answer" "wrong 0"
like "calls: a thread that ends leaves its hit" "$(pool)" "$nobody"
say l 3000
is "calls that are left by longjmp" "$answer" "wrong 0"
# nobody hears of their end; who looks for a stack does
say x 200
is "calls in which threads end by the system call alone" "$answer" "wrong 0"
like "calls: they hold no more than there are, and nobody the last ones' for long" "$(pool)" \
	'^taken 0 kept [0-9]+ held ([0-9]|1[0-7]) places ([0-9]|1[0-7]) astray 0$'
first=$attach_child
attach_start "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$exe:wild" --prog "on_work_done=uprobe:$exe:wild"
like "calls: none once somebody else comes" "$(pool)" "$nobody"
attach_stop INT
attach_child=$first
attach_stop INT
like "calls: detached, no stack is taken" "$(pool)" "$nobody"

# a child goes on in a call, where it introduces itself, ends the hit, and keeps no stack
attach_start --prog "on_forks=uprobe:$exe:tick" --allow-call "$exe:forks" "$target" "$bin/callees_wild.bpf.o"
say n 3
is "calls: they fork" "$answer" "wrong 0"
say k 1
{
	echo "$answer"
	read -r answer <&9
	echo "$answer"
	read -r answer <&9
	echo "$answer"
} >said
child=$(sed -n 's/^child //p' said)
is "calls: and again" "$(sed 's/^child .*/child/' said | sort | tr '\n' ' ')" "child here wrong 0 "
whole=$target
target=$child
like "calls: a child that came back has given back the stack" "$(pool)" "$nobody"
target=$whole
kill "$child"
attach_stop INT
target_quit
is "calls: it ends well" "$target_status" 0
