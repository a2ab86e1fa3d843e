#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that are cut short in the middle of a helper: what they interrupt has all its registers and flags, what runs behind
# them at the same place runs, and everything is counted. By a break and by a jump, at a call and at its return.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 36
target_program=$bin/cutshort

# "hits aborted" of all links together
counts() {
	ebpfrt link show --json | python3 -c '
import json, sys
rows = [t for l in json.load(sys.stdin) for t in l["targets"]]
print(sum(r["hits"] for r in rows), sum(r["aborted"] for r in rows))'
}

for mode in trap auto; do
	EBPFRT_PROBE=$mode
	export EBPFRT_PROBE
	for at in uprobe uretprobe; do
		until_true eval '[ ! -S "$EBPFRT_RUNTIME_DIR/ctl" ]' # a daemon of its own
		target_start
		attach_start -p "$target" --no-maps "$bin/locks.bpf.o" --prog "on_work=$at/cutshort:work"
		first=$attach_child
		say call 1000
		is "$mode, $at: registers" "$answer" "called 1000 changed 0"
		is "$mode, $at: it ran" "$(counts)" "1000 0"
		say lock 0xffffffff
		is "$mode, $at: the lock is held" "$answer" locked
		say call 20
		is "$mode, $at: registers where it is cut short" "$answer" "called 20 changed 0"
		is "$mode, $at: it was" "$(counts)" "1020 20"
		attach_start -p "$target" --no-maps "$bin/locks.bpf.o" --prog "on_work=$at/cutshort:work"
		say call 20
		is "$mode, $at: with another behind it" "$answer $(counts)" "called 20 changed 0 1060 40"
		say lock 0
		say call 1000
		is "$mode, $at: both run again" "$answer $(counts)" "called 1000 changed 0 3060 40"
		attach_stop INT
		attach_child=$first
		attach_stop INT
		is "$mode, $at: detached" "$attach_status" 0
		target_quit
		is "$mode, $at: it ends well" "$target_status" 0
	done
done
