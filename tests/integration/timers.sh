#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Timers that a probe starts: called back without a thread in the target, stopped with their element, their map, their program.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 46

numbered() { # the program's own results, as ours
	while read -r line; do
		case $line in
		"ok "*) ok "$1: ${line#*- }" ;;
		"not ok "*) not_ok "$1: ${line#*- }" ;;
		*) echo "# $line" ;;
		esac
	done
}

ebpfrt exec -- "$bin/timers" "$bin/timers.bpf.o" >timers.out 2>timers.err
is "without a target" "$?" 0
numbered "test run" <timers.out

target_start
rm -f timers.in
mkfifo timers.in
ebpfrt exec -- "$bin/timers" "$bin/timers.bpf.o" "$target" <timers.in >timers.out 2>timers.err &
child=$!
exec 5>timers.in
attached() {
	grep -q attached timers.err || ! kill -0 "$child" 2>/dev/null
}
until_true attached
threads() {
	set -- "/proc/$target/task"/*
	echo $#
}
before=$(threads)
say call 1
is "the target has no thread more" "$(threads)" "$before"
echo called >&5
wait "$child"
is "with one" "$?" 0
numbered "probe" <timers.out
exec 5>&-

# as ebpfrt shows it: the line of a callback is a line of the log
attach_start "$target" "$bin/timers.bpf.o" --no-maps
ebpfrt log -f >log.out 2>/dev/null &
log=$!
said() {
	say call 1
	grep -q 'bpf_trace_printk: table 7' log.out
}
until_true said && ok "a callback prints a line" || not_ok "a callback prints a line" "$(cat log.out)"

# a callback that takes too long ends with its process; what comes after gets a new one
say call 6
overdue() {
	grep -q "a timer's callback of program [0-9]* did not end" "$EBPFRT_RUNTIME_DIR/daemon.log"
}
until_true overdue && ok "a callback that does not end is ended" || not_ok "a callback that does not end is ended" \
	"$(cat "$EBPFRT_RUNTIME_DIR/daemon.log")"
: >log.out
until_true said && ok "others are called after it" || not_ok "others are called after it" "$(cat log.out)"
kill "$log"
attach_stop INT
is "the session ends well" "$attach_status" 0
target_quit
is "and the target" "$target_status" 0
