#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Static executables and another libc: attach works without a loader; run says why it can't.
. "${top_srcdir:-.}/tests/integration/lib.sh"
kinds="static static-pie musl musl-static"
plan 17

for kind in $kinds; do
	target_program=$bin/target-$kind
	if [ ! -x "$target_program" ]; then
		skip 4 "no $kind target was built"
		continue
	fi
	target_start
	say text
	text=$answer
	attach_start --prog "on_work=uprobe:$target_program:work" --prog "on_work_done=uretprobe:$target_program:work" \
		"$target" "$bin/count.bpf.o"
	say call 300
	is "$kind: the target computes" "$answer" "sum 90000"
	is "$kind: entries and returns are counted" "$(map_value counts 0) $(map_value counts 2)" "300 300"
	attach_stop INT
	say text
	is "$kind: every byte is as before" "$answer" "$text"
	target_quit 4
	is "$kind: the target ends well" "$target_status" 4
done
if [ -x "$bin/target-static" ]; then
	try ebpfrt run -P "$bin/count.bpf.o" -- "$bin/target-static"
	like "run: a static program is refused with the remedy" "$err" "statically linked.*ebpfrt attach"
else
	skip 1 "no static target was built"
fi
