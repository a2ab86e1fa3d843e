#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Probes hit by handlers that run under the mask of a waiting system call, and in threads that block all signals: a break trap
# that is blocked would be the target's death.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 14

target_program=$bin/masks
target_start
for how in suspend ppoll pselect epoll threads; do
	say $how 20
	eval "plain_$how=\$answer"
done
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:masks:work --prog on_work_done=uretprobe:masks:work
total=0
for how in suspend ppoll pselect epoll threads; do
	say $how 20
	eval "want=\$plain_$how"
	is "$how: the same result" "$answer" "$want"
	case $how in
	threads) total=$((total + 60)) ;;
	*) total=$((total + 20)) ;;
	esac
	is "$how: all calls were hits" "$(map_value counts 0) $(map_value counts 2)" "$total $total"
done
say mask
is "the mask it sees is its own" "$answer" "mask 200"
attach_stop INT
for how in suspend threads; do
	say $how 20
	eval "want=\$plain_$how"
	is "$how: the same afterwards" "$answer" "$want"
done
target_quit
is "it ends well" "$target_status" 0
