#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A thousand functions in one operation, entries and returns: exact counts, one link, and what can't be probed is named and no
# loss for the rest; functions with several names, versions, and implementations chosen at load time.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 53

lib=$bin/many_lib.so
object=$bin/many.bpf.o
values() { # of the map
	ebpfrt map dump name many --json | python3 -c '
import json, sys
v = {}
for e in json.load(sys.stdin):
    e = e.get("formatted", e)
    v[e["key"]] = e["value"]
print(*(v[int(i)] for i in sys.argv[1:]))' "$@"
}

# target_start starts one word: a script that knows the library
cat >many_target <<EOT
#!/bin/sh
exec $bin/many $lib
EOT
chmod +x many_target
target_program=$PWD/many_target
target_start
sum=$((1000 * 999 / 2 * 2 + 1000 * 1000))
say all 1
is "unprobed" "$answer" "all $sum"
before=$(python3 "$stage/integration/text_hash.py" "$target")

# what a process has read and written by system calls; its agent's messages don't count
calls_made() {
	awk '/^sysc[rw]:/ {n += $2} END {print n + 0}' "/proc/$target/io" 2>/dev/null
}

# all of them, and two that can't be probed
calls=$(calls_made)
attach_start --prog "on_call=uprobe.multi:$lib:m_*" --prog "on_return=uretprobe.multi:$lib:m_*" "$target" "$object"
said=$(cat attach.out attach.err)
like "the others are attached" "$said" "on_call +uprobe.multi +.*many_lib.so:m_\*  attached \(1000 functions\)"
like "at their returns, too" "$said" "on_return +uretprobe.multi .*attached \(1000 functions\)"
like "how many can't be" "$said" "on_call: 2 of the 1002 functions of .*many_lib.so that match m_\* cannot be probed:"
like "the one" "$said" "^  cannot probe m_bad_hlt .*: it is a privileged instruction"
like "the other" "$said" "^  cannot probe m_bad_port .*"
like "the number of probes" "$said" "^Tracing 2000 probes in 1 process"
if [ -n "$calls" ]; then
	made=$(($(calls_made) - calls))
	echo "# $made reads and writes by system calls"
	[ $made -lt 500 ] && ok "written by pages, not by sites" || not_ok "written by pages, not by sites"
else
	skip 1 "the kernel does not count what a process reads and writes"
fi
stops=$(ebpfrt ps --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["stops"])')
echo "# held $stops times"
[ "$stops" -ge 3 ] && ok "let go in between" || not_ok "let go in between"
say all 7
is "results" "$answer" "all $((7 * sum))"
is "entries, returns, and what they returned" "$(values 0 1 2)" "7000 7000 $((7 * sum))"
is "it is two links" "$(ebpfrt link list | grep -c '^[0-9]*: ')" 2
like "each names its number of functions" "$(ebpfrt link list)" "attached, 1000 places, 2 left out: cannot probe m_bad_hlt"
attach_stop INT
like "detached" "$(tail -n 1 attach.err)" "detached, 1000 sites restored; 14000 hits, 0 lost"
is "every byte is back" "$(python3 "$stage/integration/text_hash.py" "$target")" "$before"

# one of two links: more sites than are restored in one stop, and one that stays
attach_start --prog "on_call=uprobe.multi:$lib:m_*" --prog "on_3=uprobe:$lib:twice_a" "$target" "$object"
try ebpfrt link detach id "$(ebpfrt link list | awk '/^[0-9]/ {id = $1 + 0} /1000 places/ {print id}')"
like "one of two links goes" "$status $err" "^0 .*detached, 1000 sites restored"
say all 1
is "results" "$answer" "all $sum"
is "its program doesn't run any more" "$(values 0)" 0
say names 100
is "the other one's does" "$(values 3)" 200
attach_stop INT
is "every byte is back then, too" "$(python3 "$stage/integration/text_hash.py" "$target")" "$before"

# asleep while a debugger is there, they come back in several stops
slept() {
	env -u DEBUGINFOD_URLS timeout 60 gdb -nx -q -batch -iex 'set auto-solib-add off' -p "$target" \
		-ex 'shell while ! grep -q "its probes sleep" attach.err; do sleep 0.01; done' -ex detach >gdb.out 2>&1 </dev/null
	grep -q "^\[Inferior 1 (process $target) detached\]" gdb.out
}
awake() {
	grep -q 'awake again' attach.err
}
attach_start --prog "on_call=uprobe.multi:$lib:m_*" "$target" "$object"
if command -v gdb >/dev/null 2>&1 && slept; then
	until_true awake
	say all 1
	is "a debugger came and left: exactly" "$answer $(values 0)" "all $sum 1000"
else
	skip 1 "no gdb that may look at another process"
fi
attach_stop INT
is "every byte is back once more" "$(python3 "$stage/integration/text_hash.py" "$target")" "$before"

