#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Jumps over several instructions, as nothing else fits: exact counts, the same results also of who comes in behind the first
# instruction, probes within, attached and detached while threads are there, every byte back, after the daemon's death, too.
# In a program that can be anywhere, and in one that is in the first 2 GiB.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 55
rounds=${OVER_ROUNDS:-8}
EBPFRT_PROBE=auto
export EBPFRT_PROBE
functions="one two three"

text_now() {
	python3 "$stage/integration/text_hash.py" "$target"
}

first_byte() { # function
	python3 "$stage/integration/rungs.py" "$target" "$target_program" "$1"
}

is_restored() { # function, byte
	[ "$(first_byte "$1")" = "$1 $2" ]
}

more_rounds() { # than
	kill -0 "$target" || exit 1
	say rounds
	[ "${answer#rounds }" -gt "$1" ]
}


# of the one link, as the daemon and the bytes say
rung_of() {
	ebpfrt link show -v | grep -o 'jump ([a-z]*)\|trap.*'
}

one_program() {
	target_program=$bin/$1
	target_start
	text=$(text_now)
	say call 1000
	want=$answer
	for name in $functions; do
		attach_start -p "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:$name"
		is "$1: $name: its rung" "$(rung_of)" "jump (over)"
		say call 1000
		is "$1: $name: what it returns" "$answer" "$want"
		say door 1000
		is "$1: $name: by its back door" "$answer" "$want"
		is "$1: $name: hits" "$(map_value counts 0) $(map_value counts 1)" "1000 499500"
		attach_stop INT
		is "$1: $name: every byte is as before" "$(text_now)" "$text"
	done

	# a probe within takes the jump's place for the time
	attach_start -p "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:one" \
		--prog "on_work_done=uprobe:$target_program:one+1"
	say call 1000
	is "$1: within: what it returns" "$answer" "$want"
	is "$1: within: hits of both" "$(map_value counts 0) $(map_value counts 2)" "1000 1000"
	attach_stop INT
	is "$1: within: every byte is as before" "$(text_now)" "$text"

	# while threads are there
	say start
	bad=
	i=0
	while [ $i -lt "$rounds" ]; do
		set -- $functions
		try ebpfrt attach --no-maps -d 0.1 -p "$target" "$bin/count.bpf.o" \
			--prog "on_work=uprobe:$target_program:$(eval "echo \$$((i % 3 + 1))")"
		[ "$status" = 0 ] || bad="${bad}[$i: status $status: $err]"
		i=$((i + 1))
	done
	is "storm: attached and detached" "$bad" ""
	is "storm: every byte is as before" "$(text_now)" "$text"

	# and the daemon dies
	attach_start -p "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:two"
	say rounds
	until_true more_rounds "${answer#rounds }"
	kill -KILL "$(sed -n 1p "$stage/run/ebpfrt/pid")"
	wait "$attach_child"
	until_true is_restored two 41 && ok "the agent alone: the function is as before" ||
		not_ok "the agent alone: the function is as before" "$(first_byte two)"
	try ebpfrt attach --no-maps -d 0.1 -p "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:one"
	is "the next daemon: status" "$status" 0
	is "the next daemon: every byte is as before" "$(text_now)" "$text"
	say stop
	like "nothing went wrong" "$answer" "^rounds [0-9]+ wrong 0$"
	target_quit
	is "it ends well" "$target_status" 0
}

# Right behind a jump that ends in an instruction of one byte: it looks as if that one's break had been executed. A signal that is
# sent there has nothing executed twice.
behind_it() {
	target_program=$bin/over
	target_start
	text=$(text_now)
	attach_start -p "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:five"
	is "right behind: its rung" "$(rung_of)" "jump (over)"
	bad=
	for i in 1 2 3 4 5 6 7 8; do
		say stay
		[ "$answer" = "sum 42" ] || bad="${bad}[$i: $answer]"
	done
	is "right behind: what it returns" "$bad" ""
	is "right behind: hits" "$(map_value counts 0)" 8
	attach_stop INT
	is "right behind: every byte is as before" "$(text_now)" "$text"
	target_quit
	is "right behind: it ends well" "$target_status" 0
}

one_program over
one_program over-fixed
behind_it
