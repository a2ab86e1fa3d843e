#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Shellcheck, where it is installed, has nothing to say about our scripts.
set -u
cd "${top_srcdir:-.}" || exit 99
command -v shellcheck >/dev/null 2>&1 || {
	echo "1..0 # SKIP shellcheck is not installed"
	exit 0
}

# SC2034, SC2154: variables go between a test and the library it sources, and come from make; SC2207: the usual way in a completion
quiet=SC2034,SC2154,SC2207,SC1091
scripts=$(find bootstrap .ci/run samples tests cli -type f \( -name '*.sh' -o -name '*.bash' -o -path bootstrap -o -path .ci/run \) | sort)
echo "1..$(printf '%s\n' "$scripts" | wc -l)"
n=0
for f in $scripts; do
	n=$((n + 1))
	case $(head -n 1 "$f") in
	'#!/bin/bash') shell=bash ;;
	*) shell='sh' ;;
	esac
	case $f in *.bash) shell=bash ;; esac
	if out=$(shellcheck -s $shell -S warning -e $quiet -f gcc "$f" 2>&1); then
		echo "ok $n - $f"
	else
		echo "not ok $n - $f"
		printf '%s\n' "$out" | head -n 10 | sed 's/^/# /'
	fi
done
