#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Targets that are short of memory, look at their own code, or were built with sanitizers; and what is no file.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 50

named=
start() { # how, KiB
	rm -f target.in target.out
	mkfifo target.in target.out
	"${program:-$bin/hazards}" "$@" <target.in >target.out 2>target.err &
	target_child=$!
	exec 8>target.in 9<target.out
	read -r word target <&9
	[ "$word" = ready ]
}

# attach, if that can be; either way the target is as it was
tried() { # name
	say call 100
	want=$answer
	say text
	text=$answer
	attach_start "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:${program:-$bin/hazards}:work" \
		--prog "on_work_done=uretprobe:${program:-$bin/hazards}:work"
	if kill -0 "$attach_child" 2>/dev/null; then
		say call 100
		is "$1: the result" "$answer" "$want"
		is "$1: hits and returns" "$(map_value counts 0) $(map_value counts 2)" "100 100"
		grep -q ebpfrt-slots "/proc/$target/maps" && named=yes
		attach_stop INT
	else
		like "$1: refused with a reason" "$(cat attach.err)" "^ebpfrt: .*(memory|address space|limit)"
		say call 100
		is "$1: the result" "$answer" "$want"
	fi
	say text
	is "$1: its code is as before" "$answer" "$text"
	target_quit
	is "$1: it ends well" "$target_status" 0
}

start plain 0
tried "plain"
# the address space ends at some point of the injection
for kib in 0 1200 4000 40000; do
	start as $kib
	tried "$kib KiB of address space left"
done
if start lock 0; then
	tried "all memory locked"
else
	target_quit
	skip 4 "memory can't be locked here"
fi

# memory of ours says so, where the kernel gives names to memory
case $named in
yes) ok "slots have a name" ;;
*) skip 1 "this kernel gives no names to anonymous memory (CONFIG_ANON_VMA_NAME)" ;;
esac

# what is no file can't be named: the vDSO, code that a program has written itself
start plain 0
for name in "[vdso]" "linux-vdso.so.1"; do
	try ebpfrt attach "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$name:__vdso_clock_gettime"
	is "$name: refused" "$status" 1
	like "$name: words" "$err" "no file '.*': not mapped by the target"
done
target_quit

# a restartable sequence would never come to its end
start plain 0
say text
text=$answer
say rseq 20000
if [ "$answer" = "rseq none" ]; then
	skip 6 "this C library or kernel has no restartable sequences"
	target_quit
else
	is "a restartable sequence" "$answer" "rseq 80000"
	try ebpfrt attach -d 0 "$target" "$bin/count.bpf.o" --prog on_work=uprobe:hazards:rseq_inside
	is "a restartable sequence: refused" "$status" 1
	like "a restartable sequence: words" "$err" \
		"^ebpfrt: cannot probe rseq_inside in .*: it lies in a restartable sequence \(rseq\), which a trap would abort each time"
	attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:hazards:rseq_count
	say rseq 20000
	is "before it: the same" "$answer" "rseq 80000"
	# whoever is interrupted in it begins before it again
	[ "$(map_value counts 0)" -ge 80000 ] && ok "before it: every time" || not_ok "before it: every time" "$(map_value counts 0)"
	attach_stop INT
	say text
	is "before it: its code is as before" "$answer" "$text"
	target_quit
fi

# targets with a sanitizer
for sanitizer in address undefined thread; do
	program=$PWD/hazards-$sanitizer
	if cc -g -O1 -D_GNU_SOURCE -fsanitize=$sanitizer -o "$program" "$stage/integration/hazards.c" -ldl -lpthread 2>cc.err && start plain 0; then
		tried "built with -fsanitize=$sanitizer"
		unlike "built with -fsanitize=$sanitizer: it has nothing to say" "$(cat target.err)" "Sanitizer|runtime error"
	else
		skip 5 "nothing can be built with -fsanitize=$sanitizer, or runs: $(cat cc.err target.err | head -n 1)"
	fi
done
