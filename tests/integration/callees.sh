#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Functions of the target that programs call: what they take and give, what they do besides, and what is refused.
EBPFRT_PROBE=auto
export EBPFRT_PROBE
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 150

target_program=$bin/callees
CALLEES=left
export CALLEES
cp "$bin/callees" copy
exe=$(readlink -f "$bin/callees")

# PROG WHERE OBJECT FUNC...: attached
with() {
	probe=$1=uprobe:$exe:$2
	object=$bin/$3.bpf.o
	shift 3
	for f in "$@"; do
		set -- "$@" --allow-call "$exe:$f"
		shift
	done
	attach_start --prog "$probe" "$@" "$target" "$object"
}

# FUNC PROG STATUS? : an attempt that is refused
refused() { # name, object, prog, words, OPTIONS...
	name=$1 object=$bin/$2.bpf.o prog=$3 words=$4
	shift 4
	try ebpfrt attach -d 0 --prog "$prog=uprobe:$exe:tick" "$@" "$target" "$object"
	is "$name: status" "$status" 1
	like "$name: words" "$err" "$words"
}

sees() { # name, line...
	name=$1
	shift
	for line in "$@"; do
		like "$name: $line" "$(cat attach.out attach.err)" "$line"
	done
}

# --- what they take and give ---

target_start
with on_tick tick callees add_five narrow scale make_pair make_mixed make_large length sum change text_length
say n 3
is "results: the target" "$answer" "wrong 0"
attach_stop INT
sees results "6 hits, 0 lost" '\[0\]: 1103511693204$' '\[1\]: 18446744073709551615$' \
	'\[2\]: 4617034042984890368$' '\[3\]: 4294967293$' '\[4\]: 4$' '\[5\]: 7$' '\[6\]: 4612811918334230528$' '\[7\]: 24$' \
	'\[8\]: 4617315517961601024$' '\[9\]: 33$' '\[11\]: 4242$' '\[12\]: 65534$' '\[13\]: 13$'

# --- what they do besides ---

with on_wild tick callees_wild wild
say n 1000
is "registers and errno" "$answer" "wrong 0"
say s 100000
is "under signals" "$answer" "wrong 0 in signals"
attach_stop INT
sees "under signals" "202000 hits, 0 lost" '@done\[0\]: 202000$'

for site in vector_site vector_site_of_wide; do
	with on_wild $site callees_wild wild
	say v 500
	is "$site: registers in the middle of a function" "$answer" "wrong 0"
	attach_stop INT
	grep -qw avx /proc/cpuinfo || [ $site = vector_site ] || hits=0
	sees $site "${hits:-500} hits, 0 lost"
done

with on_leave tick callees_wild leave
say l 300
is "longjmp: the target" "$answer" "wrong 0"
attach_stop INT
sees longjmp "400 hits, 100 lost" "^ebpfrt: 100 program runs were cut short"

# more than there are notes of sessions, each of which has one already when it is left
attach_start --prog "on_session=uprobe.session:$exe:tick" "$target" "$bin/callees_wild.bpf.o"
session_child=$attach_child
with on_leave tick callees_wild leave
say l 105000
is "longjmp beside a session: the target" "$answer" "wrong 0"
attach_stop INT
sees "longjmp beside a session" "^ebpfrt: 35000 program runs were cut short"
is "longjmp beside a session: as many returns are missed" "$(ebpfrt ps --json | python3 -c '
import json, sys
print(json.load(sys.stdin)[0]["missed"])')" 35000
kill -INT "$session_child"
wait "$session_child"

with on_leave tick callees_wild leave
say t 20
is "the thread's end: the target" "$answer" "wrong 0"
attach_stop INT
sees "the thread's end" " 20 lost"

probe_inner=on_inner=uprobe:$exe:nested
attach_start --prog "on_nested=uprobe:$exe:tick" --prog "$probe_inner" --allow-call "$exe:nested" "$target" \
	"$bin/callees_wild.bpf.o"
say n 100
is "a probe in it: the target" "$answer" "wrong 0"
attach_stop INT
sees "a probe in it" "200 hits, 200 lost" '@done\[0\]: 200$'

with on_forks tick callees_wild forks
say n 10
is "fork: both go on" "$answer" "wrong 0"
attach_stop INT
sees fork "0 lost"

with on_fault tick callees_wild text_length
say n 100
is "a fault in it: the target" "$answer" "wrong 0"
attach_stop INT
sees "a fault in it" "^ebpfrt: 200 program runs were cut short by a fault" '@done\[0\]: 200$'

