#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The cases must tell an engine from none: one that always says 1 may pass one in ten at most. And a suite of somebody else's
# is judged by its files: what fails and what can't be read is said, counted, and no success.
set -u
: "${top_srcdir:=.}"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
printf '#!/bin/sh\ncat >/dev/null\necho 1\n' >"$work/one"
chmod +x "$work/one"

echo 1..3
PLUGIN=$work/one sh "$top_srcdir/tests/conformance/run.sh" >"$work/out"
passed=$(grep -c '^ok' "$work/out")
failed=$(grep -c '^not ok' "$work/out")
if [ "$failed" -gt 0 ] && [ $((passed * 9)) -lt "$failed" ]; then
	echo "ok 1 - $passed of $((passed + failed)) cases accept a constant"
else
	echo "not ok 1 - $passed of $((passed + failed)) cases accept a constant"
fi

mkdir -p "$work/suite/more" "$work/good"
cat >"$work/good/map.data" <<'EOT'
-- map
# map_name  type key_size value_size max_entries
numbers 2 4 4 10
-- asm
stw [r10-4], 1
mov r2, r10
add r2, -4
lddw r1, map_by_fd(numbers)
call bpf_map_lookup_elem
jeq r0, 0, gone
mov r0, 1
exit
gone:
exit
-- result
0x1
EOT
cp "$work/good/map.data" "$work/suite/"
printf -- '-- asm\nmov %%r0, 1\nexit\n-- result\n2\n' >"$work/suite/more/wrong.data"
printf -- '-- asm\nfrobnicate %%r0\nexit\n-- result\n0\n' >"$work/suite/strange.data"
sh "$top_srcdir/tests/conformance/suite.sh" "$work/good" >"$work/out"
status=$?
[ $status = 0 ] && grep -q '^\([0-9]*\) of \1 passed; 0 of 1 files could not be read$' "$work/out" &&
	grep -q '^--interpret: 1 of 1$' "$work/out" &&
	echo "ok 2 - a suite that passes" || { echo "not ok 2 - a suite that passes"; sed 's/^/# /' "$work/out"; }
sh "$top_srcdir/tests/conformance/suite.sh" "$work/suite" >"$work/out" 2>&1
status=$?
[ $status = 1 ] && grep -q '^failed: wrong --interpret: r0 1, wanted 2' "$work/out" &&
	grep -q '^cannot read .*strange.data: .*unknown instruction: frobnicate' "$work/out" &&
	grep -q '^--interpret: 1 of 3$' "$work/out" && grep -q '^--elf --interpret: 1 of 3$' "$work/out" &&
	grep -q ' passed; 1 of 3 files could not be read$' "$work/out" &&
	echo "ok 3 - one that doesn't" || { echo "not ok 3 - one that doesn't"; sed 's/^/# /' "$work/out"; }
