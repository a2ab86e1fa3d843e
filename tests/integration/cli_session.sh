#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What a person does with a session: processes by number and name, events as they come, counters, maps, pins, the log.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 52

json() { # FILE EXPRESSION: of the list of its documents, `d`
	python3 -c 'import json, sys
d = [json.loads(l) for l in open(sys.argv[1])]
of = lambda t: [x["data"] for x in d if x["type"] == t]
print(eval(sys.argv[2]))' "$1" "$2"
}

target_start

# events as they come, typed
attach_start "$target" "$bin/stream.bpf.o"
say call 3
until_true grep -q 'work(2)' attach.out
until_true grep -q '^samples: .*"n": 2' attach.out
like "a ring buffer's records by type" "$(cat attach.out)" "^events: \{ \"pid\": $target, \"pad\": 0, \"n\": 1 \}"
like "a perf event array's, too" "$(cat attach.out)" '^samples: \{ "n": 1, "what": "work" \}'
like "printed lines in trace_pipe's format" "$(cat attach.out)" \
	"^ +target-$target +\[[0-9]{3}\] \.{5} +[0-9]+\.[0-9]{6}: bpf_trace_printk: work\(1\)\$"
attach_stop INT
is "status" "$attach_status" 0
like "the last line counts them" "$(cat attach.err)" "^ebpfrt: detached, 1 site restored; 3 hits, 0 lost\$"

# the same for programs: one document a line
: >attach.json
ebpfrt attach --json "$target" "$bin/stream.bpf.o" >attach.json 2>attach.err &
attach_child=$!
until_true grep -q attached_probes attach.json
say call 2
until_true grep -q 'work(1)' attach.json
until_true grep -q '"map":"samples","value":{"n":1' attach.json
attach_stop TERM
is "SIGTERM ends it with status 0" "$attach_status" 0
is "attached" "$(json attach.json '[(x["prog"], x["type"], x["state"]) for x in of("attached")]')" "[('on_work', 'uprobe', 'attached')]"
is "events of rings" "$(json attach.json '[x["value"]["n"] for x in of("event") if x["map"] == "events"]')" "[0, 1]"
is "events of perf arrays" "$(json attach.json '[x["value"]["n"] for x in of("event") if x["map"] == "samples"]')" "[0, 1]"
is "lines taken apart" "$(json attach.json '[(x["comm"], x["tid"], x["text"]) for x in of("printk")]')" \
	"[('target', $target, 'work(0)'), ('target', $target, 'work(1)')]"
is "the end" "$(json attach.json '[(x["sites"], x["hits"], x["lost"], x["ended"]) for x in of("detached")]')" "[(1, 2, 0, False)]"

# hits are exact under fire: what the maps say
attach_start "$target" "$bin/count.bpf.o"
echo "threads 4 20000" >&8
kill -INT "$attach_child"
wait "$attach_child"
read -r answer <&9
n=$(sed -n 's/^@counts\[0\]: //p' attach.out)
r=$(sed -n 's/^@counts\[2\]: //p' attach.out)
hits=$(sed -n 's/.* \([0-9]*\) hits\{0,1\}, .*/\1/p' attach.err)
is "detached under fire: as many hits as the maps count" "${hits:-0}" $((${n:-0} + ${r:-0}))

# by name, by several numbers
ln -s "$bin/target" only-one 2>/dev/null || cp "$bin/target" only-one
first=$target
exec 6>&8 7<&9
target_program=./only-one target_start
second=$target
attach_start -n only-one "$bin/count.bpf.o"
like "by name" "$(cat attach.err)" "^ebpfrt: $second \(only-one\): agent loaded"
say call 4
is "counts there" "$(map_value counts 0)" 4
attach_stop INT
cp "$bin/count.bpf.o" both.bpf.o
attach_start -p "$first" -p "$second" --prog on_work=uprobe::work --prog on_work_done=uretprobe::work both.bpf.o
like "two processes" "$(cat attach.err)" "^Tracing [24] probes in 2 processes"
say call 4
echo "call 5" >&6
read -r answer <&7
is "counts in both" "$(map_value counts 0)" 9
attach_stop INT
like "and says so" "$(cat attach.err)" "detached, 2 sites restored; 18 hits, 0 lost"
attach_start "$first" "$second" both.bpf.o --prog on_work=uprobe:target:work --prog on_work_done=uretprobe:target:work
like "the agent is found again" "$(cat attach.err)" "^ebpfrt: $first \(target\): the agent is there already"

# listings while it runs
try ebpfrt ps --json
is "ps" "$(printf '%s' "$out" | python3 -c 'import json,sys; print(sorted((t["pid"], t["links"] > 0) for t in json.load(sys.stdin)))')" \
	"$(printf '%s\n' "$first" "$second" | sort -n | tr '\n' ' ' | sed 's/\([0-9]*\) \([0-9]*\) /[(\1, True), (\2, True)]/')"
try ebpfrt prog show name on_work --json
is "prog: bpftool's fields" "$(printf '%s' "$out" | python3 -c 'import json,sys
p = json.load(sys.stdin)
print(p["type"], p["name"], p["gpl_compatible"], len(p["tag"]), p["jited"], p["bytes_xlated"] > 0, len(p["map_ids"]), p["uid"])')" \
	"kprobe on_work True 16 True True 2 $(id -u)"
