#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# With the script for gdb the callers are seen from each instruction of a hit by a jump, at the entry of a preloaded agent's and at
# the return of an injected one's; and from within a function that a program has called.
. "${top_srcdir:-.}/tests/integration/lib.sh"
if ! gdb -nx -q -batch -ex 'python print(1)' 2>&1 | grep -q '^1$'; then
	echo "1..0 # SKIP there is no gdb with Python"
	exit 0
fi
plan 11
EBPFRT_PROBE=auto
export EBPFRT_PROBE
daemon_pid() {
	sed -n 1p "$stage/run/ebpfrt/pid"
}

in_gdb() { # its arguments; what it says is in gdb.out
	env -u DEBUGINFOD_URLS timeout 300 gdb -nx -q -batch -p "$target" -ex 'set pagination off' -ex 'set width 0' \
		-ex "source $stage/ebpfrt-gdb.py" "$@" >gdb.out 2>&1 </dev/null
}

one() { # what, attach's arguments
	what=$1
	shift
	attach_start -p "$target" "$@"
	say at
	at=${answer#at }
	kill -STOP "$(daemon_pid)" # it would have the probes sleep
	echo run >&8
	in_gdb -ex "set \$begins = 0x${at%% *}" -x "$stage/integration/unwound.py"
	kill -CONT "$(daemon_pid)"
	kill -ALRM "$target"
	read -r answer <&9
	steps=$(sed -n 's/^steps \([0-9]*\) gdb .*/\1/p' gdb.out)
	like "$what: at every instruction" "$steps" '^[0-9]{3,}$'
	is "$what: the callers" "$(grep -e ^steps -e ^missed gdb.out | head -n 5)" "steps $steps gdb $steps"
	like "$what: nothing went wrong" "$answer" "^calls [0-9]+ wrong 0$"
	attach_stop INT
}

target_program=$bin/unwound
target_start env LD_PRELOAD="$(ebpfrt env agent)"
one "preloaded, entry" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:work" \
	--prog "on_work_done=uprobe:$target_program:main"
target_quit
is "preloaded: it ends well" "$target_status" 0
target_start
one "injected, return" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:main" \
	--prog "on_work_done=uretprobe:$target_program:work"
is "injected, return: the CPU expects it" "$(grep -c '^paired$' gdb.out)" 1
target_quit
is "injected: it ends well" "$target_status" 0

target_program=$bin/callees
exe=$(readlink -f "$bin/callees")
target_start
attach_start --prog "on_wait=uprobe:$exe:tick" --allow-call "$exe:wait_long" "$target" "$bin/callees_wild.bpf.o"
say w 1
in_gdb -ex bt
is "in a function that a program called" "$(sed -n 's/^#[0-9]*  .*0x[0-9a-f]* in \([a-z_]*\) (.*/\1/p; s/^#[0-9]*  \([a-z_]*\) (.*/\1/p' gdb.out |
	sed -n '/^wait_long$/,$p' | paste -s -d ' ')" "wait_long agent_call_away tick round_of one_round main"
say g # and once more
echo g >&8
read -r answer <&9
is "it goes on" "$answer" "wrong 0"
attach_stop INT
target_quit
