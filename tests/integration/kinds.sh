#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Processes of other kinds than fork() makes: their calls are counted exactly, and they go on as they would have; or attaching
# is refused, because a break byte would kill one that shares the memory and has handlers of its own.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 42
hello=$samples/hello.bpf.o

kind_start() { # prefix, mode
	rm -f kind.in kind.out
	mkfifo kind.in kind.out
	"$@" <kind.in >kind.out 2>kind.err &
	kind_child=$!
	exec 8>kind.in 9<kind.out
	read -r word target other <&9
}

line() {
	echo "${1:-}" >&8
	read -r answer <&9
}

kind_quit() {
	exec 8>&- 9<&-
	wait "$kind_child"
	kind_status=$?
}

# MODE SUM: thirty calls, ten of them probed
counts() {
	kind_start "$bin/kinds" "$1"
	if [ "$word" != ready ]; then
		kind_quit
		skip 4 "no $1 in this kernel"
		return
	fi
	line
	attach_start --prog "hello=uprobe:kinds:work" "$target" "$hello"
	line
	is "$1: it goes on" "$answer" "sum $2"
	attach_stop INT
	like "$1: exactly" "$(cat attach.err)" "detached, 1 site restored; 10 hits, 0 lost"
	line
	is "$1: and after that" "$answer" "sum $2"
	kind_quit
	is "$1: to its end" "$kind_status" 3
}

# MODE: not while there is the other process
shares() {
	kind_start "$bin/kinds" "$1"
	try ebpfrt attach -d 5 --prog "hello=uprobe:kinds:work" "$target" "$hello"
	is "$1: status" "$status" 1
	like "$1: words" "$err" "^ebpfrt: process $other shares the memory of process $target \(vfork or clone with CLONE_VM\), a \
probe would kill it; attach again once one of them has ended, or start the program with .ebpfrt run.$"
	if [ "$1" != vforking ]; then # which is waited for, and does not end
		try ebpfrt attach -d 5 --prog "hello=uprobe:kinds:work" "$other" "$hello"
		is "$1: nor the other one" "$status" 1
	fi
	line
	is "$1: it goes on" "$answer" "sum 100"
	line e
	attach_start --prog "hello=uprobe:kinds:work" "$target" "$hello"
	line
	attach_stop INT
	like "$1: later" "$(cat attach.err)" "detached, 1 site restored; 10 hits, 0 lost"
	kind_quit
	is "$1: to its end" "$kind_status" 3
}

for mode in vfork clone late mdwe; do
	counts $mode 100
done
counts sleeping 0
shares vm
shares sighand
shares vforking
# who was there before them has none of these worries
for mode in vm sighand vforking; do
	kind_start ebpfrt run -o run.out --prog "hello=uprobe:kinds:work" -P "$hello" -- "$bin/kinds" $mode
	line
	kind_quit
	like "run, $mode: exactly" "$kind_status $answer $(cat kind.err run.out)" "10 hits, 0 lost"
done
# a container that forbids the question finds out all the same
kind_start "$bin/kinds" vm
try env EBPFRT_RUNTIME_DIR="$stage/run/deny" deny kcmp ebpfrt attach -d 5 --prog "hello=uprobe:kinds:work" "$target" "$hello"
like "without kcmp(2): words" "$status $err" "^(1 )?ebpfrt: process $other shares the memory of process $target "
line
kind_quit
is "without kcmp(2): it goes on" "$kind_status $answer" "3 sum 100"
