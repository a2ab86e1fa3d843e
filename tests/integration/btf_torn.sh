#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Damaged binaries and BTF: whatever `ebpfrt btf` does with them, it is what it does or a sentence that names the file, and it ends.
# BTF_TORN_SEED repeats what failed; BTF_TORN_ROUNDS=5000 tries more.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 10

cc="${CC:-cc} -g -Wl,--build-id=none -DVERSION=1" # nothing is to be found in the cache
$cc "$stage/integration/versions.c" -o v1 || bail "the compiler failed"
$cc -gdwarf-5 -fdebug-types-section "$stage/integration/versions.c" -o units || bail "the compiler failed"
ebpfrt btf gen v1 -o v1.btf
cp "$samples/core_one" has_btf
cp "$bin/kfuncs.bpf.o" unlinked
set -- ./v1 ./units ./v1.btf ./has_btf ./unlinked
[ ! -x "$bin/classes" ] || {
	objcopy --remove-section=.note.gnu.build-id "$bin/classes" classes
	set -- "$@" ./classes
}
seed=${BTF_TORN_SEED:-$$}
echo "# BTF_TORN_SEED=$seed"
python3 "$stage/integration/btf_mutate.py" "${BTF_TORN_ROUNDS:-300}" "$seed" "$bin/btfdiff.bpf.o" "$@" >mutate.out 2>&1
sed 's/^/# /' mutate.out
like "random damage: a result or a sentence" "$(tail -1 mutate.out)" "'wrong': 0\\}"
like "some of it is refused" "$(tail -1 mutate.out)" "'refused': [1-9]"
like "some does no harm" "$(tail -1 mutate.out)" "'read': [1-9]"

# what people meet
size=$(wc -c <v1)
: >none
try ebpfrt btf dump none
like "an empty file" "$status $err" "^1 ebpfrt: none: its BTF is damaged"
like "a folder" "$(ebpfrt btf dump /tmp 2>&1)" "^ebpfrt: /tmp: "
head -c $((size / 2)) v1 >half
try ebpfrt btf dump half
like "half of a binary" "$status $err" "^1 ebpfrt: half: the file ends before its section headers do; take it from its package again"
try ebpfrt btf diff v1 half
like "to compare with" "$status $err" "^2 ebpfrt: half: the file ends before"
try ebpfrt btf merge -o x.btf v1 half
like "to join" "$status $err" "^1 ebpfrt: half: the file ends before"
head -c 50 v1.btf >half.btf
try ebpfrt btf merge -o x.btf v1 half.btf
like "half of a BTF file" "$status $err" "^1 ebpfrt: half\\.btf: its BTF is damaged; make it again with .ebpfrt btf gen"
is "nothing is written" "$(ls x.btf* 2>/dev/null)" ""
