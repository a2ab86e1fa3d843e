#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A signal at each instruction of a call, those of the hit by a jump included, whose handler calls the same function: every
# call is counted, and what the handler finds on the stack is no more of ours than it has to be. At the entry, where the agent is
# called and where a leaf is, and the return.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 31
EBPFRT_PROBE=auto
export EBPFRT_PROBE
target_program=$bin/stepped
daemon_pid() {
	sed -n 1p "$stage/run/ebpfrt/pid"
}

how=run
most=20000
one() { # what, object, probes
	what=$1
	object=$2
	shift 2
	target_start
	say at
	at=${answer#at }
	attach_start -p "$target" "$bin/$object.bpf.o" "$@"
	# it would have the probes sleep while there is a tracer
	kill -STOP "$(daemon_pid)"
	echo "$how" >&8
	try "$bin/stepped" "$target" "$at" "$most"
	kill -CONT "$(daemon_pid)"
	kill -ALRM "$target"
	read -r answer <&9
	like "$what: at every instruction" "$out" "^steps [0-9]{2,}$"
	like "$what: nothing went wrong" "$answer" "^calls [0-9]+ wrong 0$"
	calls=${answer#calls }
	calls=${calls% wrong*}
	is "$what: hits" "$(($(map_value counts 0) + $(map_value counts 2)))" "$calls"
	[ "$what" != place ] || is "$what: the program is told the same stack pointer" "$(map_value counts 1)" 0
	attach_stop INT
	is "$what: the client ends well" "$attach_status" 0
	target_quit
	is "$what: it ends well" "$target_status" 0
	like "$what: our hits" "$(cat attach.err)" "; $calls hits, 0 lost"
}

one leaf leaf --prog "on_work=uprobe:$target_program:work" --prog "on_work_done=uprobe:$target_program:main"
one place leaf --prog "on_work_at=uprobe:$target_program:work" --prog "on_work=uprobe:$target_program:main" \
	--prog "on_work_done=uprobe:$target_program:main"
one entry count --prog "on_work=uprobe:$target_program:work" --prog "on_work_done=uprobe:$target_program:main"
one return count --prog "on_work=uprobe:$target_program:main" --prog "on_work_done=uretprobe:$target_program:work"
# where a thread gets its entry
how=fresh
most=100
one "first hits" leaf --prog "on_work=uprobe:$target_program:work" --prog "on_work_done=uprobe:$target_program:main"
