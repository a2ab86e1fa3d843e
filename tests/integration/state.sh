#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# All of a thread's state around a hit: registers, flags, vectors, errno, what is below the stack pointer; and hits on stacks
# that are hardly large enough.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 32

target_program=$bin/state
target_start
text=$(python3 "$stage/integration/text_hash.py" "$target")
probe() { # function
	attach_start "$target" "$bin/state.bpf.o" --prog "on_state=uprobe:state:$1"
}

# twice: with the registers that the machine has
for kind in slot step nop; do
	say $kind 500
	want=$answer
	like "$kind: nothing changes by itself" "$want" "^$kind 500 changed 0 "
	probe state_$kind
	say $kind 500
	is "$kind: nothing is changed by hits" "$answer" "$want"
	is "$kind: hits, reads that went well, reads that failed" "$(map_value counts 0) $(map_value counts 1) $(map_value counts 2)" \
		"500 500 500"
	attach_stop INT
done
case $want in
*amx*) ok "tile registers are among them" ;;
*) skip 1 "this CPU has no tile registers (AMX), or they are not permitted" ;;
esac
case $want in
*zmm*) ok "vectors of 512 bits are among them" ;;
*) skip 1 "this CPU has no AVX-512" ;;
esac

for kind in mov jmp push pop call ret; do
	say red $kind 100
	want=$answer
	probe red_$kind
	say red $kind 100
	is "red zone, $kind: as without the probe" "$answer" "$want"
	is "red zone, $kind: hits" "$(map_value counts 0)" 100
	attach_stop INT
done

# no room below the frame: with an alternate stack that is nothing to worry about
say small 200
want=$answer
probe work
say small 200
is "a stack of 4 KB, and an alternate one: the result" "$answer" "$want"
is "a stack of 4 KB, and an alternate one: hits" "$(map_value counts 0)" 200
attach_stop INT

# without one the kernel's frame has to fit there, and what we put below it
say bare 200
want=$answer
probe work
say bare 200
is "a stack that the kernel's frame fits: the result" "$answer" "$want"
is "a stack that the kernel's frame fits: hits" "$(map_value counts 0)" 200
attach_stop INT

# a handler on a small alternate stack
say nested 50
want=$answer
like "an alternate stack of 8 KB: nothing below it is written" "$want" "^nested 50 sum [1-9][0-9]* under 0$"
probe work
say nested 50
is "an alternate stack of 8 KB: as without the probe" "$answer" "$want"
is "an alternate stack of 8 KB: hits" "$(map_value counts 0)" 50
attach_stop INT

is "every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
target_quit
is "it ends well" "$target_status" 0
