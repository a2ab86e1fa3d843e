#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Functions that are left by return, jump, exception, cancellation and tail call, on stacks of their own: a target whose
# functions are probed at entry and return does and sees what it does without probes, and what was counted is exact.
. "${top_srcdir:-.}/tests/integration/lib.sh"
. "$stage/integration/returns_lib.sh"

# a million times where that takes seconds
[ "${EBPFRT_PROBE:-trap}" = auto ] && longjmps=1000000 || longjmps=100000
c_commands="leaf:3 longjmp:${LONGJMPS:-$longjmps} siglongjmp:2000 recurse:10000 hop:5000 tail:20 exit:5 leave:5 cancel:5 coroutines:16 coroutines:64 moved:16 moved:64 backtrace unwind libunwind"
cc_commands="leaf:3 throw:10 direct:10 catcher:10 rethrow:10 within:10 carry:10 recurse:10 moved:10 moving:100 handler:3 cancel:5 exit:5 noexcept uncaught who backtrace unwind"
if [ -s "$bin/returns_cc" ]; then # made only where there is a compiler for C++
	programs="returns returns_cc"
else
	programs=returns
fi
set -- $c_commands $c_commands 0 1 2 3 4
[ "$programs" = returns ] || set -- "$@" $cc_commands $cc_commands 1 2 3 4 5 6 7 8
plan $#

# every command again: the same answer, and counts that agree with the program's own
commands() { # what is tested, program
	for c in $(commands_of "$2"); do
		say "${c%%:*} ${c#*:}"
		got=$answer
		want=$(sed -n "s/^$c=//p" "$2.want")
		case $want in
		*" none")
			skip 1 "there is no libunwind here"
			continue
			;;
		esac
		say counts
		set -- "$1" "$2" $answer
		is "$1: $2 $c" "$got | $(counted $(($# - 3)))" "$want | $answer"
	done
}

missed() {
	ebpfrt ps --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["missed"])'
}

# recurse()'s calls and returns are counted in 14 and 15
deeper() {
	entered=$(map_value returns 14) returned=$(map_value returns 15) before=$(missed)
	say recurse 20000
	is "deeper than there are return instances: what is not seen is missed" \
		"$answer $(($(map_value returns 14) - entered)) $(($(map_value returns 15) - returned + $(missed) - before))" \
		"recurse 20001 20001 20001"
}

# step by step: nobody knows when the program has seen enough, so these returns are not seen but missed
own_less_counted() {
	say counts
	python3 -c '
import sys
own, counted = (sum(map(int, v.split()[1:])) for v in sys.argv[1:])
print(own - counted)' "$answer" "$(counted "$(($(echo "$answer" | wc -w) - 1))")"
}
stepped() { # what is tested
	case $steps in
	*" none")
		skip 2 "there is no libunwind here"
		return
		;;
	esac
	before=$(missed)
	less=$(own_less_counted)
	say steps 3
	is "$1: libunwind, step by step" "$answer" "$steps"
	is "$1: what wasn't counted is missed" "$(($(own_less_counted) - less)) missed" "$(($(missed) - before)) missed"
}

for p in $programs; do
	target_program=$bin/$p
	target_start
	say steps 3
	steps=$answer
	for c in $(commands_of "$p"); do
		say "${c%%:*} ${c#*:}"
		echo "$c=$answer"
	done >"$p.want"
	target_quit

	target_start
	attach_start "$target" "$bin/$p.bpf.o"
	commands attached "$p"
	[ "$p" = returns_cc ] || stepped attached
	attach_stop INT
	target_quit

	target_start ebpfrt run -q -o run.out -P "$bin/$p.bpf.o" --
	commands run "$p"
	[ "$p" = returns_cc ] || stepped run
	[ "$p" = returns_cc ] || deeper
	target_quit
done

[ "$programs" != returns ] || exit 0
target_start
attach_start "$target" "$bin/returns_cc.bpf.o"
say throw 10
say counts
left=$(set -- ${answer#counts }; n=0; while [ $# -gt 0 ]; do n=$((n + $1 - $2)); shift 2; done; echo $n)
like "calls that an exception left are counted by themselves" \
	"$(ebpfrt ps --json | python3 -c 'import json, sys; print("left", json.load(sys.stdin)[0]["left"])')" "^left $left\$"
say hold
attach_stop INT
like "and named at the end" "$(cat attach.out attach.err)" "$left calls ended without a return"
is "left while a call is under way" "$answer" "holding"
say go
is "an exception passes through it" "$answer" "hold 0 1"
attach_start "$target" "$bin/returns_cc.bpf.o"
say hold
kill -KILL "$(sed -n 1p "$stage/run/ebpfrt/pid")"
wait "$attach_child"
say go
is "the same where the daemon has died meanwhile" "$answer" "hold 0 1"
target_quit

# one thread's unwinder comes by the stack of another: what returns there meanwhile may be missed
target_start
attach_start "$target" "$bin/returns_cc.bpf.o"
say beside "${THROWN:-1000}"
is "one thread throws, below the stack of another that calls" "$answer" \
	"beside $((${THROWN:-1000} * (${THROWN:-1000} + 1) / 2)) 0"
say counts
is "every call is seen, and no return that wasn't one" \
	"$(python3 -c '
import sys
own, seen = (list(map(int, v.split()[1:])) for v in sys.argv[1:])
print(own[::2] == seen[::2], all(a >= b for a, b in zip(own[1::2], seen[1::2])))' "$answer" "$(counted $(($(echo "$answer" | wc -w) - 1)))")" \
	"True True"
attach_stop INT
target_quit

# a debugger, which finds our rule for the stubs where the loader knows of the agent: every caller, and the stubs as frames
callers() {
	say hold
	timeout 60 gdb -q -batch -nx -ex "set debuginfod enabled off" -p "$target" -ex bt 2>gdb.err </dev/null 8>&- 9<&- |
		sed -n 's/^#[0-9]* *\(0x[0-9a-f]* in \)\{0,1\}\([^ ]*\) .*/\2/p' | grep -v '^agent_ret_stubs$'
	say go
}
if ! command -v gdb >/dev/null 2>&1; then
	skip 1 "no gdb"
	exit 0
fi
target_start
want=$(callers)
target_quit
if ! printf '%s\n' "$want" | grep -q '^outer$'; then
	skip 1 "gdb may not look at another process here: $(head -n 1 gdb.err)"
	exit 0
fi
target_start ebpfrt run -q -o run.out -P "$bin/returns_cc.bpf.o" --
is "a debugger sees every caller" "$(callers)" "$want"
target_quit
