#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Without ptrace: a process that preloaded an idle agent is attached to and detached from all the same, and notices nothing,
# wherever it waits. The system call is forbidden to the daemon, so nobody can have used it.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 43

probed() {
	say call 3
	is "$1: it goes on" "$answer" "sum 9"
	is "$1: its calls are counted" "$(map_value counts 0)" 3
}

# the denied daemon serves all that follows; it leaves when nobody wants it any more
denied_start() {
	: >attach.out
	: >attach.err
	deny ptrace ebpfrt attach "$@" >attach.out 2>attach.err </dev/null &
	attach_child=$!
	until_true attach_ready
}

target_program=$bin/called
target_start
try deny ptrace ebpfrt attach --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work -d 0 "$target" \
	"$bin/count.bpf.o"
is "no agent preloaded: status" "$status" 1
like "no agent preloaded: words" "$err" "ptrace is denied; run .ebpfrt doctor"
target_quit

target_start env LD_PRELOAD="$(ebpfrt env agent)"
descriptors=$(find "/proc/$target/fd/" -type l | wc -l)
say call 1
denied_start --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work "$target" "$bin/count.bpf.o"
like "attached" "$(cat attach.out attach.err)" "^Tracing 2 probes"
probed "attached"
is "a thread, no descriptor" "$(find "/proc/$target/task" -maxdepth 1 | wc -l) $(find "/proc/$target/fd/" -type l | wc -l)" \
	"2 $descriptors"
attach_stop INT
is "detached: status" "$attach_status" 0
like "detached: every byte" "$(cat attach.err)" "detached, 1 site restored; 6 hits, 0 lost"
say call 1
is "and goes on" "$answer" "sum 1"

# a second client changes what is there; waits end when they should, with what they should
denied_start --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work "$target" "$bin/count.bpf.o"
for way in nanosleep until poll select ppoll epoll semaphore receive read pause forever; do
	say $way
	try deny ptrace ebpfrt attach -q --no-maps --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work -d 0 "$target" \
		"$bin/count.bpf.o"
	[ "$status" = 0 ] || echo "# $err"
	read -r answer <&9
	is "in $way" "$answer $status" "$way ok 0"
done
attach_stop INT
target_quit
is "to its end" "$target_status" 0

target_start env LD_PRELOAD="$(ebpfrt env agent)" "$bin/called" 2
try deny ptrace ebpfrt attach --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work -d 0 "$target" \
	"$bin/count.bpf.o"
is "threads: status" "$status" 1
like "threads: words" "$err" "process $target has several threads, which can't be stopped while ptrace is denied; start it with .ebpfrt run"
target_quit
is "threads: to its end" "$target_status" 0

# threads that come later are served; the last sites go when they have gone
target_start env LD_PRELOAD="$(ebpfrt env agent)"
text=$(python3 "$stage/integration/text_hash.py" "$target")
denied_start --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work "$target" "$bin/count.bpf.o"
say join
hits() { [ "$(map_value counts 0)" -gt 20 ]; }
until_true hits && ok "threads that came later: counted" || not_ok "threads that came later: counted" "$(map_value counts 0)"
try deny ptrace ebpfrt attach -q --no-maps --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work -d 0 "$target" \
	"$bin/count.bpf.o"
is "threads that came later: a second client" "$status $err" "0 "
attach_stop INT
is "threads that came later: detach, status" "$attach_status" 1
like "threads that came later: words" "$(cat attach.err)" \
	"it has several threads, which can't be stopped while ptrace is denied; no program runs in it any more"
say part
is "threads that came later: not disturbed" "$answer" "parted 0"
restored() { [ "$(python3 "$stage/integration/text_hash.py" "$target")" = "$text" ]; }
until_true restored && ok "when they have gone every byte is as before" || not_ok "when they have gone every byte is as before"
target_quit
is "threads that came later: to its end" "$target_status" 0

# a handler that began before anybody came, and blocks what it was called for, is seen to end
target_program=$bin/sent
target_start env LD_PRELOAD="$(ebpfrt env agent)"
say stay
is "a handler stays that began before" "$answer" stays
denied_start --prog on_work=uprobe:sent:work --prog on_work_done=uretprobe:sent:work "$target" "$bin/count.bpf.o"
say go
is "it returns, and is called again" "$answer" "stayed 2 mask 0"
say stay
say go
is "so does the next" "$answer" "stayed 2 mask 0"
attach_stop INT
target_quit
is "and goes on to its end" "$attach_status $target_status" "0 0"
target_program=$bin/called

# the text can't be read either, as with kernel.yama.ptrace_scope 2 or 3: the agent brings its memory along
shut_daemon=$(daemon_with "$bin/shut.so")
shut() {
	env EBPFRT_DAEMON="$shut_daemon" EBPFRT_RUNTIME_DIR="$stage/run/shut" deny ptrace "$@"
}
target_start env LD_PRELOAD="$(ebpfrt env agent)"
try shut ebpfrt attach --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work -d 0.5 "$target" "$bin/count.bpf.o"
is "unreadable: status" "$status" 0
like "unreadable: attached and restored" "$err" "detached, 1 site restored; 0 hits, 0 lost"
target_quit
is "unreadable: to its end" "$target_status" 0
target_start env -u LD_PRELOAD "$bin/deny" ptrace env EBPFRT_DAEMON="$shut_daemon" EBPFRT_RUNTIME_DIR="$stage/run/shut" \
	ebpfrt run -q -o run.out --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work -P "$bin/count.bpf.o" --
say call 2
is "run, unreadable: it goes on" "$answer" "sum 4"
try shut ebpfrt attach -d 0 --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work "$target" "$bin/count.bpf.o"
is "run, unreadable: a second client" "$status" 0
try shut ebpfrt detach "$target"
like "run, unreadable: detached" "$status $err" "^0 .*detached, 1 site restored"
say call 1
is "run, unreadable: and goes on" "$answer" "sum 1"
target_quit
is "run, unreadable: to its end" "$target_status" 0
