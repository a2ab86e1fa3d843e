#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Libraries that come and go, another one at the same address: counts are exact, and what belongs to the other is never touched.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 15

n=50
a=$bin/reuse_a.so
b=$bin/reuse_b.so
target_program=$bin/reuse

# the sums that n cycles give: slot() and plain() of both
sum=0
for i in $(seq 0 $((n - 1))); do
	sum=$((sum + 3 * i + i + 2 + 5 * i + i + 1))
done

target_start
say cycle "$a" "$b" $n
set -- $answer
is "without probes" "$1 $2 $3 $5" "cycle $sum $n 0"
like "the second library comes where the first was" "$4" "^[1-9]"

# the first one probed: its nop, and its push; the second has a break instruction of its own where the nop was
attach_start --prog "on_slot=uprobe:$a:slot" --prog "on_plain=uprobe:$a:plain" --prog "on_return=uretprobe:$a:plain" \
	"$target" "$bin/reuse.bpf.o"
like "pending" "$(cat attach.out attach.err)" "on_slot +uprobe.*slot +pending"
say cycle "$a" "$b" $n
set -- $answer
is "the first is probed: results, and every SIGTRAP of the second is its own" "$1 $2 $3" "cycle $sum $n"
like "at the same addresses" "$4" "^[1-9]"
is "the code of the second was never touched" "$5" 0
is "each call of the first was counted" "$(map_value reuse 0) $(map_value reuse 1) $(map_value reuse 2)" "$n $n $n"
is "and what it returned" "$(map_value reuse 3)" $((n * (n - 1) / 2 + 2 * n))
say keep "$b"
is "the second stays" "$answer" "kept 0"
attach_stop INT
say call
is "we leave: nothing of the second has changed" "$answer" "called 280 10 0"
target_quit
is "ends well" "$target_status" 0

# both probed: each is counted for itself
target_start
attach_start --prog "on_slot=uprobe:$a:slot" --prog "on_plain=uprobe:$b:plain" --prog "on_return=uretprobe:$b:plain" \
	"$target" "$bin/reuse.bpf.o"
say cycle "$a" "$b" $n
set -- $answer
is "both are probed: results, and the own break instruction" "$1 $2 $3" "cycle $sum $n"
is "each is counted for itself" "$(map_value reuse 0) $(map_value reuse 1) $(map_value reuse 2) $(map_value reuse 3)" \
	"$n $n $n $((n * (n - 1) / 2 + n))"
attach_stop INT
say cycle "$a" "$b" 5
is "and left" "$answer" "$(echo "$answer" | sed 's/^cycle [0-9]* [0-9]* \([0-9]*\) .*/cycle 115 5 \1 0/')"
target_quit
is "ends well, too" "$target_status" 0
