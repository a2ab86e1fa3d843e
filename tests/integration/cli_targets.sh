#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Processes that can't be attached to, or not where one wants: the words, the status, and that they go on as they were.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 47
hello=$samples/hello.bpf.o

odd_start() { # mode
	rm -f odd.in odd.out
	mkfifo odd.in odd.out
	"$bin/odd" "$1" <odd.in >odd.out 2>/dev/null &
	odd_child=$!
	exec 8>odd.in 9<odd.out
	read -r word target <&9
}

odd_quit() {
	exec 8>&- 9<&-
	wait "$odd_child"
	odd_status=$?
}

# a thread blocks SIGTRAP, or SIGSEGV alone, while it waits: what lets SIGUSR1 in isn't libc, which blocks all while a thread begins
waits_blocked() {
	grep -q '^SigBlk:.*[014589cd][13579bdf].$' /proc/$target/task/*/status
}
waits_without_faults() {
	grep -q '^SigBlk:.*[45cd][02468ace].$' /proc/$target/task/*/status
}
waits_on() {
	! waits_blocked
}

# NAME MODE PATTERN PROG-SPEC: attaching fails with these words, and the process goes on
refuses() {
	tries=0
	while
		odd_start "$2"
		[ "$2" != suspend ] || until_true waits_blocked
		[ "$2" != faults ] || until_true waits_without_faults
		try ebpfrt attach -d 5 --prog "hello=$4" "$target" "$hello"
		# let on for a moment it may be stopped right before it waits again, where nothing is in the way
		case "$2 $status" in
		"suspend 0" | "faults 0") [ $tries -lt 20 ] ;;
		*) false ;;
		esac
	do
		tries=$((tries + 1))
		echo >&8
		read -r answer <&9
		odd_quit
	done
	is "$1: status" "$status" 1
	like "$1: words" "$err" "$3"
	echo >&8
	read -r answer <&9
	is "$1: it goes on" "$answer" "sum 100"
	odd_quit
	is "$1: to its end" "$odd_status" 3
}
# a break instruction met with SIGTRAP blocked is death: the agent keeps it open while it is there
odd_start block
attach_start --prog "hello=uprobe:odd:work" "$target" "$hello"
echo >&8
read -r answer <&9
is "blocks SIGTRAP: it goes on" "$answer" "sum 100"
attach_stop INT
like "blocks SIGTRAP: its calls are hits" "$(cat attach.err)" "; [1-9][0-9]* hits, 0 lost"
odd_quit
is "blocks SIGTRAP: to its end" "$odd_status" 3
# one that waits would block it again when it is let go
refuses "a wait with SIGTRAP blocked" suspend "thread [0-9]+ of process [0-9]+ waits with SIGTRAP blocked \(sigsuspend, .*;\
 attach again once that wait is over, or start the program with .ebpfrt run.$" uprobe:odd:work
refuses "a wait with SIGSEGV blocked" faults "thread [0-9]+ of process [0-9]+ waits with SIGSEGV blocked \(sigsuspend, .*;\
 attach again once that wait is over, or start the program with .ebpfrt run.$" uprobe:odd:work
odd_start suspend
until_true waits_blocked
kill -USR1 "$target"
until_true waits_on
attach_start --prog "hello=uprobe:odd:work" "$target" "$hello"
echo >&8
read -r answer <&9
attach_stop INT
like "that is over: its calls are hits" "$(cat attach.err)" "; [1-9][0-9]* hits, 0 lost"
odd_quit
is "that is over: to its end" "$odd_status $answer" "3 sum 100"
refuses "a seccomp filter" seccomp \
	"^ebpfrt: cannot attach to [0-9]+ \(odd\): it has a seccomp filter, .*; start it with 'ebpfrt run'" uprobe:odd:work
refuses "undumpable" undumpable \
	"^ebpfrt: cannot attach to [0-9]+ \(odd\): it has made itself undumpable .*; start it with 'ebpfrt run'" uprobe:odd:work
refuses "under a debugger" traced \
	"^ebpfrt: cannot attach to [0-9]+ \(odd\): process [0-9]+ \(odd\) traces it already; end that" uprobe:odd:work
refuses "a zombie" zombie "^ebpfrt: cannot attach to [0-9]+ \(odd\): it has ended already \(a zombie\)" uprobe:odd:work
refuses "an instruction that can't be probed" plain \
	"^ebpfrt: cannot probe strange in $bin/odd: it is an undefined instruction on purpose" uprobe:odd:strange
like "and where to look" "$err" "^  .ebpfrt check -p PID .*. says which of its probes can be attached"
refuses "an address inside an instruction" plain "^ebpfrt: cannot probe getenv\+0x1 in .*libc.*: not an instruction boundary" \
	uprobe:libc.so.6:getenv+1
refuses "a function that isn't there" plain "no function 'wrok' in $bin/odd \(did you mean work" uprobe:odd:wrok

# what is no process of ours
if [ -s "$bin/odd32" ] && "$bin/odd32" & then
	pid=$!
	until_true grep -q odd32 "/proc/$pid/comm"
	try ebpfrt attach -d 5 "$pid" "$hello"
	like "a 32-bit program" "$status $err" "^1 ebpfrt: cannot attach to $pid \(odd32\): it is a 32-bit program"
	kill "$pid"
	try ebpfrt run -P "$hello" -- "$bin/odd32"
	like "nor under run" "$status $err" "^125 ebpfrt: .*odd32 is a 32-bit program; ebpfrt probes 64-bit ones"
else
	skip 2 "no 32-bit programs here"
fi
if grep -q '^Kthread:.*1' /proc/2/status 2>/dev/null || [ "$(cat /proc/2/comm 2>/dev/null)" = kthreadd ]; then
	try ebpfrt attach 2 "$hello"
	like "a thread of the kernel" "$status $err" "^1 ebpfrt: cannot attach to 2 \(kthreadd\): it is a thread of the kernel"
else
	skip 1 "no kernel threads here"
fi

# processes that go while we come: a sentence or success, never anything else. On a busy machine the shell's child is
# met before it has become `sleep`: that it executes a program meanwhile is one of the answers
trouble=
gone='no such process|has ended|process .* (ended|does not exist any more)'
gone="$gone|has started another program \(exec\); attach to it again"
for ms in 0 0.001 0.002 0.005 0.01 0.02; do
	sleep $ms &
	try timeout 20 ebpfrt attach -q "$!" "$hello"
	case $status in
	0) ;;
	1) printf '%s\n' "$err" | grep -qE "^ebpfrt: .*($gone)" || trouble="$trouble $status $err" ;;
	*) trouble="$trouble $status $err" ;;
	esac
done
is "processes that end meanwhile" "$trouble" ""
try ebpfrt ps --json
is "nothing is left of any of them" "$out" "[]"
