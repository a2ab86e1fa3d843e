#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A target that executes another program and is not followed there: its agent goes with the old one, and everybody is told. Nothing
# is called there. Followed it is again and again.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 11

mkfifo in
gone() {
	[ "$(ebpfrt ps --json)" = "[]" ]
}
says_left() {
	grep -q "another program" attach.err
}

# while it is probed
sh -c 'read x; exec sleep 100' <in &
target=$!
exec 7>in
until_true grep -q '^sh' "/proc/$target/comm"
attach_start --no-follow "$target" "$samples/malloc.bpf.o"
like "ps shows it" "$(ebpfrt ps)" "^ *$target +sh +ptrace +1 "
echo >&7
until_true says_left
like "the session says so" "$(cat attach.err)" "another program"
until_true gone
is "ps no longer shows it" "$(ebpfrt ps --json)" "[]"
wait "$attach_child"
like "and is over" "$(cat attach.err)" "; [0-9]+ hits, 0 lost"
is "the new program goes on" "$(cat "/proc/$target/comm")" sleep
attach_start "$target" "$samples/malloc.bpf.o"
like "it can be attached to again" "$(cat attach.err)" "^Tracing"
attach_stop INT
is "and left" "$attach_status" 0
kill "$target"
exec 7>&-

# a moment before it is left: its agent is not called where there is none
sh -c 'read x; exec sleep 100' <in &
target=$!
exec 7>in
until_true grep -q '^sh' "/proc/$target/comm"
attach_start --no-follow "$target" "$samples/malloc.bpf.o"
echo >&7
until_true grep -q '^sleep' "/proc/$target/comm"
attach_stop INT
until_true gone
is "left at once: the new program goes on" "$(cat "/proc/$target/comm" 2>&1) $(ebpfrt ps --json)" "sleep []"
kill "$target"
exec 7>&-

# one that does nothing else
cat >again <<'EOT'
[ ! -e stop ] || exit 7
exec /bin/sh again
EOT
/bin/sh again &
target=$!
bad=
sentence='^ebpfrt: .*process ([0-9]+ )?has started another program \(exec\)(| while .*| during .*); attach to it again$'
for i in 1 2 3 4 5 6 7 8; do
	try timeout 20 ebpfrt attach -d 0.05 "$target" "$samples/malloc.bpf.o"
	case $status in
	0) ;;
	1) printf '%s\n' "$err" | grep -qE "$sentence" || bad="$bad $err" ;;
	*) bad="$bad $status $err" ;;
	esac
done
is "exec again and again: done, or a sentence" "$bad" ""
touch stop
wait "$target"
is "it comes to its own end" "$?" 7
until_true gone
is "nothing is left" "$(ebpfrt ps --json)" "[]"
