#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Hits that the agent knows nothing of: by threads, in children, while programs come, go and are replaced, each is counted once, by
# the program and by us; and it leaves nothing.
EBPFRT_PROBE=auto
export EBPFRT_PROBE
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 26

probes="--prog on_work=uprobe:target:work --prog on_work_done=uprobe:target:main"
text_now() {
	python3 "$stage/integration/text_hash.py" "$target"
}
stands() {
	python3 "$stage/integration/rungs.py" "$target"
}
hits() { # of the links
	ebpfrt link list --json >links.json
	python3 -c '
import json, sys
print(*(sum(t[k] for l in json.load(open("links.json")) for t in l["targets"]) for k in ("hits", "missed", "aborted")))'
}
counted() { # by the client that has just ended
	sed -n 's/^@counts\[0\]: //p' attach.out
}

target_start
text=$(text_now)
# shellcheck disable=SC2086
attach_start "$target" "$bin/leaf.bpf.o" $probes
like "its stub calls a leaf" "$(stands)" " [12] leaves$"
like "and that is said" "$(ebpfrt link show -v)" "^		0x[0-9a-f]+  jump \((long|pun|over)\), a leaf$"
like "with --json, too" "$(ebpfrt link show -v --json)" '"leaf":true'
say call 1000
is "calls: the program's count, and ours" "$(map_value counts 0) $(hits)" "1000 1000 0 0"
say threads 16 20000
is "threads: the same" "$(map_value counts 0) $(hits)" "321000 321000 0 0"
# more than have a lane of their own
say threads 200 100
is "200 threads: the same" "$(map_value counts 0) $(hits)" "341000 341000 0 0"
say fork 500
is "a child, which has its own: the same" "$answer $(map_value counts 0) $(hits)" "child 7 250000 341500 341000 0 0"
attach_stop INT
like "what it says at the end" "$(cat attach.err)" "detached, 2 sites restored; 341500 hits, 0 lost"
is "every byte is as before" "$(text_now)" "$text"

# a return as well: the agent's
attach_start "$target" "$bin/leaf.bpf.o"
like "with a return: no leaf" "$(stands)" "1 jumps .* 0 leaves$"
like "with a return: that is said" "$(ebpfrt link show -v --json)" '"leaf":false'
say threads 4 1000
is "with a return: each of both" "$(map_value counts 0) $(map_value counts 2) $(hits)" "4000 4000 8000 0 0"
attach_stop INT

# what runs there is another program again and again, while it runs
mkfifo client.in client.out
ebpfrt exec -- "$bin/leaves" "$bin/leaf.bpf.o" "$target" work 60 <client.in >client.out 2>client.err &
client=$!
exec 6>client.in 7<client.out
read -r line <&7
is "a client attaches" "$line" ready
echo "threads 4 30000000" >&8
read -r line <&7
is "it replaces, adds and takes away programs" "$line" "done"
read -r answer <&9
echo go >&6
read -r line <&7
total=0
for n in ${line#counts}; do total=$((total + n)); done
is "each call was counted by one of them" "$total" 120000000
exec 6>&- 7<&-
wait $client
is "the client ends well" "$?" 0
is "replaced: every byte is as before" "$(text_now)" "$text"

# attached and taken away, while it runs
echo "threads 4 200000000" >&8
i=0
bad=
while [ $i -lt 6 ]; do
	# shellcheck disable=SC2086
	ebpfrt attach -d 5ms "$target" "$bin/leaf.bpf.o" $probes >attach.out 2>attach.err || bad="$bad $i: $(cat attach.err)"
	n=$(sed -n 's/.*; \([0-9]*\) hits, 0 lost/\1/p' attach.err)
	[ "$(counted)" = "$n" ] || [ "$n$(counted)" = 0 ] || bad="$bad $i: $(counted) of $n"
	i=$((i + 1))
done
is "again and again: the program has counted what we have" "$bad" ""
out=$(ebpfrt exec -- "$bin/cycles" "$bin/leaf.bpf.o" "$target" work 100 2>&1)
is "a client, 100 times" "$out" "cycles 100"
read -r answer <&9
is "the target's results are right" "$answer" "sum $((4 * 200000000 * 200000000))"
is "detached: every byte is as before" "$(text_now)" "$text"
target_quit
is "it ends well" "$target_status" 0

# processes and threads of every kind, those among them that share their thread pointer
target_program=$bin/clones
target_start
attach_start "$target" "$bin/leaf.bpf.o" --prog on_work=uprobe:clones:work --prog on_work_done=uprobe:clones:main
like "clones: its stub calls a leaf" "$(stands)" " [12] leaves$"
say storm 4 40
like "clones: they end as they should" "$answer" "^made [0-9]+ bad 0 counts "
called=${answer#* counts }
is "clones: the program's count" "$(map_value counts 0)" "${called%% *}"
attach_stop INT
like "clones: and ours" "$(cat attach.err)" "; ${called%% *} hits, 0 lost"
target_quit
