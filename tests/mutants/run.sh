#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Bugs planted one at a time (src/core/load/mutant.h): do the tests find each of them?
#
#	run.sh BUILD-DIR [SECONDS [NUMBER...]]
#
# BUILD-DIR was configured with CPPFLAGS=-DEBPF_MUTANT_ON. A mutant is killed by the first test that fails; a mutant of
# the explorer also when the checker refuses more of the same programs than it does without the bug.
set -u
build=$1
seconds=${2:-5}
shift
test $# -gt 0 && shift
list=$(dirname "$0")/list
export CRITERION_OUTPUTS=tap:/dev/null
keep=$(mktemp -d) || exit 99
trap 'rm -rf "$keep"' EXIT

domain='test_tnum test_scalar_3 test_scalar_4 test_scalar test_scalar_6'
checker='test_check_proof'
explorer='test_verify_flow test_verify_stack test_verify_mem test_verify_ref test_verify_helper test_verify_random'

unit() { # NAME...: the first that fails, nothing when none does
	for t in "$@"; do
		test -x "$build/tests/unit/core_load/$t" || continue
		timeout 60 "$build/tests/unit/core_load/$t" >/dev/null 2>&1 || { echo "$t" && return; }
	done
}

cases() {
	test -x "$build/tests/verify/verify" || return
	timeout 100 "$build/tests/verify/verify" >/dev/null 2>&1 || echo "verify"
}

refused() { sed -n 's/.*; \([0-9]*\) explored but not proved/\1/p' "$keep/out"; }

fuzz() { # fixed programs, then as many as fit into the time
	timeout 300 "$build/tests/fuzz/verify_fuzz" -seed=1 -programs=100 -keep="$keep" >"$keep/out" 2>&1 ||
		{ echo "verify_fuzz" && return; }
	test "$(refused)" -le "$baseline" || { echo "the checker (verify_fuzz)" && return; }
	timeout $((seconds + 60)) "$build/tests/fuzz/verify_fuzz" -seconds="$seconds" -keep="$keep" >"$keep/out" 2>&1 ||
		echo "verify_fuzz"
}

# what it does without a bug
EBPF_MUTANT=0
export EBPF_MUTANT
baseline=1000000
by="$(unit $domain $checker $explorer) $(cases) $(fuzz)"
if [ "$by" != "  " ]; then
	echo "Without a bug there are failures already: $by"
	exit 1
fi
baseline=$(refused)
timeout 300 "$build/tests/fuzz/verify_fuzz" -seed=1 -programs=100 -keep="$keep" >"$keep/out" 2>&1
baseline=$(refused)

kill_it() { # PHASE
	case $1 in
	domain) order="unit_domain cases fuzz unit_rest" ;;
	checker) order="unit_checker cases fuzz unit_domain" ;;
	*) order="cases fuzz unit_explorer" ;;
	esac
	for how in $order; do
		case $how in
		unit_domain) by=$(unit $domain) ;;
		unit_checker) by=$(unit $checker) ;;
		unit_explorer) by=$(unit $explorer) ;;
		unit_rest) by=$(unit $checker $explorer) ;;
		*) by=$($how) ;;
		esac
		test -n "$by" && return
	done
}

killed=0
all=0
while read -r n phase text; do
	case $n in '#'* | '') continue ;; esac
	if [ $# -gt 0 ]; then
		case " $* " in *" $n "*) ;; *) continue ;; esac
	fi
	EBPF_MUTANT=$n
	by=
	kill_it "$phase"
	all=$((all + 1))
	if [ -n "$by" ]; then
		killed=$((killed + 1))
		echo "killed $n ($phase) by $by: $text"
	else
		echo "SURVIVES $n ($phase): $text"
	fi
done <"$list"
echo "killed $killed of $all"
test "$killed" -eq "$all"
