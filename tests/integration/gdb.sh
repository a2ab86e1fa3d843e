#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A debugger and probes in the same process: what is not safe is refused with its name. Where one comes later the probes sleep until
# it leaves, so that it finds the program as it is without us. One that passes SIGTRAP on changes nothing when that was said, also
# with break points of its own beside ours. With the script that comes with ebpfrt gdb itself refuses what would go wrong.
. "${top_srcdir:-.}/tests/integration/lib.sh"
if ! command -v gdb >/dev/null 2>&1; then
	echo "1..0 # SKIP no gdb"
	exit 0
fi
target_start
env -u DEBUGINFOD_URLS gdb -nx -q -batch -p "$target" -ex detach >gdb.out 2>&1 </dev/null
if ! grep -q "^\[Inferior 1 (process $target) detached\]" gdb.out; then
	echo "1..0 # SKIP gdb may not look at another process here: $(head -n 1 gdb.out)"
	target_quit
	exit 0
fi
plan 65
mode=$EBPFRT_PROBE

# it reads symbols first, for as long as it takes
gdb_wait() {
	while [ ! -e gdb.ready ] && kill -0 "$gdb_child" 2>/dev/null; do
		sleep 0.01
	done
}

# COMMAND..., from the second one on while the target goes on
gdb_start() {
	gdb_plain 'handle SIGTRAP nostop noprint pass' "$@"
}

# the same with a first one
gdb_plain() {
	rm -f gdb.ready
	{
		printf '%s\n' 'set pagination off' 'set confirm off' "$1" "$2" 'shell touch gdb.ready'
		shift
		shift
		printf '%s\n' "$@"
	} >gdb.in
	env -u DEBUGINFOD_URLS timeout 120 gdb -nx -q -p "$target" -x gdb.in >gdb.out 2>&1 </dev/null &
	gdb_child=$!
	gdb_wait
	until_true grep -q '^State:.S' "/proc/$target/status"
}

