#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Every header compiles alone, the public ones as C++, too; each public function says what it does; every file names its
# licence.
set -u
. "${top_srcdir:-.}/tests/check/lib.sh"
cd "${top_srcdir:-.}" || exit 99
cc=${CC:-cc}

headers=$(find src agent include cli -name '*.h' ! -path '*/generic/*' ! -name '*.bpf.h' | sort)
public=$(find include/ebpfrt -name '*.h' | sort)
bpf_headers=$(find include/bpf -name '*.h' | sort)
plan "$(($(printf '%s\n' "$headers" | wc -l) + 2 * $(printf '%s\n' "$public" | wc -l) +
	$(printf '%s\n' "$bpf_headers" | wc -l) + 1))"
for h in $headers; do
	case $h in
	*arch_inline.h) pre='#include "arch/arch.h"' ;; # part of arch.h by construction
	*) pre= ;;
	esac
	result "$h" "$(printf '%s\n#include "%s"\n' "$pre" "$h" |
		$cc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-function -Wno-unused-parameter -Wno-sign-compare -Werror -I. -Isrc \
			-Isrc/arch/x86_64 -Isrc/arch/generic -Iinclude -mfsgsbase -x c -fsyntax-only - 2>&1 || echo "exit status $?")"
done

# the first of these that can compile an empty C++ file
cxx=
for c in "${CXX:-c++}" g++ clang++ clang; do
	[ -n "$cxx" ] || ! echo | $c -x c++ -fsyntax-only - 2>/dev/null || cxx=$c
done
for h in $public; do
	if [ -n "$cxx" ]; then
		result "$h as C++" "$(printf '#include "%s"\n' "$h" |
			$cxx -std=c++11 -pedantic -Wall -Wextra -Werror -I. -x c++ -fsyntax-only - 2>&1 || echo "exit status $?")"
	else
		result "$h as C++ # SKIP no C++ compiler" ""
	fi
	# a declaration follows a comment, or another declaration that one comment is for both
	result "$h: every function says what it does" "$(awk '
		/^\/\*.*\*\/$/ || /^ \*\/$/ {said = 1; next}
		/^EBPFRT_API/ {if (!said) print FNR ": " $0; next}
		/^$/ {said = 0}
		/^[#}]/ {said = 0}' "$h")"
done
for h in $bpf_headers; do
	if command -v clang >/dev/null 2>&1; then
		result "$h in a BPF program" "$(printf '#include "%s"\n#include <bpf/bpf_helpers.h>\n#include <bpf/bpf_tracing.h>\n' "$h" |
			clang -target bpf -D__TARGET_ARCH_x86 -idirafter /usr/include/x86_64-linux-gnu -Wall -Werror -I. -x c -fsyntax-only - 2>&1 || echo "exit status $?")"
	else
		result "$h in a BPF program # SKIP no clang" ""
	fi
done

result "every file names its licence" "$(find src agent include cli tests samples man -type f \
	\( -name '*.[chS]' -o -name '*.sh' -o -name '*.am' -o -name '*.scd' \) ! -name '*.skel.h' |
	while read -r f; do head -n 3 "$f" | grep -q 'SPDX-License-Identifier: BSD-2-Clause' || echo "$f"; done)"
