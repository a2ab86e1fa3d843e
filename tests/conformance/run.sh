#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every case of the *.data files (or of the files given), on the interpreter and on the JIT, as TAP.
# PLUGIN=PROGRAM tries another engine that speaks the same protocol; ELF=all gives it every case as an object, too, and not
# only some.
set -u
: "${top_srcdir:=.}" "${top_builddir:=.}"
dir=$top_builddir/tests/conformance
: "${PLUGIN:=$dir/plugin}"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
tab=$(printf '\t')

[ $# -gt 0 ] || set -- "$top_srcdir"/tests/conformance/*.data
"$dir/assemble" "$@" >"$work/cases" || { echo "Bail out! cannot assemble the cases"; exit 1; }

engines="--interpret"
if echo b700000000000000 9500000000000000 | "$PLUGIN" --jit >/dev/null 2>&1; then
	engines="$engines --jit"
fi

n=0
say()
{
	n=$((n + 1))
	if [ "$1" = ok ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2: $3"
	fi
}

# one case on one engine: r0 in hex, or the words of the refusal
try()
{
	out=$(echo "$program" | "$PLUGIN" $memory "$1" $elf $maps 2>"$work/err")
	status=$?
	if [ -n "$error" ]; then
		if [ $status -ne 1 ]; then
			say not "$name $1" "accepted, r0 $out, wanted: $error"
		elif grep -qF -- "$error" "$work/err"; then
			say ok "$name $1"
		else
			say not "$name $1" "$(tr '\n' ' ' <"$work/err") wanted: $error"
		fi
	elif [ $status -eq 0 ] && [ "$out" = "$result" ]; then
		say ok "$name $1"
	else
		say not "$name $1" "r0 $out, wanted $result, status $status $(tr '\n' ' ' <"$work/err")"
	fi
}

# the cases in a file; empty fields would be merged by read: they travel as a dash
all()
{
	sed "s/$tab$tab/$tab-$tab/g; s/$tab$tab/$tab-$tab/g; s/$tab\$/$tab-/" "$1" >"$work/list"
	while IFS=$tab read -r name program memory result error maps; do
		[ "$memory" = - ] && memory=
		[ "$maps" = - ] && maps=
		[ "$error" = - ] && error=
		name=$name${elf:+ $elf}
		for engine in $engines; do
			try "$engine"
		done
	done <"$work/list"
}

elf=
all "$work/cases"
elf=--elf
if [ "${ELF:-}" = all ]; then
	"$dir/assemble" --elf "$@" >"$work/cases.elf"
else
	"$dir/assemble" --elf "$1" | sed -n 1,20p >"$work/cases.elf"
fi
all "$work/cases.elf"
echo "1..$n"
[ $n -gt 0 ]
