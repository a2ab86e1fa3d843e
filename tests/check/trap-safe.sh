#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Trap safety of what may run inside a probe: libtrap.a needs nothing from a C library but the four memory functions the
# compiler may call, the agent needs nothing at all; neither holds an instruction on a vector, x87 or mask register, nor
# thread-local storage.
set -u
. "${top_srcdir:-.}/tests/check/lib.sh"
cd "${top_builddir:-.}" || exit 99

[ "${EBPFRT_ARCH:-}" != generic ] || {
	echo "1..0 # SKIP nothing runs inside a probe on this CPU"
	exit 0
}
plan 7
# with sanitizers there are two of them
trap=${GUEST_TRAP:-libtrap.a}
defined=$(nm -A "$trap" 2>/dev/null | awk '$(NF-1) != "U" {print $NF}' | sort -u)
undefined=$(nm "$trap" 2>/dev/null | awk '$1 == "U" {print $2}' | sort -u)
[ -n "$defined" ] || {
	echo "Bail out! no $trap in $(pwd)"
	exit 99
}

result "libtrap.a is closed but for memcpy, memmove, memset, memcmp" "$(
	printf '%s\n' "$undefined" | grep -vxE 'memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_' |
		while read -r s; do printf '%s\n' "$defined" | grep -qxF "$s" || echo "$s"; done
)"
vector='%[xyz]mm[0-9]|%mm[0-7]|%k[1-7][^a-z]|%st'
# what saves or restores the whole state by design would be named here; nothing does
result "libtrap.a uses general registers only" "$(objdump -d --no-show-raw-insn "$trap" | grep -E "$vector")"
result "libtrap.a has no thread-local storage" "$(readelf -SW "$trap" | grep -E '\.t(bss|data)')"
[ -f libebpfrt-agent.so ] || {
	echo "Bail out! no libebpfrt-agent.so in $(pwd)"
	exit 99
}
result "the agent is linked against nothing" "$(nm -D --undefined-only libebpfrt-agent.so 2>/dev/null
	readelf -dW libebpfrt-agent.so | grep NEEDED)"
# entry.S stores those that pass arguments, for programs that are told of them: nothing is loaded or computed
stores='movups +%xmm[0-7],(0x[0-9a-f]+)?\(%rsp\)$'
result "the agent uses general registers only, but to store what vector registers hold" "$(
	objdump -d --no-show-raw-insn libebpfrt-agent.so | grep -E "$vector" | grep -vE "$stores")"
result "the agent has relative relocations only" "$(readelf -rW libebpfrt-agent.so |
	grep -E 'R_X86_64_' | grep -v R_X86_64_RELATIVE)"
result "the agent has no thread-local storage" "$(readelf -lW libebpfrt-agent.so | grep -w TLS)"
