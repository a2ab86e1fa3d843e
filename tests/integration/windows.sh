#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Probes on hundreds of the C library's functions at once, in the windows where it blocks all signals or shares memory with a
# child: starts and ends of threads, posix_spawn, system, popen, timers with threads, cancellation, abort. The same results.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 13

target_program=$bin/windows
target_start
say go 10
want=$answer
like "unprobed" "$want" "^fired 10 sum "
text=$(python3 "$stage/integration/text_hash.py" "$target")
attach_start -p "$target" "$bin/windows.bpf.o"
say go 10
is "the same result" "$answer" "$want"
# a timer makes a thread each time it expires (the one that waits for that is there since the first run)
is "threads created" "$(map_value calls 0)" 30
i=1
for what in system popen cancel timer exit; do
	is "$what: calls" "$(map_value calls $i)" 10
	i=$((i + 1))
done
is "posix_spawn: calls, of system and popen, too" "$(map_value calls 6)" 30
[ "$(map_value calls 7)" -gt 100 ] && ok "many others" || not_ok "many others" "$(map_value calls 7)"
attach_stop INT
is "every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
say go 10
is "the same afterwards" "$answer" "$want"
target_quit
is "it ends well" "$target_status" 0
