#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Many children at once: each is counted, or counted as missed.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 7
target_program=$bin/brood

target_start ebpfrt run -q -o run.out -P "$bin/count.bpf.o" --prog "on_work=uprobe:$bin/brood:work" \
	--prog "on_work_done=uretprobe:$bin/brood:work" --
say crowd 200 7
is "the children do their work" "$answer" "calls 1400"
is "every call of every child was counted" "$(map_value counts 0)" 1400
say keep 200
say wake 7
is "all of them come at once" "$answer" "calls 1400"
is "and are counted" "$(map_value counts 0)" 2800
# A daemon that does not answer in time: what is not counted is counted as missed, and the next child is counted again.
daemon=$(sed -n 1p "$stage/run/ebpfrt/pid" 2>/dev/null || pgrep -u "$(id -u)" -f "^$stage/ebpfrtd")
kill -STOP "$daemon"
say crowd 1 7
is "a child does not wait for ever" "$answer" "calls 7"
kill -CONT "$daemon"
missed() {
	ebpfrt link list --json | python3 -c '
import json, sys
print(sum(t["missed"] for l in json.load(sys.stdin) if not l["retprobe"] for t in l["targets"]))'
}
is "its calls are counted as missed" "$(map_value counts 0) $(missed)" "2800 7"
say crowd 1 7
is "the next one is counted" "$(map_value counts 0)" 2807
target_quit
