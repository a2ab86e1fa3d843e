#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Sessions that others end, lines that nobody had room for, and objects that are no good.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 13

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
# lines come in order: when one of a later call is printed, all before it are
calls=30000
later_line() {
	say call 1
	calls=$((calls + 1))
	[ "$(grep -c 'bpf_trace_printk: work(0)' attach.out)" -ge 2 ]
}
until_true later_line
attach_stop INT
lines=$(grep -c 'bpf_trace_printk: work(' attach.out)
lost=$(sed -n 's/.* hits, \([0-9]*\) lost.*/\1/p' attach.err)
like "lines are lost" "$lost" "^[1-9][0-9]*\$"
is "what was not printed was counted" "$((lines + lost))" "$calls"
is "the target is as it was" "$(text)" "$clean"

# objects that are no good: whatever libbpf does with them, there is a sentence, and nobody is touched
python3 "$stage/integration/mutate.py" 500 7 "$target" "$bin/count.bpf.o" >mutate.out 2>&1
like "500 mutations of an object: refused with a sentence, or good" "$(tail -n 1 mutate.out)" "^500 done, 0 without words"
sed 's/^/# /' mutate.out | tail -n 5
is "the target has not been touched" "$(text)" "$clean"
try ebpfrt check -p "$target" "$bin/lines.bpf.o" --prog on_work=uprobe.session/target:work
like "uprobe.session is refused with what to do" "$status $err" "^1 ebpfrt: .*neither libbpf 1.1.2 nor ebpfrt has that"
target_quit
is "it ends well" "$target_status" 0
