#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Processes are killed while they add, replace and delete keys of maps that they share: a dump ends and shows no value that
# never was, the others go on. KILLS (20) says how many.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 6
kills=${KILLS:-20}
crowd=10

# "entries wrong"
look() {
	timeout 20 ebpfrt map dump name "$1" --json | python3 -c '
import json, sys
entries = [e.get("formatted", e) for e in json.loads(sys.stdin.read() or "[]")]
print(len(entries), sum(len(set(e["value"].values())) != 1 or e["key"] >= 200 for e in entries))'
}

target_program=$bin/brood
target_start
attach_start -p "$target" --prog "on_work=uprobe:$bin/brood:work" "$bin/churn.bpf.o"
killed=0
wrong=
while [ "$killed" -lt "$kills" ]; do
	say keep $crowd
	children=${answer#kept }
	echo "wake 100000000" >&8
	at_work() { # every one of them has computed for a moment
		for child in $children; do
			[ "$(cut -d' ' -f14 "/proc/$child/stat")" -gt 0 ] || return 1
		done
	}
	until_true at_work || wrong="${wrong}[$killed: not all of them work]"
	kill -KILL $children
	read -r answer <&9
	killed=$((killed + crowd))
	for map in churn recent; do
		out=$(look $map)
		[ "${out#* }" = 0 ] || wrong="${wrong}[$killed: $map: ${out:-no dump}]"
	done
done
echo "# $killed killed"
is "maps are whole after each round" "$wrong" ""
say call 1000
is "their parent goes on" "$answer" "calls 1000"
out=$(look churn)
[ "${out% *}" -gt 0 ] && ok "and adds to the map" || not_ok "and adds to the map" "$out"
attach_stop INT
is "detach" "$attach_status" 0
target_quit
is "it ends well" "$target_status" 0
attach_start -p $$ --prog "on_work=uprobe:$bin/brood:work" "$bin/churn.bpf.o"
attach_stop INT
is "the daemon is well" "$attach_status" 0
