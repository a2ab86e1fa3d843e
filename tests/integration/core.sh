#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# One object, two layouts of a struct: fields are found in the target's own types.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 15

o=$samples/core.bpf.o
try ebpfrt run -P "$o" -- "$samples/core_one"
is "struct data {a, c, d}: the program's result" "$out" 4
like "struct data {a, c, d}: the fields read" "$err" "1 \+ 3 = 4"
try ebpfrt run -P "$o" -- "$samples/core_two"
is "struct data {a, b, c, d}: the program's result" "$out" 4
like "struct data {a, b, c, d}: the fields read" "$err" "1 \+ 3 = 4"
try ebpfrt run -P "$o" -- "$samples/core_bare"
[ "$status" != 0 ] && ok "without types it is refused" || not_ok "without types it is refused" "$out" "$err"
like "saying what is missing" "$err" "core_bare.* has no BTF"
like "and what to do" "$err" "pahole --btf_encode_detached|--btf FILE"
try ebpfrt run --btf "$samples/core_two" -P "$o" -- "$samples/core_two"
like "--btf FILE names them" "$err" "1 \+ 3 = 4"

# types in a file of their own beside the binary
cp "$samples/core_bare" detached
objcopy --dump-section .BTF=detached.btf "$samples/core_one" /dev/null
try ebpfrt run -P "$o" -- ./detached
is "types in a detached FILE.btf: the program's result" "$out" 4
like "types in a detached FILE.btf: the fields read" "$err" "1 \\+ 3 = 4"
head -c 100 detached.btf >torn && mv torn detached.btf
try ebpfrt run -P "$o" -- ./detached
like "a damaged FILE.btf is refused by name" "$status $err" "^[1-9][0-9]* .*detached\\.btf"


# a field that not every target has, a helper that no target has: behind a test that says so
g=$bin/guard.bpf.o
try ebpfrt run -P "$g" -- "$samples/core_one"
is "a guarded field that isn't there: the program's result" "$out" 4
like "a guarded field that isn't there is left alone" "$err" "a 1 b -1"
try ebpfrt run -P "$g" -- "$samples/core_two"
is "a guarded field that is there: the program's result" "$out" 4
like "a guarded field that is there is read" "$err" "a 1 b 0"
