#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Processes made in every way, alone and in a storm, from within functions that are probed at entry and return: children that
# share the memory or a stack call such functions, end in one, execute another program in one, or return from the one they were
# made in. Every entry and every return is counted, and all goes as without probes.
. "${top_srcdir:-.}/tests/integration/lib.sh"
kinds="vfork vfork_exec vfork_vfork fork fork_exec fork_returns clone clone_files vm vm_exec vm_sighand vm_vfork vm_vfork_exec"
set -- $kinds $kinds
plan $(($# + 10))
target_program=$bin/clones

counted() {
	ebpfrt map dump name clones --json | python3 -c '
import json, sys
v = {}
for e in json.load(sys.stdin):
    e = e.get("formatted", e)
    v[e["key"]] = e["value"]
print(*(v[i] for i in range(6)))'
}
missed() {
	ebpfrt link list --json | python3 -c '
import json, sys
print(sum(t["missed"] + t["aborted"] for l in json.load(sys.stdin) for t in l["targets"]))'
}

# COMMAND...: the same as before, and each count as the target's own
compare() { # how, what was answered unprobed
	how=$1
	shift
	before=$(counted)
	own_before=$own
	say "$@"
	own=${answer#* counts }
	got=$(python3 -c '
import sys
b, a, ob, o = (list(map(int, x.split())) for x in sys.argv[1:])
print("as it was" if [x - y for x, y in zip(a, b)] == [x - y for x, y in zip(o, ob)] else
      "counted %s of %s" % ([x - y for x, y in zip(a, b)], [x - y for x, y in zip(o, ob)]))' \
		"$before" "$(counted)" "$own_before" "$own")
	is "$how: $*: the same, every entry and return" "${answer% counts*} $got" "$(sed -n "s/^$*=//p" want) as it was"
}

target_start
text=$(python3 "$stage/integration/text_hash.py" "$target")
for kind in $kinds; do
	say one "$kind" 5
	echo "one $kind 5=${answer% counts*}"
done >want
say storm 4 13
echo "storm 4 13=${answer% counts*}" >>want
is "unprobed: every child ends as it should" "$(grep -vc ' bad 0$' want)" 0
own=${answer#* counts }

attach_start "$target" "$bin/clones.bpf.o"
for kind in $kinds; do
	compare attached one "$kind" 5
done
compare attached storm 4 13
is "attached: none was missed" "$(missed)" 0
echo "storm 4 13" >&8
attach_stop INT
read -r answer <&9
is "left in the storm: status" "$attach_status" 0
is "left in the storm: it goes on" "${answer% counts*}" "$(sed -n 's/^storm 4 13=//p' want)"
is "every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
target_quit
is "it ends well" "$target_status" 0

target_start ebpfrt run -q -o run.out -P "$bin/clones.bpf.o" --
own="0 0 0 0 0 0"
for kind in $kinds; do
	compare run one "$kind" 5
done
compare run storm 4 13
is "run: none was missed" "$(missed)" 0
target_quit
is "run: it ends well" "$target_status" 0
