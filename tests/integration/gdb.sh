#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A debugger and probes in the same process: what is not safe is refused with its name; one that comes later and passes SIGTRAP
# on changes nothing, also with break points of its own beside ours.
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
plan 16

# COMMAND..., from the second one on while the target goes on
gdb_start() {
	rm -f gdb.ready
	{
		printf '%s\n' 'set pagination off' 'set confirm off' 'handle SIGTRAP nostop noprint pass' "$1" 'shell touch gdb.ready'
		shift
		printf '%s\n' "$@"
	} >gdb.in
	env -u DEBUGINFOD_URLS timeout 60 gdb -nx -q -p "$target" -x gdb.in >gdb.out 2>&1 </dev/null &
	gdb_child=$!
	until_true [ -e gdb.ready ]
	until_true grep -q '^State:.S' "/proc/$target/status"
}

# a break byte of somebody else's
poke() { # byte in octal or "", of work(); its old one in $poked
	poked=$(python3 -c '
import subprocess, sys
pid, exe, byte = sys.argv[1:]
sym = [l.split() for l in subprocess.check_output(["nm", exe], text=True).splitlines()]
at = [int(s[0], 16) for s in sym if s[-1] == "work"][0] + int(open(f"/proc/{pid}/maps").readline().split("-")[0], 16)
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

gdb_start 'info threads' continue
try ebpfrt attach -d 0 "$target" "$bin/count.bpf.o"
is "under gdb: status" "$status" 1
like "under gdb: words" "$err" "cannot attach to $target \(target\): process [0-9]+ \(gdb\) traces it already; end that"
kill "$gdb_child"
wait "$gdb_child"

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
