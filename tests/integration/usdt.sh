#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# USDT probes of every shape: exact counts and arguments, and the counters that say whether anybody looks, which are up as long
# as somebody does, whoever ends how.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 47

n=1000

# what usdt.c does, and what a counter for each argument then holds
cat >expect.py <<'EOT'
import sys
n, guarded, rows = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
def fit(v, size):
    bits = abs(size) * 8
    v &= (1 << bits) - 1
    return v - (1 << bits) if size < 0 and v >> (bits - 1) else v
def i64(v):
    return fit(v, -8)
calls = range(1, n + 1)
def sums(*args):
    return [i64(sum(fit(f(i), size) for i in calls)) for size, f in args]
r = [(-1, lambda i: i * 3), (1, lambda i: i * 5), (-2, lambda i: i * 7), (2, lambda i: i * 11), (-4, lambda i: i * 13),
     (4, lambda i: i * 17), (-8, lambda i: -i * 19), (8, lambda i: i * 23 << 32), (4, lambda i: -i * 29),
     (2, lambda i: -i * 31), (-1, lambda i: i * 37), (-4, lambda i: i * 41)]
m = [(s, lambda i: -i) for s in (-1, 1, -2, 2, -4, 4, -8)] + [(8, lambda i: i << 32 | i)]
c = [(-4, lambda i: -5), (8, lambda i: 123456789012), (1, lambda i: 200), (-1, lambda i: -1), (-2, lambda i: -300),
     (4, lambda i: 0)]
one = [(8, lambda i: i)]
def row(args):
    return [n, n * len(args)] + sums(*args)
