#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The option tables are the truth: every command has a man page, and every option of every command stands in --help, in the
# man page and in the completion. `ebpfrt --dump-options` prints "command --option" lines from the tables.
set -u
. "${top_srcdir:-.}/tests/check/lib.sh"
ebpfrt=${top_builddir:-.}/ebpfrt
src=${top_srcdir:-.}

tables=$("$ebpfrt" --dump-options) || {
	echo "Bail out! ebpfrt --dump-options failed"
	exit 99
}
commands=$(printf '%s\n' "$tables" | awk '{print $1}' | sort -u)
plan "$(($(printf '%s\n' "$commands" | wc -l) * 3 + 5))"
# what a function of the completion says, a word a line
completes() {
	bash -c 'complete() { :; }; . "$1"; shift; "$@"' - "$src/cli/completion/ebpfrt.bash" "$@" | tr ' ' '\n' | grep .
}
page_of() {
	case $1 in
	ebpfrt) echo "$src/man/ebpfrt.1.scd" ;;
	*) echo "$src/man/ebpfrt-$1.1.scd" ;;
	esac
}

for c in $commands; do
	options=$(printf '%s\n' "$tables" | awk -v c="$c" '$1 == c && $2 != "" {print $2}')
	page=$(page_of "$c")
	if [ "$c" = ebpfrt ]; then help=$("$ebpfrt" --help 2>/dev/null); else help=$("$ebpfrt" "$c" --help 2>/dev/null); fi
	result "$c: options in --help" "$(for o in $options; do
		printf '%s\n' "$help" | grep -qE -- "(^|[^-a-z])$o([^-a-z]|\$)" || echo "$o"
	done)"
	result "$c: options in $(basename "$page")" "$(
		[ -f "$page" ] || echo "no such page"
		for o in $options; do
			sed 's/\\//g' "$page" 2>/dev/null | grep -qE -- "(^|[^-a-z])$o([^-a-z]|\$)" || echo "$o"
		done
	)"
	# one more, and one less, is as wrong
	result "$c: options in the completion" "$({
		for o in $options $([ "$c" = ebpfrt ] || printf '%s\n' "$tables" | awk '$1 == "ebpfrt" {print $2}'); do
			echo "$o"
		done
		completes _ebpfrt_options "$([ "$c" = ebpfrt ] || echo "$c")"
	} | sort | uniq -u)"
done
result "the completion knows every command" "$({
	printf '%s\n' "$commands" | grep -vx ebpfrt
	completes _ebpfrt_words help
} | sort | uniq -u)"
result "--help is silent on standard error" "$("$ebpfrt" --help 2>&1 >/dev/null)"
result "the man pages name no option that is not there" "$(for c in $commands; do
	sed 's/\\//g' "$(page_of "$c")" 2>/dev/null | grep -oE '^\*--?[a-z-]+|, \*--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u |
		while read -r o; do
			printf '%s\n' "$tables" | grep -qE "^($c|ebpfrt) $o\$" || echo "$c: $o"
		done
done)"
result "ebpfrt(1) lists every helper" "$(sed -n 's/^[[:space:]]*ROW(\([a-z_0-9]*\),.*/bpf_\1/p' "$src/src/core/run/helper_list.h" |
	while read -r h; do
		sed 's/\\//g' "$src/man/ebpfrt.1.scd" | grep -qE "(^|[^a-z_])$h([^a-z_]|\$)" || echo "$h"
	done)"
result "the files that the documents name are there" "$(cd "$src" && for f in *.md tests/*/README.md; do
	grep -oE '`[a-z_.-]+/[a-zA-Z0-9_./-]+\.[a-z]+`' "$f" | tr -d '\`' | sort -u | while read -r p; do
		case $p in *NAME* | *.log) continue ;; esac
		[ -e "$p" ] || [ -e "src/$p" ] || echo "$f: $p"
	done
done)"