# what is to become of those that can't be
try ebpfrt attach -d 1ms --missing=error --prog "on_call=uprobe.multi:$lib:m_*" "$target" "$object"
like "--missing=error" "$status $err" "cannot probe m_bad_(hlt|port)"
is "fails" "$status" 1
is "nothing is left" "$(ebpfrt link list) $(python3 "$stage/integration/text_hash.py" "$target")" " $before"
try ebpfrt attach -d 1ms --missing=ignore --prog "on_call=uprobe.multi:$lib:m_*" "$target" "$object"
unlike "--missing=ignore says nothing" "$err" "cannot be probed"
is "and succeeds" "$status" 0
try ebpfrt attach -d 1ms --missing=perhaps --prog "on_call=uprobe.multi:$lib:m_*" "$target" "$object"
like "--missing=perhaps" "$status $err" "^2 ebpfrt: --missing takes error, warn or ignore, not 'perhaps'"
try ebpfrt attach -d 1ms --prog "on_call=uprobe.multi:$lib:m_bad_*" "$target" "$object"
like "none of them can be: refused" "$status $err" "cannot probe m_bad_"
is "with failure" "$status" 1
try ebpfrt attach -d 1ms --prog "on_call=uprobe.multi:$lib:none_*" "$target" "$object"
like "none matches" "$err" "no function of .*many_lib.so matches 'none_\*'"

# one program at several places: two globs of one file, one of another, and one of them said twice
attach_start --prog "on_call=uprobe.multi:$lib:m_1*" --prog "on_call=uprobe.multi:$lib:m_2*" \
	--prog "on_call=uprobe.multi:libc.so.6:getppid" --prog "on_call=uprobe.multi:$lib:m_2*" "$target" "$object"
like "a program is given three places" "$(cat attach.err)" "^Tracing 201 probes in 1 process"
say all 3
is "its runs at each" "$answer $(values 0)" "all $((3 * sum)) 600"
attach_stop INT
try ebpfrt attach -d 1ms --prog "on_call=uprobe.multi:$lib:m_1*" --prog "on_call=uprobe:$lib:m_200" "$target" "$object"
like "a glob and a single place" "$err" \
	"--prog gives 'on_call' a place of kind uprobe\.multi and one of kind uprobe; only places of one kind go together"
is "are refused" "$status $(python3 "$stage/integration/text_hash.py" "$target")" "1 $before"

# what only the process knows: a debugger's break instruction
say break m_500
attach_start --prog "on_call=uprobe.multi:$lib:m_5*" "$target" "$object"
like "a breakpoint of somebody else: the others are probed" "$(cat attach.err)" "attached \(99 functions\)"
like "and it is named" "$(cat attach.err)" "m_500 .*breakpoint"
attach_stop INT
target_quit

# on a terminal: what is under way, and nothing of it stays
target_start
cat >terminal.py <<'EOT'
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
EOT
try python3 terminal.py ebpfrt attach -d 1ms --prog "on_call=uprobe.multi:$lib:m_*" "$target" "$object"
is "on a terminal" "$status" 0
like "it says what it does" "$(printf '%s' "$out" | tr '\r' '\n')" "^ebpfrt: attaching to 1002 functions"
like "and wipes it off" "$out" "$(printf '\r\033')\[K"
unlike "not into a file" "$(ebpfrt attach -d 1ms --prog "on_call=uprobe.multi:$lib:m_*" "$target" "$object" 2>&1)" "attaching to"

# names
attach_start --prog "on_3=uprobe:$lib:twice_a" --prog "on_4=uprobe:$lib:twice_b" --prog "on_5=uprobe:$lib:chosen_one" \
	--prog "on_6=uprobe:$lib:versioned@V1" --prog "on_7=uprobe:$lib:versioned" \
	--prog "on_call=uprobe.multi:$lib:twice_*" --prog "on_memcpy=uprobe:libc.so.6:memcpy" \
	--prog "on_strlen=uprobe:libc.so.6:strlen" "$target" "$object"
say names 100
is "names: results" "$answer" "names 1900"
is "two names of one function: each call, by either program" "$(values 3 4)" "200 200"
is "a glob that matches both counts a call once" "$(values 0)" 200
is "an implementation chosen at load time" "$(values 5)" 100
is "the old version, and the default one" "$(values 6 7)" "100 100"
say libc 1000
is "memcpy and strlen of the C library: results" "$answer" "libc 6000"
is "the implementations that were chosen are probed" "$(values 8 9)" "1000 1000"
attach_stop INT
try ebpfrt attach -d 1ms --prog "on_3=uprobe:$lib:chosen" "$target" "$object"
like "a name that is chosen at load time by a library we don't have: refused with what to do" "$err" \
	"chosen in .* is an IFUNC: .*name the implementation itself"

# attach and detach many times
bad=
for i in $(seq 5); do
	ebpfrt attach -q -d 1ms --missing=ignore --prog "on_call=uprobe.multi:$lib:m_*" "$target" "$object" || bad="$bad $i"
done
is "again and again" "$bad" ""
is "every byte is back, still" "$(python3 "$stage/integration/text_hash.py" "$target")" "$before"
say all 2
is "results, still" "$answer" "all $((2 * sum))"
target_quit
is "ends well" "$target_status" 0
