#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Calls with their arguments and results by type: of a program with all kinds of them, of real libraries, and what is refused.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 71

# the rest of a line, behind its time, process and name
line_of() { # function, file
	sed -n "s/^[0-9:.]* [0-9/]* [^ ]* \($1(.*\)/\1/p" "$2" | head -n 1
}
took='<[0-9]+\.[0-9]{6}>$'
traced=$bin/traced

# --- a command: results on standard error, its own status

try ebpfrt trace -s 40 scalars strings items small large stacked reals callbacks plus_one nothing -- "$traced" 5
is "the command's exit status is its own" "$status" 5
is "and so is its standard output" "$out" ""
printf '%s\n' "$err" >lines
like "a line says when, in which process, and what" "$err" \
	'^[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} [0-9]+ traced scalars\('
like "numbers, characters, truth and enumerators" "$(line_of scalars lines)" \
	"^scalars\(n=-5, c='x', yes=true, color=GREEN, byte=200, big=1099511627776\) -> -5 $took"
like "strings are cut, none is NULL, what can't be read is its address" "$(line_of strings lines)" \
	'^strings\(text="a text of more than forty characters, so"\.\.\., none=NULL, wild=0x10\) -> " text of more than forty characters, so "\.\.\. <'
like "of other pointers the address" "$(line_of items lines)" '^items\(first=0x[0-9a-f]+, words=0x[0-9a-f]+\) -> 0x[0-9a-f]+ <'
like "a structure in registers, as argument and as result" "$(line_of small lines)" \
	"^small\(p=\{x=10, y=20\}, by=3\) -> \{x=13, y=17\} $took"
large='{name="tail", next=NULL, color=GREEN, low=1, high=30, tag="end", at=\[{x=5, y=6}, {x=7, y=8}\]}'
is "a structure in memory, and strings in it" "$(line_of large lines | sed "s/$large/T/; s/<.*//")" "large(item=T, p={x=0, y=9}) -> \
{name=\"tail\", next=NULL, color=RED, low=1, high=30, tag=\"end\", at=[{x=5, y=6}, {x=7, y=8}]} "
like "arguments on the stack" "$(line_of stacked lines)" \
	"^stacked\(a=1, b=2, c=3, d=4, e=5, f=6, g=-7, h=\"eighth\"\) -> 14 $took"
like "floating-point numbers" "$(line_of reals lines)" "^reals\(d=1.5, f=-0.25, n=2\) -> 1.625 $took"
like "functions by their address" "$(line_of callbacks lines)" "^callbacks\(fn=0x[0-9a-f]+, data=NULL\) -> 2 $took"
like "nothing taken, nothing returned" "$(line_of nothing lines)" "^nothing\(\) -> $took"
is "a call that another one makes returns before it" "$(grep -c . lines) $(grep -nE 'plus_one|callbacks' lines |
	sed 's/.* traced \([a-z_]*\).*/\1/' | tr '\n' ' ')" "11 plus_one callbacks "
like "the last line counts" "$err" '^ebpfrt: the command has ended; 20 hits, 0 lost$'

# --- pointers are followed

try ebpfrt trace -D 1 items -- "$traced" 0
printf '%s\n' "$err" >lines
head='\{name="say \\"hi\\"\\n\\377", next=0x[0-9a-f]+'
rest=', color=RED, low=5, high=17, tag="eightchr", at=\[\{x=1, y=-2\}, \{x=3, y=4\}\]\}'
tail='\{name="tail", next=NULL, color=GREEN, low=1, high=30, tag="end", at=\[\{x=5, y=6\}, \{x=7, y=8\}\]\}'
like "-D 1: what pointers lead to" "$(line_of items lines)" \
	"^items\(first=0x[0-9a-f]+ -> $head$rest, words=0x[0-9a-f]+ -> \"one\"\) -> 0x[0-9a-f]+ -> $tail $took"
try ebpfrt trace -D 2 items -- "$traced" 0
printf '%s\n' "$err" >lines
like "-D 2: and what those lead to" "$(line_of items lines)" "^items\(first=0x[0-9a-f]+ -> $head -> $tail$rest, "
try ebpfrt trace -s 0 strings -- "$traced" 0
like "-s 0: no strings" "$err" ' strings\(text=0x[0-9a-f]+, none=NULL, wild=0x10\) -> 0x[0-9a-f]+ <'
try ebpfrt trace -t scalars strings -- "$traced" 0
printf '%s\n' "$err" >lines
like "-t: as they are declared" "$(line_of scalars lines)" \
	"^scalars\(int n=-5, char c='x', _Bool yes=true, enum color color=GREEN, unsigned char byte=200, long long int big=[0-9]+\) -> \(int\)-5 "
