#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# One program at entry and return (uprobe.session): what it counts, finds in its word and is refused is the kernel's, on both
# engines; a glob of functions is one link; calls that are left in any way keep entries and returns together.
# What a kernel said is in session.expect; started as root where there is eBPF, the kernel at hand is asked, too.
if [ -z "${EBPFRT_STAGE:-}" ] && [ "$(id -u)" = 0 ]; then
	# lib.sh takes this folder along
	object=$(ls "$top_builddir"/tests/integration/bin/session.bpf.o "$top_srcdir"/tests/integration/bin/session.bpf.o 2>/dev/null | head -n 1)
	timeout 60 "$top_builddir"/tests/integration/bin/session "$object" >"$top_builddir"/tests/integration/bin/session.oracle 2>/dev/null ||
		: >"$top_builddir"/tests/integration/bin/session.oracle
fi
. "${top_srcdir:-.}/tests/integration/lib.sh"
. "$stage/integration/returns_lib.sh"

c_commands="leaf:3 longjmp:2000 siglongjmp:200 recurse:3000 hop:1000 tail:20 exit:5 leave:5 cancel:5 coroutines:64 moved:64 backtrace unwind"
cc_commands="leaf:3 throw:10 direct:10 catcher:10 rethrow:10 within:10 carry:10 recurse:10 moved:10 moving:20 handler:3 cancel:5 exit:5 noexcept uncaught who backtrace unwind"
if [ -s "$bin/returns_cc" ]; then # made only where there is a compiler for C++
	programs="returns returns_cc"
else
	programs=returns
fi
set -- $c_commands 0 1
[ "$programs" = returns ] || set -- "$@" $cc_commands 1 2
plan $(($# + 19))

same() { # NAME FILE
	if diff "$stage/integration/session.expect" "$2" >same.diff 2>&1; then ok "$1"; else not_ok "$1" "$(cat same.diff "$2.err")"; fi
}
ebpfrt exec -- "$bin/session" "$bin/session.bpf.o" >session.out 2>session.out.err
same "every count and every refusal is the kernel's" session.out
EBPFRT_JIT=0 ebpfrt exec -- "$bin/session" "$bin/session.bpf.o" >session.out 2>session.out.err
same "interpreted, too" session.out
if [ ! -s "$bin/session.oracle" ]; then
	skip 1 "no kernel to ask: this needs root, eBPF and sessions (6.13)"
elif n=$(diff "$bin/session.oracle" "$stage/integration/session.expect" | grep -c '^<') && [ "$n" -gt 0 ]; then
	skip 1 "kernel $(uname -r) answers $n of them differently from the one that was written down"
else
	ok "the kernel at hand agrees"
fi

# a glob, by the command line
lib=$bin/many_lib.so
cat >many_target <<EOT
#!/bin/sh
exec $bin/many $lib
EOT
chmod +x many_target
target_program=$PWD/many_target
slot() {
	ebpfrt map dump name slots --json | python3 -c '
import json, sys
e = json.load(sys.stdin)[0]
v = e.get("formatted", e)["value"]
print(v["entries"], v["returns"])'
}
target_start
before=$(python3 "$stage/integration/text_hash.py" "$target")
say all 1
want=$answer
try ebpfrt check -p "$target" --prog "always=uprobe.session:$lib:m_5*" "$bin/session.bpf.o"
like "check knows it" "$status $out" "always +uprobe.session +.*many_lib.so:m_500"
attach_start --prog "always=uprobe.session:$lib:m_*" "$target" "$bin/session.bpf.o"
said=$(cat attach.out attach.err)
like "a glob" "$said" "always +uprobe.session +.*many_lib.so:m_\*  attached \(1000 functions\)"
like "names what can't be probed" "$said" "^  cannot probe m_bad_hlt .*: it is a privileged instruction"
say all 3
is "a thousand functions: results" "$answer" "all $((3 * ${want#all }))"
is "entries and returns" "$(slot)" "3000 3000"
is "it is one link" "$(ebpfrt link list | grep -c '^[0-9]*: ')" 1
like "which says what it is" "$(ebpfrt link list)" "uprobe session .*many_lib.so:m_"
is "to programs, too" "$(ebpfrt link list --json | python3 -c '
import json, sys
l = json.load(sys.stdin)[0]
print(l["type"], l["event"], l["retprobe"], l["targets"][0]["hits"], l["targets"][0]["missed"])')" "uprobe_multi uprobe session False 6000 0"
attach_stop INT
is "every byte is back" "$(python3 "$stage/integration/text_hash.py" "$target")" "$before"
attach_start --prog "sleeps=uprobe.session.s:$lib:m_5*" "$target" "$bin/session.bpf.o"
say all 1
is "one that may sleep" "$(slot)" "100 100"
attach_stop INT
say all 1
is "the target goes on" "$answer" "$want"
target_quit

# where return addresses are left alone nothing ties a return to its entry
target_program=$bin/returns_go
target_start
try ebpfrt attach -d 1ms "$target" "$bin/returns_go_session.bpf.o"
like "refused where return addresses stay as they are, with what to do" "$err" \
	"^ebpfrt: leaf cannot be probed by a session: return addresses must stay .*attach a uprobe and a uretprobe program"
target_quit

# calls that are left in every way: the program's own counts are those of entries and returns, and each word is its call's
for p in $programs; do
	target_program=$bin/$p
	target_start
	for c in $(commands_of "$p"); do
		say "${c%%:*} ${c#*:}"
		echo "$c=$answer"
	done >"$p.want"
	target_quit
	target_start
	attach_start "$target" "$bin/${p}_session.bpf.o"
	for c in $(commands_of "$p"); do
		say "${c%%:*} ${c#*:}"
		got=$answer want=$(sed -n "s/^$c=//p" "$p.want")
		say counts
		set -- $answer
		is "$p $c" "$got | $(counted $(($# - 1)))" "$want | $answer"
	done
	is "$p: every return was that of its entry" "$(map_value returns 31)" 0
	attach_stop INT
	target_quit
	is "$p ends well" "$target_status" 0
done

# calls with three notes each that longjmp leaves, more than there is room for at a time: none is missed
target_program=$bin/returns
target_start
children=
for _ in 1 2 3; do
	attach_start --prog "always=uprobe.session:$bin/returns:act_longjmp" "$target" "$bin/session.bpf.o"
	children="$children $attach_child"
done
say longjmp 40000
is "longjmp out of three sessions" "$answer" "longjmp 40000"
is "nothing is missed" "$(ebpfrt ps --json | python3 -c '
import json, sys
p = json.load(sys.stdin)[0]
print(p["hits"], p["missed"])')" "40000 0"
# shellcheck disable=SC2086 # numbers
kill -INT $children
# shellcheck disable=SC2086
wait $children
target_quit

# the daemon goes while calls are under way: nothing is run any more, and nobody is harmed
target_program=$bin/target
target_start
attach_start --prog "always=uprobe.session:$bin/target:rec" "$target" "$bin/session.bpf.o"
kill -KILL "$(sed -n 1p "$stage/run/ebpfrt/pid")"
wait "$attach_child"
say deep 50
is "after the daemon's end" "$answer" "sum 50"
say call 5
is "and on" "$answer" "sum 25"
target_quit
