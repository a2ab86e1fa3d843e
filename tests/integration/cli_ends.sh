#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Sessions that others end, lines that nobody had room for, and objects that are no good.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 17

text() {
	python3 "$stage/integration/text_hash.py" "$target"
}

target_start
clean=$(text)
on_work="--prog on_work=uprobe::work --prog on_work_done=uretprobe::work"

# somebody takes everything away
attach_start "$target" "$bin/count.bpf.o" $on_work
say call 3
ebpfrt -q detach --all
wait "$attach_child"
is "detach --all ends the session" "$?" 0
like "with a sentence" "$(cat attach.err)" "^ebpfrt: no process is traced any more: another client detached it"
like "and with its maps" "$(cat attach.out)" "^@counts\[0\]: 3\$"

# somebody takes the links away, one after the other
attach_start "$target" "$bin/count.bpf.o" $on_work
for id in $(ebpfrt link show -p "$target" --json | python3 -c 'import json,sys
for l in json.load(sys.stdin): print(l["id"])' | sort -u); do
	ebpfrt -q link detach id "$id"
done
wait "$attach_child"
is "so does detaching its links" "$?" 0
like "each one is told" "$(grep -c 'another client detached on_work' attach.err)" "^2\$"
like "and the last" "$(cat attach.err)" "^ebpfrt: no probe is left"

# a daemon that stands still: the ring of the lines is full before they all are in it
attach_start "$target" "$bin/lines.bpf.o"
daemon=$(cat "$EBPFRT_RUNTIME_DIR/pid")
kill -STOP "$daemon"
say call 30000
kill -CONT "$daemon"
attach_stop INT
lines=$(grep -c 'bpf_trace_printk: work(' attach.out)
lost=$(sed -n 's/.* hits, \([0-9]*\) lost.*/\1/p' attach.err)
like "lines are lost" "$lost" "^[1-9][0-9]*\$"
is "what was not printed was counted" "$((lines + lost))" 30000
is "the target is as it was" "$(text)" "$clean"

# a thread that is stopped while it writes an event: nothing behind it can be read
attach_start "$target" "$bin/hold.bpf.o"
echo "call 1" >&8
inside() {
	grep -q 'bpf_trace_printk: inside' attach.out
}
until_true inside
kill -STOP "$target"
attach_stop INT
like "an event that isn't complete is counted" "$(cat attach.err)" "^ebpfrt: warning: events: 1 event was left: a thread was stopped while it wrote"
like "as lost" "$(cat attach.err)" " hits?, 1 lost"
kill -CONT "$target"
read -r answer <&9
like "the target goes on" "$answer" "^sum "
is "as it was" "$(text)" "$clean"

# objects that are no good: whatever libbpf does with them, there is a sentence, and nobody is touched
python3 "$stage/integration/mutate.py" 500 7 "$target" "$bin/count.bpf.o" >mutate.out 2>&1
like "500 mutations of an object: refused with a sentence, or good" "$(tail -n 1 mutate.out)" "^500 done, 0 without words"
sed 's/^/# /' mutate.out | tail -n 5
is "the target has not been touched" "$(text)" "$clean"
try ebpfrt check -p "$target" "$bin/lines.bpf.o" --prog on_work=uprobe.session/target:work
like "as a session, which libbpf 1.1 doesn't know" "$status $out" "^0 on_work +uprobe.session +.*target:work"
target_quit
is "it ends well" "$target_status" 0
