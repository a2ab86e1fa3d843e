#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The map types a program and its loader share: what each side does is seen by the other, and by who looks at the maps from the
# command line. As root `bin/maps OBJECT` alone asks the kernel the same.
. "${top_srcdir:-.}/tests/integration/lib.sh"

ebpfrt exec -- "$bin/maps" "$bin/maps.bpf.o" pin >maps.out || bail "maps ended with status $?: $(tail -n 3 maps.out)"
tests=$(sed -n 's/^1\.\.//p' maps.out)
plan $((tests + 15))
grep -v '^1\.\.' maps.out

# queues and stacks
queue=/sys/fs/bpf/maps_queue
try ebpfrt map peek pinned $queue
like "peek at nothing" "$status $err" "^1 ebpfrt: the map is empty"
ebpfrt map push pinned $queue value 5
ebpfrt map enqueue pinned $queue value 0x01020304
is "peek" "$(ebpfrt map peek pinned $queue)" "value: 05 00 00 00"
try ebpfrt map dump pinned $queue
is "dump" "$out" "value: 05 00 00 00"
like "dump says what it can't show" "$err" "a queue shows no more than its next element"
is "pop" "$(ebpfrt map pop pinned $queue)" "value: 05 00 00 00"
is "dequeue, for programs" "$(ebpfrt map dequeue pinned $queue --json)" '{"value":["0x04","0x03","0x02","0x01"]}'
ebpfrt map push pinned /sys/fs/bpf/maps_stack value 1
ebpfrt map push pinned /sys/fs/bpf/maps_stack value 2
is "the stack's" "$(ebpfrt map pop pinned /sys/fs/bpf/maps_stack)" "value: 02 00 00 00"
try ebpfrt map lookup pinned $queue key 1
like "there are no keys" "$status $err" "^1 ebpfrt: "

# filters
try ebpfrt map dump pinned /sys/fs/bpf/maps_bloom
like "a filter can't be listed" "$status $err" "^1 ebpfrt: a map of type bloom_filter does not say what is in it"

# maps of maps
outer=/sys/fs/bpf/maps_outer
second=$(ebpfrt map show pinned /sys/fs/bpf/maps_second --json | sed 's/.*"id":\([0-9]*\).*/\1/')
is "an element is an id" "$(ebpfrt map lookup pinned $outer key 1)" "key: 01 00 00 00  inner_map_id: $second"
ebpfrt map update pinned $outer key 2 value id "$second"
is "an element is set by naming a map" "$(ebpfrt map dump pinned $outer | sed -n '/^key: 02/p')" \
	"key: 02 00 00 00  inner_map_id: $second"
like "the same for programs" "$(ebpfrt map dump pinned $outer --json)" "\{\"key\":.*,\"inner_map_id\":$second\}\]\$"
try ebpfrt map lookup pinned $outer
like "no element named" "$status $err" "^2 ebpfrt: which element\? key DATA"
try ebpfrt map update pinned $outer key 2
like "no value given" "$status $err" "^2 ebpfrt: which value\? value DATA"
try ebpfrt map update pinned $outer key 2 value id 1000000
like "a map that isn't there" "$status $err" "^1 ebpfrt: there is no map"
