#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# One object, two layouts of a struct: fields are found in the target's own types.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 26

o=$samples/core.bpf.o
try ebpfrt run -P "$o" -- "$samples/core_one"
is "struct data {a, c, d}: the program's result" "$out" 4
like "struct data {a, c, d}: the fields read" "$err" "1 \+ 3 = 4"
try ebpfrt run -P "$o" -- "$samples/core_two"
is "struct data {a, b, c, d}: the program's result" "$out" 4
like "struct data {a, b, c, d}: the fields read" "$err" "1 \+ 3 = 4"
# compiled with -g, nothing else
try ebpfrt run -P "$o" -- "$samples/core_bare"
is "types from debug information: the program's result" "$out" 4
like "types from debug information: the fields read" "$err" "1 \\+ 3 = 4"
bare=$(basename "$samples/core_bare")
cache=$(find "$HOME/.cache/ebpfrt/btf" -type f)
is "they are kept for the next time" "$(printf '%s\n' "$cache" | wc -l)" 1
was=$(cksum <"$cache")
printf X | dd of="$cache" bs=1 seek=300 conv=notrunc 2>/dev/null
try ebpfrt run -P "$o" -- "$samples/core_bare"
like "damaged there they are made again: the fields read" "$err" "1 \\+ 3 = 4"
is "damaged there they are made again: the same" "$(cksum <"$cache")" "$was"
rm -r "$HOME/.cache"

# a separate debug file
mkdir -p symbols
objcopy --only-keep-debug "$samples/core_bare" "symbols/$bare.debug"
strip -g -o "$bare" "$samples/core_bare"
objcopy --add-gnu-debuglink="symbols/$bare.debug" "$bare" linked
try ebpfrt run --debuginfo "$PWD/symbols" -P "$o" -- ./linked
like "a separate debug file: the fields read" "$err" "1 \\+ 3 = 4"
rm -rf "$HOME/.cache"

try ebpfrt run -P "$o" -- "./$bare"
[ "$status" != 0 ] && ok "without types it is refused" || not_ok "without types it is refused" "$out" "$err"
like "saying what is missing" "$err" "core_bare.* has no BTF and no debug information"
like "and what to do" "$err" "compile it with -g.*--btf FILE"
try ebpfrt run --btf "$samples/core_two" -P "$o" -- "$samples/core_two"
like "--btf FILE names them" "$err" "1 \+ 3 = 4"
try ebpfrt run --btf "$bare=$samples/core_two" -P "$o" -- "./$bare"
like "--btf OBJ=FILE names those of one: its layout is read" "$err" "1 \\+ 4 = 5"
try ebpfrt run --btf "libother=$samples/core_two" -P "$o" -- "./$bare"
like "--btf OBJ=FILE of what isn't probed is refused" "$status $err" \
	"^125 .*--btf libother=.*nothing that is probed is called libother"

# types in a file of their own beside the binary
cp "$samples/core_bare" detached
objcopy --dump-section .BTF=detached.btf "$samples/core_one" /dev/null
try ebpfrt run -P "$o" -- ./detached
is "types in a detached FILE.btf: the program's result" "$out" 4
like "types in a detached FILE.btf: the fields read" "$err" "1 \\+ 3 = 4"
head -c 100 detached.btf >torn && mv torn detached.btf
try ebpfrt run -P "$o" -- ./detached
like "a damaged FILE.btf is refused by name" "$status $err" "^[1-9][0-9]* .*detached\\.btf"

# what hurts whoever reads it
cp "$samples/core_bare" hostile
at=$(objdump -hw hostile | awk '$2 == ".debug_info" {print $6}')
yes '~' | tr -d '\n' | head -c 64 | dd of=hostile bs=1 seek=$((0x$at + 12)) conv=notrunc 2>/dev/null
try ebpfrt run -P "$o" -- ./hostile
[ "$status" != 0 ] && ok "damaged debug information is refused" || not_ok "damaged debug information is refused" "$err"
like "damaged debug information is refused by name" "$err" "hostile"
hostile_id=$(readelf -n hostile | sed -n 's/.*Build ID: //p')
is "and not kept" "$(find "$HOME/.cache" -type f -name "$hostile_id*" 2>/dev/null)" ""


# a field that not every target has, a helper that no target has: behind a test that says so
g=$bin/guard.bpf.o
try ebpfrt run -P "$g" -- "$samples/core_one"
is "a guarded field that isn't there: the program's result" "$out" 4
like "a guarded field that isn't there is left alone" "$err" "a 1 b -1"
try ebpfrt run -P "$g" -- "$samples/core_two"
is "a guarded field that is there: the program's result" "$out" 4
like "a guarded field that is there is read" "$err" "a 1 b 0"
