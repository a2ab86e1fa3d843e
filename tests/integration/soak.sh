#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# For a while, at random: attach, detach and kill whoever takes part, over several kinds of target. After every step a target
# that nobody killed works and can be counted exactly; at the end its text is as it was and the next session starts.
# All the while the programs of the other tests run with probes coming and going at random (soak.py), and must see nothing of it.
# SECONDS_TO_RUN (60) says how long, SOAK_SEED repeats the choices.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 7
seconds=${SECONDS_TO_RUN:-60}
seed=${SOAK_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
echo "# SOAK_SEED=$seed"
number=$((seed % 2147483647 + 1))
wrong=
steps=0

pick() { # how many: $picked is below it
	number=$((number * 48271 % 2147483647))
	picked=$((number / 7 % $1))
}

text_now() {
	python3 "$stage/integration/text_hash.py" "$1"
}

text_is_back() {
	[ "$(text_now "$1")" = "$2" ]
}

fresh_target() {
	target_start
	text=$(text_now "$target")
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

# the client is to end by itself, within ten seconds
client_ends() { # what was done
	until_true gone "$attach_child" || {
		wrong="${wrong}[$steps: $1: the client hangs]"
		kill -KILL "$attach_child"
	}
	wait "$attach_child"
}

# a target of another kind, for a moment
bystander() {
	pick 3
	case $picked in
	0) set -- python3 -c 'print(sum(len(str(i)) for i in range(20000)))' ;;
	1) set -- sqlite3 :memory: 'select 78890 + sum(value) * 0 from (select 1 as value)' ;;
	2) set -- sh -c 'for i in 1 2 3; do (exit 3); done; echo 88890' ;;
	esac
	command -v "$1" >/dev/null || return
	out=$("$@" 2>&1)
	traced=$(ebpfrt run -q -o run.out -P "$bin/hot.bpf.o" -- "$@" 2>run.err)
	[ "$out" = "$traced" ] || wrong="${wrong}[$steps: $1 prints $traced: $(tr "\n" " " <run.err)]"
}

step() {
	attach_start -p "$target" "$bin/count.bpf.o" || {
		wrong="${wrong}[$steps: no attach: $(tail -n 1 attach.err)]"
		return
	}
	pick 200
	calls=$picked
	pick 3
	case $picked in
	0) say call $calls ;;
	1) say threads 4 $calls && calls=$((calls * 4)) ;;
	2) say fork $calls ;;
	esac
	counted=$(map_value counts 0)
	[ "$counted" = "$calls" ] || wrong="${wrong}[$steps: $counted of $calls counted: $answer; $(tail -n 2 attach.err | tr "\n" " ")]"
	pick 6
	case $picked in
	0 | 1) attach_stop INT ;;
	2) attach_stop KILL ;;
	3)
		echo threads 4 20000 >&8
		attach_stop INT
		read -r answer <&9
		;;
	4)
		kill -KILL "$(sed -n 1p "$stage/run/ebpfrt/pid")"
		say call 10
		client_ends "daemon killed"
		;;
	5)
		kill -KILL "$target"
		wait "$target_child"
		exec 8>&- 9<&-
		client_ends "target killed"
		fresh_target
		;;
	esac
	say call 10
	[ "$answer" = "sum 100" ] || wrong="${wrong}[$steps: after $picked the target says: $answer]"
}

PYTHONDONTWRITEBYTECODE=1 python3 "$stage/integration/soak.py" "$seconds" "$seed" "$bin" >soak.out 2>&1 &
others=$!
fresh_target
end=$(($(date +%s) + seconds))
while [ "$(date +%s)" -lt $end ] && [ -z "$wrong" ]; do
	step
	bystander
	steps=$((steps + 1))
done
echo "# $steps steps"
is "every step ended as it should" "$wrong" ""
wait "$others"
status=$?
sed 's/^/# /' soak.out
is "other programs noticed nothing" "$status" 0
until_true text_is_back "$target" "$text" && ok "every byte is as before" || not_ok "every byte is as before"
attach_start -p "$target" "$bin/count.bpf.o"
say call 10
is "the next session counts exactly" "$(map_value counts 0)" 10
attach_stop INT
is "and detaches" "$attach_status" 0
target_quit
daemon=$(sed -n 1p "$stage/run/ebpfrt/pid")
until_true gone "$daemon" && ok "the daemon leaves" || not_ok "the daemon leaves"
left=$(for p in /proc/[0-9]*; do
	readlink "$p/exe" 2>/dev/null | grep -F "$stage/" && echo "${p#/proc/}"
done)
is "no process is left" "$left" ""
