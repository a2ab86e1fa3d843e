#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What the environment says instead of an option.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 15

jited() { # of the program on_work: True or False, and bytes of machine code or none
	ebpfrt prog show name on_work --json | python3 -c 'import json, sys
p = json.load(sys.stdin)
print(p["jited"], p.get("bytes_jited", 0) > 0)'
}

# no machine code: the same results
target_start
EBPFRT_JIT=0
export EBPFRT_JIT
attach_start "$target" "$bin/count.bpf.o"
unset EBPFRT_JIT
like "EBPFRT_JIT=0: interpreted" "$(jited)" "^False False\$"
say call 7
is "its maps are the same" "$answer $(map_value counts 0) $(map_value counts 2)" "sum 49 7 7"
try ebpfrt prog dump jited name on_work
is "there is no machine code to show" "$([ "$status" != 0 ] || [ -z "$out" ] && echo none)" none
attach_stop INT
like "and so is the end" "$attach_status $(tail -n 1 attach.err)" "^0 ebpfrt: detached, [12] sites? restored; 14 hits, 0 lost"

# of the one who loads, not of the daemon: the same one serves both
ebpfrt attach -q -d 60 "$target" "$bin/lines.bpf.o" >other.out 2>other.err &
other=$!
until_true sh -c 'ebpfrt prog list --json | grep -q "\"name\""'
for jit in 1 ""; do
	EBPFRT_JIT=$jit
	export EBPFRT_JIT
	attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe::work --prog on_work_done=uretprobe::work
	unset EBPFRT_JIT
	say call 3
	is "EBPFRT_JIT='$jit' changes nothing" "$(map_value counts 0)" 3
	code=$(ebpfrt prog list --json | python3 -c 'import json, sys
print(sorted(set(p["jited"] for p in json.load(sys.stdin))))')
	is "there is machine code where the machine has a compiler" "$code" "[True]"
	attach_stop INT
done
kill -INT "$other"
wait "$other"
target_quit

try env EBPFRT_JIT=0 ebpfrt run -P "$samples/hello.bpf.o" -- sh -c 'exit 3'
is "run, too: the command's status" "$status" 3

# types of the target
o=$samples/core.bpf.o
objcopy --dump-section .BTF=one.btf "$samples/core_one" /dev/null
strip -g -o core_bare "$samples/core_bare"
try ebpfrt run -P "$o" -- ./core_bare
like "without types it is refused" "$status $err" "has no BTF"
try env EBPFRT_BTF_PATH=one.btf ebpfrt run -P "$o" -- "$samples/core_bare"
like "EBPFRT_BTF_PATH names them" "$err" "1 \\+ 3 = 4"
try env EBPFRT_BTF_PATH=/nonexistent.btf ebpfrt run --btf one.btf -P "$o" -- "$samples/core_bare"
like "--btf is stronger" "$err" "1 \\+ 3 = 4"
try env EBPFRT_BTF_PATH=/nonexistent.btf ebpfrt run -P "$o" -- "$samples/core_bare"
like "a file that is not there is named" "$status $err" "^125 .*/nonexistent.btf"
try env EBPFRT_BTF_PATH=/nonexistent.btf ebpfrt run -q -P "$samples/hello.bpf.o" -- true
is "who needs no types does not ask for them" "$status" 0

# a daemon that is leaving has no socket any more and still its lock: the next one takes its turn
mkdir -m 700 other
flock other/pid sh -c 'touch held; sleep 0.5' &
until_true [ -e held ]
try env EBPFRT_RUNTIME_DIR="$PWD/other" ebpfrt ps
is "a daemon that takes its time to leave" "$status $err" "0 "
wait $!
