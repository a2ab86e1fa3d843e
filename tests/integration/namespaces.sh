#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Processes elsewhere: in another mount namespace, where the daemon's directory and the program's file have no name that is one
# here; in another root; in another pid namespace. Their calls are counted exactly, and they notice nothing.
. "${top_srcdir:-.}/tests/integration/lib.sh"
if ! unshare -rmpf true 2>/dev/null; then
	echo "1..0 # SKIP no user namespaces here"
	exit 0
fi
plan 18
mkdir -p "$stage/ns"

probed() { # name
	attach_start "$target" "$bin/count.bpf.o"
	like "$1: attached" "$(cat attach.out attach.err)" "^Tracing 2 probes"
	say call 4
	is "$1: it goes on" "$answer" "sum 16"
	is "$1: its calls are counted" "$(map_value counts 0)" 4
	say fork 5
	is "$1: a child goes on" "$answer" "child 7 25"
	attach_stop INT
	like "$1: detached" "$(cat attach.err)" "detached, 1 site restored; [0-9]+ hits, 0 lost"
	target_quit
	is "$1: to its end" "$target_status" 0
}

# shellcheck disable=SC2016 # expanded in there
target_start unshare -rm sh -c 'stage=$0 && mount -t tmpfs none "$stage/run" && mount -t tmpfs none "$stage/ns" &&
	cp "$1" "$stage/ns/target" && exec "$stage/ns/target"' "$stage"
probed "a file that is not here"

# shellcheck disable=SC2016
target_start unshare -rm sh -c 'cd "$0" && mount -t tmpfs none . && cd "$0" && mkdir usr lib lib64 proc &&
	for dir in usr lib lib64; do mount --rbind "/$dir" $dir || exit 1; done; cp "$1" . && exec chroot . /target' "$stage/ns"
probed "another root"

target_start unshare -rpf --mount-proc
for status in /proc/[0-9]*/status; do
	# the first one of its namespace
	if grep -qs '^NSpid:.*	1$' "$status" && grep -qs '^Name:	target$' "$status"; then
		target=${status#/proc/}
		target=${target%/status}
		break
	fi
done
probed "another pid namespace"