like "pointers, too" "$(line_of strings lines)" '^strings\(const char \*text="a .*, const char \*wild=0x10\) -> \(const char \*\)" text'

# --- what is written before the name of a function

try ebpfrt trace "p:$traced:stacked" r:stacked -- "$traced" 0
printf '%s\n' "$err" >lines
is "p: the entry alone" "$(line_of stacked lines)" 'stacked(a=1, b=2, c=3, d=4, e=5, f=6, g=-7, h="eighth")'
is "r: the return alone" "$(grep -c ' stacked() -> 14$' lines)" 1
try ebpfrt trace uprobe::small "uretprobe:$traced:small" "uprobe.session/$traced:nothing" -- "$traced" 0
is "as bpftrace and libbpf write it" "$(printf '%s\n' "$err" | sed -n 's/^[0-9].* traced //; s/ <.*//; /(/p')" \
	'small(p={x=10, y=20}, by=3)
small() -> {x=13, y=17}
nothing() ->'
try ebpfrt trace 's*s' "$traced:scalars" -- "$traced" 0
is "a glob, and a function twice is once" "$(printf '%s\n' "$err" | sed -n 's/^[0-9].* traced \([a-z]*\)(.*/\1/p' | tr '\n' ' ')" \
	"scalars strings "

# --- calls that don't return

try ebpfrt trace leaves -- "$traced" 0
like "a call that longjmp left is not finished" "$err" ' leaves\(how=2\) <unfinished \.\.\.>$'

try ebpfrt trace ends -- "$traced" 0
like "a call in which its thread ends" "$err" " traced ends\(how=0x[0-9a-f]+\) -> \(end of thread\) $took"
if [ -x "$bin/returns_cc" ]; then
	echo 'throw 1' >throws
	ebpfrt trace -o throws.out '*act_throw*' -- "$bin/returns_cc" <throws >/dev/null 2>throws.err
	like "a call that an exception left" "$(cat throws.out throws.err)" " [^ ]*act_throw[^ ]*\(.*\) -> \(exception\) $took"
	ebpfrt trace --json -o throws.out '*act_throw*' -- "$bin/returns_cc" <throws >/dev/null 2>throws.err
	like "JSON: how it was left" "$(cat throws.out)" '"left":"exception"'
else
	skip 2 "no C++ compiler"
fi

# --- JSON

try ebpfrt trace --json -D 1 -s 5 -o json scalars strings items reals leaves -- "$traced" 0
is "-o: nothing of it on standard error" "$(printf '%s\n' "$err" | grep -c '"type"')" 0
python3 - json <<'PY' >json.out 2>&1
import json, sys
calls, end = {}, None
for line in open(sys.argv[1]):
    doc = json.loads(line)
    if doc["type"] == "call":
        calls[doc["data"]["func"]] = doc["data"]
    elif doc["type"] == "detached":
        end = doc["data"]
c = calls["scalars"]
print("scalars", [a["value"] for a in c["args"]], c["ret"], c["comm"], c["pid"] == c["tid"], c["ts"] > 1.6e18, c["duration_ns"] > 0)
c = calls["strings"]
print("strings", c["args"][0], [a["value"] for a in c["args"][1:]])
c = calls["items"]
print("items", c["args"][0]["value"]["to"]["name"], c["args"][1]["value"]["to"], c["ret"]["type"])
c = calls["leaves"]
print("leaves", c["args"][0]["value"], c.get("unfinished"), c.get("ret"))
print("end", end["lost"], end["ended"])
PY
like "JSON: values of their kinds" "$(cat json.out)" \
	"^scalars \[-5, 120, True, 'GREEN', 200, 1099511627776\] \{'type': 'int', 'value': -5\} traced True True True$"
like "JSON: strings that are cut say so" "$(cat json.out)" \
	"^strings \{'name': 'text', 'type': 'const char \*', 'value': \{'truncated': True, 'text': 'a tex'\}\} \[None, '0x10'\]$"
like "JSON: pointers and what they lead to" "$(cat json.out)" "^items \{'truncated': True, 'text': 'say \"'\} one struct item \*$"
like "JSON: a call without an end" "$(cat json.out)" '^leaves 2 True None$'
like "JSON: the end" "$(cat json.out)" '^end 0 True$'

