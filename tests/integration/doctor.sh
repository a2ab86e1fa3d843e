#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What works here, and what an object would do: said without touching anything.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 19

target_start
say text
text=$answer
try ebpfrt doctor -p "$target"
is "doctor: all is well" "$status $err" "0 "
unlike "and every line says so" "$out" '^fail'
like "the process, too" "$out" "^ok +process +$target \(target\) can be attached to\$"
say text
is "doctor touches nothing" "$answer" "$text"
try ebpfrt check -p "$target" "$bin/count.bpf.o"
is "check: the object is fine" "$status $err" "0 ebpfrt: $bin/count.bpf.o is fine"
like "what it would be attached to" "$out" "^on_work_done +uretprobe +$bin/target:work +trap\$"
say text
is "check touches nothing" "$answer" "$text"
is "and leaves no program" "$(ebpfrt prog list --json)" "[]"

# what doesn't work: the line, the remedy below it, status 1
doctor_says() { # NAME PATTERN REMEDY CMD...
	name=$1 pattern=$2 remedy=$3
	shift 3
	try "$@"
	below=$(printf '%s\n' "$out" | grep -E -A 1 -- "$pattern" | sed -n 2p)
	if [ "$status" = 1 ] && printf '%s\n' "$below" | grep -qE -- "^ {20,}$remedy"; then
		ok "$name"
	else
		not_ok "$name" "status $status" "$out" "$err"
	fi
}
doctor_says "no agent" '^fail +agent +\$EBPFRT_AGENT names /no/agent\.so: No such file' 'install ebpfrt again' \
	env EBPFRT_AGENT=/no/agent.so ebpfrt doctor
doctor_says "no surface library" '^fail +surface library +\$EBPFRT_SURFACE names /no/surface\.so: No such file' 'install ebpfrt again' \
	env EBPFRT_SURFACE=/no/surface.so ebpfrt doctor
mkdir -m 755 open
doctor_says "a runtime directory that is open to others" \
	"^fail +runtime directory +the runtime directory $PWD/open is open to other users \(mode 0755\); run: chmod 700 $PWD/open\$" \
	'set \$EBPFRT_RUNTIME_DIR' env EBPFRT_RUNTIME_DIR="$PWD/open" ebpfrt doctor
try ebpfrt doctor -p 1
like "a process of another user" "$status $out" '^fail +process +cannot attach to 1 \(.*\): belongs to uid 0, you are [0-9]+; run ebpfrt as that user$'
is "is a failure" "$status" 1
try ebpfrt doctor -p 99999999
like "a process that isn't there" "$out" '^fail +process +cannot attach to 99999999: no such process$'
try env EBPFRT_AGENT=/no/agent.so ebpfrt doctor --json
is "for programs, the same" "$status $(printf '%s' "$out" | python3 -c 'import json,sys
print([(c["name"], c["remedy"] != "") for c in json.load(sys.stdin) if c["verdict"] == "fail"])')" "1 [('agent', True)]"

# attach, covering the children or not
attach_start "$target" "$bin/count.bpf.o"
say fork 5
is "calls of a child that is forked are counted" "$(map_value counts 0)" 5
attach_stop INT
attach_start --no-follow "$target" "$bin/count.bpf.o"
say fork 5
is "with --no-follow they are not" "$answer $(map_value counts 0)" "child 7 25 0"
attach_stop INT
target_quit

try ebpfrt env agent
is "env agent" "$status $out" "0 $stage/libebpfrt-agent.so"
try ebpfrt env surface
is "env surface" "$status $out" "0 $stage/libebpfrt-surface.so"