id=$(ebpfrt prog show name on_work --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
like "prog by id" "$(ebpfrt prog show id "$id")" "^$id: kprobe  name on_work  tag [0-9a-f]{16}  gpl\$"
tag=$(ebpfrt prog show id "$id" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["tag"])')
like "prog by tag" "$(ebpfrt prog show tag "$tag")" "^$id: "
like "prog dump xlated" "$(ebpfrt prog dump xlated id "$id")" "^ +[0-9]+: \(95\) exit"
like "prog dump jited" "$(ebpfrt prog dump jited id "$id")" "^ *[0-9a-f]+:.(ret|push|mov)"
try ebpfrt map show name counts --json
is "map: bpftool's fields" "$(printf '%s' "$out" | python3 -c 'import json,sys
m = json.load(sys.stdin)
print(m["type"], m["name"], m["flags"], m["bytes_key"], m["bytes_value"], m["max_entries"], m["bytes_memlock"] > 0)')" \
	"array counts 0 4 8 4 True"
like "link" "$(ebpfrt link show -p "$first")" "pid $first  attached  hits 0"
like "btf" "$(ebpfrt btf list --json)" '^\[\{"id":[0-9]+,"name":"[^"]*","size":[0-9]+'
btf=$(ebpfrt btf list --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["id"])')
like "btf dump" "$(ebpfrt btf dump id "$btf" format c)" "^struct|^typedef"

# elements
try ebpfrt map update name counts key 3 value 77
is "update" "$status" 0
is "lookup" "$(ebpfrt map lookup name counts key 3 | tr -d ' \n')" '{"key":3,"value":77}'
is "lookup by bytes" "$(ebpfrt map lookup name counts key hex 03 00 00 00 | tr -d ' \n')" '{"key":3,"value":77}'
like "for programs, bytes and the types' view" "$(ebpfrt map lookup name counts key 3 --json)" \
	'^\{"key":\["0x03","0x00","0x00","0x00"\],"value":\["0x4d",.*\],"formatted":\{"key":3,"value":77\}\}$'
try ebpfrt map update name by_pid key 1 value 5 exist
like "an element that isn't there" "$status $err" "^1 ebpfrt: there is no such element"
try ebpfrt map update name by_pid key 1 value 5 noexist
is "update noexist" "$status" 0
try ebpfrt map update name by_pid key 1 value 5 noexist
like "twice" "$status $err" "^1 ebpfrt: the element is there already"
try ebpfrt map delete name by_pid key 1
is "delete" "$status" 0
try ebpfrt map lookup name by_pid key 1
like "lookup of nothing" "$status $err" "^1 ebpfrt: there is no such element"

# pins outlive the session
try ebpfrt map pin name counts /sys/fs/bpf/kept
is "pin" "$status" 0

# the log of all sessions
ebpfrt attach -q "$first" "$bin/stream.bpf.o" --no-maps >stream.out 2>stream.err &
stream=$!
until_true sh -c "ebpfrt link show -p $first | grep -q 'name on_work'"
: >log.out
ebpfrt log -f >log.out 2>log.err &
log=$!
i=0
until grep -q 'bpf_trace_printk: work' log.out || [ $i -gt 200 ]; do
	i=$((i + 1))
	echo "call 1" >&6
	read -r answer <&7
	sleep 0.02
done
like "log -f: lines of another session" "$(cat log.out)" "^ +target-$first +\[[0-9]{3}\] .*: bpf_trace_printk: work\(0\)\$"
kill -INT "$log"
wait "$log"
is "log -f ends with status 0" "$?" 0
kill -INT "$stream"
wait "$stream"

# others detach: one link, one process; nothing twice is no failure
link=$(ebpfrt link show -p "$second" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["id"])')
try ebpfrt detach --link "$link"
like "detach a link" "$status $err" "^0 ebpfrt: link $link: detached, [12] sites? restored"
try ebpfrt detach "$second"
like "detach a process" "$status $err" "^0 ebpfrt: $second: (detached, [0-9]+ sites? restored|nothing is attached to it)"
try ebpfrt detach "$second"
like "twice" "$status $err" "^0 ebpfrt: $second: nothing is attached to it"
attach_stop INT
is "the session ends as ever" "$attach_status" 0
like "what was pinned is there" "$(ebpfrt map lookup pinned /sys/fs/bpf/kept key 3 | tr -d ' \n')" '^\{"key":3,"value":[0-9]+\}$'

# run with several objects
printf 'env HOME\ncall 6\nquit 4\n' >script
try ebpfrt run -P "$samples/hello.bpf.o" -P "$bin/count.bpf.o" -- "$bin/target" <script
is "run with two objects: the command's status" "$status" 4
like "the one" "$err" "bpf_trace_printk: getenv\(HOME\)"
like "the other" "$err" "^@counts\[0\]: 6\$"
like "and what they counted" "$err" "^ebpfrt: the command has ended; [0-9]+ hits, 0 lost"

# the end of a target ends the session
attach_start "$second" "$bin/count.bpf.o" --prog on_work=uprobe::work --prog on_work_done=uretprobe::work
say call 8
target_quit 0
wait "$attach_child"
is "all targets end: status 0" "$?" 0
like "the maps are printed" "$(cat attach.out)" "^@counts\[0\]: 8\$"
like "and the hits" "$(cat attach.err)" "^ebpfrt: the target has ended; 16 hits, 0 lost"
echo quit >&6

# what is pinned would keep the daemon
ebpfrt -q shutdown --force