# who detaches doesn't wait for it, and it comes back to nobody
with on_wait tick callees_wild wait_long
say w 1
is "it waits" "$answer" "waiting"
attach_stop INT
sees "it waits" "1 site restored; 0 hits, 1 lost"
echo g >&8
read -r answer <&9
is "it comes back when nobody is there, and the target goes on" "$answer" "wrong 0"
say n 3
is "and on" "$answer" "wrong 0"

# --- beside the types of what is probed ---

attach_start --prog "on_typed=uentry:$exe:typed" --prog "off_typed=uexit:$exe:typed" --allow-call "$exe:key_of" \
	--allow-call "$exe:text_length" --allow-call "$exe:scale" --allow-call "$exe:change" "$target" "$bin/callees_typed.bpf.o"
say y 1000
is "typed: the target" "$answer" "wrong 0"
attach_stop INT
sees typed "2000 hits, 0 lost" '\[0\]: 999$' '\[1\]: 999$' '\[2\]: 6$' '\[3\]: 4613937818241073152$' '\[5\]: 1006$' '\[6\]: 999$' \
	'\[8\]: 999$' '\[9\]: 4658839674096189440$' '\[10\]: 7$'
attach_start --prog "off_leave=uexit:$exe:typed" --allow-call "$exe:leave" "$target" "$bin/callees_typed.bpf.o"
say z 105000
is "typed, and left: the target" "$answer" "wrong 0"
attach_stop INT
sees "typed, and left" "70000 hits, 35000 lost" '\[11\]: 104999$'

# --- what leaves them by an exception ---

# MODE, name, how many come back: of three hits each in as many rounds
leaves() {
	with on_throws tick callees_wild throws
	say "$1" 100
	is "$2: the target" "$answer" "wrong 0"
	attach_stop INT
	sees "$2" "300 hits, $((300 - $3)) lost" '@done\[0\]: 300$'
	if [ "$3" = 0 ]; then
		unlike "$2: none comes back" "$(cat attach.out)" '@done\[1\]'
	else
		like "$2: how many come back" "$(cat attach.out)" "@done\[1\]: $3$"
	fi
	[ "$3" = 300 ] || sees "$2" "^ebpfrt: $((300 - $3)) program runs were cut short"
}

plain_target=$exe
if [ -x "$bin/callees_cc" ]; then
	target_quit
	is "without exceptions: to its end" "$target_status" 0
	target_program=$bin/callees_cc
	exe=$(readlink -f "$target_program")
	target_start
	leaves t "an exception" 0
	leaves i "an exception that is a number" 0
	leaves r "one that is thrown again" 0
	leaves p "one that was kept" 0
	leaves c "one that is caught within" 300
	leaves s "now and then" 150
	for how in x k; do
		with on_throws tick callees_wild throws
		say $how 20
		is "the thread's end in C++, $how: the target" "$answer" "wrong 0"
		attach_stop INT
		sees "the thread's end in C++, $how" " 20 lost"
	done
	# beside one that runs at the return, where return addresses are replaced
	attach_start --prog "on_throws=uprobe:$exe:tick" --prog "on_inner=uretprobe:$exe:tick" --allow-call "$exe:throws" "$target" \
		"$bin/callees_wild.bpf.o"
	say r 100
	is "exceptions and return probes: the target" "$answer" "wrong 0"
	say x 20
	is "the thread's end and return probes: the target" "$answer" "wrong 0"
	attach_stop INT
	sees "exceptions and return probes" "620 hits, 320 lost" '@done\[0\]: 320$' '@done\[1\]: 300$'
	refused "a name of C++" callees_wild on_throws "^ebpfrt: --allow-call $exe:_ZL4deepii: it is C..: only functions with C names can \
be called, as it is by its name alone that a program declares one$" --allow-call "$exe:_ZL4deepii"
	say t 3
	is "exceptions: nothing is probed any more" "$answer" "wrong 0"
	target_quit
	is "exceptions: to its end" "$target_status" 0
	target_program=$bin/callees
	exe=$plain_target
	target_start
else
	skip 44 "no C++ compiler"
fi

# --- what is refused ---

refused "not allowed" callees_wild on_wild \
	"^  it is none of the kernel functions there are here; a function of the target may be called with --allow-call LIB:FUNC$" \
	--allow-call "$exe:leave"
refused "no such function" callees_wild on_wild "^ebpfrt: --allow-call $exe:wilt: .*wilt" --allow-call "$exe:wilt"
refused "no function" callees_wild on_wild "^ebpfrt: --allow-call wild:: it is LIB:FUNC or LIB:FUNC,signal-safe$" --allow-call wild:
try ebpfrt attach --allow-call wild "$target" "$bin/callees_wild.bpf.o"
is "no colon" "$status $(printf '%s\n' "$err" | head -n 1)" \
	"2 ebpfrt: --allow-call takes LIB:FUNC or LIB:FUNC,signal-safe, not 'wild'"
