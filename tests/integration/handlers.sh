#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Signal handlers that are under way when somebody attaches or detaches: what they return to may block SIGTRAP, and must not while
# it may meet a probe, but must again afterwards. And nothing tells then that the agent has had handlers of its own.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 42

target_program=$bin/handlers
blocked() {
	grep -h SigBlk "/proc/$target/task/$target/status"
}
blocks_own() {
	[ "$(blocked)" = "$before" ]
}
attach() {
	attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:handlers:work
}

for enter in enter enter-alternate; do
	target_start
	say mask
	own=$answer
	before=$(blocked)
	say $enter
	is "$enter: a handler begins" "$answer" in
	attach
	say call 3
	is "$enter: it calls" "$answer $(map_value counts 0)" "sum 9 3"
	say mask
	is "$enter: it believes to block" "$answer" "$own"
	say leave
	is "$enter: it returns" "$answer" out
	say call 3
	is "$enter: who was interrupted calls" "$answer $(map_value counts 0)" "sum 9 6"
	say mask
	is "$enter: and believes to block" "$answer" "$own"
	# one more, which is left when nobody traces any more
	say $enter
	attach_stop INT
	is "$enter: blocked in the handler afterwards" "$(blocked)" "$before"
	say leave
	is "$enter: blocked behind it" "$(blocked)" "$before"
	say call 3
	is "$enter: it goes on" "$answer" "sum 9"
	say quit
done

# one within the other, on two stacks: the one that began before returns afterwards
target_start
before=$(blocked)
say enter
say enter-alternate
attach
say leave
say call 2
is "one of two has returned: it calls" "$answer $(map_value counts 0)" "sum 4 2"
attach_stop INT
say leave
is "the other returns afterwards: what it was" "$(blocked)" "$before"
attach
say call 2
is "attached again" "$answer $(map_value counts 0)" "sum 4 2"
attach_stop INT

# called by a signal, where ptrace is denied
say quit
target_start env LD_PRELOAD="$(ebpfrt env agent)"
before=$(blocked)
until_true ebpfrt shutdown >shutdown.out 2>&1
say enter-alternate
: >attach.out
: >attach.err
deny ptrace ebpfrt attach "$target" "$bin/count.bpf.o" --prog on_work=uprobe:handlers:work >attach.out 2>attach.err </dev/null &
attach_child=$!
until_true attach_ready
say leave
say call 3
is "called by a signal: it calls" "$answer $(map_value counts 0)" "sum 9 3"
say enter
attach_stop INT
# nobody holds it: it returns from the call by itself
until_true blocks_own
is "called by a signal: blocked in the handler afterwards" "$(blocked)" "$before"
say leave
is "called by a signal: blocked behind it" "$(blocked)" "$before"
say call 3
is "called by a signal: it goes on" "$answer" "sum 9"
say quit
# the daemon may not use ptrace either: nothing of what follows must meet it
until_true ebpfrt shutdown >shutdown.out 2>&1 || bail "the daemon stays: $(cat shutdown.out)"

# another thread
target_start
before=$(blocked)
say enter-thread
attach
say leave-thread
is "in another thread" "$answer $(map_value counts 0)" "out 450 8 2"
say enter-thread
attach_stop INT
say leave-thread
is "in another thread, which returns afterwards" "$answer" "out 450 8"
is "the main thread blocks what it did" "$(blocked)" "$before"

# what it would read of its actions, and the kernel tells of them
caught() {
	grep -h SigCgt "/proc/$target/status"
}
say actions
own=$answer
before=$(caught)
attach
say actions
is "actions while it is probed" "$answer" "$own"
attach_stop INT
say actions
is "actions afterwards" "$answer $(caught)" "$own $before"
attach
say own
say actions
own=$answer
attach_stop INT
before=$(caught)
say actions
is "its own actions afterwards" "$answer" "$own"
say own
say actions
is "as if nobody had been there" "$answer $(caught)" "$own $before"
attach
say actions
is "its own actions, attached again" "$answer" "$own"
attach_stop INT

# alternate stacks: in use, disarmed, changed in a handler, one handler in another
say stacks
own=$answer
like "alternate stacks: all kinds" "$own" "^stacks .* [|] .* [|] .* [|] "
attach
say stacks
is "alternate stacks: as without the probe" "$answer" "$own"
is "alternate stacks: hits" "$(map_value counts 0)" "$(echo "$own" | grep -o '[abm]:' | wc -l)"
attach_stop INT
say stacks
is "alternate stacks: afterwards" "$answer" "$own"

# while calls that will return are under way, to what was a stub
both() {
	grep -h -e SigBlk -e SigCgt "/proc/$target/task/$target/status"
}
before=$(both)
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:handlers:work --prog on_work_done=uretprobe:handlers:obey
say enter
say enter-alternate
attach_stop INT
is "in calls that are return-probed: masks and handlers" "$(both)" "$before"
say leave
say leave
say call 2
is "and when they have returned" "$answer $(both)" "sum 4 $before"

# an attachment that fails opens nothing
say enter
try ebpfrt attach "$target" "$bin/count.bpf.o" --prog on_work=uprobe:handlers:nothing -d 0
say leave
is "an attachment in vain: what it was" "$status $(both)" "1 $before"
say enter
attach
attach_stop INT
say leave
say call 1
is "attached and detached while it runs: what it was" "$answer $(both)" "sum 1 $before"
say quit
wait "$target_child"
is "it ends well" "$?" 0
