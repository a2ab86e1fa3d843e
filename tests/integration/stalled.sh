#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A daemon that gets no time, here because it is stopped: nobody waits for ever, what is not counted is counted as missed or
# said, and who went on without probes gets them when the daemon is back.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 20
target_program=$bin/brood
probes="--prog on_work=uprobe:$bin/brood:work --prog on_work_done=uretprobe:$bin/brood:work"

missed() { # in processes that run, or have ended
	ebpfrt link list --json | python3 -c '
import json, sys
print(sum(t["missed"] for l in json.load(sys.stdin) if not l["retprobe"] for t in l["targets"] + [l.get("past", {"missed": 0})]))'
}
state() {
	sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null
}
one_has_ended() {
	for child in $children; do
		case $(state "$child") in Z | '') return 0 ;; esac
	done
	return 1
}
stopped() {
	[ "$(state "$daemon")" = T ]
}

# Children by the hundred, in all stages of their first exchange when the daemon stops.
# shellcheck disable=SC2086 # words
target_start ebpfrt run -q -o run.out -P "$bin/count.bpf.o" $probes --
daemon=$(sed -n 1p "$stage/run/ebpfrt/pid" 2>/dev/null || pgrep -u "$(id -u)" -f "^$stage/ebpfrtd")
say keep 200
children=${answer#kept }
{ until_true one_has_ended && kill -STOP "$daemon"; } &
stopper=$!
say wake 7
wait $stopper
is "children go on while the daemon is stopped" "$answer" "calls 1400"
kill -CONT "$daemon"
is "what they called is counted, or counted as missed" $(($(map_value counts 0) + $(missed))) 1400
echo "# missed: $(missed)"
try ebpfrt link list
[ "$(missed)" = 0 ] || like "the list says what is past" "$out" "processes that it has left  hits [0-9]*  missed [0-9]*"
[ "$(missed)" != 0 ] || ok "nothing was missed"
before=$(map_value counts 0)
say crowd 20 7
is "the next ones are counted" $(($(map_value counts 0) - before)) 140
# children one after the other: one wait for all of them, not one for each
counted=$(($(map_value counts 0) + $(missed)))
kill -STOP "$daemon"
until_true stopped
answers=$(timeout 150 sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
	echo "crowd 1 7" >&8
	read -r answer <&9
	echo "$answer"
done' | grep -c '^calls 7$')
is "25 children, one after the other, wait together" "$answers" 25
kill -CONT "$daemon"
is "and what they called is missed" $(($(map_value counts 0) + $(missed) - counted)) 175
target_quit
is "the command ended well" "$target_status" 0
unlike "and no probe failed" "$(cat target.err)" "could not be attached"

# A program that starts meanwhile: its agent waits, then it goes on; the probes come later.
cat >stall.sh <<END
read -r daemon <"$stage/run/ebpfrt/pid"
kill -STOP "\$daemon"
exec "$bin/brood"
END
target_program=$stage/tmp/stall.sh
# shellcheck disable=SC2086
target_start ebpfrt run -o run.out -P "$bin/count.bpf.o" $probes -- sh
read -r daemon <"$stage/run/ebpfrt/pid"
stopped && ok "the daemon is stopped" || not_ok "the daemon is stopped"
say call 5
is "a program starts without it" "$answer" "calls 5"
kill -CONT "$daemon"
probed() {
	ebpfrt link list --json | python3 -c '
import json, sys
links = json.load(sys.stdin)
sys.exit(not links or any([t["pid"] for t in l["targets"] if t["state"] == "attached"] != [int(sys.argv[1])] for l in links))' "$target"
}
until_true probed && ok "it is probed when the daemon is back" || not_ok "it is probed when the daemon is back" \
	"$(ebpfrt link list)"
before=$(map_value counts 0)
say call 7
is "and counted from then on" $(($(map_value counts 0) - before)) 7
target_quit
is "the command ended well" "$target_status" 0
like "what was missed is said" "$(cat target.err)" \
	"process $target was not held any longer: what its new program or libraries called before their probes were there was missed; the daemon \($daemon\) had no time for it: see that it isn't stopped \(kill -CONT $daemon\), and start the program again$"

# The same, but the program is stopped, too, while it waits; it goes on when the daemon has long given it up.
rm -f target.in target.out
mkfifo target.in target.out
# shellcheck disable=SC2086
ebpfrt run -o run.out -P "$bin/count.bpf.o" $probes -- sh stall.sh <target.in >target.out 2>target.err &
target_child=$!
exec 8>target.in 9<target.out
asks() { # its agent has connected
	target=$(pgrep -P "$target_child" brood) && find "/proc/$target/fd/" -lname 'socket:*' 2>/dev/null | grep -q .
}
until_true asks && ok "a program starts, and asks" || not_ok "a program starts, and asks"
kill -STOP "$target"
read -r daemon <"$stage/run/ebpfrt/pid"
kill -CONT "$daemon"
said() {
	grep -q "its probes come when" target.err
}
until_true said || until_true said # after ten seconds
like "it doesn't answer: words" "$(cat target.err)" \
	"^ebpfrt: warning: on_work could not be attached in $target: process $target is stopped, and does not answer: its probes come when it \
goes on \(kill -CONT $target\)$"
kill -CONT "$target"
read -r word answer <&9
is "it goes on" "$word $answer" "ready $target"
until_true probed && ok "and gets its probes" || not_ok "and gets its probes" "$(ebpfrt link list)"
before=$(map_value counts 0)
say call 5
is "which count" "$answer $(($(map_value counts 0) - before))" "calls 5 5"
target_quit
is "and it ended well" "$target_status" 0
