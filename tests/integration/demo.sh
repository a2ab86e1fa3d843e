#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The demonstration, as ./bootstrap demo runs it.
set -u
[ "${EBPFRT_ARCH:-}" != generic ] || {
	echo "1..0 # SKIP nothing is probed on this CPU"
	exit 0
}
echo 1..6
command -v sqlite3 >/dev/null 2>&1 || {
	for i in 1 2 3 4 5 6; do echo "ok $i # SKIP no sqlite3"; done
	exit 0
}
out=$(timeout 120 sh "${top_srcdir:-.}/samples/demo.sh" "${top_builddir:-.}" 2>&1)
status=$?
n=0
result() { # name, test status
	n=$((n + 1))
	if [ "$2" = 0 ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		printf '%s\n' "$out" | sed 's/^/# /'
	fi
}
has() {
	printf '%s\n' "$out" | grep -qE -- "$1"
}
result "ends well" $status
has '^demo: I am [^ ]+; capabilities: 0+$' || [ "$(id -u)" != 0 ]
result "runs without capabilities" $?
has 'bpf_trace_printk: malloc\([0-9]+\)$'
result "shows live events" $?
has '^\[[0-9KMG]+, [0-9KMG]+\) +[1-9][0-9]* \|@'
result "draws a histogram" $?
has '^ebpfrt: detached, 1 site restored; [1-9][0-9]* hits, 0 lost$'
result "detaches and has lost nothing" $?
has '^demo: ok$'
result "sqlite3 went on to the right result" $?