# --- processes: results on standard output

target_program=$traced
target_start
traced_start() {
	: >attach.out
	: >attach.err
	ebpfrt trace "$@" >attach.out 2>attach.err </dev/null &
	attach_child=$!
	until_true attach_ready
}
traced_start -p "$target" scalars holds || echo "# did not come up: $(cat attach.err)"
like "says what is traced" "$(cat attach.err)" "^ebpfrt: both +uprobe\.session +.*traced:scalars, holds +attached \(2 functions\)"
like "and that it does" "$(cat attach.err)" "^Tracing 2 probes in 1 process\. Hit Ctrl-C to end\.$"
say go
until_true grep -q scalars attach.out
like "a line on standard output" "$(line_of scalars attach.out)" "^scalars\(n=-5, .*\) -> -5 $took"
echo hold >&8
say on
attach_stop INT
is "Ctrl-C ends it with status 0" "$attach_status" 0
like "with calls that end" "$(line_of holds attach.out)" "^holds\(why=\"a while\"\) -> 7 $took"
like "and restores the process" "$(cat attach.err)" '^ebpfrt: detached, 2 sites restored; 4 hits, 0 lost$'
traced_start -p "$target" holds
echo hold >&8
until_true sh -c "ebpfrt ps --json | grep -q '\"hits\": *[1-9]'" || :
attach_stop INT
like "what hasn't returned at the end is not finished" "$(cat attach.out)" 'holds\(why="a while"\) <unfinished \.\.\.>$'
say on
traced_start -p "$target" -c 3 plus_one
say many 50
wait "$attach_child"
is "-c: after that many lines it is over" "$? $(grep -c plus_one attach.out)" "0 3"
try ebpfrt trace -d 0.2 -p "$target" plus_one
is "-d: after a time" "$status" 0
traced_start -p "$target" plus_one
say many 20000
attach_stop INT
lines=$(grep -c plus_one attach.out)
lost=$(sed -n 's/.*; [0-9]* hits*, \([0-9]*\) lost$/\1/p' attach.err)
hits=$(sed -n 's/.*; \([0-9]*\) hits*, [0-9]* lost$/\1/p' attach.err)
if [ "$lines" = 20000 ] && [ "${lost:-1}" = 0 ] || [ "${lost:-0}" -gt 0 ]; then
	ok "every call has a line, or losses are counted"
else
	not_ok "every call has a line, or losses are counted" "$lines lines, $hits hits, $lost lost" "$(tail -n 3 attach.err)"
fi
target_quit 4
is "the process's exit status is its own" "$target_status" 4

# --- calls come faster than they can be shown

# jumps are the faster probes; their daemon is another one
runtime_dir=$EBPFRT_RUNTIME_DIR probe=$EBPFRT_PROBE
export EBPFRT_RUNTIME_DIR="$stage/run/fast" EBPFRT_PROBE=auto
target_program=$bin/target
target_start
echo "threads 2 1000000000" >&8
grows_fast() {
	[ "$(wc -c <fast)" -gt 5000000 ]
}
traced_start -o fast -p "$target" work
until_true grows_fast
(sleep 60 && kill -KILL "$attach_child") >/dev/null 2>&1 &
watchdog=$!
attach_stop INT
kill "$watchdog"
is "Ctrl-C ends it all the same" "$attach_status" 0
rm fast
timeout -s KILL 60 ebpfrt trace -q -o fast -d 0.5 -p "$target" work
is "and so does its time" "$?" 0
kill -KILL "$target_child"
exec 8>&- 9<&-
wait "$target_child" 2>/dev/null
EBPFRT_RUNTIME_DIR=$runtime_dir EBPFRT_PROBE=$probe

# --- so many lines, and then nobody looks on

try ebpfrt trace -c 2 plus_one callbacks small -- "$traced" 6
is "-c: calls that have not returned are not more lines" "$status $(printf '%s\n' "$err" | grep -c ' traced ')" "6 2"
mkfifo after.in after.out
ebpfrt trace -q -c 1 -o after.lines p:main -- "$traced" <after.in >after.out 2>after.err &
tracer=$!
exec 6>after.in 7<after.out
read -r word after <&7
traced_no_more() {
	! ebpfrt ps 2>/dev/null | grep -q "$after"
}
until_true traced_no_more
is "-c: the command goes on" "$(grep -c ' traced main(' after.lines) $(kill -0 "$after" && echo there)" "1 there"
kill -TERM "$tracer"
wait "$tracer"
is "and gets the signals that the trace gets, ends by them" "$?" 143
kill -0 "$after" 2>/dev/null && not_ok "both" "$after runs" || ok "both"
kill -KILL "$after" 2>/dev/null
exec 6>&- 7<&-

