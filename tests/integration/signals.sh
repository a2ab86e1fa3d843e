#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The application's signals stay its own, its bad pointers are its own, ours hurt nobody.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 9

target_start
say trap
is "before: own int3 and own SIGTRAP" "$answer" "trap 2"
say segv
is "before: own SIGSEGV handler" "$answer" "segv 1 0x10"
attach_start "$target" "$bin/count.bpf.o"
say trap
is "attached: own int3 and own SIGTRAP" "$answer" "trap 4"
say call 100
is "probes still work" "$(map_value counts 0)" 100
say segv
is "attached: own SIGSEGV handler" "$answer" "segv 2 0x10"
say jump 1000
is "longjmp" "$answer" "jump 1000"
say deep 2000
is "recursion" "$answer" "sum 2000"
attach_stop INT
say trap
is "afterwards: own int3 and own SIGTRAP" "$answer" "trap 6"
say segv
is "afterwards: own SIGSEGV handler" "$answer" "segv 3 0x10"
target_quit
