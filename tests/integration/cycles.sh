#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What stays of us in a target after a detachment is little, and does not grow however often one attaches.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 7
cycles=${CYCLES:-100}

# mappings of a process that it did not have before us, with their size in KiB
ours() {
	python3 -c '
import sys
def rows(path):
    for line in open(path):
        f = line.split(None, 5)
        yield f[0], f[1], f[5].strip() if len(f) > 5 else ""
before = set(rows(sys.argv[1]))
for where, how, name in rows(sys.argv[2]):
    lo, hi = (int(x, 16) for x in where.split("-"))
    if (where, how, name) not in before:
        print((hi - lo) // 1024, how, name or "unnamed")' maps.before "/proc/$target/maps"
}

status_of() {
	sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" "/proc/$target/status"
}

cycle() {
	ebpfrt attach --no-maps -q -d 1ms -p "$target" "$bin/count.bpf.o" >attach.out 2>&1
}

target_start
say call 10
text=$(python3 "$stage/integration/text_hash.py" "$target")
cat "/proc/$target/maps" >maps.before
attach_start "$target" "$bin/count.bpf.o"
say call 100
is "it counts" "$(map_value counts 0)" 100
attached=$(wc -l <"/proc/$target/maps")
attach_stop INT
ours >left
sed 's/^/# stays: /' left
unlike "no map, image or ring stays" "$(cat left)" "memfd|/ebpfrt-[a-z]*[0-9]|ebpfrt-lent|rw-s|r-xs|r--s"
[ "$(wc -l <"/proc/$target/maps")" -lt "$attached" ] && ok "there are fewer mappings than before" || not_ok "mappings" "$attached"
kib=$(awk '{n += $1} END {print n + 0}' left)
echo "# $kib KiB of address space in $(wc -l <left) mappings"
[ "$kib" -lt 2816 ] && ok "what stays is not much" || not_ok "what stays is not much" "$kib KiB"

i=0
bad=
begun=$(date +%s)
while [ $i -lt "$cycles" ]; do
	[ $i != 5 ] || { first=$(wc -l <"/proc/$target/maps") rss=$(status_of VmRSS) size=$(status_of VmSize); }
	cycle || bad="$bad $i: $(cat attach.out)"
	i=$((i + 1))
done
echo "# $cycles times in $(($(date +%s) - begun)) seconds"
is "attached and detached $cycles times" "$bad" ""
is "every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
is "without more mappings or memory" \
	"$(wc -l <"/proc/$target/maps") $(status_of VmSize) $([ "$(status_of VmRSS)" -le $((rss + 64)) ] || status_of VmRSS)" \
	"$first $size "
target_quit
