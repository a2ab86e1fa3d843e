#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Objects that were compiled with a vmlinux.h, where no kernel's types are: the built-in ones do. The header is that of the kernel
# at hand where there is one, and the built-in types as a header.
. "${top_srcdir:-.}/tests/integration/lib.sh"
if ! "${CLANG:-clang}" --print-targets 2>/dev/null | grep -q bpf; then
	echo "1..0 # SKIP no clang that compiles for bpf"
	exit 0
fi
# nothing of the kernel's eBPF and no debug information of it, as in a container; for all of the test, with its daemon
if [ -z "${EBPFRT_BARE:-}" ]; then
	mkdir -p builtin kernel
	[ ! -r /sys/kernel/btf/vmlinux ] || ! command -v bpftool >/dev/null ||
		bpftool btf dump file /sys/kernel/btf/vmlinux format c >kernel/vmlinux.h
	export EBPFRT_BARE=1
	! unshare -rm true 2>/dev/null || exec unshare -rm sh -c 'for d in /sys/kernel /boot /lib/modules /usr/lib/modules; do
		[ ! -d "$d" ] || mount -t tmpfs none "$d" || exit 99; done; exec sh "$0"' "$0"
fi
plan 36

compile() { # folder of the header, source, object
	"${CLANG:-clang}" -g -O2 -mcpu=v3 -target bpf -D__TARGET_ARCH_x86 -I"$1" -I"$stage/samples" \
		-idirafter "/usr/include/$(uname -m)-linux-gnu" -c "$2" -o "$3" 2>compile.err
}

all() { # name of the header
	# what includes the kernel's headers gets this one
	mkdir -p "$1/linux" "$1/skel"
	for h in bpf ptrace; do
		printf '#pragma once\n#include "vmlinux.h"\n' >"$1/linux/$h.h"
	done
	for o in "$stage/integration/vmlinux" "$stage/samples/hello" "$stage/samples/malloc" "$stage/samples/core" \
		"$stage/samples/events" "$stage/integration/guard" "$stage/integration/usdt"; do
		if compile "$1" "$o.bpf.c" "$1/$(basename "$o").bpf.o"; then
			ok "$1: $(basename "$o") is compiled"
		else
			not_ok "$1: $(basename "$o") is compiled" "$(head -n 5 compile.err)"
		fi
	done

	try ebpfrt run -o results -P "$1/vmlinux.bpf.o" -- sh -c 'LC_ALL=C exec date +%Y'
	is "$1: the command is as ever" "$status $out" "0 $(date +%Y)"
	# not_in_task and tomorrow stay 0, and aren't printed
	is "$1: what was compiled with it finds everything" "$(sed -n 's/^@//p' results | grep -v '^argument' | sort | tr '\n' ' ')" \
		"absent: 2 address: 1 cookie: 1 result: 1 ringbuf: 1 stack: 1 sum: 10 task: 2 version: 1 wide: 11 "
	try ebpfrt run -P "$1/hello.bpf.o" -- date
	like "$1: hello" "$err" "bpf_trace_printk: getenv\(TZ\) in process"
	try ebpfrt run -P "$1/malloc.bpf.o" -- date
	like "$1: malloc" "$err" '^@totals\[date\]: \{ "calls": [1-9]'
	try ebpfrt run -P "$1/core.bpf.o" -- "$samples/core_two"
	like "$1: core, with the target's types" "$err" "1 \+ 3 = 4"
	try ebpfrt run -P "$1/guard.bpf.o" -- "$samples/core_one"
	like "$1: guard" "$err" "a 1 b -1"
	printf 'fire 3\nquit\n' >fire
	ebpfrt run -P "$1/usdt.bpf.o" -- "$bin/usdt" <fire >try.out 2>try.err
	status=$?
	err=$(cat try.err)
	like "$1: usdt" "$status $err" "the command has ended; [1-9][0-9]* hits, 0 lost"
	try ebpfrt check "$1/events.bpf.o"
	like "$1: events" "$status $err" "^0 .*is fine"

	if command -v bpftool >/dev/null; then
		try ebpfrt exec -- bpftool prog loadall "$1/hello.bpf.o" "/sys/fs/bpf/$1"
		is "$1: bpftool loads it" "$status $err" "0 "
		try ebpfrt exec -- bpftool gen skeleton "$1/events.bpf.o" name events_bpf
		printf '%s\n' "$out" >"$1/skel/events.skel.h"
	else
		skip 1 "no bpftool"
	fi
	if "${CC:-cc}" -I"$1/skel" -I"$stage/samples" -o "$1/events" "$stage/samples/events.c" -lbpf -lelf -lz 2>compile.err; then
		target_start
		ebpfrt exec -p "$target" -- "$PWD/$1/events" 0 1 >events.out 2>events.err </dev/null &
		events=$!
		until_true attached
		say malloc 50
		until_true seen && ok "$1: a skeleton program" || not_ok "$1: a skeleton program" "$(tail -n 3 events.out events.err)"
		kill -INT $events
		wait $events
		target_quit
	else
		skip 1 "no libbpf to link with: $(head -n 1 compile.err)"
	fi
}
attached() {
	ebpfrt link list | grep -q 'pid .*attached'
}
seen() {
	[ "$(grep -c 'malloc(' events.out)" -ge 50 ]
}

try ebpfrt btf header builtin
printf '%s\n' "$out" >builtin/vmlinux.h
all builtin
if [ -s kernel/vmlinux.h ]; then
	all kernel
else
	skip 17 "no kernel's types at hand"
fi

# programs of a distribution, compiled by it with a vmlinux.h
if command -v gethostlatency >/dev/null; then
	mkfifo lookup
	python3 -c 'import socket, sys
print("ready", flush=True)
for line in sys.stdin:
    socket.gethostbyname("localhost")' <lookup >lookup.out &
	target=$!
	exec 3>lookup
	until_true grep -q ready lookup.out
	ebpfrt exec -p "$target" -- gethostlatency >latency.out 2>&1 &
	tool=$!
	until_true attached
	called() {
		echo >&3
		grep -q "$target .*python3 .*localhost" latency.out
	}
	until_true called && ok "gethostlatency of libbpf-tools" || not_ok "gethostlatency of libbpf-tools" "$(cat latency.out)"
	kill -INT $tool
	wait $tool
	exec 3>&-
	wait "$target"
	is "and the process ends well" "$?" 0
else
	skip 2 "libbpf-tools is not installed"
fi
