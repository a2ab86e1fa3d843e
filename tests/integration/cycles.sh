#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What stays of us in a target after a detachment is little, and does not grow however often one attaches. CYCLES (100) says how often one
# client does.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 9
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
called=$answer
text=$(python3 "$stage/integration/text_hash.py" "$target")
cat "/proc/$target/maps" >maps.before
attach_start "$target" "$bin/count.bpf.o"
say call 100
is "it counts" "$(map_value counts 0)" 100
attached=$(wc -l <"/proc/$target/maps")
attach_stop INT
ours >left
sed 's/^/# stays: /' left
# the agent's text and pads stay, as a thread may be on its way over them
unlike "no map, image or ring stays" "$(grep -v ' /memfd:ebpfrt-\(agent\|slots\) ' left)" "memfd|/ebpfrt-[a-z]*[0-9]|ebpfrt-lent|rw-s|r-xs|r--s"
[ "$(wc -l <"/proc/$target/maps")" -lt "$attached" ] && ok "there are fewer mappings than before" || not_ok "mappings" "$attached"
kib=$(awk '{n += $1} END {print n + 0}' left)
echo "# $kib KiB of address space in $(wc -l <left) mappings"
[ "$kib" -lt 3072 ] && ok "what stays is not much" || not_ok "what stays is not much" "$kib KiB"

# by the command line, as it does whatever it does: few of them
i=0
bad=
begun=$(date +%s)
while [ $i -lt 100 ]; do
	[ $i != 5 ] || { first=$(wc -l <"/proc/$target/maps") rss=$(status_of VmRSS) size=$(status_of VmSize); }
	cycle || bad="$bad $i: $(cat attach.out)"
	i=$((i + 1))
done
echo "# $i times in $(($(date +%s) - begun)) seconds"
is "attached and detached $i times" "$bad" ""
is "every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"

# by one client that does nothing else, while functions are called
done=0
bad=
begun=$(date +%s)
while [ $done -lt "$cycles" ] && [ -z "$bad" ]; do
	times=$((cycles - done < 1000 ? cycles - done : 1000))
	out=$(ebpfrt exec -- "$bin/cycles" "$bin/count.bpf.o" "$target" work $times 2>&1)
	[ "$out" = "cycles $times" ] || bad="$bad $done: $out"
	now=$(python3 "$stage/integration/text_hash.py" "$target")
	[ "$now" = "$text" ] || bad="$bad $done: the text is $now"
	say call 10
	[ "$answer" = "$called" ] || bad="$bad $done: $answer"
	done=$((done + times))
done
echo "# $done times in $(($(date +%s) - begun)) seconds"
is "attached and detached $cycles times by one client, the text as before, calls as ever" "$bad" ""
is "without more mappings or memory" \
	"$(wc -l <"/proc/$target/maps") $(status_of VmSize) $([ "$(status_of VmRSS)" -le $((rss + 64)) ] || status_of VmRSS)" \
	"$first $size "
target_quit
is "it ends well" "$target_status" 0
