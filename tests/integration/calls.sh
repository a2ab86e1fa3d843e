#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A thousand bpf(2) calls, right and wrong: every answer as the kernel gives it. What a kernel said is in bpf_calls.expect;
# started as root where there is eBPF, the kernel at hand is asked, too, so that an outdated file is noticed.
if [ -z "${EBPFRT_STAGE:-}" ] && [ "$(id -u)" = 0 ]; then
	# lib.sh takes this folder along
	cd "$top_builddir/tests/integration/bin" || exit 99
	unshare -m sh -c 'mount -t bpf bpf /sys/fs/bpf && exec ./bpf_calls >oracle.out' 2>/dev/null || : >oracle.out
	cd - >/dev/null || exit 99
fi
no_probe_needed=1
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 2

LD_PRELOAD="$stage/libebpfrt-surface.so" "$bin/bpf_calls" >calls.out 2>calls.err
cp "$stage/integration/bpf_calls.expect" calls.expect
# where nothing is probed, no event gets a program
[ "${EBPFRT_ARCH:-}" != generic ] || sed -i '/^open uprobe/,/^query its event, detached/d' calls.out calls.expect
diff calls.expect calls.out >calls.diff
if [ -s calls.out ] && [ ! -s calls.diff ]; then
	ok "$(wc -l <calls.out) calls are answered as the kernel answers them"
else
	not_ok "the calls are answered as the kernel answers them" "$(head -n 20 calls.diff)" "$(head -n 3 calls.err)"
fi

if [ ! -s "$bin/oracle.out" ]; then
	skip 1 "no kernel to ask: this needs root and eBPF"
elif n=$(diff "$bin/oracle.out" "$stage/integration/bpf_calls.expect" | grep -c '^<') && [ "$n" -gt 0 ]; then
	skip 1 "kernel $(uname -r) answers $n calls differently from the one that was written down"
else
	ok "the kernel at hand agrees"
fi
