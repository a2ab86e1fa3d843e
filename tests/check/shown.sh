#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The two tables of tests/integration/README.md: every hazard and every test has its row, and what a row says it is shown by is
# there and is run by `make check`.
set -u
. "${top_srcdir:-.}/tests/check/lib.sh"
cd "${top_srcdir:-.}" || exit 99
readme=tests/integration/README.md

plan 4
# "number: names" of the rows that begin with such a number; the names are in the given column
rows() { # pattern, column
	sed -n "s/^| \($1\) |/\1|/p" "$readme" | awk -F'|' -v c="$2" '{gsub(/ /, "", $1); print $1 ":" $(c)}'
}
missing() { # prefix, last, rows: what is not there, or twice
	i=1
	while [ $i -le "$2" ]; do
		[ "$(printf '%s\n' "$3" | grep -c "^$1$i:")" = 1 ] || echo "$1$i"
		i=$((i + 1))
	done
}
# what is run: the scripts and programs that are in a list of tests
run=$(cat tests/integration/Makemodule.am cli/Makemodule.am tests/unit/*/*.am tests/check/Makemodule.am)
unknown() { # rows
	printf '%s\n' "$1" | while IFS=: read -r number names; do
		found=
		for name in $(printf '%s\n' "$names" | grep -oE 'tests/[a-z_/]*[a-z_-]+(\.sh)?|[a-z_]+\.sh'); do
			found=yes
			case $name in
			tests/bench) [ -d "$name" ] || echo "$number: no $name" ;;
			tests/unit/*)
				[ -f "$name.c" ] || echo "$number: no $name.c"
				printf '%s\n' "$run" | grep -qE "(^|[ /])$(basename "$name")([ .]|\$)" || echo "$number: $name is not run"
				;;
			tests/check/*) [ -f "$name" ] && printf '%s\n' "$run" | grep -q "%D%/$(basename "$name")" || echo "$number: no $name" ;;
			*)
				[ -f "tests/integration/$name" ] || echo "$number: no $name"
				printf '%s\n' "$run" | grep -qE "(%D%|integration)/$name( |\$)" || echo "$number: $name is not run"
				;;
			esac
		done
		[ -n "$found" ] || echo "$number: shown by nothing"
	done
}

hazards=$(rows 'H-[0-9]*' 3)
tests=$(rows '[0-9][0-9]*' 3)
result "every hazard has a row" "$(missing H- 39 "$hazards")"
result "every test has a row" "$(missing '' 30 "$tests")"
result "hazards: what they are shown by is there, and run" "$(unknown "$hazards")"
result "tests: what they are shown by is there, and run" "$(unknown "$tests")"