# --- no types

if command -v objcopy >/dev/null && objcopy --strip-debug -R .note.gnu.build-id "$traced" nodebug; then
	try ebpfrt trace scalars -- ./nodebug 3
	is "without types it works, too" "$status" 3
	like "and says so once" "$err" '^ebpfrt: .*/nodebug has no types: arguments are shown as registers$'
	like "the registers as they are" "$err" ' nodebug scalars\(0xfffffffb, 0x78, 0x1, 0x7, 0xc8, 0x10000000000\) -> 0x[0-9a-f]+ <'
else
	skip 3 "no objcopy"
fi

# --- real ones

if ebpfrt btf dump libc.so.6 2>/dev/null | grep -q "FUNC 'getenv'"; then
	try env NAME_OF_A_TEST=value ebpfrt trace c:getenv r:c:getenv -- python3 -c 'import ctypes
f = ctypes.CDLL(None).getenv
f.restype = ctypes.c_char_p
f(b"NAME_OF_A_TEST")'
	like "the C library, by its debug information" "$err" ' python3[^ ]* getenv\(name="NAME_OF_A_TEST"\) -> "value" <'
else
	skip 1 "the C library has no debug information here"
fi
if command -v sqlite3 >/dev/null; then
	try ebpfrt trace 'libsqlite3:sqlite3_prepare_v2' 'libsqlite3:sqlite3_step' -- sqlite3 :memory: 'select 6*7'
	is "sqlite3 does what it does" "$status $out" "0 42"
	like "sqlite3: a statement is prepared" "$err" ' sqlite3 sqlite3_prepare_v2\(.*\) -> 0(x0)? <'
	like "and stepped to its row" "$err" ' sqlite3 sqlite3_step\(.*\) -> (100|0x64) <'
else
	skip 3 "no sqlite3"
fi
if [ -x "$bin/classes" ]; then
	try ebpfrt trace '*' -- "$bin/classes"
	like "C++ by its names in the file" "$err" ' classes (_Z[A-Za-z0-9_]+|[A-Za-z_]+::[^ ]+)\(.*\) -> '
else
	skip 1 "no C++ compiler"
fi

# --- what can't be probed

refused "functions that can't be probed are listed, and the others traced" 0 \
	'^ebpfrt: warning: both: [0-9]+ of the [0-9]+ functions of .*libc.* that match \*setjmp cannot be probed:$' \
	ebpfrt trace 'c:*setjmp' -- "$traced" 0
like "with the reason" "$err" '^  cannot probe the return of .*setjmp: it returns more than once; use a uprobe at its entry$'
refused "--missing error: then nothing is" 125 '^ebpfrt: some of the functions cannot be probed: the command was not started$' \
	ebpfrt trace --missing error 'c:*setjmp' -- "$traced" 0

# --- words

refused "no function" 2 '^ebpfrt: which functions\? \(FILE:FUNCTION\)$' ebpfrt trace -p $$
refused "no process" 2 '^ebpfrt: which process\? \(-p PID, or -- COMMAND\)$' ebpfrt trace main
refused "no command" 2 '^ebpfrt: which command\?$' ebpfrt trace main --
refused "both" 2 '^ebpfrt: either a command or processes$' ebpfrt trace -p $$ main -- true
refused "a string of any length" 2 '^ebpfrt: strings of up to 4096 characters can be shown$' ebpfrt trace -s 5000 main -- true
refused "no such function" 125 "no_such" ebpfrt trace no_such -- "$traced"
refused "no such file" 125 "^ebpfrt: no file 'libnothing'" ebpfrt trace libnothing:f -- "$traced"
refused "a name tells a terminal nothing" 125 "^ebpfrt: no file 'lib\\\\x1b\\[31mred'" ebpfrt trace "$(printf 'lib\033[31mred')":f -- "$traced"
refused "no such command" 127 '^ebpfrt: cannot run no-such-command: No such file or directory$' ebpfrt trace main -- no-such-command
refused "a probe that is no function" 125 "^ebpfrt: 'usdt:c:a:b': what is traced are calls of functions; write FILE:FUNCTION$" \
	ebpfrt trace usdt:c:a:b -- "$traced"
