#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# log-driver.sh TAP-DRIVER ARGUMENTS...
# automake's driver for one test program, and, when something in it failed, what it said about that:
# who reads the output of `make check` (of a machine that is out of reach, say) sees why.
tap=$1
shift
for arg; do
	case ${before:-} in
	--log-file) log=$arg ;;
	--trs-file) trs=$arg ;;
	esac
	before=$arg
done
sh "$tap" "$@"
rc=$?
if grep -qE '^:test-result: (FAIL|ERROR|XPASS)' "$trs" 2>/dev/null; then
	grep -E -A 12 '^(not ok|Bail out)' "$log" | grep -vE '^(ok |[A-Z]+: |--$)' | head -n 60 | sed 's/^/    /'
fi
# one that ended before its end without a word (a crash, a kill): the last that is known of it, and where it got to
if grep -qE '^:test-result: ERROR' "$trs" 2>/dev/null && ! grep -q '^Bail out' "$log"; then
	grep -E '^:test-result: ERROR' "$trs" | sed 's/^:test-result: /    /'
	tail -n 30 "$log" | grep -v '^PASS: ' | sed 's/^/    /'
fi
exit $rc
