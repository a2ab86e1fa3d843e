# SPDX-License-Identifier: BSD-2-Clause
# What other tests show of sites that are breaks they show of jumps, too. Each says what stood at its sites.
# Whoever reads this sets $scripts, and $certain: those whose one site is five bytes long, where a jump always fits; of a
# shorter instruction that is chance. And $object, if it is to be another one than count.bpf.o.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan $(($(echo "$scripts" | wc -w) + 1))

EBPFRT_PROBE=auto
export EBPFRT_PROBE
[ -z "${object:-}" ] || cp "$bin/$object.bpf.o" "$bin/count.bpf.o" || bail "no $object.bpf.o"
for name in $scripts; do
	sh "$stage/integration/$name.sh" >"$name.tap" 2>&1
	ended=$?
	bad=$(grep -A 4 -E '^(not ok|Bail out)' "$name.tap")
	done=$(grep -c '^ok' "$name.tap")
	planned=$(sed -n 's/^1[.][.]\([0-9]*\).*/\1/p' "$name.tap")
	jumps=$(sed -n 's/^# standing in [0-9]*: \([0-9]*\) jumps.*/\1/p' "$name.tap" | sort -n | tail -n 1)
	leaves=$(sed -n 's/^# standing in .* \([0-9]*\) leaves$/\1/p' "$name.tap" | sort -n | tail -n 1)
	if [ -z "$bad" ] && [ "$done" = "$planned" ] && [ "$done" -gt 0 ]; then
		ok "$name: $done checks, ${jumps:-?} jumps, ${leaves:-?} leaves"
	else
		not_ok "$name" "$done of ${planned:-?} checks, status $ended" "${bad:-$(tail -n 5 "$name.tap")}"
	fi
	case "$certain " in
	*" $name "*) [ "${jumps:-0}" = 0 ] || jumped="${jumped:-} $name" ;;
	esac
done
is "jumps stood where one always can" "${jumped:-}" "$certain"
