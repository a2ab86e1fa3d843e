#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A part of python3's own test suite with hundreds of functions probed, entries and returns: its own with threads and children,
# the C library's with signals, and all that its modules lean on. Each test ends as it does without. `make real PROGRAMS=python`
# runs more of them.
. "${top_srcdir:-.}/tests/integration/lib.sh"
python=/usr/bin/python3
if ! $python -c 'import test.test_dict, test.test_threading' 2>/dev/null; then
	echo "1..0 # SKIP python3's test suite is not installed: ./bootstrap deps, or the package libpython3.*-testsuite"
	exit 0
fi
plan 10

# the outcome of each test, without times and without what it says itself
outcomes() { # log
	sed -n -e 's/^\(test[A-Za-z0-9_]* ([^)]*)\).*\.\.\. \(ok\|FAIL\|ERROR\|skipped .*\|expected failure\)$/\1 \2/p' -e t \
		-e 's/^\(test[A-Za-z0-9_]* ([^)]*)\).*\.\.\. .*$/\1/p' "$1" | sort
}

plain() { # modules...
	for module; do
		timeout 300 $python -m unittest -v "test.$module" >"plain.$module.log" 2>&1 </dev/null
		echo "status $?" >"plain.$module"
		outcomes "plain.$module.log" >>"plain.$module"
	done
}

# every module with the functions that a pattern of a file matches probed
probed() { # file:pattern, modules...
	glob=$1
	shift
	ran=0 hits=0
	different=
	for module; do
		timeout 300 ebpfrt run --no-maps -P "$bin/many.bpf.o" --missing=ignore --prog "on_call=uprobe.multi:$glob" \
			--prog "on_return=uretprobe.multi:$glob" -o "run.$module" -- $python -m unittest -v "test.$module" \
			>"probed.log" 2>&1 </dev/null
		echo "status $?" >"probed.$module"
		outcomes probed.log >>"probed.$module"
		ran=$((ran + $(wc -l <"probed.$module") - 1))
		of=$(sed -n 's/.*; \([0-9]*\) hits, 0 lost.*/\1/p' probed.log "run.$module" | tail -n 1)
		hits=$((hits + ${of:-0}))
		[ "${of:-0}" -gt 0 ] && cmp -s "plain.$module" "probed.$module" || different="$different $module: $(diff "plain.$module" "probed.$module") $(tail -n 2 probed.log)"
	done
	is "$mode, $glob: each test as without" "$different" ""
	echo "# $ran tests, $hits hits"
	[ "$ran" -gt 40 ] && ok "$mode, $glob: $ran tests" || not_ok "$mode, $glob: tests" "$ran"
}

# a trap takes longer than a jump
few_own="test_list test_generators test_thread"
few_libc="test_raise test_mmap"
own="$few_own test_dict test_struct test_exceptions"
libc="$few_libc test_memoryview test_zlib test_hashlib"
own_file=$(ldd $python | sed -n 's/.*=> \(.*libpython3[^ ]*\).*/\1/p')
# shellcheck disable=SC2086
plain $own $libc
is "unprobed: they run" "$(cat plain.test_* | grep '^status' | sort -u)" "status 0"
[ "$(cat plain.test_* | grep -c ' ok$')" -gt 400 ] && ok "unprobed: hundreds of them" || not_ok "unprobed: hundreds of them"
for mode in trap auto; do
	EBPFRT_PROBE=$mode
	export EBPFRT_PROBE
	until_true eval '[ ! -S "$EBPFRT_RUNTIME_DIR/ctl" ]' # a daemon of its own
	[ $mode = auto ] || {
		all_own=$own all_libc=$libc
		own=$few_own libc=$few_libc
	}
	# shellcheck disable=SC2086
	probed "${own_file:-$python}:Py[A-L]*" $own
	# shellcheck disable=SC2086
	probed 'libc.so.6:*' $libc
	own=$all_own libc=$all_libc
done
