#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Targets that shut themselves in while they are probed: nothing may become executable, nobody may look, no descriptor may be
# opened, hardly a system call may be made. They go on, and so do their children; their calls are counted, or counted as missed;
# their text is restored, or it is said that it can't be.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 80
target_program=$bin/walls
probes="--prog on_work=uprobe:$bin/walls:work --prog on_work_done=uretprobe:$bin/walls:work"

counted() {
	echo "$(map_value counts 0) $(map_value counts 2)"
}
missed() {
	ebpfrt link list --json | python3 -c '
import json, sys
print(sum(t["missed"] for l in json.load(sys.stdin) for t in l["targets"]))'
}

# up it goes, and what was hit is counted; the child of one that may not ask is not, and that is
shut_in() { # how, wall, what becomes of a child: counted, missed, none can be made
	say wall "$2"
	[ "$answer" = "wall $2" ] || return 1
	say call 10
	is "$1, $2: it goes on, and is counted" "$answer, $(counted)" "sum 100, 10 10"
	[ "$3" != none ] || return 0
	say fork 10
	case $3 in
	counted) want="20 20 0" ;;
	missed) want="10 10 20" ;;
	esac
	is "$1, $2: a child goes on, its calls are $3" "$answer, $(counted) $(missed)" "child 100, $want"
}

while read -r wall child left; do
	target_start
	say text
	text=$answer
	# shellcheck disable=SC2086
	attach_start "$target" "$bin/count.bpf.o" $probes
	if ! shut_in attach "$wall" "$child"; then
		target_quit
		skip 5 "this kernel has no such wall: $wall"
		continue
	fi
	[ "$child" != none ] || skip 1 "a process that can't fork"
	attach_stop INT
	like "attach, $wall: left" "$attach_status $(cat attach.err)" "^(0 )?ebpfrt: $left"
	say text
	# what it is, when we may not write there
	case $attach_status in
	0) is "attach, $wall: every byte is as before" "$answer" "$text" ;;
	*) unlike "attach, $wall: it is not as before" "$answer" "^$text$" ;;
	esac
	say call 10
	target_quit
	is "attach, $wall: it goes on, to its end" "$answer, $target_status" "sum 100, 3"
done <<EOT
mdwe counted detached, 1 site restored; 40 hits, 0 lost
undumpable missed probes are still in process [0-9]+: .* it has made itself undumpable .*; the daemon goes on trying
files missed probes are still in process [0-9]+: .* cannot make a socket pair .*Too many open files; the daemon goes on trying
strict none probes are still in process [0-9]+: .* it has a seccomp filter, .*; the daemon goes on trying
kill missed probes are still in process [0-9]+: .* it has a seccomp filter, .*; the daemon goes on trying
prctl missed probes are still in process [0-9]+: .* it has a seccomp filter, .*; the daemon goes on trying
syscall missed probes are still in process [0-9]+: .* it has a seccomp filter, .*; the daemon goes on trying
refuse missed probes are still in process [0-9]+: .* it has a seccomp filter, .*; the daemon goes on trying
EOT

for wall in mdwe:counted undumpable:missed files:missed kill:missed; do
	child=${wall#*:}
	wall=${wall%:*}
	# shellcheck disable=SC2086
	target_start ebpfrt run -q -o run.out -P "$bin/count.bpf.o" $probes --
	shut_in run "$wall" "$child" || skip 2 "this kernel has no such wall: $wall"
	target_quit
	is "run, $wall: to its end" "$target_status" 3
done

# the time, where asking for it is death, or reading the counter that tells it
for wall in kill counter refuse; do
	target_start
	attach_start "$target" "$bin/times.bpf.o"
	say wall "$wall"
	is "time, $wall" "$answer" "wall $wall"
	say call 10
	is "time, $wall: it goes on, and programs know the time" "$answer, $(counted)" "sum 100, 10 10"
	target_quit
	is "time, $wall: to its end" "$target_status" 3
	wait "$attach_child"
done
target_start
say wall counter
attach_start "$target" "$bin/times.bpf.o"
say call 10
is "time, counter: the same where it was forbidden before" "$answer, $(counted)" "sum 100, 10 10"
attach_stop INT
target_quit
is "time, counter: to its end" "$target_status" 3
target_start ebpfrt run -q -o run.out -P "$bin/times.bpf.o" --
say wall kill
say call 10
is "time, kill: run" "$answer, $(counted)" "sum 100, 10 10"
target_quit
is "time, kill: run, to its end" "$target_status" 3

# what it says is heard, although it can't wake anybody
target_start
attach_start --no-maps "$target" "$bin/stream.bpf.o" --prog "on_work=uprobe:$bin/walls:work"
say wall kill
say call 5
heard() {
	[ "$(grep -c '^events' attach.out)" = 5 ]
}
until_true heard && ok "kill: events are heard" || not_ok "kill: events are heard" "$(cat attach.out)"
# and the daemon's death is no reason to do what it may not
kill -KILL "$(sed -n 1p "$stage/run/ebpfrt/pid")"
wait "$attach_child"
say call 10
is "kill: the daemon has died: it goes on" "$answer" "sum 100"
say fork 10
is "kill: so does its child" "$answer" "child 100"
target_quit
is "kill: to its end" "$target_status" 3

# signals that have to wait, more than there is room for, and threads that are told who they are by nobody
signal_all() { # signal, first | others: to these threads
	python3 - "$target" "$1" "$2" <<'EOT'
import ctypes, os, sys
pid, sig, first = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "first"
libc = ctypes.CDLL(None)
for tid in map(int, os.listdir(f"/proc/{pid}/task")):
    if (tid == pid) == first and libc.syscall(234, pid, tid, sig):
        sys.exit("tgkill")
EOT
}
target_start
attach_start "$target" "$bin/count.bpf.o" $probes
say hold 80
is "threads that block all signals" "$answer" held
say wall kill
for signal in 5 11 5; do
	signal_all $signal others
done
say call 10
is "kill: it goes on with 160 signals that wait" "$answer, $(counted)" "sum 100, 10 10"
target_quit
is "kill: that is its end, too" "$target_status" 3
wait "$attach_child"

# whoever dies dies of what it has done
while read -r death want; do
	target_start
	attach_start "$target" "$bin/count.bpf.o" $probes
	say wall kill
	case $death in
	fault) echo fault >&8 ;;
	*) signal_all "$death" first ;;
	esac
	exec 8>&- 9<&-
	wait "$target_child"
	is "kill: it dies of its own ($death)" $? "$want"
	wait "$attach_child"
done <<EOT
fault 139
5 133
11 139
7 135
4 132
8 136
EOT

# a program that is executed behind a filter is left alone where that may kill it
echo "call 10" >ten
for how in "socket!" socket; do
	try ebpfrt run -P "$bin/count.bpf.o" $probes -- "$bin/deny" "$how" "$bin/walls" <ten
	is "behind a filter ($how): its own end" "$status $(echo "$out" | tail -n 1)" "3 sum 100"
done
