#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Processes are killed while they add, replace and delete keys of maps that they share: a dump ends and shows no value that
# never was, the others go on. KILLS (20) says how many.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 6
kills=${KILLS:-20}
crowd=10

# of each map: "NAME entries wrong"
look() {
	for map in churn recent; do
		timeout 60 ebpfrt map dump name $map --json >"dump.$map" 2>"dump.$map.err" || echo "no dump: $(cat "dump.$map.err")"
	done
	python3 -c '
import json
for name in "churn", "recent":
    entries = [e.get("formatted", e) for e in json.loads(open("dump." + name).read() or "[]")]
    print(name, len(entries), sum(len(set(e["value"].values())) != 1 or e["key"] >= 200 for e in entries))'
}

target_program=$bin/brood
target_start
attach_start -p "$target" --prog "on_work=uprobe:$bin/brood:work" "$bin/churn.bpf.o"
killed=0
wrong=
begun=$(date +%s)
while [ "$killed" -lt "$kills" ]; do
	say keep $crowd
	children=${answer#kept }
	say drive
	[ "$answer" = "driven $crowd" ] || wrong="${wrong}[$killed: $answer]"
	# shellcheck disable=SC2086
	kill -KILL $children
	read -r answer <&9
	[ "$answer" = "ended $crowd" ] || wrong="${wrong}[$killed: $answer]"
	killed=$((killed + crowd))
	look >looked
	! grep -qv '^[a-z]* [0-9]* 0$' looked || wrong="${wrong}[$killed: $(cat looked)]"
done
echo "# $killed killed in $(($(date +%s) - begun)) seconds"
is "maps are whole after each round" "$wrong" ""
say call 1000
is "their parent goes on" "$answer" "calls 1000"
like "and adds to the map" "$(look)" "^churn [1-9]"
attach_stop INT
is "detach" "$attach_status" 0
target_quit
is "it ends well" "$target_status" 0
attach_start -p $$ --prog "on_work=uprobe:$bin/brood:work" "$bin/churn.bpf.o"
attach_stop INT
is "the daemon is well" "$attach_status" 0
