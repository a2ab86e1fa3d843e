#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Attach to and detach from a process that loads, allocates, forks and starts threads all the time, each at any moment.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 4

"$bin/loader" "$bin/later.so" later >loader.out 2>loader.err &
loader=$!
until_true grep -q ready loader.out
good=0
for i in 1 2 3 4 5 6 7 8; do
	for o in "--prog on_later=uprobe:$bin/later.so:later $loader $bin/later.bpf.o" "$loader $samples/malloc.bpf.o"; do
		# shellcheck disable=SC2086
		try ebpfrt attach -q -d 0.1 $o
		[ "$status" = 0 ] && good=$((good + 1)) || echo "# $o: $status: $err"
	done
done
is "attached and detached, every time" "$good" 16
hits() {
	ebpfrt map dump name later_calls --json | grep -q '"value": *[1-9]'
}
attach_start --prog "on_later=uprobe:$bin/later.so:later" "$loader" "$bin/later.bpf.o"
until_true hits && ok "calls of the library that comes and goes are counted" || not_ok "calls of the library are counted"
attach_stop INT
is "detach" "$attach_status" 0
kill -USR1 $loader
wait $loader
is "the process ends well" "$? $(cat loader.err)" "0 "
