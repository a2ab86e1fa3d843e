#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A target whose threads come and go, spawn, fork, vfork and abort all the time, probed on the C library's busiest functions,
# attached and detached meanwhile: it notices nothing, its text is as before, and what can be counted exactly is.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 12
rounds=${STORM_ROUNDS:-6}
target_program=$bin/storm

text_now() {
	python3 "$stage/integration/text_hash.py" "$target"
}

target_start
text=$(text_now)
bad=
i=0
while [ $i -lt "$rounds" ]; do
	try ebpfrt attach --no-maps -d 0.1 -p "$target" "$bin/hot.bpf.o"
	[ "$status" = 0 ] || bad="${bad}[$i: status $status: $err]"
	i=$((i + 1))
done
is "attached and detached in the storm, over and over" "$bad" ""
is "every byte is as before" "$(text_now)" "$text"
attach_start -p "$target" "$bin/hot.bpf.o"
before=$(map_value hot_calls 0)
say rounds
want=$((${answer#rounds } + 20))
enough() {
	say rounds
	[ "${answer#rounds }" -ge $want ]
}
until_true enough && ok "it goes on under the probes" || not_ok "it goes on under the probes" "$answer"
after=$(map_value hot_calls 0)
[ "$after" -gt "$before" ] && ok "which count" || not_ok "which count" "$before, $after"
attach_stop INT
is "detach" "$attach_status" 0
is "every byte is as before" "$(text_now)" "$text"

attach_start -p "$target" "$bin/hot.bpf.o"
daemon=$(sed -n 1p "$stage/run/ebpfrt/pid")
kill -KILL "$daemon"
wait "$attach_child"
want=$((want + 60))
until_true enough && ok "it outlives the daemon" || not_ok "it outlives the daemon" "$answer"
try ebpfrt attach --no-maps -d 0.1 -p "$target" "$bin/hot.bpf.o"
is "the next daemon attaches to it" "$status" 0
is "and leaves every byte as before" "$(text_now)" "$text"
say stop
like "nothing went wrong in the target" "$answer" "^rounds [0-9]+ work [0-9]+$"
target_quit

target_start ebpfrt run -q -o run.out -P "$bin/count.bpf.o" \
	--prog "on_work=uprobe:$bin/storm:work" --prog "on_work_done=uretprobe:$bin/storm:work" --
i=0
while [ $i -lt 2 ]; do
	try ebpfrt attach --no-maps -d 0.1 -p "$target" "$bin/hot.bpf.o"
	i=$((i + 1))
done
say stop
like "started by run: nothing went wrong" "$answer" "^rounds [0-9]+ work [0-9]+$"
is "every call was counted, of threads and children" "$(map_value counts 0)" "${answer##* }"
target_quit
