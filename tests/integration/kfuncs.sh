#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Kernel functions (bpf_for() and the like) in an ordinary libbpf program, without any set-up: every result is the
# kernel's. What a kernel said is in kfuncs.expect; started as root where there is eBPF, the kernel at hand is asked, too.
if [ -z "${EBPFRT_STAGE:-}" ] && [ "$(id -u)" = 0 ]; then
	# lib.sh takes this folder along
	object=$(ls "$top_builddir"/tests/integration/bin/kfuncs.bpf.o "$top_srcdir"/tests/integration/bin/kfuncs.bpf.o 2>/dev/null | head -n 1)
	"$top_builddir"/tests/integration/bin/kfuncs "$object" >"$top_builddir"/tests/integration/bin/kfuncs.out 2>/dev/null
fi
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 3

same() { # NAME FILE
	if diff "$stage/integration/kfuncs.expect" "$2" >same.diff 2>&1; then ok "$1"; else not_ok "$1" "$(cat same.diff "$2.err")"; fi
}
ebpfrt exec -- "$bin/kfuncs" "$bin/kfuncs.bpf.o" >kfuncs.out 2>kfuncs.out.err
same "under exec every result is the kernel's" kfuncs.out

# the same object in a process that is there already
target_start
attach_start "$target" --prog "probe=uprobe:$bin/target:work" "$bin/kfuncs.bpf.o"
say call 2
like "attach needs no more" "$(ebpfrt map dump name kfuncs.bss)" '"for_nested": 770\b'
attach_stop INT
target_quit

if [ ! -s "$bin/kfuncs.out" ]; then
	skip 1 "no kernel to ask: this needs root and eBPF"
elif n=$(diff "$bin/kfuncs.out" "$stage/integration/kfuncs.expect" | grep -c '^<') && [ "$n" -gt 0 ]; then
	skip 1 "kernel $(uname -r) answers $n of them differently from the one that was written down"
else
	ok "the kernel at hand agrees"
fi
