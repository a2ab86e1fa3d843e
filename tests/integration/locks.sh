#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Locks in map values: kept by programs of several processes and by readers, whatever happens to who holds one.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 34

# numbered from 1 by the program itself; ours follow
ebpfrt exec -- "$bin/locks" "$bin/locks.bpf.o" >locks.out
grep -v '^1\.\.' locks.out
tests=$(grep -c '^\(not \)\?ok ' locks.out)
[ "$tests" -gt 0 ] || not_ok "the program says something" "$(cat locks.out)"

target_start
rm -f second.in second.out
mkfifo second.in second.out
"$bin/target" <second.in >second.out 2>/dev/null &
second_child=$!
exec 5>second.in 7<second.out
read -r word second <&7

attach_start -p "$target" -p "$second" --no-maps "$bin/locks.bpf.o" --prog on_work=uprobe/target:work
sed 's/^/# /' attach.err
say call 1
rm -f watch.in
mkfifo watch.in
ebpfrt exec -- "$bin/locks" watch <watch.in >watch.out 2>watch.err &
watcher=$!
exec 4>watch.in
until_true grep -q ready watch.out || echo "# the reader is not ready: $(cat watch.err)"
echo "threads 4 20000" >&8
echo "threads 4 20000" >&5
read -r answer <&9
read -r answer <&7
exec 4>&-
wait "$watcher"
is "the reader ends well" "$? $(cat watch.err)" "0 "
read -r word reads word torn word busy <<EOF
$(tail -n 1 watch.out)
EOF
echo "# $reads reads, $busy busy"
like "it has read" "${reads:-0}" "^[1-9]"
is "and seen no half of a change" "${torn:-none}" 0

sums() { # map
	ebpfrt map dump name "$1" --json | python3 -c '
import json, sys
for e in json.load(sys.stdin):
    v = e.get("formatted", e)["value"]
    print(v["a"], v["b"])'
}
hits() { # -p PID, or of all
	ebpfrt link show "$@" --json | python3 -c '
import json, sys
rows = [t for l in json.load(sys.stdin) for t in l["targets"]]
print(sum(r["hits"] for r in rows), sum(r["missed"] + r["aborted"] for r in rows))'
}
hits >hits.out
read -r calls cut <hits.out
echo "# $calls hits, $cut missed or cut short"
# a call takes the lock of a pair, then that of the table
is "every call has counted, or was cut short" "$(sums table)" "$((160001 - cut)) $((160001 - cut))"
is "every call was a hit" "$calls" 160001

# whoever is stopped, perhaps with a lock: the others go on, with or without it
echo "threads 4 2000000" >&5
busy() {
	hits >hits.out
	read -r now rest <hits.out
	[ "$now" -gt $((calls + 100)) ]
}
until_true busy
kill -STOP "$second"
say call 5
like "others go on while one is stopped" "$answer" "^sum "
kill -CONT "$second"

# killed, perhaps with a lock: it keeps none
until_true busy
kill -KILL "$second"
wait "$second_child" 2>/dev/null
hits -p "$target" >hits.out
sums table >sums.out
read -r calls cut <hits.out
read -r a b <sums.out
like "a change is half made at most once" $((a - b)) "^[01]\$"
say threads 4 1000
hits -p "$target" >hits.out
sums table >sums.out
read -r calls cut_then <hits.out
read -r a_then b <sums.out
is "after one was killed" $((a_then - a + cut_then - cut)) 4000
attach_stop INT
is "the session ends well" "$attach_status" 0
exec 5>&- 7<&-
target_quit
is "and the target" "$target_status" 0
