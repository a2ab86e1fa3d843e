# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
#
# What the checks share: a plan, and a line for each thing that is looked at.
n=0
failed=0

plan() { # how many results there will be
	echo "1..$1"
}

result() { # name, what is wrong: nothing, when it is as it should be
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		failed=1
		echo "not ok $n - $1"
		printf '%s\n' "$2" | head -n 20 | sed 's/^/# /'
	fi
}
