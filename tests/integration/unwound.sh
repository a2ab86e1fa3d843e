#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Who looks at a thread's stack in the middle of a hit by a jump finds the program's own callers behind what is ours, all of
# them: from outside, by what the agent's file says, and a handler that comes in there (where the agent couldn't put its signal
# off), wherever the thread is in the agent and not called by a program. At the entry and at the return, at each instruction; also
# of an agent that was injected. In a stub and in a program there is nobody to ask.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 28
EBPFRT_PROBE=auto
export EBPFRT_PROBE
target_program=$bin/unwound
daemon_pid() {
	sed -n 1p "$stage/run/ebpfrt/pid"
}

# at so many instructions the callers weren't found: where they were looked for, where that ended
missed() { # inside or outside, a kind
	printf '%s\n' "$out" | grep -c "^$1: $2 "
}

one() { # what, is it among the program's libraries, attach's arguments
	what=$1 preloaded=$2
	shift 2
	attach_start -p "$target" "$@"
	say handler
	is "$what: a handler behind libc's back" "$answer" set
	say at
	at=${answer#at }
	# it would have the probes sleep while there is a tracer
	kill -STOP "$(daemon_pid)"
	echo run >&8
	# shellcheck disable=SC2086
	try "$bin/unwound" "$target" $at
	kill -CONT "$(daemon_pid)"
	kill -ALRM "$target"
	read -r answer <&9
	echo "# $what: $(printf '%s\n' "$out" | grep '^steps'), in stubs $(missed inside '\(pad\|stub\)')"
	like "$what: at every instruction" "$out" "^steps [0-9]{3,} "
	is "$what: from outside, in the agent" "$(missed outside agent)" 0
	if [ "$preloaded" = yes ]; then
		# shellcheck disable=SC2046
		set -- $(printf '%s\n' "$out" | grep '^steps')
		is "$what: within, wherever from outside" "$6" "$4"
	fi
	is "$what: in the program itself" "$(missed outside unwound) $(missed inside unwound)" "0 0"
	like "$what: nothing went wrong" "$answer" "^calls [0-9]+ wrong 0$"
	attach_stop INT
	is "$what: the client ends well" "$attach_status" 0
}

all() { # which, is it preloaded
	one "$1, entry" "$2" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:work" \
		--prog "on_work_done=uprobe:$target_program:main"
	one "$1, return" "$2" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:main" \
		--prog "on_work_done=uretprobe:$target_program:work"
	target_quit
	is "$1: it ends well" "$target_status" 0
}
target_start env LD_PRELOAD="$(ebpfrt env agent)"
all preloaded yes
target_start
all injected no