refused "varargs" callees_wild on_wild \
	"how it is called is not known: variable\(\) takes a variable number of arguments$" --allow-call "$exe:variable"
refused "six" callees_wild on_wild "many\(\) takes more than the five arguments a program can give$" --allow-call "$exe:many"
refused "elsewhere" callees_wild on_wild "the program calls wild\(\) of .*, which process $target has not loaded" \
	--allow-call "$stage/tmp/copy:wild"
refused "no size" callees_bad of_no_size \
	"R1 is memory of the program, but how much of it fill takes its type doesn't say: pass an address in the target" \
	--allow-call "$exe:fill"
refused "the context" callees_bad the_context "R1 is neither a number nor memory of the program that change could get a copy of" \
	--allow-call "$exe:change"
refused "too little" callees_bad too_little "invalid" --allow-call "$exe:change"
refused "either" callees_bad either "an argument that is memory of the program on one path and an address of the target" \
	--allow-call "$exe:change"
refused "no memory" callees_bad no_memory "R1 is neither a number nor memory of the program that length could get a copy of" \
	--allow-call "$exe:length"
say o "$bin/later.so"
is "a library that was loaded later" "$answer" opened
refused "a library that was loaded later" callees_bad unloaded "the program calls later\(\) of .*later.so, which process $target may \
unload: only functions of the program and of libraries it was linked with can be called" --allow-call "$bin/later.so:later"

# --- real ones ---

libc=$(sed -n 's|.* \(/.*/libc\.so\.6\)$|\1|p' "/proc/$target/maps" | head -1)
libm=$(sed -n 's|.* \(/.*/libm\.so\.6\)$|\1|p' "/proc/$target/maps" | head -1)
if ebpfrt btf dump "$libc" >types 2>/dev/null && grep -q "FUNC '__GI_getenv'" types; then
	attach_start --prog "on_libc=uprobe:$exe:tick" --allow-call "$libc:div" --allow-call "$libc:getenv" \
		--allow-call "$libc:labs" --allow-call "$libm:nextafter" "$target" "$bin/callees.bpf.o"
	say n 1
	is "libc: the target" "$answer" "wrong 0"
	attach_stop INT
	sees libc "2 hits, 0 lost" '\[0\]: 4294967293$' '\[1\]: 4294967294$' '\[2\]: 1952867692$' '\[3\]: 1099511627776$' \
		'\[4\]: 4607182418800017409$'
else
	skip 7 "no types of libc"
fi
with on_leave tick callees_wild leave
say e 10
is "exit" "$answer" leaving
wait "$attach_child"
sees exit "the target has ended; 10 hits, 0 lost"
exec 8>&- 9<&-
wait "$target_child"
is "exit: the target" "$?" 3

# --- in a signal handler ---

EBPFRT_PROBE='trap'
EBPFRT_RUNTIME_DIR=$stage/run/trap
export EBPFRT_RUNTIME_DIR
target_start
refused "a break" callees_wild on_wild "wild\(\) may not be called from a signal handler, as tick is probed by a break \(the \
daemon was started with EBPFRT_PROBE=trap\); if it is async-signal-safe, say --allow-call LIB:wild,signal-safe" \
	--allow-call "$exe:wild"
attach_start --prog "on_nested=uprobe:$exe:tick" --allow-call "$exe:nested,signal-safe" "$target" "$bin/callees_wild.bpf.o"
say s 1000
is "signal-safe: the target" "$answer" "wrong 0 in signals"
attach_stop INT
sees signal-safe "2000 hits, 0 lost" '@done\[0\]: 2000$'
attach_start --prog "on_fault=uprobe:$exe:tick" --allow-call "$exe:text_length,signal-safe" "$target" \
	"$bin/callees_wild.bpf.o"
say n 100
is "a fault in a handler: the target" "$answer" "wrong 0"
attach_stop INT
sees "a fault in a handler" "^ebpfrt: 200 program runs were cut short by a fault" '@done\[0\]: 200$'
target_quit
is "to its end" "$target_status" 0
if [ -x "$bin/callees_cc" ]; then
	target_program=$bin/callees_cc
	exe=$(readlink -f "$target_program")
	target_start
	attach_start --prog "on_throws=uprobe:$exe:tick" --allow-call "$exe:throws,signal-safe" "$target" "$bin/callees_wild.bpf.o"
	say r 100
	is "an exception in a handler: the target" "$answer" "wrong 0"
	attach_stop INT
	sees "an exception in a handler" "300 hits, 300 lost" '@done\[0\]: 300$' "^ebpfrt: 300 program runs were cut short"
	target_quit
	is "an exception in a handler: to its end" "$target_status" 0
else
	skip 5 "no C++ compiler"
fi
