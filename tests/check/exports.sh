#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Shared objects export what their maps name: the agent nothing, the library its API and the diverted names of libc.
set -u
. "${top_srcdir:-.}/tests/check/lib.sh"
cd "${top_builddir:-.}" || exit 99

plan 5
exported() {
	nm -D --defined-only "$1" 2>/dev/null | awk '$2 != "A" {sub(/@.*/, "", $3); print $3}' | sort -u
}
# names in the global: part of a version script
named() {
	sed -e 's,/\*.*\*/,,' "$1" | awk '/global:/ {on = 1; sub(/.*global:/, "")} /local:/ {on = 0} on' |
		tr ';' '\n' | tr -d ' \t' | grep -E '^[a-z_0-9*]+$' | sort -u
}
# what is exported and matches no name or pattern of the map
surplus() {
	exported "$1" | while read -r s; do
		ok=
		for pattern in $(named "$2"); do
			# shellcheck disable=SC2254
			case $s in $pattern) ok=1 ;; esac
		done
		[ -n "$ok" ] || echo "$s"
	done
}

# what the map names (but for patterns) and nothing defines
missing() {
	named "$2" | grep -vF '*' | while read -r s; do
		exported "$1" | grep -qxF "$s" || echo "$s"
	done
}

set -f
for f in libebpfrt.so.0 libebpfrt-surface.so $([ "${EBPFRT_ARCH:-}" = generic ] || echo libebpfrt-agent.so); do
	[ -f "$f" ] || {
		echo "Bail out! no $f in $(pwd)"
		exit 99
	}
done
if [ -f libebpfrt-agent.so ]; then
	result "the agent exports nothing" "$(exported libebpfrt-agent.so)"
else
	result "the agent exports nothing # SKIP no agent on this CPU" ""
fi
result "libebpfrt exports what its map names" "$(surplus libebpfrt.so.0 "$top_srcdir/src/client/libebpfrt.map")"
result "libebpfrt-surface exports what its map names" \
	"$(surplus libebpfrt-surface.so "$top_srcdir/src/surface/libebpfrt-surface.map")"
result "what libebpfrt's map names is there" "$(missing libebpfrt.so.0 "$top_srcdir/src/client/libebpfrt.map")"
result "what libebpfrt-surface's map names is there" \
	"$(missing libebpfrt-surface.so "$top_srcdir/src/surface/libebpfrt-surface.map")"
