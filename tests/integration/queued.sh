#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Signals that other processes send while probes come and go: each comes once, to whom it was sent, in its order, with its value and
# its sender, also those that an injection or the agent has a part in; and the wait that a handler ends is over.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 8
cycles=${CYCLES:-25}

target_program=$bin/queued
target_start
say start
say stop
is "unprobed" "$answer" "stopped 0 0 0 0 0 0"
# on a busy machine it may take more than one attempt: that is said, and no signal's matter
come_and_go() {
	went=0
	i=0
	while [ $went -lt "$cycles" ] && [ $i -lt $((4 * cycles)) ]; do
		i=$((i + 1))
		if ebpfrt attach -q --no-maps -d 1ms -p "$target" "$bin/count.bpf.o" --prog on_work=uprobe:queued:work \
			--prog on_work_done=uretprobe:queued:work >cycle.out 2>&1; then
			went=$((went + 1))
		else
			sed 's/^/# /' cycle.out
		fi
	done
}
say start
come_and_go
is "while probes come and go: they do" "$went" "$cycles"
say stop
is "and no signal tells of it" "$answer" "stopped 0 0 0 0 0 0"
say count
echo "# $answer"
say end
come_and_go
is "and once more" "$went" "$cycles"
say over
like "what a handler ends is over" "$answer" "^ended [0-9]+ on 0$"
echo "# $answer"
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:queued:work --prog on_work_done=uretprobe:queued:work
say start
say stop
is "nor while they are there" "$answer" "stopped 0 0 0 0 0 0"
say count
echo "# $answer"
attach_stop INT
is "detach" "$attach_status" 0
target_quit
is "it ends well" "$target_status" 0
