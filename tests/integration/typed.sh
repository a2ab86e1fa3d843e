#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that are told a function's arguments and result by its types: numbers of every width, floats, structures, pointers
# that lead on, in registers and on the stack, at the entry and at the exit; by breaks and by jumps, compiled and interpreted.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 54
target_program=$bin/typed

told() {
	sed -n 's/.*bpf_trace_printk: //p' "$1"
}

same() { # what is tested
	told run.out >typed.told
	if cmp -s typed.want typed.told; then
		ok "$1: $(wc -l <typed.want) lines"
	else
		not_ok "$1" "$(diff typed.want typed.told | head -n 10)"
	fi
}

for probe in trap auto; do
	for how in compiled interpreted; do
		[ $how = compiled ] || { EBPFRT_JIT=0 && export EBPFRT_JIT; }
		EBPFRT_PROBE=$probe && export EBPFRT_PROBE
		target_start ebpfrt run -q -o run.out -P "$bin/typed.bpf.o" --
		unset EBPFRT_JIT EBPFRT_PROBE
		say go 3
		is "$probe, $how: the target goes on" "$answer" "went 3"
		target_quit
		is "$probe, $how: it ends well" "$target_status" 0
		same "$probe, $how: what is told"
	done
done

# what is refused, and the words
refused() { # what is tested, words, options...
	what=$1 words=$2
	shift 2
	try ebpfrt run -q "$@" -P "$bin/typed_bad.bpf.o" -- true
	like "refused: $what" "$status $err" "^125 .*$words"
	unlike "refused: $what: nothing ran" "$out" .
}
exe=$bin/typed
refused "a store" "only read is supported" --prog "writes=uentry:$exe:walk"
refused "bits of a pointer" "pointer arithmetic with <<= operator prohibited" --prog "number=uentry:$exe:walk"
refused "a number as a pointer" "invalid mem access 'scalar'" --prog "number=uentry:$exe:narrow"
refused "behind a structure" "access beyond struct node at off [0-9]* size 4" --prog "beyond=uentry:$exe:walk"
refused "an argument too many" "func 'walk' doesn't have 7-th argument" --prog "seventh=uentry:$exe:walk"
refused "the result of a void function" "func 'nothing' doesn't have 2-th argument" --prog "result=uexit:$exe:nothing"
refused "a long double" "func 'longest' arg1 has type FLOAT, of which can't be told where it is" \
	--prog "result=uexit:$exe:longest"
refused "an offset" "'uentry:$exe:walk\+4': typed probes take no offset" --prog "good=uentry:$exe:walk+4"
refused "an exit for an entry" 'good is made for SEC\("uentry"\), and can.t be attached as uexit' --prog "good=uexit:$exe:walk"
refused "a uprobe as an entry" 'plain is made for SEC\("uprobe"\), and can.t be attached as uentry' \
	--prog "plain=uentry:$exe:walk"
refused "a glob" "wa\*" --prog "good=uentry:$exe:wa*"
strip -g -o bare "$exe"
rm -rf "$HOME/.cache"
refused "without types" "good needs the types of .*/bare" --prog "good=uentry:$PWD/bare:walk"
like "and what there is instead" "$err" 'SEC\("uprobe/\.\.\."\)'
refused "what the types don't know" "the types of $exe don.t say what unknown takes" --prog "good=uentry:$exe:unknown"
twin=$(nm "$exe" | sed -n 's/^0*\([0-9a-f]*\) t twin$/0x\1/p' | head -n 1)
refused "two functions of one name" "$exe has several functions called twin, with different types" \
	--prog "good=uentry:$exe:$twin"
try ebpfrt run -q --btf "$exe" --prog "good=uentry:$PWD/bare:walk" -P "$bin/typed_bad.bpf.o" -- true
is "--btf says what they are: accepted" "$status" 0

# attached to a process that runs, and gone again
target_start
was=$(python3 "$stage/integration/text_hash.py" "$target")
attach_start "$target" -o run.out "$bin/typed.bpf.o"
say go 1
is "attach: links say what they are" "$(ebpfrt link list | grep -cE '^.(uentry|uexit|uprobe|uretprobe) .*/typed:')" \
	"$(ebpfrt link list | grep -c '^[0-9]')"
like "attach: at an exit" "$(ebpfrt link list)" "^.uexit .*/typed:walk "
attach_stop INT
same "attach: what is told"
is "detached: the text is what it was" "$(python3 "$stage/integration/text_hash.py" "$target")" "$was"
target_quit

# left by exceptions: no exit, counted
if [ -s "$bin/typed_cc" ]; then
	target_program=$bin/typed_cc
	for probe in trap auto; do
		EBPFRT_PROBE=$probe && export EBPFRT_PROBE
		target_start ebpfrt run -o run.out -P "$bin/typed_cc.bpf.o" --
		unset EBPFRT_PROBE
		say go 3
		target_quit
		same "C++, $probe: what is told"
		like "C++, $probe: what exceptions left" "$(cat target.err)" "21 calls ended without a return"
	done
else
	skip 4 "there is no compiler for C++"
fi

# the C library, where its types are
cat >libc.py <<-'END'
	import ctypes, math, time
	libc = ctypes.CDLL("libc.so.6")
	class Words(ctypes.Structure):
	    _fields_ = [("quot", ctypes.c_long), ("rem", ctypes.c_long)]
	class Ints(ctypes.Structure):
	    _fields_ = [("quot", ctypes.c_int), ("rem", ctypes.c_int)]
	libc.ldiv.restype, libc.ldiv.argtypes = Words, [ctypes.c_long] * 2
	libc.div.restype, libc.div.argtypes = Ints, [ctypes.c_int] * 2
	libc.frexp.restype, libc.frexp.argtypes = ctypes.c_double, [ctypes.c_double, ctypes.c_void_p]
	e = ctypes.c_int()
	time.gmtime(86400 * 366)
	libc.frexp(-96.0, ctypes.byref(e))
	libc.ldiv(-(1 << 40) - 7, 1 << 20)
	libc.div(-17, 5)
END
try ebpfrt run -q -o run.out -P "$bin/typed_libc.bpf.o" -- python3 libc.py
case $err in
*"needs the types of"* | *"no debug information to say"*)
	skip 4 "the C library's types are not here"
	;;
*)
	told run.out >told
	like "libc: a structure filled by the time of the exit" "$(cat told)" "^gmtime 1971 1 2$"
	like "libc: a double and what is stored behind a pointer" "$(cat told)" "^frexp -96 bfe8000000000000 7$"
	is "libc: two words returned" "$(grep -A1 '^ldiv' told | tr '\n' ' ')" "ldiv -1099511627783 1048576 = -1048576 -7 "
	like "libc: two numbers in one word" "$(cat told)" "^div -17 = -3 -2$"
	;;
esac