want = {0: row(r), 1: row(m), 2: row(c), 3: row(one), 4: row(one), 5: row(one), 6: row(one),
        7: [3 * n, 3 * n, sum(i + i + 1 + 7 for i in calls)], 8: [guarded, guarded, guarded * (guarded - 1) // 2]}
for p in sorted(want):
    print(p, *(want[p] + [0] * 15)[:15])
EOT

rows() { # how many
	ebpfrt map dump name usdt --json | python3 -c '
import json, sys
v = {}
for e in json.load(sys.stdin):
    e = e.get("formatted", e)
    v[e["key"]] = e["value"]
for p in range(int(sys.argv[1])):
    print(p, *(v[p * 15 + i] for i in range(15)))' "$1"
}

counters() {
	say counters
	echo "$answer"
}

counters_are() {
	say counters
	[ "$answer" = "counters $1" ]
}

for program in usdt usdt_fixed; do
	target_program=$bin/$program
	target_start
	say fire 10
	is "$program: nobody looks" "$answer" "fired 10 0"
	is "$program: its counters say so" "$(counters)" "counters 0 0"
	attach_start "$target" "$bin/usdt.bpf.o"
	like "$program: attached" "$(cat attach.out attach.err)" "on_memory +usdt +.*shapes:memory +attached"
	is "$program: the counters are up" "$(counters)" "counters 1 1"
	say fire $n
	is "$program: what it needs below its stack pointer is kept" "$answer" "fired $n 0"
	say guarded 50
	is "$program: the guarded site is reached" "$answer" "guarded 50"
	rows 9 >got
	python3 expect.py $n 50 >want
	is "$program: every hit and every argument" "$(diff want got)" ""
	attach_stop INT
	is "$program: the counters are down" "$(counters)" "counters 0 0"
	say guarded 50
	is "$program: the guarded site is not reached" "$answer" "guarded 0"
	target_quit
	is "$program: ends well" "$target_status" 0
done

target_program=$bin/usdt
target_start

# clients come and go in every way
attach_start "$target" "$bin/usdt.bpf.o"
first=$attach_child
attach_start "$target" "$bin/usdt.bpf.o"
is "two clients" "$(counters)" "counters 2 2"
kill -9 "$attach_child"
wait "$attach_child" 2>/dev/null
until_true counters_are "1 1" && ok "one is killed: the other still looks" || not_ok "one is killed" "$(counters)"
say fork 20
is "a child that is forked meanwhile is looked at, too" "$answer" "child 20 1"
say hold
like "another one never comes to a probe" "$answer" "held [0-9]+"
attach_child=$first
attach_stop INT
is "the other leaves: nobody looks" "$(counters)" "counters 0 0"
say release
is "not at the child either" "$answer" "released 0"

# ten times, alternately by ^C and by a kill
bad=
for i in 1 2 3 4 5 6 7 8 9 10; do
	attach_start "$target" "$bin/usdt.bpf.o"
	[ "$(counters)" = "counters 1 1" ] || bad="$bad up:$i"
	if [ $((i % 2)) = 0 ]; then
		attach_stop INT
	else
		kill -9 "$attach_child"
		wait "$attach_child" 2>/dev/null
	fi
	until_true counters_are "0 0" || bad="$bad down:$i:$(counters)"
done
is "again and again" "$bad" ""

# the daemon is killed: the target restores itself at its next hit
attach_start "$target" "$bin/usdt.bpf.o"
is "up once more" "$(counters)" "counters 1 1"
kill -9 "$(cat "$EBPFRT_RUNTIME_DIR/pid")"
wait "$attach_child" 2>/dev/null
until_true eval 'say guarded 1; [ "$answer" = "guarded 0" ]' && ok "the daemon is killed: the target is rid of us" ||
	not_ok "the daemon is killed" "$answer"
is "its counters are down" "$(counters)" "counters 0 0"
say fire 5
is "and it goes on" "$answer" "fired 5 0"

# a library with a counter of its own, that comes and goes
attach_start --prog "on_lib=usdt:$bin/usdt_lib.so:lib:entry" "$target" "$bin/usdt.bpf.o"
bad=
for i in 1 2 3; do
	say load "$bin/usdt_lib.so" 10
	[ "$answer" = "lib 135 1" ] || bad="$bad $i:$answer"
done
is "a library that is loaded and unloaded three times: its counter is up each time" "$bad" ""
is "its probe and arguments" "$(rows 10 | sed -n '10s/ 0 .*//p')" "9 30 60 135 180"
say load "$bin/usdt_lib.so" 10+
attach_stop INT
say load "$bin/usdt_lib.so" 10
is "the counter of a library that stays is down when we leave" "$answer" "lib 135 0"

# libbpf as everybody uses it
mkfifo client.in
ebpfrt exec -p "$target" -- "$bin/usdt_client" "$bin/usdt.bpf.o" "$target" "$bin/usdt" <client.in >client.out 2>client.err &
client=$!
exec 7>client.in
until_true grep -q attached client.out || not_ok "a libbpf program did not attach" "$(cat client.err)"
is "libbpf: the counters are up" "$(counters)" "counters 1 1"
say fire 10
say guarded 4
exec 7>&-
wait $client
is "libbpf: hits, arguments and cookies" "$(tail -n 1 client.out)" \
	"saw 30 30 190 30000 4 4 6 28 10 10 55 10995116277760"
until_true counters_are "0 0" && ok "libbpf: it ends, and the counters are down" || not_ok "libbpf: it ends" "$(counters)"

# arguments that libbpf can't read
for name in indexed relative; do
	try ebpfrt attach -d 1ms --prog "on_other=usdt:$bin/usdt:odd:$name" "$target" "$bin/usdt.bpf.o"
	like "an argument that is $name: refused with a sentence" "$status $err" \
		"on_other cannot be attached to .*usdt:odd:$name: an argument of the probe is where libbpf cannot read it \(unrecog"
	is "and nothing is left" "$(counters)" "counters 0 0"
done
try ebpfrt attach -d 1ms --prog "on_other=usdt:$bin/usdt:odd:none" "$target" "$bin/usdt.bpf.o"
like "no such probe" "$err" "usdt:odd:none: the file has no such USDT probe; \`ebpfrt list .*usdt\` names those it has"
try ebpfrt attach -d 1ms --prog "on_other=usdt:libc.so.6:odd:none" "$target" "$bin/usdt.bpf.o"
like "no probes" "$err" "libc.so.6:odd:none: the file has no USDT probes"
target_quit
is "ends well" "$target_status" 0

# programs of the distribution
if readelf -n "$(readlink -f /usr/bin/python3)" 2>/dev/null | grep -q gc__start; then
	cat >job.py <<'EOT'
import gc, sys
gc.disable()
def work():
    for i in range(500):
        sys.audit("probe_me")
    return sum(gc.collect(2) >= 0 for i in range(10))
print("up", flush=True)
sys.stdin.readline()
print(work(), flush=True)
sys.stdin.readline()
print(work(), flush=True)
EOT
	mkfifo py.in
	/usr/bin/python3 job.py <py.in >py.out &
	py=$!
	exec 7>py.in
	until_true grep -q up py.out
	attach_start --prog "on_audit=usdt:/proc/self/exe:python:audit" \
		--prog "on_gc=usdt:/proc/self/exe:python:gc__start" "$py" "$bin/usdt_real.bpf.o"
	echo go >&7
	until_true eval '[ $(wc -l <py.out) = 2 ]'
	is "python3: its audit events by name, and its collections" "$(map_value real 0) $(map_value real 1)" "500 20"
	attach_stop INT
	echo go >&7
	exec 7>&-
	wait $py
	is "python3: its results, and its end" "$? $(paste -sd ' ' py.out)" "0 up 10 10"
else
	skip 2 "python3 has no USDT probes"
fi
if [ -s "$bin/returns_cc" ]; then
	target_program=$bin/returns_cc
	target_start
	say throw 10
	want=$answer
	attach_start --prog "on_throw=usdt:libstdc++.so.6:libstdcxx:throw" --prog "on_catch=usdt:libstdc++.so.6:libstdcxx:catch" \
		"$target" "$bin/usdt_real.bpf.o"
	say throw 10
	is "libstdc++: exceptions" "$answer | $(map_value real 2) $(map_value real 3)" "$want | 10 10"
	attach_stop INT
	target_quit
else
	skip 1 "no compiler for C++"
fi
