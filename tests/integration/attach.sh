#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Attach to a process that runs, count exactly, leave no trace.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 22

target_start
say text
text=$answer
say self
self=$answer

attach_start "$target" "$bin/count.bpf.o"
like "says what was attached" "$(cat attach.out attach.err)" "on_work +uprobe.*target:work +attached"
like "and that it traces" "$(cat attach.out attach.err)" "Tracing 2 probes in 1 process"
say text
unlike "the text is patched" "$answer" "^$text\$"
say call 1000
is "the target computes what it did before" "$answer" "sum 1000000"
is "every entry was counted" "$(map_value counts 0)" 1000
is "with its argument" "$(map_value counts 1)" 499500
is "every return was counted" "$(map_value counts 2)" 1000
is "with its value" "$(map_value counts 3)" 1000000
say threads 8 5000
is "threads compute what they did" "$answer" "sum 200000000"
is "entries of all threads were counted" "$(map_value counts 0)" 41000
is "returns too" "$(map_value counts 2)" 41000
say self
is "no descriptor, no thread, no mask changed" "$answer" "$self"
attach_stop INT
is "Ctrl-C ends it with status 0" "$attach_status" 0
like "says how many sites were restored" "$(cat attach.out attach.err)" "detached, [0-9]+ sites? restored"
like "prints the maps" "$(cat attach.out)" "@counts"
say text
is "every byte is as before" "$answer" "$text"
say call 10
is "and the target goes on" "$answer" "sum 100"

attach_start "$target" "$bin/count.bpf.o"
say call 5
is "attaching again counts again" "$(map_value counts 0)" 5
attach_stop TERM
is "SIGTERM ends it with status 0" "$attach_status" 0

try ebpfrt attach -d 0.2 -p "$target" "$bin/count.bpf.o"
is "-d ends by itself" "$status" 0
say text
is "and leaves every byte as before" "$answer" "$text"
target_quit 3
is "the target's exit status is its own" "$target_status" 3
