#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Signals of faults and traps that somebody sends, several at a time and without end: handlers see them in the kernel's order,
# each as if it had come alone, and the stack holds what the kernel would have put there.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 76

target_program=$bin/sent
target_start
for how in unblock suspend; do
	say $how
	eval "plain_$how=\$answer"
done
like "unprobed: all of them, each in the one before" "$plain_unblock" "^unblock 11:1:1[ch]( [0-9]+:[0-9]:[0-9][ch]){4}$|^unblock( [0-9]+:[0-9]:[0-9][ch]){5}$"
hows="plain nodefer full on opens jumps leaps"
for how in $hows; do
	say within $how
	eval "within_$how=\$answer"
done
like "unprobed: what a handler blocks waits for its end" "$within_full" "^within full:( [0-9]+/1f\(\)){6} pending 0 mask 0,"
like "unprobed: or comes in where it opens its mask" "$within_opens" "^within opens: 11/1\(.* 11/1\(\)\) pending 0 mask 0,"
like "unprobed: the mask stays when it is left by longjmp()" "$within_leaps" "pending 10 mask 10, "
for how in plain full; do
	say rush 2000 $how
	like "unprobed: a rush, $how: none on top of its own kind" "$answer" "^rush 2000 over 0 deepest [1-5]$"
done
say stay
say go
stayed=$answer
like "unprobed: one that stays" "$stayed" "^stayed 2 mask 0$"
say race 500
like "unprobed: nothing is interrupted within an instruction" "$answer" "^race 500 pushed [0-9]+ wrong 0$"
say flood 2000
is "unprobed: two kinds, one in the other" "${answer% *}" "flood 2000 deepest"
deepest=${answer##* }
say hold
is "unprobed: it waits for its thread" "$answer" "held 1 main 0 own 0"
say let
is "unprobed: and comes to that" "$answer" "held 0 main 0 own 1"
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:sent:work --prog on_work_done=uretprobe:sent:work
say count
before=${answer#work }
for how in unblock suspend; do
	say $how
	eval "want=\$plain_$how"
	is "$how: the same" "$answer" "$want"
done
say flood 2000
is "a flood: the stack is enough" "${answer% *}" "flood 2000 deepest"
[ "${answer##* }" -le 2 ] && ok "and nothing is nested that blocks itself" || not_ok "and nothing is nested that blocks itself" "$answer"
for how in $hows; do
	say within $how
	eval "want=\$within_$how"
	is "in handlers, $how: the same" "$answer" "$want"
done
say stay
say go
is "one that stays: called as often as unprobed" "$answer" "$stayed"
say hold
is "what waits for a thread" "$answer" "held 1 main 0 own 0"
say count
hits=$((${answer#work } - before))
is "every call is a hit" "$(map_value counts 0)" "$hits"
is "and every return" "$(map_value counts 2)" "$hits"
attach_stop INT

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
for how in unblock suspend; do
	say $how
	eval "want=\$plain_$how"
	is "$how: the same afterwards" "$answer" "$want"
done
for how in $hows; do
	say within $how
	eval "want=\$within_$how"
	is "in handlers, $how: the same afterwards" "$answer" "$want"
done

# all five, as fast as somebody can
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:sent:work --prog on_work_done=uretprobe:sent:work
say count
before=${answer#work }
for how in plain full plain; do
	say rush 3000 $how
	like "a rush, $how: none on top of its own kind" "$answer" "^rush 3000 over 0 deepest [1-5]$"
done
say count
hits=$((${answer#work } - before))
is "every call in a rush is a hit" "$(map_value counts 0)" "$hits"
is "and every return of it" "$(map_value counts 2)" "$hits"
attach_stop INT

# one of them alone
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:sent:work --prog on_work_done=uretprobe:sent:work
say count
before=${answer#work }
for sig in 5 11 7 8 4; do
	for how in plain full on; do
		say only $sig 300 $how
		is "a flood of $sig, $how: none on top of another" "$answer" "only $sig 300 over 0 deepest 1"
	done
	say only $sig 300 ignored
	is "a flood of $sig that is ignored" "$answer" "only $sig 300 over 0 deepest 0"
done
say count
hits=$((${answer#work } - before))
is "every call in a flood is a hit" "$(map_value counts 0)" "$hits"
is "and every return of it" "$(map_value counts 2)" "$hits"
attach_stop INT

# a handler under way: it returns to what was there when it was called
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:sent:work --prog on_work_done=uretprobe:sent:work
say stay
is "a handler stays" "$answer" stays
attach_stop INT
is "detach while it is under way" "$attach_status" 0
say go
is "it returns, and is called again" "$answer" "$stayed"

# the other way round, and what it blocked is not blocked behind it
say stay
is "a handler stays that began before" "$answer" stays
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:sent:work --prog on_work_done=uretprobe:sent:work
say go
is "it returns, and is called again" "$answer" "$stayed"
say stay
say go
is "so does the next" "$answer" "$stayed"
attach_stop INT
is "detach" "$attach_status" 0
target_quit
is "it ends well" "$target_status" 0
