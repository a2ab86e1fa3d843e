#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What a program does with SIGTRAP: handlers set in every way, with every flag, on every stack; ignored, blocked, pending,
# waited for; sent and caused by itself. All that it sees is as without probes, in programs that contain their C library, too,
# and every call of the probed function, most of them by handlers, is a hit.
. "${top_srcdir:-.}/tests/integration/lib.sh"
cases="ways masks wait thread suspend nested others back signal ends stacks jump edit float segv"
set -- $cases
plan $((3 * (2 * $# + 2)))

same() { # what
	for c in $cases; do
		say one "$c"
		want=$(cat "$c.want")
		if [ "$answer" = "$want" ]; then
			ok "$1: $c"
		else
			not_ok "$1: $c" "$answer" "instead of" "$want"
		fi
	done
}

total() {
	say count
	total=${answer#work }
}

for how in actions actions-static run; do
	target_program=$bin/${how%run}
	[ $how != run ] || target_program=$bin/actions
	target_start
	for c in $cases; do
		say one "$c"
		echo "$answer" >"$c.want"
	done
	probes="--prog on_work=uprobe:$target_program:work --prog on_work_done=uretprobe:$target_program:work"
	if [ $how = run ]; then
		target_quit
		target_start ebpfrt run -q -o run.out -P "$bin/count.bpf.o" $probes --
	else
		attach_start "$target" "$bin/count.bpf.o" $probes
	fi
	total
	before=$total
	same "$how"
	total
	is "$how: all calls were hits" "$(map_value counts 0)" $((total - before))
	[ $how = run ] || attach_stop INT
	same "$how, afterwards"
	target_quit
	is "$how: it ends well" "$target_status" 0
done
