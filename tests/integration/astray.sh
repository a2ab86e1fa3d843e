#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Break points that are not ours, as a debugger sets them, in the last bytes of a probe's jump and on its first: the jump leads
# where nothing is then. The target goes on as without us, every call is counted, and what is put back is what was there.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 36
EBPFRT_PROBE=auto
export EBPFRT_PROBE

# bytes of a function become break instructions, or what the file has there again
breaks() { # function, set|clear, offset...
	python3 -c '
import subprocess, sys
pid, exe, name, what = sys.argv[1:5]
value = [int(l.split()[0], 16) for l in subprocess.check_output(["nm", exe], text=True).splitlines() if l.split()[-1] == name][0]
base = [int(l.split("-")[0], 16) for l in open(f"/proc/{pid}/maps") if l.endswith("/astray\n")][0]
memory, file = open(f"/proc/{pid}/mem", "r+b", 0), open(exe, "rb")
for k in map(int, sys.argv[5:]):
    memory.seek(base + value + k)
    if what == "jump":
        print("%02x" % memory.read(1)[0])
        continue
    file.seek(value + k)
    memory.write(b"\xcc" if what == "set" else b"\xe9" if what == "e9" else file.read(1))' "$target" "$bin/astray" "$@"
}

target_program=$bin/astray
for function in four:4 three:3,4 two:2,3,4 one:1,2,3,4; do
	at=$(echo "${function#*:}" | tr , ' ')
	function=${function%:*}
	target_start
	say handle
	text=$(python3 "$stage/integration/text_hash.py" "$target")
	attach_start "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:astray:$function" \
		--prog on_work_done=uretprobe:astray:main
	rung=$(python3 "$stage/integration/rungs.py" "$target" "$bin/astray" "$function")
	is "$function: what stands there" "$rung" "$function e9"
	say call "$function" 10
	is "$function: nobody's" "$answer" "counted 10 traps 0"
	hits=10
	wrong=
	for k in $at "$at"; do
		# shellcheck disable=SC2086
		breaks "$function" set $k
		say call "$function" 10
		[ "$answer" = "counted 10 traps $((10 * $(echo "$k" | wc -w)))" ] || wrong="$wrong $k: $answer;"
		hits=$((hits + 10))
		[ "$(map_value counts 0)" = $hits ] || wrong="$wrong $k: $(map_value counts 0) hits instead of $hits;"
		# shellcheck disable=SC2086
		breaks "$function" clear $k
	done
	is "$function: each of them, and all" "$wrong" ""
	say call "$function" 10
	hits=$((hits + 10))
	is "$function: and none again" "$answer, $(map_value counts 0) hits" "counted 10 traps 0, $hits hits"
	breaks "$function" set 4
	attach_stop INT
	is "$function: detached with one there" "$attach_status" 0
	say call "$function" 10
	is "$function: it goes on" "$answer" "counted 10 traps 10"
	breaks "$function" clear 4
	is "$function: every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
	# one on the jump itself: what its owner will put back is the jump's first byte
	attach_start "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:astray:$function" \
		--prog on_work_done=uretprobe:astray:main
	first=$(breaks "$function" jump 0)
	breaks "$function" set 0
	attach_stop INT
	[ "$first" = cc ] || breaks "$function" "$first" 0
	say call "$function" 10
	is "$function: one on its first byte, which comes back" "$answer" "counted 10 traps 0"
	target_quit
	is "$function: it ends well" "$target_status" 0
done
