#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A program that asks how calls end is run for those that an exception or the end of a thread left, once for each, the
# innermost first; what longjmp leaves is not told. Nothing changes for the target.
. "${top_srcdir:-.}/tests/integration/lib.sh"
. "$stage/integration/returns_lib.sh"

# what the functions are left by besides: 0 nothing that is told, 1 exceptions, 2 the end of a thread
c_commands="0:leaf:3 0:longjmp:1000 0:siglongjmp:100 0:hop:500 0:tail:20 0:coroutines:16 2:exit:5 2:cancel:5 2:leave:5 0:backtrace"
cc_commands="0:leaf:3 1:throw:10 1:direct:10 1:catcher:10 1:rethrow:10 1:within:10 1:carry:10 1:recurse:200 1:moved:10
1:moving:20 2:cancel:5 2:exit:5 0:noexcept 0:uncaught 1:who 0:backtrace 1:throw:2"
if [ -s "$bin/returns_cc" ]; then # made only where there is a compiler for C++
	programs="returns returns_cc"
else
	programs=returns
fi
set -- $c_commands
[ "$programs" = returns ] || set -- "$@" $cc_commands 1 2 3
plan $(($# + 2))

ended() {
	ebpfrt map dump name ended --json | python3 -c '
import json, sys
v = {}
for e in json.loads(sys.stdin.read() or "[]"):
    e = e.get("formatted", e)
    v[e["key"]] = e["value"]
print(*(v[i] for i in range(len(v))))'
}

# what the program counted itself, before and after, and what was counted of it: as it should be, or how it differs
compare() { # how
	python3 - "$1" "$before" "$ended_before" "$answer" "$(ended)" <<-'END'
		import sys
		how, (b, eb, a, ea) = int(sys.argv[1]), (list(map(int, v.replace("counts", "").split())) for v in sys.argv[2:])
		wrong = []
		for i in range(len(a) // 2):
		    entered, returned = a[2 * i] - b[2 * i], a[2 * i + 1] - b[2 * i + 1]
		    told = [ea[4 * i + k] - eb[4 * i + k] for k in range(4)]
		    want = [returned, 0, 0, 0]
		    if how:
		        want[how] = entered - returned
		    if told != want:
		        wrong.append(f"function {i}: {told}, not {want}")
		print("; ".join(wrong) or "as it was")
	END
}

for p in $programs; do
	target_program=$bin/$p
	target_start
	for c in $(commands_of "$p"); do
		c=${c#*:}
		say "${c%%:*} ${c#*:}"
		echo "$c=$answer"
	done >"$p.want"
	target_quit
	target_start
	attach_start "$target" "$bin/${p}_left.bpf.o"
	for c in $(commands_of "$p"); do
		how=${c%%:*} c=${c#*:}
		say counts
		before=$answer ended_before=$(ended)
		say "${c%%:*} ${c#*:}"
		got=$answer
		say counts
		is "$p $c" "$got | $(compare "$how")" "$(sed -n "s/^$c=//p" "$p.want" | head -n 1) | as it was"
	done
	[ "$p" = returns ] || {
		is "the innermost call first" "$(for i in 0 1 2 3 4; do map_value order $i; done | xargs)" "1 2 1 2 3"
		like "counted as left, too, and nothing missed" "$(ebpfrt ps --json | python3 -c '
import json, sys
p = json.load(sys.stdin)[0]
print(p["left"] > 0, p["missed"])')" "^True 0\$"
	}
	is "with the registers of a return" "$(map_value ended 63)" 0
	attach_stop INT
	target_quit
done

# what is under way at a detachment is lost then, and not said to be left at the next
target_program=$bin/target
target_start
for i in 1 2; do
	attach_start --prog on_work=uprobe:libc:read --prog on_work_done=uretprobe:libc:read "$target" "$bin/count.bpf.o"
	say text
	say text
	attach_stop INT
done
is "a call is lost once" "$(grep -o -e '[0-9]* lost' -e '[0-9]* calls* ended' attach.err | xargs)" "1 lost"
target_quit
