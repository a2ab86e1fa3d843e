#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that know nothing of ebpfrt: a libbpf skeleton with a ring buffer and global data, and bpftool.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 24

target_start
ebpfrt exec -p "$target" -- "$samples/events" 0 1 >events.out 2>events.err </dev/null &
events=$!
attached() {
	ebpfrt link list | grep -q 'pid .*attached'
}
until_true attached && ok "the skeleton program is attached" || not_ok "the skeleton program is attached" "$(cat events.err)"
say malloc 500
seen() {
	[ "$(grep -c 'malloc(' events.out)" -ge 500 ]
}
until_true seen && ok "its ring buffer delivers" || not_ok "its ring buffer delivers" "$(tail -n 3 events.out events.err)"

bt="ebpfrt exec -- bpftool"
if ! command -v bpftool >/dev/null; then
	skip 19 "bpftool is not installed"
else
	try $bt prog show
	like "bpftool prog show: the program" "$out" "^[0-9]+: kprobe +name on_malloc +tag [0-9a-f]{16}"
	like "with its maps" "$out" "map_ids [0-9]+"
	try $bt map show
	like "bpftool map show" "$out" "^[0-9]+: ringbuf +name events"
	try $bt -j map dump name events_b.bss
	is "bpftool map dump of global data" "$status" 0
	like "with its BTF" "$out" '"sent": ?[0-9]+'
	try $bt btf show
	like "bpftool btf show" "$out" "^[0-9]+: name "
	id=$($bt -j btf show | python3 -c 'import json,sys; print([b["id"] for b in json.load(sys.stdin) if b.get("prog_ids")][0])')
	try $bt btf dump id "$id"
	like "bpftool btf dump" "$out" "STRUCT 'event'"
	try $bt prog dump xlated name on_malloc
	like "bpftool prog dump xlated" "$out" "call bpf_ringbuf_reserve|call .*131"
	try $bt link show
	like "bpftool link show" "$out" "^[0-9]+: perf_event"
	try $bt perf show
	like "bpftool perf show" "$out" "pid $events +fd [0-9]+: prog_id [0-9]+ +uprobe +filename .*/libc.so.6 +offset [0-9]+"
	try $bt prog pin name on_malloc /sys/fs/bpf/prog
	is "bpftool prog pin" "$status" 0
	try $bt map pin name events /sys/fs/bpf/map
	is "bpftool map pin" "$status" 0
	try $bt link pin id "$($bt -j link show | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["id"])')" /sys/fs/bpf/link
	is "bpftool link pin" "$status" 0
	try $bt prog show pinned /sys/fs/bpf/prog
	like "bpftool prog show pinned" "$out" "name on_malloc"
	for noun in prog map link; do
		try $bt -f $noun show
		like "bpftool -f $noun show names the pin" "$out" "^	pinned /sys/fs/bpf/$noun$"
	done
	try ebpfrt exec -- ls /sys/fs/bpf
	is "ls shows the pins" "$(echo $out)" "link map prog"
	try ebpfrt exec -- rm -r /sys/fs/bpf/prog /sys/fs/bpf/map /sys/fs/bpf/link
	is "rm takes them away" "$status" 0
fi
kill -INT $events
wait $events
is "the skeleton program ends well" "$?" 0
like "its global data is read through mmap" "$(cat events.out)" "events read, [1-9][0-9]* calls seen"
target_quit
is "the target ends well" "$target_status" 0
