#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# What README.md shows works: every `$ ebpfrt` line of its transcripts is run as written, on a python3 of our own in place of
# the one shown, and ends with status 0; every command and option named in backticks exists; every link leads to a file.
set -u
. "${top_srcdir:-.}/tests/check/lib.sh"
[ "${EBPFRT_ARCH:-}" != generic ] || {
	echo "1..0 # SKIP nothing is probed on this CPU"
	exit 0
}
src=$(cd "${top_srcdir:-.}" && pwd)
build=$(cd "${top_builddir:-.}" && pwd)
readme=$src/README.md
work=$(mktemp -d)
export EBPFRT_RUNTIME_DIR="$work/run" EBPFRT_IDLE=1 PATH="$build:$PATH"
target='' attach=''
finish() {
	for p in $attach $target; do kill "$p" 2>/dev/null; done
	wait
	rm -rf "$work"
}
trap finish EXIT

samples=$build/samples
[ -f "$samples/malloc.bpf.o" ] || samples=$src/samples
cd "$samples" || exit 99
grep '^    \$ ebpfrt' "$readme" | sed 's/^    \$ //' >"$work/lines"
plan "$(($(wc -l <"$work/lines") + 2))"
# the one of the system: a wrapper that executes another program would be a moving target
PATH=/usr/bin:/bin:$PATH python3 -c '
import json
while True: json.loads(json.dumps({str(i): [i] * 9 for i in range(999)}))' &
target=$!
until grep -q libc.so "/proc/$target/maps"; do sleep 0.05; done

tracing() {
	grep -qs ^Tracing "$work/attach" || ! kill -0 "$attach" 2>/dev/null
}

while IFS= read -r line; do
	line=$(printf '%s\n' "$line" | sed "s/\<[0-9][0-9][0-9][0-9][0-9]\>/$target/")
	case $line in
	'ebpfrt attach '*)
		# goes on beside the next ones
		$line >"$work/attach" 2>&1 &
		attach=$!
		until tracing; do sleep 0.05; done
		result "$line" "$(kill -0 "$attach" 2>/dev/null || cat "$work/attach")"
		;;
	*)
		trouble=$($line >"$work/out" 2>&1 </dev/null || cat "$work/out")
		case $trouble in
		*'install its -dbgsym package'*) result "$line # SKIP no debug information here" "" ;;
		*) result "$line" "$trouble" ;;
		esac
		;;
	esac
done <"$work/lines"

tables=$(ebpfrt --dump-options)
result "every command and option it names exists" "$(
	grep -o '`ebpfrt [^`]*`' "$readme" | tr -d '`' | while read -r _ command rest; do
		printf '%s\n' "$tables" | grep -q "^$command\( \|\$\)" || echo "ebpfrt $command"
		for word in $rest; do
			case $word in
			--) break ;;
			--*) printf '%s\n' "$tables" | grep -qx -- "$command $word" || echo "ebpfrt $command $word" ;;
			esac
		done
	done
)"
result "every link leads to a file" "$(
	grep -o '](\([^)]*\))' "$readme" | sed 's/^](//; s/)$//' | while read -r file; do
		[ -e "$src/$file" ] || echo "$file"
	done
)"
