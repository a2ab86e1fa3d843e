#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# make check-conformance SUITE=DIR: every *.data file below DIR, on both engines, as instructions and as an object. Says which
# cases fail and why, which files can't be read, and how many of how many passed. PLUGIN=PROGRAM judges another engine.
set -u
: "${top_srcdir:=.}" "${top_builddir:=.}"
suite=${1:-}
[ -n "$suite" ] && [ -d "$suite" ] || {
	echo "usage: make check-conformance SUITE=DIRECTORY, where the suite's *.data files are: '$suite' is no directory" >&2
	exit 2
}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
assemble=$top_builddir/tests/conformance/assemble

# what our assembler can't read is no case that passed
find "$suite" -name '*.data' | LC_ALL=C sort >"$work/all"
: >"$work/unread"
set --
while IFS= read -r file; do
	if "$assemble" "$file" >"$work/case" 2>"$work/err" && [ -s "$work/case" ]; then
		set -- "$@" "$file"
	else
		echo "cannot read $file: $(tail -n 1 "$work/err")" | tee -a "$work/unread"
	fi
done <"$work/all"
[ $# -gt 0 ] || {
	echo "no case below $suite can be read" >&2
	exit 2
}

ELF=all sh "$top_srcdir/tests/conformance/run.sh" "$@" >"$work/out"
sed -n 's/^not ok [0-9]* - /failed: /p' "$work/out"
unread=$(wc -l <"$work/unread")
for how in --interpret --jit "--elf --interpret" "--elf --jit"; do
	# a name is one word, and what failed is followed by a colon
	of="^\(not \)\{0,1\}ok [0-9]* - [^ ]* $how"
	passed=$(grep "$of\(:\|\$\)" "$work/out" | grep -c '^ok')
	total=$(grep -c "$of\(:\|\$\)" "$work/out")
	[ "$total" = 0 ] || echo "$how: $passed of $((total + unread))"
done
passed=$(grep -c '^ok ' "$work/out")
total=$(grep -c '^\(not \)\{0,1\}ok ' "$work/out")
echo "$passed of $total passed; $unread of $(wc -l <"$work/all") files could not be read"
[ "$passed" = "$total" ] && [ "$unread" = 0 ]
