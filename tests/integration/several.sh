#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Several processes at once, of which some end before they are reached: they are named, and the others are attached to.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 12
hello=$samples/hello.bpf.o

sleeper() {
	sleep 600 &
	until_true grep -q sleep "/proc/$!/comm"
}
daemon_pid() {
	ebpfrt doctor | sed -n 's/.*ebpfrtd [0-9.]*, pid \([0-9]*\),.*/\1/p'
}
# it has looked at its processes, and has begun to talk to the daemon, which does not answer
has_called() {
	find "/proc/$client/fd/" -lname 'socket:*' 2>/dev/null | grep -q .
}
end_of() { # pid of a child
	kill -KILL "$1"
	wait "$1" 2>/dev/null
}
# PIDS ENDING...: attach to them all, the latter end meanwhile
attach_ending() {
	all=$1
	shift
	kill -STOP "$daemon"
	ebpfrt attach -d 100ms --prog 'hello=uprobe:libc.so.6:getenv' "$hello" $all >try.out 2>try.err &
	client=$!
	until_true has_called || not_ok "the client comes to the daemon" "$(cat try.err)"
	for p in "$@"; do
		end_of "$p"
	done
	kill -CONT "$daemon"
	wait "$client"
	status=$?
	err=$(cat try.err)
}

sleeper
stays=$!
EBPFRT_IDLE=60
export EBPFRT_IDLE
try ebpfrt attach -d 1ms --prog 'hello=uprobe:libc.so.6:getenv' "$hello" "$stays"
is "one process" "$status" 0
daemon=$(daemon_pid)

sleeper
ends=$!
attach_ending "$stays $ends" "$ends"
is "one of two ends: status" "$status" 0
like "it is named" "$err" "^ebpfrt: warning: cannot attach to $ends: no such process"
like "the other is traced" "$err" "^Tracing 1 probe in 1 process"

sleeper
ends=$!
sleeper
attach_ending "$ends $stays $!" "$ends" "$!"
is "two of three" "$status" 0
like "both are named" "$(printf '%s\n' "$err" | grep -c '^ebpfrt: warning: ')" 2

sleeper
ends=$!
sleeper
last=$!
attach_ending "$ends $last" "$ends" "$last"
is "all of them: status" "$status" 1
like "the last one, too, is named" "$err" "^ebpfrt: cannot attach to $last: no such process"
unlike "and nothing is traced" "$err" "^Tracing"

# in the middle of it all: whenever they end, the others are traced
rm -f brood.in brood.out
mkfifo brood.in brood.out
python3 -c '
import os, sys, time
pids = []
for i in range(12):
    pids.append(os.fork())
    if not pids[-1]:
        time.sleep(0.15 + i * 0.07)
        os._exit(0)
print(*pids, flush=True)
sys.stdin.readline()' <brood.in >brood.out &
parent=$!
exec 8>brood.in 9<brood.out
read -r pids <&9
try ebpfrt attach -d 100ms --prog 'on_call=uprobe.multi:libc.so.6:*' --missing=ignore "$parent" $pids "$bin/many.bpf.o"
is "those that end one after the other: status" "$status" 0
like "the one that stays is traced" "$err" "^Tracing [0-9]+ probes in [0-9]+ process"
exec 8>&-
wait "$parent"
is "and ends well" "$?" 0
end_of "$stays"
kill "$daemon"
