#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A program executed by a system call that nothing of ours is at, in code that the target makes: the daemon finds it out, it is
# named and counted, and runs as if nobody had been there.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 10
probes="--prog on_work=uprobe:unseen:work --prog on_work_done=uretprobe:unseen:work"
said="^ebpfrt: warning: process [0-9]+ has executed $bin/target, which is not probed: by a system call of its own, where nothing of ours is$"

target_program=$bin/unseen
target_start
# shellcheck disable=SC2086
attach_start "$target" "$bin/count.bpf.o" $probes
say call
is "attach: a hit and its return" "$answer $(map_value counts 0) $(map_value counts 2)" "worked 7 1 1"
say exec "$bin/target" A=B
wait "$attach_child"
like "attach: it is named" "$(cat attach.err)" "$said"
like "attach: nothing is probed there" "$(cat attach.err)" "process $target has started another program \(exec\), where nothing is probed; attach to it"
like "attach: it is counted" "$(cat attach.err)" "^ebpfrt: 1 executed program was not probed"
say call 3
is "attach: it is another program" "$answer" "sum 9"
target_quit
is "attach: and ends well" "$target_status" 0

# its agent was preloaded: for another program it could be, too
rm -f target.in target.out
mkfifo target.in target.out
# shellcheck disable=SC2086
ebpfrt run -P "$bin/count.bpf.o" $probes -- "$bin/unseen" <target.in >target.out 2>run.err &
runs=$!
exec 8>target.in 9<target.out
read -r answer <&9
say call
say exec "$bin/target" A=B
until_true grep -q 'has executed' run.err
like "run: it is named" "$(cat run.err)" "$said"
say call 3
is "run: it is another program" "$answer" "sum 9"
echo "quit 0" >&8
exec 8>&- 9<&-
wait "$runs"
is "run: and its status is the command's" "$?" 0
like "run: it is counted" "$(cat run.err)" "^ebpfrt: 1 executed program was not probed"
