#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Many children at once: each is counted, or counted as missed.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 13
target_program=$bin/brood

target_start ebpfrt run -q -o run.out -P "$bin/count.bpf.o" --prog "on_work=uprobe:$bin/brood:work" \
	--prog "on_work_done=uretprobe:$bin/brood:work" --
missed() {
	ebpfrt link list --json | python3 -c '
import json, sys
print(sum(t["missed"] for l in json.load(sys.stdin) if not l["retprobe"] for t in l["targets"] + [l.get("past", {"missed": 0})]))'
}
say crowd 200 7
is "the children do their work" "$answer" "calls 1400"
is "every call of every child was counted, or counted as missed" $(($(map_value counts 0) + $(missed))) 1400
say keep 200
say wake 7
is "all of them come at once" "$answer" "calls 1400"
counted=$(map_value counts 0) lost=$(missed)
is "and are counted" $((counted + lost)) 2800
echo "# missed: $lost"
# A daemon that does not answer in time: what is not counted is counted as missed, and the next child is counted again.
daemon=$(sed -n 1p "$stage/run/ebpfrt/pid" 2>/dev/null || pgrep -u "$(id -u)" -f "^$stage/ebpfrtd")
kill -STOP "$daemon"
say crowd 1 7
is "a child does not wait for ever" "$answer" "calls 7"
kill -CONT "$daemon"
is "its calls are counted as missed" "$(map_value counts 0) $(missed)" "$counted $((lost + 7))"
say crowd 1 7
is "the next one is counted" "$(map_value counts 0)" $((counted + 7))
target_quit

# Children that never hit a probe keep the bytes they inherited until the detachment, not longer.
text_of() {
	python3 "$stage/integration/text_hash.py" "$1" 2>/dev/null
}
texts() {
	for child in $1; do
		text_of "$child"
	done | sort -u
}
target_start
text=$(text_of "$target")
attach_start -p "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$bin/brood:work" --prog "on_work_done=uretprobe:$bin/brood:work"
say keep 20
children=${answer#kept }
[ "$(texts "$children")" != "$text" ] && ok "children inherit the break bytes" || not_ok "children inherit the break bytes"
attach_stop INT
is "detach" "$attach_status" 0
is "every byte is as before in all of them" "$(texts "$target $children")" "$text"
say wake 3
is "and they do their work" "$answer" "calls 60"

attach_start -p "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$bin/brood:work" --prog "on_work_done=uretprobe:$bin/brood:work"
say keep 3
children=${answer#kept }
kill -KILL "$target"
wait "$target_child"
wait "$attach_child"
is "a target that ends ends the attachment" "$?" 0
is "and the children it leaves behind are as before" "$(texts "$children")" "$text"
for child in $children; do
	kill -KILL "$child"
done
exec 8>&- 9<&-
