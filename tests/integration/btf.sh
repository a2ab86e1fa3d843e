#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# ebpfrt btf for people: types made from a binary's debug information, printed, written, and as a header that compiles.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 34

bare=$samples/core_bare
try ebpfrt btf gen "$bare" -o made.btf
is "gen: made" "$status $err" "0 "
is "gen: nothing is left beside it" "$(ls made.btf*)" made.btf
try ebpfrt btf dump made.btf
like "dump of what was made" "$out" "STRUCT 'data' size=12 vlen=3"
like "its members" "$out" "'d' type_id=[0-9]* bits_offset=64"
like "its functions" "$out" "FUNC 'add_test' type_id=[0-9]* linkage=global"
try ebpfrt btf dump "$bare" format c
like "dump of a binary, as C" "$out" "^struct data \{"
try ebpfrt btf dump "$bare" format json
is "dump of a binary, as JSON" "$(printf '%s' "$out" | python3 -c '
import json, sys
types = {t["name"]: t for t in json.load(sys.stdin)["types"]}
print([(m["name"], m["bits_offset"]) for m in types["data"]["members"]])')" "[('a', 0), ('c', 32), ('d', 64)]"
"$bare" 600 >/dev/null &
pid=$!
until_true sh -c "readlink /proc/$pid/exe | grep -q core_bare" # it is the shell's at first
try ebpfrt btf dump "$pid" format c
like "dump of a process" "$out" "^struct data \{"
kill "$pid"
if readelf -S "$stage/ebpfrt" 2>/dev/null | grep -q '\.debug_info'; then
	try ebpfrt btf gen "$stage/ebpfrt" -o self.btf # whose file is in use, in parts that were written to
	is "its own debug information" "$status $err" "0 "
else
	skip 1 "ebpfrt has no debug information here"
fi
if [ -x "$(PATH=$PATH:/usr/sbin command -v bpftool)" ]; then
	like "bpftool reads it" "$(bpftool btf dump file made.btf)" "STRUCT 'data' size=12 vlen=3"
else
	skip 1 "no bpftool"
fi

try ebpfrt btf header "$bare"
like "header: guarded" "$out" "^#pragma once"
printf '%s\n' "$out" >bare.h
printf '#include "bare.h"\nint a[sizeof(struct data) == 12 ? 1 : -1];\n' >use.c
try "${CC:-cc}" -Wno-unknown-pragmas -Wno-attributes -c use.c -o use.o
is "header: a C compiler takes it" "$status $err" "0 "

# variables have their places in their sections
"${CC:-cc}" -g -DVERSION=2 "$stage/integration/versions.c" -o version || bail "the compiler failed"
try ebpfrt btf dump version
where() { # SECTION VARIABLE
	echo $((0x$(nm version | awk -v v="$2" '$3 == v { print $1 }') - 0x$(objdump -hw version | awk -v s="$1" '$2 == s { print $4 }')))
}
like "a section" "$out" "DATASEC '.bss' size=$((0x$(objdump -hw version | awk '$2 == ".bss" { print $3 }'))) vlen=6"
like "a variable in it" "$out" "'changed' type_id=[0-9]* offset=$(where .bss changed) size=40"
"${CC:-cc}" -g -DVERSION=2 -c "$stage/integration/versions.c" -o version.o || bail "the compiler failed"
unlike "what is yet to be linked has no places" "$(ebpfrt btf dump version.o)" "DATASEC"

# a BPF object is yet to be linked, too; the compiler has left its sections without sizes and its variables without places
object=$bin/kfuncs.bpf.o
try ebpfrt btf dump "$object"
is "a BPF object's types" "$status $err" "0 "
like "its sections have sizes" "$out" "DATASEC '.bss' size=$((0x$(objdump -hw "$object" | awk '$2 == ".bss" { print $3 }'))) vlen=[0-9]+"
at=$(nm "$object" | awk '$3 == "bytes" { print $1 }')
like "and its variables places" "$out" "'bytes' type_id=[0-9]* offset=$((0x${at:-bad})) size=32"
like "what is outside of it has neither" "$out" "DATASEC '.ksyms' size=0 vlen=[0-9]+"
try ebpfrt btf dump "$object" format c
like "a BPF object as C" "$out" "^struct [a-z_]+ \{"

# a function has all its names, as libc's have
cat >names.c <<'EOT'
int __named(const char *what, int n) { return what[n]; }
extern __typeof__(__named) named __attribute__((alias("__named"), weak));
static __typeof__(__named) hidden __attribute__((alias("__named"), used));
static long quiet(long n) { return n + 1; }
extern __typeof__(quiet) loud __attribute__((alias("quiet")));
int main(void) { return named("x", 0) + quiet(1); }
EOT
cat >other.c <<'EOT'
static int twice(int n) { return n; }
extern __typeof__(twice) unclear __attribute__((alias("twice")));
EOT
echo 'static int twice(const char *s) { return *s; } int use(void) { return twice("x"); }' >third.c
"${CC:-cc}" -g -O0 names.c other.c third.c -o names || bail "the compiler failed"
try ebpfrt btf dump names
proto=$(printf '%s\n' "$out" | sed -n "s/.*FUNC '__named' type_id=\([0-9]*\) .*/\1/p")
like "a name that debug information doesn't have: the same prototype" "$out" "FUNC 'named' type_id=$proto linkage=global"
unlike "none that can't be seen from outside" "$out" "FUNC 'hidden'"
like "one of a static function" "$out" "FUNC 'loud' type_id=$(printf '%s\n' "$out" | sed -n "s/.*FUNC 'quiet' type_id=\([0-9]*\) .*/\1/p") linkage=global"
unlike "none of a name that several functions have" "$out" "FUNC 'unclear'"
is "each once" "$(printf '%s\n' "$out" | grep -c "FUNC 'named'")" 1
if [ -d /usr/lib/debug/.build-id ] && ebpfrt btf gen libc.so.6 -o libc.btf 2>/dev/null; then
	is "libc's" "$(ebpfrt btf dump libc.btf | grep -cE "FUNC '(malloc|printf|fopen|write|pthread_mutex_lock)' ")" 5
else
	skip 1 "no libc6-dbg"
fi

# what can't be
try ebpfrt btf dump /nowhere/x
like "no such file" "$status $err" "^1 ebpfrt: .*/nowhere/x"
try ebpfrt btf dump 999999999
like "no such process" "$status $err" "^1 ebpfrt: .*999999999"
printf 'neither' >neither
try ebpfrt btf gen neither -o x.btf
like "neither ELF nor BTF" "$status $err" "^1 ebpfrt: neither: "
is "and nothing is written" "$(ls x.btf* 2>/dev/null)" ""
strip -g -o stripped "$bare"
try ebpfrt btf gen stripped -o x.btf
like "no debug information" "$status $err" "^1 ebpfrt: stripped: there is no debug information for it; install its -dbgsym"
head -c 8000 "$bare" >torn
try ebpfrt btf gen torn -o x.btf
like "a file that ends early" "$status $err" "^1 ebpfrt: torn: "
try ebpfrt btf gen "$bare" -o /nowhere/x.btf
like "a folder that isn't there" "$status $err" "^1 ebpfrt: cannot write /nowhere/x\.btf: No such file or directory"
try ebpfrt btf gen "$bare"
like "gen without -o" "$status $err" "^2 .*-o FILE"
