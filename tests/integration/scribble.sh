#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A target writes random bytes over all memory that it shares with others: maps, rings, the doorbells. It may spoil what is
# counted; the daemon serves, the client reads on and detaches, and the other target of the same object notices nothing.
# SCRIBBLE_SEED repeats a run, SCRIBBLE_ROUNDS makes it longer.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 7
seed=${SCRIBBLE_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
rounds=${SCRIBBLE_ROUNDS:-1}
echo "# SCRIBBLE_SEED=$seed"

text_of() {
	python3 "$stage/integration/text_hash.py" "$1"
}

text_is_back() { # pid, hash
	[ "$(text_of "$1")" = "$2" ]
}

# the scribbler on descriptors 6 and 7, the innocent target on 8 and 9
mkfifo bad.in bad.out
"$bin/scribble" "$seed" <bad.in >bad.out 2>bad.err &
bad_child=$!
exec 6>bad.in 7<bad.out
read -r word bad <&7
target_start
bad_text=$(text_of "$bad")
good_text=$(text_of "$target")

tell_bad() {
	echo "$*" >&6
	answer=
	read -r answer <&7
}

dump_all() {
	for map in array cpus table recent table_cpus stacks; do
		timeout 20 ebpfrt map dump name $map >dump.out 2>dump.err
		dumped=$?
		[ $dumped -lt 124 ] || echo "map dump $map: status $dumped: $(tail -n 1 dump.err)" >>dump.bad
	done
}

: >dump.bad
wrong=
wrote=0
i=0
while [ "$i" -lt "$rounds" ]; do
	attach_start -p "$bad" -p "$target" "$bin/scribble.bpf.o" || wrong="${wrong}[$i: no attach]"
	daemon=$(sed -n 1p "$stage/run/ebpfrt/pid")
	for n in 1 2; do
		echo "malloc 3000" >&8
		tell_bad scribble 8000
		wrote=$((wrote + ${answer#done }))
		read -r answer <&9
		[ "$answer" = "malloc 3000" ] || wrong="${wrong}[$i: the other target says: $answer]"
		dump_all
	done
	timeout 20 ebpfrt link list >/dev/null 2>&1 || wrong="${wrong}[$i: link list: $?]"
	[ "$daemon" = "$(sed -n 1p "$stage/run/ebpfrt/pid")" ] && kill -0 "$daemon" || wrong="${wrong}[$i: another daemon]"
	kill -0 "$attach_child" || wrong="${wrong}[$i: the client ended: $(tail -n 1 attach.err)]"
	(sleep 20 && kill -KILL "$attach_child") 2>/dev/null &
	guard=$!
	attach_stop INT
	kill "$guard" 2>/dev/null
	[ "$attach_status" = 0 ] || wrong="${wrong}[$i: detach: status $attach_status: $(tail -n 2 attach.err)]"
	until_true text_is_back "$target" "$good_text" || wrong="${wrong}[$i: the other target's text is not restored]"
	until_true text_is_back "$bad" "$bad_text" || wrong="${wrong}[$i: the scribbler's text is not restored]"
	i=$((i + 1))
done
is "with random bytes in all that is shared, everybody goes on" "$wrong" ""
[ "$wrote" -gt 0 ] && ok "and there was something to write on" || not_ok "and there was something to write on"
is "every dump ended by itself" "$(cat dump.bad)" ""

# whoever comes next finds a clean place
attach_start -p "$target" "$bin/count.bpf.o"
say call 10
is "the next session counts exactly" "$(map_value counts 0)" 10
attach_stop INT
is "and detaches" "$attach_status" 0
echo quit >&6
wait "$bad_child"
is "the scribbler ends by itself" "$?" 0
target_quit
is "the other target ends by itself" "$target_status" 0
