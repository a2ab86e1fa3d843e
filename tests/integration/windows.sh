#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Probes on all of the C library's functions, in the windows where it blocks all signals or shares memory with a child: starts
# and ends of threads, posix_spawn, system, popen, timers with threads, cancellation, abort. The same results, and every call
# counted. So in programs that contain their C library.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 24

# All functions of the file with the C library, at least so many, and some by name=calls.
through() { # program, file, least, name=calls...
	target_program=$bin/$1
	where=$2
	what=$1
	least=$3
	shift 3
	[ -s "$target_program" ] || {
		skip 8 "$what could not be built here"
		return
	}
	target_start
	say go 10
	want=$answer
	like "$what: unprobed" "$want" "^fired 10 sum "
	text=$(python3 "$stage/integration/text_hash.py" "$target")
	progs="--prog many_1=uprobe.multi/$where:*"
	calls=
	for name; do
		progs="$progs --prog on_${name%=*}=uprobe:$where:${name%=*}"
		calls="$calls $name"
	done
	set -f # the patterns are not for us
	attach_start -p "$target" "$bin/windows.bpf.o" $progs
	set +f
	probes=$(sed -n 's/^Tracing \([0-9]*\) probes.*/\1/p' attach.out attach.err)
	[ "${probes:-0}" -ge "$least" ] && ok "$what: $probes probes" || not_ok "$what: probes" "$(tail -n 3 attach.err)"
	say go 10
	is "$what: the same result" "$answer" "$want"
	counted=
	for name in $calls; do
		counted="$counted ${name%=*}=$(map_value calls "$(slot_of "${name%=*}")")"
	done
	is "$what: the number of calls of each" "$counted" "$calls"
	attach_stop INT
	like "$what: no hit is lost" "$(tail -n 1 attach.err)" "[0-9]{4} hits, 0 lost"
	is "$what: every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
	say go 10
	is "$what: the same afterwards" "$answer" "$want"
	target_quit
	is "$what: it ends well" "$target_status" 0
}

slot_of() { # as the object says
	sed -n "s/^CALLS($1, \([0-9]*\)).*/\1/p" "$stage/integration/windows.bpf.c"
}

# a timer makes a thread each time it expires (the one that waits for that is there since the first run)
common="pthread_create=30 system=10 popen=10 pclose=10 pthread_cancel=10 timer_create=10 posix_spawn=30 fork=10 pthread_join=20"
common="$common timer_delete=10 setrlimit=10 abort=10 execve=30"
# shellcheck disable=SC2086
{
	through windows libc.so.6 1500 $common dup2=10 pthread_exit=10
	through windows-static "$bin/windows-static" 1000 $common dup2=10 pthread_exit=10
	through windows-musl-static "$bin/windows-musl-static" 200 $common pthread_exit=30 # each end of a thread is one
}
