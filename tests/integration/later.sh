#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A library that is not there yet: the probe is pending, then attached; unloading and loading again is no trouble.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 8

target_start
say text
text=$answer
attach_start --prog "on_later=uprobe:$bin/later.so:later" "$target" "$bin/later.bpf.o"
like "it is pending" "$(cat attach.out attach.err)" "on_later +uprobe.*later +pending"
say load "$bin/later.so" later 100
is "the library's function works" "$answer" "sum 5450"
is "and was probed from its first call" "$(map_value later_calls 0)" 100
say load "$bin/later.so" later 50+
is "loaded again" "$answer" "sum 1475"
is "it is probed again" "$(map_value later_calls 0)" 150
say threads 4 100
is "threads start and end meanwhile" "$answer" "sum 40000"
attach_stop INT
is "detach" "$attach_status" 0
target_quit
is "the target ends well" "$target_status" 0