# a break byte of somebody else's
poke() { # byte in octal or "", of work(); its old one in $poked
	poked=$(python3 -c '
import subprocess, sys
pid, exe, byte = sys.argv[1:]
sym = [l.split() for l in subprocess.check_output(["nm", exe], text=True).splitlines()]
at = [int(s[0], 16) for s in sym if s[-1] == "work"][0] + [int(l.split("-")[0], 16) for l in open(f"/proc/{pid}/maps") if l.endswith("/target\n")][0]
f = open(f"/proc/{pid}/mem", "r+b", 0)
f.seek(at)
print(f.read(1)[0])
f.seek(at)
f.write(bytes([int(byte)]))' "$target" "$bin/target" "$1")
}
poke 204
try ebpfrt attach -d 0 "$target" "$bin/count.bpf.o"
is "a break point at the site: status" "$status" 1
like "a break point at the site: words" "$err" "cannot probe work in $bin/target: a breakpoint is there already \(a debugger's\?\)"
poke "$poked"
is "is still there" "$poked" 204
say call 3
is "it goes on" "$answer" "sum 9"

daemon_anew() {
	until_true eval '[ ! -S "$EBPFRT_RUNTIME_DIR/ctl" ]'
}

gdb_start 'info threads' continue
try ebpfrt attach -d 0 "$target" "$bin/count.bpf.o"
is "under gdb: status" "$status" 1
like "under gdb: words" "$err" "cannot attach to $target \(target\): process [0-9]+ \(gdb\) traces it already; end that"
kill "$gdb_child"
wait "$gdb_child"

# as it comes: the program is found as it is without us, at each of gdb's commands. With breaks: where a jump happens to stand
# returns are calls, and nothing stops.
EBPFRT_PROBE="trap"
export EBPFRT_PROBE
target_program=$bin/debugged
probes="--prog on_work=uprobe:debugged:work --prog on_work_done=uretprobe:debugged:next_line"
awake() { # times
	[ "$(grep -c 'awake again' attach.err)" = "$1" ]
}
plain_target() {
	target_quit
	daemon_anew
	target_start
	# shellcheck disable=SC2086
	attach_start "$target" "$bin/count.bpf.o" $probes
	say call 1
}
# a call is under way whose return is probed: what it comes to is gdb's, too, and nothing is lost
plain() { # what it is, COMMAND...
	plain=$1
	shift
	plain_target
	gdb_plain 'info threads' 'shell while ! grep -q "its probes sleep" attach.err; do sleep 0.01; done' continue "$@" detach quit
	echo "call 3" >&8
	wait "$gdb_child"
	gdb_status=$?
	read -r answer <&9
	until_true awake 1
	is "gdb as it is, $plain: it goes on" "$gdb_status $answer" "0 sum 16"
	is "gdb as it is, $plain: stops at ours" "$(sed -n 's/.*received signal \(SIG[A-Z]*\),.*/\1/p' gdb.out | paste -s -d ' ')" "SIGILL"
	seen=$(map_value counts 0)
	is "gdb as it is, $plain: the return that was under way" "$(map_value counts 2)" 1
	say call 4
	is "gdb as it is, $plain: exactly from then on" "$answer $(($(map_value counts 0) - seen))" "sum 20 2"
	attach_stop INT
	# the next call, which waits for a line, may have been entered or not
	like "gdb as it is, $plain: and is over" "$(cat attach.err)" '^ebpfrt: detached, [12] sites? restored; [0-9]+ hits, [01] lost$'
}
plain "a step, and its own break points" 'tbreak middle' continue stepi stepi stepi next 'break work' continue finish delete
is "all of them" "$(sed -n 's/^.*\(Breakpoint [0-9]*\|Temporary breakpoint [0-9]*\), .*/\1/p; s/^Value returned is .* = /= /p' gdb.out | paste -s -d ' ')" \
	"Temporary breakpoint 1 Breakpoint 2 = 9"
plain "a break point on the probed instruction" 'break *work' continue continue delete
is "both times" "$(grep -c '^Breakpoint 1, work' gdb.out)" 2
like "what was said" "$(cat attach.err)" \
	"^ebpfrt: warning: process $target is under a debugger \(gdb, [0-9]+\): its probes sleep, and what it does meanwhile is not seen; they come"
# any tracer but strace is taken for one that keeps SIGTRAP, ltrace for one: it drops those that it doesn't know
plain_target
ln -sf "$(command -v gdb)" ltrace
env -u DEBUGINFOD_URLS ./ltrace -nx -q -batch -p "$target" -ex 'shell while ! grep -q "its probes sleep" attach.err; do sleep 0.01; done' \
	-ex detach >gdb.out 2>&1 </dev/null
like "ltrace: the probes sleep" "$(cat attach.err)" "^ebpfrt: warning: process $target is under a debugger \(ltrace, [0-9]+\): its probes sleep"
# and is over when it ends
plain_target
env -u DEBUGINFOD_URLS gdb -nx -q -batch -p "$target" -ex 'shell while ! grep -q "its probes sleep" attach.err; do sleep 0.01; done' \
	-ex kill >gdb.out 2>&1 </dev/null
wait "$attach_child"
like "gdb as it is, and kills it" "$(cat attach.err)" "^ebpfrt: the target has ended; 2 hits, 0 lost"
exec 8>&- 9<&-
wait "$target_child"

EBPFRT_PROBE=$mode
daemon_anew

# where exceptions must get through calls whose returns are probed the probes stay, which is said
if [ -s "$bin/returns_cc" ]; then # made only where there is a compiler for C++
	target_program=$bin/returns_cc
	target_start
	attach_start "$target" "$bin/returns_cc.bpf.o"
	say hold
	env -u DEBUGINFOD_URLS gdb -nx -q -batch -p "$target" \
		-ex "shell while ! grep -q 'be taken out' attach.err; do sleep 0.01; done" -ex detach >gdb.out 2>&1 </dev/null
	say go
	is "gdb as it is, and an exception in a call whose return is probed" "$answer" "hold 0 1"
	like "gdb as it is: the probes stay" "$(cat attach.err)" \
		"^ebpfrt: warning: process $target is under a debugger \(gdb, [0-9]+\), and its probes can't be taken out: exceptions couldn't pass\
 through the calls whose returns are probed; let that pass SIGTRAP on \(in gdb: handle SIGTRAP nostop noprint pass\)$"
	attach_stop INT
	target_quit
	is "gdb as it is, and exceptions: to its end" "$target_status" 0
else
	skip 3 "no compiler for C++"
fi

# many threads in hits
target_program=$bin/target
probes="--prog on_work=uprobe:target:work --prog on_work_done=uretprobe:target:work"
target_start
# shellcheck disable=SC2086
attach_start "$target" "$bin/count.bpf.o" $probes
threads() {
	[ "$(ls "/proc/$target/task" | wc -l)" = "$1" ]
}
echo "threads 4 100000" >&8
until_true threads 5
env -u DEBUGINFOD_URLS gdb -nx -q -batch -p "$target" -ex detach >gdb.out 2>&1 </dev/null
until_true awake 1
read -r answer <&9
is "gdb as it is, among threads in hits: it goes on" "$answer" "sum 40000000000"
seen=$(map_value counts 0)
say call 5
is "gdb as it is, among threads in hits: and exactly then" "$answer $(($(map_value counts 0) - seen))" "sum 25 5"
attach_stop INT
like "gdb as it is, among threads in hits: none was lost" "$(cat attach.err)" "detached, 1 site restored; [0-9]+ hits, 0 lost"
target_quit
is "gdb as it is, among threads in hits: to its end" "$target_status" 0

# it goes on at once, again and again: each time the probes are asleep by then, whatever was under way when it came. Where the
# machine had no time for the daemon until then, nothing is promised, and the round is made again.
rounds=0
late=0
harmed=
[ "$mode" = auto ] && calls=20000000 || calls=200000 # they must not be over before it is there
trap '' PIPE # of a target that is no more
while [ $rounds -lt 6 ]; do
	rounds=$((rounds + 1))
	target_start
	# shellcheck disable=SC2086
	attach_start "$target" "$bin/count.bpf.o" $probes
	echo "threads 4 $calls" >&8
	until_true threads 5
	env -u DEBUGINFOD_URLS timeout 60 gdb -nx -q -batch -iex 'set auto-solib-add off' -p "$target" -ex 'shell cp attach.err seen' \
		-ex 'thread 2' -ex 'stepi 200' -ex 'thread apply all -q -s stepi 20' -ex detach >gdb.out 2>&1 </dev/null
	if ! grep -q 'its probes sleep' seen && [ $late -lt 20 ]; then
		late=$((late + 1))
		rounds=$((rounds - 1))
		kill -KILL "$target" 2>/dev/null
		attach_stop INT
		target_quit 2>/dev/null
		continue
	fi
	until_true awake 1
	read -r answer <&9
	[ "$answer" = "sum $((4 * calls * calls))" ] || harmed="$harmed $rounds:$answer"
	say call 5
	attach_stop INT
	target_quit
	[ "$answer $attach_status $target_status" = "sum 25 0 0" ] || harmed="$harmed $rounds:$answer,$attach_status,$target_status"
done
trap lib_no_reader PIPE
[ $late = 0 ] || echo "# the daemon was late $late times"
is "gdb as it is, among threads in hits, and goes on at once: $rounds times" "$harmed" ""
like "gdb as it is, and goes on at once: they come back" "$(cat attach.err)" "its probes are awake again"

# one that passes traps on, which the daemon was told
daemon_anew
EBPFRT_DEBUGGER=keep
export EBPFRT_DEBUGGER
probes=
target_start
attach_start "$target" "$bin/count.bpf.o"
say call 1
gdb_start 'info threads' continue
say call 5
is "gdb came later: it goes on" "$answer" "sum 25"
is "gdb came later: exactly" "$(map_value counts 0)" 6
kill "$gdb_child"
wait "$gdb_child"
say call 2
is "gdb has gone: it goes on" "$answer" "sum 4"
is "gdb has gone: exactly" "$(map_value counts 0)" 8

# each stop's signal is passed on as well, from where gdb has moved the thread back to
gdb_start 'break *(work+5)' continue 'print $pc' continue 'print $pc' delete detach quit
echo "call 3" >&8
wait "$gdb_child"
read -r answer <&9
is "its own break point in a probed function: both stop" "$(grep -c '<work+5>$' gdb.out)" 2
is "it goes on" "$answer" "sum 9"
is "exactly" "$(map_value counts 0)" 11
attach_stop INT
like "detached" "$(cat attach.err)" "detached, 1 site restored; [0-9]+ hits, 0 lost"
say call 3
is "and goes on" "$answer" "sum 9"
target_quit
is "to its end" "$target_status" 0

# without the script: the trap of a step of its own is passed on
target_program=$bin/debugged
probes="--prog on_work=uprobe:debugged:work --prog on_work_done=uretprobe:debugged:work"
target_start
# shellcheck disable=SC2086
attach_start "$target" "$bin/count.bpf.o" $probes
gdb_start 'tbreak middle' continue 'stepi' detach quit
echo "call 3" >&8
wait "$gdb_child"
read -r answer <&9
is "a step, and it goes on" "$answer" "sum 16"
is "a step: exactly" "$(map_value counts 0) $(map_value counts 2)" "2 2"
attach_stop INT
target_quit

# break points of its own in the last bytes of a jump and on it: the fault of the one is passed on, too
EBPFRT_PROBE=auto
export EBPFRT_PROBE
target_program=$bin/astray
probes="--prog on_work=uprobe:astray:four --prog on_work_done=uretprobe:astray:main"
astray_start() {
	daemon_anew
	target_start
	# shellcheck disable=SC2086
	attach_start "$target" "$bin/count.bpf.o" $probes
}
astray_start
is "a jump stands there" "$(python3 "$stage/integration/rungs.py" "$target" "$bin/astray" four)" "four e9"
gdb_start 'handle SIGSEGV nostop noprint pass' 'break *(four+4)' continue 'print $pc' continue 'print $pc' delete 'break *four' continue \
	'print $pc' delete detach quit
echo "call four 3" >&8
wait "$gdb_child"
read -r answer <&9
is "on it and in its last byte: all stop" "$(sed -n 's/^[$][0-9]* = .*<\(four.*\)>$/\1/p' gdb.out | paste -s -d ' ')" "four+4 four+4 four"
is "on it and in its last byte: it goes on" "$answer" "counted 3 traps 0"
is "on it and in its last byte: exactly" "$(map_value counts 0)" 3
attach_stop INT
target_quit
is "on it and in its last byte: to its end" "$target_status" 0

# as it comes: jumps are taken out as well, so that break points may be anywhere and each step is one of the program's
unset EBPFRT_DEBUGGER
astray_start
gdb_plain 'info threads' 'shell while ! grep -q "its probes sleep" attach.err; do sleep 0.01; done' \
	"shell while python3 $stage/integration/rungs.py $target $bin/astray four | grep -q e9; do sleep 0.01; done" 'x/2xb four' 'break *(four+4)' \
	'break *four' continue 'print $pc' 'bt 1' stepi 'print $pc' 'stepi' continue 'print $pc' delete detach quit
echo "call four 3" >&8
wait "$gdb_child"
read -r answer <&9
until_true awake 1
is "a jump under gdb as it is: the text is the program's" \
	"$(sed -n 's/^0x[0-9a-f]* <four>:[[:space:]]*//p' gdb.out | tr '\t' ' ')" "$(objdump -d "$bin/astray" | sed -n '/<four>:$/{n;s/^[^:]*:[[:space:]]*\([0-9a-f]*\) \([0-9a-f]*\) .*/0x\1 0x\2/p}')"
is "a jump under gdb as it is: on it, a step, and behind it" "$(sed -n 's/^[$][0-9]* = .*<\(four.*\)>$/\1/p' gdb.out | paste -s -d ' ')" \
	"four four+4 four"
is "a jump under gdb as it is: no other stops" "$(grep -c 'received signal' gdb.out)" 0
is "a jump under gdb as it is: it goes on" "$answer" "counted 3 traps 0"
seen=$(map_value counts 0)
say call four 5
is "a jump under gdb as it is: awake, exactly" "$answer $((${seen:-0} + 5 - $(map_value counts 0)))" "counted 5 traps 0 0"
is "a jump under gdb as it is: and a jump again" "$(python3 "$stage/integration/rungs.py" "$target" "$bin/astray" four)" "four e9"
attach_stop INT
target_quit
EBPFRT_PROBE="trap" # what the script refuses is about breaks
daemon_anew
target_program=$bin/debugged
probes="--prog on_work=uprobe:debugged:work --prog on_work_done=uretprobe:debugged:work"

# gdb with the script; its words in gdb.out
scripted() {
	rm -f gdb.ready
	{
		printf '%s\n' 'set pagination off' 'set confirm off' 'set width 0' "source $stage/ebpfrt-gdb.py"
		while [ "$1" != -- ]; do
			printf '%s\n' "$1"
			shift
		done
		shift
		printf '%s\n' 'shell touch gdb.ready' "$@" detach quit
	} >gdb.in
	env -u DEBUGINFOD_URLS timeout 120 gdb -nx -q -p "$target" -x gdb.in >gdb.out 2>&1 </dev/null &
	gdb_child=$!
	gdb_wait
}
line() { # with a nop, by its comment
	grep -n "nop # $1" "$stage/integration/debugged.c" | cut -d : -f 1
}
if ! gdb -nx -q -batch -ex 'python print(1)' 2>&1 | grep -q '^1$'; then
	skip 12 "this gdb has no Python"
	exit 0
fi
target_start
# shellcheck disable=SC2086
attach_start "$target" "$bin/count.bpf.o" $probes
scripted 'break work' 'break *work' 'tbreak *work' "tbreak debugged.c:$(line inside)" -- continue 'bt' finish 'printf "# %d\n", $pc == (long)agent_ret_stubs + 16' \
	finish 'bt' 'printf "# "' 'info symbol $pc' "advance debugged.c:$(line behind)" 'printf "# %ld %ld\n", a, b' \
	python 'for c in "next", "step", "stepi", "nexti", "n", "si 3":' '    try:' '        gdb.execute(c)' '    except gdb.error as e:' \
	'        print(e)' end finish 'printf "# "' 'info symbol $pc'
echo "call 3" >&8
wait "$gdb_child"
words=$(sed -n "s/^# //p" gdb.out | paste -s -d " ")
read -r answer <&9
is "with the script: break points on a probed instruction" "$(grep -c 'ebpfrt: breakpoint [123] is disabled: work is probed' gdb.out)" 3
like "with the script: what to do" "$(cat gdb.out)" \
	'set it at the next one, break \*0x[0-9a-f]+, or detach ebpfrt first$'
is "with the script: callers of a return-probed function" "$(sed -n 's/^#[0-9] .*  *\([a-z_]*\) (.*/\1/p' gdb.out | head -n 4 | paste -s -d ' ')" \
	"work agent_ret_stubs middle main"
like "with the script: the way out of it" "$words" "^1 .*middle [+] [0-9]+ in section .text .*7 9 .*main [+] [0-9]+ in section"
is "with the script: steps are refused" "$(grep -c '^ebpfrt: no steps in a process that is probed: ' gdb.out) $(grep -c 'agent_trap_entry' gdb.out)" \
	"6 0"
is "with the script: it goes on" "$answer" "sum 16"
is "with the script: exactly" "$(map_value counts 0) $(map_value counts 1) $(map_value counts 2) $(map_value counts 3)" "2 7 2 16"
attach_stop INT
like "with the script: detached" "$(cat attach.err)" "detached, 1 site restored; [0-9]+ hits, 0 lost"
say call 4
is "and goes on without us" "$answer" "sum 20"
target_quit
is "to its end, too" "$target_status" 0

# a jump, with the script
EBPFRT_PROBE=auto
export EBPFRT_PROBE
target_program=$bin/astray
probes="--prog on_work=uprobe:astray:four --prog on_work_done=uretprobe:astray:main"
astray_start
scripted 'break *(four+4)' 'break *four' -- continue 'print $pc' delete 'break *(four+6)' continue 'print $pc' delete
echo "call four 3" >&8
wait "$gdb_child"
read -r answer <&9
like "with the script: in a jump" "$(cat gdb.out)" \
	'^ebpfrt: breakpoint 1 is disabled: 0x[0-9a-f]+ is in the jump of the probe at 0x[0-9a-f]+; set it behind that, break [*]0x[0-9a-f]+6, or'
is "with the script: on it and behind it" \
	"$(sed -n 's/^[$][0-9]* = .*<\(four.*\)>$/\1/p' gdb.out | paste -s -d ' '), $answer, $(map_value counts 0) hits" \
	"four four+6, counted 3 traps 0, 3 hits"
attach_stop INT
target_quit
