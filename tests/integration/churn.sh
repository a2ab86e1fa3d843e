#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Maps are read from outside while a target adds, replaces and deletes keys: a dump ends and shows no value that never was.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 7
calls=${CHURN_CALLS:-150000}

# dump a map over and over while the target is at work; "dumps entries wrong"
dumps() {
	python3 -c '
import json, os, select, subprocess, sys
dumps = entries = wrong = 0
busy = True
while busy:
    busy = not select.select([9], [], [], 0)[0]
    out = subprocess.run(["ebpfrt", "map", "dump", "name", sys.argv[1], "--json"], capture_output=True, timeout=20)
    if out.returncode:
        print(out.stderr.decode(), file=sys.stderr)
        wrong += 1
        continue
    for e in json.loads(out.stdout or "[]"):
        e = e.get("formatted", e)
        entries += 1
        wrong += len(set(e["value"].values())) != 1
        wrong += e["key"] >= 200
    dumps += 1
print(dumps, entries, wrong)' "$1" 9<&9
}

target_start
attach_start --prog "on_work=uprobe:$bin/target:work" "$target" "$bin/churn.bpf.o"
for map in churn recent; do
	dumped=0 entries=0 wrong=0
	while [ "$dumped" -lt 3 ] && [ "$wrong" = 0 ]; do # the target's work may be faster than they are
		echo "threads 2 $calls" >&8
		answer=$(dumps $map 2>dumps.err)
		set -- $answer
		dumped=$((dumped + ${1:-0})) entries=$((entries + ${2:-0})) wrong=${3:-none}
		read -r answer <&9
	done
	echo "# $map: $dumped dumps, $entries entries"
	[ "$dumped" -ge 3 ] && ok "$map: every dump ends" || not_ok "$map: every dump ends" "$(cat dumps.err)"
	is "$map: no value is torn" "$wrong" 0
done
attach_stop INT
is "detach" "$attach_status" 0

# A reader that does not read: what found no room in the ring is told in the end.
attach_start --no-maps "$target" "$bin/stream.bpf.o"
kill -STOP "$attach_child"
say call 20000
kill -CONT "$attach_child"
attach_stop INT
is "a slow reader ends well" "$attach_status" 0
seen=$(grep -c '^events' attach.out)
lost=$(sed -n 's/.*events: \([0-9]*\) events lost: the ring was full.*/\1/p' attach.err)
is "every event is seen or told to be lost" $((seen + ${lost:-0})) 20000
target_quit
