#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh LIST TEST...: plants each bug of LIST, one at a time, and says which test found it. The tests, built with
# -DEBPF_MUTANT_ON, are tried in order until one fails; without a bug all must pass. MUTANTS="3 17": those only.
set -eu
list=$1
shift

survives() {
	EBPF_MUTANT=$1 timeout -k 5 120 "$2" >/dev/null 2>&1
}

for test; do
	survives 0 "$test" || {
		echo "mutants: $test fails without a bug" >&2
		exit 1
	}
done
killed=0 all=0
while read -r number file what; do
	case " ${MUTANTS:-$number} " in *" $number "*) ;; *) continue ;; esac
	case $number in '#'*) continue ;; esac
	all=$((all + 1))
	by=
	for test; do
		survives "$number" "$test" || {
			by=${test##*/}
			break
		}
	done
	if [ -n "$by" ]; then
		killed=$((killed + 1))
		echo "$number $file: $what: killed by $by"
	else
		echo "$number $file: $what: SURVIVED"
	fi
done <"$list"
echo "killed $killed of $all"
[ "$killed" = "$all" ]
