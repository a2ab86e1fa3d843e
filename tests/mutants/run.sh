#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Bugs planted one at a time (src/core/load/mutant.h): do the tests find each of them?
#
#	run.sh SOURCE-DIR BUILD-DIR [NUMBER...]
#
# BUILD-DIR was configured with CPPFLAGS=-DEBPF_MUTANT_ON, and has the tests. The bugs of a phase are first looked for by
# the tests of that phase; the first test that fails has killed the mutant. In random programs a bug of the explorer is
# also seen by the checker, which then refuses more of them than it does without the bug. Without a bug all must pass.
# A test that goes on for CPU seconds of the processor (60 unless the environment says otherwise) has failed.
set -u
source=$1
build=$2
shift 2
list=$source/tests/mutants/list
keep=$(mktemp -d) || exit 99
trap 'rm -rf "$keep"' EXIT
EBPF_MUTANT=0
export EBPF_MUTANT

# with the most specific first
domain='test_tnum test_scalar_4 test_scalar_6 test_scalar_3 test_scalar'
checker='test_check_proof test_check_facts'
explorer='test_verify_stack test_verify_mem test_verify_ref test_verify_helper test_verify_access test_verify_flow
	test_verify_random'
others='verify verify_kdiff verify_fuzz'

order() { # PHASE
	case $1 in
	domain) echo "$domain $checker $others $explorer" ;;
	checker) echo "$checker $others $domain" ;;
	*) echo "$explorer $others" ;;
	esac
}

# The test's last lines say what failed: "not ok - suite::name", "# kept in FILE: what".
named() { sed -n 's/^not ok [0-9]* *- \([^ ]*::[^ ]*\).*/ \1/p; s/^# kept in [^:]*\(: .*\)/\1/p' "$keep/out" | head -n 1; }

refused() { sed -n 's/.*; \([0-9]*\) explored but not proved.*/\1/p' "$keep/out"; }

run() { # TEST [ARGUMENT...]
	(
		# shellcheck disable=SC3045 # every sh that matters has it
		ulimit -t "${CPU:-60}"
		exec timeout -k 5 600 "$@" >"$keep/out" 2>&1
	) 2>/dev/null
}

# Does TEST find the bug? Prints what did.
finds() { # TEST
	case $1 in
	test_*) run "$build/tests/unit/core_load/$1" --tap=- ;;
	verify) run "$build/tests/verify/verify" --tap=- ;;
	verify_fuzz) run "$build/tests/fuzz/verify_fuzz" -keep="$keep" ;;
	*) run "$build/tests/fuzz/$1" ;;
	esac || {
		status=$?
		how=$(named)
		test -n "$how" || how=", exit status $status"
		echo "$1$how"
		return 0
	}
	test "$1" = verify_fuzz && test "$(refused)" -gt "$baseline" && echo "the checker, in the programs of verify_fuzz"
}

killer() { # PHASE: what found it, or nothing
	for t in $(order "$1"); do
		finds "$t" && return
	done
	return 1
}

baseline=1000000
for t in $domain $checker $explorer $others; do
	by=$(finds "$t") && {
		echo "Without a bug there is a failure already: $by" >&2
		cat "$keep/out" >&2
		exit 1
	}
done
baseline=$(refused)

begin=$(date +%s)
killed=0
all=0
while read -r n phase what; do
	case $n in '#'* | '') continue ;; esac
	case " ${*:-$n} " in *" $n "*) ;; *) continue ;; esac
	all=$((all + 1))
	EBPF_MUTANT=$n
	if by=$(killer "$phase"); then
		killed=$((killed + 1))
		echo "$n $phase: $what: killed by $by"
	else
		echo "$n $phase: $what: SURVIVED"
	fi
done <"$list"
echo "killed $killed of $all in $(($(date +%s) - begin)) seconds"
test "$killed" -eq "$all"
