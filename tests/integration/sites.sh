#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Where return addresses must not be replaced, the returns of a function are probed: in Go programs, and where it is asked for.
# Nothing changes for the target, what returned is counted exactly; functions that are also left by a jump are refused.
. "${top_srcdir:-.}/tests/integration/lib.sh"

commands="leaf:3 longjmp:1000 siglongjmp:100 recurse:10000 hop:500 tail:20 exit:5 leave:5 cancel:5 coroutines:16 moved:16 backtrace unwind"
set -- $commands $commands 1 2 3 4 5 6 7 8 9 10 11
plan $#

# what the program counted of what is probed, and what was counted of it
compare() {
	ebpfrt map dump name returns --json | python3 -c '
import json, sys
v = {}
for e in json.loads(sys.stdin.read() or "[]"):
    e = e.get("formatted", e)
    v[e["key"]] = e["value"]
own = list(map(int, sys.argv[1].split()[1:]))
tails = (4, 5) # left by a jump, and not probed
print(*([f"{i}: {v[i]}, not {n}" for i, n in enumerate(own) if i // 2 not in tails and v[i] != n] or ["as it was"]))' "$1"
}

for p in returns returns_go; do
	target_program=$bin/$p
	[ "$p" = returns_go ] || { EBPFRT_RETURNS=sites && export EBPFRT_RETURNS; }
	target_start
	for c in $commands; do
		say "${c%%:*} ${c#*:}"
		echo "$c=$answer"
	done >"$p.want"
	target_quit
	target_start
	attach_start "$target" "$bin/${p}_sites.bpf.o"
	for c in $commands; do
		say "${c%%:*} ${c#*:}"
		got=$answer
		say counts
		is "$p $c" "$got | $(compare "$answer")" "$(sed -n "s/^$c=//p" "$p.want") | as it was"
	done
	is "$p: nothing was left" "$(ebpfrt ps --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["left"])')" 0
	attach_stop INT
	target_quit
	until_true ebpfrt shutdown >shutdown.out 2>&1
	unset EBPFRT_RETURNS
done

target_start
try ebpfrt attach "$target" "$bin/returns_go.bpf.o"
like "a function that ends in a jump is refused with the place" "$err" "may be left by the jump at [+]0x[0-9a-f]*, too .a tail call.;"
like "and what to do" "$err" "use a uprobe at its entry"
target_quit

# a runtime that looks return addresses up; by its symbols it is a Java machine
target_program=$bin/walker
target_start
attach_start --prog on_work=uprobe:walker:work --prog on_work_done=uretprobe:walker:work "$target" "$bin/count.bpf.o"
say call 100
is "who looks return addresses up finds them" "$answer" "sum 10000 astray 0"
is "all returns were counted" "$(map_value counts 0) $(map_value counts 2)" "100 100"
attach_stop INT
target_quit
is "and it ends well" "$target_status" 0

# what copies stacks away, by its name: nobody could put return addresses back there
target_program=$bin/copied
cp "$bin/later.so" _greenlet.test.so
target_start env LD_PRELOAD="$PWD/_greenlet.test.so"
attach_start --prog on_work=uretprobe:copied:plain --prog on_work_done=uretprobe:copied:work "$target" "$bin/count.bpf.o"
say start
say call 1000
is "stacks that are copied: returns were counted" "$(map_value counts 0) $(map_value counts 2)" "1000 0"
attach_stop INT
say end
is "who was away returns after the detachment" "$answer" "wrong 0"
target_quit
is "and it ends well, too" "$target_status" 0

if ! command -v go >/dev/null 2>&1; then
	skip 1 "no Go compiler"
	exit 0
fi
if ! GO111MODULE=off GOCACHE=$stage/go GOFLAGS='' go build -o "$stage/returns_gc" "$top_srcdir/tests/integration/returns.go" >go.out 2>&1; then
	skip 1 "the Go compiler does not work here: $(head -n 1 go.out)"
	exit 0
fi
target_program=$stage/returns_gc
target_start
say load 60 500
want=$answer
say counts
before=$answer
attach_start "$target" "$bin/go.bpf.o"
say load 60 500
got=$answer
say counts
set -- $before $answer
is "goroutines whose stacks grow" "$got $(map_value returns 0) $(map_value returns 1)" "$want $(($5 - $2)) $(($6 - $3))"
attach_stop INT
target_quit
