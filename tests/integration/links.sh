#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs come to one function and leave it, a thousand times, two clients at once: each call is counted by those that are there.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 5

rounds=1000
target_start
say text
text=$answer
# 2172: what the schedule of links.c comes to
offset=$(ebpfrt list --json "$bin/target:work" | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["offset"])')
attach_start "$target" "$bin/count.bpf.o"
ebpfrt exec -p "$target" -- "$bin/links" "$bin/many.bpf.o" "$target" "$bin/target" "$offset" $rounds <&9 >&8 2>links.err
is "a thousand times attached or detached beside another client: every count is right" "$? $(cat links.err)" "0 counted 0 2172"
calls=$((rounds / 4 * (0 + 1 + 2 + 3)))
is "and the other's" "$(map_value counts 0) $(map_value counts 2)" "$calls $calls"
attach_stop INT
say text
is "every byte is back" "$answer" "$text"
say call 5
is "the target goes on" "$answer" "sum 25"
target_quit
is "and ends well" "$target_status" 0
