#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Every header compiles alone, and every file names its licence.
set -u
cd "${top_srcdir:-.}" || exit 99
cc=${CC:-cc}

headers=$(find src agent include cli -name '*.h' ! -path '*/generic/*' ! -name 'ebpfrt.bpf.h' | sort)
echo "1..$(($(printf '%s\n' "$headers" | wc -l) + 1))"
n=0
for h in $headers; do
	n=$((n + 1))
	case $h in
	*arch_inline.h) pre='#include "arch/arch.h"' ;; # part of arch.h by construction
	*) pre= ;;
	esac
	if out=$(printf '%s\n#include "%s"\n' "$pre" "$h" |
		$cc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-function -Wno-unused-parameter -Wno-sign-compare -Werror -I. -Isrc \
			-Isrc/arch/x86_64 -Isrc/arch/generic -Iinclude -mfsgsbase -x c -fsyntax-only - 2>&1); then
		echo "ok $n - $h"
	else
		echo "not ok $n - $h"
		printf '%s\n' "$out" | head -n 5 | sed 's/^/# /'
	fi
done
n=$((n + 1))
missing=$(find src agent include cli tests samples man -type f \( -name '*.[chS]' -o -name '*.sh' -o -name '*.am' -o -name '*.scd' \) |
	while read -r f; do head -n 3 "$f" | grep -q 'SPDX-License-Identifier: BSD-2-Clause' || echo "$f"; done)
if [ -z "$missing" ]; then
	echo "ok $n - every file names its licence"
else
	echo "not ok $n - every file names its licence"
	printf '%s\n' "$missing" | sed 's/^/# /'
fi
