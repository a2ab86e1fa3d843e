#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Signals of faults and traps that somebody sends, several at a time and without end: handlers see them in the kernel's order,
# each as if it had come alone, and the stack holds what the kernel would have put there.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 81
kinds="unblock suspend"
hows="plain nodefer full on opens jumps leaps"

# probes on the target's work() and on its return
attach_work() {
	attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:sent:work --prog on_work_done=uretprobe:sent:work
}
# from here on each call of it is to be a hit
count_work() {
	say count
	before=${answer#work }
}
# what: since count_work() each was one; the probes leave
detach_work() {
	say count
	hits=$((${answer#work } - before))
	is "every call$1 is a hit" "$(map_value counts 0)" "$hits"
	is "and every return$1" "$(map_value counts 2)" "$hits"
	attach_stop INT
}
# when: handlers see what they saw unprobed
handlers_see_the_same() {
	for how in $kinds; do
		say $how
		eval "want=\$plain_$how"
		is "$how: the same$1" "$answer" "$want"
	done
	for how in $hows; do
		say within $how
		eval "want=\$within_$how"
		is "in handlers, $how: the same$1" "$answer" "$want"
	done
}
# count how when: of a rush, none interrupts a handler of its own kind
rush() {
	say rush $1 $2
	like "$3a rush, $2: none on top of its own kind" "$answer" "^rush $1 over 0 deepest [1-5]$"
}

target_program=$bin/sent
target_start
for how in $kinds; do
	say $how
	eval "plain_$how=\$answer"
done
like "unprobed: all of them, each in the one before" "$plain_unblock" "^unblock 11:1:1[ch]( [0-9]+:[0-9]:[0-9][ch]){4}$|^unblock( [0-9]+:[0-9]:[0-9][ch]){5}$"
for how in $hows; do
	say within $how
	eval "within_$how=\$answer"
done
like "unprobed: what a handler blocks waits for its end" "$within_full" "^within full:( [0-9]+/1f\(\)){6} pending 0 mask 0,"
like "unprobed: or comes in where it opens its mask" "$within_opens" "^within opens: 11/1\(.* 11/1\(\)\) pending 0 mask 0,"
like "unprobed: the mask stays when it is left by longjmp()" "$within_leaps" "pending 10 mask 10, "
rush 2000 plain "unprobed: "
rush 2000 full "unprobed: "
say stay
say go
stayed=$answer
like "unprobed: one that stays" "$stayed" "^stayed 2 mask 0$"
say race 500
like "unprobed: nothing is interrupted within an instruction" "$answer" "^race 500 pushed [0-9]+ wrong 0$"
say small 2000
is "unprobed: an alternate stack that holds one frame" "$answer" "small 2000 over 0 deepest 1"
say flood 2000
is "unprobed: two kinds, one in the other" "${answer% *}" "flood 2000 deepest"
say hold
is "unprobed: it waits for its thread" "$answer" "held 1 main 0 own 0"
say let
is "unprobed: and comes to that" "$answer" "held 0 main 0 own 1"
attach_work
count_work
handlers_see_the_same ""
say flood 2000
is "a flood: the stack is enough" "${answer% *}" "flood 2000 deepest"
[ "${answer##* }" -le 2 ] && ok "and nothing is nested that blocks itself" || not_ok "and nothing is nested that blocks itself" "$answer"
say stay
say go
is "one that stays: called as often as unprobed" "$answer" "$stayed"
say hold
is "what waits for a thread" "$answer" "held 1 main 0 own 0"
detach_work ""

# the kernel gets it for that thread again, and not for the process
say held
is "waits for it when nobody holds it back any more" "$answer" "held 1 main 0 own 0"
say let
is "and comes to it" "$answer" "held 0 main 0 own 1"

# a break that is executed while SIGTRAP is on its way to the thread is not told by the kernel
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:sent:work --prog on_work_done=uretprobe:sent:pushed
say race 300
like "what is sent and breaks at the same time: no instruction is left out" "$answer" "^race 300 pushed [0-9]+ wrong 0$"
calls=${answer#*pushed }
calls=${calls% wrong*}
is "every call is a hit then, too" "$(map_value counts 0)" "$calls"
is "so is one whose first instruction is as short as the break, and its return" "$(map_value counts 2)" "$calls"
attach_stop INT
is "detach" "$attach_status" 0
handlers_see_the_same " afterwards"

# all five, as fast as somebody can
attach_work
count_work
for how in plain full plain; do
	rush 3000 $how ""
done
detach_work " in a rush"

# one of them alone
attach_work
count_work
for sig in 5 11 7 8 4; do
	for how in plain full on; do
		say only $sig 300 $how
		is "a flood of $sig, $how: none on top of another" "$answer" "only $sig 300 over 0 deepest 1"
	done
	say only $sig 300 ignored
	is "a flood of $sig that is ignored" "$answer" "only $sig 300 over 0 deepest 0"
done
detach_work " in a flood"

# on an alternate stack where two frames have no room
attach_work
count_work
for time in "none on top of a hit, nor of another" "and once more"; do
	say small 3000
	is "a flood on a small alternate stack: $time" "$answer" "small 3000 over 0 deepest 1"
done
detach_work " on it"

# a handler under way: it returns to what was there when it was called
attach_work
say stay
is "a handler stays" "$answer" stays
attach_stop INT
is "detach while it is under way" "$attach_status" 0
say go
is "it returns, and is called again" "$answer" "$stayed"

# the other way round, and what it blocked is not blocked behind it
say stay
is "a handler stays that began before" "$answer" stays
attach_work
say go
is "it returns, and is called again" "$answer" "$stayed"
say stay
say go
is "so does the next" "$answer" "$stayed"
attach_stop INT
is "detach" "$attach_status" 0
target_quit
is "it ends well" "$target_status" 0
