#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The cases must tell an engine from none: one that always says 1 may pass one in ten at most.
set -u
: "${top_srcdir:=.}"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
printf '#!/bin/sh\ncat >/dev/null\necho 1\n' >"$work/one"
chmod +x "$work/one"

echo 1..1
PLUGIN=$work/one sh "$top_srcdir/tests/conformance/run.sh" >"$work/out"
passed=$(grep -c '^ok' "$work/out")
failed=$(grep -c '^not ok' "$work/out")
if [ "$failed" -gt 0 ] && [ $((passed * 9)) -lt "$failed" ]; then
	echo "ok 1 - $passed of $((passed + failed)) cases accept a constant"
else
	echo "not ok 1 - $passed of $((passed + failed)) cases accept a constant"
fi
