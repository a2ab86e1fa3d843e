#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The measurable habits of CONTRIBUTING.md: lengths of functions and files, no unfinished work, the project's own voice.
set -u
. "${top_srcdir:-.}/tests/check/lib.sh"
cd "${top_srcdir:-.}" || exit 99

plan 5
lengths=$(find src agent cli -name '*.c' | while read -r f; do
	awk -v F="$f" '
		/^[a-zA-Z_].*\(/ && !/;[ \t]*$/ {name = $0}
		/^\{/ {start = NR}
		/^\}/ {if (start) {split(name, a, "("); m = split(a[1], b, /[ *]/); print NR - start - 1, F ":" b[m]} start = 0}' "$f"
done | sort -n)
total=$(printf '%s\n' "$lengths" | wc -l)
at() { printf '%s\n' "$lengths" | sed -n "$((total * $1 / 100))p" | cut -d' ' -f1; }
echo "# functions: $total, median $(at 50) lines, nine of ten under $(at 90), longest: $(printf '%s\n' "$lengths" | tail -n 1)"
result "half of the functions are under 11 lines, nine of ten under 25" \
	"$([ "$(at 50)" -le 10 ] && [ "$(at 90)" -le 24 ] || echo "$(at 50), $(at 90)")"
result "no function over 60 lines" "$(printf '%s\n' "$lengths" | awk '$1 > 60')"
result "no file over 1200 lines" "$(find src agent cli -name '*.[chS]' -exec wc -l {} + | awk '$2 != "total" && $1 > 1200')"
result "nothing unfinished" "$(grep -rnwE 'TODO|FIXME|XXX|HACK' src agent cli include samples | head)"
# What has to be trusted of the verifier beside the shared domain: these numbers only get smaller, but for what the checker
# has to say of something new that programs do (last: calls of functions of the target).
checker=2168 code=1719
lines=$(cat src/core/load/check_*.c | wc -l)
bare=$(awk '/^[ \t]*\/\*/ {comment = 1} !comment && NF {n++} /\*\// {comment = 0} END {print n}' src/core/load/check_*.c)
echo "# the checker of proofs: $lines lines, $bare without comments and blank ones"
result "the checker of proofs has at most $checker lines, $code of them code" \
	"$([ "$lines" -le "$checker" ] && [ "$bare" -le "$code" ] || echo "$lines, $bare")"
