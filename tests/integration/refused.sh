#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that can't be shown to be safe: the verifier's reason, the line of the source, what to do about it. Nothing of
# them gets into a process.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 25

refused() { # program, reason, source line, advice
	try ebpfrt check "$bin/$1.bpf.o"
	is "$1: the status" "$status" 1
	like "$1: the reason" "$err" "was refused: .*$2"
	like "$1: the place" "$err" "at .*$3.*refused.bpf.c:[0-9]+"
	like "$1: what to do" "$err" "$4"
}
refused not_tested "R[0-9] invalid mem access 'map_value_or_null'" "v\[0\] = 1" "may return NULL: test its result"
refused beyond "invalid access to map value, value_size=32 off=32 size=8" "v\[ctx->rdi\] = 1" "compare the index with the size"
refused unbounded "math between map_value pointer and register with unbounded min value" "v\[ctx->rdi\] = 1" "compare it with a constant"
refused kept "Unreleased reference id=[0-9]+ alloc_insn=[0-9]+" "return 0" "neither submitted nor discarded"
refused direct "invalid mem access 'scalar'" "return \*" "bpf_probe_read_user"

like "check shows the log" "$err" "1: \("
target_start
try ebpfrt attach -p "$target" "$bin/not_tested.bpf.o"
is "attach refuses it" "$status" 1
like "with the same words" "$err" "map_value_or_null"
unlike "and without the log" "$err" "call bpf_map_lookup_elem"
say "call 1"
target_quit
is "and the process goes on" "$target_status" 0
