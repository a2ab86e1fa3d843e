#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Whoever is killed: probes are restored or harmless, nobody hangs, nothing is left that blocks the next run.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 25

restored() {
	say call 1
	say text
	[ "$answer" = "$text" ]
}

daemon_pid() {
	ebpfrt doctor | sed -n 's/.*ebpfrtd [0-9.]*, pid \([0-9]*\),.*/\1/p'
}

target_start
say text
text=$answer

attach_start "$target" "$bin/count.bpf.o"
say call 10
attach_stop KILL
is "the client is killed" "$attach_status" 137
until_true restored && ok "its probes are taken out" || not_ok "its probes are taken out"
say call 10
is "the target goes on" "$answer" "sum 100"
is "no link is left" "$(ebpfrt link list --json)" "[]"

attach_start "$target" "$bin/count.bpf.o"
say call 10
daemon=$(daemon_pid)
kill -KILL "$daemon"
# the next hit is the one that notices, so it has to come after the death
until_true sh -c "! kill -0 $daemon 2>/dev/null"
say call 10
is "the daemon is killed: the target goes on" "$answer" "sum 100"
restored_at_a_hit() {
	say call 1
	restored
}
until_true restored_at_a_hit && ok "the agent restores its sites by itself" || not_ok "the agent restores its sites by itself"
wait "$attach_child"
is "the client ends" "$?" 1
like "and says why" "$(cat attach.err)" "the daemon .*(ended|died|went away)"

attach_start "$target" "$bin/count.bpf.o"
say call 7
is "attach works again, with a new daemon" "$(map_value counts 0)" 7
kill -TERM "$(daemon_pid)"
gone() {
	! kill -0 "$attach_child" 2>/dev/null
}
until_true gone
wait "$attach_child"
is "the daemon is terminated: the client ends" "$?" 1
until_true restored && ok "its sites are restored" || not_ok "its sites are restored"
say call 2
is "and the target goes on" "$answer" "sum 4"
attach_start "$target" "$bin/count.bpf.o"
say call 3
is "attach works again after that, too" "$(map_value counts 0)" 3
kill -KILL "$target"
wait "$target_child"
is "the target is killed" "$?" 137
until_true sh -c "! kill -0 $attach_child 2>/dev/null"
wait "$attach_child"
is "the client notices and ends" "$?" 0
exec 8>&- 9<&-

target_start
attach_start "$target" "$bin/count.bpf.o"
kill -STOP "$target"
attach_stop INT
is "a stopped target does not hold up the client" "$attach_status" 0
kill -CONT "$target"
say call 3
is "and goes on when continued" "$answer" "sum 9"
target_quit

# Another tracer keeps us from the text: said at once, done when it has gone. So with two: one is named, the other counted.
target_start
say text
text=$answer
mkfifo other.in other.out tracer.out
"$bin/target" <other.in >other.out &
other_child=$!
exec 6>other.in 7<other.out
read -r word other <&7
other_text=$(python3 "$stage/integration/text_hash.py" "$other")
attach_start "$target" "$other" "$bin/count.bpf.o"
python3 -c '
import ctypes, sys, time
for pid in sys.argv[1:]:
    if ctypes.CDLL(None).ptrace(0x4206, int(pid), 0, 0):
        sys.exit(1)
print("traced", flush=True)
time.sleep(60)' "$target" "$other" >tracer.out &
tracer=$!
read -r answer <tracer.out
is "another tracer comes" "$answer" traced
attach_stop INT
is "what cannot be restored is no success" "$attach_status" 1
like "and is said, with the reason" "$(cat attach.err)" "probes are still in process ($target|$other) \(and 1 other\): .*trac.* goes on trying"
kill -KILL "$tracer"
text_is_back() {
	say text
	[ "$answer" = "$text" ]
}
until_true text_is_back && ok "it is restored when the tracer has gone" || not_ok "it is restored when the tracer has gone"
other_is_back() {
	[ "$(python3 "$stage/integration/text_hash.py" "$other")" = "$other_text" ]
}
until_true other_is_back && ok "so is the other one" || not_ok "so is the other one"
exec 6>&- 7<&-
wait "$other_child"
is "and ends well" "$?" 0
target_quit
try ebpfrt detach --all
is "detach --all with nothing to do" "$status" 0
daemon=$(daemon_pid)
daemon_gone() {
	! kill -0 "$daemon" 2>/dev/null
}
until_true daemon_gone && ok "the daemon leaves when idle" || not_ok "the daemon leaves when idle"
