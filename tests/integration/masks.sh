#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Probes hit by handlers that run under the mask of a waiting system call, and in threads that block all signals: a break trap
# that is blocked would be the target's death.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 40

target_program=$bin/masks
target_start
for how in suspend ppoll pselect epoll threads; do
	say $how 20
	eval "plain_$how=\$answer"
done
blocked() {
	grep -h SigBlk /proc/$target/task/*/status
}
say born
born=$answer
is "unprobed: what is sent to a newborn thread waits until it opens its mask" "$born" "born 0 0 1 2"
say flood
flood=$answer
is "unprobed: what is sent to threads that block it waits" "$flood" "flood 0 150"
say rest
rest=$answer
like "unprobed: what it blocks disturbs no wait" "$rest" "^rest( [a-z_]+ 0 1 0 1){12}$"
say limit
limit=$answer
is "unprobed: nor makes it one longer" "$limit" \
	"limit poll ppoll select pselect nanosleep until sem futex epoll_pwait"
say both
both=$answer
is "unprobed: only what is open comes in" "$both" "both suspend u,T ppoll u,T pselect u,T epoll u,T"
say open
open=$answer
is "unprobed: both, one in the other, with the mask of the wait" "$open" \
	"open suspend ut, ppoll ut, pselect ut, epoll ut, suspend ua, ppoll ua, pselect ua, epoll ua,"
say mask
own=$answer
before=$(blocked)
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:masks:work --prog on_work_done=uretprobe:masks:work
total=0
for how in suspend ppoll pselect epoll threads; do
	say $how 20
	eval "want=\$plain_$how"
	is "$how: the same result" "$answer" "$want"
	case $how in
	threads) total=$((total + 60)) ;;
	*) total=$((total + 20)) ;;
	esac
	is "$how: all calls were hits" "$(map_value counts 0) $(map_value counts 2)" "$total $total"
done
say mask
is "the masks it sees are its own" "$answer" "$own"
say born
is "so are those of threads just born" "$answer" "$born"
say born
is "and once more" "$answer" "$born"
for time in "none of many signals is lost" "nor of those that come later"; do
	say flood
	is "$time" "$answer" "$flood"
done
for time in "nor are waits disturbed by what it blocks" "and once more"; do
	say rest
	is "$time" "$answer" "$rest"
done
say limit
is "nor are they longer" "$answer" "$limit"
say both
is "nor does it come in with what ends them" "$answer" "$both"
for time in "what a wait opens comes in in it, in the kernel's order" "and once more"; do
	say open
	is "$time" "$answer" "$open"
done
say ended 1000
is "what a handler has ended stays so, whatever comes behind it" "$answer" "ended 1000 after 0"
say block
say mask
is "and those that it sets" "$answer" "$(echo "$own" | sed 's/ 200 / fffffffe7ffbfeff /')"
say unblock
attach_stop INT
is "afterwards every thread blocks what it did before" "$(blocked)" "$before"
say mask
is "so do its handlers" "$answer" "$own"
for how in suspend threads; do
	say $how 20
	eval "want=\$plain_$how"
	is "$how: the same afterwards" "$answer" "$want"
done

# what it asks to block while it is probed is blocked when it is no more
say block
before=$(blocked)
say unblock
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:masks:work
say block
is "nothing blocks SIGTRAP while it is probed" "$(blocked | grep -c '[13579bdf].$')" 0
attach_stop INT
is "what it has asked for in between is done now" "$(blocked)" "$before"

# a thread that waits for a blocked signal, since before anybody came, while it is probed, and afterwards
say listen
listener=${answer#listen }
waits() {
	grep -q '^128 ' "/proc/$target/task/$listener/syscall"
}
heard() {
	say heard
	[ "$answer" = "heard $1" ]
}
hears() { # how often by now, name
	until_true waits
	kill -TRAP "$target"
	until_true heard "$1"
	is "a thread that waits for SIGTRAP gets it: $2" "$answer" "heard $1"
}
hears 1 "unprobed"
until_true waits
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:masks:work
hears 2 "it has waited since before the probe"
hears 3 "probed"
until_true waits
attach_stop INT
hears 4 "it has waited since before the probe was taken away"
target_quit
is "it ends well" "$target_status" 0
