#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Two clients at one target and one function: each counts exactly, each comes and goes without the other's noticing. What the
# target looks like meanwhile: its code is never writable, and it hardly grows.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 19

count() { # map id, slot
	ebpfrt map dump id "$1" --json | python3 -c '
import json, sys
print(*[e["value"] for e in (e.get("formatted", e) for e in json.load(sys.stdin)) if e["key"] == int(sys.argv[1])])' "$2"
}
ids() { # noun, name
	ebpfrt "$1" list --json | python3 -c '
import json, sys
print(*sorted(e["id"] for e in json.load(sys.stdin) if e.get("name") == sys.argv[1]))' "$2"
}
links() {
	ebpfrt link list --json | python3 -c '
import json, sys
print(*sorted(e["id"] for e in json.load(sys.stdin)))'
}
writable_code() {
	grep -E '^[^ ]+ .w.x' "/proc/$target/maps"
}
own_memory() { # kB that nobody else has; how much of a shared file is mapped is the kernel's affair
	awk '/^Private_/ {kb += $2} END {print kb}' "/proc/$target/smaps_rollup"
}

target_start
say text
text=$answer
say call 10
before=$(own_memory)
code=$(grep " r-xp .*/target$" "/proc/$target/maps")

attach_start "$target" "$bin/count.bpf.o"
a=$attach_child
cp attach.out a.out
map_a=$(ids map counts)
say call 1000
say threads 4 500
is "one client: every entry" "$(count "$map_a" 0)" 3000
after=$(own_memory)
if [ $((after - before)) -lt 2048 ]; then
	ok "the target has grown by less than 2 MB ($((after - before)) kB)"
else
	not_ok "the target has grown by less than 2 MB" "$before kB, then $after kB"
fi
is "its code is where and what it was" "$(grep " r-xp .*/target$" "/proc/$target/maps")" "$code"
is "nothing is both writable and executable" "$(writable_code)" ""

attach_start "$target" "$bin/count.bpf.o"
b=$attach_child
for map_b in $(ids map counts); do [ "$map_b" = "$map_a" ] || break; done
say call 1000
say threads 4 500
is "two clients: the first one's entries" "$(count "$map_a" 0)" 6000
is "the second one's" "$(count "$map_b" 0)" 3000
is "and their returns" "$(count "$map_a" 2) $(count "$map_b" 2)" "6000 3000"
is "four links" "$(links | wc -w)" 4

kill -KILL $a
wait $a 2>/dev/null
two_left() {
	[ "$(links | wc -w)" = 2 ]
}
until_true two_left && ok "the first client is killed" || not_ok "the first client is killed" "$(links)"
say call 1000
is "the second counts on" "$(count "$map_b" 0) $(count "$map_b" 2)" "4000 4000"

try ebpfrt detach --link "$(links | cut -d" " -f1)"
is "detach --link" "$status" 0
say call 100
left=$(count "$map_b" 0)/$(count "$map_b" 2)
case $left in
4000/4100 | 4100/4000) ok "takes one probe, the other stays" ;;
*) not_ok "takes one probe, the other stays" "$left" "$(ebpfrt link list)" ;;
esac
is "the target computes" "$answer" "sum 10000"
try ebpfrt detach --link 4000000
is "detach --link of none" "$status" 1
like "says so" "$err" "^ebpfrt: .*4000000"
try ebpfrt detach "$target"
is "detach PID" "$status" 0
say text
is "every byte is as before" "$answer" "$text"
kill -INT $b 2>/dev/null
wait $b
is "the second client ends well" "$?" 0
target_quit 6
is "so does the target" "$target_status" 6
