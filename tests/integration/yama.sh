#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Where kernel.yama.ptrace_scope is set (Ubuntu's default is 1): what runs already is refused with the remedy, and the remedy
# works, because an agent that comes by itself brings its memory along and admits its daemon.
. "${top_srcdir:-.}/tests/integration/lib.sh"
scope=$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0)
if [ "$scope" = 0 ]; then
	echo "1..0 # SKIP kernel.yama.ptrace_scope is 0, or not in this kernel"
	exit 0
fi
plan 17

target_start
say text
clean=$answer
try ebpfrt attach "$target" "$bin/count.bpf.o"
is "one that runs can't be attached to" "$status" 1
like "the reason and the remedy" "$err" "cannot attach to $target \(target\): ptrace denied, kernel.yama.ptrace_scope is $scope.*; start it with 'ebpfrt run'"
say text
is "it is untouched" "$answer" "$clean"
say call 3
is "and goes on" "$answer" "sum 9"
target_quit
try ebpfrt doctor
like "doctor says so" "$out" "yama .*ptrace_scope is $scope"

target_start env LD_PRELOAD="$(ebpfrt env agent)"
try ebpfrt attach -d 0 "$target" "$bin/count.bpf.o"
is "one that preloaded the agent can" "$status" 0
say call 3
is "it goes on" "$answer" "sum 9"
target_quit
is "to its end" "$target_status" 0

printf 'call 100\nfork 50\nthreads 4 25\nquit 5\n' >script
try ebpfrt run -P "$bin/count.bpf.o" -- "$bin/target" <script
is "run: the status is the command's" "$status" 5
like "run: entries of parent, child and threads are counted" "$err" "\[0\]: 250\$|0: 250\$"

target_start ebpfrt run -q -o run.out -P "$bin/lines.bpf.o" --
say call 2
is "one that was started with it" "$answer" "sum 4"
attach_start "$target" "$bin/count.bpf.o"
like "can be attached to while it runs" "$(cat attach.out attach.err)" "Tracing"
say call 4
is "and goes on" "$answer" "sum 16"
is "its calls are counted" "$(map_value counts 0)" 4
attach_stop INT
is "and it can be detached from" "$attach_status" 0
like "restored" "$(cat attach.err)" "detached, [0-9]+ sites? restored"
target_quit
is "its end is its own" "$target_status" 0
